"""Files that came through the page: kept under `output_central/uploads/` until they were collected, a day at most."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from pathlib import Path

from core.folders import write_file
from core.settings import output_folder

_DAY_SECONDS = 86_400


def keep_upload(name: str, content: bytes) -> Path:
    """Write an uploaded file where a source can read it, under its own name; the same file is written once.

    Raises DiskError when the disk is full.
    """
    folder = output_folder() / "uploads"
    _forget_old(folder)
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(name).name).lstrip(".")[-80:] or "file.csv"
    target = folder / hashlib.sha256(content).hexdigest()[:16] / safe
    if not target.exists():
        write_file(target, content)
    return target


def forget_upload(path: Path) -> None:
    """Remove an uploaded file that was collected; a file of the user's own stays where it is."""
    if path.parent.parent == output_folder() / "uploads":
        shutil.rmtree(path.parent, ignore_errors=True)


def _forget_old(folder: Path) -> None:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if time.time() - entry.stat().st_mtime > _DAY_SECONDS:
            shutil.rmtree(entry, ignore_errors=True)
