"""The tables of `data_pipeline.db`: what was collected, prepared, checked and published; news; turns at servers."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, strict_table
from core.tables import job_table

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
    sa.Column("problems", JSON),
    sa.Column("day_cut", TEXT),
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
    sa.Column("note", TEXT),
    sa.Column("tags", JSON),
    sa.Column("day_cut", TEXT),
    sa.Column("pinned_at", TEXT),
)
sa.Index("dataset_versions_by_hash", versions.c.content_hash)

news_articles = strict_table(
    "news_articles",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("url", TEXT, nullable=False),
    sa.Column("currency", TEXT, nullable=False),
    sa.Column("title", TEXT, nullable=False),
    sa.Column("domain", TEXT, nullable=False),
    sa.Column("language", TEXT),
    sa.Column("source_country", TEXT),
    sa.Column("published_at", TEXT),
    sa.Column("seen_at", TEXT, nullable=False),
    sa.Column("fetched_at", TEXT, nullable=False),
    sa.UniqueConstraint("url", "currency"),
)
sa.Index("news_articles_by_seen", news_articles.c.currency, news_articles.c.seen_at)
# The index of their titles is no table of SQLAlchemy's; an absent database, read as an empty one, has it too.
sa.event.listen(
    news_articles,
    "after_create",
    sa.DDL(  # type: ignore[no-untyped-call]
        "CREATE VIRTUAL TABLE news_articles_text USING fts5(title, content='news_articles', content_rowid='id')"
    ),
)

news_tone = strict_table(
    "news_tone",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("currency", TEXT, nullable=False),
    sa.Column("countries", TEXT, nullable=False),
    sa.Column("time", TEXT, nullable=False),
    sa.Column("step_minutes", WHOLE, nullable=False),
    sa.Column("known_at", TEXT, nullable=False),
    sa.Column("tone", REAL, nullable=False),
    sa.Column("volume", WHOLE),
    sa.Column("all_articles", WHOLE),
    sa.Column("fetched_at", TEXT, nullable=False),
    sa.UniqueConstraint("currency", "countries", "step_minutes", "time"),
)

news_coverage = strict_table(
    "news_coverage",
    _metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("kind", TEXT, nullable=False),
    sa.Column("currency", TEXT, nullable=False),
    sa.Column("countries", TEXT, nullable=False),
    sa.Column("covered_from", TEXT, nullable=False),
    sa.Column("covered_until", TEXT, nullable=False),
)
sa.Index("news_coverage_by_what", news_coverage.c.kind, news_coverage.c.currency, news_coverage.c.countries)

source_throttle = strict_table(
    "source_throttle",
    _metadata,
    sa.Column("source", TEXT, primary_key=True),
    sa.Column("next_allowed_at", TEXT, nullable=False),
    sa.Column("reserved_at", TEXT, nullable=False),
)

jobs = job_table("data_jobs", _metadata)
sa.Index("data_jobs_by_status", jobs.c.status)

DATA_PIPELINE = Module("data_pipeline", 0x53510001, _metadata, Path(__file__).parent / "migrations")
