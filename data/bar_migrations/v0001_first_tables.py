"""First tables: tradable pairs, bars, their series, coverage, disagreements; and the bars with times as text."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import REAL, TEXT, WHOLE


def upgrade() -> None:
    """Make the five tables and the view."""
    op.create_table(
        "tradable_pairs",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("symbol", TEXT, nullable=False, unique=True),
        sa.Column("added_at", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "market_data",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("time", WHOLE, nullable=False),
        sa.Column("open", REAL, nullable=False),
        sa.Column("high", REAL, nullable=False),
        sa.Column("low", REAL, nullable=False),
        sa.Column("close", REAL, nullable=False),
        sa.Column("volume", REAL, nullable=False),
        sa.Column("spread_points", REAL),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("fetched_at", WHOLE, nullable=False),
        sa.CheckConstraint("type IN ('historical', 'live')"),
        sa.UniqueConstraint("symbol", "timeframe", "type", "source", "time"),
        sqlite_strict=True,
    )
    op.create_table(
        "bar_series",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("first", WHOLE, nullable=False),
        sa.Column("last", WHOLE, nullable=False),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("cut_zone", TEXT),
        sa.Column("cut_hour", WHOLE),
        sa.Column("cut_skips_weekend", WHOLE),
        sa.UniqueConstraint("symbol", "timeframe", "type", "source"),
        sqlite_strict=True,
    )
    op.create_table(
        "bar_coverage",
        sa.Column("symbol", TEXT, primary_key=True),
        sa.Column("timeframe", TEXT, primary_key=True),
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("start", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("end", WHOLE, nullable=False),
        sa.Column("fetched_at", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "source_disagreements",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("found_at", WHOLE, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("time", WHOLE, nullable=False),
        sa.Column("column", TEXT, nullable=False),
        sa.Column("stored", REAL),
        sa.Column("offered", REAL, nullable=False),
        sa.UniqueConstraint("symbol", "timeframe", "type", "source", "time", "column", "offered"),
        sqlite_strict=True,
    )
    op.execute(
        "CREATE VIEW market_data_utc AS SELECT id, symbol, timeframe, open, high, low, close, volume, "
        "strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS time, type, source, spread_points "
        "FROM market_data"
    )
