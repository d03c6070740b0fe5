from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from backtesting import Strategy as LibraryStrategy

from core.errors import InputError
from execution import verification
from execution.backtest_manager import BacktestResult, manager
from execution.costs import Costs
from execution.registry import strategy_named
from execution.strategy import Strategy
from execution.verification import MOST_SHOWN, verify

Wishing = Callable[..., Strategy]


class Idle(LibraryStrategy):  # type: ignore[misc]
    def init(self) -> None:
        pass

    def next(self) -> None:
        pass


@pytest.mark.parametrize("engine", ["backtesting.py", "sequence"])
def test_the_other_engine_agrees_with_a_run(sample: pd.DataFrame, engine: str) -> None:
    result = manager.run_backtest(
        sample, strategy_name="MA_Crossover", symbol="EURUSD", commission=0.00002, margin=0.05, engine=engine
    )
    found = verify(result)
    assert found.is_checked
    assert found.is_equal
    assert found.differences.empty
    assert {found.first_engine, found.second_engine} == {"backtesting.py 0.6.6", "Sequence 0.1.0"}
    assert found.first_engine == result.engine
    assert found.sentence.endswith("agree bit for bit: equity, trades and drawdown.")


def test_what_differs_is_named_with_both_values(result: BacktestResult) -> None:
    equity, trades = result.equity.copy(), result.trades.copy()
    equity.iloc[3] = np.nextafter(equity.iloc[3], 1e9)  # the last bit
    trades.loc[1, "exit_price"] += 1.0
    found = verify(dataclasses.replace(result, equity=equity, trades=trades))
    assert not found.is_equal
    assert found.counts["equity"] == 1
    assert found.counts["trades"] == 1
    (row,) = found.differences[found.differences["part"] == "trades"].to_dict("records")
    assert (row["what"], row["first"] - row["second"]) == ("exit_price of trade 2", 1.0)
    (row,) = found.differences[found.differences["part"] == "equity"].to_dict("records")
    assert row["time"] == result.equity.index[3]
    assert "differ: 1 in equity, 1 in trades" in found.sentence


@pytest.mark.parametrize("kept", [0, 1])
def test_missing_trades_are_named(result: BacktestResult, kept: int) -> None:
    found = verify(dataclasses.replace(result, trades=result.trades.iloc[:kept]))
    missing = found.differences[found.differences["first"] == "missing"]
    assert missing["what"].tolist() == [f"trade {number}" for number in range(kept + 1, 3)]


def test_all_are_counted_and_some_are_shown(sample: pd.DataFrame) -> None:
    result = manager.run_backtest(sample, strategy_name="RSI_Bands", symbol="EURUSD")
    found = verify(dataclasses.replace(result, equity=result.equity + 1.0))
    assert found.counts["equity"] == len(sample)
    assert (found.differences["part"] == "equity").sum() == MOST_SHOWN


def test_a_refusal_of_the_other_engine_is_the_difference(
    result: BacktestResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("It cannot be.", "Leave it.")

    monkeypatch.setattr("execution.engine.run_compiled", refuse)
    found = verify(result)
    assert not found.is_equal
    assert "It cannot be." in found.sentence


def test_what_only_one_engine_can_run_is_said(bars: pd.DataFrame, wishing: Wishing) -> None:
    strategy = wishing([0, 1, 1, 1, *[0] * 16])
    extras = manager.run_backtest(bars, strategy, symbol="EURUSD", margin=0.05, costs=Costs(lots=0.01, swap_long=-1.0))
    assert verify(extras).sentence == (
        "Only Sequence 0.1.0 can run this. backtesting.py knows no FX extras: lots, swap_long."
    )
    charged = manager.run_backtest(bars, strategy, symbol="EURUSD", commission=lambda _size, _price: 1.0)
    assert "A commission that is a Python function runs on backtesting.py only" in verify(charged).sentence
    theirs = manager.run_backtest(bars, Idle, symbol="EURUSD")
    assert verify(theirs).sentence.startswith("Only backtesting.py 0.6.6 can run this. It runs the strategies of the")
    assert not verify(theirs).is_checked
    assert not verify(theirs).is_equal
    nameless = dataclasses.replace(extras, strategy=None)
    assert "does not carry its strategy" in verify(nameless).sentence


def test_a_stored_run_is_verified_from_its_dataset(sample: pd.DataFrame) -> None:
    result = manager.run_backtest(
        sample, strategy_name="RSI_Bands", symbol="EURUSD", commission=(1.0, 0.00001), parameters={"length": 9}
    )
    found = manager.verify(manager.save_result(result=result))
    assert found.is_equal, found.differences


def test_a_stored_run_that_cannot_be_run_again_says_why(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = manager.save_result(result=manager.run_backtest(sample, Idle, symbol="EURUSD"))
    assert "Idle is a class given from Python, which is not kept" in manager.verify(theirs).sentence
    run = manager.save_result(result=manager.run_backtest(sample, strategy_name="RSI_Bands", symbol="EURUSD"))
    newer = dataclasses.replace(strategy_named("RSI_Bands"), version=99)
    monkeypatch.setattr("execution.backtest_manager.strategy_named", lambda _name: newer)
    assert f"RSI_Bands is at version 99 now, the run at {run.strategy_version}." in manager.verify(run).sentence


def test_a_fault_in_an_engine_is_found(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the compiled engine to fill at the close instead of the next open, this would show it."""
    from execution import engine

    def at_close(bars: pd.DataFrame, *rest: object) -> object:
        return engine_run(bars.assign(open=bars["close"]), *rest)

    engine_run = engine.run_compiled
    monkeypatch.setattr(engine, "run_compiled", at_close)
    result = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD", margin=0.05)
    found = verification.verify(result)
    assert not found.is_equal
    assert found.counts["trades"] > 0
