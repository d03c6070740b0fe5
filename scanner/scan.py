"""A symbol on all its timeframes, scanned once: only what its newer bars add is found again.

A first scan reads the newest bars; where they begin is kept, and every later scan begins there too, so that what was
found in a bar is found in it again and nothing is rewritten. What was known up to a bar is stored once; a later scan
enters what became known or ended since. Bars that break the contract, or anything else that goes wrong with one
timeframe, become a failure of that timeframe in a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from core.errors import BarsError, SequenceError
from core.log import get_logger
from core.settings import ScannerSettings, current_settings
from market.symbols import symbol_of
from market.timeframes import Timeframe
from scanner.layers import Layer, layer_of, parse_timeframes
from scanner.patterns.findings import LASTS, Findings, Kind
from scanner.patterns.settings import PatternSettings
from scanner.reading import LIVE, STORE, VERSION, bars_since, newest_bars, version_bars
from scanner.setups import Candidates, Setup, SetupSettings, find_candidates


@dataclass(frozen=True)
class ScanSettings:
    """What a scan is set to. `bars` is how many of the newest a first scan reads."""

    patterns: PatternSettings = field(default_factory=PatternSettings)
    setups: SetupSettings = field(default_factory=SetupSettings)
    bars: int = 5_000

    @classmethod
    def from_settings(cls, settings: ScannerSettings | None = None) -> ScanSettings:
        """Those in force."""
        settings = settings or current_settings().scanner
        return cls(pattern_settings(settings), SetupSettings.from_settings(settings), settings.scan_bars)

    def as_dict(self, timeframes: Sequence[Timeframe], spread_pips: float) -> dict[str, Any]:
        """All that decides what is found, plain for JSON; where it differs from what is stored, a scan begins anew."""
        return {
            **asdict(self.patterns),
            **asdict(self.setups),
            "bars": self.bars,
            "timeframes": [str(each) for each in timeframes],
            "spread_pips": spread_pips,
        }


def pattern_settings(settings: ScannerSettings | None = None) -> PatternSettings:
    """The patterns' settings that are in force."""
    settings = settings or current_settings().scanner
    return PatternSettings(
        liquidity_lookback=settings.liquidity_lookback,
        swing_lookback=settings.swing_lookback,
        fvg_threshold=settings.fvg_threshold,
        order_block_body_ratio=settings.order_block_body_ratio,
    )


def configured_timeframes() -> list[Timeframe]:
    """The timeframes of the setting `scanner.timeframes`, shortest first."""
    return parse_timeframes(current_settings().scanner.timeframes)


@dataclass(frozen=True)
class Known:
    """How far a timeframe was scanned: open times of the first and the last bar."""

    first: pd.Timestamp
    until: pd.Timestamp


@dataclass(frozen=True)
class Asked:
    """A symbol to scan: on which timeframes, from where, how far each is known, which failed when last tried.

    `last` is when the newest bar of the symbol in its source opens, where that is known already.
    """

    symbol: str
    timeframes: tuple[Timeframe, ...]
    source: str = STORE
    known: Mapping[Timeframe, Known] = field(default_factory=dict)
    failed: frozenset[Timeframe] = frozenset()
    last: pd.Timestamp | None = None


@dataclass(frozen=True)
class SeriesScan:
    """What a scan of one timeframe gave.

    `new` and `ended` are the findings (as `scanner.records` has them) that became known, or ended, after the last
    scan; likewise `setups` (candidates included) and `ended_setups`. `bars`, `findings`, `candidates` and
    `setups_count` count from the first bar on. With `failure` nothing else is said; where time alone cures it, the
    series `waits`.
    """

    symbol: str
    timeframe: Timeframe
    source: str
    known: Known | None = None
    anew: bool = True
    bars: int = 0
    findings: int = 0
    candidates: int = 0
    setups_count: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, int] = field(default_factory=dict)
    read_ms: float = 0.0
    scan_ms: float = 0.0
    new: Sequence[Mapping[str, Any]] = ()
    ended: Sequence[Mapping[str, Any]] = ()
    setups: Sequence[Setup] = ()
    ended_setups: Sequence[Setup] = ()
    failure: str | None = None
    cure: str | None = None
    waits: bool = False


