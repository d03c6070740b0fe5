"""The strategy contract: a name, declared parameters, and a pure causal function from bars to positions.

One definition runs under backtesting.py, in sweeps and live. A strategy never sends orders; it says which
position it wants after each closed bar, and orders follow the *changes* of that wish. What it computes with
`market.indicators` is shared between the runs of a sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from core import parameters
from core.errors import InputError, SequenceError, StrategyError
from core.names import nearest
from core.parameters import Value

Values = Mapping[str, Value]
# Which positions a strategy may take, as its parameter `side` says it: the lowest and the highest.
SIDES = {"both": (-1, 1), "long only": (0, 1), "short only": (-1, 0)}
# A parameter's values are listed for sweeps; a finer grid than this is a mistake.
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Parameter(parameters.Parameter):
    """A knob of a strategy, with the steps in which it is swept."""

    step: float = 1

    def checked(self, value: Any, owner: str) -> Value:
        """`value` in the declared type; raises StrategyError with the range or the choices."""
        try:
            return super().checked(value, owner)
        except InputError as error:
            raise StrategyError(error.what, error.cure) from None

    def values_between(
        self, low: float | None = None, high: float | None = None, step: float | None = None
    ) -> tuple[Value, ...]:
        """The values a sweep tries from `low` to `high`, both included where the steps meet them.

        What is left out is taken from the declaration; text gives its choices, yes or no gives both. Raises
        StrategyError when the range is empty, endless or outside the declared one.
        """
        if isinstance(self.default, bool):
            return (False, True)
        if isinstance(self.default, str):
            return self.choices or (self.default,)
        low = self.low if low is None else low
        high = self.high if high is None else high
        step = self.step if step is None else step
        if low is None or high is None:
            raise StrategyError(f"{self.name} has no natural range.", "Say from where to where it is swept.")
        if not (step > 0 and -math.inf < low <= high < math.inf):
            raise StrategyError(
                f"{self.name} cannot be swept from {low:g} to {high:g} in steps of {step:g}.",
                "The first value must not exceed the last, and steps must be above 0.",
            )
        count = math.floor((high - low) / step * (1 + 1e-12) + 1e-9) + 1
        if count > _MOST_VALUES:
            raise StrategyError(f"{self.name} would take {count:,} values.", "Widen the step or narrow the range.")
        # Rounded to the digits that a person would write: 0.1 + 2 × 0.1 is 0.3.
        return tuple(self.checked(float(f"{low + step * at:.12g}"), "Sweep") for at in range(count))


@dataclass(frozen=True)
class Signals:
    """What a strategy wants, one entry per bar, each knowable at that bar's close.

    `position` is −1, 0 or +1. The optional distances (price units, counted from the close of the bar that
    decides) put a stop and a target on the position entered there; NaN means none.
    """

    position: np.ndarray[Any, np.dtype[np.int8]]
    stop_distance: np.ndarray[Any, np.dtype[np.float64]] | None = None
    target_distance: np.ndarray[Any, np.dtype[np.float64]] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether no bar has a stop or a target."""
        return self.stop_distance is None and self.target_distance is None


@dataclass(frozen=True)
class Strategy:
    """A trading rule.

    `rule` is one sentence for the trader, `source` where it was described, `version` is raised whenever the
    signals change. `constraint` may refuse a combination of parameters by returning why. `warm_up` is how many
    bars pass before the first that can want a position.
    """

    name: str
    title: str
    rule: str
    source: str
    version: int
    parameters: tuple[Parameter, ...]
    signals: Callable[[pd.DataFrame, Values], Signals]
    constraint: Callable[[Values], str | None] = field(default=lambda values: None)
    warm_up: Callable[[Values], int] = field(default=lambda values: 0)

    def values(self, given: Values | None = None) -> dict[str, Value]:
        """All parameters, defaults filled in and checked.

        Raises StrategyError naming an unknown parameter's nearest, a value out of range, or the constraint.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given or {}:
            if name not in known:
                meant = nearest(name, known)
                hint = f"Did you mean {meant!r}? " if meant else ""
                raise StrategyError(f"{self.name} has no parameter {name!r}.", f"{hint}It has: {', '.join(known)}.")
        values = {
            name: parameter.checked((given or {}).get(name, parameter.default), self.name)
            for name, parameter in known.items()
        }
        refusal = self.constraint(values)
        if refusal:
            raise StrategyError(f"{self.name}: {refusal}.", "Change one of them.")
        return values

    def checked_signals(self, bars: pd.DataFrame, values: Values) -> Signals:
        """The signals for `bars`, of the right length and values.

        Raises StrategyError when they are not, or when the bars end before the first possible signal.
        """
        try:
            needed = int(self.warm_up(values)) + 1
        except Exception as error:  # a user's own function may raise anything
            raise self._failure(error, "warm_up") from error
        if len(bars) < needed:
            raise StrategyError(
                f"{self.name} needs {needed:,} bars before it can say anything with these parameters; "
                f"there are {len(bars):,}.",
                "Load more bars or shorten its lengths.",
            )
        try:
            wanted = self.signals(bars, values)
        except Exception as error:  # likewise
            raise self._failure(error, "signals") from error
        if not isinstance(wanted, Signals):
            raise StrategyError(f"{self.name} returned a {type(wanted).__name__}.", "Return Signals(position).")
        index = bars.index
        self._refuse_misfit("position", wanted.position, index)
        if wanted.stop_distance is not None:
            self._refuse_misfit("stop_distance", wanted.stop_distance, index)
        if wanted.target_distance is not None:
            self._refuse_misfit("target_distance", wanted.target_distance, index)
        position = np.asarray(wanted.position)
        strange = _strange(position)
        if strange is not None:
            raise StrategyError(
                f"{self.name} wants position {position[strange]} at {index[strange]:%Y-%m-%d %H:%M} UTC.",
                "Positions are -1, 0 and 1.",
            )
        if position is wanted.position and position.dtype == np.int8 and wanted.is_plain:
            return wanted
        stop, target = _distances(wanted.stop_distance), _distances(wanted.target_distance)
        return Signals(position.astype(np.int8, copy=False), stop, target)

    def _failure(self, error: Exception, function: str) -> StrategyError:
        if isinstance(error, SequenceError):
            return StrategyError(f"{self.name}: {error.what}", error.cure)
        return StrategyError(
            f"{self.name} raised {type(error).__name__}: {error}.", f"Mend the strategy's {function} function."
        )

    def _refuse_misfit(self, name: str, given: Any, index: pd.Index) -> None:
        shape = np.shape(given)
        if shape != (len(index),):
            raise StrategyError(
                f"{self.name} returned {shape} as {name} for {len(index)} bars.", "Return one value per bar."
            )
        # A plain count as index says nothing of time; times that are not those of the bars mean a slip of rows.
        if isinstance(given, pd.Series) and isinstance(given.index, pd.DatetimeIndex) and not given.index.equals(index):
            row = int(np.argmax(given.index != index))
            raise StrategyError(
                f"{self.name} returned {name} with the index {given.index[row]!s} where the bars have {index[row]!s}.",
                "Keep the index of the bars, or return an array.",
            )


def _strange(position: np.ndarray[Any, Any]) -> int | None:
    """The first row that holds no position; small whole numbers, the usual case, are judged in compiled code."""
    if position.dtype == np.int8:
        from market import kernels  # whoever made them has paid for numba

        if kernels.are_positions(position):
            return None
    strange = ~np.isin(position, (-1, 0, 1))
    return int(np.argmax(strange)) if strange.any() else None


def _distances(given: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    return None if given is None else np.asarray(given, dtype="float64")
