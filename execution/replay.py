"""A run bar by bar: what its strategy knew at a bar's close, what it wanted, and what was open then.

The strategy is asked anew with the bars up to that one and no others, so that what is told of a moment could
be known at it, whatever the whole run says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.errors import InputError, StrategyError
from execution.strategy import Signals, Strategy, Values

_WISHES = {-1: "short", 0: "flat", 1: "long"}


@dataclass(frozen=True)
class Moment:
    """What stood at the close of bar `bar` (counted from 0), which opened at `time`.

    `wanted` and `wanted_before` are −1, 0 or 1; `stop_distance` and `target_distance` (price units) are NaN where
    there is none. `trade` is the open one as the table of trades has it, None when flat, and `floating_pips` what
    it was worth at the close; `columns` are the values of that bar by column, the dataset's own ones included.
    """

    bar: int
    time: pd.Timestamp
    close: float
    wanted: int
    wanted_before: int
    stop_distance: float
    target_distance: float
    trade: pd.Series | None
    floating_pips: float
    equity: float
    columns: pd.Series

    @property
    def is_change(self) -> bool:
        """Whether the strategy changed its mind at this close, which is what sends an order."""
        return self.wanted != self.wanted_before

    def sentence(self) -> str:
        """What happens next, as far as it was known at this close."""
        if not self.is_change:
            return f"It goes on wanting to be {_WISHES[self.wanted]}: no order."
        if not self.wanted:
            return "It wants to be flat: what is open is closed at the next open."
        side = "buy" if self.wanted > 0 else "sell"
        levels = [
            f"{words} {distance:.5g} from the close"
            for words, distance in (("stop", self.stop_distance), ("target", self.target_distance))
            if math.isfinite(distance)
        ]
        with_levels = f", {' and '.join(levels)}" if levels else ""
        return f"It wants to be {_WISHES[self.wanted]}: an order to {side} at the next open{with_levels}."


def moment(
    strategy: Strategy,
    bars: pd.DataFrame,
    values: Values,
    bar: int,
    *,
    trades: pd.DataFrame,
    equity: pd.Series,
    pip: float,
) -> Moment:
    """The moment of the close of `bars.iloc[bar]`.

    `trades` and `equity` are those of the run on `bars`; only what had been entered by then is told of them.
    Raises InputError for a bar that is not there, StrategyError when the strategy cannot be asked.
    """
    if not 0 <= bar < len(bars):
        raise InputError(f"There is no bar {bar + 1}.", f"The run has {len(bars)}.")
    prefix = bars.iloc[: bar + 1]
    try:
        known = strategy.checked_signals(prefix, values)
    except StrategyError:
        if bar >= strategy.warm_up(values):
            raise
        known = Signals(np.zeros(bar + 1, np.int8))  # it is still warming up and wants nothing
    close = float(prefix["close"].iloc[-1])
    held = trades[(trades["entry_bar"] <= bar) & (trades["exit_bar"] > bar)]
    trade = held.iloc[-1] if len(held) else None
    floating = math.nan
    if trade is not None:
        floating = (close - trade["entry_price"]) * (1 if trade["side"] == "long" else -1) / pip
    return Moment(
        bar=bar,
        time=pd.Timestamp(prefix.index[-1]),
        close=close,
        wanted=int(known.position[-1]),
        wanted_before=int(known.position[-2]) if bar else 0,
        stop_distance=_last(known.stop_distance),
        target_distance=_last(known.target_distance),
        trade=trade,
        floating_pips=floating,
        equity=float(equity.iloc[bar]),
        columns=prefix.iloc[-1],
    )


def changes(position: np.ndarray[tuple[int], np.dtype[np.int8]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The bars at whose close the wanted position changes, the first wish included."""
    return np.flatnonzero(np.diff(position, prepend=np.int8(0)))


def _last(distances: np.ndarray[tuple[int], np.dtype[np.float64]] | None) -> float:
    return math.nan if distances is None else float(distances[-1])
