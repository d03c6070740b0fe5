"""What a sweep is asked: strategy, data, terms, the grid, and what is held out, checked before anything runs."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Required, TypedDict

import numpy as np
import pandas as pd

from core.errors import BarsError, InputError, StrategyError
from core.parameters import Value
from core.plain import plain
from data.versions import DatasetVersion
from execution.asked import bar_length, bars_by_pair, closed_part, name_of, one_symbol, with_conversions, without_extras
from execution.costs import Costs, check_terms
from execution.metrics import day_ends, returns_per_year
from execution.registry import strategy_named
from execution.result import RunSettings
from execution.runs import kept_settings
from execution.strategy import Strategy
from execution.sweep_grid import GRID, RANDOM, ParameterSets, grid_of, grid_of_class, parameter_sets
from execution.sweep_store import FIGURE_COLUMNS, HELD
from market.symbols import symbol_of

BY_PLATEAU = "plateau"
RANKINGS = (BY_PLATEAU, *FIGURE_COLUMNS)
_LEAST_BARS = 2
# Columns of a sweep's table that are no parameters.
_TAKEN = {"number", "plateau", "label", "failure", *FIGURE_COLUMNS, *(HELD + name for name in FIGURE_COLUMNS)}


@dataclass(frozen=True)
class SweepPlan:
    """All that decides a sweep: strategy, closed bars, terms, the sets to try, and what is held out.

    `settings.parameters` are the values of what is not swept; `cut` is the place of the first held-out bar, the
    number of bars when none is held out.
    """

    strategy: Any
    bars: pd.DataFrame
    settings: RunSettings
    sets: ParameterSets
    cut: int
    rank_by: str
    config: Mapping[str, Any]
    conversions: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    dataset: DatasetVersion | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether the compiled engine runs it."""
        return isinstance(self.strategy, Strategy)

    @property
    def parts(self) -> list[tuple[str, int, int]]:
        """What is traded on its own: the prefix of its columns, its first bar, the bar after its last."""
        fitted = ("", 0, self.cut)
        return [fitted] if self.cut == len(self.bars) else [fitted, (HELD, self.cut, len(self.bars))]

    @cached_property
    def per_year(self) -> float:
        """Daily returns in a year of the fitted part."""
        times = pd.DatetimeIndex(self.bars.index[: self.cut])
        returns = len(day_ends(times, symbol_of(self.settings.symbol).asset_class)) - 1
        return returns_per_year(pd.Series(np.zeros(returns)), pd.Series(0.0, index=times[[0, -1]]))

    def values(self, number: int) -> dict[str, Value]:
        """All parameters of a set."""
        return {**self.settings.parameters, **self.sets[number]}

    def describe(self, number: int) -> str:
        """`MA_Crossover (fast_length=10, slow_length=50)`."""
        return f"{self.settings.strategy_name} ({words_of(self.sets[number])})"


class SweepTerms(TypedDict, total=False):
    """The terms of a sweep by name; all but `data` may be left out."""

    data: Required[pd.DataFrame | DatasetVersion]
    symbol: str
    strategy_name: str
    cash: float
    commission: Any
    spread_pips: float
    margin: float
    timeframe: str | None
    parameters: Mapping[str, Any] | None
    costs: Costs | None
    conversions: Mapping[str, pd.DataFrame | DatasetVersion] | None
    method: str
    max_sets: int | None
    seed: int | None
    rank_by: str
    held_out: float


