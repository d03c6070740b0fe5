"""Indicators of bars as arrays of float64, one value a bar, made of that bar and earlier ones only.

Each is NaN while it warms up, cannot be written to, and comes from `market.kernels`, which are imported with the
first one asked for. While `with shared_indicators(bars):` is open, in any thread, each is computed once for
each set of arguments and kept, so that a thousand strategies on the same bars share them. Without it nothing
is kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from core.errors import BarsError, InputError
from core.names import nearest

Floats = np.ndarray[Any, np.dtype[np.float64]]
P = ParamSpec("P")
Made = TypeVar("Made")


class Macd(NamedTuple):
    """The distance of two exponential means, its own mean, and the line less that (price)."""

    line: Floats
    signal: Floats
    histogram: Floats


class Bands(NamedTuple):
    """A middle with a band below and above it (price)."""

    lower: Floats
    middle: Floats
    upper: Floats


class SharedIndicators:
    """The indicators of one frame that are kept; `computed` counts how often one was made.

    Beyond `limit_bytes` the ones kept longest are let go.
    """

    def __init__(self, bars: pd.DataFrame, limit_bytes: int) -> None:
        self.bars = bars  # held, so that no other frame can get its identity
        self.limit_bytes = limit_bytes
        self.computed = 0
        self.kept_bytes = 0
        self.users = 0
        self._kept: dict[Any, Any] = {}
        self._coming: dict[Any, Future[Any]] = {}
        self._lock = Lock()
        self.kept = self._kept.get

    def make(self, key: Any, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once however many threads ask at the same time."""
        with self._lock:
            if key in self._kept:
                made: Made = self._kept[key]
                return made
            is_first = key not in self._coming
            coming: Future[Made] = self._coming.setdefault(key, Future())
        if is_first:
            try:
                made = make()
            except BaseException as error:  # those who wait for it must hear of it, a Ctrl-C included
                coming.set_exception(error)
                with self._lock:
                    del self._coming[key]
            else:
                coming.set_result(made)
                with self._lock:
                    self._keep(key, made)
                    del self._coming[key]
        return coming.result()

    def _keep(self, key: Any, made: Any) -> None:
        self.computed += 1
        self._kept[key] = made
        self.kept_bytes += _bytes(made)
        while self.kept_bytes > self.limit_bytes and len(self._kept) > 1:
            self.kept_bytes -= _bytes(self._kept.pop(next(iter(self._kept))))


_open: dict[int, SharedIndicators] = {}
_opening = Lock()


@contextmanager
def shared_indicators(bars: pd.DataFrame, limit_mib: float = 512) -> Iterator[SharedIndicators]:
    """Keep every indicator that is asked of this very frame while open, up to `limit_mib` of memory.

    The frame must not be changed meanwhile. Opened twice for one frame, both share; the first one's limit holds.
    """
    with _opening:
        shared = _open.setdefault(id(bars), SharedIndicators(bars, int(limit_mib * 2**20)))
        shared.users += 1
    try:
        yield shared
    finally:
        with _opening:
            shared.users -= 1
            if not shared.users:
                del _open[id(bars)]


