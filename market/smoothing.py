"""Averages that indicators share."""

from __future__ import annotations

import numpy as np
import pandas as pd


def wilder_mean(values: pd.Series, length: int) -> pd.Series:
    """Wilder's moving average: the mean of the first `length` values, then each moves it by 1/length of its distance.

    NaN before the first `length` values are there. MetaTrader starts its RSI the same way. Source:
    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    first = int(np.argmax(values.notna().to_numpy()))
    seed = first + length - 1
    seeded = values.astype("float64").copy()
    seeded.iloc[:seed] = np.nan
    if seed < len(values):
        seeded.iloc[seed] = values.iloc[first : seed + 1].mean()
    return seeded.ewm(alpha=1 / length, adjust=False).mean()
