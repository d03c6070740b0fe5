from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.migrate import newest_version
from core.store import Module, Store

V1 = """
import sqlalchemy as sa
from alembic import op
from core.store import REAL, TEXT, WHOLE

def upgrade():
    op.create_table("runs", sa.Column("id", WHOLE, primary_key=True), sa.Column("name", TEXT), sqlite_strict=True)
    op.create_table(
        "trades",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("run_id", WHOLE, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("profit", REAL),
        sqlite_strict=True,
    )
    op.create_table("changes", sa.Column("words", TEXT), sqlite_strict=True)
    op.execute("CREATE INDEX runs_by_name ON runs (name)")
    op.execute(
        "CREATE VIEW totals AS "
        "SELECT name, sum(profit) AS total FROM runs JOIN trades ON run_id = runs.id GROUP BY name"
    )
    op.execute(
        "CREATE TRIGGER renamed AFTER UPDATE OF name ON runs "
        "BEGIN INSERT INTO changes VALUES (old.name || ' is ' || new.name); END"
    )
"""
# A rebuild of the parent: SQLite cannot make a column NOT NULL in place.
V2 = """
import sqlalchemy as sa
from alembic import op
from core.store import TEXT

def upgrade():
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("name", existing_type=TEXT, nullable=False)
        runs.add_column(sa.Column("note", TEXT))
"""
V3 = """
from alembic import op

def upgrade():
    op.execute("ALTER TABLE trades ADD COLUMN lots REAL")
"""
FAILING = """
from alembic import op

def upgrade():
    op.execute("ALTER TABLE runs ADD COLUMN half TEXT")
    op.execute("DELETE FROM trades")
    raise RuntimeError("the power went")
"""
ORPHANING = """
from alembic import op

def upgrade():
    op.execute("UPDATE trades SET run_id = 99")
"""
DROPPING = """
from alembic import op

def upgrade():
    op.execute("DROP VIEW totals")
    op.execute("DROP TABLE trades")
    op.execute("DROP TABLE runs")
"""
FILL = """
INSERT INTO runs (id, name) VALUES (1, 'one'), (2, 'two');
INSERT INTO trades (run_id, profit) VALUES (1, 1.5), (1, 2.5), (2, -1.0);
"""


def store_at(folder: Path, *files: str) -> Store:
    """The store whose migrations are `files`, in a folder of their own."""
    migrations = folder / f"migrations_{len(list(folder.glob('migrations_*')))}"
    migrations.mkdir()
    for number, text in enumerate(files, start=1):
        (migrations / f"v{number:04}_step.py").write_text(text)
    return Store(Module("runs", 0x5E0_7E57, sa.MetaData(), migrations))


def filled_store(folder: Path, *files: str) -> Store:
    """A database at the version of `files`, with a parent and children in it, closed by its maker."""
    store = store_at(folder, *files)
    with store.write() as connection:
        for statement in filter(str.strip, FILL.split(";")):
            connection.exec_driver_sql(statement)
    return store


def ask(store: Store, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store.path)) as connection:
        return connection.execute(sql).fetchall()


def backups(store: Store) -> list[Path]:
    return sorted(store.path.parent.glob("*.backup.db"))


def as_met_by_a_new_process(store: Store, tmp_path: Path) -> Store:
    """The same file under another inode: this process recognises it as one it has not met."""
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = store.path.read_bytes()
    for file in store.path.parent.glob(f"{store.path.name}*"):
        file.unlink()
    (tmp_path / "copy").write_bytes(content)
    (tmp_path / "copy").rename(store.path)
    return store


@pytest.fixture
def migrated(tmp_path: Path) -> Store:
    """A filled database of version 1, met by a program of version 2 that rebuilds the parent table."""
    as_met_by_a_new_process(filled_store(tmp_path, V1), tmp_path)
    store = store_at(tmp_path, V1, V2)
    with store.write():
        pass
    return store


