"""What every test stands on: a workbench of its own in a temporary folder, never the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty SEQUENCE_HOME; settings variables of the shell that started pytest are put aside."""
    for name in list(os.environ):
        if name.upper().startswith("SEQUENCE_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("SEQUENCE_HOME", str(folder))
    return folder
