"""The kill switch: a file that kills by being there, whoever made it and whatever stands in it."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from core.clock import parse_utc
from core.errors import DiskError
from core.kill_switch import is_killed, kill_file, killed_by, remove_kill, write_kill


def made(content: bytes = b"") -> Path:
    kill_file().parent.mkdir(parents=True, exist_ok=True)
    kill_file().write_bytes(content)
    return kill_file()


def test_a_new_workbench_is_not_killed() -> None:
    assert not is_killed()
    assert killed_by() is None
    assert not remove_kill()


def test_what_was_written_is_told_until_it_is_removed(home: Path) -> None:
    told = write_kill("page", "enough for today")
    assert is_killed()
    assert killed_by() == told
    assert (told["by"], told["reason"], told["close_positions"]) == ("page", "enough for today", False)
    assert parse_utc(told["at"])
    assert json.loads((home / "output_central" / "KILL").read_text(encoding="utf-8")) == told
    assert remove_kill()
    assert not is_killed()
    assert killed_by() is None


def test_the_first_kill_stays_and_only_closing_may_be_added() -> None:
    first = write_kill("page", "first")
    assert write_kill("key desk", "second") == first
    raised = write_kill("key desk", "third", close_positions=True)
    assert raised == killed_by() == {**first, "close_positions": True}
    assert write_kill("page", "fourth") == raised


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"stop, please\n", b"\xff\xfe", b'{"at": 1, "by": 2}', b"[" * 99_999]
)
def test_a_file_made_by_hand_kills_too(content: bytes) -> None:
    made(content)
    assert is_killed()
    told = killed_by()
    assert told
    assert (told["by"], told["close_positions"]) == ("file", False)
    assert told["reason"]
    raised = write_kill("page", "more", close_positions=True)
    assert (raised["by"], raised["close_positions"]) == ("file", True)
    assert killed_by() == raised


def test_whatever_stands_there_kills(home: Path) -> None:
    kill_file().mkdir(parents=True)
    assert is_killed()
    told = killed_by()
    assert told
    assert told["by"] == "file"
    with pytest.raises(DiskError, match="stays on"):
        remove_kill()
    kill_file().rmdir()
    if sys.platform != "win32":
        kill_file().symlink_to(home / "nowhere")
        assert is_killed()
        assert killed_by()


def test_where_nobody_can_look_it_is_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "output_central").write_text("no folder")
    assert is_killed()
    told = killed_by()
    assert told
    assert "cannot be read" in told["reason"]

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "not yours")

    (home / "output_central").unlink()
    assert not is_killed()
    monkeypatch.setattr(os, "lstat", refuse)
    assert is_killed()


def test_a_full_disk_does_not_hinder_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    write_kill("page", "now")
    assert is_killed()


def test_a_folder_that_cannot_be_written_is_told(home: Path) -> None:
    if sys.platform == "win32" or os.geteuid() == 0:
        pytest.skip("needs a user who may not write everywhere")
    folder = home / "output_central"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(DiskError, match="KILL"):
            write_kill("page", "now")
    finally:
        folder.chmod(stat.S_IRWXU)


def test_of_many_at_once_one_is_the_first_and_closing_is_not_lost() -> None:
    together = Barrier(16)

    def kill(number: int) -> None:
        together.wait(60)
        write_kill(f"desk {number}", "all at once", close_positions=number == 7)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(kill, range(16)))
    told = killed_by()
    assert told
    assert told["close_positions"] is True
