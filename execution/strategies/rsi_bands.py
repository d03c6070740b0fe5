"""RSI bands: against an overstretched move, out again at the middle."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import Parameter, Signals, Strategy, Values
from market.indicators import rsi


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from a close with RSI below the lower band until RSI is back at the exit level; short mirrored."""
    from market import kernels

    strength = rsi(bars, int(values["length"]))
    lower, middle, upper = (float(values[name]) for name in ("lower", "exit_level", "upper"))
    position = np.empty(len(strength), np.int8)
    kernels.level_position(strength, lower, middle, upper, -1, -1, 1, position)
    return Signals(position)


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
    warm_up=lambda values: int(values["length"]),
)
