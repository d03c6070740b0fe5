"""The tables of `backtest_results.db`: runs, their trades, comparisons, sweeps, what was tried on which data, jobs."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, strict_table
from core.tables import job_table

_metadata = sa.MetaData()

runs = strict_table(
    "backtest_runs",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("run_id", TEXT, nullable=False, unique=True),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("strategy_name", TEXT, nullable=False),
    sa.Column("strategy_version", WHOLE),
    sa.Column("symbol", TEXT, nullable=False),
    sa.Column("timeframe", TEXT, nullable=False),
    sa.Column("start_date", TEXT, nullable=False),
    sa.Column("end_date", TEXT, nullable=False),
    sa.Column("first_time", TEXT, nullable=False),
    sa.Column("last_time", TEXT, nullable=False),
    sa.Column("bars", WHOLE, nullable=False),
    sa.Column("cash", REAL, nullable=False),
    sa.Column("commission", REAL),
    sa.Column("total_return", REAL),
    sa.Column("sharpe_ratio", REAL),
    sa.Column("sortino_ratio", REAL),
    sa.Column("calmar_ratio", REAL),
    sa.Column("max_drawdown", REAL),
    sa.Column("win_rate", REAL),
    sa.Column("profit_factor", REAL),
    sa.Column("trades_count", WHOLE, nullable=False),
    sa.Column("metrics", JSON, nullable=False),
    sa.Column("lib_metrics", JSON, nullable=False),
    sa.Column("settings", JSON, nullable=False),
    sa.Column("notes", JSON, nullable=False),
    sa.Column("dataset_version_id", WHOLE, nullable=False),
    sa.Column("dataset_hash", TEXT, nullable=False),
    sa.Column("engine", TEXT, nullable=False),
    sa.Column("content_digest", TEXT, nullable=False),
    sa.Column("note", TEXT),
    sa.Column("tags", JSON),
)
sa.Index("backtest_runs_by_content", runs.c.content_digest)

trades = strict_table(
    "backtest_trades",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("backtest_id", WHOLE, sa.ForeignKey("backtest_runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("side", TEXT, nullable=False),
    sa.Column("size", REAL, nullable=False),
    sa.Column("entry_time", TEXT, nullable=False),
    sa.Column("exit_time", TEXT, nullable=False),
    sa.Column("entry_price", REAL, nullable=False),
    sa.Column("exit_price", REAL, nullable=False),
    sa.Column("pnl", REAL, nullable=False),
    sa.Column("status", TEXT, nullable=False),
    sa.Column("commission", REAL, nullable=False),
    sa.Column("return_pct", REAL, nullable=False),
    sa.Column("pips", REAL, nullable=False),
    sa.Column("stop", REAL),
    sa.Column("target", REAL),
    sa.Column("exit_reason", TEXT, nullable=False),
    sa.Column("entry_bar", WHOLE, nullable=False),
    sa.Column("exit_bar", WHOLE, nullable=False),
    sa.Column("tag", TEXT),
    sa.Column("swap", REAL),
    sa.Column("spread_pips", REAL),
    sa.Column("slippage_pips", REAL),
)
sa.Index("backtest_trades_by_run", trades.c.backtest_id)

comparisons = strict_table(
    "backtest_comparisons",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("run_id_1", TEXT, nullable=False),
    sa.Column("run_id_2", TEXT, nullable=False),
    sa.Column("strategy_1", TEXT, nullable=False),
    sa.Column("strategy_2", TEXT, nullable=False),
    sa.Column("winner", TEXT),
    sa.Column("metrics", JSON, nullable=False),
)

strategies = strict_table(
    "backtest_strategies",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("name", TEXT, nullable=False, unique=True),
)

sweeps = strict_table(
    "optimization_runs",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("completed_at", TEXT),
    sa.Column("status", TEXT, nullable=False),
    sa.Column("optimization_type", TEXT, nullable=False),
    sa.Column("strategy_id", WHOLE, sa.ForeignKey("backtest_strategies.id"), nullable=False),
    sa.Column("strategy_name", TEXT, nullable=False),
    sa.Column("strategy_version", WHOLE),
    sa.Column("symbol", TEXT, nullable=False),
    sa.Column("timeframe", TEXT, nullable=False),
    sa.Column("dataset_version_id", WHOLE, nullable=False),
    sa.Column("dataset_hash", TEXT, nullable=False),
    sa.Column("bars", WHOLE, nullable=False),
    sa.Column("held_out_from", TEXT),
    sa.Column("sets", WHOLE, nullable=False),
    sa.Column("refused", WHOLE, nullable=False),
    sa.Column("config", JSON, nullable=False),
    sa.Column("engine", TEXT, nullable=False),
    sa.Column("best_parameters", JSON),
    sa.Column("best_fitness", REAL),
    sa.Column("importance", JSON),
    sa.Column("job_id", WHOLE),
)

trials = strict_table(
    "optimization_trials",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("optimization_id", WHOLE, sa.ForeignKey("optimization_runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("number", WHOLE, nullable=False),
    sa.Column("parameters", JSON, nullable=False),
    sa.Column("variant", TEXT, nullable=False),
    sa.Column("total_return", REAL),
    sa.Column("sharpe_ratio", REAL),
    sa.Column("max_drawdown", REAL),
    sa.Column("trades_count", WHOLE),
    sa.Column("win_rate", REAL),
    sa.Column("profit_factor", REAL),
    sa.Column("expectancy", REAL),
    sa.Column("exposure_pct", REAL),
    sa.Column("held_total_return", REAL),
    sa.Column("held_sharpe_ratio", REAL),
    sa.Column("held_max_drawdown", REAL),
    sa.Column("held_trades_count", WHOLE),
    sa.Column("held_win_rate", REAL),
    sa.Column("held_profit_factor", REAL),
    sa.Column("held_expectancy", REAL),
    sa.Column("held_exposure_pct", REAL),
    sa.Column("plateau", REAL),
    sa.Column("label", TEXT),
    sa.Column("failure", TEXT),
    sa.UniqueConstraint("optimization_id", "number"),
)
sa.Index("optimization_trials_by_variant", trials.c.variant)

optimal_parameters = strict_table(
    "optimal_parameters",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("strategy_name", TEXT, nullable=False),
    sa.Column("symbol", TEXT, nullable=False),
    sa.Column("timeframe", TEXT, nullable=False),
    sa.Column("parameter_value", JSON, nullable=False),
    sa.Column("last_optimized", TEXT, nullable=False),
    sa.Column("optimization_id", WHOLE, nullable=False),
    sa.UniqueConstraint("strategy_name", "symbol", "timeframe"),
)

ledger = strict_table(
    "trial_ledger",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("dataset_hash", TEXT, nullable=False),
    sa.Column("symbol", TEXT, nullable=False),
    sa.Column("strategy_name", TEXT, nullable=False),
    sa.Column("source", TEXT, nullable=False),
    sa.Column("source_id", WHOLE, nullable=False),
    sa.Column("variant", TEXT),
    sa.Column("trials", WHOLE, nullable=False),
    sa.Column("sharpes", WHOLE, nullable=False),
    sa.Column("sharpe_mean", REAL, nullable=False),
    sa.Column("sharpe_m2", REAL, nullable=False),
)
sa.Index("trial_ledger_by_dataset", ledger.c.dataset_hash, ledger.c.variant)

jobs = job_table("backtest_jobs", _metadata)
sa.Index("backtest_jobs_by_status", jobs.c.status)

BACKTEST_RESULTS = Module("backtest_results", 0x53510002, _metadata, Path(__file__).parent / "migrations")
