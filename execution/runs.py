"""Backtest runs kept: a row, its trades, and the equity curve as Parquet under `output_central/runs/<run_id>/`."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.errors import InterventionError, NameTakenError
from core.folders import keep, staged_folder
from core.names import checked_name, unknown_name
from core.plain import plain
from core.settings import output_folder
from core.store import Store, inserted_id
from data.versions import DatasetVersion, digest
from execution import tables
from execution.result import TRADE_COLUMNS, BacktestResult

_EQUITY = "equity.parquet"


@dataclass(frozen=True)
class StoredRun:
    """One row of `backtest_runs`. `metrics` are ours (`execution.metrics`), `lib_metrics` backtesting.py's."""

    id: int
    run_id: str
    created_at: str
    strategy_name: str
    strategy_version: int | None
    symbol: str
    timeframe: str
    start_date: str
    end_date: str
    first_time: str
    last_time: str
    bars: int
    cash: float
    commission: float | None
    total_return: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    max_drawdown: float | None
    win_rate: float | None
    profit_factor: float | None
    trades_count: int
    metrics: dict[str, float | None]
    lib_metrics: dict[str, Any]
    settings: dict[str, Any]
    notes: list[str]
    dataset_version_id: int
    dataset_hash: str
    engine: str
    content_digest: str

    def equity(self) -> pd.Series:
        """Money at each bar's close. Raises InterventionError when the file is gone."""
        file = runs_folder() / self.run_id / _EQUITY
        try:
            return pd.read_parquet(file)["equity"]
        except (OSError, ValueError) as error:
            raise InterventionError(
                f"The equity curve of run {self.run_id} cannot be read: {file} ({error}).",
                "Run it again under another name, or put the folder back from a backup.",
            ) from error


def runs_folder() -> Path:
    """The folder that holds a folder per run."""
    return output_folder() / "runs"


def store_run(
    store: Store,
    result: BacktestResult,
    version: DatasetVersion,
    *,
    run_id: str | None,
    start_date: str,
    end_date: str,
) -> StoredRun:
    """Enter a run with its trades and equity, whole or not at all.

    Equal content under the same name, or without a name, returns what is stored. Without `run_id` the next
    free name is taken. Raises NameTakenError, naming a free one, when the name stands for another run.
    """
    row = _row(result, version, start_date, end_date)
    with staged_folder(runs_folder()) as staged:
        result.equity.to_frame("equity").to_parquet(staged / _EQUITY, compression="zstd")
        with store.write() as connection:
            found = connection.execute(sa.select(tables.runs.c.run_id, tables.runs.c.content_digest))
            taken = {str(name): str(content) for name, content in found}
            # Names that differ in case only would share a folder on Windows and macOS.
            folded = {name.casefold() for name in taken}
            same = [name for name, content in taken.items() if content == row["content_digest"]]
            if run_id in same or (run_id is None and same):
                name = run_id or same[0]
            elif run_id is not None and run_id.casefold() in folded:
                raise NameTakenError(
                    f"run_id={run_id!r} already stands for another run.", f"{_free_name(run_id, folded)!r} is free."
                )
            else:
                name = run_id or _free_name(_usual_name(row), folded)
                key = inserted_id(connection, tables.runs, {"run_id": checked_name(name, "run_id"), **row})
                if len(result.trades):
                    connection.execute(tables.trades.insert(), _trade_rows(result.trades, key))
                keep(staged, name, set(taken))
    return find_run(store, name)


def list_runs(store: Store, limit: int | None = None) -> list[StoredRun]:
    """The runs there are, newest first."""
    query = sa.select(tables.runs).order_by(tables.runs.c.id.desc()).limit(limit)
    return [StoredRun(**row) for row in store.rows(query)]


def find_run(store: Store, run_id: str) -> StoredRun:
    """The run of that name. Raises UnknownNameError offering the nearest."""
    found = store.rows(sa.select(tables.runs).where(tables.runs.c.run_id == run_id))
    if not found:
        raise unknown_name("run", run_id, store_run_ids(store))
    return StoredRun(**found[0])


