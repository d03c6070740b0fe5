"""First tables: collections, preprocessing, validation, dataset versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "data_collections",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("sources", JSON, nullable=False),
        sa.Column("symbols", JSON, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("start_date", TEXT, nullable=False),
        sa.Column("end_date", TEXT, nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("first_time", TEXT),
        sa.Column("last_time", TEXT),
        sa.Column("attribution", TEXT, nullable=False),
        sa.Column("duration_seconds", REAL, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "data_preprocessing",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("collection_id", WHOLE, sa.ForeignKey("data_collections.id")),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("code_version", WHOLE, nullable=False),
        sa.Column("columns_added", JSON, nullable=False),
        sa.Column("fitted", JSON, nullable=False),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("warmup_rows", WHOLE, nullable=False),
        sa.Column("looks_ahead", WHOLE, nullable=False),
        sa.Column("derived_digest", TEXT, nullable=False),
        sa.Column("duration_seconds", REAL, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "data_validation",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("collection_id", WHOLE, sa.ForeignKey("data_collections.id")),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("rules", JSON, nullable=False),
        sa.Column("duration_seconds", REAL, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "dataset_versions",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("content_hash", TEXT, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("symbols", JSON, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("first_time", TEXT, nullable=False),
        sa.Column("last_time", TEXT, nullable=False),
        sa.Column("collection_id", WHOLE, sa.ForeignKey("data_collections.id")),
        sa.Column("preprocessing_id", WHOLE, sa.ForeignKey("data_preprocessing.id")),
        sa.Column("validation_id", WHOLE, sa.ForeignKey("data_validation.id")),
        sa.Column("verdict", TEXT),
        sa.Column("looks_ahead", WHOLE, nullable=False),
        sa.Column("attribution", TEXT, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("dataset_versions_by_hash", "dataset_versions", ["content_hash"])
