"""The patterns bar by bar, as live trading needs them: the same folds, so the same findings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from core.errors import BarsError
from market.bars import check_bars, utc_timestamp
from market.indicators import Floats, atr, floats
from market.symbols import AssetClass
from scanner.patterns.all import columns_of
from scanner.patterns.findings import Findings, joined
from scanner.patterns.fold import Columns, Fold
from scanner.patterns.levels import PeriodLevels, kinds_of, periods_of
from scanner.patterns.rows import nothing
from scanner.patterns.sessions import KILL_ZONES
from scanner.patterns.settings import PatternSettings

_PRICES = ("open", "high", "low", "close", "volume")
_HOUR = 3600  # seconds


class LivePatterns:
    """Findings of one symbol's closed bars, added as they close.

    Holds the last bars that a pattern looks back over and the findings, not the history; what a bar costs does not
    depend on how many came before it.
    """

    def __init__(self, settings: PatternSettings | None = None, asset_class: AssetClass = AssetClass.FX) -> None:
        self.settings = settings or PatternSettings()
        self.asset_class = asset_class
        self.bars = 0  # taken so far
        self.last_time: pd.Timestamp | None = None
        self._fold = Fold(self.settings)
        self._levels = [PeriodLevels(kind) for kind in kinds_of(KILL_ZONES)]
        self._reach = self.settings.reach
        self._kept = 0  # rows of the buffer that hold bars, the last of them the bar taken last
        self._buffer = np.empty((len(_PRICES), 2 * self._reach + 64))
        sealed = self._buffer.view()
        sealed.flags.writeable = False
        self._columns: Columns = tuple(sealed)  # type: ignore[assignment]  # five rows
        self._hour: int | None = None
        self._periods: list[Any] = []

    def add(  # noqa: PLR0917  # as many as a bar has
        self,
        open: float,  # noqa: A002  # the name that bars have for it
        high: float,
        low: float,
        close: float,
        volume: float = 0.0,
        time: datetime | pd.Timestamp | str | None = None,
    ) -> Findings:
        """Take the next closed bar; `time` is when it opened (UTC if naive). What it made known and what it ended.

        Raises BarsError for prices that can be no bar and for a time that is not after the last one.
        """
        values = np.array([open, high, low, close, volume], dtype="float64")
        stamp = utc_timestamp(time, "time")
        self._refuse(values, stamp)
        self._make_room()
        self._buffer[:, self._kept] = values
        self._kept += 1
        self.bars += 1
        self.last_time = stamp
        fold, at = self._fold, self._kept - 1
        before = len(fold)
        fold.take(self._columns, self.bars - self._kept, self.bars - 1, self.bars)
        parts = [_news(fold, before)]
        average = floats(fold.average.copy())
        prices = self._columns[1][at : at + 1], self._columns[2][at : at + 1], self._columns[3][at : at + 1]
        for levels, period in zip(self._levels, self._periods_at(stamp), strict=True):
            before = len(levels)
            levels.take(period, prices, average, self.bars - 1)
            parts.append(_news(levels, before))
        some = [part for part in parts if len(part)]
        return joined(some) if some else nothing()

    def extend(self, bars: pd.DataFrame) -> None:
        """Take many closed bars at once, as `add` would one by one. Raises BarsError as `market.bars` does."""
        bars = check_bars(bars)
        if not len(bars):
            return
        if self.last_time is not None and bars.index[0] <= self.last_time:
            raise BarsError(f"The bar of {bars.index[0]} is not after {self.last_time}.", "Pass only later bars.")
        new = columns_of(bars)
        old = self._buffer[:, : self._kept]
        columns: Any = tuple(floats(np.concatenate([old[row], column])) for row, column in enumerate(new))
        offset, first = self.bars - self._kept, self.bars
        self.bars += len(bars)
        averages = self._averages(columns, offset, first)
        self._fold.take(columns, offset, first, self.bars)
        self._fold.ended()
        periods = periods_of(pd.DatetimeIndex(bars.index), self.asset_class, KILL_ZONES)
        for levels, period in zip(self._levels, periods, strict=True):
            levels.take(period, (new[1], new[2], new[3]), averages, first)
            levels.ended()
        self._kept = min(self._reach, len(columns[0]))
        for row, column in enumerate(columns):
            self._buffer[row, : self._kept] = column[len(column) - self._kept :]
        self.last_time = bars.index[-1]

    def findings(self) -> Findings:
        """All findings so far: what `find_patterns` gives for the bars that were added."""
        return joined([self._fold.copied(), joined([levels.copied() for levels in self._levels])])

    def _averages(self, columns: Columns, offset: int, first: int) -> Floats:
        """The average true range at each bar from number `first` on."""
        from market import kernels

        length = self.settings.atr_length
        ranges = np.empty(len(columns[0]))
        kernels.true_range(columns[1], columns[2], columns[3], ranges)
        if first < length:  # nothing was let go of yet
            frame = pd.DataFrame({"high": columns[1], "low": columns[2], "close": columns[3]})
            return floats(atr(frame, length)[first - offset :])
        # The mean so far is the first value of a mean that goes on.
        values = np.concatenate([self._fold.average, ranges[first - offset :]])
        kernels.exponential_mean(floats(values), 1 / (1 + (1 - 1 / length) / (1 / length)), 1, values)
        return floats(values[1:])

    def _make_room(self) -> None:
        if self._kept == self._buffer.shape[1]:
            self._buffer[:, : self._reach] = self._buffer[:, self._kept - self._reach :].copy()
            self._kept = self._reach

    def _periods_at(self, stamp: pd.Timestamp) -> list[Any]:
        hour = int(stamp.timestamp() // _HOUR)
        if hour != self._hour:
            self._periods = periods_of(pd.DatetimeIndex([stamp]), self.asset_class, KILL_ZONES)
            self._hour = hour
        return self._periods

    def _refuse(self, values: Floats, stamp: pd.Timestamp) -> None:
        if self.last_time is not None and stamp <= self.last_time:
            raise BarsError(f"The bar of {stamp} is not after {self.last_time}.", "Add each bar once, in order.")
        opened, high, low, close = (float(value) for value in values[:4])
        if not (0 < low <= min(opened, close) and max(opened, close) <= high < np.inf):
            raise BarsError(
                f"The bar of {stamp}: open {opened:.10g}, high {high:.10g}, low {low:.10g} and close {close:.10g} "
                "cannot be one bar.",
                "The high must be the highest of the four and the low the lowest, above 0.",
            )


def _news(rows: Fold | PeriodLevels, before: int) -> Findings:
    ended = rows.ended()
    if len(rows) == before and not len(ended):
        return nothing()
    new = np.arange(before, len(rows))
    return rows.copied(np.concatenate([ended[ended < before], new]))
