"""A toy module with one database, as the floors above have theirs; tests and their processes import it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from core.store import JSON, REAL, TEXT, WHOLE, Module, Store, strict_table

metadata = sa.MetaData()
notes = strict_table(
    "notes",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("words", TEXT),
    sa.Column("count", WHOLE),
    sa.Column("price", REAL),
    sa.Column("details", JSON),
)
module = Module("notebook", 0x5E0_7E57, metadata, Path(__file__).parent / "migrations")
store = Store(module)


def add(words: str, **values: object) -> None:
    """Store one note."""
    with store.write() as connection:
        connection.execute(notes.insert(), {"words": words, **values})


def words() -> list[str]:
    """The words of every note, oldest first."""
    return [row["words"] for row in store.rows(sa.select(notes).order_by(notes.c.id))]
