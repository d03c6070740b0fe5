"""Features of bars, by group. Every value of a bar is made of that bar and earlier ones only.

Prices are read from the raw columns (or their fills); arrays go to the kernels of `market.kernels`,
which are imported with the first feature asked for. A feature that reaches over n bars is empty in the
first of them, and wherever one of the n is missing; averages after Wilder and exponential ones carry on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from data import time_features
from market.bars import RAW_COLUMNS
from market.indicators import floats, wilder
from market.symbols import AssetClass

Floats = np.ndarray[Any, np.dtype[np.float64]]

# What `engineer_features` alone asks for: the columns of the first version, in their order.
STANDARD = ("return_1", "sma_10", "sma_20", "sma_50", "volatility_20", "atr_14")
# Group → its columns. `lags` and `news` are made in data.preprocessing: of other columns, and of what is joined.
GROUPS: dict[str, tuple[str, ...]] = {
    "returns": ("return_1", "return_5", "return_20", "log_return_1"),
    "averages": ("sma_10", "sma_20", "sma_50", "ema_20", "ema_50"),
    "volatility": ("volatility_20",),
    "atr": ("atr_14",),
    "rsi": ("rsi_14",),
    "macd": ("macd", "macd_signal", "macd_histogram"),
    "bollinger": ("bollinger_position", "bollinger_width"),
    "range": ("high_distance_20", "low_distance_20"),
    "candle": ("candle_body", "candle_upper_shadow", "candle_lower_shadow", "candle_range"),
    "session": tuple(f"session_{name}" for name in time_features.SESSIONS),
    "calendar": ("weekday", "hour_sin", "hour_cos", "month_end"),
    "lags": (),
    "news": (),
}
# Kernels run without Python's lock: columns of many rows are made side by side.
_THREADS = min(4, os.cpu_count() or 1)
_ROWS_FOR_THREADS = 200_000
FEATURES = tuple(dict.fromkeys(name for columns in GROUPS.values() for name in columns))


def columns_of(groups: Sequence[str]) -> list[str]:
    """The columns of some groups, each once, in the order of `GROUPS`."""
    return [name for name in FEATURES if any(name in GROUPS[group] for group in groups)]


def engineered_features(
    bars: pd.DataFrame, columns: Sequence[str] = STANDARD, asset_class: AssetClass = AssetClass.FX
) -> pd.DataFrame:
    """The features `columns` (names of `FEATURES`) of the bars of one symbol, on their index.

    `return_n` is the simple return over n bars, `sma_n` and `ema_n` the plain and the exponential mean of n
    closes (price), `volatility_20` the standard deviation (ddof 1) of the last 20 returns per bar. `atr_14` (price)
    and `rsi_14` (0 to 100) are smoothed as J. W. Wilder does (New Concepts in Technical Trading Systems, 1978).
    MACD (price) is G. Appel's: exponential means of 12, 26 and 9 (The Moving Average Convergence-Divergence
    Method, 1979). `bollinger_position` is J. Bollinger's %b over 20 bars and 2 deviations of ddof 0, and
    `bollinger_width` the distance of the bands over their middle (Bollinger on Bollinger Bands, 2001).
    `high_distance_20` and `low_distance_20` are the close over the highest high and the lowest low of 20 bars,
    less 1 (R. Donchian's channel). Candle shapes are shares of high − low.

    Raises KeyError for a name that is no feature.
    """
    if not columns:
        return pd.DataFrame(index=bars.index)
    sheet = _Sheet(bars, asset_class)
    with ThreadPoolExecutor(_THREADS if len(bars) >= _ROWS_FOR_THREADS else 1) as pool:
        made = dict(zip(columns, pool.map(sheet.feature, columns), strict=True))
    return pd.DataFrame(made, index=bars.index, copy=False)


def lagged(values: Floats, bars: int) -> Floats:
    """`values` as they were so many bars before."""
    out = np.empty(len(values))
    out[:bars] = np.nan
    out[bars:] = values[: max(0, len(values) - bars)]
    return out


class _Sheet:
    """The bars of one symbol as arrays, and every column made of them so far."""

    def __init__(self, bars: pd.DataFrame, asset_class: AssetClass) -> None:
        from market import kernels

        self.kernels = kernels
        self.times = pd.DatetimeIndex(bars.index)
        self.asset_class = asset_class
        self._raw = {name: floats(bars[name]) for name in RAW_COLUMNS if name in bars}
        self._features: dict[str, Future[Floats]] = {}
        self._entering = Lock()

    def feature(self, name: str) -> Floats:
        """The feature of that name, made once, whoever asks first; the array is the caller's to keep."""
        with self._entering:
            is_first = name not in self._features
            made = self._features.setdefault(name, Future())
        if is_first:
            try:
                made.set_result(_MAKERS[name](self))
            except BaseException as error:  # those who wait for it must hear of it, a Ctrl-C included
                made.set_exception(error)
        return made.result()

    def column(self, name: str) -> Floats:
        """A raw column, or the feature of that name, to read from."""
        return self._raw[name] if name in self._raw else floats(self.feature(name))

    def run(self, kernel: Callable[..., None], source: str, *arguments: float) -> Floats:
        """What `kernel` makes of a column."""
        values = self.column(source)
        out = np.empty(len(values))
        kernel(values, *arguments, out)
        return out

    def change(self, bars: int) -> Floats:
        return self.run(self.kernels.change, "close", bars)

    def mean(self, length: int) -> Floats:
        return self.run(self.kernels.rolling_mean, "close", length)

    def deviation(self, source: str, length: int, ddof: int) -> Floats:
        return self.run(self.kernels.rolling_deviation, source, length, ddof)

    def exponential(self, source: str, length: int) -> Floats:
        # By the centre of mass, as pandas takes a span: 2 / (length + 1) differs from it in the last bits.
        return self.run(self.kernels.exponential_mean, source, 1 / (1 + (length - 1) / 2), length)

    def average_true_range(self, length: int) -> Floats:
        ranges = np.empty(len(self.times))
        self.kernels.true_range(self.column("high"), self.column("low"), self.column("close"), ranges)
        return wilder(ranges, length)

    def strength_index(self, length: int) -> Floats:
        gain, loss = (wilder(self.run(self.kernels.moves, "close", sign), length) for sign in (1.0, -1.0))
        self.kernels.strength_index(gain, loss, gain)
        return gain

    def macd(self) -> Floats:
        out = self.exponential("close", 12)
        out -= self.exponential("close", 26)
        return out

    def band_position(self) -> Floats:
        out = np.empty(len(self.times))
        middle, deviation = self.column("sma_20"), self.column("_deviation_20")
        self.kernels.band_position(self.column("close"), middle, deviation, 2.0, out)
        return out

    def band_width(self) -> Floats:
        out: Floats = 4 * self.column("_deviation_20")
        out /= self.column("sma_20")
        return out

    def distance(self, source: str, sign: float) -> Floats:
        """The close over the highest (`sign` 1) or lowest (−1) of 20 bars, less 1."""
        out = self.run(self.kernels.rolling_extreme, source, 20, sign)
        np.divide(self.column("close"), out, out=out)
        out -= 1
        return out

    def share_of_range(self, part: Floats) -> Floats:
        """`part` over high − low, 0 in a bar without any range."""
        span = self.column("high") - self.column("low")
        return np.divide(part, span, out=np.zeros(len(part)), where=span != 0)

    def body_edge(self, edge: Callable[[Floats, Floats], Floats]) -> Floats:
        return edge(self.column("open"), self.column("close"))


_MAKERS: dict[str, Callable[[_Sheet], Floats]] = {
    "return_1": lambda sheet: sheet.change(1),
    "return_5": lambda sheet: sheet.change(5),
    "return_20": lambda sheet: sheet.change(20),
    "log_return_1": lambda sheet: sheet.run(sheet.kernels.log_change, "close"),
    "sma_10": lambda sheet: sheet.mean(10),
    "sma_20": lambda sheet: sheet.mean(20),
    "sma_50": lambda sheet: sheet.mean(50),
    "ema_20": lambda sheet: sheet.exponential("close", 20),
    "ema_50": lambda sheet: sheet.exponential("close", 50),
    "volatility_20": lambda sheet: sheet.deviation("return_1", 20, 1),
    "atr_14": lambda sheet: sheet.average_true_range(14),
    "rsi_14": lambda sheet: sheet.strength_index(14),
    "macd": lambda sheet: sheet.macd(),
    "macd_signal": lambda sheet: sheet.exponential("macd", 9),
    "macd_histogram": lambda sheet: sheet.column("macd") - sheet.column("macd_signal"),
    "_deviation_20": lambda sheet: sheet.deviation("close", 20, 0),
    "bollinger_position": lambda sheet: sheet.band_position(),
    "bollinger_width": lambda sheet: sheet.band_width(),
    "high_distance_20": lambda sheet: sheet.distance("high", 1.0),
    "low_distance_20": lambda sheet: sheet.distance("low", -1.0),
    "candle_body": lambda sheet: sheet.share_of_range(sheet.column("close") - sheet.column("open")),
    "candle_upper_shadow": lambda sheet: sheet.share_of_range(sheet.column("high") - sheet.body_edge(np.maximum)),
    "candle_lower_shadow": lambda sheet: sheet.share_of_range(sheet.body_edge(np.minimum) - sheet.column("low")),
    "candle_range": lambda sheet: (sheet.column("high") - sheet.column("low")) / sheet.column("close"),
    "session_sydney": lambda sheet: time_features.session_flag(sheet.times, "sydney"),
    "session_tokyo": lambda sheet: time_features.session_flag(sheet.times, "tokyo"),
    "session_london": lambda sheet: time_features.session_flag(sheet.times, "london"),
    "session_new_york": lambda sheet: time_features.session_flag(sheet.times, "new_york"),
    "weekday": lambda sheet: time_features.weekday(sheet.times, sheet.asset_class),
    "hour_sin": lambda sheet: time_features.hour_wave(sheet.times, sheet.asset_class, "sin"),
    "hour_cos": lambda sheet: time_features.hour_wave(sheet.times, sheet.asset_class, "cos"),
    "month_end": lambda sheet: time_features.month_end(sheet.times, sheet.asset_class),
}
