"""How many variants were tried on a dataset, and what that leaves of a Sharpe ratio."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.store import Module
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution import ledger
from execution.backtest_manager import manager
from execution.costs import Costs
from execution.ledger import Trials, deflated, deflated_equity, trials_on
from execution.runs import StoredRun
from execution.significance import expected_maximum_sharpe
from execution.tables import BACKTEST_RESULTS
from market.symbols import AssetClass

TERMS = {"symbol": "EURUSD", "spread_pips": 0.5}


@pytest.fixture
def version(sample: pd.DataFrame) -> DatasetVersion:
    return controller.enter_bars(sample, "EURUSD", "H1")


def run(version: DatasetVersion, **parameters: int) -> StoredRun:
    result = manager.run_backtest(version, strategy_name="MA_Crossover", parameters=parameters, **TERMS)
    return manager.save_result(result=result)


def test_nothing_was_tried_on_new_data(home: Path) -> None:
    assert trials_on("unknown") == Trials(0, 0.0)
    assert not (home / "output_central").exists()


def test_each_saved_variant_counts_and_a_repeated_one_does_not(version: DatasetVersion) -> None:
    runs = [run(version, fast_length=length) for length in (10, 20, 30)]
    daily = [stored.sharpe_ratio / math.sqrt(stored.metrics["returns_per_year"]) for stored in runs]
    for _ in range(2):
        trials = trials_on(version.content_hash)
        assert trials.count == 3
        assert trials.sharpe_variance == pytest.approx(np.var(daily, ddof=1), rel=1e-9)
        run(version, fast_length=20)
    again = manager.run_backtest(version, strategy_name="MA_Crossover", parameters={"fast_length": 20}, **TERMS)
    manager.save_result("another_name", result=again)
    assert trials_on(version.content_hash).count == 3


def test_other_costs_are_another_variant_and_other_data_another_count(
    version: DatasetVersion, sample: pd.DataFrame
) -> None:
    for terms in ({}, {"cash": 5000}, {"spread_pips": 0.6}, {"costs": Costs(lots=0.1)}):
        result = manager.run_backtest(version, strategy_name="MA_Crossover", **{**TERMS, **terms})
        manager.save_result(result=result)
    assert trials_on(version.content_hash).count == 4
    other = controller.enter_bars(sample.iloc[:3000], "EURUSD", "H1")
    run(other, fast_length=10)
    assert trials_on(other.content_hash).count == 1


def test_a_deleted_run_was_tried(version: DatasetVersion) -> None:
    manager.delete_run(run(version, fast_length=10).run_id)
    assert trials_on(version.content_hash).count == 1
    run(version, fast_length=10)
    assert trials_on(version.content_hash).count == 1


def test_sweeps_and_runs_count_each_variant_once_whichever_comes_first(version: DatasetVersion) -> None:
    stored = run(version, fast_length=10)
    grid = {"fast_length": [10, 20, 30]}
    first = manager.sweep("MA_Crossover", grid, data=version, **TERMS)
    assert trials_on(version.content_hash).count == 3
    manager.sweep("MA_Crossover", grid, data=version, **TERMS)  # the same again
    run(version, fast_length=30)  # a cell of it
    assert trials_on(version.content_hash).count == 3
    second = manager.sweep("MA_Crossover", {"fast_length": [30, 40]}, data=version, **TERMS)
    trials = trials_on(version.content_hash)
    assert trials.count == 4
    per_day = [
        stored.sharpe_ratio / math.sqrt(stored.metrics["returns_per_year"]),
        *(first.table["sharpe_ratio"].iloc[1:] / math.sqrt(per_year(version))),
        second.table["sharpe_ratio"].iloc[1] / math.sqrt(per_year(version)),
    ]
    assert trials.sharpe_variance == pytest.approx(np.var(per_day, ddof=1), rel=1e-9)


def per_year(version: DatasetVersion) -> float:
    """Daily returns of a year on the part of the bars that a sweep fits."""
    fitted = version.bars().iloc[:3500]
    result = manager.run_backtest(fitted, strategy_name="MA_Crossover", timeframe="H1", **TERMS)
    return result.metrics["returns_per_year"]


def test_a_variant_that_never_trades_counts_but_has_no_sharpe(version: DatasetVersion) -> None:
    grid = {"fast_length": [10], "slow_length": [1990]}
    manager.sweep("MA_Crossover", grid, data=version, held_out=0.7, **TERMS)  # warm after the fitted part
    assert trials_on(version.content_hash) == Trials(1, 0.0)
    run(version, fast_length=10)
    assert trials_on(version.content_hash).count == 2


def test_rows_are_combined_as_if_they_were_one() -> None:
    chance = np.random.default_rng(5)
    values = chance.normal(0.05, 0.02, 1000)
    cuts = np.split(values, [1, 2, 7, 400, 990])
    total = ledger._Sharpes()
    for part in (*cuts[:3], np.array([]), *cuts[3:]):
        total += ledger._sharpes_of(part)
    assert (total.count, total.mean) == (1000, pytest.approx(values.mean(), rel=1e-12))
    assert total.m2 / 999 == pytest.approx(values.var(ddof=1), rel=1e-12)


def test_a_run_is_deflated_by_all_that_was_tried_on_its_data(version: DatasetVersion) -> None:
    alone = deflated(run(version, fast_length=10))
    assert alone.trials == 1
    assert alone.deflated == alone.probabilistic
    manager.sweep("MA_Crossover", {"fast_length": (5, 100, 5)}, data=version, **TERMS)
    stored = run(version, fast_length=7)
    judged = deflated(stored)
    trials = trials_on(version.content_hash)
    assert judged.trials == trials.count == 21  # 20 of the sweep, of which one was run before, and this one
    assert judged.annual_sharpe == pytest.approx(stored.sharpe_ratio, rel=1e-9)
    luck = expected_maximum_sharpe(21, trials.sharpe_variance) * math.sqrt(stored.metrics["returns_per_year"])
    assert judged.annual_expected_maximum == pytest.approx(luck, rel=1e-9)
    assert judged.deflated < judged.probabilistic
    assert judged.sentence().startswith("Variant 21 on this data: deflated Sharpe")


def test_a_run_that_is_not_saved_is_judged_by_what_was_tried_before(version: DatasetVersion) -> None:
    result = manager.run_backtest(version, strategy_name="MA_Crossover", **TERMS)
    judged = deflated_equity(result.equity, AssetClass.FX, trials_on(version.content_hash))
    assert judged.trials == 1
    assert judged.annual_sharpe == pytest.approx(result.metrics["sharpe_ratio"], rel=1e-9)


def test_the_runs_of_an_older_workbench_enter_the_ledger(
    version: DatasetVersion,
    left_by_version_1: Callable[[Module, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> None:
    runs = [run(version, fast_length=10), run(version, fast_length=20)]
    result = manager.run_backtest(version, strategy_name="MA_Crossover", parameters={"fast_length": 10}, **TERMS)
    manager.save_result("again", result=result)
    now = trials_on(version.content_hash)
    old = left_by_version_1(BACKTEST_RESULTS, "runs")
    monkeypatch.setenv("SEQUENCE_HOME", str(old))
    assert trials_on(version.content_hash).count == now.count == 2
    assert trials_on(version.content_hash).sharpe_variance == pytest.approx(now.sharpe_variance, rel=1e-9)
    with closing(sqlite3.connect(old / "output_central" / "backtest_results.db")) as database:
        names = database.execute("SELECT name FROM backtest_strategies").fetchall()
        kept = database.execute(
            "SELECT b.id, s.name, json_extract(b.metrics, '$.sharpe_ratio') FROM backtest_backtests AS b "
            "JOIN backtest_strategies AS s ON s.id = b.strategy_id ORDER BY b.id"
        ).fetchall()
        files = database.execute("SELECT status, results_file_path FROM backtests ORDER BY id").fetchall()
    assert names == [("MA_Crossover",)]
    assert [row[:2] for row in kept[:2]] == [(stored.id, "MA_Crossover") for stored in runs]
    assert [row[2] for row in kept[:2]] == pytest.approx([stored.sharpe_ratio for stored in runs], rel=1e-12)
    assert files[0] == ("completed", f"runs/{runs[0].run_id}/equity.parquet")


def test_a_run_that_cannot_be_stored_counts_nothing(version: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    result = manager.run_backtest(version, strategy_name="MA_Crossover", **TERMS)

    def fail(*_given: object, **_options: object) -> None:
        raise RuntimeError("no room")

    with monkeypatch.context() as broken:
        broken.setattr("execution.runs.keep", fail)
        with pytest.raises(RuntimeError, match="no room"):
            manager.save_result(result=result)
    assert trials_on(version.content_hash).count == 0
    manager.save_result(result=result)
    assert trials_on(version.content_hash).count == 1
