"""What the scanner keeps in `scanner.db`: entered once, read by pages, alerts and the outcome study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text, wall_text
from core.errors import InputError
from core.jobs import OPEN, JobStatus
from core.plain import plain
from core.store import Store, inserted_id
from market.symbols import canonical_symbol
from market.timeframes import Timeframe, parse_timeframe
from scanner import tables
from scanner.scan import Known, SeriesScan
from scanner.setups import STATUSES, Setup
from scanner.volatility import Volatility

_store = Store(tables.SCANNER)
Commit = Callable[[sa.Connection], None]


def known_scans(source: str, settings: Mapping[str, Any]) -> dict[tuple[str, Timeframe], Known]:
    """How far each series of a source was scanned with just these settings, the last scan's failure or not."""
    query = sa.select(tables.scans).where(tables.scans.c.source == source, tables.scans.c.scanned_until.is_not(None))
    wanted = plain(settings)
    return {
        (row["symbol"], Timeframe(row["timeframe"])): Known(
            pd.Timestamp(row["first_time"]), pd.Timestamp(row["scanned_until"])
        )
        for row in _store.rows(query)
        if row["settings"] == wanted
    }


def failed_scans(source: str) -> set[tuple[str, Timeframe]]:
    """The series of a source whose last scan failed."""
    query = sa.select(tables.scans).where(tables.scans.c.source == source, tables.scans.c.failure.is_not(None))
    return {(row["symbol"], Timeframe(row["timeframe"])) for row in _store.rows(query)}


def enter_scans(
    scans: Iterable[SeriesScan],
    settings: Mapping[str, Any],
    job_id: int | None = None,
    commit: Commit = lambda connection: None,
) -> None:
    """Enter what scans gave, all in one transaction with whatever `commit` writes.

    A scan begun anew replaces what was there of its series; a failed one leaves it and says why it failed.
    """
    with _store.write() as connection:
        for scan in scans:
            _enter(connection, scan, settings, job_id)
        commit(connection)


def list_scans() -> pd.DataFrame:
    """A row a series, columns of `scanner_scans`, by symbol, timeframe and source."""
    order = (tables.scans.c.symbol, tables.scans.c.id)
    return _frame(tables.scans, sa.select(tables.scans).order_by(*order), ("first_time", "scanned_until", "scanned_at"))


def list_setups(
    symbol: str | None = None,
    timeframe: str | None = None,
    *,
    direction: str | None = None,
    statuses: Sequence[str] = (),
    minimum_score: float | None = None,
    setups_only: bool = True,
    source: str | None = None,
    since: pd.Timestamp | None = None,
    limit: int = 500,
) -> pd.DataFrame:
    """Stored setups, ranked: the live ones first, then by score and risk-reward; columns of `scanner_setups`.

    With `setups_only` false also the candidates that fell short, last. Raises InputError for an unknown status.
    """
    columns = tables.setups.c
    for status in statuses:
        if status not in STATUSES:
            raise InputError(f"status={status!r} is none of a setup.", f"There are: {', '.join(STATUSES)}.")
    conditions = [
        *_of(columns, symbol, timeframe),
        *([columns.direction == direction] if direction else []),
        *([columns.status.in_(list(statuses))] if statuses else []),
        *([columns.score >= minimum_score] if minimum_score is not None else []),
        *([columns.is_setup == 1] if setups_only else []),
        *([columns.known_at >= utc_text(since)] if since is not None else []),
    ]
    if source is not None:
        of_source = sa.select(tables.scans.c.id).where(tables.scans.c.source == source)
        conditions.append(columns.scan_id.in_(of_source))
    order = (
        columns.is_setup.desc(), (columns.status == "live").desc(), columns.score.desc(),
        columns.risk_reward.desc(), columns.id,
    )  # fmt: skip
    query = sa.select(tables.setups).where(*conditions).order_by(*order).limit(limit)
    return _frame(tables.setups, query, ("created_at", "formed_at", "known_at", "ended_at"))


def list_alerts(limit: int = 50) -> pd.DataFrame:
    """The setups that came last, newest first: what an alert was, or would have been, sent for."""
    columns = tables.setups.c
    query = sa.select(tables.setups).where(columns.is_setup == 1).order_by(columns.known_at.desc(), columns.id.desc())
    return _frame(tables.setups, query.limit(limit), ("created_at", "formed_at", "known_at", "ended_at"))


