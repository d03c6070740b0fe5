"""Runs held against each other: two with a winner, or any number side by side.

What compares any number takes plain values under the names of the runs: equity curves, figures, settings. The order of
the names is that of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.plain import plain
from execution.metrics import METRICS, daily_returns, enough
from execution.runs import StoredRun
from market.symbols import AssetClass

# Two days make a correlation of one or minus one whatever happened.
FEWEST_DAYS = 3
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


def rebased_equity(curves: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Equity curves over the time that all of them share, each 100 at its beginning; a column a run.

    At every time at which any of them has a bar; one that has none there keeps its last value, so that runs of
    different timeframes can be laid over each other. A run that begins without money is NaN. Raises InputError when
    there is no run, or none of the time is shared.
    """
    if not curves:
        raise InputError("There is no run to compare.", "Choose one or more.")
    begins = {name: curve.index[0] for name, curve in curves.items()}
    ends = {name: curve.index[-1] for name, curve in curves.items()}
    latest, earliest = max(begins, key=lambda name: begins[name]), min(ends, key=lambda name: ends[name])
    if begins[latest] > ends[earliest]:
        raise InputError(
            f"{earliest} ends on {ends[earliest]:%Y-%m-%d} and {latest} begins on {begins[latest]:%Y-%m-%d}: "
            "they share no time.",
            "Compare runs over the same dates.",
        )
    times = reduce(pd.Index.union, (curve.index for curve in curves.values())).rename("time")
    times = times[(times >= begins[latest]) & (times <= ends[earliest])]
    shared = {name: curve.reindex(times, method="ffill").to_numpy() for name, curve in curves.items()}
    return pd.DataFrame(
        {name: 100 * values / values[0] if values[0] > 0 else np.nan for name, values in shared.items()}, index=times
    )


def common_returns(curves: Mapping[str, pd.Series], asset_classes: Mapping[str, AssetClass]) -> pd.DataFrame:
    """Daily returns (fractions) on the trading days that all runs have; a column a run, the index is the day.

    Each run keeps the days of its own market; where a run has no return, that day is left out for all.
    """
    returns = {name: daily_returns(curve, asset_classes[name]) for name, curve in curves.items()}
    return pd.concat(returns, axis=1, join="inner").rename_axis("trading_day") if returns else pd.DataFrame()


def correlation(returns: pd.DataFrame) -> pd.DataFrame:
    """Pearson's correlation of the columns of `common_returns`; NaN for a run that never moves, and below 3 days."""
    values = returns.to_numpy(dtype="float64")
    names = list(returns.columns)
    table = np.full((len(names), len(names)), np.nan)
    moves = np.ptp(values, axis=0) > 0 if len(values) >= FEWEST_DAYS else np.zeros(len(names), dtype=bool)
    if moves.any():
        table[np.ix_(moves, moves)] = np.corrcoef(values[:, moves], rowvar=False)
    return pd.DataFrame(table, index=names, columns=names)


def side_by_side(figures: Mapping[str, Mapping[str, float | None]]) -> pd.DataFrame:
    """The statistics of `METRICS`, a row each: `title`, `unit`, a column a run, `better`.

    `better` holds the names of the runs with the best value (several that tie), and none where all are equal, only
    one is known, or neither end is better. A ratio of a run with fewer than 30 trades is never the better one, and
    `shown_as_count` names the runs of which the count is to be shown in its place. Unknown is NaN.
    """
    rows = []
    for name, metric in METRICS.items():
        values = {run: _number(given.get(name)) for run, given in figures.items()}
        few = [run for run in values if metric.is_ratio and not enough(_number(figures[run].get("trades_count")))]
        eligible = {run: value for run, value in values.items() if run not in few and not math.isnan(value)}
        rows.append(
            {
                "name": name,
                "title": metric.title,
                "unit": metric.unit,
                **values,
                "better": _best(eligible, metric.higher_is_better),
                "shown_as_count": tuple(few),
            }
        )
    return pd.DataFrame(rows).set_index("name")


def differing_settings(settings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Only the settings in which the runs differ: a row a setting, a column a run.

    Nested ones are named with points (`parameters.fast`); a setting that a run does not have is None there.
    Equal numbers are equal whatever their type.
    """
    flat = {run: _flat(plain(given)) for run, given in settings.items()}
    names = list(dict.fromkeys(name for given in flat.values() for name in given))
    rows = {name: {run: given.get(name) for run, given in flat.items()} for name in names}
    differing = {name: row for name, row in rows.items() if any(value != _first(row) for value in row.values())}
    index = pd.Index(list(differing), name="setting", dtype=object)
    cells = [list(row.values()) for row in differing.values()]
    return pd.DataFrame(cells, index=index, columns=list(settings), dtype=object)


def run_settings(run: StoredRun) -> dict[str, Any]:
    """Everything that decided a stored run, for `differing_settings`."""
    return {
        "strategy": run.strategy_name,
        "strategy_version": run.strategy_version,
        "symbol": run.symbol,
        "timeframe": run.timeframe,
        "dataset": run.dataset_hash,
        "first_time": run.first_time,
        "last_time": run.last_time,
        "cash": run.cash,
        "engine": run.engine,
        **run.settings,
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _best(values: Mapping[str, float], higher_is_better: bool | None) -> tuple[str, ...]:
    if higher_is_better is None or len(set(values.values())) < 2:
        return ()
    best = max(values.values()) if higher_is_better else min(values.values())
    return tuple(run for run, value in values.items() if value == best)


def _flat(given: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        found |= (
            _flat(value, f"{within}{name}.") if isinstance(value, Mapping) and value else {f"{within}{name}": value}
        )
    return found


def _first(row: Mapping[str, Any]) -> Any:
    return next(iter(row.values()))
