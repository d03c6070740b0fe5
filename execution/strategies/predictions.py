"""Predictions: trades a column of the bars that a model, or anybody else, has filled."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.errors import StrategyError
from core.names import nearest
from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.indicators import column


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from a prediction above one threshold until it is back at the exit level, short below the other.

    The prediction in a bar's row must have been known at that bar's close. A bar without one wants nothing.
    """
    from market import kernels

    name = str(values["column"])
    if name not in bars:
        meant = nearest(name, map(str, bars.columns))
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise StrategyError(
            f"The bars have no column {name!r}.",
            f"{hint}They have: {', '.join(map(str, bars.columns))}. Join the predictions to the bars by time.",
        )
    lower, middle, upper = (float(values[level]) for level in ("short_below", "exit_level", "long_above"))
    predicted = column(bars, name)
    position = np.empty(len(predicted), np.int8)
    kernels.level_position(predicted, lower, middle, upper, 1, *SIDES[str(values["side"])], position)
    return Signals(position)


def _crossed(values: Values) -> str | None:
    lower, middle, upper = (float(values[name]) for name in ("short_below", "exit_level", "long_above"))
    if lower <= middle <= upper:
        return None
    return f"short_below={lower:g} ≤ exit_level={middle:g} ≤ long_above={upper:g} must hold"


STRATEGY = Strategy(
    name="Predictions",
    title="Predictions",
    rule="Buys while a saved prediction is high, sells while it is low, leaves when it is back at the exit level.",
    source="M. López de Prado, Advances in Financial Machine Learning, 2018, chapter 10: bets sized from predictions, "
    "here in whole positions",
    version=1,
    parameters=(
        Parameter("column", "prediction", "The column of the bars that holds the predictions"),
        Parameter("long_above", 0.55, "Above this a prediction is bought", low=-1e6, high=1e6, step=0.01),
        Parameter("short_below", 0.45, "Below this a prediction is sold", low=-1e6, high=1e6, step=0.01),
        Parameter("exit_level", 0.5, "Positions are closed when the prediction is back here", -1e6, 1e6, step=0.01),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    constraint=_crossed,
)
