"""Sweeps: many parameter sets of one strategy on the same bars, judged on one part of them, held against the rest.

sweep = manager.sweep("MA_Crossover", {"fast_length": (5, 50, 5), "slow_length": (20, 200, 20)}, data=version)
sweep.ranked.head(), sweep.importance, sweep.best_parameters
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from core.clock import utc_text
from core.errors import InputError, StrategyError
from core.plain import plain
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution import sweep_store
from execution.costs import Costs
from execution.ledger import variant_of
from execution.result import RunSettings
from execution.runs import commission_of, kept_settings
from execution.sweep_grid import Grid
from execution.sweep_parts import run_plan
from execution.sweep_plan import BY_PLATEAU, SweepPlan, words_of
from execution.sweep_results import importance, labels, plateau_scores, ranking
from execution.sweep_store import Ending, StoredSweep
from market.timeframes import parse_timeframe

_SECONDS_BETWEEN_COMMITS = 1.0

Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Sweep:
    """What was found of all sets.

    `table` has a row a set by `number`: its parameters, the figures on the fitted part, with `held_` before them
    those on the held-out part, `plateau` (the Sharpe ratio of the worst neighbour), `label`
    (`execution.sweep_results.LABELS`) and `failure`, the reason why a set could not be run.

    Figures have the names and units of `execution.metrics`. `order` are the numbers, best first. `id` is None for
    one that is not stored.
    """

    settings: RunSettings
    grid: Grid
    table: pd.DataFrame
    order: tuple[int, ...]
    refused: int
    importance: dict[str, float]
    rank_by: str
    held_out_from: pd.Timestamp | None
    notes: tuple[str, ...] = ()
    id: int | None = None

    @property
    def ranked(self) -> pd.DataFrame:
        """The table, best set first."""
        return self.table.loc[list(self.order)]

    @property
    def best(self) -> pd.Series:
        """The row of the best set."""
        return self.table.iloc[self.table["number"].tolist().index(self.order[0])]

    @property
    def best_parameters(self) -> dict[str, Any]:
        """All parameters of the best set, ready for a run."""
        swept = {name: plain(self.best[name]) for name in self.grid.names}
        return {**self.settings.parameters, **swept}

    def cells(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The places of each row's values in the grid, for maps of two parameters."""
        return _cells(self.grid, {name: self.table[name] for name in self.grid.names})


def run_sweep(plan: SweepPlan) -> Sweep:
    """Try all sets and judge them; nothing is stored."""
    return judged(plan, pd.concat(list(run_plan(plan)), ignore_index=True))


def store_sweep(
    plan: SweepPlan,
    key: int,
    tell: Tell = lambda done, words: None,
    within: sweep_store.Within = lambda connection: None,
    ended: Callable[[Any, Sweep], None] = lambda connection, sweep: None,
) -> Sweep:
    """Try the sets that sweep `key` does not have yet, keep them part by part, and end it.

    `within` is called in the transaction that keeps a part, `ended` in the one that ends the sweep; `tell` hears
    how much is done and what was best so far.
    """
    done = sweep_store.numbers_done(key)
    best = _BestSoFar(plan)
    if done:
        best.see(sweep_store.trials_of(key))
    waiting: list[pd.DataFrame] = []
    kept_at = time.monotonic()

    def keep() -> None:
        if waiting:
            part = pd.concat(waiting, ignore_index=True)
            sweep_store.add_trials(key, _with_variants(plan, part), within)
            waiting.clear()

    tell(len(done) / len(plan.sets), best.words(len(done)))
    for part in run_plan(plan, [number for number in range(len(plan.sets)) if number not in done]):
        done.update(part["number"].tolist())
        best.see(part)
        waiting.append(part)
        if time.monotonic() - kept_at > _SECONDS_BETWEEN_COMMITS:
            keep()
            kept_at = time.monotonic()
        tell(len(done) / len(plan.sets), best.words(len(done)))
    keep()
    trials = sweep_store.trials_of(key).drop(columns=["parameters", "plateau", "label"])
    sweep = replace(judged(plan, trials), id=key)
    sweep_store.end_sweep(key, _ending(plan, sweep), lambda connection: ended(connection, sweep))
    return sweep


