from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from notebook import add, metadata, module, notes, store, words

from core.errors import DiskError, StoreLockedError, StoreUnusableError, TryAgainError
from core.store import JSON, WHOLE, Module, Store, inserted_id, set_aside, strict_table

pytestmark = pytest.mark.usefixtures("databases_built_anew")

Start = Callable[..., subprocess.Popen[str]]
RunTogether = Callable[..., list[str]]


def names_in(folder: Path) -> list[str]:
    """The files of a folder, without the two that SQLite keeps beside an open database."""
    return sorted({file.name for file in folder.iterdir()} - {f"{store.path.name}-wal", f"{store.path.name}-shm"})


def cure_of(error: pytest.ExceptionInfo[StoreUnusableError]) -> str:
    assert str(store.path) in error.value.what
    return error.value.cure


WRITE_ONE_NOTE = """
import sys
from notebook import add, store
print("ready", flush=True)
sys.stdin.readline()
add("from " + sys.argv[1])
print(store.path.stat().st_ino)
"""


def test_processes_that_open_an_empty_workbench_at_once_all_store_their_row(run_together: RunTogether) -> None:
    met = run_together(WRITE_ONE_NOTE, processes=12)
    assert len(set(met)) == 1, "a later creator replaced the database of an earlier one"
    assert sorted(words()) == sorted(f"from {number}" for number in range(12))
    assert names_in(store.path.parent) == ["notebook.db"]


def test_a_new_database_is_known_by_its_mark_and_version_and_is_in_wal_mode() -> None:
    add("one")
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (module.application_id,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_write_is_on_the_disk_before_it_is_acknowledged() -> None:
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_the_home_folder_may_carry_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "Frühling 100% #1?mode=memory"))
    add("one")
    assert names_in(tmp_path / "Frühling 100% #1?mode=memory" / "output_central") == ["notebook.db"]
    assert words() == ["one"]


def test_another_home_is_another_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("at home")
    monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "elsewhere"))
    assert words() == []


def test_a_folder_that_cannot_hold_the_database_is_a_disk_error(home: Path) -> None:
    (home / "output_central").write_text("a file stands where the folder should be")
    with pytest.raises(DiskError, match=r"notebook\.db could not be written"):
        add("one")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write into, not even root")
def test_a_home_that_cannot_be_made_is_a_disk_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", "/proc/nowhere")
    with pytest.raises(DiskError, match=r"notebook\.db could not be written.*Check that you may write there"):
        add("one")


def test_a_full_disk_is_a_disk_error_and_changes_nothing() -> None:
    add("before")
    full = pytest.raises(DiskError, match=r"disk is full: .*notebook\.db could not be written\. Free some space")
    with full, store.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 10")
        connection.execute(notes.insert(), {"words": "x" * 100_000})
    assert words() == ["before"]


def test_a_file_system_without_hard_links_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    add("one")
    assert words() == ["one"]
    assert names_in(store.path.parent) == ["notebook.db"]


BLOCKING_MIGRATION = """
import os, time
from alembic import op

def upgrade():
    op.execute("CREATE TABLE half (a TEXT) STRICT")
    op.get_bind().exec_driver_sql("INSERT INTO half VALUES ('x')")
    print("inside", flush=True)
    time.sleep(60)
"""
CREATE_A_DATABASE_THAT_NEVER_ENDS = """
import sys
from pathlib import Path
from notebook import metadata, module
from core.store import Module, Store
with Store(Module("notebook", module.application_id, metadata, Path(sys.argv[1]))).write():
    pass
"""


def test_a_creation_killed_inside_a_migration_leaves_no_database_and_its_debris_goes(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "blocking").mkdir()
    (tmp_path / "blocking" / "v0001_blocks.py").write_text(BLOCKING_MIGRATION)
    creator = start(CREATE_A_DATABASE_THAT_NEVER_ENDS, tmp_path / "blocking")
    assert creator.stdout
    assert creator.stdout.readline() == "inside\n"
    during = names_in(store.path.parent)
    creator.send_signal(signal.SIGKILL)
    creator.wait()

    assert during
    assert not store.path.exists()
    assert words() == []
    add("the next writer")
    assert words() == ["the next writer"]
    assert names_in(store.path.parent) == ["notebook.db"]


def test_a_creation_under_way_in_a_living_process_is_left_alone(start: Start, tmp_path: Path) -> None:
    (tmp_path / "blocking").mkdir()
    (tmp_path / "blocking" / "v0001_blocks.py").write_text(BLOCKING_MIGRATION)
    creator = start(CREATE_A_DATABASE_THAT_NEVER_ENDS, tmp_path / "blocking")
    assert creator.stdout
    assert creator.stdout.readline() == "inside\n"
    during = names_in(store.path.parent)
    add("meanwhile")
    assert names_in(store.path.parent) == sorted([*during, "notebook.db"])


