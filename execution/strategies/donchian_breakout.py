"""Donchian breakout: with a close outside the range of the bars before it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.indicators import column, highest_before, lowest_before


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from a close above the entry channel until one below the exit channel; short mirrored."""
    from market import kernels

    entry, leave = int(values["entry_length"]), int(values["exit_length"])
    channels = (
        lowest_before(bars, entry),
        highest_before(bars, entry),
        lowest_before(bars, leave),
        highest_before(bars, leave),
    )
    position = np.empty(len(channels[0]), np.int8)
    kernels.channel_position(column(bars, "close"), *channels, *SIDES[str(values["side"])], position)
    return Signals(position)


def _wider(values: Values) -> str | None:
    entry, leave = int(values["entry_length"]), int(values["exit_length"])
    return None if leave <= entry else f"exit_length={leave} must not exceed entry_length={entry}"


STRATEGY = Strategy(
    name="Donchian_Breakout",
    title="Donchian breakout",
    rule="Buys a close above the highest high of the bars before it, and leaves on one below the lowest low of fewer "
    "bars; sells mirrored.",
    source="R. D. Donchian, Trend-following methods in commodity price analysis, 1957; the shorter channel to leave by "
    "is that of R. Dennis's turtles (C. Faith, Way of the Turtle, 2007)",
    version=1,
    parameters=(
        Parameter("entry_length", 55, "Bars whose range a close must leave to enter", low=2, high=2000),
        Parameter("exit_length", 20, "Bars whose range a close must leave to exit", low=1, high=2000),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    constraint=_wider,
    warm_up=lambda values: int(values["entry_length"]),
)
