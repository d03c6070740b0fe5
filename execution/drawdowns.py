"""The worst stretches under water of an equity curve: from a high, down to the trough, until the high is back."""

from __future__ import annotations

import numpy as np
import pandas as pd


def worst_drawdowns(equity: pd.Series, most: int = 5) -> pd.DataFrame:
    """The `most` deepest episodes of `equity` (money at each bar's close, aware UTC index), the deepest first.

    An episode begins at the last bar at a high (`start`), has its lowest close at `trough`, and ends at the first
    bar at or above that high again (`recovery`, NaT while it lasts). `depth_pct` is trough / high − 1 in % and
    `depth_money` trough − high, both ≤ 0. `days` (of 24 hours) run until the recovery or the end of the curve;
    `days_to_recovery` counts from the trough and is NaN without a recovery. The largest of `days` over all
    episodes is `max_drawdown_days` of `execution.metrics`, the lowest `depth_pct` its `max_drawdown`.
    """
    values = equity.to_numpy(dtype="float64")
    highs = np.flatnonzero(values >= np.maximum.accumulate(values))
    bounds = np.append(highs, len(values))
    under = np.diff(bounds) > 1  # at least one bar lies below between two highs, or after the last
    begins, ends = bounds[:-1][under], bounds[1:][under]
    # Up to the next episode's begin: what lies between is as high or higher.
    lowest = np.minimum.reduceat(values, begins) if len(begins) else np.empty(0)
    # Stable: of equally deep ones the earlier comes first.
    deepest = np.argsort(lowest / values[begins] if len(begins) else lowest, kind="stable")[: max(0, most)]
    begins, ends = begins[deepest], ends[deepest]
    bottoms = [begin + int(np.argmin(values[begin:end])) for begin, end in zip(begins, ends, strict=True)]
    troughs = np.array(bottoms, dtype="int64")
    times = pd.DatetimeIndex(equity.index)
    recovery = pd.Series(times[np.minimum(ends, len(values) - 1)]).where(ends < len(values))
    start, trough = pd.Series(times[begins]), pd.Series(times[troughs])
    day = pd.Timedelta(days=1)
    return pd.DataFrame(
        {
            "start": start,
            "trough": trough,
            "recovery": recovery,
            "depth_pct": 100 * (values[troughs] / values[begins] - 1),
            "depth_money": values[troughs] - values[begins],
            "days": (recovery.fillna(times[-1]) - start) / day,
            "days_to_trough": (trough - start) / day,
            "days_to_recovery": (recovery - trough) / day,
        }
    )
