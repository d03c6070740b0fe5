"""The jobs of the scanner, each run in a process of its own: scans of many symbols, and rankings by volatility.

    JOBS.submit("scan", "scan", scan_arguments(["EURUSD", "GBPUSD"], ["M15", "H1"]), title)

A scan enters each symbol as it is done; begun again after a kill it goes on with what has newer bars. Where there is
much to read the symbols are shared out over processes (`core.parallel`), which read the store of bars themselves.

A scan that comes back by a schedule would leave hundreds of rows a day: when one begins, those of the same schedule
that still wait are struck, since it reads their bars too, and of those that have ended only the newest stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pandas as pd

from core.errors import InputError
from core.job_process import log_name
from core.jobs import JobQueue, RunningJob
from core.log import log_file
from core.parallel import run_all, workers
from core.settings import current_settings
from core.store import Store
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from market.symbols import canonical_symbol
from market.timeframes import Timeframe, parse_timeframe
from scanner import tables
from scanner.layers import parse_timeframes
from scanner.reading import LIVE, STORE, VERSION, has_newer, newest_times
from scanner.scan import Asked, Known, ScanSettings, SeriesScan, configured_timeframes, scan_symbol
from scanner.store import enter_ranks, enter_scans, failed_scans, known_scans, strike_scheduled
from scanner.volatility import rank_pairs, stored_bars

queue = JobQueue("scan", Store(tables.SCANNER), tables.jobs)

# Starting processes takes longer than scanning so many bars does.
PARALLEL_FROM_BARS = 3_000_000
# Of the scans of one schedule that have ended so many stay, and as many of those that ended without success.
SCHEDULED_KEPT = 20
NOTHING_NEWER = "no bars newer than the last scan's"


def scan_arguments(
    symbols: Sequence[str] | None = None,
    timeframes: Sequence[str] | str | None = None,
    *,
    versions: Sequence[DatasetVersion] = (),
    live: bool = False,
    anew: bool = False,
) -> dict[str, Any]:
    """What a job of the kind `scan` is asked.

    Without `symbols` all that the store of bars holds, without `timeframes` those of the settings. With `versions`
    the symbols of these dataset versions instead of the store, on those timeframes that are no shorter than their
    bars; with `live` the bars made of live ticks instead of the historical ones. `anew` forgets how far each was
    scanned. Raises InputError.
    """
    if live and versions:
        raise InputError("A dataset version holds no live bars.", "Scan either the versions or the live bars.")
    wanted = configured_timeframes() if timeframes is None else parse_timeframes(timeframes)
    names = None if symbols is None else [canonical_symbol(symbol) for symbol in dict.fromkeys(symbols)]
    if names == []:
        raise InputError("There is no symbol to scan.", "Name one, or leave the symbols out for all.")
    return {
        "symbols": names,
        "timeframes": [str(each) for each in wanted],
        "versions": [version.content_hash for version in versions],
        "live": live,
        "anew": anew,
    }


def scan_title(arguments: Mapping[str, Any]) -> str:
    """`Scan EURUSD, GBPUSD on M15, H1`, `Scan live bars of EURUSD on M5`."""
    symbols = arguments["symbols"]
    count = len(arguments["versions"])
    words = f"{count} dataset version{'' if count == 1 else 's'}" if count else "all symbols of the store"
    if is_live(arguments):
        words = "all live bars"
    if symbols:
        words = ", ".join(symbols[:3]) + (f" and {len(symbols) - 3} more" if len(symbols) > 3 else "")
        words = f"live bars of {words}" if is_live(arguments) else words
    return f"Scan {words} on {', '.join(arguments['timeframes'])}"


def is_live(arguments: Mapping[str, Any]) -> bool:
    """Whether a scan is asked for live bars; jobs of before there were such scans are not."""
    return bool(arguments.get("live"))


def rank_arguments(symbols: Sequence[str] | None = None, timeframe: str = "H1") -> dict[str, Any]:
    """What a job of the kind `rank` is asked; without `symbols` all that the store of bars holds."""
    names = None if symbols is None else [canonical_symbol(symbol) for symbol in dict.fromkeys(symbols)]
    return {"symbols": names, "timeframe": str(parse_timeframe(timeframe))}


def rank_title(arguments: Mapping[str, Any]) -> str:
    """`Rank all symbols of the store by their volatility on H1`."""
    words = "all symbols of the store" if arguments["symbols"] is None else f"{len(arguments['symbols'])} symbols"
    return f"Rank {words} by their volatility on {arguments['timeframe']}"


def scan(job: RunningJob) -> None:
    """Scan; each symbol's rows and the job's progress are one transaction. Fails when nothing could be scanned."""
    job.tell(0.0, "looking for newer bars")
    _make_room(job)
    timeframes = [Timeframe(name) for name in job.arguments["timeframes"]]
    settings = ScanSettings.from_settings()
    said = settings.as_dict(timeframes, current_settings().backtest.spread_pips)
    asked = list(_asked(job.arguments, timeframes, said))
    if not asked and not (job.arguments["symbols"] or job.arguments["versions"]):
        _refuse_nothing(LIVE if is_live(job.arguments) else STORE)
    total, setups, failed, series, waiting = len(asked), 0, [], 0, 0
    for done, scans in enumerate(_scanned(settings, asked), start=1):
        setups += sum(setup.is_setup for scan in scans for setup in scan.setups)
        failed += [each for each in scans if each.failure is not None and not each.waits]
        waiting += sum(each.waits for each in scans)
        series += sum(not each.waits for each in scans)
        if scans:
            enter_scans(scans, said, job.id, partial(job.note, symbols=done))
        job.tell(done / total, f"{done} of {total} symbols, {setups} new setups")
    if failed and len(failed) == series:
        raise InputError(
            f"None of {series} series could be scanned. The first: {failed[0].failure}", failed[0].cure or ""
        )
    words = f"{setups} new setups on {series} series" if series else NOTHING_NEWER
    words += f"; {len(failed)} series could not be scanned" if failed else ""
    words += f"; {waiting} series wait for their first whole bar" if waiting else ""
    job.succeed_alone({"symbols": total, "series": series, "setups": setups, "failed": len(failed)}, words)


def rank(job: RunningJob) -> None:
    """Rank; the ranking and the job's success are one transaction."""
    timeframe = Timeframe(job.arguments["timeframe"])
    symbols = job.arguments["symbols"] or _held_symbols()
    if not symbols:
        raise InputError("There are no bars to rank.", "Collect bars first.")
    job.tell(0.0, f"reading {len(symbols)} symbols")
    ranking = rank_pairs([(symbol, timeframe) for symbol in symbols], current_settings().volatility, stored_bars)
    selected = sum(each.selected for each in ranking)
    words = f"{selected} of {len(ranking)} pairs selected"
    enter_ranks(ranking, job.id, lambda connection: job.succeed(connection, {"selected": selected}, words))


