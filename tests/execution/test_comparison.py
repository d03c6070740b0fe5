from __future__ import annotations

import csv
import dataclasses
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import UnknownNameError
from execution.backtest_manager import BacktestResult, StoredRun, manager
from execution.comparison import compare_runs
from execution.strategy import Strategy

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
