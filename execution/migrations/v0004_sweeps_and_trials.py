"""Sweeps and their trials, what was tried on which data, jobs; views under the other names of a run."""

from __future__ import annotations

import hashlib
import json
import math

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE
from core.tables import job_columns

_FIGURES = (
    ("total_return", REAL),
    ("sharpe_ratio", REAL),
    ("max_drawdown", REAL),
    ("trades_count", WHOLE),
    ("win_rate", REAL),
    ("profit_factor", REAL),
    ("expectancy", REAL),
    ("exposure_pct", REAL),
)


def upgrade() -> None:
    """Make the tables; the runs there are enter the ledger, each different one once."""
    op.create_table(
        "backtest_strategies",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sqlite_strict=True,
    )
    _make_sweeps()
    op.create_table(
        "trial_ledger",
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
        sqlite_strict=True,
    )
    op.create_index("trial_ledger_by_dataset", "trial_ledger", ["dataset_hash", "variant"])
    op.create_table("backtest_jobs", *job_columns(), sqlite_strict=True)
    op.create_index("backtest_jobs_by_status", "backtest_jobs", ["status"])
    _make_views()
    op.execute("INSERT INTO backtest_strategies (name) SELECT DISTINCT strategy_name FROM backtest_runs")
    _enter_runs()


def _make_sweeps() -> None:
    op.create_table(
        "optimization_runs",
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
        sqlite_strict=True,
    )
    op.create_table(
        "optimization_trials",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("optimization_id", WHOLE, sa.ForeignKey("optimization_runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("variant", TEXT, nullable=False),
        *(sa.Column(f"{part}{name}", kind) for part in ("", "held_") for name, kind in _FIGURES),
        sa.Column("plateau", REAL),
        sa.Column("label", TEXT),
        sa.Column("failure", TEXT),
        sa.UniqueConstraint("optimization_id", "number"),
        sqlite_strict=True,
    )
    op.create_index("optimization_trials_by_variant", "optimization_trials", ["variant"])
    op.create_table(
        "optimal_parameters",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("strategy_name", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("parameter_value", JSON, nullable=False),
        sa.Column("last_optimized", TEXT, nullable=False),
        sa.Column("optimization_id", WHOLE, nullable=False),
        sa.UniqueConstraint("strategy_name", "symbol", "timeframe"),
        sqlite_strict=True,
    )


def _make_views() -> None:
    op.execute(
        "CREATE VIEW backtest_backtests AS SELECT r.id, s.id AS strategy_id, r.symbol, r.timeframe, "
        "json_object('sharpe_ratio', r.sharpe_ratio, 'total_return', r.total_return, 'win_rate', r.win_rate, "
        "'profit_factor', json_extract(r.metrics, '$.profit_factor'), 'max_drawdown', r.max_drawdown, "
        "'atr_value', NULL, 'rank_score', NULL) AS metrics, "
        "r.created_at AS timestamp "
        "FROM backtest_runs AS r LEFT JOIN backtest_strategies AS s ON s.name = r.strategy_name"
    )
    op.execute(
        "CREATE VIEW backtests AS SELECT r.id, s.id AS strategy_id, r.start_date, r.end_date, "
        "'completed' AS status, r.settings AS config, 'runs/' || r.run_id || '/equity.parquet' AS results_file_path, "
        "r.created_at, r.created_at AS completed_at "
        "FROM backtest_runs AS r LEFT JOIN backtest_strategies AS s ON s.name = r.strategy_name"
    )


def _enter_runs() -> None:
    connection = op.get_bind()
    seen: set[tuple[str, str]] = set()
    rows = connection.exec_driver_sql(
        "SELECT id, created_at, dataset_hash, symbol, strategy_name, strategy_version, timeframe, cash, settings, "
        "sharpe_ratio, json_extract(metrics, '$.returns_per_year') AS per_year FROM backtest_runs ORDER BY id"
    )
    for row in rows.mappings().all():
        identity = {
            "strategy_name": row["strategy_name"],
            "strategy_version": row["strategy_version"],
            "symbol": row["symbol"],
            "timeframe": row["timeframe"],
            "cash": row["cash"],
            **json.loads(row["settings"]),
        }
        variant = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        if (row["dataset_hash"], variant) in seen:
            continue
        seen.add((row["dataset_hash"], variant))
        per_year = row["per_year"]
        known = row["sharpe_ratio"] is not None and bool(per_year) and per_year > 0
        connection.execute(
            sa.text(
                "INSERT INTO trial_ledger (created_at, dataset_hash, symbol, strategy_name, source, source_id, "
                "variant, trials, sharpes, sharpe_mean, sharpe_m2) VALUES (:created_at, :dataset_hash, :symbol, "
                ":strategy_name, 'run', :id, :variant, 1, :sharpes, :mean, 0.0)"
            ),
            {
                **{name: row[name] for name in ("created_at", "dataset_hash", "symbol", "strategy_name", "id")},
                "variant": variant,
                "sharpes": int(known),
                "mean": row["sharpe_ratio"] / math.sqrt(per_year) if known else 0.0,
            },
        )
