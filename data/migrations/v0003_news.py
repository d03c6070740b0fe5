"""News: articles with an index of their titles, tone, what was answered, and whose turn it is at a vendor's server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import REAL, TEXT, WHOLE


def upgrade() -> None:
    """Make the four tables and the index of titles."""
    op.create_table(
        "news_articles",
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
        sqlite_strict=True,
    )
    op.create_index("news_articles_by_seen", "news_articles", ["currency", "seen_at"])
    # Without triggers: SQLite 3.40 refuses FTS5 inside one ("unsafe use of virtual table") while trusted_schema
    # is off, as the store sets it. data/news.py, which alone writes articles, enters their titles with them.
    op.execute("CREATE VIRTUAL TABLE news_articles_text USING fts5(title, content='news_articles', content_rowid='id')")
    op.create_table(
        "news_tone",
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
        sqlite_strict=True,
    )
    op.create_table(
        "news_coverage",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("countries", TEXT, nullable=False),
        sa.Column("covered_from", TEXT, nullable=False),
        sa.Column("covered_until", TEXT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("news_coverage_by_what", "news_coverage", ["kind", "currency", "countries"])
    op.create_table(
        "source_throttle",
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("next_allowed_at", TEXT, nullable=False),
        sa.Column("reserved_at", TEXT, nullable=False),
        sqlite_strict=True,
    )
