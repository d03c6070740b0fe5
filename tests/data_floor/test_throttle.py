from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.clock import utc_text
from core.store import Store
from data.sources.throttle import Throttle
from data.tables import DATA_PIPELINE

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)


class Day:
    """A clock that stands until somebody waits, or it is set."""

    def __init__(self) -> None:
        self.now = NOON
        self.waits: list[float] = []

    def clock(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def day() -> Day:
    return Day()


def throttle(day: Day, source: str = "GDELT") -> Throttle:
    return Throttle(Store(DATA_PIPELINE), source, wait=day.wait, clock=day.clock)


def test_the_first_turn_comes_at_once_and_the_next_a_pause_later(day: Day) -> None:
    throttle(day).take_turn(5.5)
    throttle(day).take_turn(5.5)
    throttle(day).take_turn(5.5)
    assert day.waits == [5.5, 11.0]


def test_a_turn_after_the_pause_comes_at_once(day: Day) -> None:
    throttle(day).take_turn(5.5)
    day.now += timedelta(seconds=5.5)
    throttle(day).take_turn(5.5)
    assert day.waits == []


def test_each_source_has_turns_of_its_own(day: Day) -> None:
    throttle(day).take_turn(5.5)
    throttle(day, "another").take_turn(5.5)
    assert day.waits == []


def test_without_a_pause_nothing_is_written_or_waited_for(day: Day) -> None:
    turns = throttle(day)
    turns.take_turn(0)
    turns.hold_off(0)
    turns.take_turn(0)
    assert day.waits == []
    assert not Store(DATA_PIPELINE).path.exists()


def test_held_off_everybody_waits_and_nobody_twice(day: Day) -> None:
    throttle(day).hold_off(20)
    throttle(day).hold_off(10)
    throttle(day).take_turn(5.5)
    assert day.waits == [20]


def test_a_clock_set_back_makes_nobody_wait_longer_than_the_turns_given_out(day: Day) -> None:
    for _ in range(3):
        throttle(day).take_turn(5.5)
    day.now -= timedelta(hours=6)
    throttle(day).take_turn(5.5)
    day.now += timedelta(seconds=16.5)
    throttle(day).take_turn(5.5)
    assert day.waits == [5.5, 11.0, 16.5, 5.5]


def test_a_clock_set_forward_makes_nobody_wait(day: Day) -> None:
    throttle(day).take_turn(5.5)
    day.now += timedelta(hours=6)
    throttle(day).take_turn(5.5)
    assert day.waits == []


def test_a_cancelled_wait_leaves_its_turn_unused_and_holds_nobody_up(day: Day) -> None:
    def cancel(seconds: float) -> None:
        raise KeyboardInterrupt

    throttle(day).take_turn(5.5)
    with pytest.raises(KeyboardInterrupt):
        Throttle(Store(DATA_PIPELINE), "GDELT", wait=cancel, clock=day.clock).take_turn(5.5)
    throttle(day).take_turn(5.5)
    assert day.waits == [11.0]


def test_the_database_is_free_while_a_turn_is_waited_for(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.01")
    met = []

    def write_meanwhile(seconds: float) -> None:
        with Store(DATA_PIPELINE).write():
            met.append(seconds)

    throttle(day).take_turn(5.5)
    Throttle(Store(DATA_PIPELINE), "GDELT", wait=write_meanwhile, clock=day.clock).take_turn(5.5)
    assert met == [5.5]


TAKE_TURNS = """
import sys
from datetime import timedelta
from core.clock import parse_utc, utc_now, utc_text
from core.store import Store
from data.sources.throttle import Throttle
from data.tables import DATA_PIPELINE

now = parse_utc(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
waits = []
turns = Throttle(Store(DATA_PIPELINE), "GDELT", wait=waits.append, clock=lambda: now)
for _ in range(10):
    turns.take_turn(5.5)
print(*waits)
"""


def test_processes_that_ask_at_once_get_turns_a_pause_apart(home: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", TAKE_TURNS, utc_text(NOON)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SEQUENCE_HOME": str(home)},
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    printed = [process.communicate("go\n", timeout=60) for process in processes]
    assert [errors for _, errors in printed] == [""] * 3
    turns = sorted(float(wait) for output, _ in printed for wait in output.split())
    assert turns == [5.5 * number for number in range(1, 30)]  # the one that came first did not wait
