"""Highs and lows of the previous day, week and session: levels that many watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from market.calendar import trading_day
from market.indicators import Floats, atr, floats
from market.symbols import AssetClass
from scanner.patterns.findings import Findings, Kind, joined
from scanner.patterns.rows import Rows
from scanner.patterns.sessions import KILL_ZONES, KillZone, day_numbers, zone_days
from scanner.patterns.settings import PatternSettings

Whole = np.ndarray[Any, np.dtype[np.int64]]
PREVIOUS = (Kind.PREVIOUS_DAY, Kind.PREVIOUS_WEEK, Kind.PREVIOUS_SESSION)
_HOUR = 3600  # seconds; no zone moves its clock by parts of one, and no period begins within one


class PeriodLevels(Rows):
    """The highs and lows of one kind of period, of the bars taken so far."""

    def __init__(self, kind: Kind, room: int = 64) -> None:
        from scanner.patterns import level_kernels

        super().__init__(level_kernels.MEMORY, max(room, 2 * level_kernels.MOST_A_BAR))
        self._advance = level_kernels.advance_levels
        self.kind = kind
        self.extremes = np.full(2, np.nan)

    def take(self, periods: Whole, prices: tuple[Floats, Floats, Floats], average: Floats, begin: int) -> None:
        """Take bars whose first is number `begin`: their periods, highs, lows, closes and average true ranges."""
        taken = 0
        while taken < len(periods):
            high, low, close = (column[taken:] for column in prices)
            taken += self._advance(
                periods[taken:],
                high,
                low,
                close,
                average[taken:],
                begin + taken,
                int(self.kind),
                self.memory,
                self.extremes,
                self.codes,
                self.places,
                self.prices,
                self.gone,
            )
            if taken < len(periods):
                self.grow()


def find_previous_levels(
    bars: pd.DataFrame,
    settings: PatternSettings | None = None,
    asset_class: AssetClass = AssetClass.FX,
    zones: Sequence[KillZone] = KILL_ZONES,
) -> Findings:
    """The high (−1) and low (+1) of each day, week and session of `zones` that is over.

    Days and weeks are those of the market (FX: 17:00 New York, the weekend belongs to Monday), sessions have their
    own clocks. A period is over when a bar of another one is there, so its levels are known at that bar's close.
    `formed` is the bar of the extreme; for a session that bar lies in its zone. A level ends when a bar trades beyond
    it, SWEPT with a close back inside and else BROKEN, or REPLACED by the next period's. The period of the first bar
    is left out, since it may have begun before, and so are periods of one bar, which is a level of its own already.
    Strength is the height of the period.
    """
    average = floats(atr(bars, (settings or PatternSettings()).atr_length))
    prices = floats(bars["high"]), floats(bars["low"]), floats(bars["close"])
    found = []
    for kind, periods in zip(
        kinds_of(zones), periods_of(pd.DatetimeIndex(bars.index), asset_class, zones), strict=True
    ):
        levels = PeriodLevels(kind)
        levels.take(periods, prices, average, 0)
        found.append(levels.handed_over())
    return joined(found)


def kinds_of(zones: Sequence[KillZone]) -> list[Kind]:
    """The kinds of the periods that `periods_of` gives."""
    return [Kind.PREVIOUS_DAY, Kind.PREVIOUS_WEEK, *[Kind.PREVIOUS_SESSION for _ in zones]]


def periods_of(times: pd.DatetimeIndex, asset_class: AssetClass, zones: Sequence[KillZone]) -> list[Whole]:
    """For each bar the number of its day, of its week, and of its day in each zone (below 0 outside of it)."""
    hours = times.as_unit("s").asi8 // _HOUR
    first = np.flatnonzero(np.diff(hours, prepend=hours[:1] - 1))
    lengths = np.diff(first, append=len(hours))
    begins = times[first]
    days = pd.DatetimeIndex(trading_day(begins, asset_class))
    # 0001-01-01 was a Monday and has the number 1.
    numbers = day_numbers(days)
    periods = [numbers, (numbers - 1) // 7, *[zone_days(begins, zone) for zone in zones]]
    return [np.repeat(period, lengths) for period in periods]
