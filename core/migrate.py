"""Forward migrations of one database: files `v0001_words.py` with an `upgrade()`, run by Alembic's operations.

The number in a file's name is the version it leads to; SQLite's `user_version` records the one reached.
"""

from __future__ import annotations

import re
import runpy
import threading
from pathlib import Path

import sqlalchemy as sa

_FILE = re.compile(r"v(\d{4})_\w+\.py")
_one_at_a_time = threading.Lock()  # `alembic.op` is one global per process, not per thread


def newest_version(folder: Path) -> int:
    """The version that the migrations in `folder` lead to, read from their file names alone."""
    return max(_numbered(folder))


def run_migrations(connection: sa.Connection, folder: Path, reached: int) -> None:
    """Bring an open write transaction from version `reached` to the newest.

    Triggers of rebuilt tables are made again: SQLite drops them with the old table, in silence.
    Raises RuntimeError when a foreign key points nowhere afterwards; the caller then rolls back.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    with _one_at_a_time, Operations.context(MigrationContext.configure(connection)):
        for number, file in sorted(_numbered(folder).items()):
            if number > reached:
                _upgrade(connection, file)
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"migrating {folder} left rows whose foreign key points nowhere: {broken[:3]}")
    connection.exec_driver_sql(f"PRAGMA user_version = {newest_version(folder)}")


def _upgrade(connection: sa.Connection, file: Path) -> None:
    triggers, tables = _triggers(connection), _tables(connection)
    runpy.run_path(str(file))["upgrade"]()
    kept, now = _triggers(connection), _tables(connection)
    for name, (table, sql) in triggers.items():
        if name not in kept and table in now and now[table] != tables.get(table):
            connection.exec_driver_sql(sql)


def _numbered(folder: Path) -> dict[int, Path]:
    return {int(match[1]): file for file in folder.iterdir() if (match := _FILE.fullmatch(file.name))}


def _triggers(connection: sa.Connection) -> dict[str, tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {str(name): (str(table), str(sql)) for name, table, sql in rows}


def _tables(connection: sa.Connection) -> dict[str, int]:
    """The root page of each table: the one that takes a dropped table's name in a rebuild has another."""
    rows = connection.exec_driver_sql("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'")
    return {str(name): int(page) for name, page in rows}
