"""What a model is to foresee: direction, return or volatility after some bars, or which barrier is met first.

The target of a bar is made of the bars after it, measured against what is known at its close; where one of
the bars it needs is missing or still to come it is NaN, so that no sample is trained on half an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.names import unknown_name
from market.indicators import atr, floats

Floats = np.ndarray[Any, np.dtype[np.float64]]

KINDS: dict[str, str] = {
    "direction": "1 when the close is higher after the horizon, 0 when it is not",
    "return": "the simple return from this close to the one after the horizon (fraction)",
    "volatility": "the root mean square of the one-bar returns within the horizon (fraction per bar)",
    "triple_barrier": "1 or −1 when the upper or lower barrier is met first, 0 when neither is within the horizon",
}
BARRIER_ATR_BARS = 14
_CLASSES: dict[str, tuple[int, ...]] = {"direction": (0, 1), "triple_barrier": (-1, 0, 1)}


@dataclass(frozen=True)
class TargetSpec:
    """A target: its kind (one of `KINDS`), how many bars ahead it looks, and how far its barriers stand.

    `barrier_atr` counts in average true ranges of 14 bars; only the triple barrier reads it. Raises
    UnknownNameError for another kind, InputError for a horizon or distance that cannot be used.
    """

    kind: str
    horizon: int
    barrier_atr: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("target", self.kind, KINDS)
        refuse_uncountable("horizon", self.horizon, 1, "Look a whole number of bars ahead, 1 or more.")
        if not 0 < self.barrier_atr < np.inf:
            raise InputError(
                f"barrier_atr={self.barrier_atr!r} cannot be used.", "Set the barriers at 1 or 2 average true ranges."
            )

    @property
    def is_classification(self) -> bool:
        """Whether the target is one of `classes` rather than a number."""
        return self.kind in _CLASSES

    @property
    def classes(self) -> tuple[int, ...]:
        """The values it may take, ascending; empty for a number."""
        return _CLASSES.get(self.kind, ())

    @property
    def words(self) -> str:
        """`direction over 5 bars`, with the barriers where there are any."""
        barriers = f", barriers at {self.barrier_atr:g} ATR" if self.kind == "triple_barrier" else ""
        ahead = f"{self.horizon} bar{'' if self.horizon == 1 else 's'}"
        return f"{self.kind.replace('_', ' ')} over {ahead}{barriers}"


def refuse_uncountable(name: str, value: object, least: int, cure: str) -> None:
    """Raise InputError, with `cure`, when `value` is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name}={value!r} cannot be used.", cure)


def make_target(bars: pd.DataFrame, spec: TargetSpec) -> Floats:
    """The target of every bar, NaN where it is not known (yet); the last `horizon` bars never are.

    The value at row t reads the rows t + 1 to t + `horizon`, beside the close (for barriers the average true
    range) of row t. Volatility takes the returns as they come, with no mean taken off: over few bars a mean says
    little. An equal close counts as not higher.
    """
    close = floats(bars["close"])
    made = {
        "direction": lambda: _direction(close, spec.horizon),
        "return": lambda: _return(close, spec.horizon),
        "volatility": lambda: _volatility(close, spec.horizon),
        "triple_barrier": lambda: _first_barrier(bars, close, spec),
    }[spec.kind]()
    made[~np.isfinite(made)] = np.nan
    return made


def _return(close: Floats, horizon: int) -> Floats:
    out = np.full(len(close), np.nan)
    out[:-horizon] = close[horizon:] / close[:-horizon] - 1.0
    return out


def _direction(close: Floats, horizon: int) -> Floats:
    out = np.full(len(close), np.nan)
    later, now = close[horizon:], close[:-horizon]
    out[:-horizon] = np.where(np.isnan(later) | np.isnan(now), np.nan, later > now)
    return out


def _volatility(close: Floats, horizon: int) -> Floats:
    out = np.full(len(close), np.nan)
    rows = len(close) - horizon
    if rows <= 0:
        return out
    squares = (close[1:] / close[:-1] - 1.0) ** 2
    # Added up bar after bar, each row in the same order: a running sum would carry its beginning along.
    total = np.zeros(rows)
    for ahead in range(horizon):
        total += squares[ahead : ahead + rows]
    out[:rows] = np.sqrt(total / horizon)
    return out


def _first_barrier(bars: pd.DataFrame, close: Floats, spec: TargetSpec) -> Floats:
    """Which of two barriers, as far above the close as below it, the bars ahead meet first.

    A bar that opens beyond a barrier met that one. Where one bar spans both, nobody knows which came first: it
    counts as neither (0). Bars whose horizon is not over yet stay unknown although a barrier may be met
    already: those kept would be the fast ones only. Source of the method: M. López de Prado, Advances in
    Financial Machine Learning, 2018, ch. 3.
    """
    opened, high, low = (floats(bars[name]) for name in ("open", "high", "low"))
    reach = spec.barrier_atr * atr(bars, BARRIER_ATR_BARS)
    upper, lower = close + reach, close - reach
    out = np.full(len(close), np.nan)
    known = np.isfinite(upper) & (reach > 0) & _whole_ahead((opened, high, low), spec.horizon)
    out[known] = 0.0
    waiting = np.flatnonzero(known)
    for ahead in range(1, spec.horizon + 1):
        at, above, below = waiting + ahead, upper[waiting], lower[waiting]
        met_above, met_below = high[at] >= above, low[at] <= below
        opened_above, opened_below = opened[at] >= above, opened[at] <= below
        out[waiting[opened_above | (met_above & ~met_below)]] = 1.0
        out[waiting[opened_below | (met_below & ~met_above)]] = -1.0
        waiting = waiting[~(met_above | met_below | opened_above | opened_below)]
    return out


def _whole_ahead(columns: tuple[Floats, ...], horizon: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether the `horizon` rows after each are there, and none of them misses a price."""
    missing = np.logical_or.reduce([np.isnan(values) for values in columns])
    before = np.concatenate([[0], np.cumsum(missing)])
    whole = np.zeros(len(missing), dtype=bool)
    rows = len(missing) - horizon
    if rows > 0:
        first = np.arange(1, rows + 1)
        whole[:rows] = before[first + horizon] == before[first]
    return whole
