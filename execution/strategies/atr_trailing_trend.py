"""ATR-trailing trend: with a close across its average, out when the price falls back too far from its best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.indicators import Floats, atr, column, indicator, sma


@indicator
def reach_of(bars: pd.DataFrame, length: int, multiple: float) -> Floats:
    """How far a price may fall back: `multiple` average true ranges (price)."""
    reach: Floats = multiple * atr(bars, length)
    return reach


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from a close above the average, coming from below it, until a close below the trailed stop; short mirrored.

    The stop trails bar by bar at the close, as the wanted position; the order itself carries the first stop.
    """
    from market import kernels

    reach = reach_of(bars, int(values["atr_length"]), float(values["atr_multiple"]))
    high, low, close = column(bars, "high"), column(bars, "low"), column(bars, "close")
    average = sma(bars, int(values["trend_length"]))
    position = np.empty(len(reach), np.int8)
    kernels.trailing_position(high, low, close, average, reach, *SIDES[str(values["side"])], position)
    return Signals(position, stop_distance=reach)


STRATEGY = Strategy(
    name="ATR_Trailing_Trend",
    title="ATR-trailing trend",
    rule="Goes with a close across its moving average, with a stop some average ranges away that follows the best "
    "price since and never gives way.",
    source="C. LeBeau's chandelier exit, in A. Elder, Come Into My Trading Room, 2002; average true range: J. W. "
    "Wilder, New Concepts in Technical Trading Systems, 1978",
    version=1,
    parameters=(
        Parameter("trend_length", 100, "Bars in the average that a close must cross", low=2, high=2000),
        Parameter("atr_length", 22, "Bars in the average true range", low=2, high=200),
        Parameter("atr_multiple", 3.0, "Distance of the stop, in average true ranges", low=0.5, high=20, step=0.5),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    warm_up=lambda values: max(int(values["trend_length"]), int(values["atr_length"]) - 1),
)
