"""The tutorial in Chromium: a run is deployed, the compiled Expert Advisor trades it, the kill switch, the day's books.

A fast clock stands for the waiting; the commands are those of docs/tutorial.md.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

sys.path.append(str(Path(__file__).parents[1] / "mql5"))

import expert_terminal
from mql5_translate import COMPILER

import workbench
from core.clock import REPLAY_VARIABLE
from data.bar_store import BarStore
from execution.backtest_manager import manager
from execution.costs import Costs
from mql5.bridge.keys import key_file

pytestmark = pytest.mark.browser
ROOT = Path(workbench.__file__).parent
START = pd.Timestamp("2026-03-03 08:00", tz="UTC")  # a Tuesday
SPEED = 15  # a minute of the market lasts four seconds
BROKER_AHEAD_MS = 7_200_000


def commands_of_the_tutorial() -> list[str]:
    """The command lines that docs/tutorial.md prints, in their order."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    return re.findall(r"^    (python main\.py .*)$", text, re.MULTILINE)


def run_command(line: str) -> str:
    """What a command of the tutorial prints."""
    words = re.findall(r'"[^"]*"|\S+', line)[1:]
    done = subprocess.run(
        [sys.executable, *(word.strip('"') for word in words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def price_at(minute: float) -> float:
    return round(1.1 + 0.0015 * float(np.sin(minute / 3)), 5)


@pytest.fixture
def server(
    home: Path, serve: Callable[..., AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The workbench with worker and bridge on the fast clock, a run on M1 bars stored, history up to START."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SEQUENCE_BRIDGE_PORT", str(probe.getsockname()[1]))
    monkeypatch.setenv("SEQUENCE_BRIDGE__WITH_WORKBENCH", "true")
    times = pd.date_range(end=START - pd.Timedelta("1min"), periods=300, freq="1min", name="time")
    closes = [price_at(at - 299) for at in range(300)]
    opens = [closes[0], *closes[:-1]]
    bars = pd.DataFrame(
        {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes), "close": closes,
         "volume": 6.0},
        index=times,
    )  # fmt: skip
    BarStore().add("EURUSD", "M1", "Export", bars)
    result = manager.run_backtest(
        bars, strategy_name="MA_Crossover", symbol="EURUSD", timeframe="M1",
        parameters={"fast_length": 2, "slow_length": 4},
        margin=0.05, costs=Costs(lots=0.1, stop_pips=30),
    )  # fmt: skip
    manager.save_result("tutorial", result=result)
    monkeypatch.setenv(REPLAY_VARIABLE, f"{_ms(START)}@{time.time_ns() // 1_000_000}x{SPEED}")
    with serve(home) as address:
        yield address


@pytest.fixture
def terminal(server: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[expert_terminal.Terminal]:
    """The compiled expert, its ticks coming by the clock."""
    url = f"http://127.0.0.1:{os.environ['SEQUENCE_BRIDGE_PORT']}"
    until = time.monotonic() + 60
    while not key_file().exists():
        assert time.monotonic() < until, "the bridge does not start"
        time.sleep(0.1)
    made = expert_terminal.Terminal(
        expert_terminal.shared_expert(tmp_path_factory), home / "terminal", url, key_file().read_text().strip()
    )
    made.ticks = [
        (_ms(START) + step * 10_000 + BROKER_AHEAD_MS, "EURUSD", price_at(step / 6), price_at(step / 6))
        for step in range(6 * 180)
    ]
    simulated, wall = os.environ[REPLAY_VARIABLE].split("@")
    made.start(
        **{
            "clock.simulated_ms": simulated, "clock.wall_ms": wall.split("x")[0], "clock.speed": SPEED,
            "fed_by_clock": 1, "preloaded": 0, "pause_ms": 20, "skip_ms": 0, "input.InpMaxLots": 1.0,
            "input.InpMaxAge": 600, "input.InpTimeoutMs": 1000, "input.InpSymbols": "EURUSD",
        }
    )  # fmt: skip
    yield made
    if made.process and made.process.poll() is None:
        made.kill()


@pytest.mark.skipif(COMPILER is None, reason="no g++ on this machine (Debian: apt-get install g++)")
def test_a_run_is_deployed_traded_killed_and_reconciled(bench: Any, terminal: expert_terminal.Terminal) -> None:
    page: Page = bench.page
    bench.open("/backtesting?run=tutorial", "Backtesting")
    page.get_by_role("button", name="Deploy on demo…").click()
    bench.settled("Live")
    expect(page.get_by_text("mt5-5012345").first).to_be_visible()
    page.get_by_label("Name", exact=True).fill("pupil")
    page.get_by_role("button", name="Deploy on demo", exact=True).click()
    expect(page.get_by_text("1 trading")).to_be_visible()
    expect(page.get_by_text("0.10 lots")).to_be_visible()  # of the open position, as the terminal reports it
    assert "executed" in (terminal.folder / "said.log").read_text()

    kill, arm = [line for line in commands_of_the_tutorial() if "kill" in line or "arm" in line]
    assert "no entry is decided" in run_command(kill)
    expect(page.get_by_text("every entry stopped").first).to_be_visible()
    second = re.search(r"python main\.py --mode arm --code \w+", run_command(arm))
    assert second
    assert "Armed" in run_command(second[0])
    expect(page.get_by_text("kill switch armed").first).to_be_visible()

    bench.open("/live", "Live")
    page.get_by_role("button", name="Reconcile", exact=True).click()
    expect(page.get_by_text(re.compile(r"\d+ of \d+ trades? agree|All \d+ trades? agree")).first).to_be_visible()


def _ms(moment: pd.Timestamp) -> int:
    return int(moment.timestamp() * 1000)
