from __future__ import annotations

import csv
import dataclasses
import math
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError, UnknownNameError
from execution.backtest_manager import BacktestResult, StoredRun, manager
from execution.comparison import (
    common_returns,
    compare_runs,
    correlation,
    differing_settings,
    rebased_equity,
    run_settings,
    side_by_side,
)
from execution.metrics import METRICS
from execution.strategy import Strategy
from market.symbols import AssetClass

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]
Start = Callable[..., subprocess.Popen[str]]


def stored(result: BacktestResult, **figures: Any) -> StoredRun:
    """A stored run with some of its figures replaced."""
    return dataclasses.replace(manager.save_result("template", result=result), **figures)


def test_a_comparison_has_the_printed_keys(sample: pd.DataFrame) -> None:
    for run_id, name in (("backtest_001", "MA_Crossover"), ("backtest_002", "RSI_Bands")):
        manager.save_result(run_id, result=manager.run_backtest(sample, strategy_name=name, symbol="EURUSD"))
    first, second = manager.run("backtest_001"), manager.run("backtest_002")
    comparison = manager.compare_strategies("backtest_001", "backtest_002")
    assert list(comparison) == ["strategy_1", "strategy_2", "winner", "metrics"]
    assert (comparison["strategy_1"], comparison["strategy_2"]) == ("MA_Crossover", "RSI_Bands")
    assert list(comparison["metrics"]) == ["return", "sharpe_ratio", "max_drawdown"]
    assert first.total_return is not None
    assert second.total_return is not None
    assert comparison["metrics"]["return"] == {
        "strategy_1": first.total_return,
        "strategy_2": second.total_return,
        "delta": first.total_return - second.total_return,
    }
    assert first.sharpe_ratio is not None
    assert second.sharpe_ratio is not None
    better = "MA_Crossover" if first.sharpe_ratio > second.sharpe_ratio else "RSI_Bands"
    assert comparison["winner"] == better


# Sharpe, return, drawdown of the two; who wins.
WINNERS: dict[str, tuple[tuple[Any, Any, Any], tuple[Any, Any, Any], str | None]] = {
    "the higher Sharpe, whatever else": ((1.2, 1.0, -30.0), (1.1, 50.0, -1.0), "One"),
    "the higher Sharpe of the second": ((1.1, 50.0, -1.0), (1.2, 1.0, -30.0), "Two"),
    "at equal Sharpe the higher return": ((1.0, 5.0, -30.0), (1.0, 6.0, -40.0), "Two"),
    "at equal return the smaller drawdown": ((1.0, 5.0, -8.0), (1.0, 5.0, -10.0), "One"),
    "a known Sharpe beats an unknown one": ((None, 99.0, -1.0), (-3.0, -50.0, -60.0), "Two"),
    "both Sharpes unknown, the return decides": ((None, 1.0, -5.0), (None, 2.0, -5.0), "Two"),
    "an unknown return loses": ((None, None, -5.0), (None, -9.0, -5.0), "Two"),
    "only drawdowns known": ((None, None, -5.0), (None, None, -4.0), "Two"),
    "a negative Sharpe beats a more negative one": ((-2.0, 0.0, 0.0), (-1.0, 0.0, 0.0), "Two"),
    "all equal": ((1.0, 5.0, -8.0), (1.0, 5.0, -8.0), None),
    "nothing known": ((None, None, None), (None, None, None), None),
}


@pytest.mark.parametrize("case", WINNERS)
def test_the_winner_is_decided_by_sharpe_then_return_then_drawdown(case: str, result: BacktestResult) -> None:
    one, two, winner = WINNERS[case]
    first, second = (
        stored(result, strategy_name=name, sharpe_ratio=sharpe, total_return=total, max_drawdown=worst)
        for name, (sharpe, total, worst) in (("One", one), ("Two", two))
    )
    assert compare_runs(first, second)["winner"] == winner
    assert compare_runs(second, first)["winner"] == winner


def test_the_difference_to_an_unknown_figure_is_unknown(result: BacktestResult) -> None:
    comparison = compare_runs(stored(result, sharpe_ratio=None), stored(result, sharpe_ratio=1.0))
    assert comparison["metrics"]["sharpe_ratio"] == {"strategy_1": None, "strategy_2": 1.0, "delta": None}


def test_two_runs_of_one_strategy_are_told_apart_by_their_names(result: BacktestResult, other: BacktestResult) -> None:
    manager.save_result("one", result=result)
    manager.save_result("two", result=other)
    comparison = manager.compare_strategies("one", "two")
    assert (comparison["strategy_1"], comparison["strategy_2"]) == ("Wishing (one)", "Wishing (two)")
    assert comparison["winner"] == "Wishing (two)"


