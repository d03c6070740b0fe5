"""Level of detail: a long series drawn with few points that keep its extremes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd


def thin_bars(bars: pd.DataFrame, points: int) -> pd.DataFrame:
    """At most `points` candles: neighbours joined (first open, highest high, lowest low, last close).

    A joined candle carries the open time of its first bar; other columns have the value of its last.
    """
    step = max(1, math.ceil(len(bars) / points))
    groups = np.arange(len(bars)) // step
    how = dict.fromkeys(bars.columns, "last") | {"open": "first", "high": "max", "low": "min"}
    joined = bars.groupby(groups).agg(how)
    return joined.set_axis(bars.index[::step])


def stretch(times: pd.DatetimeIndex, begin: pd.Timestamp, end: pd.Timestamp, fewest: int = 10) -> slice:
    """Which of the sorted `times` lie from `begin` to `end`: at least `fewest`, around a stretch that holds less."""
    first, after = int(times.searchsorted(begin)), int(times.searchsorted(end, side="right"))
    lacking = max(0, fewest - (after - first))
    first = max(0, min(first - lacking // 2, len(times) - fewest))
    return slice(first, max(after, first + fewest))


def thin_line(series: pd.Series, points: int) -> pd.Series:
    """At most `points` values of a line: the lowest and highest of each stretch, in their order, and both ends."""
    stretches = (points - 2) // 2
    if len(series) <= points:
        return series
    values = series.to_numpy(dtype="float64", na_value=np.nan)
    edges = np.linspace(0, len(values), stretches + 1).astype(int)
    kept = {0, len(values) - 1}
    for begin, end in pairwise(edges):
        stretch = values[begin:end]
        if np.isfinite(stretch).any():
            kept.update((begin + int(np.nanargmin(stretch)), begin + int(np.nanargmax(stretch))))
    return series.iloc[sorted(kept)]


def thin_trades(trades: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` trades, evenly taken over time, the best and the worst among them."""
    if len(trades) <= most:
        return trades
    even = np.linspace(0, len(trades) - 1, most - 2).astype(int)
    return trades.iloc[sorted({*even.tolist(), int(trades["pnl"].argmax()), int(trades["pnl"].argmin())})]
