"""Sweeps kept: a row, its trials part by part while it runs, and its end, which counts in the trial ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core.clock import utc_text
from core.names import unknown_name
from core.plain import plain
from core.store import Store, inserted_id
from execution import tables
from execution.ledger import enter_strategy, enter_sweep

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
# What is known of each set, on the fitted part of the bars and, with `held_` before it, on the held-out part.
FIGURE_COLUMNS = (
    "total_return",
    "sharpe_ratio",
    "max_drawdown",
    "trades_count",
    "win_rate",
    "profit_factor",
    "expectancy",
    "exposure_pct",
)
HELD = "held_"
HELD_COLUMNS = tuple(f"{HELD}{name}" for name in FIGURE_COLUMNS)

_store = Store(tables.BACKTEST_RESULTS)

# Writes what belongs to a sweep's rows in the same transaction: the job's checkpoint, or its success.
Within = Callable[[sa.Connection], None]


@dataclass(frozen=True)
class StoredSweep:
    """One row of `optimization_runs`; `held_out_from` is the open of the first held-out bar, None without any."""

    id: int
    created_at: str
    completed_at: str | None
    status: str
    optimization_type: str
    strategy_id: int
    strategy_name: str
    strategy_version: int | None
    symbol: str
    timeframe: str
    dataset_version_id: int
    dataset_hash: str
    bars: int
    held_out_from: str | None
    sets: int
    refused: int
    config: dict[str, Any]
    engine: str
    best_parameters: dict[str, Any] | None
    best_fitness: float | None
    importance: dict[str, float] | None
    job_id: int | None


@dataclass(frozen=True)
class Ending:
    """What a finished sweep leaves: its best set with the figure it was ranked by, and what was reckoned of all.

    `judged` has the columns `number`, `plateau` and `label`; `per_year` are the daily returns of a year.
    """

    best_parameters: dict[str, Any] | None
    best_values: dict[str, Any] | None
    best_fitness: float | None
    importance: dict[str, float]
    judged: pd.DataFrame
    per_year: float


def begin_sweep(row: Mapping[str, Any], within: Callable[[sa.Connection, int], None]) -> int:
    """Enter a sweep that starts; its key."""
    with _store.write() as connection:
        strategy = enter_strategy(connection, row["strategy_name"])
        values = {"created_at": utc_text(), "status": RUNNING, "strategy_id": strategy, **row}
        key = inserted_id(connection, tables.sweeps, values)
        within(connection, key)
    return key


def add_trials(key: int, trials: pd.DataFrame, within: Within) -> None:
    """Keep the trials of a part: `number`, `parameters`, `variant`, the figures and `failure`."""
    with _store.write() as connection:
        connection.execute(tables.trials.insert(), _trial_rows(key, trials))
        within(connection)


def end_sweep(key: int, ending: Ending, within: Within) -> int:
    """Enter what the sweep found, count its trials, and keep its best parameters; how many variants were new."""
    row = find_sweep(key)
    judged = plain(ending.judged.astype(object).to_dict("records"))
    moment = utc_text()
    with _store.write() as connection:
        trial = tables.trials.c
        connection.execute(
            tables.trials.update()
            .where(trial.optimization_id == key, trial.number == sa.bindparam("at"))
            .values(plateau=sa.bindparam("score"), label=sa.bindparam("named")),
            [{"at": each["number"], "score": each["plateau"], "named": each["label"]} for each in judged],
        )
        connection.execute(
            tables.sweeps.update()
            .where(tables.sweeps.c.id == key)
            .values(
                status=COMPLETED,
                completed_at=moment,
                best_parameters=ending.best_parameters,
                best_fitness=ending.best_fitness,
                importance=ending.importance,
            )
        )
        fresh = enter_sweep(connection, key, vars(row), ending.per_year)
        if ending.best_values is not None:
            _keep_best(connection, row, ending.best_values, moment)
        within(connection)
    return fresh


def fail_sweep(key: int) -> None:
    """Mark a sweep that cannot go on; the trials it has stay readable and do not count."""
    _store.update(tables.sweeps, tables.sweeps.c.id == key, {"status": FAILED, "completed_at": utc_text()})


def resume_sweep(key: int) -> None:
    """Mark a sweep that goes on as running again."""
    which = sa.and_(tables.sweeps.c.id == key, tables.sweeps.c.status == FAILED)
    _store.update(tables.sweeps, which, {"status": RUNNING, "completed_at": None})


def list_sweeps(limit: int | None = None) -> list[StoredSweep]:
    """The sweeps there are, newest first."""
    query = sa.select(tables.sweeps).order_by(tables.sweeps.c.id.desc()).limit(limit)
    return [StoredSweep(**row) for row in _store.rows(query)]


def find_sweep(key: int) -> StoredSweep:
    """The sweep of that number; raises UnknownNameError."""
    found = _store.rows(sa.select(tables.sweeps).where(tables.sweeps.c.id == key))
    if not found:
        known = [str(row["id"]) for row in _store.rows(sa.select(tables.sweeps.c.id))]
        raise unknown_name("sweep", key, known)
    return StoredSweep(**found[0])


def delete_sweep(key: int) -> None:
    """Remove a sweep with its trials; what it added to the trial ledger stays, for it was tried.

    Raises UnknownNameError when there is no such sweep (any more).
    """
    find_sweep(key)
    with _store.write() as connection:
        connection.execute(tables.sweeps.delete().where(tables.sweeps.c.id == key))


def trials_of(key: int) -> pd.DataFrame:
    """The trials of a sweep by `number`, `parameters` as a dict, figures as numbers; empty before the first part."""
    columns = [column for column in tables.trials.columns if column.name not in {"id", "optimization_id", "variant"}]
    query = sa.select(*columns).where(tables.trials.c.optimization_id == key).order_by(tables.trials.c.number)
    table = pd.DataFrame(_store.rows(query), columns=[column.name for column in columns])
    numbers = [*FIGURE_COLUMNS, *HELD_COLUMNS, "plateau"]
    return table.astype(dict.fromkeys(numbers, "float64"))


def numbers_done(key: int) -> set[int]:
    """Which sets of a sweep are stored."""
    query = sa.select(tables.trials.c.number).where(tables.trials.c.optimization_id == key)
    return {int(row["number"]) for row in _store.rows(query)}


def _trial_rows(key: int, trials: pd.DataFrame) -> list[dict[str, Any]]:
    figures = trials[[*FIGURE_COLUMNS, *HELD_COLUMNS]]
    # NaN is NULL; the profit factor alone may be infinite, and REAL keeps it.
    values = figures.astype(object).where(figures.notna(), None)
    for name in ("trades_count", f"{HELD}trades_count"):
        values[name] = [None if count is None else int(count) for count in values[name]]
    named = trials[["number", "parameters", "variant", "failure"]]
    found: list[dict[str, Any]] = pd.concat([named, values], axis=1).to_dict("records")  # type: ignore[assignment]
    return [{"optimization_id": key, **trial} for trial in found]


def _keep_best(connection: sa.Connection, row: StoredSweep, values: dict[str, Any], moment: str) -> None:
    table = tables.optimal_parameters
    entered = insert(table).values(
        strategy_name=row.strategy_name,
        symbol=row.symbol,
        timeframe=row.timeframe,
        parameter_value=values,
        last_optimized=moment,
        optimization_id=row.id,
    )
    newer = {name: entered.excluded[name] for name in ("parameter_value", "last_optimized", "optimization_id")}
    connection.execute(
        entered.on_conflict_do_update(index_elements=["strategy_name", "symbol", "timeframe"], set_=newer)
    )
