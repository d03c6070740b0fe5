"""Averages that indicators share."""

from __future__ import annotations

import numpy as np
import pandas as pd


def wilder_mean(values: pd.Series, length: int) -> pd.Series:
    """Wilder's moving average: the mean of the first `length` values, then each moves it by 1/length of its distance.

    NaN before the first `length` values are there. MetaTrader starts its RSI the same way. Source:
    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    at, start = wilder_start(values, length)
    seeded = values.astype("float64").copy()
    seeded.iloc[:at] = np.nan
    if at < len(values):
        seeded.iloc[at] = start
    return seeded.ewm(alpha=1 / length, adjust=False).mean()


def wilder_start(values: pd.Series, length: int) -> tuple[int, float]:
    """Where Wilder's average of `values` has its first value, and that value: the mean of the first `length`.

    They are counted from the first value that is not missing. A position past the end says that there are too few.
    """
    known = values.notna().to_numpy()
    at = (int(np.argmax(known)) if known.any() else len(values)) + length - 1
    return at, float(values.iloc[at - length + 1 : at + 1].mean()) if at < len(values) else float("nan")
