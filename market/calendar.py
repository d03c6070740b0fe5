"""Trading days: when a market's day ends, when a bar is closed, which bars may be read now, and which may lack.

FX days roll at 17:00 New York, summer time included; what is quoted from Friday 17:00 to Sunday 17:00
belongs to Monday, which leaves about 260 days a year instead of the 312 of a UTC calendar. Crypto
trades always and rolls at midnight UTC. Other markets roll at midnight UTC unless a vendor declares its cut.

Bars may lack where nothing is traded: over the weekend of FX, in the hour after 17:00 New York in which many
feeds pause, and around Christmas and New Year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from market.symbols import AssetClass
from market.timeframes import Timeframe

Minutes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class DayCut:
    """When a market's, or a vendor's, day ends: the full hour of the wall clock in `zone`."""

    zone: str
    hour: int
    skips_weekend: bool


# The hours of the other asset classes depend on the exchange and are not known here.
KNOWN_HOURS = (AssetClass.FX, AssetClass.CRYPTO)
# Of an FX day: brokers and exchanges pause for some minutes, metals for the hour.
_ROLLOVER_MINUTES = 60
_OPEN_MINUTES = 24 * 60 - _ROLLOVER_MINUTES
# FX is closed on these days, and most desks leave at noon of the day before.
_FX_HOLIDAYS = ((1, 1), (12, 25))
_EARLY_CLOSE_HOUR = 12
_MINUTE = 60_000_000  # microseconds
_YEARS = 1900, 2200  # those from which bars come
_MONDAY = 4  # 1970-01-05, in days since 1970-01-01

NEW_YORK_CLOSE = DayCut("America/New_York", 17, skips_weekend=True)
UTC_MIDNIGHT = DayCut("UTC", 0, skips_weekend=False)


def day_cut(asset_class: AssetClass) -> DayCut:
    """The cut at which days of an asset class end."""
    return NEW_YORK_CLOSE if asset_class is AssetClass.FX else UTC_MIDNIGHT


def day_clock(times: pd.DatetimeIndex, asset_class: AssetClass, cut: DayCut | None = None) -> pd.DatetimeIndex:
    """Aware times on the naive clock on which every day of the market begins at midnight (FX: 17:00 New York)."""
    return _day_clock(times, cut or day_cut(asset_class))


def trading_day(times: pd.DatetimeIndex, asset_class: AssetClass, cut: DayCut | None = None) -> pd.DatetimeIndex:
    """The trading day each aware time belongs to, as naive midnights (a date, not a moment)."""
    cut = cut or day_cut(asset_class)
    clock = _day_clock(times, cut)
    days = clock.normalize()
    if cut.skips_weekend:
        weekday = days.day_of_week
        days = days + pd.to_timedelta((7 - weekday) * (weekday > 4), unit="D")
    return pd.DatetimeIndex(days, name="trading_day")


def trading_day_start(days: pd.DatetimeIndex, asset_class: AssetClass, cut: DayCut | None = None) -> pd.DatetimeIndex:
    """The UTC moment at which each trading day begins: for FX 17:00 New York of the evening before."""
    return _cut_moment(days - pd.Timedelta(days=1 if (cut or day_cut(asset_class)).hour else 0), asset_class, cut)


def trading_day_end(days: pd.DatetimeIndex, asset_class: AssetClass, cut: DayCut | None = None) -> pd.DatetimeIndex:
    """The UTC moment at which each trading day ends."""
    return _cut_moment(days + pd.Timedelta(days=0 if (cut or day_cut(asset_class)).hour else 1), asset_class, cut)


def bar_end(
    opens: pd.DatetimeIndex,
    timeframe: Timeframe,
    asset_class: AssetClass = AssetClass.FX,
    cut: DayCut | None = None,
) -> pd.DatetimeIndex:
    """The UTC moment at which bars that opened at `opens` are complete.

    Below D1 that is open + length. D1, W1 and MN1 end with the last trading day they hold (an FX week on
    Friday 17:00 New York); pass `cut` for a vendor whose days end at another hour.
    """
    if timeframe.is_intraday:
        return pd.DatetimeIndex(opens + timeframe.delta)
    days = trading_day(opens, asset_class, cut)
    skips = (cut or day_cut(asset_class)).skips_weekend
    if timeframe is Timeframe.W1:
        days = days + pd.to_timedelta((4 if skips else 6) - days.day_of_week, unit="D")
    elif timeframe is Timeframe.MN1:
        days = days + (pd.offsets.BMonthEnd(0) if skips else pd.offsets.MonthEnd(0))
    return trading_day_end(pd.DatetimeIndex(days), asset_class, cut)


def closed_bars(
    bars: pd.DataFrame,
    timeframe: Timeframe,
    now: datetime | pd.Timestamp,
    asset_class: AssetClass = AssetClass.FX,
    cut: DayCut | None = None,
) -> pd.DataFrame:
    """The bars that are complete at `now` (aware): those with `now >= bar_end`.

    Backtests, the scanner and live trading all ask here, so that none reads a forming bar.
    """
    ends = bar_end(pd.DatetimeIndex(bars.index), timeframe, asset_class, cut)
    return bars[ends <= pd.Timestamp(now)]


def market_minutes(times: pd.DatetimeIndex, asset_class: AssetClass, *, holidays: bool = True) -> Minutes:
    """Minutes that a market was open up to each aware time, counted from a Monday in 1970: their differences count.

    FX is closed from Friday 17:00 to Sunday 17:00 New York, and the hour after 17:00 does not count on any
    day. Unless `holidays` is False, neither do Christmas and New Year's Day (those that are no weekend) and the
    afternoons before them, from 12:00 New York. Anything else is open always.
    """
    clock = day_clock(times, asset_class).as_unit("us").asi8 // _MINUTE
    if asset_class is not AssetClass.FX:
        return clock - _MONDAY * 1440
    days, minute = np.divmod(clock - _MONDAY * 1440, 1440)
    weeks, weekday = np.divmod(days, 7)
    today = np.where(weekday < 5, np.maximum(minute - _ROLLOVER_MINUTES, 0), 0)
    minutes: Minutes = (weeks * 5 + np.minimum(weekday, 5)) * _OPEN_MINUTES + today
    return minutes - np.interp(minutes, *_closed_minutes()).astype("int64") if holidays else minutes


def missing_bars(times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass) -> pd.DataFrame:
    """Where bars were to be expected between increasing `times` and are not there, a row for each gap.

    Indexed by `time`, when the first of them was to open; `until` the next one opens, `bars` are missing, and
    beside them `holiday_bars` that no calendar expects. What the market's pauses cut short is rounded to whole bars.
    """
    stamps = times.as_unit("us").asi8
    # Bars of a day and longer stand as far apart as the calendar has it.
    length = timeframe.minutes * _MINUTE if timeframe.is_intraday else 0
    after = np.flatnonzero(np.diff(stamps) > length)
    opens = bar_end(times[after], timeframe, asset_class)
    day_begins = trading_day_start(trading_day(opens, asset_class), asset_class)
    opens = pd.DatetimeIndex(opens.where(opens >= day_begins, day_begins), name="time")  # none opens on a weekend
    whole = _whole_bar_minutes(timeframe, asset_class)

    def count(holidays: bool) -> Minutes:
        end, begin = (market_minutes(moments, asset_class, holidays=holidays) for moments in (times[after + 1], opens))
        return np.rint((end - begin) / whole).astype("int64").clip(min=0)

    bars = count(holidays=True)
    holiday_bars = count(holidays=False) - bars
    gaps = pd.DataFrame({"until": times[after + 1], "bars": bars, "holiday_bars": holiday_bars}, index=opens)
    return gaps[(gaps["bars"] > 0) | (gaps["holiday_bars"] > 0)]


def _whole_bar_minutes(timeframe: Timeframe, asset_class: AssetClass) -> float:
    """The `market_minutes` of one bar: its length, and from D1 on that of the days it holds."""
    if timeframe.is_intraday:
        return float(timeframe.minutes)
    if asset_class is AssetClass.FX:
        return timeframe.minutes / Timeframe.D1.minutes * _OPEN_MINUTES
    days = {Timeframe.W1: 7.0, Timeframe.MN1: 365.25 / 12}.get(timeframe, 1.0)
    return days * Timeframe.D1.minutes


def fx_holidays(first: datetime, last: datetime) -> pd.DatetimeIndex:
    """The trading days between two aware moments on which FX is closed, their eves from 12:00 New York included."""
    begin, end = pd.Timestamp(first), pd.Timestamp(last)
    days = _holidays(begin.year, end.year + 1)
    return days[(trading_day_end(days, AssetClass.FX) > begin) & (_eves(days) < end)]


def _holidays(first_year: int, last_year: int) -> pd.DatetimeIndex:
    years = range(first_year, last_year + 1)
    days = pd.DatetimeIndex([pd.Timestamp(year, month, day) for year in years for month, day in _FX_HOLIDAYS])
    return days[days.day_of_week < 5]


def _eves(days: pd.DatetimeIndex) -> pd.DatetimeIndex:
    noons = days - pd.Timedelta(days=1) + pd.Timedelta(hours=_EARLY_CLOSE_HOUR)
    return pd.DatetimeIndex(noons).tz_localize(NEW_YORK_CLOSE.zone).tz_convert("UTC")


@cache
def _closed_minutes() -> tuple[Minutes, Minutes]:
    """Where holidays begin and end in the market minutes that do not know them, and how many are closed up to there."""
    days = _holidays(*_YEARS)
    begins = market_minutes(_eves(days), AssetClass.FX, holidays=False)
    ends = market_minutes(trading_day_end(days, AssetClass.FX), AssetClass.FX, holidays=False)
    closed = np.cumsum(ends - begins)
    return np.column_stack([begins, ends]).ravel(), np.column_stack([closed - (ends - begins), closed]).ravel()


def _day_clock(times: pd.DatetimeIndex, cut: DayCut) -> pd.DatetimeIndex:
    """A naive clock on which every trading day begins at midnight."""
    wall = times.tz_convert(cut.zone).tz_localize(None)
    return wall + pd.Timedelta(hours=(24 - cut.hour) % 24)


def _cut_moment(dates: pd.DatetimeIndex, asset_class: AssetClass, cut: DayCut | None) -> pd.DatetimeIndex:
    cut = cut or day_cut(asset_class)
    wall = pd.DatetimeIndex(dates) + pd.Timedelta(hours=cut.hour)
    # A cut inside the hour that spring skips or autumn repeats: take the first moment after it.
    moments = wall.tz_localize(cut.zone, nonexistent="shift_forward", ambiguous=np.zeros(len(wall), dtype=bool))
    return pd.DatetimeIndex(moments.tz_convert("UTC"), name="time")
