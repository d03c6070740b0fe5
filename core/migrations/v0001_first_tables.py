"""First tables: processes, leases, schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, TEXT, WHOLE


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "processes",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("pid", WHOLE, nullable=False),
        sa.Column("started_at", TEXT, nullable=False),
        sa.Column("beat_at", TEXT, nullable=False),
        sa.Column("words", TEXT, nullable=False),
        sa.UniqueConstraint("role", "host", "pid", "started_at"),
        sqlite_strict=True,
    )
    op.create_table(
        "leases",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("until", TEXT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "schedules",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("queue", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("cron", TEXT, nullable=False),
        sa.Column("enabled", WHOLE, nullable=False),
        sa.Column("next_run_at", TEXT, nullable=False),
        sa.Column("last_fired_at", TEXT),
        sa.Column("missed", WHOLE, nullable=False),
        sqlite_strict=True,
    )
