from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import DiskError, InputError
from core.folders import (
    keep,
    maker_is_dead,
    place,
    private_name,
    settle,
    staged_folder,
    sweep,
    unsettle,
    write_file,
)

LEAVE_A_NAME = "from core.folders import private_name\nprint(private_name(), flush=True)\ninput()"


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """An empty folder to place things in."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    return folder


@pytest.fixture
def dead_name(start: Callable[..., subprocess.Popen[str]]) -> str:
    """The private name of a process that has ended."""
    return start(LEAVE_A_NAME).communicate("\n")[0].strip()


def test_a_placed_folder_appears_with_all_it_holds_and_nothing_else_stays(parent: Path) -> None:
    with staged_folder(parent) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
        assert maker_is_dead(staged.name) is False
        place(staged, parent / "abc")
    assert [file.name for file in parent.iterdir()] == ["abc"]
    assert (parent / "abc" / "bars.parquet").read_bytes() == b"bars"


def test_everything_is_on_the_disk_before_the_folder_gets_its_name(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real_sync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(f"{Path(f'/proc/self/fd/{descriptor}').readlink().name} {(parent / 'abc').exists()}")
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with staged_folder(parent) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
        place(staged, parent / "abc")
    assert synced == ["bars.parquet False", f"{staged.name} False", f"{parent.name} True"]


def test_an_exception_leaves_nothing(parent: Path) -> None:
    with pytest.raises(InputError, match="no good"), staged_folder(parent) as staged:  # noqa: PT012
        (staged / "half.parquet").write_bytes(b"half")
        raise InputError("no good")
    assert list(parent.iterdir()) == []


def test_a_staged_folder_that_was_not_placed_is_gone(parent: Path) -> None:
    with staged_folder(parent) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
    assert list(parent.iterdir()) == []


def test_a_full_disk_while_staging_is_a_disk_error_and_leaves_nothing(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    full = pytest.raises(DiskError, match=r"The disk is full.*Free some space")
    with full, staged_folder(parent) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
        place(staged, parent / "abc")
    assert list(parent.iterdir()) == []


def test_a_folder_that_refuses_to_be_written_is_a_disk_error(parent: Path) -> None:
    (parent / "file").write_text("no folder")
    with pytest.raises(DiskError, match=r"could not be written.*Check that you may write"):
        staged_folder(parent / "file").__enter__()


def test_a_written_file_holds_the_new_content_and_nothing_else_stays(parent: Path) -> None:
    target = parent / "new" / "dataset.csv"
    write_file(target, b"one")
    write_file(target, b"two")
    assert target.read_bytes() == b"two"
    assert [file.name for file in target.parent.iterdir()] == ["dataset.csv"]


@pytest.mark.parametrize("broken", ["write_bytes", "fsync", "replace"])
def test_a_file_keeps_its_old_content_when_writing_fails(
    parent: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    target = parent / "dataset.csv"
    write_file(target, b"old")
    monkeypatch.setattr(os if broken == "fsync" else Path, broken, full_disk)
    with pytest.raises(DiskError, match=r"The disk is full: .*dataset\.csv") as full:
        write_file(target, b"new")
    monkeypatch.undo()
    assert isinstance(full.value.__cause__, OSError)
    assert target.read_bytes() == b"old"
    assert [file.name for file in parent.iterdir() if file.is_file()] == ["dataset.csv"]


def test_a_file_below_a_file_is_a_disk_error(parent: Path) -> None:
    (parent / "file").write_text("no folder")
    with pytest.raises(DiskError, match="could not be written"):
        write_file(parent / "file" / "dataset.csv", b"new")


def test_a_private_name_tells_whether_its_maker_lives(start: Callable[..., subprocess.Popen[str]]) -> None:
    maker = start(LEAVE_A_NAME)
    assert maker.stdout
    name = maker.stdout.readline().strip()
    assert not maker_is_dead(name)
    assert not maker_is_dead(private_name())
    maker.kill()
    os.waitid(os.P_PID, maker.pid, os.WEXITED | os.WNOWAIT)
    assert maker_is_dead(name), "a process that ended but was not waited for writes no more"
    maker.wait()
    assert maker_is_dead(name)


def test_a_process_that_took_the_number_of_a_dead_one_is_not_its_maker() -> None:
    prefix, host, number, start, words = private_name().split("~")
    assert maker_is_dead(f"{prefix}~{host}~{number}~{int(start) - 1}~{words}")


@pytest.mark.parametrize("name", ["abc", ".new", ".new~other-host~1~1~abc", ".DS_Store", "a~b~c~d~e"])
def test_a_name_that_says_nothing_about_a_maker_here_counts_as_alive(name: str) -> None:
    assert not maker_is_dead(name)


def test_private_names_differ(parent: Path) -> None:
    assert len({private_name() for _ in range(100)}) == 100
    (parent / private_name()).mkdir()  # and can be names of files


def test_a_sweep_removes_what_dead_processes_left_and_nothing_else(parent: Path, dead_name: str) -> None:
    alive = private_name()
    for name in (dead_name, alive, "recorded", "never recorded", "of a database set aside", ".hidden"):
        (parent / name).mkdir()
        (parent / name / "bars.parquet").write_bytes(b"bars")
    for name in ("recorded", "never recorded"):
        (parent / name / ".unsettled").write_text(dead_name, encoding="utf-8")
    (parent / f"{dead_name}.csv").write_bytes(b"half a file")
    (parent / "README.txt").write_bytes(b"somebody's words")

    removed = sweep(parent, {"recorded", "recorded elsewhere"})

    assert sorted(removed) == sorted([dead_name, f"{dead_name}.csv", "never recorded"])
    left = [alive, "recorded", "of a database set aside", ".hidden", "README.txt"]
    assert sorted(entry.name for entry in parent.iterdir()) == sorted(left)
    assert (parent / "recorded" / "bars.parquet").exists()


def test_sweeping_a_folder_that_is_not_there_finds_nothing(parent: Path) -> None:
    assert sweep(parent / "datasets", set()) == []
    assert list(parent.iterdir()) == []


def keep_bars(parent: Path, content: bytes, recorded: set[str], *, named_by_content: bool = False) -> None:
    with staged_folder(parent) as staged:
        (staged / "bars.parquet").write_bytes(content)
        keep(staged, "abc", recorded, named_by_content=named_by_content)


def test_a_kept_folder_that_a_row_names_already_stays_as_it_is(parent: Path) -> None:
    keep_bars(parent, b"first", set())
    settle(parent / "abc")
    keep_bars(parent, b"again", {"abc"})
    assert (parent / "abc" / "bars.parquet").read_bytes() == b"first"
    assert [entry.name for entry in parent.iterdir()] == ["abc"]


def test_a_kept_folder_replaces_what_a_failed_transaction_left(parent: Path) -> None:
    keep_bars(parent, b"its transaction failed", set())
    keep_bars(parent, b"again", set())
    assert (parent / "abc" / "bars.parquet").read_bytes() == b"again"
    assert [entry.name for entry in parent.iterdir()] == ["abc"]


def test_a_folder_of_a_database_that_was_set_aside_is_moved_and_not_lost(parent: Path) -> None:
    keep_bars(parent, b"its row is in another database now", set())
    settle(parent / "abc")
    keep_bars(parent, b"new", set())
    assert (parent / "abc" / "bars.parquet").read_bytes() == b"new"
    [moved] = parent.glob("abc.set-aside-*")
    assert (moved / "bars.parquet").read_bytes() == b"its row is in another database now"


def test_a_folder_named_by_its_content_is_taken_over(parent: Path) -> None:
    keep_bars(parent, b"same", set(), named_by_content=True)
    settle(parent / "abc")
    keep_bars(parent, b"same", set(), named_by_content=True)
    assert [entry.name for entry in parent.iterdir()] == ["abc"]


def test_a_folder_whose_row_is_removed_is_debris_once_its_remover_is_dead(parent: Path, dead_name: str) -> None:
    keep_bars(parent, b"bars", set())
    settle(parent / "abc")
    unsettle(parent / "abc")
    assert sweep(parent, set()) == []  # this process lives
    (parent / "abc" / ".unsettled").write_text(dead_name, encoding="utf-8")
    assert sweep(parent, set()) == ["abc"]


def test_debris_is_swept_by_the_first_folder_a_process_keeps_in_a_place(parent: Path, dead_name: str) -> None:
    (parent / dead_name).mkdir()
    keep_bars(parent, b"bars", set())
    assert [entry.name for entry in parent.iterdir()] == ["abc"]
