"""The queue of the data floor; what went wrong in a collection; where a vendor cuts its days; pinned versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, TEXT
from core.tables import job_columns


def upgrade() -> None:
    """Make the job table and add the columns."""
    op.create_table("data_jobs", *job_columns(), sqlite_strict=True)
    op.create_index("data_jobs_by_status", "data_jobs", ["status"])
    op.add_column("data_collections", sa.Column("problems", JSON))
    op.add_column("data_collections", sa.Column("day_cut", TEXT))
    op.add_column("dataset_versions", sa.Column("day_cut", TEXT))
    op.add_column("dataset_versions", sa.Column("pinned_at", TEXT))