def test_comparisons_are_kept(result: BacktestResult, other: BacktestResult, home: Path) -> None:
    manager.save_result("one", result=result)
    manager.save_result("two", result=other)
    manager.compare_strategies("one", "two")
    with closing(sqlite3.connect(home / "output_central" / "backtest_results.db")) as database:
        rows = database.execute("SELECT run_id_1, run_id_2, winner FROM backtest_comparisons").fetchall()
    assert rows == [("one", "two", "Wishing (two)")]


def test_a_run_that_does_not_exist_cannot_be_compared(result: BacktestResult) -> None:
    manager.save_result("one", result=result)
    with pytest.raises(UnknownNameError):
        manager.compare_strategies("one", "other")


def test_a_comparison_is_exported_into_the_current_folder(
    result: BacktestResult, other: BacktestResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.save_result("one", result=result)
    manager.save_result("two", result=other)
    current = tmp_path / "analysis"
    current.mkdir()
    monkeypatch.chdir(current)
    target = manager.export_comparison_csv("one", "two", "comparison.csv")
    assert target == current / "comparison.csv"
    assert [file.name for file in current.iterdir()] == ["comparison.csv"]
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["metric"] for row in rows] == ["return", "sharpe_ratio", "max_drawdown"]
    assert list(rows[0]) == ["metric", "Wishing (one)", "Wishing (two)", "delta", "winner"]
    assert float(rows[0]["delta"]) == pytest.approx(result["total_return"] - other["total_return"])
    assert {row["winner"] for row in rows} == {"Wishing (two)"}


def test_an_unknown_figure_is_an_empty_cell(bars: pd.DataFrame, wishing: Wishing, tmp_path: Path) -> None:
    for name in ("one", "two"):
        idle = manager.run_backtest(bars, wishing([0] * 20), name, "EURUSD")
        manager.save_result(name, result=idle)
    target = manager.export_comparison_csv("one", "two", tmp_path / "reports" / "comparison.csv")
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert rows["sharpe_ratio"] == {"metric": "sharpe_ratio", "one": "", "two": "", "delta": "", "winner": ""}
    assert float(rows["return"]["delta"]) == 0.0


def curve(values: list[float], start: str = "2024-01-02", freq: str = "D") -> pd.Series:
    index = pd.date_range(start, periods=len(values), freq=freq, tz="UTC", unit="us", name="time")
    return pd.Series(values, index=index, dtype="float64", name="equity")


def test_curves_are_laid_over_each_other_from_the_time_they_share() -> None:
    early = curve([50.0, 100.0, 150.0, 200.0], "2024-01-01")
    late = curve([1000.0, 900.0, 1100.0], "2024-01-02")
    found = rebased_equity({"early": early, "late": late})
    assert found["early"].tolist() == [100.0, 150.0, 200.0]
    assert found["late"].tolist() == [100.0, 90.0, pytest.approx(110.0)]
    assert found.index.tolist() == late.index.tolist()
    assert early.iloc[0] == 50.0


def test_a_run_on_longer_bars_keeps_its_value_between_them() -> None:
    found = rebased_equity(
        {"hours": curve([100.0, 101.0, 102.0, 103.0, 104.0], freq="h"), "long": curve([10.0, 20.0, 40.0], freq="2h")}
    )
    assert found["long"].tolist() == [100.0, 100.0, 200.0, 200.0, 400.0]
    # Its first bar opened before the other run did.
    shifted = rebased_equity(
        {"a": curve([10.0, 20.0, 40.0], "2024-01-02 00:30", "h"), "b": curve([1.0, 2.0, 3.0], freq="h")}
    )
    assert shifted.index[0] == pd.Timestamp("2024-01-02 00:30", tz="UTC")
    assert shifted["b"].tolist() == [100.0, 200.0, 200.0, 300.0]


def test_curves_that_share_no_time_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="old ends on 2024-01-03 and new begins on 2024-02-01"):
        rebased_equity({"new": curve([1.0, 2.0], "2024-02-01"), "old": curve([1.0, 2.0])})
    with pytest.raises(InputError, match="no run to compare"):
        rebased_equity({})


def test_a_run_without_money_at_the_beginning_has_no_course() -> None:
    found = rebased_equity({"ruined": curve([0.0, 0.0]), "sound": curve([1.0, 2.0])})
    assert found["ruined"].isna().all()
    assert found["sound"].tolist() == [100.0, 200.0]


