"""First tables: scans, findings, setups, volatility ranks, jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE
from core.tables import job_columns


def upgrade() -> None:
    """Make the five tables."""
    op.create_table(
        "scanner_scans",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("first_time", TEXT),
        sa.Column("scanned_until", TEXT),
        sa.Column("scanned_at", TEXT, nullable=False),
        sa.Column("bars", WHOLE, nullable=False),
        sa.Column("findings", WHOLE, nullable=False),
        sa.Column("candidates", WHOLE, nullable=False),
        sa.Column("setups", WHOLE, nullable=False),
        sa.Column("kinds", JSON, nullable=False),
        sa.Column("scores", JSON, nullable=False),
        sa.Column("read_ms", REAL, nullable=False),
        sa.Column("scan_ms", REAL, nullable=False),
        sa.Column("failure", TEXT),
        sa.Column("cure", TEXT),
        sa.Column("job_id", WHOLE),
        sa.UniqueConstraint("symbol", "timeframe", "source"),
        sqlite_strict=True,
    )
    op.create_table(
        "scanner_findings",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("scan_id", WHOLE, sa.ForeignKey("scanner_scans.id", ondelete="CASCADE"), nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("direction", TEXT, nullable=False),
        sa.Column("level", REAL, nullable=False),
        sa.Column("low", REAL, nullable=False),
        sa.Column("high", REAL, nullable=False),
        sa.Column("formed_at", TEXT, nullable=False),
        sa.Column("known_at", TEXT, nullable=False),
        sa.Column("ended_at", TEXT),
        sa.Column("end_reason", TEXT, nullable=False),
        sa.Column("strength", REAL),
        sqlite_strict=True,
    )
    op.create_table(
        "scanner_setups",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("scan_id", WHOLE, sa.ForeignKey("scanner_scans.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("direction", TEXT, nullable=False),
        sa.Column("trigger", TEXT, nullable=False),
        sa.Column("formed_at", TEXT, nullable=False),
        sa.Column("known_at", TEXT, nullable=False),
        sa.Column("entry", REAL, nullable=False),
        sa.Column("stop", REAL),
        sa.Column("invalidation", REAL),
        sa.Column("targets", JSON, nullable=False),
        sa.Column("target", REAL),
        sa.Column("risk_reward", REAL),
        sa.Column("score", REAL, nullable=False),
        sa.Column("confidence", REAL, nullable=False),
        sa.Column("patterns", WHOLE, nullable=False),
        sa.Column("atr", REAL),
        sa.Column("cost_to_atr", REAL),
        sa.Column("parts", JSON, nullable=False),
        sa.Column("why_not", JSON, nullable=False),
        sa.Column("is_setup", WHOLE, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("ended_at", TEXT),
        sa.Column("job_id", WHOLE),
        sa.UniqueConstraint("scan_id", "known_at", "direction"),
        sqlite_strict=True,
    )
    op.create_table(
        "volatility_ranks",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("ranked_at", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("rank", WHOLE),
        sa.Column("selected", WHOLE, nullable=False),
        sa.Column("atr", REAL),
        sa.Column("atr_pct", REAL),
        sa.Column("day_range_pct", REAL),
        sa.Column("cost_to_atr", REAL),
        sa.Column("close", REAL),
        sa.Column("bars", WHOLE, nullable=False),
        sa.Column("last_time", TEXT),
        sa.Column("skipped", TEXT),
        sa.Column("job_id", WHOLE),
        sqlite_strict=True,
    )
    op.create_table("scanner_jobs", *job_columns(), sqlite_strict=True)
    op.create_index("scanner_findings_by_known", "scanner_findings", ["scan_id", "known_at"])
    op.create_index("scanner_setups_by_known", "scanner_setups", ["is_setup", "known_at"])
    op.create_index("volatility_ranks_by_ranked", "volatility_ranks", ["ranked_at"])