def test_a_failing_creation_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "v0001_fails.py").write_text("def upgrade():\n    raise RuntimeError('cannot')\n")
    failing = Store(Module("notebook", module.application_id, metadata, tmp_path))
    with pytest.raises(RuntimeError, match="cannot"), failing.write():
        pass
    assert names_in(store.path.parent) == []


def refused_and_unchanged(content: bytes) -> pytest.ExceptionInfo[StoreUnusableError]:
    """What both a read and a write say of a database file with this content, which must stay as it is."""
    store.path.parent.mkdir(parents=True, exist_ok=True)
    store.path.write_bytes(content)
    with pytest.raises(StoreUnusableError), store.read() as connection:
        connection.execute(sa.select(notes)).all()
    with pytest.raises(StoreUnusableError) as refused:
        add("one")
    assert store.path.read_bytes() == content
    assert names_in(store.path.parent) == ["notebook.db"]
    return refused


def filled_database(tmp_path: Path, **pragmas: int) -> bytes:
    """A notebook of some hundred pages that was closed cleanly, made by another process's hands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQUENCE_HOME", str(tmp_path / "maker"))
        with store.write() as connection:
            connection.execute(notes.insert(), [{"words": f"{number} " * 200} for number in range(400)])
        made = store.path
        with closing(sqlite3.connect(made)) as plain:
            for name, value in pragmas.items():
                plain.execute(f"PRAGMA {name} = {value}")
            plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return made.read_bytes()


def test_an_empty_file_is_refused_and_left_alone() -> None:
    refused = refused_and_unchanged(b"")
    assert "empty file" in refused.value.what
    assert "set the file aside" in cure_of(refused)


def test_a_text_file_is_refused_and_left_alone() -> None:
    refused = refused_and_unchanged(b"time,open,high,low,close\n")
    assert "damaged" in refused.value.what
    assert "set the file aside" in cure_of(refused)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as foreign:
        foreign.executescript(
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, words TEXT); INSERT INTO notes VALUES (1, 'a')"
        )
    refused = refused_and_unchanged((tmp_path / "foreign.db").read_bytes())
    assert "another program (application_id 0)" in refused.value.what
    assert "set the file aside" in cure_of(refused)


def test_a_database_of_a_newer_sequence_is_refused_and_left_alone(tmp_path: Path) -> None:
    refused = refused_and_unchanged(filled_database(tmp_path, user_version=9))
    assert "version 9 of its tables; this one knows 1" in refused.value.what
    assert "newer Sequence" in cure_of(refused)


@pytest.mark.parametrize("kept", [50, 3_000, 0.5, 0.99])
def test_a_truncated_database_is_refused_and_left_alone(tmp_path: Path, kept: float) -> None:
    whole = filled_database(tmp_path)
    refused = refused_and_unchanged(whole[: int(kept if kept > 1 else len(whole) * kept)])
    assert "set the file aside" in cure_of(refused)


def test_damage_in_the_middle_of_the_file_is_found_by_a_check_and_by_the_read_that_meets_it(tmp_path: Path) -> None:
    content = bytearray(filled_database(tmp_path))
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    store.path.parent.mkdir(parents=True)
    store.path.write_bytes(content)
    with pytest.raises(StoreUnusableError, match="is damaged") as found:
        store.check()
    assert "set the file aside" in cure_of(found)
    with pytest.raises(StoreUnusableError, match="is damaged"):
        words()


def test_a_sound_database_passes_its_check(tmp_path: Path) -> None:
    store.path.parent.mkdir(parents=True)
    store.path.write_bytes(filled_database(tmp_path))
    store.check()


def test_an_absent_database_reads_as_empty_and_is_not_created(home: Path) -> None:
    assert words() == []
    store.check()
    assert list(home.iterdir()) == []


def test_reading_imports_no_alembic_whether_or_not_there_is_a_database(start: Start) -> None:
    script = "import sys\nfrom notebook import words\nprint(words(), 'alembic' in sys.modules)"
    assert start(script).communicate() == ("[] False\n", "")
    add("one")
    assert start(script).communicate() == ("['one'] False\n", "")


def test_an_entered_row_answers_with_its_id() -> None:
    assert [store.insert(notes, words="one"), store.insert(notes, words="two")] == [1, 2]
    assert words() == ["one", "two"]


def test_a_row_entered_inside_a_write_goes_with_it() -> None:
    with pytest.raises(ZeroDivisionError), store.write() as connection:  # noqa: PT012
        assert inserted_id(connection, notes, {"words": "never"}) == 1
        raise ZeroDivisionError
    assert words() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", "three"),
        ("count", 1.5),
        ("price", "cheap"),
        ("words", b"bytes"),
        ("count", np.int64(3)),  # sqlite3 stores numpy's integers as bytes
        ("price", b"\x00"),
    ],
)
def test_a_value_of_another_type_is_refused_instead_of_stored(column: str, value: object) -> None:
    with pytest.raises(sa.exc.StatementError, match=r"cannot store|could not convert"), store.write() as connection:
        connection.execute(notes.insert(), {"words": "kept out", column: value})
    assert words() == []


def test_json_comes_back_as_it_went_in_with_numpy_and_nan_made_plain() -> None:
    details = {"ü": [1, None, {"deep": True}], "nan": float("nan"), "array": np.array([1.5, np.inf]), "n": np.int64(7)}
    add("one", details=details)
    add("two", details=[])
    add("three")
    assert [row["details"] for row in store.rows(sa.select(notes).order_by(notes.c.id))] == [
        {"ü": [1, None, {"deep": True}], "nan": None, "array": [1.5, None], "n": 7},
        [],
        None,
    ]


def test_a_strict_table_is_declared_strict() -> None:
    table = strict_table("t", sa.MetaData(), sa.Column("id", WHOLE, primary_key=True), sa.Column("j", JSON))
    sql = str(sa.schema.CreateTable(table).compile(dialect=sa.dialects.sqlite.dialect()))
    assert sql.rstrip().endswith("STRICT")


COUNT_UP = """
import sys
import sqlalchemy as sa
from notebook import notes, store
print("ready", flush=True)
sys.stdin.readline()
for _ in range(50):
    with store.write() as connection:
        count = connection.execute(sa.select(notes.c.count)).scalar_one()
        connection.execute(notes.update().values(count=count + 1))