def test_daily_returns_are_correlated_on_common_days() -> None:
    moves = np.random.default_rng(4).normal(0, 0.01, 60)
    one = curve(list(100 * np.cumprod(1 + moves)))
    other = curve(list(100 * np.cumprod(1 - 2 * moves)))
    flat = curve([100.0] * 40, "2024-01-12")
    found = common_returns({"one": one, "other": other}, dict.fromkeys(("one", "other"), AssetClass.CRYPTO))
    assert correlation(found).to_numpy() == pytest.approx(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert correlation(found)["one"].tolist() == pytest.approx(found.corr()["one"].tolist())
    three = common_returns(
        {"one": one, "flat": flat, "other": other}, dict.fromkeys(("one", "flat", "other"), AssetClass.CRYPTO)
    )
    assert len(three) == 39
    assert list(three.columns) == ["one", "flat", "other"]
    table = correlation(three)
    assert table.loc["flat"].isna().all()
    assert table.loc["one", "other"] == pytest.approx(-1.0)


def test_markets_of_different_days_meet_on_the_days_that_both_have() -> None:
    hours = curve(list(np.linspace(100, 200, 24 * 14)), "2024-07-01", "h")
    found = common_returns({"euro": hours, "coin": hours}, {"euro": AssetClass.FX, "coin": AssetClass.CRYPTO})
    assert set(found.index.day_of_week) == {0, 1, 2, 3, 4}


def test_too_few_days_have_no_correlation() -> None:
    days = dict.fromkeys("ab", AssetClass.CRYPTO)
    two = common_returns({"a": curve([1.0, 2.0, 5.0]), "b": curve([1.0, 3.0, 4.0])}, days)
    assert len(two) == 2
    assert correlation(two).isna().all().all()


def test_the_better_figure_is_marked_by_its_own_direction() -> None:
    many = {"trades_count": 100.0}
    found = side_by_side(
        {
            "a": {**many, "sharpe_ratio": 1.0, "max_drawdown": -5.0, "volatility_pct": 9.0, "profit_factor": math.inf},
            "b": {**many, "sharpe_ratio": 2.0, "max_drawdown": -9.0, "volatility_pct": 8.0, "profit_factor": 1.5},
            "c": {**many, "sharpe_ratio": 2.0, "max_drawdown": None, "volatility_pct": 8.5, "exposure_pct": 3.0},
        }
    )
    assert found.index.tolist() == list(METRICS)
    better = found["better"]
    assert better["sharpe_ratio"] == ("b", "c")
    assert better["max_drawdown"] == ("a",)
    assert better["volatility_pct"] == ("b",)
    assert better["profit_factor"] == ("a",)
    assert better["trades_count"] == better["exposure_pct"] == better["calmar_ratio"] == ()
    assert math.isnan(found.loc["max_drawdown", "c"])
    assert found.loc["sharpe_ratio", "title"] == "Sharpe"


def test_a_ratio_of_few_trades_is_never_the_better_one() -> None:
    found = side_by_side(
        {
            "few": {"trades_count": 29.0, "sharpe_ratio": 9.0, "total_return": 50.0},
            "many": {"trades_count": 30.0, "sharpe_ratio": 0.5, "total_return": 1.0},
            "more": {"trades_count": 90.0, "sharpe_ratio": 0.4, "total_return": 1.0},
        }
    )
    assert found.loc["sharpe_ratio", "better"] == ("many",)
    assert found.loc["sharpe_ratio", "shown_as_count"] == ("few",)
    assert found.loc["total_return", "better"] == ("few",)
    assert found.loc["total_return", "shown_as_count"] == ()


def test_only_what_differs_of_the_settings_is_listed() -> None:
    found = differing_settings(
        {
            "a": {"symbol": "EURUSD", "cash": 10_000, "parameters": {"fast": 10, "slow": 40}},
            "b": {"symbol": "EURUSD", "cash": 10_000.0, "parameters": {"fast": 12, "slow": 40}},
            "c": {"symbol": "EURUSD", "cash": 10_000, "parameters": {"fast": 10, "slow": 40}, "swap": -0.5},
        }
    )
    assert found.index.tolist() == ["parameters.fast", "swap"]
    assert found.loc["parameters.fast"].tolist() == [10, 12, 10]
    assert found.loc["swap"].tolist() == [None, None, -0.5]


def test_equal_settings_leave_nothing_to_list() -> None:
    found = differing_settings({"a": {"cash": 1}, "b": {"cash": 1}})
    assert (found.index.tolist(), found.columns.tolist()) == ([], ["a", "b"])


def test_stored_runs_differ_in_what_was_set(bars: pd.DataFrame, wishing: Wishing) -> None:
    strategy = wishing([0, 1, 1, 0, *[0] * 16])
    runs = [
        manager.save_result(None, result=manager.run_backtest(bars, strategy, symbol="EURUSD", **costs))
        for costs in ({}, {"spread_pips": 1.0, "cash": 5000})
    ]
    found = differing_settings({run.run_id: run_settings(run) for run in runs})
    assert set(found.index) == {"cash", "spread_pips"}
    assert side_by_side({run.run_id: run.metrics for run in runs}).loc["net_profit", "better"]