def list_findings(
    symbol: str | None = None, timeframe: str | None = None, kinds: Sequence[str] = (), *, limit: int = 5_000
) -> pd.DataFrame:
    """Stored findings, the newest first; columns of `scanner_findings`."""
    columns = tables.findings.c
    conditions = [*_of(columns, symbol, timeframe), *([columns.kind.in_(list(kinds))] if kinds else [])]
    query = sa.select(tables.findings).where(*conditions).order_by(columns.known_at.desc(), columns.id.desc())
    return _frame(tables.findings, query.limit(limit), ("formed_at", "known_at", "ended_at"))


def enter_ranks(
    ranking: Iterable[Volatility], job_id: int | None = None, commit: Commit = lambda connection: None
) -> None:
    """Enter a ranking; its rows share the time at which it was made."""
    now = utc_text()
    with _store.write() as connection:
        rows = [
            {
                **{name: plain(value) for name, value in asdict(each).items()},
                "ranked_at": now,
                "selected": int(each.selected),
                "last_time": _text(each.last_time),
                "skipped": each.skipped or None,
                "job_id": job_id,
            }
            for each in ranking
        ]
        if rows:
            connection.execute(tables.ranks.insert(), rows)
        commit(connection)


def list_ranks(ranked_at: str | None = None) -> pd.DataFrame:
    """The newest ranking, or the one of a time of `list_rankings`: ranked pairs in their order, then the skipped."""
    columns = tables.ranks.c
    newest = sa.select(sa.func.max(columns.ranked_at)).scalar_subquery()
    query = sa.select(tables.ranks).where(columns.ranked_at == (newest if ranked_at is None else ranked_at))
    return _frame(tables.ranks, query.order_by(columns.rank.is_(None), columns.rank, columns.id), ("last_time",))


def list_rankings(limit: int = 50) -> list[str]:
    """When rankings were made, newest first."""
    query = sa.select(tables.ranks.c.ranked_at).distinct().order_by(tables.ranks.c.ranked_at.desc()).limit(limit)
    return [row["ranked_at"] for row in _store.rows(query)]


def strike_scheduled(schedule_id: int, job_id: int, kept: int) -> list[int]:
    """Cancel the scans of a schedule that wait while `job_id` runs, and forget its oldest ended ones; which these were.

    The newest `kept` that succeeded stay, and as many of those that did not.
    """
    columns, forgotten = tables.jobs.c, list[int]()
    of_schedule = sa.and_(columns.schedule_id == schedule_id, columns.kind == "scan", columns.id != job_id)
    waiting = tables.jobs.update().where(of_schedule, columns.status == JobStatus.QUEUED)
    others = [each for each in JobStatus if each not in (*OPEN, JobStatus.SUCCEEDED)]
    with _store.write() as connection:
        words = f"job {job_id} scans the same bars"
        connection.execute(waiting.values(status=JobStatus.CANCELLED, ended_at=wall_text(), words=words))
        for statuses in ([JobStatus.SUCCEEDED], others):
            ended = sa.select(columns.id).where(of_schedule, columns.status.in_(statuses))
            forgotten += connection.scalars(ended.order_by(columns.id.desc()).offset(kept))
        connection.execute(tables.jobs.delete().where(columns.id.in_(forgotten)))
    return forgotten


def _enter(connection: sa.Connection, scan: SeriesScan, settings: Mapping[str, Any], job_id: int | None) -> None:
    columns = tables.scans.c
    same = sa.and_(
        columns.symbol == scan.symbol, columns.timeframe == str(scan.timeframe), columns.source == scan.source
    )
    there = connection.execute(sa.select(columns.id).where(same)).scalar()
    now = utc_text()
    if scan.failure is not None:
        said = {"scanned_at": now, "failure": scan.failure, "cure": scan.cure, "job_id": job_id}
        if there is not None:
            connection.execute(tables.scans.update().where(columns.id == there).values(**said))
        else:
            inserted_id(connection, tables.scans, {**_row_of(scan, settings), **said})
        return
    if scan.anew and there is not None:
        connection.execute(tables.scans.delete().where(columns.id == there))
        there = None
    row = {**_row_of(scan, settings), "scanned_at": now, "failure": None, "cure": None, "job_id": job_id}
    if there is None:
        there = inserted_id(connection, tables.scans, row)
    else:
        connection.execute(tables.scans.update().where(columns.id == there).values(**row))
    _enter_findings(connection, there, scan)
    _enter_setups(connection, there, scan, now, job_id)