"""


def test_processes_that_read_and_then_write_lose_nothing(run_together: RunTogether) -> None:
    add("counter", count=0)
    run_together(COUNT_UP, processes=4)  # any "database is locked" would be a traceback and fail there
    assert [row["count"] for row in store.rows(sa.select(notes))] == [200]


@pytest.fixture
def held() -> Iterator[None]:
    """Another program, which holds the database for the length of a test."""
    add("before")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as browser:
        browser.execute("BEGIN IMMEDIATE")
        browser.execute("DELETE FROM notes")
        yield
        browser.execute("ROLLBACK")


@pytest.mark.usefixtures("held")
def test_a_write_that_waited_in_vain_names_the_file_and_changes_nothing(start: Start) -> None:
    script = """
from core.errors import StoreLockedError
from notebook import add, store, words
try:
    add("never")
except StoreLockedError as error:
    assert str(store.path) in error.what and "0.2 s" in error.what, error.what
    assert "try again" in error.cure
    print(words())
"""
    assert start(script, SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS="0.2").communicate() == ("['before']\n", "")


def test_a_write_waits_for_another_to_end(start: Start) -> None:
    add("before")
    script = "import sys\nfrom notebook import add\nprint('ready', flush=True)\nadd('after')"
    with store.write() as connection:
        waiting = start(script)
        assert waiting.stdout
        assert waiting.stdout.readline() == "ready\n"
        connection.execute(notes.insert(), {"words": "first"})
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
    assert waiting.wait(20) == 0
    assert words() == ["before", "first", "after"]


def test_an_exception_inside_a_write_rolls_it_back() -> None:
    add("before")
    with pytest.raises(ZeroDivisionError), store.write() as connection:  # noqa: PT012
        connection.execute(notes.insert(), {"words": "never"})
        raise ZeroDivisionError
    assert words() == ["before"]
    add("after")
    assert words() == ["before", "after"]


def test_a_read_is_one_view_while_others_write() -> None:
    add("before")
    with store.read() as connection:
        counted = connection.scalar(sa.select(sa.func.count()).select_from(notes))
        add("meanwhile")
        assert connection.scalar(sa.select(sa.func.count()).select_from(notes)) == counted == 1


def remove_database() -> None:
    for file in store.path.parent.glob("notebook.db*"):
        file.unlink()


def test_a_removed_database_reads_as_empty_and_the_next_write_makes_a_new_one() -> None:
    add("old")
    remove_database()
    assert words() == []
    add("new")
    assert words() == ["new"]
    store.check()


def test_a_removed_database_never_comes_back_out_of_its_write_ahead_log() -> None:
    add("old")
    store.path.unlink()
    left = names_in(store.path.parent)
    with pytest.raises(StoreUnusableError, match=r"notebook\.db is gone but its notebook\.db-wal") as refused:
        add("new")
    assert "-wal" in cure_of(refused)
    assert names_in(store.path.parent) == left
    remove_database()
    add("new")
    assert words() == ["new"]


def test_a_database_put_in_the_place_of_another_is_recognised_anew(tmp_path: Path) -> None:
    add("old")
    remove_database()
    (tmp_path / "other").write_bytes(filled_database(tmp_path))
    (tmp_path / "other").rename(store.path)
    assert len(words()) == 400
    remove_database()
    (tmp_path / "foreign").write_text("not a database")
    (tmp_path / "foreign").rename(store.path)
    with pytest.raises(StoreUnusableError):
        words()


def test_an_emptied_file_is_noticed_under_a_living_process() -> None:
    add("old")
    store.path.write_bytes(b"")
    with pytest.raises(StoreUnusableError, match="empty file"):
        words()


def test_a_forked_child_opens_its_own_connection_and_both_write(start: Start) -> None:
    script = """
