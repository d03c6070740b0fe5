"""Which parameter sets a sweep tries: values listed or between bounds, every combination or a seeded draw of them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InputError, StrategyError
from core.names import nearest
from core.parameters import Value
from execution.strategy import Strategy

GRID, RANDOM = "grid", "random"
METHODS = (GRID, RANDOM)
# A sweep of more sets would say less of the strategy than of the search.
MOST_SETS = 100_000
# So many combinations are looked through for the ones that the strategy's constraint allows.
_MOST_LOOKED_THROUGH = 4_000_000
# A draw looks at so many combinations for each set it is asked for, before it gives up on the constraint.
_DRAWS_PER_SET = 50

Cells = np.ndarray[Any, np.dtype[np.int64]]
Refusal = Callable[[Mapping[str, Value]], str | None]


@dataclass(frozen=True)
class Grid:
    """The values of each swept parameter, numbers in rising order, no value twice."""

    values: Mapping[str, tuple[Value, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The swept parameters, in the order in which they were given."""
        return tuple(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each has."""
        return tuple(len(values) for values in self.values.values())

    @property
    def combinations(self) -> int:
        """How many combinations there are, those that a constraint refuses included."""
        return math.prod(self.shape)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each parameter whether its values are numbers, so that one has neighbours."""
        return tuple(
            all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
            for values in self.values.values()
        )

    def cell(self, combination: int) -> tuple[int, ...]:
        """The places of the values of a combination; the last parameter changes fastest."""
        places = []
        for size in reversed(self.shape):
            combination, place = divmod(combination, size)
            places.append(place)
        return tuple(reversed(places))

    def at(self, cell: Sequence[int]) -> dict[str, Value]:
        """The swept values of a cell."""
        return {name: values[place] for (name, values), place in zip(self.values.items(), cell, strict=True)}


@dataclass(frozen=True)
class ParameterSets:
    """The cells that are tried, a row a set, and how many were left out because the strategy refuses them."""

    grid: Grid
    cells: Cells
    refused: int

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, number: int) -> dict[str, Value]:
        return self.grid.at(self.cells[number].tolist())


def grid_of(strategy: Strategy, given: Mapping[str, Any]) -> Grid:
    """What is swept of a strategy of ours.

    Each value of `given` is a list of values, a range (low, high, step) as a tuple of three numbers, or None for the
    whole declared range. Raises StrategyError naming an unknown parameter's nearest or a value out of range.
    """
    known = {parameter.name: parameter for parameter in strategy.parameters}
    values: dict[str, tuple[Value, ...]] = {}
    for name, wanted in given.items():
        if name not in known:
            raise _unknown(strategy.name, name, list(known))
        if wanted is None:
            listed: Sequence[Any] = known[name].values_between()
        elif _is_range(wanted):
            listed = known[name].values_between(*wanted)
        else:
            listed = _listed(wanted)
        values[name] = _in_order(name, [known[name].checked(value, strategy.name) for value in listed])
    return Grid(_not_empty(values))


def grid_of_class(strategy: type, given: Mapping[str, Any]) -> Grid:
    """What is swept of a `backtesting.Strategy` subclass: its class variables, over listed values or ranges."""
    values = {}
    for name, wanted in given.items():
        if not hasattr(strategy, name):
            raise _unknown(strategy.__name__, name, [each for each in vars(strategy) if not each.startswith("_")])
        values[name] = _in_order(name, _between(name, *wanted) if _is_range(wanted) else _listed(wanted))
    return Grid(_not_empty(values))


def parameter_sets(
    grid: Grid,
    refusal: Refusal,
    *,
    method: str = GRID,
    max_sets: int | None = None,
    seed: int | None = None,
) -> ParameterSets:
    """The sets to try: all combinations, or `max_sets` different ones drawn at random with `seed`.

    What `refusal` gives a reason for is left out and counted. Raises InputError naming the count and the limit when
    there are too many, and StrategyError when none is left.
    """
    limit = MOST_SETS if max_sets is None else max_sets
    if method not in METHODS:
        raise InputError(f"method={method!r} is not offered.", f"Choose one of {', '.join(METHODS)}.")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_SETS:
        raise InputError(f"max_sets={max_sets!r} cannot be used.", f"Give a whole number from 1 to {MOST_SETS:,}.")
    if method == RANDOM and max_sets is None:
        raise InputError("A random search needs to know how many sets to draw.", "Give max_sets.")
    if method == GRID and grid.combinations > _MOST_LOOKED_THROUGH:
        raise _too_many(grid.combinations, limit)
    cells, refused, why = [], 0, ""
    for cell, values in _order(grid, method, limit, seed):
        reason = refusal(values)
        if reason:
            refused, why = refused + 1, why or reason
            continue
        cells.append(cell)
        if method == RANDOM and len(cells) == limit:
            break
    if len(cells) > limit:
        raise _too_many(len(cells), limit)
    if not cells:
        raise StrategyError(f"No set of the sweep is allowed: {why}.", "Sweep other values.")
    return ParameterSets(grid, np.array(cells, dtype=np.int64).reshape(len(cells), len(grid.names)), refused)


