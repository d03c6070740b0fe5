"""Longer bars made of shorter ones, along the market's own days."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.errors import BarsError
from market.calendar import DayCut, bar_end, closed_bars, trading_day, trading_day_start
from market.symbols import AssetClass
from market.timeframes import Timeframe, infer_timeframe

_HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "spread_points": "mean"}
# Times worked on together, so that they stay in the processor's cache between two passes.
_CACHED_ROWS = 131_072


def resample_bars(
    bars: pd.DataFrame,
    timeframe: Timeframe,
    asset_class: AssetClass = AssetClass.FX,
    source: Timeframe | None = None,
    known_until: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """`bars` of one symbol joined into complete bars of `timeframe`, stamped with their open time.

    Open is the first, high the highest, low the lowest, close the last, volume the sum; a quoted
    `spread_points` becomes the mean. FX bars of H4 and longer start at 17:00 New York. The last bar is
    left out while the rows for its end are missing, the first when its start is; nothing is missing before
    `known_until`, where quiet minutes have no rows. `source` is the timeframe of `bars`; without it, it is read off
    their distances, which few or scattered rows mislead. Raises BarsError when `bars` are longer than `timeframe`.
    """
    if bars.empty:
        return bars
    times = pd.DatetimeIndex(bars.index)
    source = source or _source_of(times)
    if source.minutes > timeframe.minutes:
        raise BarsError(f"{source} bars cannot be split into {timeframe}.", f"Ask for {source} or longer.")
    if source is timeframe:
        return bars
    firsts = _first_rows(times, min(timeframe.minutes, 60))
    opens = period_starts(times[firsts], timeframe, asset_class)
    if timeframe.minutes > 60:
        # A period begins on a full hour, so whole hours belong to it.
        begins = np.flatnonzero(np.r_[True, opens[1:] != opens[:-1]])
        firsts, opens = firsts[begins], opens[begins]
    columns = [name for name in _HOW if name in bars]
    joined = np.empty((len(columns), len(firsts)))
    for row, name in enumerate(columns):
        joined[row] = _joined(bars[name], firsts, _HOW[name])
    longer = pd.DataFrame(joined.T, index=pd.DatetimeIndex(opens, name="time"), columns=columns, copy=False)
    if times[0] > longer.index[0]:
        longer = longer.iloc[1:]
    known_until = max(known_until or times[-1], bar_end(times[-1:], source, asset_class)[0])
    # Bars end in their order, so the last ones alone may be open.
    last = longer.iloc[-3:]
    return longer.iloc[: len(longer) - len(last) + len(closed_bars(last, timeframe, known_until, asset_class))]


def period_starts(
    times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass, cut: DayCut | None = None
) -> pd.DatetimeIndex:
    """The open of the bar of `timeframe` to which each aware time belongs; days end at `cut` where a vendor's do."""
    if timeframe.minutes <= 60:
        return times.floor(timeframe.delta)
    days = trading_day(times, asset_class, cut)
    if timeframe is Timeframe.H4:
        starts = trading_day_start(days, asset_class, cut)
        return pd.DatetimeIndex(starts + (times - starts).floor(timeframe.delta))
    if timeframe is Timeframe.W1:
        days = days - pd.to_timedelta(days.day_of_week, unit="D")
    elif timeframe is Timeframe.MN1:
        first = days.to_period("M").to_timestamp()
        # A month that knows no weekend begins with its first weekday.
        skips = cut.skips_weekend if cut else asset_class is AssetClass.FX
        days = first + pd.offsets.BDay(0) if skips else first
    return trading_day_start(pd.DatetimeIndex(days), asset_class, cut)


def _source_of(times: pd.DatetimeIndex) -> Timeframe:
    """What `infer_timeframe` says, without a look at every distance where the whole span already decides."""
    # Half of the distances are the middle one or more, so their sum is at least half of them times that.
    halves = len(times) // 2
    if halves and (times[-1] - times[0]) < 4 * Timeframe.M1.delta * halves:
        return Timeframe.M1
    return infer_timeframe(times)


def _first_rows(times: pd.DatetimeIndex, minutes: int) -> np.ndarray:
    """The positions at which a new stretch of so many minutes, counted from the epoch, begins."""
    stamps = times.asi8
    step = int(np.timedelta64(minutes, "m") / np.timedelta64(1, times.unit))
    found, before = [], stamps[0] // step - 1
    for row in range(0, len(stamps), _CACHED_ROWS):
        stretches = stamps[row : row + _CACHED_ROWS] // step
        begins = np.empty(len(stretches), dtype=bool)
        begins[0] = stretches[0] != before
        np.not_equal(stretches[1:], stretches[:-1], out=begins[1:])
        found.append(np.flatnonzero(begins) + row)
        before = stretches[-1]
    return np.concatenate(found)


def _joined(column: pd.Series, firsts: np.ndarray, how: str) -> np.ndarray:
    """One figure for each run of rows that begins at `firsts`, to the last bit what pandas' groupby gives."""
    values = column.to_numpy(dtype="float64")
    joined: np.ndarray
    match how:
        case "first":
            joined = values[firsts]
        case "last":
            joined = values[np.r_[firsts[1:], len(values)] - 1]
        case "max":
            joined = np.maximum.reduceat(values, firsts)
        case "min":
            joined = np.minimum.reduceat(values, firsts)
        case "sum":
            joined = np.add.reduceat(values, firsts)
        case _:
            joined = np.add.reduceat(values, firsts) / _lengths(firsts, len(values))
    # A missing value that matters shows in what was joined; pandas passes over it.
    if np.isnan(joined).any():
        runs = np.repeat(np.arange(len(firsts)), _lengths(firsts, len(values)))
        joined = column.groupby(runs).agg(how).to_numpy()
    return joined


def _lengths(firsts: np.ndarray, rows: int) -> np.ndarray:
    return np.diff(firsts, append=rows)
