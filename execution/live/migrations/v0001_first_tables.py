"""First tables: deployments, decisions, equity marks, the switch's history, parity, jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE
from core.tables import job_columns


def upgrade() -> None:
    """Make the six tables."""
    op.create_table(
        "deployments",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("origin", TEXT, nullable=False),
        sa.Column("origin_id", TEXT, nullable=False),
        sa.Column("strategy_name", TEXT, nullable=False),
        sa.Column("strategy_version", WHOLE, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("model_id", WHOLE),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("dataset_hash", TEXT),
        sa.Column("sizing", JSON, nullable=False),
        sa.Column("limits", JSON, nullable=False),
        sa.Column("real_confirmation", TEXT),
        sa.Column("history_from", TEXT),
        sa.Column("trades_from", TEXT),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("state_words", TEXT, nullable=False),
        sa.Column("beat_at", TEXT),
        sa.Column("job_id", WHOLE),
        sa.CheckConstraint("state IN ('running', 'paused', 'stopped')"),
        sqlite_strict=True,
    )
    op.create_table(
        "decisions",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("deployment_id", WHOLE, sa.ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
        sa.Column("bar_time", TEXT, nullable=False),
        sa.Column("decided_at", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("wanted", WHOLE),
        sa.Column("wanted_before", WHOLE),
        sa.Column("held", WHOLE),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("inputs", JSON, nullable=False),
        sa.Column("inputs_hash", TEXT, nullable=False),
        sa.Column("guards", JSON, nullable=False),
        sa.Column("close", REAL),
        sa.Column("stop_distance", REAL),
        sa.Column("target_distance", REAL),
        sa.Column("confidence", REAL),
        sa.Column("valid_until", TEXT),
        sa.Column("entry_order", JSON),
        sa.Column("close_signal_id", WHOLE),
        sa.Column("entry_signal_id", WHOLE),
        sa.UniqueConstraint("deployment_id", "bar_time"),
        sa.CheckConstraint("state IN ('proposed', 'approved', 'refused', 'expired')"),
        sa.CheckConstraint("action IN ('none', 'enter', 'exit', 'reverse')"),
        sqlite_strict=True,
    )
    op.create_table(
        "equity_marks",
        sa.Column("client", TEXT, nullable=False),
        sa.Column("trading_day", TEXT, nullable=False),
        sa.Column("equity", REAL, nullable=False),
        sa.Column("marked_at", TEXT, nullable=False),
        sa.UniqueConstraint("client", "trading_day"),
        sqlite_strict=True,
    )
    op.create_table(
        "switch_events",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.CheckConstraint("event IN ('killed', 'arming', 'armed')"),
        sqlite_strict=True,
    )
    op.create_table(
        "parity",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("deployment_id", WHOLE, sa.ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
        sa.Column("trading_day", TEXT, nullable=False),
        sa.Column("reconciled_at", TEXT, nullable=False),
        sa.Column("expected", WHOLE, nullable=False),
        sa.Column("traded", WHOLE, nullable=False),
        sa.Column("agreeing", WHOLE, nullable=False),
        sa.Column("score", REAL),
        sa.Column("cost_pips", REAL, nullable=False),
        sa.Column("differences", JSON, nullable=False),
        sa.UniqueConstraint("deployment_id", "trading_day"),
        sqlite_strict=True,
    )
    op.create_table("trading_jobs", *job_columns(), sqlite_strict=True)
    op.create_index("decisions_by_time", "decisions", ["decided_at"])
