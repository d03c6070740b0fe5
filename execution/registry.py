"""Which strategies there are: every file in `execution/strategies/`, broken ones reported by name."""

from __future__ import annotations

import pkgutil
import sys
from dataclasses import dataclass, field
from importlib import import_module, invalidate_caches

import execution.strategies
from core.errors import StrategyError
from core.names import nearest
from execution.strategy import Strategy

# Offered before all others, and chosen where nothing else is: the one rule that every trader knows.
_LEADS = "ma_crossover"


@dataclass(frozen=True)
class Registry:
    """The strategies found, by name, and why a file gave none, by file."""

    strategies: dict[str, Strategy] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def find_strategies() -> Registry:
    """Look through the folder; a broken file is reported and takes nothing else down."""
    found = Registry()
    invalidate_caches()  # else a file dropped a moment after the last look is listed but cannot be imported
    for module in sorted(pkgutil.iter_modules(execution.strategies.__path__), key=lambda file: file.name != _LEADS):
        path = f"execution.strategies.{module.name}"
        try:
            strategy = import_module(path).STRATEGY
            if not isinstance(strategy, Strategy):
                raise TypeError(f"STRATEGY is a {type(strategy).__name__}, not a Strategy")
            if strategy.name in found.strategies:
                raise ValueError(f"the name {strategy.name} is taken by another file")
        except (Exception, SystemExit) as error:  # whatever a user's file does wrong, the others must work
            found.broken[f"{module.name}.py"] = f"{type(error).__name__}: {error}"
            sys.modules.pop(path, None)  # so that a mended file is read again
        else:
            found.strategies[strategy.name] = strategy
    return found


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises StrategyError offering the nearest, or saying why its file is broken."""
    found = find_strategies()
    if name in found.strategies:
        return found.strategies[name]
    meant = nearest(name, found.strategies)
    hint = f"Did you mean {meant!r}? " if meant else ""
    broken = "".join(f" {file} is broken ({reason})." for file, reason in found.broken.items())
    raise StrategyError(f"There is no strategy {name!r}.", f"{hint}Known: {', '.join(found.strategies)}.{broken}")
