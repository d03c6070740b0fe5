from __future__ import annotations

import dataclasses
import math
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import DiskError, InputError, InterventionError, NameTakenError, UnknownNameError
from core.folders import keep
from data.pipeline_controller import controller
from execution.backtest_manager import BacktestResult, manager
from execution.metrics import METRICS
from execution.runs import runs_folder
from execution.strategy import Strategy

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]
Start = Callable[..., subprocess.Popen[str]]

MAKE_A_RUN = """
import sys
import numpy as np
import pandas as pd
from execution.backtest_manager import manager
from execution.strategy import Signals, Strategy

def made(positions):
    index = pd.date_range("2024-01-02", periods=len(positions), freq="h", tz="UTC", name="time")
    close = 100.0 + np.arange(len(positions))
    columns = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0}
    strategy = Strategy(
        "Wishing", "Wishing", "As told.", "this test", 1, (), lambda bars, values: Signals(np.array(positions, np.int8))
    )
    return manager.run_backtest(pd.DataFrame(columns, index=index), strategy, symbol="EURUSD")
"""
SAVE_AT_ONCE = f"""{MAKE_A_RUN}
result = made([0, 1, 1, 0, 0, int(sys.argv[1]), 0, 0])
print("ready", flush=True)
input()
print(manager.save_result(result=result).run_id)
"""
KILLED_WHILE_SAVING = f"""{MAKE_A_RUN}
import os, pathlib, signal
import core.folders

def killed(*_args, **_kwargs):
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def half_written(frame, path, **_options):
    pathlib.Path(path).write_bytes(b"PAR1 half of a file")
    killed()

def placed_then_killed(staged, target):
    place(staged, target)
    killed()

place = core.folders.place
manager.save_result("first", result=made([0, 1, 1, 0, 0, 0, 0, 0]))
second = made([0, 1, 1, 1, 1, 0, 0, 0])
if sys.argv[1] == "while the file is written":
    pd.DataFrame.to_parquet = half_written
elif sys.argv[1] == "before the rename":
    core.folders.place = killed
elif sys.argv[1] == "between rename and commit":
    core.folders.place = placed_then_killed
elif sys.argv[1] == "after the commit":
    core.folders.shutil.rmtree = killed
manager.save_result("second", result=second)
print("not killed")
"""


def folders() -> set[str]:
    return {entry.name for entry in runs_folder().iterdir()}


def test_a_saved_run_comes_back_with_trades_and_equity(result: BacktestResult) -> None:
    run = manager.save_result("backtest_001", result=result)
    assert run == manager.run("backtest_001")
    assert (run.strategy_name, run.symbol, run.timeframe, run.bars) == ("Wishing", "EURUSD", "H1", 20)
    assert (run.start_date, run.end_date) == ("2024-01-02", "2024-01-02")
    assert (run.first_time, run.last_time) == ("2024-01-02T00:00:00.000Z", "2024-01-02T19:00:00.000Z")
    assert (run.cash, run.commission, run.trades_count) == (10_000.0, 0.0, 2)
    pd.testing.assert_series_equal(run.equity(), result.equity, check_freq=False, check_exact=True)
    pd.testing.assert_frame_equal(manager.trades(run), result.trades, check_exact=True, check_dtype=False)
    assert folders() == {"backtest_001"}


def test_our_figures_are_columns_and_the_librarys_are_kept_beside_them(result: BacktestResult) -> None:
    run = manager.save_result("backtest_001", result=result)
    assert run.total_return == result["total_return"]
    assert run.max_drawdown == result["max_drawdown"]
    assert run.win_rate == 50.0
    assert set(run.metrics) == set(METRICS)
    assert run.lib_metrics["lib_count_trades"] == 2
    assert run.lib_metrics["lib_return_pct"] == result["Return [%]"]
    assert set(run.lib_metrics) == set(result.library_metrics)
    assert run.engine == "backtesting.py 0.6.6"


