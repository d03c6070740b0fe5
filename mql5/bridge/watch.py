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
        imported = 0
        for file in sorted(self._folder.iterdir()):
            if file.suffix.lower() not in _ENDINGS or not file.is_file():
                continue
            found = file.stat()
            state = (found.st_size, found.st_mtime_ns)
            if self._done.get(file) == state or found.st_size > _MOST_BYTES:
                continue
            if self._seen.get(file) != state:  # it may still be written
                self._seen[file] = state
                continue
            try:
                _, is_new = self._imports.enter_file(file.read_bytes(), file.name)
                imported += is_new
            except InputError as error:
                get_logger(__name__).warning("not imported", file=file.name, error=str(error))
            self._done[file] = state
        return imported
