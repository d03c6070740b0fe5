"""A bridge of its own for each test that asks for one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # where `bridging` stands

from bridging import Client, bridge


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    with bridge() as given:
        yield given
