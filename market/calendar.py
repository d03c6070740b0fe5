"""Trading days: when a market's day ends, when a bar is closed, and which bars may be read now.

FX days roll at 17:00 New York, summer time included; what is quoted from Friday 17:00 to Sunday 17:00
belongs to Monday, which leaves about 260 days a year instead of the 312 of a UTC calendar. Crypto
trades always and rolls at midnight UTC. Other markets roll at midnight UTC unless a vendor declares its cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from market.symbols import AssetClass
from market.timeframes import Timeframe


@dataclass(frozen=True)
class DayCut:
    """When a market's, or a vendor's, day ends: the full hour of the wall clock in `zone`."""

    zone: str
    hour: int
    skips_weekend: bool


NEW_YORK_CLOSE = DayCut("America/New_York", 17, skips_weekend=True)
UTC_MIDNIGHT = DayCut("UTC", 0, skips_weekend=False)


def day_cut(asset_class: AssetClass) -> DayCut:
    """The cut at which days of an asset class end."""
    return NEW_YORK_CLOSE if asset_class is AssetClass.FX else UTC_MIDNIGHT


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
