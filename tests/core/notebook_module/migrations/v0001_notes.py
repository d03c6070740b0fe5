"""The notes."""

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("words", TEXT),
        sa.Column("count", WHOLE),
        sa.Column("price", REAL),
        sa.Column("details", JSON),
        sqlite_strict=True,
    )
