"""One database per module: SQLite files under `output_central/`, created, recognised, migrated and written safely.

    with store.write() as connection:      # BEGIN IMMEDIATE, committed at the end, rolled back on an error
        connection.execute(table.insert(), {...})
    rows = store.rows(select(table))       # dicts; an absent database reads as an empty one

Why every write begins IMMEDIATE: a deferred transaction that reads before it writes fails at once with
"database is locked" when another writer came between, and no busy timeout helps.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from core.child import CHILD
from core.clock import utc_now
from core.errors import DiskError, SequenceError, StoreLockedError, StoreUnusableError, TryAgainError
from core.folders import disk_error, maker_is_dead, private_name
from core.migrate import newest_version, run_migrations
from core.plain import plain
from core.settings import current_settings, output_folder


class _JsonText(sa.types.TypeDecorator[Any]):
    """JSON kept as text, which STRICT tables accept; NaN and infinities are stored as null."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(plain(value), ensure_ascii=False, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


# The column types of every table. STRICT refuses any other name in SQLite.
TEXT = sa.Text()
REAL: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
WHOLE = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
JSON = sa.JSON().with_variant(_JsonText(), "sqlite")


def strict_table(name: str, metadata: sa.MetaData, *columns: sa.Column[Any] | sa.Constraint) -> sa.Table:
    """A table whose columns refuse values of another type instead of storing them as they come."""
    return sa.Table(name, metadata, *columns, sqlite_strict=True)


