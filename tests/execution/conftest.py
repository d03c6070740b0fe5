"""Bars and strategies made by hand, and processes of their own for tests that need more than one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.sources.sample import SampleSource
from execution.backtest_manager import manager
from execution.result import BacktestResult
from execution.strategy import Signals, Strategy
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]


@pytest.fixture
def sample() -> pd.DataFrame:
    """The 5,000 hourly bars of EURUSD."""
    first, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end).copy()


@pytest.fixture
def made() -> MadeBars:
    """Make hourly bars from rows of (open, high, low, close)."""

    def make(rows: list[tuple[float, float, float, float]], start: str = "2024-01-02") -> pd.DataFrame:
        index = pd.date_range(start, periods=len(rows), freq="h", tz="UTC", unit="us", name="time")
        bars = pd.DataFrame(rows, columns=["open", "high", "low", "close"], index=index, dtype="float64")
        return bars.assign(volume=1.0)

    return make


@pytest.fixture
def wishing() -> Wishing:
    """Make a strategy that wants given positions, with the same stop and target at every bar."""

    def make(positions: list[int], stop: float | None = None, target: float | None = None) -> Strategy:
        def signals(bars: pd.DataFrame, _values: object) -> Signals:
            stops, targets = (None if d is None else np.full(len(bars), d) for d in (stop, target))
            return Signals(np.array(positions[: len(bars)], dtype=np.int8), stops, targets)

        return Strategy("Wishing", "Wishing", "As told.", "this test", 1, (), signals)

    return make


@pytest.fixture
def bars(made: MadeBars) -> pd.DataFrame:
    """A market that rises by one an hour."""
    return made([(100.0 + n, 101.0 + n, 99.0 + n, 100.0 + n) for n in range(20)])


@pytest.fixture
def result(bars: pd.DataFrame, wishing: Wishing) -> BacktestResult:
    """A run of two trades, one won and one lost."""
    return manager.run_backtest(bars, wishing([0, 1, 1, 1, 0, 0, -1, -1, *[0] * 12]), symbol="EURUSD")


@pytest.fixture
def other(bars: pd.DataFrame, wishing: Wishing) -> BacktestResult:
    """Another run of the same strategy on the same bars."""
    return manager.run_backtest(bars, wishing([0, 1, 1, 1, 1, 1, 1, 1, *[0] * 12]), symbol="EURUSD")


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python text as a process of its own; what still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_script(script: str, *arguments: object, folder: Path = home) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "SEQUENCE_HOME": str(home)},
        )
        started.append(process)
        return process

    yield start_script
    for process in started:
        process.kill()
        process.communicate()