def load_sweep(row: StoredSweep) -> Sweep:
    """A stored sweep as it stands, while it runs with what there is so far. Raises InputError before the first part."""
    trials = sweep_store.trials_of(row.id)
    if trials.empty:
        raise InputError(f"Sweep {row.id} has no trials yet.", "Wait for the first ones.")
    config = row.config
    grid = Grid({name: tuple(values) for name, values in config["grid"].items()})
    parameters = list(trials["parameters"])
    swept = {name: [values[name] for values in parameters] for name in grid.names}
    kept = trials.drop(columns=["number", "parameters", "plateau", "label"])
    columns: dict[str, Any] = {"number": trials["number"].to_numpy(), **swept}
    columns |= {str(name): kept[name].to_numpy() for name in kept}
    held_out_from = None if row.held_out_from is None else pd.Timestamp(row.held_out_from)
    settings = _settings_of(row)
    return _judged_table(
        grid,
        columns,
        settings=settings,
        refused=row.refused,
        rank_by=config["rank_by"],
        held_out_from=held_out_from,
        notes=tuple(config["notes"]),
        key=row.id,
    )


def sweep_and_store(plan: SweepPlan, tell: Tell = lambda done, words: None) -> Sweep:
    """Store a sweep as a whole: entered, tried part by part, and ended. A bare frame becomes a dataset version first.

    One that fails or is stopped midway stays, with the trials it has, as `failed`.
    """
    key = enter_sweep_of(plan)
    try:
        return store_sweep(plan, key, tell)
    except BaseException:
        sweep_store.fail_sweep(key)
        raise


def enter_sweep_of(
    plan: SweepPlan, job_id: int | None = None, within: Callable[[Any, int], None] = lambda connection, key: None
) -> int:
    """Enter the row of a sweep that begins, while its dataset cannot be deleted; its key."""
    settings = plan.settings
    version = plan.dataset or controller.enter_bars(plan.bars, settings.symbol, str(settings.timeframe))
    with controller.hold(version) as held:
        return sweep_store.begin_sweep(row_of(plan, held, job_id), within)


def row_of(plan: SweepPlan, dataset: DatasetVersion, job_id: int | None = None) -> dict[str, Any]:
    """What `optimization_runs` keeps of a plan before it begins."""
    from execution import engine, library_engine

    settings = plan.settings
    names = engine.engine_name() if plan.is_own else library_engine.engine_name()
    return {
        "optimization_type": f"{plan.config['method']}_search",
        "strategy_name": settings.strategy_name,
        "strategy_version": settings.strategy_version,
        "symbol": settings.symbol,
        "timeframe": str(settings.timeframe),
        "dataset_version_id": dataset.id,
        "dataset_hash": dataset.content_hash,
        "bars": len(plan.bars),
        "held_out_from": utc_text(plan.bars.index[plan.cut]) if plan.cut < len(plan.bars) else None,
        "sets": len(plan.sets),
        "refused": plan.sets.refused,
        "config": plain(plan.config),
        "engine": names,
        "job_id": job_id,
    }


def judged(plan: SweepPlan, trials: pd.DataFrame) -> Sweep:
    """All trials with what follows from them together. Raises StrategyError when not a single set could be run."""
    if not trials["number"].is_monotonic_increasing:
        trials = trials.sort_values("number", ignore_index=True)
    if trials["failure"].notna().all():
        raise StrategyError(
            f"None of the {len(trials):,} sets could be run. The first: {trials['failure'].iloc[0]}",
            "Correct the strategy or sweep other values.",
        )
    numbers = trials["number"].to_numpy()
    cells = plan.sets.cells[numbers]
    swept = {
        name: [values[place] for place in cells[:, axis].tolist()]
        for axis, (name, values) in enumerate(plan.sets.grid.values.items())
    }
    columns: dict[str, Any] = {"number": numbers, **swept}
    columns |= {str(name): trials[name].to_numpy() for name in trials if name != "number"}
    held_out_from = pd.Timestamp(plan.bars.index[plan.cut]) if plan.cut < len(plan.bars) else None
    return _judged_table(
        plan.sets.grid,
        columns,
        settings=plan.settings,
        refused=plan.sets.refused,
        rank_by=plan.rank_by,
        held_out_from=held_out_from,
        notes=plan.notes,
        cells=cells,
    )