def _make_room(job: RunningJob) -> None:
    """Leave little of the job's schedule beside it; what the forgotten ones logged would drive out other jobs' logs."""
    schedule = queue.job(job.id).schedule_id
    for each in strike_scheduled(schedule, job.id, SCHEDULED_KEPT) if schedule is not None else []:
        with suppress(OSError):
            log_file(log_name(queue.name, each)).unlink(missing_ok=True)


def _refuse_nothing(source: str) -> None:
    """Raise InputError where there are no bars at all."""
    if _held_symbols(source):
        return
    if source == LIVE:
        raise InputError("There are no live bars to scan.", "Let a terminal with the Expert Advisor send its ticks.")
    raise InputError("There are no bars to scan.", "Collect bars first, or name a dataset version.")


def _scanned(settings: ScanSettings, asked: Sequence[Asked]) -> Iterator[list[SeriesScan]]:
    bars = sum(len(each.timeframes) * settings.bars for each in asked)
    if bars < PARALLEL_FROM_BARS or len(asked) == 1 or workers() == 1:
        yield from (scan_symbol(settings, each) for each in asked)
        return
    for _, scans in run_all(scan_symbol, asked, shared=settings, describe=lambda each: each.symbol):
        yield scans


def _asked(arguments: Mapping[str, Any], timeframes: Sequence[Timeframe], said: Mapping[str, Any]) -> Iterator[Asked]:
    names = arguments["symbols"]
    for reference in arguments["versions"]:
        version = controller.version(reference)
        source = f"{VERSION}{version.content_hash}"
        own = parse_timeframe(version.timeframe)
        longer = [each for each in timeframes if each.minutes >= own.minutes] or [own]
        symbols = version.symbols or list(names or [])
        if not symbols:
            raise InputError(
                f"{version.label} does not say whose bars it holds.", "Name its symbol when you ask for the scan."
            )
        wanted = [symbol for symbol in symbols if names is None or symbol in names]
        yield from _of_source(wanted, longer, source, said, anew=arguments["anew"])
    if not arguments["versions"]:
        source = LIVE if is_live(arguments) else STORE
        yield from _of_source(names or _held_symbols(source), timeframes, source, said, anew=arguments["anew"])


def _of_source(
    symbols: Iterable[str], timeframes: Sequence[Timeframe], source: str, said: Mapping[str, Any], *, anew: bool
) -> Iterator[Asked]:
    scanned = {} if anew else known_scans(source, said)
    failed = failed_scans(source)
    newest = {} if source.startswith(VERSION) else newest_times(source)
    for symbol in symbols:
        known = {each: scanned[symbol, each] for each in timeframes if (symbol, each) in scanned}
        again = frozenset(each for each in timeframes if (symbol, each) in failed)
        is_known = len(known) == len(timeframes) and not again
        if is_known and not _may_have_newer(symbol, source, known, newest.get(symbol)):
            continue
        yield Asked(symbol, tuple(timeframes), source, known, again, newest.get(symbol))


def _may_have_newer(symbol: str, source: str, known: Mapping[Timeframe, Known], newest: pd.Timestamp | None) -> bool:
    if source.startswith(VERSION):
        return False  # a version never changes
    if source == LIVE:  # where a newer minute seldom makes a newer bar
        return any(has_newer(symbol, timeframe, each.until, LIVE) for timeframe, each in known.items())
    return newest is None or newest > max(each.until for each in known.values())


def _held_symbols(source: str = STORE) -> list[str]:
    return list(newest_times(source))
