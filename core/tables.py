"""The tables of `operations.db`: which processes live, who leads, what is scheduled; and the shape of a job table."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, strict_table

_metadata = sa.MetaData()

processes = strict_table(
    "processes",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("role", TEXT, nullable=False),
    sa.Column("host", TEXT, nullable=False),
    sa.Column("pid", WHOLE, nullable=False),
    sa.Column("started_at", TEXT, nullable=False),
    sa.Column("beat_at", TEXT, nullable=False),
    sa.Column("words", TEXT, nullable=False),
    sa.UniqueConstraint("role", "host", "pid", "started_at"),
)

leases = strict_table(
    "leases",
    _metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("holder", TEXT, nullable=False),
    sa.Column("until", TEXT, nullable=False),
)

schedules = strict_table(
    "schedules",
    _metadata,
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
)

OPERATIONS = Module("operations", 0x53510008, _metadata, Path(__file__).parent / "migrations")


def job_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """The table of one queue, in the database of the module whose results its jobs commit."""
    return strict_table(name, metadata, *job_columns())


def job_columns() -> list[sa.Column[object] | sa.UniqueConstraint]:
    """The columns every queue has; migrations make their tables of the same."""
    return [
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("priority", WHOLE, nullable=False),
        sa.Column("attempt", WHOLE, nullable=False),
        sa.Column("attempts_allowed", WHOLE, nullable=False),
        sa.Column("started_at", TEXT),
        sa.Column("ended_at", TEXT),
        sa.Column("worker", TEXT),
        sa.Column("lease_until", TEXT),
        sa.Column("progress", REAL, nullable=False),
        sa.Column("words", TEXT, nullable=False),
        sa.Column("cancel_asked", WHOLE, nullable=False),
        sa.Column("checkpoint", JSON),
        sa.Column("result", JSON),
        sa.Column("failure", TEXT),
        sa.Column("cure", TEXT),
        sa.Column("schedule_id", WHOLE),
        sa.Column("fire_time", TEXT),
        sa.UniqueConstraint("schedule_id", "fire_time"),
    ]
