"""Bollinger reversion: against a close outside the bands, out again at the middle."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.indicators import bollinger, column


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from a close below the lower band until one at or above the middle; short mirrored."""
    from market import kernels

    bands = bollinger(bars, int(values["length"]), float(values["width"]))
    position = np.empty(len(bands.middle), np.int8)
    kernels.reversion_position(column(bars, "close"), *bands, *SIDES[str(values["side"])], position)
    return Signals(position)


STRATEGY = Strategy(
    name="Bollinger_Reversion",
    title="Bollinger reversion",
    rule="Buys a close below the lower band, sells one above the upper band, leaves when the middle is back.",
    source="J. Bollinger, Bollinger on Bollinger Bands, 2001",
    version=1,
    parameters=(
        Parameter("length", 20, "Bars in the average and in the deviation", low=2, high=500),
        Parameter("width", 2.0, "Distance of the bands, in standard deviations", low=0.5, high=5, step=0.25),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    warm_up=lambda values: int(values["length"]) - 1,
)