def indicator(
    make: Callable[Concatenate[pd.DataFrame, P], Made],
) -> Callable[Concatenate[pd.DataFrame, P], Made]:
    """`make` with its arrays sealed, and shared where `shared_indicators` is open; its arguments must be hashable."""
    parameters = list(inspect.signature(make).parameters.values())[1:]
    defaults = tuple(each.default for each in parameters)
    places = {each.name: place for place, each in enumerate(parameters)}

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        full = [make, *args, *defaults[len(args) :]]
        for name, value in kwargs.items():
            if places.get(name, -1) < len(args):
                raise TypeError(f"{make.__name__}() takes no {name!r} here.")
            full[places[name] + 1] = value
        return tuple(full)

    @wraps(make)
    def asked(bars: pd.DataFrame, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        shared = _open.get(id(bars))
        if shared is None:
            return _sealed(make(bars, *args, **kwargs))
        key = key_of(args, kwargs) if kwargs else (make, *args, *defaults[len(args) :])
        made: Made | None = shared.kept(key)
        if made is not None:
            return made
        return shared.make(key, lambda: _sealed(make(bars, *args, **kwargs)))

    return asked


@indicator
def column(bars: pd.DataFrame, name: str) -> Floats:
    """A column of the bars as it stands. Raises BarsError naming the columns there are."""
    if name not in bars:
        meant = nearest(name, map(str, bars.columns))
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise BarsError(f"The bars have no column {name!r}.", f"{hint}They have: {', '.join(map(str, bars.columns))}.")
    if not pd.api.types.is_numeric_dtype(bars[name].dtype):
        raise BarsError(f"The column {name!r} holds {bars[name].dtype}, no numbers.", "Use a column of numbers.")
    return floats(bars[name])


@indicator
def sma(bars: pd.DataFrame, length: int, column: str = "close") -> Floats:
    """Simple moving average: the mean of the last `length` values."""
    return _run("rolling_mean", _column(bars, column), _checked(length))


@indicator
def ema(bars: pd.DataFrame, length: int, column: str = "close") -> Floats:
    """Exponential moving average that moves by 2 / (`length` + 1) of the distance, from the first value on.

    Source: R. G. Brown, Smoothing, Forecasting and Prediction of Discrete Time Series, 1963.
    """
    return _exponential(_column(bars, column), _checked(length))


@indicator
def deviation(bars: pd.DataFrame, length: int, column: str = "close", ddof: int = 0) -> Floats:
    """Standard deviation of the last `length` values, divided by `length` − `ddof`."""
    return _run("rolling_deviation", _column(bars, column), _checked(length, least=ddof + 1), ddof)


@indicator
def rsi(bars: pd.DataFrame, length: int, column: str = "close") -> Floats:
    """Relative strength index, 0 to 100, with Wilder's smoothing; 100 without any loss, 50 without any change.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    from market import kernels

    values = _column(bars, column)
    gain, loss = (wilder(_run("moves", values, sign), _checked(length)) for sign in (1.0, -1.0))
    kernels.strength_index(gain, loss, gain)
    return gain


@indicator
def macd(bars: pd.DataFrame, fast: int, slow: int, signal: int, column: str = "close") -> Macd:
    """Moving average convergence-divergence: exponential means of `fast` less `slow` bars, and that one's of `signal`.

    Source: G. Appel, The Moving Average Convergence-Divergence Method, 1979.
    """
    line = ema(bars, fast, column) - ema(bars, slow, column)
    smoothed = _exponential(floats(line), _checked(signal))
    return Macd(line, smoothed, line - smoothed)


@indicator
def bollinger(bars: pd.DataFrame, length: int, width: float, column: str = "close") -> Bands:
    """The mean of `length` values and the bands `width` standard deviations (ddof 0) below and above it.

    Source: J. Bollinger, Bollinger on Bollinger Bands, 2001.
    """
    middle = sma(bars, length, column)
    reach = width * deviation(bars, length, column)
    return Bands(middle - reach, middle, middle + reach)


@indicator
def atr(bars: pd.DataFrame, length: int) -> Floats:
    """Average true range (price), with Wilder's smoothing.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    from market import kernels

    ranges = np.empty(len(bars))
    kernels.true_range(_column(bars, "high"), _column(bars, "low"), _column(bars, "close"), ranges)
    return wilder(ranges, _checked(length))


@indicator
def highest(bars: pd.DataFrame, length: int, column: str = "high") -> Floats:
    """Highest of the last `length` values, the bar's own **included**. A Donchian channel's upper edge."""
    return _run("rolling_extreme", _column(bars, column), _checked(length), 1.0)


@indicator
def lowest(bars: pd.DataFrame, length: int, column: str = "low") -> Floats:
    """Lowest of the last `length` values, the bar's own **included**."""
    return _run("rolling_extreme", _column(bars, column), _checked(length), -1.0)


@indicator
def highest_before(bars: pd.DataFrame, length: int, column: str = "high") -> Floats:
    """Highest of the `length` values before the bar, its own **not** included: what a breakout must exceed."""
    return _bar_before(highest(bars, length, column))


@indicator
def lowest_before(bars: pd.DataFrame, length: int, column: str = "low") -> Floats:
    """Lowest of the `length` values before the bar, its own **not** included."""
    return _bar_before(lowest(bars, length, column))


def floats(values: pd.Series | Floats) -> Floats:
    """As the kernels take it: in one piece, and not to be written to (another kind would be compiled anew)."""
    array: Floats = np.ascontiguousarray(np.asarray(values, dtype="float64")).view()
    array.flags.writeable = False
    return array


def wilder(values: Floats, length: int) -> Floats:
    """Bit for bit what market.smoothing.wilder_mean gives, in the place of `values`."""
    from market import kernels

    known = ~np.isnan(values[:64])
    if not known.any():
        known = ~np.isnan(values)
    at = (int(np.argmax(known)) if known.any() else len(values)) + length - 1
    window = values[max(0, at - length + 1) : at + 1]
    known = ~np.isnan(window)
    start = float(np.where(known, window, 0.0).sum() / known.sum()) if at < len(values) else np.nan
    values[:at] = np.nan
    values[at : at + 1] = start
    # As pandas reckons it from a centre of mass: 1 / length differs from it in the last bits.
    kernels.exponential_mean(floats(values), 1 / (1 + (1 - 1 / length) / (1 / length)), 1, values)
    return values


_column = column  # for functions whose own `column` is a name


def _run(kernel: str, values: Floats, *arguments: float) -> Floats:
    from market import kernels

    out = np.empty(len(values))
    getattr(kernels, kernel)(values, *arguments, out)
    return out


def _exponential(values: Floats, length: int) -> Floats:
    # By the centre of mass, as pandas takes a span: 2 / (length + 1) differs from it in the last bits.
    return _run("exponential_mean", values, 1 / (1 + (length - 1) / 2), length)


def _bar_before(values: Floats) -> Floats:
    out = np.empty(len(values))
    out[:1] = np.nan
    out[1:] = values[:-1]
    return out


def _checked(length: int, least: int = 1) -> int:
    if length != int(length) or length < least:
        raise InputError(f"length={length!r} cannot be used.", f"Give a whole number of at least {least} bars.")
    return int(length)


def _sealed(made: Made) -> Made:
    for array in _arrays(made):
        array.flags.writeable = False
    return made


def _bytes(made: Any) -> int:
    return sum(array.nbytes for array in _arrays(made))


def _arrays(made: Any) -> tuple[Floats, ...]:
    return made if isinstance(made, tuple) else (made,)
