"""Longer bars made of shorter ones, along the market's own days."""

from __future__ import annotations

import pandas as pd

from core.errors import BarsError
from market.bars import RAW_COLUMNS
from market.calendar import bar_end, closed_bars, trading_day, trading_day_start
from market.symbols import AssetClass
from market.timeframes import Timeframe, infer_timeframe


def resample_bars(bars: pd.DataFrame, timeframe: Timeframe, asset_class: AssetClass = AssetClass.FX) -> pd.DataFrame:
    """`bars` of one symbol joined into complete bars of `timeframe`, stamped with their open time.

    Open is the first, high the highest, low the lowest, close the last, volume the sum; a quoted
    `spread_points` becomes the mean. FX bars of H4 and longer start at 17:00 New York. The last bar is
    left out while the rows for its end are missing, the first when its start is. Raises BarsError when
    `bars` are longer than `timeframe`.
    """
    if bars.empty:
        return bars
    source = infer_timeframe(pd.DatetimeIndex(bars.index))
    if source.minutes > timeframe.minutes:
        raise BarsError(f"{source} bars cannot be split into {timeframe}.", f"Ask for {source} or longer.")
    if source is timeframe:
        return bars
    times = pd.DatetimeIndex(bars.index)
    starts = _period_starts(times, timeframe, asset_class)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "spread_points": "mean"}
    columns = [name for name in (*RAW_COLUMNS, "spread_points") if name in bars]
    longer = bars[columns].groupby(starts).agg({name: how[name] for name in columns})
    longer.index = pd.DatetimeIndex(longer.index, name="time")
    if times[0] > longer.index[0]:
        longer = longer.iloc[1:]
    known_until = bar_end(times[-1:], source, asset_class)[0]
    return closed_bars(longer, timeframe, known_until, asset_class)


def _period_starts(times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass) -> pd.DatetimeIndex:
    if timeframe.minutes <= 60:
        return times.floor(timeframe.delta)
    days = trading_day(times, asset_class)
    if timeframe is Timeframe.H4:
        starts = trading_day_start(days, asset_class)
        return pd.DatetimeIndex(starts + (times - starts).floor(timeframe.delta))
    if timeframe is Timeframe.W1:
        days = days - pd.to_timedelta(days.day_of_week, unit="D")
    elif timeframe is Timeframe.MN1:
        first = days.to_period("M").to_timestamp()
        # An FX month begins with its first weekday.
        days = first + pd.offsets.BDay(0) if asset_class is AssetClass.FX else first
    return trading_day_start(pd.DatetimeIndex(days), asset_class)
