"""Kill −9 of deployment, worker, bridge and expert at random moments: nothing is decided, signalled or traded twice.

    pytest tests/execution_live/test_kills.py -m faults --kills 100 --seed 7

Everything runs in processes of its own on a clock that is faster than the computer's.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from bridging import ROOT, Server
from desk_bench import START, SYMBOL, deployed, history
from expert_terminal import Terminal
from mql5_translate import COMPILER
from waiting import wait_until

from core.clock import REPLAY_VARIABLE, utc_now
from execution.live.book import read_book, terminal_of
from execution.live.decisions import PROPOSED, Decision, list_decisions
from execution.live.deployments import find_deployment
from execution.live.terms import Limits
from execution.trading_desk import desk
from mql5.bridge.deals import DealStore
from mql5.bridge.signals import SignalStore

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(COMPILER is None, reason="no g++ on this machine (Debian: apt-get install g++)"),
]
SPEED = 30  # a minute of the market lasts two seconds
CLIENT = "mt5-5012345"
BROKER_MS = 7_200_000  # the broker's clock is two hours ahead
# What waits for a process to come back must outlast its start.
PATIENT = Limits(
    max_risk_pct=None, max_entries_a_day=1_000, max_feed_age_seconds=3_600, max_heartbeat_age_seconds=3_600,
    max_daily_loss_pct=None, valid_seconds=180,
)  # fmt: skip


class World:
    """A terminal, a bridge and a worker on one fast clock; each can be killed, and comes back."""

    def __init__(self, program: Path, home: Path) -> None:
        self.environment = {**os.environ, "SEQUENCE_JOBS__LEASE_SECONDS": "1"}
        self.bridge = Server(home)
        self.bridge.start(**self.environment)
        url = f"http://127.0.0.1:{self.bridge.port}"
        self.terminal = Terminal(program, home / "terminal", url, self.bridge.key)
        self.terminal.ticks = [(ms + BROKER_MS, SYMBOL, bid, bid) for ms, bid in quotes(hours=3)]
        simulated, wall = os.environ[REPLAY_VARIABLE].split("@")
        self.terminal.start(
            **{
                "clock.simulated_ms": simulated, "clock.wall_ms": wall.split("x")[0], "clock.speed": SPEED,
                "fed_by_clock": 1, "preloaded": 0, "pause_ms": 20, "skip_ms": 0, "input.InpMaxLots": 1.0,
                "input.InpMaxAge": 600, "input.InpTimeoutMs": 1000, "input.InpSymbols": SYMBOL,
            }
        )  # fmt: skip
        self.worker = self._worker()

    def kill(self, name: str) -> None:
        """Kill -9, and begin again what nobody else begins."""
        if name == "deployment":
            for child in psutil.Process(self.worker.pid).children(recursive=True):
                child.kill()  # the worker begins it anew
        elif name == "worker":
            _kill(self.worker)
            self.worker = self._worker()
        elif name == "bridge":
            self.bridge.kill()
            self.bridge.start(**self.environment)
        else:
            self.terminal.kill()
            self.terminal.start()

    def end(self) -> None:
        """Leave nothing running."""
        for process in (self.worker, self.bridge.process, self.terminal.process):
            if process:
                _kill(process)

    def _worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "core.child", "main", "--mode", "worker"]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdin=subprocess.PIPE)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()


def quotes(hours: float) -> Iterator[tuple[int, float]]:
    """A quote every ten seconds, on waves of some minutes, so that averages cross often."""
    start = int(START.timestamp() * 1000)
    for step in range(int(hours * 360)):
        yield start + step * 10_000, round(1.1 + 0.002 * float(np.sin(step / 13)), 5)


@pytest.fixture
def world(program: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv(REPLAY_VARIABLE, f"{int(START.timestamp() * 1000)}@{time.time_ns() // 1_000_000}x{SPEED}")
    history([1.1] * 30, timeframe="M1")
    made = World(program, home)
    yield made
    made.end()


def test_nothing_happens_twice_and_all_agree_at_the_end(world: World, kills: int, chance: random.Random) -> None:
    wait_until(lambda: terminal_of(CLIENT), "the terminal is not heard")
    deployment = deployed(timeframe="M1", client=CLIENT, limits=PATIENT)
    desk.resume(deployment.id)
    wait_until(lambda: len(entered()) > 1, "nothing is traded", seconds=90)
    for name in [*("deployment", "worker", "bridge", "expert") * (kills // 4 + 1)][:kills]:
        time.sleep(chance.uniform(0.2, 2.0))
        world.kill(name)
    decided_before = len(list_decisions())
    wait_until(lambda: len(list_decisions()) > decided_before + 2, "no bar is decided after the last kill", seconds=90)
    desk.pause(deployment.id)
    wait_until(lambda: is_at_rest(deployment.id), "it does not come to rest", seconds=90)
    assert_nothing_twice(list_decisions())


def is_at_rest(deployment_id: int) -> bool:
    """Nothing is on its way, and the terminal has reported."""
    book = read_book(find_deployment(deployment_id), terminal_of(CLIENT))
    return not book.moving and book.agrees is True and not list_decisions(states=[PROPOSED], limit=1)


def entered() -> list[str]:
    return [deal["comment"] for deal in DealStore().of(CLIENT) if deal["entry"] == "in"]


def assert_nothing_twice(decided: list[Decision]) -> None:
    opened = pd.DatetimeIndex([each.bar_time for each in decided[::-1]])
    assert (opened[1:] - opened[:-1] == pd.Timedelta("1min")).all()  # each bar once, none left out
    assert pd.Timestamp(utc_now()) > opened[-1]
    signals = SignalStore().all(10_000)
    keys = [row["idempotency_key"] for row in signals]
    assert len(set(keys)) == len(keys)
    assert {row["id"] for row in signals} == {key for each in decided for key in each.signal_ids}
    deals = entered()
    assert len(set(deals)) == len(deals)
    assert set(deals) == {
        f"sig:{row['id']}" for row in signals if row["status"] == "executed" and row["signal_type"] != "CLOSE"
    }
    assert set(deals) <= {f"sig:{each.entry_signal_id}" for each in decided}