def _order(grid: Grid, method: str, limit: int, seed: int | None) -> Iterator[tuple[tuple[int, ...], dict[str, Value]]]:
    """Cells with their values in the order in which they are looked at."""
    if method == GRID:
        names = grid.names
        places = itertools.product(*map(range, grid.shape))
        for cell, values in zip(places, itertools.product(*grid.values.values()), strict=True):
            yield cell, dict(zip(names, values, strict=True))
        return
    chance = random.Random(seed)  # noqa: S311  # chance, not secrecy
    if grid.combinations <= _MOST_LOOKED_THROUGH:
        drawn: Iterator[int] = iter(chance.sample(range(grid.combinations), grid.combinations))
    else:
        drawn = _different(grid.combinations, _DRAWS_PER_SET * limit, chance)
    for combination in drawn:
        cell = grid.cell(combination)
        yield cell, grid.at(cell)


def _different(combinations: int, draws: int, chance: random.Random) -> Iterator[int]:
    seen = set()
    for _ in range(draws):
        drawn = chance.randrange(combinations)
        if drawn not in seen:
            seen.add(drawn)
            yield drawn


def _is_range(wanted: Any) -> bool:
    return isinstance(wanted, tuple) and len(wanted) == 3 and all(map(_is_number, wanted))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _listed(wanted: Any) -> list[Any]:
    if isinstance(wanted, str) or not hasattr(wanted, "__iter__"):
        return [wanted]
    return [value.item() if isinstance(value, np.generic) else value for value in wanted]


def _between(name: str, low: float, high: float, step: float) -> list[float]:
    if not (step > 0 and -math.inf < low <= high < math.inf):
        raise StrategyError(
            f"{name} cannot be swept from {low:g} to {high:g} in steps of {step:g}.",
            "The first value must not exceed the last, and steps must be above 0.",
        )
    count = math.floor((high - low) / step * (1 + 1e-12) + 1e-9) + 1
    if count > MOST_SETS:
        raise StrategyError(f"{name} would take {count:,} values.", "Widen the step or narrow the range.")
    are_whole = all(float(value).is_integer() for value in (low, step))
    values = [float(f"{low + step * at:.12g}") for at in range(count)]
    return [int(value) for value in values] if are_whole else values


def _in_order(name: str, values: list[Any]) -> tuple[Value, ...]:
    unlike = [value for value in values if not isinstance(value, (str, bool)) and not _is_number(value)]
    if unlike:
        raise StrategyError(f"{name}={unlike[0]!r} cannot be swept.", "Give numbers, texts, or True and False.")
    different = dict.fromkeys(values)
    if all(map(_is_number, different)):
        return tuple(sorted(different))
    return tuple(different)


def _not_empty(values: dict[str, tuple[Value, ...]]) -> dict[str, tuple[Value, ...]]:
    if not values:
        raise InputError("Nothing is swept.", "Name at least one parameter and its values: grid={'length': [10, 20]}.")
    for name, listed in values.items():
        if not listed:
            raise InputError(f"{name} has no value to try.", "List at least one.")
    return values


def _unknown(strategy: str, name: str, known: list[str]) -> StrategyError:
    meant = nearest(name, known)
    hint = f"Did you mean {meant!r}? " if meant else ""
    return StrategyError(f"{strategy} has no parameter {name!r}.", f"{hint}It has: {', '.join(known)}.")


def _too_many(count: int, limit: int) -> InputError:
    return InputError(
        f"The sweep would try {count:,} sets; the limit is {limit:,}.",
        f"Take wider steps, or draw some of them: method='random', max_sets={limit}.",
    )
