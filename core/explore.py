"""Looking into any database of the workbench without being able to change it: tables, rows, search, SQL.

What is opened here is opened read-only, every statement is checked by SQLite itself while it is prepared,
and one that takes too long, or returns too much, is stopped.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from core.errors import InputError, StoreLockedError, StoreUnusableError
from core.names import unknown_name
from core.settings import current_settings, output_folder

MOST_ROWS = 1_000
MOST_SECONDS = 5.0
_STEPS_BETWEEN_LOOKS = 10_000
_SAID_ELSEWHERE = "The page that uses this database says what to do with it."
# What SQLite may do for a reader; everything else (writing, attaching, settings) is refused while it is prepared.
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
# A full-text index names the table whose text it holds.
_CONTENT_OF_INDEX = re.compile(r"""using\s+fts5\b.*\bcontent\s*=\s*['"\[]?(\w+)""", re.I | re.S)
_DENIED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "writefile", "edit"}


@dataclass(frozen=True)
class TableInfo:
    """A table or view: its columns with their types, its rows, and whether its text can be searched."""

    name: str
    is_view: bool
    columns: dict[str, str]
    rows: int
    searchable: bool


@dataclass(frozen=True)
class Found:
    """Rows that were read; `more` when there are more than were asked for."""

    table: pd.DataFrame
    more: bool
    seconds: float


def databases() -> list[str]:
    """The names of the databases there are in this workbench, files set aside and backups included."""
    folder = output_folder()
    return sorted(file.name for file in folder.glob("*.db") if not file.name.startswith(".")) if folder.is_dir() else []


def describe(database: str) -> list[TableInfo]:
    """The tables and views of a database, tables first. Raises UnknownNameError or StoreUnusableError."""
    with _open(database) as connection:
        listed = connection.execute("SELECT name, type, coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
        made = {name: (kind, sql) for name, kind, sql in listed.fetchall() if kind in {"table", "view"}}
        indexed = {match[1] for _, sql in made.values() if (match := _CONTENT_OF_INDEX.search(sql))}
        return [
            TableInfo(
                name,
                kind == "view",
                {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({_quoted(name)})")},
                connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0],  # noqa: S608  # quoted
                name in indexed,
            )
            for name, (kind, _sql) in made.items()
            if not _is_inner(name, made)
        ]


def rows(
    database: str, table: str, *, contains: str = "", search: str = "", newest_first: bool = True, skip: int = 0
) -> Found:
    """Up to `MOST_ROWS` rows of a table whose text `contains` something, or that a full-text `search` finds.

    Raises UnknownNameError, InputError for a search that cannot be read, or StoreUnusableError.
    """
    known = {each.name: each for each in describe(database)}
    if table not in known:
        raise unknown_name("table", table, known)
    info = known[table]
    name = _quoted(table)
    page = f" LIMIT {MOST_ROWS + 1} OFFSET {int(skip)}"
    if search:
        index = _index_of(database, info)
        matching = (
            f"SELECT t.* FROM {index} JOIN {name} AS t ON t.rowid = {index}.rowid WHERE {index} MATCH ? ORDER BY rank"  # noqa: S608
        )
        return _read(database, matching + page, [_as_words(search)])
    conditions = " OR ".join(f"instr(lower({_quoted(column)}), lower(?))" for column in info.columns)
    where = f" WHERE {conditions}" if contains else ""
    order = " ORDER BY rowid DESC" if newest_first and not info.is_view else ""
    everything = f"SELECT * FROM {name}{where}{order}"  # noqa: S608  # the names are quoted
    return _read(database, everything + page, [contains] * len(info.columns) if contains else [])


def query(database: str, sql: str) -> Found:
    """What a statement of the reader's own returns: up to `MOST_ROWS` rows within `MOST_SECONDS`.

    Raises InputError for what SQLite does not understand, what would change anything, and what takes too long.
    """
    if not sql.strip():
        raise InputError("There is no SQL to run.", "Write a SELECT.")
    return _read(database, sql, [])


def _read(database: str, sql: str, values: list[str]) -> Found:
    began = time.perf_counter()
    with _open(database) as connection:
        deadline = time.monotonic() + MOST_SECONDS
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS_BETWEEN_LOOKS)
        try:
            cursor = connection.execute(sql, values)
            if cursor.description is None:
                raise InputError("This statement returns no rows.", "Write a SELECT; nothing can be changed here.")
            names = [column[0] for column in cursor.description]
            fetched = cursor.fetchmany(MOST_ROWS + 1)
        except sqlite3.Warning as error:
            raise InputError(f"{error}", "Run one statement at a time.") from error
        except sqlite3.ProgrammingError as error:
            raise InputError(f"SQLite cannot run this: {error}.", "Run one SELECT at a time.") from error
        except sqlite3.DatabaseError as error:
            raise _refusal(error) from error
    table = pd.DataFrame(fetched[:MOST_ROWS], columns=_each_once(names))
    return Found(table, len(fetched) > MOST_ROWS, time.perf_counter() - began)