def test_what_is_not_a_number_is_stored_as_unknown(bars: pd.DataFrame, wishing: Wishing) -> None:
    idle = manager.run_backtest(bars, wishing([0] * 20), symbol="EURUSD")
    assert math.isnan(idle["sharpe_ratio"])
    run = manager.save_result(result=idle)
    assert (run.sharpe_ratio, run.win_rate, run.metrics["sharpe_ratio"]) == (None, None, None)
    trades = manager.trades(run)
    assert len(trades) == 0
    assert list(trades.columns) == list(idle.trades.columns)


def test_the_tables_answer_plain_sql(result: BacktestResult, home: Path) -> None:
    manager.save_result("backtest_001", result=result)
    with closing(sqlite3.connect(home / "output_central" / "backtest_results.db")) as database:
        (run,) = database.execute("SELECT id, strategy_name, total_return FROM backtest_runs").fetchall()
        trades = database.execute("SELECT side, pnl, status, backtest_id FROM backtest_trades ORDER BY id").fetchall()
    assert run[1:] == ("Wishing", pytest.approx(result["total_return"]))
    assert trades == [("long", 98 * 3.0, "closed", run[0]), ("short", 96 * -2.0, "closed", run[0])]


def test_a_bare_frame_becomes_one_version_however_many_runs_name_it(
    result: BacktestResult, other: BacktestResult
) -> None:
    first, second = manager.save_result(result=result), manager.save_result(result=other)
    (version,) = controller.versions()
    assert first.dataset_hash == second.dataset_hash == version.content_hash
    assert first.dataset_version_id == second.dataset_version_id == version.id
    pd.testing.assert_frame_equal(version.bars(), result.bars, check_freq=False, check_exact=True)


def test_equal_content_under_the_same_name_returns_what_is_stored(
    result: BacktestResult, bars: pd.DataFrame, wishing: Wishing
) -> None:
    stored = manager.save_result("backtest_001", result=result)
    again = manager.run_backtest(bars, wishing([0, 1, 1, 1, 0, 0, -1, -1, *[0] * 12]), symbol="EURUSD")
    assert manager.save_result("backtest_001", result=again) == stored
    assert manager.save_result(result=again) == stored
    assert len(manager.runs()) == 1


@pytest.mark.parametrize("part", ["equity", "trades"])
def test_runs_with_equal_figures_are_not_equal_when_they_went_another_way(part: str, result: BacktestResult) -> None:
    manager.save_result("backtest_001", result=result)
    changed = getattr(result, part).copy()
    if part == "equity":
        changed.iloc[10] += 0.01
    else:
        changed.loc[0, "tag"] = "breakout"
    with pytest.raises(NameTakenError):
        manager.save_result("backtest_001", result=dataclasses.replace(result, **{part: changed}))


def test_equal_datasets_entered_twice_make_no_second_run(bars: pd.DataFrame, wishing: Wishing) -> None:
    strategy = wishing([0, *[1] * 19])
    frame = bars.assign(symbol="EURUSD")
    first, second = (manager.run_backtest(controller.publish(frame), strategy) for _ in range(2))
    assert first.dataset != second.dataset
    assert manager.save_result(result=second) == manager.save_result(result=first)


def test_equal_content_may_be_stored_under_another_name(result: BacktestResult) -> None:
    manager.save_result("one", result=result)
    manager.save_result("two", result=result)
    assert [run.run_id for run in manager.runs()] == ["two", "one"]
    assert manager.save_result("one", result=result).run_id == "one"


@pytest.mark.parametrize(
    ("name", "free"),
    [("backtest_001", "backtest_002"), ("best", "best_2"), ("v9", "v10"), ("a" * 64, f"{'a' * 56}_2")],
)
def test_other_content_under_the_same_name_is_refused_naming_a_free_one(
    name: str, free: str, result: BacktestResult, other: BacktestResult
) -> None:
    stored = manager.save_result(name, result=result)
    with pytest.raises(NameTakenError) as refusal:
        manager.save_result(name, result=other)
    assert str(refusal.value) == f"run_id={name!r} already stands for another run. {free!r} is free."
    assert manager.runs() == [stored]
    assert folders() == {name}
    assert manager.save_result(free, result=other).run_id == free