def _judged_table(
    grid: Grid,
    columns: Mapping[str, Any],
    *,
    settings: RunSettings,
    refused: int,
    rank_by: str,
    held_out_from: pd.Timestamp | None,
    notes: tuple[str, ...],
    key: int | None = None,
    cells: np.ndarray[Any, np.dtype[np.int64]] | None = None,
) -> Sweep:
    cells = _cells(grid, columns) if cells is None else cells
    numbers = columns["number"]
    sharpe = np.asarray(columns["sharpe_ratio"], dtype="float64")
    scores = plateau_scores(grid, cells, sharpe)
    failure = pd.Series(columns["failure"], index=numbers, dtype="object")
    has_failed = failure.notna().to_numpy()
    label = pd.Series(labels(sharpe, scores), index=numbers, dtype="object").mask(has_failed, None)
    table = pd.DataFrame({**columns, "failure": failure, "plateau": scores, "label": label}, index=numbers)
    if rank_by == BY_PLATEAU:
        places = ranking(scores, sharpe)
    else:
        places = ranking(np.asarray(columns[rank_by], dtype="float64"), sharpe)
    tried = ~has_failed
    return Sweep(
        settings=settings,
        grid=grid,
        table=table,
        order=tuple(numbers[places].tolist()),
        refused=refused,
        importance=importance(grid, cells[tried], sharpe[tried]),
        rank_by=rank_by,
        held_out_from=held_out_from,
        notes=notes,
        id=key,
    )


def _cells(grid: Grid, columns: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    places = [{value: place for place, value in enumerate(values)} for values in grid.values.values()]
    found = [[of[value] for value in columns[name]] for of, name in zip(places, grid.names, strict=True)]
    return np.array(found, dtype=np.int64).T


def _with_variants(plan: SweepPlan, part: pd.DataFrame) -> pd.DataFrame:
    """Trials with their parameters and what makes each a variant of its own."""
    settings = plan.settings
    kept = kept_settings(settings)
    row = {
        "strategy_name": settings.strategy_name,
        "strategy_version": settings.strategy_version,
        "symbol": settings.symbol,
        "timeframe": str(settings.timeframe),
        "cash": settings.cash,
    }
    numbers = part["number"].tolist()
    variants = [
        variant_of({**row, "settings": {**kept, "parameters": {**kept["parameters"], **plan.sets[number]}}})
        for number in numbers
    ]
    parameters = pd.Series([plan.sets[number] for number in numbers], index=part.index, dtype="object")
    return part.assign(parameters=parameters, variant=variants)


def _ending(plan: SweepPlan, sweep: Sweep) -> Ending:
    best, fitness = sweep.best, plain(float(sweep.best[sweep.rank_by]))
    # In a sweep without plateaus (a sparse draw) the best by Sharpe ratio stands first.
    fitness = plain(float(best["sharpe_ratio"])) if fitness is None else fitness
    is_known = fitness is not None
    return Ending(
        best_parameters={name: plain(best[name]) for name in sweep.grid.names} if is_known else None,
        best_values=plain(sweep.best_parameters) if is_known else None,
        best_fitness=fitness,
        importance=sweep.importance,
        judged=sweep.table[["number", "plateau", "label"]],
        per_year=plan.per_year,
    )


class _BestSoFar:
    """The best Sharpe ratio among the sets seen, in words."""

    def __init__(self, plan: SweepPlan) -> None:
        self._plan = plan
        self._number: int | None = None
        self._sharpe = -math.inf

    def see(self, part: pd.DataFrame) -> None:
        sharpe = part["sharpe_ratio"].to_numpy(dtype="float64")
        if not np.isfinite(sharpe).any():
            return
        at = int(np.nanargmax(sharpe))
        if sharpe[at] > self._sharpe:
            self._number, self._sharpe = int(part["number"].iloc[at]), float(sharpe[at])

    def words(self, done: int) -> str:
        said = f"{done:,} of {len(self._plan.sets):,} sets"
        if self._number is None:
            return said
        return (
            f"{said}, best so far {words_of(self._plan.sets[self._number])} with a Sharpe ratio of {self._sharpe:.2f}"
        )


def _settings_of(row: StoredSweep) -> RunSettings:
    config = row.config
    return RunSettings(
        strategy_name=row.strategy_name,
        symbol=row.symbol,
        timeframe=parse_timeframe(row.timeframe),
        cash=config["cash"],
        commission=commission_of(config["commission"]),
        spread_pips=config["spread_pips"],
        margin=config["margin"],
        parameters=config["parameters"],
        strategy_version=row.strategy_version,
        costs=Costs.from_dict(config["costs"]) if "costs" in config else None,
        conversions=config.get("conversions", {}),
    )
