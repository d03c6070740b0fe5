"""First tables: ticks and their gaps, signals and their history, terminals, keys, imported backtests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE

_OPEN = sa.text("status IN ('pending', 'leased')")


def upgrade() -> None:
    """Make the seven tables and their indexes."""
    op.create_table(
        "live_ticks",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("broker_ms", WHOLE, nullable=False),
        sa.Column("sequence", WHOLE, nullable=False),
        sa.Column("time_ms", WHOLE, nullable=False),
        sa.Column("bid", REAL, nullable=False),
        sa.Column("ask", REAL, nullable=False),
        sa.Column("last", REAL),
        sa.Column("volume", REAL, nullable=False),
        sa.Column("flags", WHOLE, nullable=False),
        sa.Column("stale", WHOLE, nullable=False),
        sa.Column("received_ms", WHOLE, nullable=False),
        sa.UniqueConstraint("source", "symbol", "broker_ms", "sequence"),
        sqlite_strict=True,
    )
    op.create_table(
        "tick_gaps",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("after_sequence", WHOLE, nullable=False),
        sa.Column("before_sequence", WHOLE, nullable=False),
        sa.Column("missing", WHOLE, nullable=False),
        sa.Column("time_ms", WHOLE, nullable=False),
        sa.Column("received_ms", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "trading_signals",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("signal_type", TEXT, nullable=False),
        sa.Column("confidence", REAL, nullable=False),
        sa.Column("entry_price", REAL),
        sa.Column("stop_loss", REAL),
        sa.Column("take_profit", REAL),
        sa.Column("volume", REAL),
        sa.Column("comment", TEXT),
        sa.Column("strategy_name", TEXT),
        sa.Column("idempotency_key", TEXT, unique=True),
        sa.Column("valid_until_ms", WHOLE, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("client", TEXT),
        sa.Column("lease_until_ms", WHOLE),
        sa.Column("sent_at", TEXT),
        sa.Column("finished_at", TEXT),
        sa.Column("retcode", WHOLE),
        sa.Column("order_ticket", WHOLE),
        sa.Column("deal_ticket", WHOLE),
        sa.Column("executed_price", REAL),
        sa.Column("executed_volume", REAL),
        sa.Column("broker_comment", TEXT),
        sqlite_strict=True,
    )
    op.create_table(
        "signal_events",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("signal_id", WHOLE, sa.ForeignKey("trading_signals.id"), nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("client", TEXT),
        sa.Column("words", TEXT, nullable=False),
        sa.Column("details", JSON),
        sqlite_strict=True,
    )
    op.create_table(
        "terminals",
        sa.Column("client", TEXT, primary_key=True),
        sa.Column("first_seen_at", TEXT, nullable=False),
        sa.Column("beat_at", TEXT, nullable=False),
        sa.Column("login", TEXT),
        sa.Column("server", TEXT),
        sa.Column("company", TEXT),
        sa.Column("build", WHOLE),
        sa.Column("ea_version", TEXT),
        sa.Column("trade_mode", TEXT),
        sa.Column("trade_allowed", WHOLE),
        sa.Column("connected", WHOLE),
        sa.Column("tz_offset_seconds", WHOLE),
        sa.Column("clock_drift_ms", WHOLE),
        sa.Column("balance", REAL),
        sa.Column("equity", REAL),
        sa.Column("currency", TEXT),
        sa.Column("positions", WHOLE),
        sa.Column("ticks_sent", WHOLE),
        sa.Column("ticks_dropped", WHOLE),
        sa.Column("symbols", JSON),
        sqlite_strict=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("key_hash", TEXT, nullable=False, unique=True),
        sa.Column("key_start", TEXT, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("last_used_at", TEXT),
        sa.Column("revoked_at", TEXT),
        sqlite_strict=True,
    )
    op.create_table(
        "backtest_results",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("import_timestamp", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("strategy_name", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("start_date", TEXT),
        sa.Column("end_date", TEXT),
        sa.Column("total_return", REAL),
        sa.Column("sharpe_ratio", REAL),
        sa.Column("win_rate", REAL),
        sa.Column("max_drawdown", REAL),
        sa.Column("trades_count", WHOLE),
        sa.Column("full_results", JSON),
        sa.Column("inputs", JSON),
        sa.Column("deals", JSON),
        sa.Column("totals_agree", WHOLE),
        sa.Column("problems", JSON),
        sa.Column("file_name", TEXT),
        sa.Column("content_sha256", TEXT, nullable=False, unique=True),
        sqlite_strict=True,
    )
    op.create_index("live_ticks_by_time", "live_ticks", ["symbol", "time_ms", "id"])
    op.create_index("tick_gaps_by_time", "tick_gaps", ["received_ms"])
    op.create_index("trading_signals_open", "trading_signals", ["id"], sqlite_where=_OPEN)
    op.create_index("trading_signals_ending", "trading_signals", ["valid_until_ms"], sqlite_where=_OPEN)
    op.create_index("signal_events_by_signal", "signal_events", ["signal_id"])
    op.create_index("backtest_results_by_symbol", "backtest_results", ["symbol"])