def test_rebuilding_a_parent_keeps_its_rows_and_its_childrens(migrated: Store) -> None:
    assert ask(migrated, "SELECT id, name, note FROM runs") == [(1, "one", None), (2, "two", None)]
    assert ask(migrated, "SELECT run_id, profit FROM trades") == [(1, 1.5), (1, 2.5), (2, -1.0)]
    assert ask(migrated, "PRAGMA foreign_key_check") == []


def test_a_rebuilt_table_is_still_strict_and_indexed(migrated: Store) -> None:
    assert set(ask(migrated, "SELECT strict FROM pragma_table_list WHERE name IN ('runs', 'trades')")) == {(1,)}
    assert ask(migrated, "SELECT name FROM pragma_index_list('runs')") == [("runs_by_name",)]


def test_a_rebuilt_table_refuses_what_it_was_rebuilt_to_refuse(migrated: Store) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="NOT NULL"), migrated.write() as connection:
        connection.exec_driver_sql("INSERT INTO runs (id) VALUES (3)")


def test_children_still_follow_their_rebuilt_parent(migrated: Store) -> None:
    with migrated.write() as connection:
        connection.exec_driver_sql("DELETE FROM runs WHERE id = 1")
    assert ask(migrated, "SELECT run_id FROM trades") == [(2,)]


def test_the_trigger_of_a_rebuilt_table_still_fires(migrated: Store) -> None:
    with migrated.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET name = 'first' WHERE id = 1")
    assert ask(migrated, "SELECT words FROM changes") == [("one is first",)]


def test_a_view_over_a_rebuilt_table_still_answers(migrated: Store) -> None:
    assert ask(migrated, "SELECT name, total FROM totals ORDER BY name") == [("one", 4.0), ("two", -1.0)]


