from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import DiskError, InputError
from core.folders import maker_is_dead, place, private_name, staged_folder, sweep, write_file

LEAVE_A_NAME = "from core.folders import private_name\nprint(private_name(), flush=True)\ninput()"


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def dead_name(start: Callable[..., subprocess.Popen[str]]) -> str:
    """The private name of a process that has ended."""
    return start(LEAVE_A_NAME).communicate("\n")[0].strip()


def test_a_placed_folder_appears_with_all_it_holds_and_nothing_else_stays(tmp_path: Path) -> None:
    parent = tmp_path / "datasets"
    with staged_folder(parent) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
        assert maker_is_dead(staged.name) is False
        place(staged, parent / "abc")
    assert [file.name for file in parent.iterdir()] == ["abc"]
    assert (parent / "abc" / "bars.parquet").read_bytes() == b"bars"


def test_everything_is_on_the_disk_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real_sync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(f"{Path(os.readlink(f'/proc/self/fd/{descriptor}')).name} {(tmp_path / 'abc').exists()}")
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with staged_folder(tmp_path) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
        place(staged, tmp_path / "abc")
    assert synced == ["bars.parquet False", f"{staged.name} False", f"{tmp_path.name} True"]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no good"), staged_folder(tmp_path) as staged:
        (staged / "half.parquet").write_bytes(b"half")
        raise InputError("no good")
    assert list(tmp_path.iterdir()) == []


def test_a_staged_folder_that_was_not_placed_is_gone(tmp_path: Path) -> None:
    with staged_folder(tmp_path) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_staging_is_a_disk_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DiskError, match=r"The disk is full.*Free some space"), staged_folder(tmp_path) as staged:
        (staged / "bars.parquet").write_bytes(b"bars")
        place(staged, tmp_path / "abc")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_refuses_to_be_written_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DiskError, match=r"could not be written.*Check that you may write"):
        staged_folder(tmp_path / "file").__enter__()


def test_a_written_file_holds_the_new_content_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "new" / "dataset.csv"
    write_file(target, b"one")
    write_file(target, b"two")
    assert target.read_bytes() == b"two"
    assert [file.name for file in target.parent.iterdir()] == ["dataset.csv"]


@pytest.mark.parametrize("broken", ["write_bytes", "fsync", "replace"])
def test_a_file_keeps_its_old_content_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    target = tmp_path / "dataset.csv"
    write_file(target, b"old")
    monkeypatch.setattr(os if broken == "fsync" else Path, broken, full_disk)
    with pytest.raises(DiskError, match=r"The disk is full: .*dataset\.csv") as full:
        write_file(target, b"new")
    monkeypatch.undo()
    assert isinstance(full.value.__cause__, OSError)
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["dataset.csv"]


def test_a_file_below_a_file_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DiskError, match="could not be written"):
        write_file(tmp_path / "file" / "dataset.csv", b"new")


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


def test_private_names_differ(tmp_path: Path) -> None:
    assert len({private_name() for _ in range(100)}) == 100
    (tmp_path / private_name()).mkdir()  # and can be names of files


def test_a_sweep_removes_what_dead_processes_left_and_nothing_else(tmp_path: Path, dead_name: str) -> None:
    alive = private_name()
    for name in (dead_name, alive, "recorded", "unrecorded", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bars.parquet").write_bytes(b"bars")
    (tmp_path / f"{dead_name}.csv").write_bytes(b"half a file")
    (tmp_path / "README.txt").write_bytes(b"somebody's words")

    removed = sweep(tmp_path, {"recorded", "recorded elsewhere"})

    assert sorted(removed) == sorted([dead_name, f"{dead_name}.csv", "unrecorded"])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([alive, "recorded", ".hidden", "README.txt"])
    assert (tmp_path / "recorded" / "bars.parquet").exists()


def test_sweeping_a_folder_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "datasets", set()) == []
    assert list(tmp_path.glob("datasets")) == []
