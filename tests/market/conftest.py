"""Bars that tests stand on: backtesting's own EUR/USD sample and made-up ones that are easy to reckon with."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.bars import check_bars


@pytest.fixture(scope="session")
def eurusd_h1() -> pd.DataFrame:
    """5,000 hourly bars of 2017 and 2018, in UTC; found without importing backtesting."""
    spec = find_spec("backtesting")
    assert spec
    assert spec.origin
    file = Path(spec.origin).parent / "test" / "EURUSD.csv"
    return check_bars(pd.read_csv(file, index_col=0, parse_dates=True))


@pytest.fixture(scope="session")
def counted_bars() -> Callable[[pd.DatetimeIndex], pd.DataFrame]:
    """Make bars whose figures count up from 100: bar `i` opens at 100 + i, closes ½ higher, spans ±1, volume i."""

    def make(times: pd.DatetimeIndex) -> pd.DataFrame:
        opens = 100.0 + np.arange(len(times))
        columns = {"open": opens, "high": opens + 1, "low": opens - 1, "close": opens + 0.5, "volume": opens - 100}
        return check_bars(pd.DataFrame(columns, index=times))

    return make
