"""The tables of `data_pipeline.db`: what was collected, prepared, checked and published."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, strict_table

_metadata = sa.MetaData()

collections = strict_table(
    "data_collections",
    _metadata,
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
)

preprocessing = strict_table(
    "data_preprocessing",
    _metadata,
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
)

validation = strict_table(
    "data_validation",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("collection_id", WHOLE, sa.ForeignKey("data_collections.id")),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("status", TEXT, nullable=False),
    sa.Column("rows", WHOLE, nullable=False),
    sa.Column("rules", JSON, nullable=False),
    sa.Column("duration_seconds", REAL, nullable=False),
)

versions = strict_table(
    "dataset_versions",
    _metadata,
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
)
sa.Index("dataset_versions_by_hash", versions.c.content_hash)

DATA_PIPELINE = Module("data_pipeline", 0x53510001, _metadata, Path(__file__).parent / "migrations")
