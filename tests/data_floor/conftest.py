"""The sample as a frame, bars made by hand, and processes of their own for tests that kill one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.pipeline_controller import DataConfig
from data.sources.sample import SampleSource
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]


@pytest.fixture
def sample_config() -> DataConfig:
    """Everything the sample holds, in the shape that the specification prints."""
    return DataConfig(
        data_sources=["Sample"], symbols=["EURUSD"], start_date="2017-04-19", end_date="2018-02-07", resolution="hourly"
    )


@pytest.fixture
def sample() -> pd.DataFrame:
    """The 5,000 hourly bars of EURUSD."""
    first, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end).copy()


@pytest.fixture
def made() -> MadeBars:
    """Make hourly bars from closes: open = the close before, high and low 0.5 beyond both."""

    def make(closes: list[float] | np.ndarray, symbol: str = "", start: str = "2024-01-01") -> pd.DataFrame:
        close = np.asarray(closes, dtype="float64")
        opened = np.concatenate([close[:1], close[:-1]])
        bars = pd.DataFrame(
            {
                "open": opened,
                "high": np.fmax(opened, close) + 0.5,
                "low": np.fmin(opened, close) - 0.5,
                "close": close,
                "volume": 100.0,
            },
            index=pd.date_range(start, periods=len(close), freq="h", tz="UTC", unit="us", name="time"),
        )
        return bars.assign(symbol=symbol, source="made") if symbol else bars

    return make


@pytest.fixture
def run_script(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python text in a process of its own, in the same workbench."""

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            env={**os.environ, "SEQUENCE_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
