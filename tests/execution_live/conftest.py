"""A desk of its own for each test that asks for one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # where `desk_bench` stands
sys.path.append(str(Path(__file__).parent.parent / "mql5"))  # and the terminal that the expert is compiled against
sys.path.append(str(Path(__file__).parent.parent / "mql5_floor"))  # and bridges in processes

from desk_bench import Bench
from expert_terminal import shared_expert


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Expert Advisor, compiled."""
    return shared_expert(tmp_path_factory)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The clock stands at START; the terminal was heard, with one tick."""
    made = Bench(monkeypatch)
    made.tick(1.1)
    made.beat()
    return made
