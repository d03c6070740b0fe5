from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError, InputError, StrategyError
from data.pipeline_controller import DataConfig, controller
from execution.backtest_manager import BacktestResult, manager
from execution.costs import Costs
from execution.metrics import METRICS
from execution.result import library_name
from execution.strategy import Signals, Strategy

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]
Start = Callable[..., subprocess.Popen[str]]


def test_running_stores_nothing(result: BacktestResult, home: Path) -> None:
    assert result["trades_count"] == 2
    assert list(home.iterdir()) == []


def test_the_result_answers_the_names_the_library_prints(result: BacktestResult) -> None:
    assert result["# Trades"] == 2
    assert result["Return [%]"] == pytest.approx(result["total_return"])
    assert result["Equity Final [$]"] == result["final_equity"]
    assert len(result["_trades"]) == 2
    assert list(result["_equity_curve"]["Equity"]) == list(result.equity)
    assert result["_trades"]["PnL"].sum() == pytest.approx(result["net_profit"])


def test_ours_are_snake_case_and_the_librarys_carry_its_mark(result: BacktestResult) -> None:
    assert set(METRICS) <= set(result)
    assert result["lib_sharpe_ratio"] is result["Sharpe Ratio"]
    assert result["lib_return_pct"] == result["Return [%]"]
    assert result["lib_count_trades"] == 2
    names = list(result.library_metrics)
    assert all(re.fullmatch(r"lib_[a-z0-9]+(_[a-z0-9]+)*", name) for name in names)
    assert len(set(names)) == len([key for key in result.library if not key.startswith("_")])


def test_our_sharpe_and_the_librarys_stand_apart(sample: pd.DataFrame) -> None:
    run = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD")
    assert run["sharpe_ratio"] != run["Sharpe Ratio"]
    assert run["sharpe_ratio"] == run.metrics["sharpe_ratio"]


@pytest.mark.parametrize(
    ("printed", "ours"),
    [
        ("Max. Drawdown [%]", "lib_max_drawdown_pct"),
        ("# Trades", "lib_count_trades"),
        ("Buy & Hold Return [%]", "lib_buy_and_hold_return_pct"),
        ("Equity Final [$]", "lib_equity_final"),
        ("Return (Ann.) [%]", "lib_return_ann_pct"),
    ],
)
def test_a_printed_name_has_one_snake_case_form(printed: str, ours: str) -> None:
    assert library_name(printed) == ours


def test_a_result_is_a_mapping_whose_unknown_names_are_key_errors(result: BacktestResult) -> None:
    assert "sharpe_ratio" in result
    assert "# Trades" in result
    assert "no_such_figure" not in result
    assert len(result) == len(list(result))
    with pytest.raises(KeyError):
        result["no_such_figure"]


def test_a_dataset_version_runs_as_its_frame_does(sample: pd.DataFrame) -> None:
    version = controller.prepare(
        DataConfig(
            data_sources=["Sample"],
            symbols=["EURUSD"],
            start_date="2017-04-19",
            end_date="2018-02-07",
            preprocessing={"engineer_features": True},
        )
    )
    from_version = manager.run_backtest(version, strategy_name="MA_Crossover")
    from_frame = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD")
    pd.testing.assert_series_equal(from_version.equity, from_frame.equity)
    assert (from_version.settings.symbol, from_version.settings.timeframe) == ("EURUSD", "H1")
    run = manager.save_result(result=from_version)
    assert (run.dataset_version_id, run.dataset_hash) == (version.id, version.content_hash)
    assert len(controller.versions()) == 1


def test_of_several_symbols_one_is_named(bars: pd.DataFrame) -> None:
    frame = pd.concat([bars.assign(symbol="EURUSD"), (2 * bars).assign(symbol="GBPUSD")])
    run = manager.run_backtest(frame, strategy_name="RSI_Bands", symbol="GBP/USD")
    assert (run.settings.symbol, run.bars["close"].iloc[0]) == ("GBPUSD", 200.0)
    with pytest.raises(InputError, match=r"No symbol was named\. Pass symbol=…, one of \['EURUSD', 'GBPUSD'\]"):
        manager.run_backtest(frame, strategy_name="RSI_Bands")
    with pytest.raises(InputError, match=r"No symbol was named\. Pass symbol=…\."):
        manager.run_backtest(bars, strategy_name="RSI_Bands")


@pytest.mark.parametrize(("given", "named"), [(None, "H1"), ("1H", "H1"), ("60m", "H1"), ("M30", "M30")])
def test_the_timeframe_is_measured_or_named_in_any_spelling(bars: pd.DataFrame, given: str, named: str) -> None:
    run = manager.run_backtest(bars, strategy_name="RSI_Bands", symbol="EURUSD", timeframe=given)
    assert run.settings.timeframe == named