def plan_sweep(
    strategy: Any,
    grid: Mapping[str, Any],
    *,
    data: pd.DataFrame | DatasetVersion,
    symbol: str = "",
    strategy_name: str = "",
    cash: float = 10_000,
    commission: Any = 0.0,
    spread_pips: float = 0.0,
    margin: float = 1.0,
    timeframe: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    costs: Costs | None = None,
    conversions: Mapping[str, pd.DataFrame | DatasetVersion] | None = None,
    method: str = GRID,
    max_sets: int | None = None,
    seed: int | None = None,
    rank_by: str = BY_PLATEAU,
    held_out: float = 0.3,
) -> SweepPlan:
    """The plan of a sweep, as `manager.sweep` describes its arguments.

    Raises BarsError, StrategyError or InputError naming the value and the cure.
    """
    strategy = strategy_named(strategy) if isinstance(strategy, str) else strategy
    if rank_by not in RANKINGS:
        raise InputError(f"rank_by={rank_by!r} is not offered.", f"Choose one of {', '.join(RANKINGS)}.")
    check_terms(cash, commission, spread_pips, margin)
    name = strategy_name or name_of(strategy)
    dataset = data if isinstance(data, DatasetVersion) else None
    bars, symbol = one_symbol(data.frame() if isinstance(data, DatasetVersion) else data, symbol)
    length = bar_length(timeframe, dataset, bars)
    bars, notes = closed_part(bars, length, symbol, dataset)
    if isinstance(strategy, Strategy):
        base = _base_values(strategy, grid, parameters or {})
        swept, refusal = grid_of(strategy, grid), _refusal_of(strategy, base)
    else:
        base = dict(parameters or {})
        swept, refusal = grid_of_class(strategy, grid), lambda values: None
        _refuse_unless_importable(strategy)
        if costs is not None:
            notes, costs = (*notes, *without_extras(costs)), None
    _refuse_clash(name, grid, base if not isinstance(strategy, Strategy) else (parameters or {}))
    if method == RANDOM and seed is None:
        seed = random.SystemRandom().randrange(2**31)  # told, so that the draw can be had again
    sets = parameter_sets(swept, refusal, method=method, max_sets=max_sets, seed=seed)
    settings = RunSettings(
        strategy_name=name,
        symbol=symbol,
        timeframe=length,
        cash=cash,
        commission=commission,
        spread_pips=spread_pips,
        margin=margin,
        parameters={key: value for key, value in base.items() if key not in swept.values},
        strategy_version=strategy.version if isinstance(strategy, Strategy) else None,
        costs=costs,
    )
    series = bars_by_pair(conversions)
    if isinstance(strategy, Strategy):
        settings = _settled(bars, strategy, settings, series)
    asked = {
        "grid": {key: list(values) for key, values in swept.values.items()},
        "method": method,
        "max_sets": max_sets,
        "seed": seed if method == RANDOM else None,
        "rank_by": rank_by,
        "held_out": held_out,
        "cash": cash,
        **kept_settings(settings),
        "notes": list(notes),
    }
    return SweepPlan(
        strategy, bars, settings, sets, cut_of(bars, held_out), rank_by, plain(asked), series, dataset, notes
    )


def _base_values(strategy: Strategy, grid: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Value]:
    """The values of what is not swept. The constraint is asked of whole sets only."""
    known = {parameter.name: parameter for parameter in strategy.parameters}
    for name in given:
        if name not in known:
            strategy.values({name: given[name]})  # raises, naming the nearest
    return {
        name: parameter.checked(given.get(name, parameter.default), strategy.name)
        for name, parameter in known.items()
        if name not in grid
    }


def _refusal_of(strategy: Strategy, base: Mapping[str, Value]) -> Any:
    def refusal(swept: Mapping[str, Value]) -> str | None:
        try:
            return strategy.constraint({**base, **swept})
        except Exception as error:  # a user's own function may raise anything
            raise StrategyError(
                f"{strategy.name} raised {type(error).__name__}: {error}.", "Mend the strategy's constraint function."
            ) from error

    return refusal


def _settled(
    bars: pd.DataFrame, strategy: Strategy, settings: RunSettings, series: Mapping[str, pd.DataFrame]
) -> RunSettings:
    """The settings with the conversions that are used; what the engine cannot run is refused before anything is."""
    from execution.engine import why_not_compiled

    reason = why_not_compiled(strategy, settings)
    if reason:
        raise InputError(reason, "Give the commission as a fraction, a pair (money, fraction), or by Costs.")
    if settings.costs is None:
        return settings
    return with_conversions(bars, settings, series)


def _refuse_clash(strategy: str, grid: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    both = [name for name in fixed if name in grid]
    if both:
        raise InputError(f"{both[0]} is swept and fixed at {fixed[both[0]]!r}.", "Leave it out of one of the two.")
    taken = [name for name in grid if name in _TAKEN]
    if taken:
        raise StrategyError(
            f"{strategy}: the parameter {taken[0]!r} has the name of a column of results.",
            "Rename it in the strategy to sweep it.",
        )


def _refuse_unless_importable(strategy: type) -> None:
    """Other processes find a class by its module and name."""
    module = sys.modules.get(strategy.__module__)
    found: Any = module
    for part in strategy.__qualname__.split("."):
        found = getattr(found, part, None)
    if strategy.__module__ == "__main__" or found is not strategy:
        raise StrategyError(
            f"{strategy.__qualname__} of {strategy.__module__} cannot be imported by the processes that sweep it.",
            "Put the class at the top level of a module file of its own and import it from there.",
        )


def cut_of(bars: pd.DataFrame, held_out: float) -> int:
    """The place of the first held-out bar. Raises InputError for a share outside 0–0.9, BarsError for too few bars."""
    if isinstance(held_out, bool) or not isinstance(held_out, (int, float)) or not 0 <= held_out <= 0.9:
        raise InputError(
            f"held_out={held_out!r} cannot be used.", "Give a share of the bars from 0 to 0.9, such as 0.3."
        )
    cut = len(bars) - math.floor(len(bars) * held_out)
    if cut < _LEAST_BARS or 0 < len(bars) - cut < _LEAST_BARS:
        raise BarsError(
            f"Of {len(bars)} bars {held_out:g} cannot be held out: both parts need at least {_LEAST_BARS}.",
            "Load more bars, or hold out another share.",
        )
    return cut


def words_of(values: Mapping[str, Value]) -> str:
    """`fast_length=10, slow_length=50`."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
