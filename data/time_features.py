"""What the clock says of a bar: which cities trade, which trading day it belongs to. All known when the bar opens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from market.calendar import day_clock, trading_day
from market.symbols import AssetClass

Floats = np.ndarray[Any, np.dtype[np.float64]]

# The business hours of the four places between which FX hands over its day, on their own clocks. FX has no
# exchange, so these are a convention: the one most trading calendars print.
SESSIONS = {
    "sydney": ("Australia/Sydney", 7, 16),
    "tokyo": ("Asia/Tokyo", 9, 18),
    "london": ("Europe/London", 8, 17),
    "new_york": ("America/New_York", 8, 17),
}
# No zone changes its clock between two quarters of an hour, so each is asked for its clock once.
_QUARTER_MINUTES = 15
_DAY_MINUTES = 1440


def session_flag(times: pd.DatetimeIndex, session: str) -> Floats:
    """1 where a bar opens in the business hours of a session of `SESSIONS`, Monday to Friday there; else 0."""
    zone, begins, ends = SESSIONS[session]
    quarters, lengths = _quarters(times)
    wall = quarters.tz_convert(zone)
    inside = (wall.day_of_week < 5) & (wall.hour >= begins) & (wall.hour < ends)
    return np.repeat(np.asarray(inside, dtype="float64"), lengths)


def weekday(times: pd.DatetimeIndex, asset_class: AssetClass) -> Floats:
    """The weekday of the trading day a bar opens in: Monday 0 … Friday 4, and up to Sunday 6 where weekends trade."""
    quarters, lengths = _quarters(times)
    return np.repeat(np.asarray(trading_day(quarters, asset_class).day_of_week, dtype="float64"), lengths)


def month_end(times: pd.DatetimeIndex, asset_class: AssetClass) -> Floats:
    """1 where a bar opens in the last trading day of a month by the calendar (holidays are not known to it), else 0."""
    quarters, lengths = _quarters(times)
    days = trading_day(quarters, asset_class)
    last = days + (pd.offsets.BMonthEnd(0) if asset_class is AssetClass.FX else pd.offsets.MonthEnd(0))
    return np.repeat(np.asarray(days == last, dtype="float64"), lengths)


def hour_wave(times: pd.DatetimeIndex, asset_class: AssetClass, wave: str) -> Floats:
    """`sin` or `cos` of the time of day at which a bar opens, one turn a trading day.

    The day of FX begins at 17:00 New York, of anything else at midnight UTC; seconds are cut off.
    """
    turn = getattr(math, wave)
    # From a table, so that equal times give equal bits wherever they stand.
    table = np.array([turn(2 * math.pi * minute / _DAY_MINUTES) for minute in range(_DAY_MINUTES)])
    quarters, lengths = _quarters(times)
    clock = day_clock(quarters, asset_class)
    begins = np.repeat(np.asarray(clock.hour * 60 + clock.minute, dtype="int64"), lengths)
    return np.asarray(table[begins + _minutes(times) % _QUARTER_MINUTES], dtype="float64")


def _minutes(times: pd.DatetimeIndex) -> np.ndarray[Any, np.dtype[np.int64]]:
    return times.as_unit("us").asi8 // 60_000_000


def _quarters(times: pd.DatetimeIndex) -> tuple[pd.DatetimeIndex, np.ndarray[Any, np.dtype[np.int64]]]:
    """The quarters of an hour met, in order, and how many bars open in a row in each."""
    numbers = _minutes(times) // _QUARTER_MINUTES
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(numbers)), dtype=bool), numbers[1:] != numbers[:-1]]))
    seconds = numbers[starts] * (_QUARTER_MINUTES * 60)
    quarters = pd.DatetimeIndex(seconds.astype("datetime64[s]")).tz_localize("UTC")
    return quarters, np.diff(starts, append=len(numbers))
