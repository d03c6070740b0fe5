"""MACD: with the gap between two exponential averages while it widens."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.indicators import macd


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long while the MACD line stands above its signal line, short while below."""
    from market import kernels

    found = macd(bars, int(values["fast_length"]), int(values["slow_length"]), int(values["signal_length"]))
    position = np.empty(len(found.line), np.int8)
    kernels.cross_position(found.line, found.signal, *SIDES[str(values["side"])], position)
    return Signals(position)


def _too_close(values: Values) -> str | None:
    fast, slow = int(values["fast_length"]), int(values["slow_length"])
    return None if fast < slow else f"fast_length={fast} must be below slow_length={slow}"


STRATEGY = Strategy(
    name="MACD",
    title="MACD",
    rule="Long while the MACD line is above its signal line, short while it is below.",
    source="G. Appel, The Moving Average Convergence-Divergence Method, 1979",
    version=1,
    parameters=(
        Parameter("fast_length", 12, "Bars in the fast exponential average", low=2, high=200),
        Parameter("slow_length", 26, "Bars in the slow exponential average", low=3, high=500),
        Parameter("signal_length", 9, "Bars in the average of the line between them", low=2, high=200),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    constraint=_too_close,
    warm_up=lambda values: int(values["slow_length"]) + int(values["signal_length"]) - 2,
)
