"""The trial ledger: how many variants were tried on the same data, and how far their Sharpe ratios lie apart.

A variant is a strategy with its version, parameters, costs, cash, symbol and timeframe. Each saved run and each
finished sweep adds the variants that nobody had tried on that dataset's content before; deleting a run takes
nothing back, because it was tried. Sharpe ratios in the ledger are per day, not annualised; a variant that has
none, because it never traded, counts as tried and says nothing of their spread.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core.clock import utc_text
from core.plain import plain
from core.store import Store
from execution import tables
from execution.metrics import daily_returns, returns_per_year
from execution.significance import Significance, judge
from market.symbols import AssetClass, symbol_of

if TYPE_CHECKING:
    from execution.runs import StoredRun

_store = Store(tables.BACKTEST_RESULTS)


@dataclass(frozen=True)
class Trials:
    """How many variants were tried, and the variance of their Sharpe ratios per day (0 below two that have one)."""

    count: int
    sharpe_variance: float


@dataclass(frozen=True)
class _Sharpes:
    """How many Sharpe ratios per day, their mean, and the sum of squares around it (Welford's M2)."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def __add__(self, other: _Sharpes) -> _Sharpes:
        """Both together (Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm, 1979)."""
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * other.count / count
        return _Sharpes(count, mean, self.m2 + other.m2 + apart * apart * self.count * other.count / count)


def trials_on(dataset_hash: str) -> Trials:
    """What was tried on the content of a dataset version so far."""
    rows = _store.rows(sa.select(tables.ledger).where(tables.ledger.c.dataset_hash == dataset_hash))
    sharpes = sum((_Sharpes(row["sharpes"], row["sharpe_mean"], row["sharpe_m2"]) for row in rows), _Sharpes())
    variance = sharpes.m2 / (sharpes.count - 1) if sharpes.count > 1 else 0.0
    return Trials(sum(row["trials"] for row in rows), variance)


def deflated(run: StoredRun) -> Significance:
    """A saved run's Sharpe ratio against all that was tried on its data, itself included.

    Raises InterventionError when its equity curve is gone.
    """
    return deflated_equity(run.equity(), symbol_of(run.symbol).asset_class, trials_on(run.dataset_hash))


def deflated_equity(equity: pd.Series, asset_class: AssetClass, trials: Trials) -> Significance:
    """The same for the equity curve of a run that may not be saved; one that is not is the next variant's number."""
    returns = daily_returns(equity, asset_class)
    per_year = returns_per_year(returns, equity)
    return judge(
        returns,
        returns_per_year=per_year,
        trials=max(1, trials.count),
        annual_variance=trials.sharpe_variance * per_year,
    )


def variant_of(row: Mapping[str, Any]) -> str:
    """What tells one variant from another, of a row of `backtest_runs` or one like it."""
    identity = {
        **{name: row[name] for name in ("strategy_name", "strategy_version", "symbol", "timeframe")},
        "cash": float(row["cash"]),
        **row["settings"],
    }
    return hashlib.sha256(json.dumps(plain(identity), sort_keys=True).encode()).hexdigest()[:32]


def enter_run(connection: sa.Connection, run_key: int, row: Mapping[str, Any]) -> None:
    """Count a run that the open transaction stores, unless its variant was tried on this data already."""
    enter_strategy(connection, row["strategy_name"])
    variant, metrics = variant_of(row), row["metrics"]
    if _was_tried(connection, row["dataset_hash"], variant):
        return
    sharpe, per_year = metrics.get("sharpe_ratio"), metrics.get("returns_per_year")
    sharpes = [] if sharpe is None or not per_year else [sharpe / math.sqrt(per_year)]
    _enter(connection, row, ("run", run_key, variant), 1, _sharpes_of(np.array(sharpes)))


def enter_sweep(connection: sa.Connection, key: int, row: Mapping[str, Any], per_year: float) -> int:
    """Count the trials of a sweep that the open transaction ends; how many of its variants are new on this data.

    `row` is its row of `optimization_runs`; `per_year` turns its Sharpe ratios into those of a day.
    """
    trial, other, entry = tables.trials, tables.trials.alias(), tables.ledger
    on_this_data = entry.c.dataset_hash == row["dataset_hash"]
    run_before = sa.exists().where(on_this_data, entry.c.variant == trial.c.variant)
    swept_before = sa.exists().where(
        other.c.variant == trial.c.variant,
        other.c.optimization_id != key,
        other.c.failure.is_(None),
        other.c.optimization_id.in_(sa.select(entry.c.source_id).where(on_this_data, entry.c.source == "sweep")),
    )
    fresh = sa.select(trial.c.sharpe_ratio).where(
        trial.c.optimization_id == key, trial.c.failure.is_(None), ~run_before, ~swept_before
    )
    sharpes = connection.execute(fresh).scalars().all()
    known = np.array([sharpe for sharpe in sharpes if sharpe is not None], dtype="float64")
    if sharpes:
        _enter(connection, row, ("sweep", key, None), len(sharpes), _sharpes_of(known / math.sqrt(per_year)))
    return len(sharpes)


def enter_strategy(connection: sa.Connection, name: str) -> int:
    """The key of a strategy's name in `backtest_strategies`, which holds every strategy that was run or swept."""
    connection.execute(insert(tables.strategies).values(name=name).on_conflict_do_nothing())
    found = sa.select(tables.strategies.c.id).where(tables.strategies.c.name == name)
    return int(connection.execute(found).scalar_one())


def _was_tried(connection: sa.Connection, dataset_hash: str, variant: str) -> bool:
    entry, trial = tables.ledger, tables.trials
    run = sa.select(entry.c.id).where(entry.c.dataset_hash == dataset_hash, entry.c.variant == variant)
    swept = (
        sa.select(trial.c.id)
        .join(entry, sa.and_(entry.c.source == "sweep", entry.c.source_id == trial.c.optimization_id))
        .where(entry.c.dataset_hash == dataset_hash, trial.c.variant == variant, trial.c.failure.is_(None))
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in (run, swept))


def _sharpes_of(values: np.ndarray[Any, np.dtype[np.float64]]) -> _Sharpes:
    values = values[np.isfinite(values)]
    if not len(values):
        return _Sharpes()
    mean = float(values.mean())
    return _Sharpes(len(values), mean, float(np.square(values - mean).sum()))


def _enter(
    connection: sa.Connection,
    row: Mapping[str, Any],
    source: tuple[str, int, str | None],
    trials: int,
    sharpes: _Sharpes,
) -> None:
    connection.execute(
        tables.ledger.insert().values(
            created_at=utc_text(),
            **{name: row[name] for name in ("dataset_hash", "symbol", "strategy_name")},
            **dict(zip(("source", "source_id", "variant"), source, strict=True)),
            trials=trials,
            sharpes=sharpes.count,
            sharpe_mean=sharpes.mean,
            sharpe_m2=sharpes.m2,
        )
    )