def test_bars_that_stand_closer_than_declared_are_refused(bars: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"as D1, but some stand no further apart than those of H1\. Declare H1"):
        manager.run_backtest(bars, strategy_name="RSI_Bands", symbol="EURUSD", timeframe="daily")


def test_a_strategy_without_a_name_carries_its_own(bars: pd.DataFrame, wishing: Wishing) -> None:
    assert manager.run_backtest(bars, wishing([0] * 20), symbol="EURUSD").settings.strategy_name == "Wishing"
    run = manager.run_backtest(bars, strategy_name="RSI_Bands", symbol="EURUSD", parameters={"length": 3})
    assert run.settings.strategy_version == 1
    assert run.settings.parameters == {"length": 3, "lower": 30.0, "upper": 70.0, "exit_level": 50.0}


def test_an_unknown_strategy_is_refused_with_those_there_are(bars: pd.DataFrame) -> None:
    with pytest.raises(StrategyError, match="Did you mean 'RSI_Bands'"):
        manager.run_backtest(bars, strategy_name="RSI_Band", symbol="EURUSD")


def test_an_empty_workbench_has_no_portfolio() -> None:
    assert manager.get_portfolio_stats() == {
        "runs": 0,
        "strategies": 0,
        "symbols": 0,
        "mean_return": None,
        "best_return": None,
        "mean_sharpe": None,
        "worst_drawdown": None,
    }


def test_portfolio_figures_are_taken_over_all_runs(sample: pd.DataFrame, bars: pd.DataFrame, wishing: Wishing) -> None:
    for symbol in ("EURUSD", "GBPUSD"):
        for name in ("MA_Crossover", "RSI_Bands"):
            manager.save_result(result=manager.run_backtest(sample, strategy_name=name, symbol=symbol))
    manager.save_result(result=manager.run_backtest(bars, wishing([0] * 20), symbol="EURUSD"))  # has no Sharpe
    runs = manager.runs()
    stats = manager.get_portfolio_stats()
    returns = [run.total_return for run in runs if run.total_return is not None]
    sharpes = [run.sharpe_ratio for run in runs if run.sharpe_ratio is not None]
    assert (stats["runs"], stats["strategies"], stats["symbols"]) == (5, 3, 2)
    assert (len(returns), len(sharpes)) == (5, 4)
    assert stats["mean_return"] == pytest.approx(np.mean(returns))
    assert stats["best_return"] == max(returns)
    assert stats["mean_sharpe"] == pytest.approx(np.mean(sharpes))
    assert stats["worst_drawdown"] == min(run.max_drawdown for run in runs if run.max_drawdown is not None)


def test_importing_the_door_touches_no_disk_and_no_heavy_package(start: Start, home: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from execution.backtest_manager import manager
        manager.runs()
        heavy = {"torch", "sklearn", "numba", "backtesting", "bokeh"}
        print(sorted({name.split(".")[0] for name in sys.modules} & heavy))
    """)
    process = start(script)
    output, errors = process.communicate()
    assert (process.returncode, output) == (0, "[]\n"), errors
    assert list(home.iterdir()) == []


def test_a_strategy_that_uses_the_future_is_refused_by_name(sample: pd.DataFrame) -> None:
    def peek(bars: pd.DataFrame, _values: object) -> Signals:
        later = bars["close"].shift(-1).fillna(bars["close"])
        return Signals(np.sign(later - bars["close"]).to_numpy().astype(np.int8))

    cheat = Strategy("Cheat", "Cheat", "Knows tomorrow.", "this test", 1, (), peek)
    with pytest.raises(StrategyError, match="Cheat uses the future: position at"):
        manager.run_backtest(sample, cheat, symbol="EURUSD")


def test_what_was_run_before_is_found_in_the_store(sample: pd.DataFrame) -> None:
    version = controller.enter_bars(sample, "EURUSD", "H1")
    assert manager.stored(version, "MACD") is None
    run = manager.save_result(result=manager.run_backtest(version, strategy_name="MACD", spread_pips=0.6))
    found = manager.stored(version, "MACD", spread_pips=0.6)
    assert found is not None
    assert found.run_id == run.run_id
    for other in (
        {"spread_pips": 0.7},
        {"spread_pips": 0.6, "cash": 5_000},
        {"spread_pips": 0.6, "parameters": {"fast_length": 10}},
        {"spread_pips": 0.6, "costs": Costs(lots=0.1)},
        {"spread_pips": 0.6, "engine": "sequence"},
    ):
        assert manager.stored(version, "MACD", **other) is None
