from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import TEXT, WHOLE
from core.tables import job_columns


def upgrade() -> None:
    op.create_table("errands", *job_columns(), sqlite_strict=True)
    op.create_table(
        "parcels",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("words", TEXT, nullable=False),
        sqlite_strict=True,
    )
