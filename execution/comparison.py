"""Two runs held against each other."""

from __future__ import annotations

import math
from typing import Any

from execution.runs import StoredRun

# Printed name → column of the run.
_COMPARED = {"return": "total_return", "sharpe_ratio": "sharpe_ratio", "max_drawdown": "max_drawdown"}


def compare_runs(first: StoredRun, second: StoredRun) -> dict[str, Any]:
    """Their names, the winner, and per figure both values and their difference (first − second).

    The winner has the higher Sharpe, then the higher return, then the smaller drawdown; an unknown figure
    loses to a known one, and where nothing decides the winner is None. Return and drawdown are in per cent.
    """
    names = _names(first, second)
    metrics = {}
    for printed, column in _COMPARED.items():
        one, two = getattr(first, column), getattr(second, column)
        delta = None if one is None or two is None else one - two
        metrics[printed] = {"strategy_1": one, "strategy_2": two, "delta": delta}
    return {"strategy_1": names[0], "strategy_2": names[1], "winner": _winner(names, metrics), "metrics": metrics}


def _names(first: StoredRun, second: StoredRun) -> tuple[str, str]:
    """The strategies' names; two runs of one strategy are told apart by their run ids."""
    if first.strategy_name != second.strategy_name:
        return first.strategy_name, second.strategy_name
    return f"{first.strategy_name} ({first.run_id})", f"{second.strategy_name} ({second.run_id})"


def _winner(names: tuple[str, str], metrics: dict[str, dict[str, float | None]]) -> str | None:
    for printed in ("sharpe_ratio", "return", "max_drawdown"):  # drawdowns are ≤ 0: the higher is the smaller one
        one, two = (_known(metrics[printed][side]) for side in ("strategy_1", "strategy_2"))
        if one != two:
            return names[0] if one > two else names[1]
    return None


def _known(value: float | None) -> float:
    return -math.inf if value is None else value