def test_the_free_name_offered_is_not_taken_either(result: BacktestResult, other: BacktestResult) -> None:
    for name in ("run_1", "run_2", "run_3"):
        manager.save_result(name, result=result)
    with pytest.raises(NameTakenError, match="'run_4' is free"):
        manager.save_result("run_1", result=other)


def test_runs_without_a_name_are_numbered(result: BacktestResult, other: BacktestResult) -> None:
    assert manager.save_result(result=result).run_id == "Wishing_EURUSD_H1_1"
    assert manager.save_result(result=other).run_id == "Wishing_EURUSD_H1_2"


@pytest.mark.parametrize(
    ("strategy", "symbol", "run_id"),
    [
        ("My idea №2", "EURUSD", "My-idea-2_EURUSD_H1_1"),
        ("../up", "^GSPC", "up_-GSPC_H1_1"),
        ("戦略", "EURUSD", "EURUSD_H1_1"),
        ("x" * 90, "EURUSD", f"{'x' * 50}_1"),
    ],
)
def test_whatever_strategy_and_symbol_are_called_a_run_finds_a_name(
    strategy: str, symbol: str, run_id: str, bars: pd.DataFrame, wishing: Wishing
) -> None:
    run = manager.run_backtest(bars, wishing([0, *[1] * 19]), strategy, symbol)
    stored = manager.save_result(result=run)
    assert (stored.run_id, stored.strategy_name, stored.symbol) == (run_id, strategy, symbol)
    pd.testing.assert_series_equal(stored.equity(), run.equity, check_freq=False)


@pytest.mark.parametrize("run_id", ["../x", "CON", "", "nul.txt", "a/b", "a" * 65, "end.", ".hidden", 7])
def test_a_name_that_could_name_no_folder_is_refused_and_nothing_is_stored(
    run_id: Any, result: BacktestResult, home: Path
) -> None:
    with pytest.raises(InputError) as refusal:
        manager.save_result(run_id, result=result)
    assert f"run_id={run_id!r} cannot be used as a name." in str(refusal.value)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cash", 20_000),
        ("symbol", "GBPUSD"),
        ("timeframe", "D1"),
        ("commission", 0.001),
        ("strategy_name", "MA_Crossover"),
    ],
)
def test_what_contradicts_the_result_is_refused_and_nothing_is_stored(
    name: str, value: Any, result: BacktestResult, home: Path
) -> None:
    with pytest.raises(InputError, match=f"^{name}=.* is not what the result was run with"):
        manager.save_result("backtest_001", **{name: value}, result=result)
    assert list(home.iterdir()) == []


def test_what_says_the_same_in_other_words_is_no_contradiction(result: BacktestResult) -> None:
    run = manager.save_result(
        "backtest_001", "Wishing", "eur/usd", "1h", "2024-01-02", "2024-01-03", 10_000.0, 0.0, result=result
    )
    assert (run.symbol, run.timeframe, run.end_date) == ("EURUSD", "H1", "2024-01-03")


def test_costs_that_are_no_single_number_are_kept_in_words(bars: pd.DataFrame, wishing: Wishing) -> None:
    def two_dollars(size: float, price: float) -> float:
        return 2.0

    strategy = wishing([0, *[1] * 19])
    by_function = manager.run_backtest(bars, strategy, symbol="EURUSD", commission=two_dollars, margin=0.5)
    run = manager.save_result(result=by_function)
    assert run.commission is None
    assert run.settings == {"spread_pips": 0.0, "margin": 0.5, "commission": "function two_dollars", "parameters": {}}
    by_pair = manager.run_backtest(bars, strategy, symbol="EURUSD", commission=(2.0, 0.001), spread_pips=1)
    assert manager.save_result(result=by_pair).settings["commission"] == [2.0, 0.001]


def test_an_unknown_run_is_answered_with_the_nearest(result: BacktestResult) -> None:
    manager.save_result("backtest_001", result=result)
    with pytest.raises(UnknownNameError, match=r"There is no run 'backtest_01'\. Did you mean 'backtest_001'\?"):
        manager.run("backtest_01")


