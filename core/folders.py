"""Folders that appear whole or not at all: written under a private name, synced, then renamed.

A private name carries host, process and process start, so that a later process can tell the debris of a
dead one from the work of a living one.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from core.errors import DiskError
from core.log import get_logger

_PREFIX = ".new"
_UNSETTLED = ".unsettled"  # inside a placed folder until its row is committed; holds its private name
_swept: set[Path] = set()
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def private_name() -> str:
    """A name no other process uses, by which a later one can see whether its maker still lives."""
    return f"{_PREFIX}~{_host()}~{os.getpid()}~{_own_start(os.getpid())}~{uuid.uuid4().hex[:8]}"


def maker_is_dead(name: str) -> bool:
    """Whether `name` is a private name of this host whose process has ended (of other hosts nobody here knows)."""
    parts = name.split("~")
    if len(parts) != 5 or parts[0] != _PREFIX or parts[1] != _host():
        return False
    return _process_start(int(parts[2])) != parts[3]


@contextmanager
def staged_folder(parent: Path) -> Iterator[Path]:
    """A private folder inside `parent` to write into; it is gone afterwards unless `place` renamed it.

    Raises DiskError when the disk is full or cannot be written.
    """
    staged = parent / private_name()
    try:
        staged.mkdir(parents=True)
        yield staged
    except OSError as error:
        raise disk_error(error, parent) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def place(staged: Path, target: Path) -> None:
    """Make a staged folder visible under its final name, durably; call it inside the write that records it."""
    for file in staged.iterdir():
        _sync(file)
    _sync(staged)
    staged.rename(target)
    _sync(target.parent)


def keep(staged: Path, name: str, recorded: set[str], *, named_by_content: bool) -> None:
    """Place a staged folder as `name` beside it, inside the write transaction that records it.

    Call `settle` once that transaction is committed. `recorded` are the names that rows stand for. Where a
    folder is there already it is kept if a row stands for it or its name says its content; a stranger's (its
    database was set aside, say) is moved out of the way, never deleted. What killed processes left is
    swept the first time this process keeps anything in that place.
    """
    parent = staged.parent
    if parent not in _swept:
        sweep(parent, recorded)
        _swept.add(parent)
    target = parent / name
    if target.exists() and name not in recorded:
        if (target / _UNSETTLED).exists():
            shutil.rmtree(target)  # its transaction failed in this very process
        elif not named_by_content:
            target.rename(parent / f"{name}.set-aside-{uuid.uuid4().hex[:8]}")
    if not target.exists():
        (staged / _UNSETTLED).write_text(staged.name, encoding="utf-8")
        place(staged, target)


def unsettle(folder: Path) -> None:
    """Say, inside the transaction that removes its row, that a folder is debris as soon as the row is gone."""
    with suppress(OSError):  # a folder that is gone already needs no mark
        (folder / _UNSETTLED).write_text(private_name(), encoding="utf-8")


def is_unsettled(folder: Path, staged: Path) -> bool:
    """Whether `folder` is what `keep` made of `staged`, and its transaction is not known to be committed."""
    try:
        return (folder / _UNSETTLED).read_text(encoding="utf-8") == staged.name
    except OSError:
        return False


def settle(folder: Path) -> None:
    """Say that the row of a kept folder is committed: nothing sweeps it any more."""
    with suppress(OSError):  # a mark that stays does no harm while the row is there
        (folder / _UNSETTLED).unlink()


def write_file(target: Path, content: bytes) -> None:
    """Replace `target` by `content` in one step: a reader sees the old file or the new one.

    Raises DiskError when the disk is full or cannot be written.
    """
    staged = target.with_name(f"{private_name()}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(content)
        _sync(staged)
        staged.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        with suppress(OSError):
            staged.unlink()


def sweep(parent: Path, recorded: set[str]) -> list[str]:
    """Remove what killed processes left in `parent`; return the names removed.

    That is: private names whose maker is dead, and finished folders that no row names because their maker
    died between rename and commit. Other folders without a row belong to a database that was set aside, and
    stay. The caller holds the write lock under which folders are placed.
    """
    if not parent.is_dir():
        return []
    debris = [
        entry
        for entry in parent.iterdir()
        if maker_is_dead(entry.name) or (entry.name not in recorded and _was_never_recorded(entry))
    ]
    for entry in debris:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if debris:
        get_logger(__name__).warning("swept what a killed process left", folder=str(parent), count=len(debris))
    return [entry.name for entry in debris]


def _was_never_recorded(folder: Path) -> bool:
    mark = folder / _UNSETTLED
    return mark.is_file() and maker_is_dead(mark.read_text(encoding="utf-8"))


def disk_error(error: OSError, where: Path) -> DiskError:
    """What an OSError while writing means to the person at the machine."""
    if error.errno in _FULL:
        return DiskError(
            f"The disk is full: {where} could not be written.", "Free some space; nothing of it was stored."
        )
    return DiskError(f"{where} could not be written: {error.strerror or error}.", "Check that you may write there.")


def _sync(path: Path) -> None:
    # Windows cannot open a folder for syncing; NTFS journals the rename itself.
    if path.is_dir() and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname().replace("~", "-")


@lru_cache(maxsize=1)
def _own_start(pid: int) -> str:
    return _process_start(pid)


def _process_start(pid: int) -> str:
    """When the process started, as text; "-" when there is no such process."""
    if sys.platform == "linux":
        # Ticks since boot: psutil counts from the wall clock, which may be set while a process lives.
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return "-"
        return "-" if fields[0] in "ZX" else fields[19]  # a zombie has ended
    import psutil  # only writers need it

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.NoSuchProcess:
        return "-"
