"""Live ticks become closed M1 bars in `market_data`, type `live`, each bar once.

A bar is what the ticks of its minute made of the bid: open, high, low, close, how many there were, and the narrowest
spread. What is stored is never rewritten; when a tick comes after its bar was closed, the bar that would be is
kept beside it as a disagreement, and `revised` tells which.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from core.clock import now_ms
from data.bar_store import BarStore
from market.resample import resample_bars
from market.symbols import symbol_of
from market.timeframes import Timeframe, parse_timeframe
from mql5.bridge.ticks import TickStore

MINUTE_MS = 60_000
# Ticks of a batch come up to seconds after they were quoted; a bar waits that long for them.
GRACE_MS = 3_000
_READ_AT_ONCE = 50_000

Stream = tuple[str, str]  # source and symbol


class LiveBars:
    """The bars of this workbench that are made of ticks; `step` is called again and again by one thread."""

    def __init__(self, ticks: TickStore | None = None, bars: BarStore | None = None) -> None:
        self._ticks = ticks or TickStore()
        self._bars = bars or BarStore()
        self._seen: int | None = None
        self._open: dict[Stream, set[int]] = defaultdict(set)

    def step(self, now: int | None = None) -> int:
        """Take the ticks committed since the last step and store the bars that are closed at `now` (ms); how many."""
        now = now_ms() if now is None else now
        if self._seen is None:
            self._seen = self._begin()
        while rows := self._ticks.after(self._seen, _READ_AT_ONCE):
            for row in rows:
                self._open[row["source"], row["symbol"]].add(row["time_ms"] // MINUTE_MS * MINUTE_MS)
            self._seen = rows[-1]["id"]
        stored = 0
        for stream, minutes in self._open.items():
            closed = sorted(minute for minute in minutes if minute + MINUTE_MS + GRACE_MS <= now)
            if not closed:
                continue
            stored += self._store(stream, closed)
            minutes.difference_update(closed)  # only now: what could not be stored is tried again
        return stored

    def bars(self, symbol: str, timeframe: Timeframe | str = "M1", source: str | None = None) -> pd.DataFrame:
        """The live bars of one source (default: the first), joined into whole bars of `timeframe`."""
        timeframe = parse_timeframe(timeframe)
        sources = [source] if source else self._bars.sources_of(symbol, Timeframe.M1, "live")[:1]
        found = self._bars.bars(symbol, Timeframe.M1, sources=sources, kind="live")
        if timeframe is Timeframe.M1 or found.empty:
            return found
        return resample_bars(found, timeframe, symbol_of(symbol).asset_class, Timeframe.M1)

    def revised(self, symbol: str | None = None) -> pd.DataFrame:
        """The bars that a late tick would have made another: `found_at symbol source time column stored offered` …"""
        found = self._bars.disagreements(symbol, Timeframe.M1)
        return found[found["type"] == "live"].reset_index(drop=True)

    def _begin(self) -> int:
        """The id before the first tick that is in no bar yet."""
        held = self._bars.held()
        live = held[held["type"] == "live"]
        last = {
            (source, symbol): int(time.value // 1_000_000)
            for source, symbol, time in zip(live["source"], live["symbol"], live["last"].dt.as_unit("ns"), strict=True)
        }
        firsts = []
        for source, symbol in self._ticks.streams():
            since = last[source, symbol] + MINUTE_MS if (source, symbol) in last else 0
            firsts.append(self._ticks.first_id_from(source, symbol, since))
        newer = [identity for identity in firsts if identity is not None]
        return min(newer) - 1 if newer else self._ticks.last_id()

    def _store(self, stream: Stream, minutes: list[int]) -> int:
        source, symbol = stream
        rows = [
            row for first, after in _stretches(minutes) for row in self._ticks.between(source, symbol, first, after)
        ]
        if not rows:  # retention was faster
            return 0
        bars = m1_bars(rows, symbol_of(symbol).point)
        wanted = pd.to_datetime(minutes, unit="ms", utc=True)
        bars = bars[bars.index.isin(wanted)]
        now = pd.Timestamp(minutes[-1] + MINUTE_MS + GRACE_MS, unit="ms", tz="UTC")
        return self._bars.add(symbol, Timeframe.M1, source, bars, kind="live", now=now.isoformat()).new


def m1_bars(ticks: list[dict[str, Any]], point: float) -> pd.DataFrame:
    """Bars of the contract made of ticks in the order of time: bid prices, volume the number of ticks."""
    times = np.array([tick["time_ms"] for tick in ticks], dtype="int64") // MINUTE_MS * MINUTE_MS
    bid = np.array([tick["bid"] for tick in ticks], dtype="float64")
    spread = np.array([tick["ask"] for tick in ticks], dtype="float64") - bid
    firsts = np.flatnonzero(np.r_[True, times[1:] != times[:-1]])
    lasts = np.r_[firsts[1:], len(times)] - 1
    columns = {
        "open": bid[firsts],
        "high": np.maximum.reduceat(bid, firsts),
        "low": np.minimum.reduceat(bid, firsts),
        "close": bid[lasts],
        "volume": (lasts - firsts + 1).astype("float64"),
        "spread_points": np.round(np.minimum.reduceat(spread, firsts) / point, 1),
    }
    index = pd.DatetimeIndex(pd.to_datetime(times[firsts], unit="ms", utc=True), name="time")
    return pd.DataFrame(columns, index=index)


def _stretches(minutes: list[int]) -> list[tuple[int, int]]:
    """Neighbouring minutes as one range (ms)."""
    found: list[tuple[int, int]] = []
    for minute in minutes:
        if found and found[-1][1] == minute:
            found[-1] = (found[-1][0], minute + MINUTE_MS)
        else:
            found.append((minute, minute + MINUTE_MS))
    return found
