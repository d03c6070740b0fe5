"""What happens to a database file; `KINDS` says by which words each of it is told.

The databases that they are done to are at rest: no log beside them holds what they lack.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

Harm = Callable[[Path], object]
HOLD = """
import sqlite3, sys
holder = sqlite3.connect(sys.argv[1], isolation_level=None)
holder.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
holder.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read(1)
"""


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])


def text(file: Path) -> None:
    file.write_text("time,open,high,low,close\n" * 300, encoding="utf-8")


def foreign(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE notes (words TEXT)")


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as later:
        later.execute("PRAGMA user_version = 99")


def damaged(file: Path) -> None:
    """The first page, by which a file is recognised, is whole."""
    content = file.read_bytes()
    file.write_bytes(content[:4096] + bytes(255 - byte for byte in content[4096:]))


def orphaned(file: Path) -> None:
    """Its log is all that is left."""
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE later (words TEXT)")
        log = file.with_name(f"{file.name}-wal")
        content = log.read_bytes()
    file.unlink()
    log.write_bytes(content)


KINDS: dict[Harm, str] = {
    emptied: "is an empty file",
    truncated: "is damaged",
    text: "is damaged",
    foreign: "another program",
    newer: "newer Sequence",
    damaged: "is damaged",
    orphaned: "is gone but its",
}


class Hold:
    """Another process that holds a database, against writers (`NORMAL`) or against everybody (`EXCLUSIVE`)."""

    def __init__(self) -> None:
        self._holder: subprocess.Popen[str] | None = None

    def __call__(self, file: Path, mode: str) -> None:
        command = [sys.executable, "-c", HOLD, str(file), mode]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "held\n"

    def release(self) -> None:
        if self._holder:
            self._holder.communicate("x")
            self._holder = None
