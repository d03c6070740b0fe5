"""What a user may set, declared once: a page draws its form from it, a job and a sweep check values against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InputError
from core.names import nearest

Value = int | float | str | bool


@dataclass(frozen=True)
class Parameter:
    """One knob: its type is that of `default`; numbers lie in [low, high], text is one of `choices`, if there are."""

    name: str
    default: Value
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def checked(self, value: Any, owner: str) -> Value:
        """`value` in the declared type; `owner` is whose parameter it is. Raises InputError with range or choices."""
        name = f"{owner}: {self.name}={value!r}"
        if isinstance(self.default, str):
            if self.choices and value not in self.choices:
                raise InputError(f"{name} is not offered.", f"Choose one of {', '.join(self.choices)}.")
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"{name} is no text.", f"{self.meaning}.")
            return value
        if isinstance(self.default, bool):
            if type(value).__name__ not in {"bool", "bool_"}:
                raise InputError(f"{name} is neither yes nor no.", "Give True or False.")
            return bool(value)
        return self._number(value, name)

    def _number(self, value: Any, name: str) -> Value:
        whole = isinstance(self.default, int)
        try:
            # numpy's numbers are meant too; text and yes or no are not.
            number = None if isinstance(value, (str, bytes, bool)) else float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or (whole and not number.is_integer()):
            raise InputError(f"{name} is no {'whole ' if whole else ''}number.", f"{self.meaning}.")
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not (low <= number <= high and math.isfinite(number)):
            raise InputError(f"{name} is out of range.", f"It goes from {low:g} to {high:g}.")
        return int(value) if whole else number


def checked_values(parameters: Sequence[Parameter], given: Mapping[str, Any], owner: str) -> dict[str, Value]:
    """All of `parameters`, with defaults for what is not given. Raises InputError naming an unknown one's nearest."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            meant = nearest(str(name), known)
            hint = f"Did you mean {meant!r}? " if meant else ""
            raise InputError(f"{owner} has no parameter {name!r}.", f"{hint}It has: {', '.join(known)}.")
    return {name: known[name].checked(given.get(name, known[name].default), owner) for name in known}
