"""The kill switch: while the file `output_central/KILL` is there no entry is decided, posted, leased or executed.

The file itself kills, whatever stands in it, so that `touch` does it too and a full disk does not hinder it; its JSON
tells `at` (UTC text), `by`, `reason` and `close_positions`. Where nobody can tell whether it is there, it is.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.clock import utc_text
from core.errors import DiskError, SequenceError
from core.folders import disk_error, write_file
from core.log import get_logger
from core.settings import output_folder

_MEMBERS = ("at", "by", "reason", "close_positions")
_MOST_BYTES = 65_536


def kill_file() -> Path:
    """Where the file stands while the switch is on."""
    return output_folder() / "KILL"


def is_killed() -> bool:
    """Whether the switch is on; it is where the folder cannot be looked into."""
    try:
        os.lstat(kill_file())
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def killed_by() -> dict[str, Any] | None:
    """`at by reason close_positions` of the switch, None while it is armed and nothing is killed.

    A file with other content was made by hand: `by` is "file", `at` its time, `reason` what it holds.
    """
    if not is_killed():
        return None
    file = kill_file()
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES)
        changed = file.stat().st_mtime
    except FileNotFoundError:
        # Removed meanwhile, or a link that leads nowhere: the second look decides.
        return _by_file("", None) if is_killed() else None
    except OSError as error:
        return _by_file(f"{file} cannot be read: {error.strerror or error}", None)
    text = content.decode("utf-8", "replace")
    return _told(text) or _by_file(text.strip(), changed)


def write_kill(by: str, reason: str, close_positions: bool = False) -> dict[str, Any]:
    """Switch on, durably, and return what `killed_by` says then.

    A kill that is in force stays as it is, but for `close_positions`, which may be raised to true. Raises DiskError
    when the file cannot be made; on a full disk it is made without its words.
    """
    told = {"at": utc_text(), "by": by, "reason": reason, "close_positions": close_positions}
    file = kill_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return _raised(file, close_positions)
    except OSError as error:
        raise disk_error(error, file) from error
    try:  # from here on it is on; what follows only tells why
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(_bytes_of(told))
            opened.flush()
            os.fsync(opened.fileno())
        _sync_folder(file.parent)
    except OSError as error:
        get_logger(__name__).warning("the kill switch is on, but not why", by=by, reason=reason, error=str(error))
    get_logger(__name__).warning("kill switch on", by=by, reason=reason, close_positions=close_positions)
    return told


def remove_kill() -> bool:
    """Switch off; whether it was on. Raises DiskError when the file cannot be removed."""
    file = kill_file()
    try:
        file.unlink()
        _sync_folder(file.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DiskError(
            f"{file} cannot be removed: {error.strerror or error}; the kill switch stays on.", "Remove it by hand."
        ) from error
    get_logger(__name__).warning("kill switch off")
    return True


def _raised(file: Path, close_positions: bool) -> dict[str, Any]:
    held = killed_by() or _by_file("", None)
    if close_positions and not held["close_positions"]:
        held = {**held, "close_positions": True}
        try:
            write_file(file, _bytes_of(held))
        except SequenceError as error:
            get_logger(__name__).warning("the kill switch is on, but not to close positions", error=str(error))
            raise
    return held


def _told(text: str) -> dict[str, Any] | None:
    """What `write_kill` wrote, None for anything else."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or any(name not in read for name in _MEMBERS):
        return None
    return {
        **{name: str(read[name]) for name in ("at", "by", "reason")},
        "close_positions": read["close_positions"] is True,
    }


def _by_file(words: str, changed: float | None) -> dict[str, Any]:
    at = utc_text(datetime.fromtimestamp(changed, UTC)) if changed is not None else utc_text()
    reason = words[:200] or f"the file {kill_file().name} is there"
    return {"at": at, "by": "file", "reason": reason, "close_positions": False}


def _bytes_of(told: dict[str, Any]) -> bytes:
    return (json.dumps(told, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for syncing; NTFS journals the change itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