import os
from notebook import add
add("before")
child = os.fork()
for number in range(20):
    add(f"{'parent' if child else 'child'} {number}")
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    assert start(script).communicate() == ("", "")
    assert sorted(words()) == sorted(["before", *(f"{who} {n}" for who in ("child", "parent") for n in range(20))])
    store.check()


def test_what_a_forked_child_wrote_survives_its_parents_end(start: Start) -> None:
    # SQLite's locks are not inherited: with an inherited connection open, the parent's last close
    # would delete the write-ahead log that the child still writes to.
    script = """
import os, sys
import core.store
from notebook import add
add("parent")
told, tell = os.pipe()
if os.fork():
    sys.stdin.readline()
    for opened in core.store._opened.values():
        opened.engine.dispose()
else:
    os.close(tell)
    add("child, parent alive")
    print("ready", flush=True)
    os.read(told, 1)  # until the parent ends
    add("child, parent gone")
    print("done", flush=True)
"""
    parent = start(script)
    assert parent.stdin
    assert parent.stdout
    assert parent.stdout.readline() == "ready\n"
    parent.stdin.write("end\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "done\n"
    assert words() == ["parent", "child, parent alive", "child, parent gone"]


def test_threads_write_through_one_store() -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, (str(number) for number in range(40))))
    assert sorted(words(), key=int) == [str(number) for number in range(40)]


def test_a_file_set_aside_keeps_its_bytes_and_leaves_the_name_free() -> None:
    store.path.parent.mkdir(parents=True, exist_ok=True)
    store.path.write_bytes(b"no database")
    with pytest.raises(StoreUnusableError) as refusal:
        store.check()
    moved = set_aside(Path(refusal.value.path))
    assert moved.read_bytes() == b"no database"
    assert moved.name.startswith(f"{store.path.stem}.set-aside-")
    assert not store.path.exists()


def test_a_file_that_another_process_has_open_is_not_set_aside() -> None:
    store.path.parent.mkdir(parents=True, exist_ok=True)
    store.path.write_bytes(b"no database")
    hold = f"stream = open({str(store.path)!r}); print('open', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreLockedError, match=f"process {holder.pid}"):
            set_aside(store.path)
        assert store.path.read_bytes() == b"no database"
    finally:
        holder.communicate("\n")


def test_the_log_of_a_removed_database_is_set_aside_whole_under_the_process_that_wrote_it() -> None:
    add("old")
    log = store.path.with_name(f"{store.path.name}-wal")
    content = log.read_bytes()
    store.path.unlink()
    with pytest.raises(StoreUnusableError) as refusal:
        words()
    moved = set_aside(Path(refusal.value.path))
    assert (moved.suffix, moved.read_bytes()) == (".db-wal", content)
    add("new")
    assert words() == ["new"]
    assert moved.read_bytes() == content


def test_the_log_of_a_removed_database_that_another_process_has_open_is_not_set_aside(start: Start) -> None:
    holder = start("import sys\nfrom notebook import add\nadd('old')\nprint('open', flush=True)\nsys.stdin.read(1)")
    assert holder.stdout
    assert holder.stdout.readline() == "open\n"
    store.path.unlink()
    left = names_in(store.path.parent)
    with pytest.raises(StoreLockedError, match=f"process {holder.pid}"):
        set_aside(store.path)
    assert names_in(store.path.parent) == left


def test_a_file_that_a_process_of_sequence_has_open_is_set_aside_and_what_it_wrote_goes_along(start: Start) -> None:
    add("old")
    script = "import sys\nfrom notebook import add\nadd('before')\nprint('open', flush=True)\ninput()\nadd('after')"
    worker = start(script, "core.child")  # as on the command line of a child
    assert worker.stdout
    assert worker.stdout.readline() == "open\n"
    moved = set_aside(store.path)
    assert worker.communicate("go on\n") == ("", "")
    assert words() == ["after"]
    with closing(sqlite3.connect(moved)) as kept:
        assert kept.execute("SELECT words FROM notes ORDER BY id").fetchall() == [("old",), ("before",)]


def test_setting_aside_what_is_not_there_any_more_says_so() -> None:
    with pytest.raises(TryAgainError, match="not there any more"):
        set_aside(store.path)