def _index_of(database: str, info: TableInfo) -> str:
    """The full-text index of a table, quoted. Raises InputError when it has none."""
    with _open(database) as connection:
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE sql LIKE '%USING fts5%'"):
            match = _CONTENT_OF_INDEX.search(sql)
            if match and match[1] == info.name:
                return _quoted(name)
    raise InputError(f"{info.name} has no full-text index.", "Filter by what its cells contain instead.")


def _refusal(error: sqlite3.DatabaseError) -> Exception:
    kind = getattr(error, "sqlite_errorname", "") or ""
    if kind == "SQLITE_AUTH":
        return InputError(
            "This would change something, or reach outside the database.", "Only reading is possible here."
        )
    if kind == "SQLITE_INTERRUPT":
        return InputError(
            f"This took longer than {MOST_SECONDS:g} s and was stopped.", "Narrow it, or use your own SQLite."
        )
    if kind.startswith(("SQLITE_BUSY", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR")):
        return error  # the door tells what that means
    return InputError(f"SQLite does not understand this: {error}.", "Check the names; the tables are listed beside.")


@contextmanager
def _open(database: str) -> Iterator[sqlite3.Connection]:
    """A connection that can only read one of the workbench's own databases, named, never by a path."""
    if database not in databases():
        raise unknown_name("database", database, databases())
    path = output_folder() / database
    if path.stat().st_size == 0:  # which SQLite takes for a database without tables
        raise StoreUnusableError(f"{path} is an empty file.", _SAID_ELSEWHERE)
    address = f"file:{quote(str(path))}?mode=ro"
    timeout = current_settings().store.busy_timeout_seconds
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=timeout, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            # Views of ours call json_object, which SQLite only later came to call harmless (PRAGMA trusted_schema would
            # refuse it): what a schema may do is left to the same judge as what a reader may.
            connection.set_authorizer(_allow_reading)
            yield connection
    except sqlite3.DatabaseError as error:
        raise _unreadable(error, path) from error


def _unreadable(error: sqlite3.DatabaseError, path: Path) -> Exception:
    kind = getattr(error, "sqlite_errorname", "") or ""
    if kind.startswith("SQLITE_BUSY"):
        return StoreLockedError(f"Another program holds {path}.", "Close it, then try again.")
    return StoreUnusableError(f"{path} cannot be read ({error}).", _SAID_ELSEWHERE)


def _allow_reading(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DENIED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    # A read-only look at the layout of a table; any other PRAGMA could change how the connection behaves.
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in {"table_info", "table_xinfo", "index_list"}:
        return sqlite3.SQLITE_OK
    # What a full-text index does to open itself; SQLite lets nobody else change its list of tables.
    if (action, first, second) == (sqlite3.SQLITE_PRAGMA, "data_version", None):
        return sqlite3.SQLITE_OK
    if (action, first) == (sqlite3.SQLITE_UPDATE, "sqlite_master"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _is_inner(name: str, names: Iterable[str]) -> bool:
    """Whether a table is SQLite's own, or one of those in which a full-text index keeps itself."""
    inner = ("_data", "_idx", "_content", "_docsize", "_config")
    return name.startswith("sqlite_") or any(
        name.endswith(ending) and name.removesuffix(ending) in names for ending in inner
    )


def _as_words(text: str) -> str:
    """`text` as the words to find, whatever signs are in it: FTS5 has a language of its own."""
    return " ".join('"' + word.replace('"', '""') + '"' for word in text.split())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _each_once(names: list[str]) -> list[str]:
    """Names of columns, none twice: a join may return two of one name."""
    seen: dict[str, int] = {}
    once = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        once.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return once
