"""Backtest runs kept: a row, its trades, and the equity curve as Parquet under `output_central/runs/<run_id>/`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.errors import InterventionError, NameTakenError
from core.folders import keep, settle, staged_folder, unsettle
from core.names import checked_name, unknown_name
from core.plain import plain
from core.remarks import answers, checked_remarks
from core.settings import output_folder
from core.store import Store, inserted_id
from data.pipeline_controller import controller
from data.versions import DatasetVersion, digest
from execution import tables
from execution.costs import Costs, PerLot, fill_assumptions
from execution.ledger import enter_run
from execution.result import TRADE_COLUMNS, BacktestResult, RunSettings
from market.symbols import symbol_of
from market.timeframes import parse_timeframe

_EQUITY = "equity.parquet"
_COST_COLUMNS = ("swap", "spread_pips", "slippage_pips")


@dataclass(frozen=True)
class StoredRun:
    """One row of `backtest_runs`. `metrics` are ours (`execution.metrics`), `lib_metrics` backtesting.py's.

    `notes` are what the engine remarks; `note` and `tags` are what a person wrote to it afterwards.
    """

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
    note: str | None
    tags: list[str]

    @property
    def run_settings(self) -> RunSettings:
        """What it was run with; a commission that was a Python function is only its name."""
        return RunSettings(
            strategy_name=self.strategy_name,
            symbol=self.symbol,
            timeframe=parse_timeframe(self.timeframe),
            cash=self.cash,
            commission=commission_of(self.settings["commission"]),
            spread_pips=self.settings["spread_pips"],
            margin=self.settings["margin"],
            parameters=self.settings["parameters"],
            strategy_version=self.strategy_version,
            costs=Costs.from_dict(self.settings["costs"]) if "costs" in self.settings else None,
            conversions=self.settings.get("conversions", {}),
        )

    @property
    def currency(self) -> str:
        """The currency of its money."""
        symbol = symbol_of(self.symbol)
        return Costs.from_dict(self.settings.get("costs", {})).currency(symbol)

    @property
    def fill_assumptions(self) -> tuple[str, ...]:
        """How its orders were filled and charged, a sentence each."""
        return fill_assumptions(self.run_settings)

    def equity(self) -> pd.Series:
        """Money at each bar's close. Raises InterventionError when the file is gone."""
        file = runs_folder() / self.run_id / _EQUITY
        try:
            return pd.read_parquet(file)["equity"]
        except (OSError, ValueError) as error:
            raise InterventionError(
                f"The equity curve of run {self.run_id} cannot be read: {file} ({error}).",
                "Reload: the run may just have been deleted. Otherwise run it again under another name, or put the "
                "folder back from a backup.",
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
    """Enter a run with its trades and equity, whole or not at all, while its dataset cannot be deleted.

    Equal content under the same name, or without a name, returns what is stored. Without `run_id` the next
    free name is taken. Raises NameTakenError, naming a free one, when the name stands for another run, and
    UnknownNameError when the dataset is gone.
    """
    row = _row(result, version, start_date, end_date)
    with staged_folder(runs_folder()) as staged:
        result.equity.to_frame("equity").to_parquet(staged / _EQUITY, compression="zstd")
        # In this order: who deletes a dataset holds it and then only reads the runs.
        with controller.hold(version) as held, store.write() as connection:
            row["dataset_version_id"] = held.id
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
                enter_run(connection, key, row)
                keep(staged, name, set(taken), named_by_content=False)
        settle(runs_folder() / name)
    return find_run(store, name)


def list_runs(store: Store, limit: int | None = None) -> list[StoredRun]:
    """The runs there are, newest first."""
    query = sa.select(tables.runs).order_by(tables.runs.c.id.desc()).limit(limit)
    return [_stored(row) for row in store.rows(query)]


def find_run(store: Store, run_id: str) -> StoredRun:
    """The run of that name. Raises UnknownNameError offering the nearest."""
    found = store.rows(sa.select(tables.runs).where(tables.runs.c.run_id == run_id))
    if not found:
        raise unknown_name("run", run_id, store_run_ids(store))
    return _stored(found[0])


def store_run_ids(store: Store) -> list[str]:
    """The names of all runs."""
    return [row["run_id"] for row in store.rows(sa.select(tables.runs.c.run_id))]


def filter_runs(
    runs: Sequence[StoredRun],
    text: str = "",
    strategy: str | None = None,
    symbol: str | None = None,
    tag: str | None = None,
) -> list[StoredRun]:
    """The runs that answer to everything asked, in their order; what is empty or None asks nothing.

    `text` is looked for in run id, strategy, symbol, note and tags; text and tag ignore case.
    """
    return [
        run
        for run in runs
        if strategy in {None, run.strategy_name}
        and symbol in {None, run.symbol}
        and answers(run, text, tag, run.run_id, run.strategy_name, run.symbol)
    ]


def annotate_run(store: Store, run_id: str, note: str | None, tags: Iterable[str] | None) -> StoredRun:
    """Write note and tags to a run; None leaves what is there, an empty one clears it. The run as stored then.

    Raises InputError for a note or tags that cannot be kept, UnknownNameError when there is no such run.
    """
    changes = checked_remarks(note, tags)
    run = find_run(store, run_id)
    store.update(tables.runs, _is(run), changes)
    return find_run(store, run_id)


def delete_run(store: Store, run_id: str) -> None:
    """Remove a run with its trades and its folder; comparisons that name it stay.

    The row goes first, so that nobody meets a run without its files. A folder that outlives its row, because
    this process was killed or the disk refused, is swept by the next process that saves a run.

    Raises UnknownNameError when there is no such run.
    """
    run = find_run(store, run_id)
    with store.write() as connection:
        unsettle(runs_folder() / run.run_id)
        gone = connection.execute(tables.runs.delete().where(_is(run))).rowcount
    if not gone:  # another process was faster
        raise unknown_name("run", run_id, store_run_ids(store))
    named = sa.select(tables.runs.c.id).where(sa.func.lower(tables.runs.c.run_id) == run_id.lower())
    store.remove_folder(runs_folder() / run_id, unless=named)


def _is(run: StoredRun) -> sa.ColumnElement[bool]:
    # Not by one of the two: SQLite gives the id of a deleted newest row to the next, and names are free again.
    return sa.and_(tables.runs.c.id == run.id, tables.runs.c.run_id == run.run_id)


def _stored(row: dict[str, Any]) -> StoredRun:
    # JSON has no infinity; the column keeps it.
    metrics = {**row["metrics"], "profit_factor": row["profit_factor"]}
    return StoredRun(**{**row, "metrics": metrics, "tags": row["tags"] or []})


def trades_of(
    store: Store, run: StoredRun, *, since: pd.Timestamp | None = None, until: pd.Timestamp | None = None
) -> pd.DataFrame:
    """The trades of a run in the order they ended, with aware UTC times; columns as `execution.result`.

    With `since` and `until` those that were open at some time between.
    """
    query = sa.select(tables.trades).where(tables.trades.c.backtest_id == run.id).order_by(tables.trades.c.id)
    if since is not None:
        query = query.where(tables.trades.c.exit_time >= utc_text(since))
    if until is not None:
        query = query.where(tables.trades.c.entry_time <= utc_text(until))
    return _trade_frame(store.rows(query))


def newest_trades(store: Store, run: StoredRun, limit: int, skip: int = 0) -> pd.DataFrame:
    """A page of a run's trades, the last to end first."""
    query = sa.select(tables.trades).where(tables.trades.c.backtest_id == run.id).order_by(tables.trades.c.id.desc())
    return _trade_frame(store.rows(query.limit(limit).offset(skip)))


def _trade_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    trades = pd.DataFrame(rows, columns=[column.name for column in tables.trades.columns])
    for column in ("entry_time", "exit_time"):
        trades[column] = pd.to_datetime(trades[column], utc=True, format="ISO8601")
    # Where no trade of a run has one, the column would come back as objects.
    return trades[list(TRADE_COLUMNS)].astype(dict.fromkeys(_COST_COLUMNS, "float64"))


def kept_settings(settings: RunSettings) -> dict[str, Any]:
    """What a row keeps of the settings besides its own columns; `commission_of` turns the commission back."""
    kept = {
        "spread_pips": settings.spread_pips,
        "margin": settings.margin,
        "commission": _plain_commission(settings.commission),
        "parameters": dict(settings.parameters),
    }
    if settings.costs is not None:
        kept |= {"costs": settings.costs.as_dict(), "conversions": dict(settings.conversions)}
    return kept


def _row(result: BacktestResult, version: DatasetVersion, start_date: str, end_date: str) -> dict[str, Any]:
    settings, metrics = result.settings, result.metrics
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
        "settings": kept_settings(settings),
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
    # Without FX extras these columns follow from the others; runs stored before there were any keep their digest.
    trades = result.trades if result.settings.costs else result.trades.drop(columns=list(_COST_COLUMNS))
    return hashlib.sha256(trades.to_csv(index=False).encode()).hexdigest()


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


def _plain_commission(commission: Any) -> Any:
    if isinstance(commission, PerLot):
        return asdict(commission)
    return (
        commission
        if not callable(commission)
        else f"function {getattr(commission, '__name__', type(commission).__name__)}"
    )


def commission_of(kept: Any) -> Any:
    """The commission of `kept_settings`; of a Python function only its name is left."""
    if isinstance(kept, dict):
        return PerLot(**kept)
    return tuple(kept) if isinstance(kept, list) else kept
