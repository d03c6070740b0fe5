"""The tables of `mql5_data.db`: ticks, signals and their history, terminals, their deals, keys, imported backtests.

Columns that end in `_ms` are milliseconds since 1970: UTC, but for `broker_ms`, the broker's wall clock as it came.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, strict_table

_metadata = sa.MetaData()

ticks = strict_table(
    "live_ticks",
    _metadata,
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
)
sa.Index("live_ticks_by_time", ticks.c.symbol, ticks.c.time_ms, ticks.c.id)

gaps = strict_table(
    "tick_gaps",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("source", TEXT, nullable=False),
    sa.Column("symbol", TEXT, nullable=False),
    sa.Column("after_sequence", WHOLE, nullable=False),
    sa.Column("before_sequence", WHOLE, nullable=False),
    sa.Column("missing", WHOLE, nullable=False),
    sa.Column("time_ms", WHOLE, nullable=False),
    sa.Column("received_ms", WHOLE, nullable=False),
)
sa.Index("tick_gaps_by_time", gaps.c.received_ms)
sa.Index("tick_gaps_by_stream", gaps.c.source, gaps.c.symbol, gaps.c.time_ms)

signals = strict_table(
    "trading_signals",
    _metadata,
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
    sa.Column("target", TEXT),
)
_OPEN = signals.c.status.in_(("pending", "leased"))
# What a terminal polls for stays a short list however many signals are behind it.
sa.Index("trading_signals_open", signals.c.id, sqlite_where=_OPEN)
sa.Index("trading_signals_ending", signals.c.valid_until_ms, sqlite_where=_OPEN)

events = strict_table(
    "signal_events",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("signal_id", WHOLE, sa.ForeignKey("trading_signals.id"), nullable=False),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("status", TEXT, nullable=False),
    sa.Column("client", TEXT),
    sa.Column("words", TEXT, nullable=False),
    sa.Column("details", JSON),
)
sa.Index("signal_events_by_signal", events.c.signal_id)

terminals = strict_table(
    "terminals",
    _metadata,
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
    sa.Column("kill_switch", WHOLE),
    sa.Column("margin_free", REAL),
    sa.Column("open_positions", JSON),
    sa.Column("symbol_specs", JSON),
)

deals = strict_table(
    "terminal_deals",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("client", TEXT, nullable=False),
    sa.Column("deal", WHOLE, nullable=False),
    sa.Column("order_ticket", WHOLE, nullable=False),
    sa.Column("position", WHOLE, nullable=False),
    sa.Column("symbol", TEXT, nullable=False),
    sa.Column("side", TEXT, nullable=False),
    sa.Column("entry", TEXT, nullable=False),
    sa.Column("volume", REAL, nullable=False),
    sa.Column("price", REAL, nullable=False),
    sa.Column("commission", REAL, nullable=False),
    sa.Column("swap", REAL, nullable=False),
    sa.Column("profit", REAL, nullable=False),
    sa.Column("time_ms", WHOLE, nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    sa.Column("comment", TEXT, nullable=False),
    sa.Column("magic", WHOLE, nullable=False),
    sa.Column("received_ms", WHOLE, nullable=False),
    sa.UniqueConstraint("client", "deal"),
)
sa.Index("terminal_deals_by_time", deals.c.client, deals.c.time_ms)
sa.Index("terminal_deals_by_position", deals.c.client, deals.c.position)

keys = strict_table(
    "api_keys",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("name", TEXT, nullable=False),
    sa.Column("key_hash", TEXT, nullable=False, unique=True),
    sa.Column("key_start", TEXT, nullable=False),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("last_used_at", TEXT),
    sa.Column("revoked_at", TEXT),
)


results = strict_table(
    "backtest_results",
    _metadata,
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
)
sa.Index("backtest_results_by_symbol", results.c.symbol)

MQL5_DATA = Module("mql5_data", 0x53510006, _metadata, Path(__file__).parent / "migrations")
