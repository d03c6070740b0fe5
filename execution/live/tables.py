"""The tables of `trading.db`: deployments, what each decided, the kill switch's history, and how days compared."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, strict_table
from core.tables import job_table

_metadata = sa.MetaData()

deployments = strict_table(
    "deployments",
    _metadata,
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
)

decisions = strict_table(
    "decisions",
    _metadata,
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
)
sa.Index("decisions_by_time", decisions.c.decided_at)

equity_marks = strict_table(
    "equity_marks",
    _metadata,
    sa.Column("client", TEXT, nullable=False),
    sa.Column("trading_day", TEXT, nullable=False),
    sa.Column("equity", REAL, nullable=False),
    sa.Column("marked_at", TEXT, nullable=False),
    sa.UniqueConstraint("client", "trading_day"),
)

switch_events = strict_table(
    "switch_events",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("event", TEXT, nullable=False),
    sa.Column("by", TEXT, nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    sa.CheckConstraint("event IN ('killed', 'arming', 'armed')"),
)

parity = strict_table(
    "parity",
    _metadata,
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
)

jobs = job_table("trading_jobs", _metadata)

TRADING = Module("trading", 0x53510009, _metadata, Path(__file__).parent / "migrations")
