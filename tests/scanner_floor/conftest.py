"""Bars that patterns are looked for in: real ones, and made ones in which levels meet, gap and stand still.

`pytest tests/scanner_floor/test_patterns_causal.py --hypothesis-profile=full --timeout 0` deals 10,000 cases.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings

from data.sources.sample import SampleSource
from market.timeframes import Timeframe

sys.path.append(str(Path(__file__).parent))  # where `pattern_bars` stands
settings.register_profile("full", max_examples=10_000, deadline=None)


@pytest.fixture(scope="session")
def sample() -> pd.DataFrame:
    """The 5,000 hourly bars of EURUSD."""
    first, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end)


@pytest.fixture(scope="session")
def made() -> Callable[..., pd.DataFrame]:
    """Make bars from rows of (open, high, low, close) or (…, volume), hourly unless told otherwise."""

    def make(rows: list[tuple[float, ...]], start: str = "2024-01-02", every: str = "h") -> pd.DataFrame:
        index = pd.date_range(start, periods=len(rows), freq=every, tz="UTC", unit="us", name="time")
        full = [(*row, 0.0)[:5] for row in rows]
        columns = ["open", "high", "low", "close", "volume"]
        return pd.DataFrame(full, columns=columns, index=index, dtype="float64")

    return make