def _row_of(scan: SeriesScan, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "symbol": scan.symbol,
        "timeframe": str(scan.timeframe),
        "source": scan.source,
        "settings": plain(settings),
        "first_time": utc_text(scan.known.first) if scan.known else None,
        "scanned_until": utc_text(scan.known.until) if scan.known else None,
        "bars": scan.bars,
        "findings": scan.findings,
        "candidates": scan.candidates,
        "setups": scan.setups_count,
        "kinds": dict(scan.kinds),
        "scores": dict(scan.scores),
        "read_ms": scan.read_ms,
        "scan_ms": scan.scan_ms,
    }


def _enter_findings(connection: sa.Connection, scan_id: int, scan: SeriesScan) -> None:
    shared = {"scan_id": scan_id, "symbol": scan.symbol, "timeframe": str(scan.timeframe)}
    rows = [{**shared, **row} for row in _finding_rows(scan.new)]
    if rows:
        connection.execute(tables.findings.insert(), rows)
    columns = tables.findings.c
    for row in _finding_rows(scan.ended):
        same = [getattr(columns, name) == row[name] for name in ("kind", "direction", "formed_at", "known_at", "level")]
        update = tables.findings.update().where(columns.scan_id == scan_id, *same)
        connection.execute(update.values(ended_at=row["ended_at"], end_reason=row["end_reason"]))


def _finding_rows(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **{name: each[name] for name in ("kind", "direction", "level", "low", "high")},
            **{name: _text(each[name]) for name in ("formed_at", "known_at", "ended_at")},
            "end_reason": each["end"],
            "strength": plain(each["strength"]),
        }
        for each in found
    ]


def _enter_setups(connection: sa.Connection, scan_id: int, scan: SeriesScan, now: str, job_id: int | None) -> None:
    rows = [{**_setup_row(setup), "scan_id": scan_id, "created_at": now, "job_id": job_id} for setup in scan.setups]
    if rows:
        connection.execute(tables.setups.insert(), rows)
    columns = tables.setups.c
    for setup in scan.ended_setups:
        if setup.ended_at is None:
            continue
        connection.execute(
            tables.setups.update()
            .where(
                columns.scan_id == scan_id,
                columns.known_at == utc_text(setup.known_at),
                columns.direction == setup.direction,
            )
            .values(status=setup.status, ended_at=utc_text(setup.ended_at))
        )


def _setup_row(setup: Setup) -> dict[str, Any]:
    numbers = ("entry", "stop", "invalidation", "target", "risk_reward", "score", "confidence", "atr", "cost_to_atr")
    return {
        **{name: getattr(setup, name) for name in ("symbol", "timeframe", "direction", "trigger", "status")},
        **{name: plain(getattr(setup, name)) for name in numbers},
        "patterns": setup.patterns,
        "targets": list(setup.targets),
        "formed_at": utc_text(setup.formed_at),
        "known_at": utc_text(setup.known_at),
        "ended_at": _text(setup.ended_at),
        "parts": [plain(vars(part)) for part in setup.parts],
        "why_not": [{**plain(vars(short)), "sentence": short.sentence()} for short in setup.why_not],
        "is_setup": int(setup.is_setup),
    }


def _text(time: pd.Timestamp | None) -> str | None:
    return None if time is None else utc_text(time)


def _of(columns: Any, symbol: str | None, timeframe: str | None) -> list[Any]:
    return [
        *([columns.symbol == canonical_symbol(symbol)] if symbol else []),
        *([columns.timeframe == str(parse_timeframe(timeframe))] if timeframe else []),
    ]


def _frame(table: sa.Table, query: sa.Select[Any], times: Iterable[str]) -> pd.DataFrame:
    """Rows as a frame with the table's columns, times aware, an absent one NaT."""
    found = pd.DataFrame(_store.rows(query), columns=[column.name for column in table.columns])
    for name in times:
        found[name] = pd.to_datetime(found[name], utc=True, format="ISO8601")
    return found