def test_a_migrated_database_is_at_the_newest_version_and_a_backup_of_the_old_stands_beside(migrated: Store) -> None:
    assert ask(migrated, "PRAGMA user_version") == [(2,)]
    (backup,) = backups(migrated)
    assert backup.name.startswith("runs.v1.")
    with closing(sqlite3.connect(backup)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert old.execute("PRAGMA application_id").fetchone() == (0x5E0_7E57,)
        assert old.execute("SELECT count(*) FROM trades").fetchone() == (3,)
        assert old.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_new_database_goes_through_every_migration_and_needs_no_backup(tmp_path: Path) -> None:
    store = filled_store(tmp_path, V1, V2, V3)
    assert ask(store, "PRAGMA user_version") == [(3,)]
    assert ask(store, "SELECT name, total FROM totals ORDER BY name") == [("one", 4.0), ("two", -1.0)]
    assert backups(store) == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_database_of_every_earlier_version_comes_to_the_same_schema(tmp_path: Path, version: int) -> None:
    fresh = filled_store(tmp_path, V1, V2, V3)
    wanted = ask(fresh, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
    for file in fresh.path.parent.iterdir():
        file.unlink()
    as_met_by_a_new_process(filled_store(tmp_path, *(V1, V2, V3)[:version]), tmp_path)

    store = store_at(tmp_path, V1, V2, V3)
    with store.read() as connection:  # reading is enough: the rows are wanted in their new form
        assert connection.exec_driver_sql("SELECT count(lots), count(*) FROM trades").one() == (0, 3)
    assert ask(store, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name") == wanted
    assert ask(store, "PRAGMA user_version") == [(3,)]


@pytest.mark.parametrize(
    ("second", "says"), [(FAILING, "the power went"), (ORPHANING, "foreign key points nowhere"), ("wrong(", "closed")]
)
def test_a_failing_migration_changes_nothing_and_leaves_the_old_version_usable(
    tmp_path: Path, second: str, says: str
) -> None:
    old = as_met_by_a_new_process(filled_store(tmp_path, V1), tmp_path)
    before = ask(old, "SELECT type, name, sql FROM sqlite_master")
    failing = store_at(tmp_path, V1, second)
    for _ in range(2):
        with pytest.raises((RuntimeError, SyntaxError), match=says), failing.write():
            pass
    assert ask(old, "SELECT type, name, sql FROM sqlite_master") == before
    assert ask(old, "PRAGMA user_version") == [(1,)]
    assert ask(old, "SELECT run_id, profit FROM trades") == [(1, 1.5), (1, 2.5), (2, -1.0)]
    assert backups(old) == []  # one copy an attempt would fill the disk
    with old.write() as connection:
        connection.exec_driver_sql("INSERT INTO trades (run_id, profit) VALUES (2, 7)")
    assert ask(old, "SELECT count(*) FROM trades") == [(4,)]


def test_a_table_that_a_migration_drops_takes_its_triggers_along(tmp_path: Path) -> None:
    as_met_by_a_new_process(filled_store(tmp_path, V1), tmp_path)
    store = store_at(tmp_path, V1, DROPPING)
    with store.write():
        pass
    assert ask(store, "SELECT type, name FROM sqlite_master") == [("table", "changes")]


def test_a_trigger_that_a_migration_drops_stays_dropped(tmp_path: Path) -> None:
    dropping = 'from alembic import op\n\ndef upgrade():\n    op.execute("DROP TRIGGER renamed")\n'
    store = filled_store(tmp_path, V1, dropping)
    assert ask(store, "SELECT name FROM sqlite_master WHERE type = 'trigger'") == []


MIGRATE_AT_ONCE = """
import sys
from pathlib import Path
import sqlalchemy as sa
import alembic.operations  # before the start, so that all arrive together
from core.store import Module, Store
store = Store(Module("runs", 0x5E0_7E57, sa.MetaData(), Path({migrations!r})))
print("ready", flush=True)
sys.stdin.readline()
with store.write() as connection:
    connection.exec_driver_sql("INSERT INTO trades (run_id, profit) VALUES (2, 10)")
"""


def test_processes_that_meet_an_old_database_at_once_migrate_it_once(
    tmp_path: Path, run_together: Callable[..., list[str]]
) -> None:
    store = filled_store(tmp_path, V1)
    told = "import time\ntime.sleep(0.3)\nprint('migrating', flush=True)\n"  # long enough for the others to arrive
    newer = store_at(tmp_path, V1, V2.replace("def upgrade():\n", f"{told}\ndef upgrade():\n"))
    printed = run_together(MIGRATE_AT_ONCE.format(migrations=str(newer.module.migrations)), processes=4)
    assert sorted(printed) == ["", "", "", "migrating\n"]
    assert ask(store, "SELECT count(*) FROM trades") == [(7,)]
    assert ask(store, "PRAGMA user_version") == [(2,)]
    assert len(backups(store)) == 1


def test_a_process_killed_while_migrating_leaves_the_old_version(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    store = as_met_by_a_new_process(filled_store(tmp_path, V1), tmp_path)
    hangs = FAILING.replace('raise RuntimeError("the power went")', 'print("inside", flush=True); input()')
    newer = store_at(tmp_path, V1, hangs)
    migrating = start(MIGRATE_AT_ONCE.format(migrations=str(newer.module.migrations)))
    assert migrating.stdin
    assert migrating.stdout
    migrating.stdin.write("go\n")
    migrating.stdin.flush()
    assert [migrating.stdout.readline(), migrating.stdout.readline()] == ["ready\n", "inside\n"]
    migrating.kill()
    migrating.wait()

    assert ask(store, "PRAGMA user_version") == [(1,)]
    with store.write() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM trades").scalar() == 3


def test_the_newest_version_is_read_from_the_file_names_alone(tmp_path: Path) -> None:
    for name in ("v0001_a.py", "v0012_b.py", "v0002_c.py", "notes.txt", "v0099_d.pyc", "__init__.py"):
        (tmp_path / name).write_text("this is not Python (")
    assert newest_version(tmp_path) == 12
