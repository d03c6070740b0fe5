"""A run bar by bar: nothing that is told of a moment came later."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError
from execution.replay import Moment, changes, moment
from execution.strategy import Parameter, Signals, Strategy, Values


def _late(bars: pd.DataFrame, values: Values) -> Signals:
    """Long from the third bar on, short from the sixth; it peeks at the last close for its stop."""
    position = np.zeros(len(bars), np.int8)
    position[2:5] = 1
    position[5:] = -1
    return Signals(position, stop_distance=np.full(len(bars), bars["close"].iloc[-1]))


STEPS = Strategy(
    name="Steps",
    title="Steps",
    rule="Long, then short.",
    source="test",
    version=1,
    parameters=(Parameter("length", 3, "Bars", low=1, high=9),),
    signals=_late,
    warm_up=lambda values: 2,
)


@pytest.fixture
def bars() -> pd.DataFrame:
    close = 1.1 + 0.001 * np.arange(8)
    times = pd.date_range("2024-03-04", periods=8, freq="h", tz="UTC", name="time")
    return pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=times)


@pytest.fixture
def trades(bars: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "side": ["long", "short"],
            "entry_bar": [3, 6],
            "exit_bar": [6, 7],
            "entry_price": [1.103, 1.106],
            "entry_time": bars.index[[3, 6]],
        }
    )


def at(bar: int, bars: pd.DataFrame, trades: pd.DataFrame) -> Moment:
    equity = pd.Series(10_000.0 + np.arange(len(bars)), index=bars.index)
    return moment(STEPS, bars, {"length": 3}, bar, trades=trades, equity=equity, pip=0.0001)


def test_an_order_is_told_at_the_close_that_decides_it_and_filled_later(
    bars: pd.DataFrame, trades: pd.DataFrame
) -> None:
    now = at(2, bars, trades)
    assert (now.wanted, now.wanted_before, now.trade) == (1, 0, None)
    assert now.is_change
    assert now.sentence().startswith("It wants to be long: an order to buy at the next open, stop 1.102 from the close")
    then = at(4, bars, trades)
    assert then.trade["side"] == "long"
    # From 1.103 to the close of 1.104.
    assert then.floating_pips == pytest.approx(10)
    assert then.equity == 10_004
    assert "no order" in then.sentence()


def test_the_strategy_is_asked_with_the_bars_up_to_then_only(bars: pd.DataFrame, trades: pd.DataFrame) -> None:
    assert at(2, bars, trades).stop_distance == pytest.approx(1.102)
    assert at(4, bars, trades).stop_distance == pytest.approx(1.104)


def test_a_short_floats_the_other_way_and_ends_with_its_exit_bar(bars: pd.DataFrame, trades: pd.DataFrame) -> None:
    now = at(6, bars, trades)
    assert now.trade["side"] == "short"
    assert now.floating_pips == pytest.approx(0)
    assert at(7, bars, trades).trade is None


def test_while_it_warms_up_a_strategy_wants_nothing(bars: pd.DataFrame, trades: pd.DataFrame) -> None:
    first = at(0, bars, trades)
    assert (first.wanted, first.wanted_before, first.is_change) == (0, 0, False)
    assert np.isnan(first.stop_distance)


@pytest.mark.parametrize("bar", [-1, 8])
def test_a_bar_that_is_not_there_is_refused(bar: int, bars: pd.DataFrame, trades: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="The run has 8"):
        at(bar, bars, trades)


def test_changes_begin_with_the_first_wish() -> None:
    assert changes(np.array([0, 0, 1, 1, 0, -1], np.int8)).tolist() == [2, 4, 5]
    assert changes(np.array([1, 1], np.int8)).tolist() == [0]
