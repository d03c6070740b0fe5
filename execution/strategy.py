"""The strategy contract: a name, declared parameters, and a pure causal function from bars to positions.

One definition runs under backtesting.py, in sweeps and live. A strategy never sends orders; it says which
position it wants after each closed bar, and orders follow the *changes* of that wish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from core.errors import StrategyError
from core.names import nearest

Value = int | float | str | bool
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Parameter:
    """One knob: its type is that of `default`; numbers lie in [low, high], text is one of `choices`."""

    name: str
    default: Value
    meaning: str
    low: float | None = None
    high: float | None = None
    step: float = 1
    choices: tuple[str, ...] = ()

    def checked(self, value: Any, strategy: str) -> Value:
        """`value` in the declared type. Raises StrategyError naming the range or the choices."""
        name = f"{strategy}: {self.name}={value!r}"
        if isinstance(self.default, str):
            if value not in self.choices:
                raise StrategyError(f"{name} is not offered.", f"Choose one of {', '.join(self.choices)}.")
            return str(value)
        if isinstance(self.default, bool):
            if not isinstance(value, (bool, np.bool_)):
                raise StrategyError(f"{name} is neither yes nor no.", "Give True or False.")
            return bool(value)
        whole = isinstance(self.default, int)
        broken = whole and isinstance(value, (float, np.floating)) and not float(value).is_integer()
        if broken or isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise StrategyError(f"{name} is no {'whole ' if whole else ''}number.", f"{self.meaning}.")
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not low <= value <= high:
            raise StrategyError(f"{name} is out of range.", f"It goes from {low:g} to {high:g}.")
        return int(value) if whole else float(value)


@dataclass(frozen=True)
class Signals:
    """What a strategy wants, one entry per bar, each knowable at that bar's close.

    `position` is −1, 0 or +1. The optional distances (price units, counted from the close of the bar that
    decides) put a stop and a target on the position entered there; NaN means none.
    """

    position: np.ndarray[Any, np.dtype[np.int8]]
    stop_distance: np.ndarray[Any, np.dtype[np.float64]] | None = None
    target_distance: np.ndarray[Any, np.dtype[np.float64]] | None = None


@dataclass(frozen=True)
class Strategy:
    """A trading rule.

    `rule` is one sentence for the trader, `source` where it was described, `version` is raised whenever the
    signals change. `constraint` may refuse a combination of parameters by returning why.
    """

    name: str
    title: str
    rule: str
    source: str
    version: int
    parameters: tuple[Parameter, ...]
    signals: Callable[[pd.DataFrame, Values], Signals]
    constraint: Callable[[Values], str | None] = field(default=lambda values: None)

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
        """The signals for `bars`, of the right length and values. Raises StrategyError when they are not."""
        try:
            wanted = self.signals(bars, values)
        except Exception as error:
            raise StrategyError(
                f"{self.name} raised {type(error).__name__}: {error}.", "Mend the strategy's signals function."
            ) from error
        if not isinstance(wanted, Signals):
            raise StrategyError(f"{self.name} returned a {type(wanted).__name__}.", "Return Signals(position).")
        position = np.asarray(wanted.position)
        stop, target = _distances(wanted.stop_distance), _distances(wanted.target_distance)
        for name, given in {"position": position, "stop_distance": stop, "target_distance": target}.items():
            if given is not None and given.shape != (len(bars),):
                raise StrategyError(
                    f"{self.name} returned {given.shape} as {name} for {len(bars)} bars.", "Return one value per bar."
                )
        strange = ~np.isin(position, (-1, 0, 1))
        if strange.any():
            row = int(np.argmax(strange))
            raise StrategyError(
                f"{self.name} wants position {position[row]} at {bars.index[row]:%Y-%m-%d %H:%M} UTC.",
                "Positions are -1, 0 and 1.",
            )
        return Signals(position.astype(np.int8), stop, target)


def _distances(given: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    return None if given is None else np.asarray(given, dtype="float64")
