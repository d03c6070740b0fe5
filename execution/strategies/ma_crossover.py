"""Moving-average crossover: with the faster average, against nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.indicators import sma


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long while the fast simple average of closes stands above the slow one, short while below."""
    from market import kernels

    fast, slow = sma(bars, int(values["fast_length"])), sma(bars, int(values["slow_length"]))
    position = np.empty(len(fast), np.int8)
    kernels.cross_position(fast, slow, *SIDES[str(values["side"])], position)
    return Signals(position)


def _too_close(values: Values) -> str | None:
    fast, slow = values["fast_length"], values["slow_length"]
    return None if fast < slow else f"fast_length={fast} must be below slow_length={slow}"  # type: ignore[operator]


STRATEGY = Strategy(
    name="MA_Crossover",
    title="MA crossover",
    rule="Long while the fast moving average is above the slow one, short while it is below.",
    source="R. D. Donchian, Trend-following methods in commodity price analysis, 1957",
    version=1,
    parameters=(
        Parameter("fast_length", 48, "Bars in the fast average", low=2, high=500),
        Parameter("slow_length", 150, "Bars in the slow average", low=3, high=2000),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    constraint=_too_close,
    warm_up=lambda values: int(values["slow_length"]) - 1,
)