def test_runs_are_listed_newest_first_as_many_as_asked(result: BacktestResult) -> None:
    for name in ("a", "b", "c"):
        manager.save_result(name, result=result)
    assert [run.run_id for run in manager.runs()] == ["c", "b", "a"]
    assert [run.run_id for run in manager.runs(limit=2)] == ["c", "b"]


def test_a_deleted_equity_file_is_named_with_the_way_out(result: BacktestResult) -> None:
    run = manager.save_result("backtest_001", result=result)
    file = runs_folder() / "backtest_001" / "equity.parquet"
    file.unlink()
    with pytest.raises(InterventionError) as failure:
        run.equity()
    assert str(file) in str(failure.value)
    assert failure.value.cure
    assert manager.run("backtest_001") == run


def test_a_disk_that_cannot_be_written_is_told_and_leaves_no_run(result: BacktestResult) -> None:
    manager.save_result("backtest_001", result=result)
    folder = runs_folder()
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("a file where the folder should be")
    with pytest.raises(DiskError):
        manager.save_result("backtest_002", result=result)
    assert [run.run_id for run in manager.runs()] == ["backtest_001"]


def test_what_a_failed_transaction_left_is_never_taken_for_the_next_run_of_that_name(
    result: BacktestResult, other: BacktestResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep_and_fail(*arguments: Any, **options: Any) -> None:
        keep(*arguments, **options)
        raise RuntimeError("the transaction could not be committed")

    with monkeypatch.context() as patched:
        patched.setattr("execution.runs.keep", keep_and_fail)
        with pytest.raises(RuntimeError):
            manager.save_result("backtest_001", result=other)
    assert manager.runs() == []
    run = manager.save_result("backtest_001", result=result)
    pd.testing.assert_series_equal(run.equity(), result.equity, check_freq=False)


def test_two_processes_that_save_at_once_get_a_name_each(start: Start) -> None:
    running = [start(SAVE_AT_ONCE, side) for side in (1, -1)]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    named = []
    for process in running:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        named.append(output.strip())
    assert sorted(named) == ["Wishing_EURUSD_H1_1", "Wishing_EURUSD_H1_2"]
    assert sorted(run.run_id for run in manager.runs()) == sorted(named)
    for run in manager.runs():
        assert len(run.equity()) == 8
        assert len(manager.trades(run)) == 2
        assert controller.version(run.dataset_version_id).frame().shape[0] == 8


# Point → runs visible afterwards.
POINTS = {
    "while the file is written": ["first"],
    "before the rename": ["first"],
    "between rename and commit": ["first"],
    "after the commit": ["second", "first"],
}


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_saving_leaves_whole_runs_only(
    point: str, start: Start, result: BacktestResult, home: Path
) -> None:
    process = start(KILLED_WHILE_SAVING, point)
    output, errors = process.communicate()
    assert process.returncode != 0, output
    assert (output, errors) == ("", "")
    assert len(folders()) == 2, "the kill left no debris, so it did not strike where it should"
    runs = manager.runs()
    assert [run.run_id for run in runs] == POINTS[point]
    assert all(len(run.equity()) == 8 and len(manager.trades(run)) == 1 for run in runs)
    with closing(sqlite3.connect(home / "output_central" / "backtest_results.db")) as database:
        owners = database.execute("SELECT DISTINCT backtest_id FROM backtest_trades").fetchall()
    assert {owner for (owner,) in owners} == {run.id for run in runs}
    manager.save_result("third", result=result)
    assert folders() == {*POINTS[point], "third"}


def test_a_name_whose_process_was_killed_can_be_used_again(start: Start, result: BacktestResult) -> None:
    start(KILLED_WHILE_SAVING, "between rename and commit").communicate()
    assert folders() == {"first", "second"}
    run = manager.save_result("second", result=result)
    pd.testing.assert_series_equal(run.equity(), result.equity, check_freq=False)


def test_a_name_that_differs_in_case_only_is_taken(result: BacktestResult, other: BacktestResult) -> None:
    manager.save_result("Night_1", result=result)
    with pytest.raises(NameTakenError, match="'night_2' is free"):
        manager.save_result("night_1", result=other)
