"""The watched folder: what the Strategy Tester leaves there is imported by itself, each file once."""

from __future__ import annotations

from pathlib import Path

from core.errors import InputError
from core.log import get_logger
from mql5.bridge.imports import ImportStore

_ENDINGS = {".json", ".htm", ".html", ".xml", ".csv"}
_MOST_BYTES = 64 * 2**20


class WatchedFolder:
    """A folder that is looked at again and again; a file is read when it has stood still between two looks."""

    def __init__(self, folder: Path, imports: ImportStore) -> None:
        self._folder = folder
        self._imports = imports
        self._seen: dict[Path, tuple[int, int]] = {}
        self._done: dict[Path, tuple[int, int]] = {}

    def look(self) -> int:
        """Import what is new; how many files were. A folder that is not there yet is looked for again."""
        if not self._folder.is_dir():
            return 0
        return sum(self._is_imported(file) for file in sorted(self._folder.iterdir()))

    def _is_imported(self, file: Path) -> bool:
        """Whether this file was new; what cannot be read now is looked at again, and holds up no other."""
        try:
            state = self._stood_still(file)
            content = file.read_bytes() if state else b""
        except OSError:  # gone, or on Windows still held by its writer
            return False
        if state is None:
            return False
        try:
            is_new = self._imports.enter_file(content, file.name)[1]
        except InputError as error:
            get_logger(__name__).warning("not imported", file=file.name, error=str(error))
            is_new = False
        self._done[file] = state
        return is_new

    def _stood_still(self, file: Path) -> tuple[int, int] | None:
        """Size and time of a file that may be read now: of ours, not done with, and as it was at the last look."""
        if file.suffix.lower() not in _ENDINGS or not file.is_file():
            return None
        found = file.stat()
        state = (found.st_size, found.st_mtime_ns)
        if self._done.get(file) == state or found.st_size > _MOST_BYTES:
            return None
        before, self._seen[file] = self._seen.get(file), state
        return state if before == state else None