def inserted_id(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Enter one row inside an open write transaction; its id."""
    key = connection.execute(table.insert().values(**values)).inserted_primary_key
    if key is None:
        raise ValueError(f"{table.name} has no primary key of its own")
    return int(key[0])


@dataclass(frozen=True)
class Module:
    """What one module keeps: the file's name, the mark by which it is known, its tables and migrations."""

    name: str
    application_id: int
    metadata: sa.MetaData
    migrations: Path


class Store:
    """The database of one module in the workbench that `SEQUENCE_HOME` names at the moment of each call.

    Raises StoreLockedError, StoreUnusableError or DiskError, each naming the file and the cure.
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    @property
    def path(self) -> Path:
        """The database file; it appears with the first write."""
        return output_folder() / f"{self.module.name}.db"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view. An absent database is read as an empty one and is not created."""
        with self._explained():
            metadata = self.module.metadata
            engine = self._open() or _empty_engine(metadata, tuple(metadata.tables))
            with engine.connect() as connection, connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction, alone in the file from its first statement on; creates the database if absent."""
        with self._explained():
            engine = self._open()
            if engine is None:
                self._create()
                engine = self._open()
            if engine is None:
                raise self._vanished()
            with engine.connect().execution_options(write=True) as connection, connection.begin():
                yield connection

    def insert(self, table: sa.Table, **values: Any) -> int:
        """Enter one row in a transaction of its own; its id."""
        with self.write() as connection:
            return inserted_id(connection, table, values)

    def update(self, table: sa.Table, which: sa.ColumnElement[bool], changes: Mapping[str, Any]) -> None:
        """Write `changes` to the rows `which` holds for, in a transaction of its own; without changes do nothing."""
        if changes:
            with self.write() as connection:
                connection.execute(table.update().where(which).values(**changes))

    def remove_folder(self, folder: Path, *, unless: sa.Select[Any]) -> None:
        """Remove what a deleted row left, unless a row that `unless` selects took over its folder meanwhile.

        The row is gone by then: where another program holds the database the folder stays for the next sweep.
        """
        with suppress(SequenceError), self.write() as connection:  # under this lock no folder is placed
            if connection.execute(unless).first() is None:
                shutil.rmtree(folder, ignore_errors=True)

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        """What `query` selects, one dict a row."""
        with self.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def check(self) -> None:
        """Read every page of the file and raise StoreUnusableError when SQLite finds damage."""
        with self.read() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            raise self._damaged(str(found))

    def _open(self) -> sa.Engine | None:
        """The engine of this process for the file that stands at `path` now; None when there is none.

        A file is recognised, and migrated when it is older, the first time this process meets it.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._refuse_orphaned_log()
            return None
        except OSError as error:
            raise disk_error(error, self.path) from error
        identity = (os.getpid(), found.st_dev, found.st_ino)
        with _opened_lock:
            known = _opened.get(self.path)
            if known and known.identity == identity and found.st_size:
                return known.engine
            if self._recognised_version() < newest_version(self.module.migrations):
                self._migrate()
            if known:
                # A connection inherited through a fork is its parent's: drop it, do not close it.
                known.engine.dispose(close=known.identity[0] == os.getpid())
            engine = _new_engine(self.path, journal_mode="WAL")
            _opened[self.path] = _Opened(identity, engine)
            return engine

    def _recognised_version(self) -> int:
        """The version the file is at; raises StoreUnusableError when the file is not ours to use."""
        log_bytes, size = _size(self._log), self.path.stat().st_size
        if size == 0:
            raise self._unusable(f"The database {self.path} is an empty file.")
        with _plain_connection(self.path, read_only=True) as connection:
            application_id = connection.execute("PRAGMA application_id").fetchone()[0]
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        if application_id != self.module.application_id:
            raise self._unusable(
                f"{self.path} is a SQLite database of another program (application_id {application_id})."
            )
        if version > newest_version(self.module.migrations):
            raise self._unusable(
                f"{self.path} was written by a newer Sequence (version {version} of its tables; "
                f"this one knows {newest_version(self.module.migrations)}).",
                "Start the newer Sequence, or point SEQUENCE_HOME at another folder. Set aside here, the file "
                "stays for the newer one and this one begins with nothing.",
            )
        # SQLite itself reads what is missing of the last page as zeros and says nothing.
        if size % page_size and not log_bytes:
            raise self._damaged("its last page is cut short")
        return version

    @property
    def _log(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def _refuse_orphaned_log(self) -> None:
        """SQLite would replay the log of a removed database into the new one under its name."""
        # Asked in this order because a creator puts the database there before its log appears.
        if _size(self._log) and not self.path.exists():
            raise self._unusable(
                f"The database {self.path} is gone but its {self._log.name} is still there.",
                f"Put the database back, or set {self._log.name} aside here (by hand: stop Sequence and move it and "
                "its -shm elsewhere).",
            )

    def _create(self) -> None:
        """Build the database under a private name and link it to its own, unless another process was faster."""
        private = self.path.with_name(f"{private_name()}.db")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _remove_debris(self.path.parent)
            self._build(private)
            _link_unless_there(private, self.path)
        except OSError as error:
            raise disk_error(error, self.path) from error
        finally:
            with suppress(OSError):
                private.unlink()

    def _build(self, file: Path) -> None:
        """Make the newest tables in a new file."""
        # A rollback journal: a killed creation leaves one private file, never a half database under our name.
        engine = _new_engine(file, journal_mode="DELETE", **_FOR_MIGRATIONS)
        try:
            with engine.connect().execution_options(write=True) as connection, connection.begin():
                connection.exec_driver_sql(f"PRAGMA application_id = {self.module.application_id}")
                run_migrations(connection, self.module.migrations, reached=0)
        finally:
            engine.dispose()

    def _migrate(self) -> None:
        """Bring an existing file to the newest version, with a backup beside it, alone in the file."""
        engine = _new_engine(self.path, **_FOR_MIGRATIONS)
        try:
            with engine.connect().execution_options(write=True) as connection, connection.begin():
                reached: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                if reached < newest_version(self.module.migrations):  # another process may have been faster
                    backup = self._back_up(reached)
                    try:
                        run_migrations(connection, self.module.migrations, reached)
                    except BaseException:
                        # The database itself stays as it was; one copy an attempt would fill the disk.
                        backup.unlink(missing_ok=True)
                        raise
        finally:
            engine.dispose()

    def _back_up(self, version: int) -> Path:
        stamp = utc_now().strftime("%Y%m%dT%H%M%SZ")
        target = self.path.with_name(f"{self.module.name}.v{version}.{stamp}.backup.db")
        with _plain_connection(self.path, read_only=True) as source, _plain_connection(target) as copy:
            source.backup(copy)
        return target

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says into what the reader must do."""
        try:
            yield
        except sa.exc.TimeoutError as error:  # all of this process's connections are in use
            raise TryAgainError(f"Too much waits for {self.path} at once.", "Try again in a moment.") from error
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            explained = self._explanation(cause)
            if explained is None:
                raise
            raise explained from error

    def _explanation(self, cause: BaseException | None) -> SequenceError | None:
        kind = (getattr(cause, "sqlite_errorname", None) or "").removeprefix("SQLITE_")
        if kind.startswith(("BUSY", "LOCKED")):
            return StoreLockedError(
                f"Another program holds {self.path} and did not let go within "
                f"{current_settings().store.busy_timeout_seconds:g} s. Nothing was changed and nothing is lost.",
                "Close the program that has it open (a database browser, say) or finish its edit, then try again.",
            )
        if kind.startswith(("CORRUPT", "NOTADB")):
            return self._damaged(str(cause))
        if kind.startswith("FULL"):
            return disk_error(OSError(errno.ENOSPC, "full"), self.path)
        if kind.startswith(("IOERR", "READONLY", "CANTOPEN", "PERM")):
            return DiskError(
                f"{self.path} could not be written ({cause}).", "Check free space and that you may write there."
            )
        return None

    def _vanished(self) -> DiskError:
        return DiskError(f"{self.path} was removed while it was being made.", "Try again; nothing was stored.")

    def _damaged(self, found: str) -> StoreUnusableError:
        return self._unusable(f"The database {self.path} is damaged ({found}).")

    def _unusable(self, what: str, cure: str = "") -> StoreUnusableError:
        aside = (
            "Close every program that has it open and set the file aside here, or move it, its -wal and its -shm "
            "elsewhere (a backup may stand beside it); Sequence never replaces it by itself."
        )
        return StoreUnusableError(what, cure or aside, str(self.path))


def parts_of(path: Path) -> list[Path]:
    """The files of a database that are there: itself, its write-ahead log, and the index of that."""
    parts = (path.with_name(f"{path.name}{ending}") for ending in ("", "-wal", "-shm"))
    return [part for part in parts if part.exists()]


def set_aside(path: Path) -> Path:
    """Rename a database, or the log that one left, to `<name>.set-aside-<time>.db` beside it; the new name.

    Nothing is deleted. Processes of Sequence that have it open find the new file by themselves. Raises
    StoreLockedError naming other programs that have it open, and DiskError.
    """
    holders = _programs_with(parts_of(path))
    if holders:
        raise StoreLockedError(
            f"{path} is open in {', '.join(holders)}; nothing was moved.", "Close it there, then set the file aside."
        )
    with _opened_lock:
        if known := _opened.pop(path, None):
            known.engine.dispose()
    target = path.with_name(f"{path.stem}.set-aside-{utc_now():%Y%m%dT%H%M%SZ}.db")
    try:
        moved = [part.rename(target.with_name(part.name.replace(path.name, target.name))) for part in parts_of(path)]
    except OSError as error:  # Windows refuses to rename what is open
        raise disk_error(error, path) from error
    if not moved:
        raise TryAgainError(f"{path} is not there any more; nothing was moved.", "Try again.")
    return moved[0]


def _programs_with(files: list[Path]) -> list[str]:
    """The programs other than Sequence that have one of the files open, as far as this user may see them."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "name"]):
        with suppress(psutil.Error):
            if process.pid == os.getpid() or not any(Path(file.path) in files for file in process.open_files()):
                continue
            if CHILD not in process.cmdline():
                found.append(f"{process.info['name']} (process {process.pid})")
    return found


@dataclass(frozen=True)
class _Opened:
    identity: tuple[int, int, int]  # process, device, inode
    engine: sa.Engine


_opened: dict[Path, _Opened] = {}
_opened_lock = threading.Lock()
# Rebuilding a table must neither cascade to its children nor trip over the views that name it.
_FOR_MIGRATIONS = {"foreign_keys": "OFF", "legacy_alter_table": "ON"}


def _close_before_fork() -> None:
    # A child that inherits an open connection inherits SQLite's belief that its locks are held, though
    # the system gave them to the parent alone; when the parent closes, it deletes the child's log.
    _opened_lock.acquire()
    for opened in _opened.values():
        if opened.identity[0] == os.getpid():
            opened.engine.dispose()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(
        before=_close_before_fork, after_in_parent=_opened_lock.release, after_in_child=_opened_lock.release
    )


def _new_engine(path: Path, **pragmas: str) -> sa.Engine:
    # As a URL object: a path may hold '?' and '%'.
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": _busy_seconds()})

    @sa.event.listens_for(engine, "connect")
    def _open(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        # FULL: what a page or a client was told is stored must outlive a power cut.
        settings = {"synchronous": "FULL", "foreign_keys": "ON", "trusted_schema": "OFF", **pragmas}
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name} = {value}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")

    return engine


@lru_cache(maxsize=64)
def _empty_engine(metadata: sa.MetaData, _tables: tuple[str, ...]) -> sa.Engine:
    """Empty tables in memory, new ones for each connection: copies of those made once, as a worker asks all day."""
    with closing(sqlite3.connect(":memory:")) as made:
        metadata.create_all(sa.create_engine("sqlite://", creator=lambda: made, poolclass=sa.StaticPool))
        image = made.serialize()

    def copy() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.deserialize(image)
        return connection

    return sa.create_engine("sqlite://", creator=copy, poolclass=sa.NullPool)


@contextmanager
def _plain_connection(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(path.as_posix())}{'?mode=ro' if read_only else ''}"
    connection = sqlite3.connect(uri, uri=True, timeout=_busy_seconds())
    try:
        yield connection
    finally:
        connection.close()


def _busy_seconds() -> float:
    return current_settings().store.busy_timeout_seconds


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _link_unless_there(private: Path, path: Path) -> None:
    try:
        os.link(private, path)
    except FileExistsError:
        pass
    except OSError:
        # A file system without hard links (exFAT). Windows refuses to rename over a file; elsewhere a
        # second creator could still win the moment between these two lines and lose nothing but its tables.
        if not path.exists():
            private.rename(path)


def _remove_debris(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_file() and maker_is_dead(entry.name.removesuffix("-journal").removesuffix(".db")):
            entry.unlink(missing_ok=True)
