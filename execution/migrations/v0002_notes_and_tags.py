"""What a person writes to a run: a note and tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, TEXT


def upgrade() -> None:
    """Add both columns, empty for the runs there are."""
    op.add_column("backtest_runs", sa.Column("note", TEXT))
    op.add_column("backtest_runs", sa.Column("tags", JSON))