def store_run_ids(store: Store) -> list[str]:
    """The names of all runs."""
    return [row["run_id"] for row in store.rows(sa.select(tables.runs.c.run_id))]


def trades_of(store: Store, run: StoredRun) -> pd.DataFrame:
    """The trades of a run in the order they ended, with aware UTC times; columns as `execution.result`."""
    query = sa.select(tables.trades).where(tables.trades.c.backtest_id == run.id).order_by(tables.trades.c.id)
    trades = pd.DataFrame(store.rows(query), columns=[column.name for column in tables.trades.columns])
    for column in ("entry_time", "exit_time"):
        trades[column] = pd.to_datetime(trades[column], utc=True)
    return trades[list(TRADE_COLUMNS)]


def _row(result: BacktestResult, version: DatasetVersion, start_date: str, end_date: str) -> dict[str, Any]:
    settings, metrics = result.settings, result.metrics
    kept = {
        "spread_pips": settings.spread_pips,
        "margin": settings.margin,
        "commission": settings.commission if not callable(settings.commission) else _name_of(settings.commission),
        "parameters": dict(settings.parameters),
    }
    row: dict[str, Any] = {
        "strategy_name": settings.strategy_name,
        "strategy_version": settings.strategy_version,
        "symbol": settings.symbol,
        "timeframe": str(settings.timeframe),
        "start_date": start_date,
        "end_date": end_date,
        "first_time": utc_text(result.equity.index[0]),
        "last_time": utc_text(result.equity.index[-1]),
        "bars": len(result.equity),
        "cash": float(settings.cash),
        "commission": float(settings.commission) if isinstance(settings.commission, (int, float)) else None,
        **{name: metrics[name] for name in _METRIC_COLUMNS},
        "trades_count": len(result.trades),
        "metrics": metrics,
        "lib_metrics": result.library_metrics,
        "settings": kept,
        "notes": list(result.notes),
        "dataset_version_id": version.id,
        "dataset_hash": version.content_hash,
        "engine": result.engine,
    }
    identity = {
        name: value for name, value in row.items() if name not in {"metrics", "lib_metrics", "dataset_version_id"}
    }
    content = json.dumps(plain(identity), sort_keys=True) + digest(result.equity.to_frame()) + _trades_digest(result)
    return {**row, "created_at": utc_text(), "content_digest": hashlib.sha256(content.encode()).hexdigest()}


# Figures that are columns as well, under the names the specification prints.
_METRIC_COLUMNS = (
    "total_return",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "win_rate",
    "profit_factor",
)


def _trades_digest(result: BacktestResult) -> str:
    return hashlib.sha256(result.trades.to_csv(index=False).encode()).hexdigest()


def _trade_rows(trades: pd.DataFrame, run_key: int) -> list[dict[str, Any]]:
    times = {name: [utc_text(moment) for moment in trades[name]] for name in ("entry_time", "exit_time")}
    rows: list[dict[str, Any]] = plain(trades.assign(**times).to_dict("records"))
    return [{"backtest_id": run_key, "status": "closed", **row} for row in rows]


def _usual_name(row: dict[str, Any]) -> str:
    """The first name for a run that was given none, whatever its strategy and symbol are called."""
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{row['strategy_name']}_{row['symbol']}_{row['timeframe']}")
    return f"{words.lstrip('_.-')[:50]}_1"


def _free_name(wanted: str, folded: set[str]) -> str:
    """`wanted`, or the next number after it that no run carries."""
    match = re.fullmatch(r"(.*?)(\d*)", wanted)
    stem, digits = (match[1], match[2]) if match else (wanted, "")
    number = int(digits or 1)
    while wanted.casefold() in folded:
        number += 1
        wanted = f"{stem}{str(number).zfill(len(digits))}" if digits else f"{stem[:56]}_{number}"
    return wanted


def _name_of(commission: Any) -> str:
    return f"function {getattr(commission, '__name__', type(commission).__name__)}"