def scan_symbol(settings: ScanSettings, asked: Asked) -> list[SeriesScan]:
    """Scan the timeframes that have newer bars; the others are left out. Failures are results, never raised."""
    read: dict[Timeframe, _Read] = {}
    scans: list[SeriesScan] = []
    for timeframe in asked.timeframes:
        try:
            found = _read(settings, asked, timeframe)
            if found is None:
                scans.append(_waiting(asked, timeframe))
            else:
                read[timeframe] = found
        except Exception as error:  # whatever a series' bars do, the others must be scanned
            scans.append(_failed(asked, timeframe, error))
    layers: dict[Timeframe, Layer] = {}
    seconds: dict[Timeframe, float] = {}
    newer = [timeframe for timeframe, found in read.items() if found.has_new or timeframe in asked.failed]
    for timeframe, found in read.items():
        if not any(each.minutes <= timeframe.minutes for each in newer):
            continue  # neither it nor a shorter one that would look up to it has a new bar
        begun = time.perf_counter()
        try:
            layers[timeframe] = layer_of(found.bars, timeframe, settings.patterns, symbol_of(asked.symbol).asset_class)
        except Exception as error:  # likewise
            scans.append(_failed(asked, timeframe, error))
        seconds[timeframe] = time.perf_counter() - begun
    for timeframe in newer:
        if timeframe not in layers:
            continue
        begun = time.perf_counter()
        try:
            upwards = [layer for each, layer in layers.items() if each.minutes >= timeframe.minutes]
            candidates = find_candidates(upwards, asked.symbol, settings.setups)
            done = _said(asked, read[timeframe], layers[timeframe], candidates)
        except Exception as error:  # likewise
            done = _failed(asked, timeframe, error)
        spent = seconds[timeframe] + time.perf_counter() - begun
        scans.append(replace(done, scan_ms=1000 * spent))
    return scans


@dataclass(frozen=True)
class _Read:
    timeframe: Timeframe
    bars: pd.DataFrame
    known: Known | None
    milliseconds: float

    @property
    def has_new(self) -> bool:
        return self.known is None or bool(self.bars.index[-1] > self.known.until)


def _read(settings: ScanSettings, asked: Asked, timeframe: Timeframe) -> _Read | None:
    """The bars that a scan is of; None where live bars make no whole one of the timeframe yet."""
    begun = time.perf_counter()
    known = asked.known.get(timeframe)
    if asked.source.startswith(VERSION):
        bars = version_bars(asked.source.removeprefix(VERSION), asked.symbol, timeframe)
        bars = bars.loc[known.first :] if known else bars.iloc[-settings.bars :]
    elif known:
        bars = bars_since(asked.symbol, timeframe, known.first, asked.source)
    else:
        bars = newest_bars(asked.symbol, timeframe, settings.bars, asked.last, asked.source)
    if bars.empty and asked.source == LIVE and not known:
        return None
    if bars.empty:
        raise BarsError(f"There are no {timeframe} bars of {asked.symbol}.", "Collect them, or leave it out.")
    return _Read(timeframe, bars, known, 1000 * (time.perf_counter() - begun))


def _said(asked: Asked, read: _Read, layer: Layer, candidates: Candidates) -> SeriesScan:
    found, bars = layer.findings, len(read.bars)
    if read.known is None:
        # Older findings that ended and older candidates would tell nobody anything any more.
        settings = candidates.settings
        since = bars - 1 - settings.maximum_age_bars
        new, ended = (found.known > since) | (found.ended == LASTS), np.zeros(len(found), dtype=bool)
        fresh, over = candidates.bar > bars - 1 - settings.setup_bars, np.zeros(len(candidates), dtype=bool)
    else:
        until = int(layer.times.searchsorted(read.known.until, side="right")) - 1
        new, ended = found.known > until, (found.known <= until) & (found.ended > until)
        fresh, over = candidates.bar > until, (candidates.bar <= until) & (candidates.ended > until)
    cut, counts = np.unique(np.floor(candidates.score).astype("int64"), return_counts=True)
    return SeriesScan(
        asked.symbol,
        read.timeframe,
        asked.source,
        known=Known(read.known.first if read.known else layer.times[0], layer.times[-1]),
        anew=read.known is None,
        bars=bars,
        findings=len(found),
        candidates=len(candidates),
        setups_count=int(candidates.passed.sum()),
        kinds=kinds_of(found),
        scores={str(points): int(count) for points, count in zip(cut.tolist(), counts.tolist(), strict=True)},
        read_ms=read.milliseconds,
        new=found.where(new).records(layer.times),
        ended=found.where(ended).records(layer.times),
        setups=candidates.where(fresh).setups(),
        ended_setups=candidates.where(over).setups(),
    )


def kinds_of(findings: Findings) -> dict[str, int]:
    """How many findings of each kind there are; kinds without any are left out."""
    counts = np.bincount(findings.kind, minlength=len(Kind)).tolist()
    return {kind.words: counts[kind] for kind in Kind if counts[kind]}


def _waiting(asked: Asked, timeframe: Timeframe) -> SeriesScan:
    what = f"No whole {timeframe} bar of {asked.symbol} has come in live yet."
    cure = "A scan after the first one takes it in."
    return SeriesScan(asked.symbol, timeframe, asked.source, failure=what, cure=cure, waits=True)


def _failed(asked: Asked, timeframe: Timeframe, error: Exception) -> SeriesScan:
    if isinstance(error, SequenceError):
        return SeriesScan(asked.symbol, timeframe, asked.source, failure=error.what, cure=error.cure or None)
    get_logger(__name__).exception("a scan failed", symbol=asked.symbol, timeframe=str(timeframe))
    what = f"The scan of {asked.symbol} {timeframe} stopped with {type(error).__name__}: {error}."
    return SeriesScan(asked.symbol, timeframe, asked.source, failure=what, cure="See the log of the job.")
