"""What a person writes to a dataset version: a note and tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, TEXT


def upgrade() -> None:
    """Add both columns, empty for the versions there are."""
    op.add_column("dataset_versions", sa.Column("note", TEXT))
    op.add_column("dataset_versions", sa.Column("tags", JSON))
