"""RSI bands: against an overstretched move, out again at the middle."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import Parameter, Signals, Strategy, Values
from market.smoothing import wilder_mean


def rsi(close: pd.Series, length: int) -> pd.Series:
    """Relative strength index, 0 to 100, with Wilder's smoothing; NaN for the first `length` bars.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    change = close.diff()
    gain, loss = (wilder_mean(moves.clip(lower=0), length) for moves in (change, -change))
    # A stretch without any loss divides by zero: its index is 100; without any change at all it is 50.
    index = 100 - 100 / (1 + gain / loss.where(loss > 0))
    return index.where(loss > 0, np.where(gain > 0, 100.0, 50.0)).where(loss.notna())


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from a close with RSI below the lower band until RSI is back at the exit level; short mirrored."""
    strength = rsi(bars["close"], int(values["length"]))
    middle = float(values["exit_level"])
    long = _held(strength < float(values["lower"]), strength >= middle)
    short = _held(strength > float(values["upper"]), strength <= middle)
    return Signals((long - short).astype(np.int8))


def _held(begins: pd.Series, ends: pd.Series) -> np.ndarray:
    """1 from a bar that begins until the bar that ends, else 0."""
    marks = pd.Series(np.nan, index=begins.index).mask(ends, 0.0).mask(begins, 1.0)
    return marks.ffill().fillna(0.0).to_numpy()


def _crossed(values: Values) -> str | None:
    lower, middle, upper = (float(values[name]) for name in ("lower", "exit_level", "upper"))
    return None if lower < middle < upper else f"lower={lower:g} < exit_level={middle:g} < upper={upper:g} must hold"


STRATEGY = Strategy(
    name="RSI_Bands",
    title="RSI bands",
    rule="Buys when RSI falls below the lower band, sells when it rises above the upper one, leaves at the exit level.",
    source="J. W. Wilder, New Concepts in Technical Trading Systems, 1978",
    version=1,
    parameters=(
        Parameter("length", 14, "Bars in the RSI", low=2, high=200),
        Parameter("lower", 30.0, "Below this a market counts as oversold", low=1, high=99, step=1.0),
        Parameter("upper", 70.0, "Above this a market counts as overbought", low=1, high=99, step=1.0),
        Parameter("exit_level", 50.0, "Positions are closed when RSI is back here", low=1, high=99, step=1.0),
    ),
    signals=signals,
    constraint=_crossed,
)
