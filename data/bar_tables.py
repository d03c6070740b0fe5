"""The tables of `market_data.db`: bars, what was asked for, and where answers differ.

Times are integers, milliseconds since 1970 in UTC. The view `market_data_utc` writes them as text.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import REAL, TEXT, WHOLE, Module, strict_table

_metadata = sa.MetaData()

tradable_pairs = strict_table(
    "tradable_pairs",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("symbol", TEXT, nullable=False, unique=True),
    sa.Column("added_at", WHOLE, nullable=False),
)

market_data = strict_table(
    "market_data",
    _metadata,
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
    # In this order the bars of one series lie side by side, in order of time.
    sa.UniqueConstraint("symbol", "timeframe", "type", "source", "time"),
)

series = strict_table(
    "bar_series",
    _metadata,
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
)

coverage = strict_table(
    "bar_coverage",
    _metadata,
    sa.Column("symbol", TEXT, primary_key=True),
    sa.Column("timeframe", TEXT, primary_key=True),
    sa.Column("source", TEXT, primary_key=True),
    sa.Column("start", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("end", WHOLE, nullable=False),
    sa.Column("fetched_at", WHOLE, nullable=False),
)

disagreements = strict_table(
    "source_disagreements",
    _metadata,
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
)

MARKET_DATA = Module("market_data", 0x53510003, _metadata, Path(__file__).parent / "bar_migrations")
