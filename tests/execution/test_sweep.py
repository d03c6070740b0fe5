"""Sweeps: each set equals a run of its own, parts are kept and gone on with, nothing is left half."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from parallel_work.classes import Choosy, Crossing
from parallel_work.cluster import two_workers

import workbench
from core.errors import BarsError, InputError, StrategyError, UnknownNameError
from core.jobs import Job, JobLostError, JobStatus
from core.worker import Worker
from data.pipeline_controller import controller
from execution import sweep_parts, sweep_store
from execution.backtest_manager import manager
from execution.costs import Costs
from execution.jobs import backtest_arguments, backtest_title, queue, sweep_arguments, sweep_title
from execution.jobs import sweep as sweep_job
from execution.ledger import trials_on
from execution.metrics import compute_metrics
from execution.strategy import Parameter, Signals, Strategy, Values
from execution.sweep import Sweep, enter_sweep_of, judged, load_sweep, run_sweep, store_sweep
from execution.sweep_parts import run_plan
from execution.sweep_plan import plan_sweep
from execution.sweep_store import FIGURE_COLUMNS, HELD
from market.symbols import AssetClass

Made = Callable[..., pd.DataFrame]
GRID = {"fast_length": [5, 12, 30, 80], "slow_length": [20, 60, 150]}
SETS = 9  # three of the twelve are refused
TERMS = {"symbol": "EURUSD", "commission": 0.0002, "spread_pips": 0.5}


@pytest.fixture
def version(sample: pd.DataFrame):  # type: ignore[no-untyped-def]
    return controller.enter_bars(sample.iloc[:1500], "EURUSD", "H1")


def figures(sweep: Sweep, number: int, prefix: str = "") -> dict[str, float]:
    return {name: float(sweep.table.loc[number, prefix + name]) for name in FIGURE_COLUMNS}


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"commission": (2.0, 0.0001), "margin": 0.05},
        {"costs": Costs(account_currency="EUR", lots=0.1, slippage_pips=0.2, commission_per_lot=3.5, swap_long=-6.0)},
        {"costs": Costs(risk_fraction=0.01, stop_pips=40.0)},
    ],
)
def test_each_set_has_the_figures_of_a_run_of_its_own(sample: pd.DataFrame, terms: dict[str, object]) -> None:
    if "costs" in terms:
        terms = {"commission": 0.0, **terms}
    sweep = manager.sweep("MA_Crossover", GRID, data=sample, store=False, held_out=0, **{**TERMS, **terms})
    assert len(sweep.table) == SETS
    assert sweep.refused == 3
    for number, row in sweep.table.iterrows():
        values = {name: int(row[name]) for name in GRID}
        run = manager.run_backtest(sample, strategy_name="MA_Crossover", parameters=values, **{**TERMS, **terms})
        assert figures(sweep, int(number)) == pytest.approx(  # type: ignore[call-overload]
            {name: run.metrics[name] for name in FIGURE_COLUMNS}, rel=1e-9, nan_ok=True
        )
    held = [HELD + name for name in FIGURE_COLUMNS]
    assert sweep.table[held].isna().all(axis=None)
    assert sweep.held_out_from is None


def test_the_held_out_part_is_traded_on_its_own_with_warm_indicators(sample: pd.DataFrame) -> None:
    sweep = manager.sweep("MA_Crossover", GRID, data=sample, store=False, held_out=0.3, **TERMS)
    cut = 3500
    assert sweep.held_out_from == sample.index[cut]
    strategy = plan_sweep("MA_Crossover", GRID, data=sample, **TERMS).strategy
    for number in (0, 4, 8):
        values = strategy.values({name: int(sweep.table.loc[number, name]) for name in GRID})
        whole = strategy.checked_signals(sample, values)
        for prefix, bars, position in (
            ("", sample.iloc[:cut], whole.position[:cut]),
            (HELD, sample.iloc[cut:], whole.position[cut:]),
        ):
            told = Strategy("Told", "Told", "As told.", "this test", 1, (), lambda _b, _v, p=position: Signals(p))
            run = manager.run_backtest(bars, told, **TERMS)
            assert figures(sweep, number, prefix) == pytest.approx(
                {name: run.metrics[name] for name in FIGURE_COLUMNS}, rel=1e-9
            )


def test_the_held_out_part_ranks_nothing(sample: pd.DataFrame) -> None:
    changed = sample.copy()
    changed.iloc[3500:, :4] *= np.linspace(1, 2, 1500)[:, None]
    one, other = (
        manager.sweep("MA_Crossover", GRID, data=bars, store=False, held_out=0.3, **TERMS) for bars in (sample, changed)
    )
    assert one.order == other.order
    held = HELD + "total_return"
    assert not np.array_equal(one.table[held], other.table[held])
    fitted = [name for name in one.table if not name.startswith(HELD)]
    pd.testing.assert_frame_equal(one.table[fitted], other.table[fitted])


def test_stops_of_each_set_reach_the_engine(sample: pd.DataFrame) -> None:
    grid = {"trail_atr": [1.0, 2.0, 3.0]} if _has("ATR_Trailing_Trend", "trail_atr") else None
    name = "ATR_Trailing_Trend"
    if grid is None:
        name, grid = _with_stops()
    sweep = manager.sweep(name, grid, data=sample, store=False, held_out=0, **TERMS)
    [swept] = grid
    for number in sweep.table["number"]:
        values = {swept: sweep.grid.values[swept][number]}
        strategy = plan_sweep(name, grid, data=sample, **TERMS).strategy
        run = manager.run_backtest(sample, strategy, parameters=values, **TERMS)
        assert figures(sweep, number) == pytest.approx(
            {each: run.metrics[each] for each in FIGURE_COLUMNS}, rel=1e-9, nan_ok=True
        )


def _has(name: str, parameter: str) -> bool:
    from execution.registry import find_strategies

    strategy = find_strategies().strategies.get(name)
    return strategy is not None and parameter in {each.name for each in strategy.parameters}


def _stopped(bars: pd.DataFrame, values: Values) -> Signals:
    wave = np.sign(np.sin(np.arange(len(bars)) / 30)).astype(np.int8)
    distance = float(values["distance"])
    return Signals(wave, np.full(len(bars), distance), None if distance > 0.002 else np.full(len(bars), 2 * distance))


STOPPED = Strategy(
    "Stopped",
    "Stopped",
    "Turns with a wave.",
    "this test",
    1,
    (Parameter("distance", 0.001, "Distance of the stop", low=-0.1, high=1.0, step=0.001),),
    _stopped,
)


def _with_stops() -> tuple[Strategy, dict[str, list[float]]]:
    return STOPPED, {"distance": [0.001, 0.002, 0.004]}


def test_distances_that_some_sets_have_and_others_not_stay_with_their_sets(sample: pd.DataFrame) -> None:
    grid = {"distance": [0.001, 0.002, 0.004]}
    sweep = manager.sweep(STOPPED, grid, data=sample, store=False, held_out=0, **TERMS)
    for number, distance in enumerate(grid["distance"]):
        run = manager.run_backtest(sample, STOPPED, parameters={"distance": distance}, **TERMS)
        assert figures(sweep, number) == pytest.approx({each: run.metrics[each] for each in FIGURE_COLUMNS}, rel=1e-9)


def test_a_set_that_cannot_be_run_is_told_and_takes_nothing_else_down(sample: pd.DataFrame) -> None:
    sweep = manager.sweep(STOPPED, {"distance": [-0.001, 0.001]}, data=sample, store=False, held_out=0, **TERMS)
    assert "wrong side of the price" in sweep.table.loc[0, "failure"]
    assert np.isnan(sweep.table.loc[0, "total_return"])
    assert sweep.table.loc[0, "label"] is None
    assert sweep.table.loc[1, "failure"] is None
    assert sweep.order == (1, 0)
    with pytest.raises(StrategyError, match=r"None of the 1 sets could be run. The first: .*wrong side"):
        manager.sweep(STOPPED, {"distance": [-0.001]}, data=sample, store=False, **TERMS)


def test_a_length_beyond_the_bars_fails_its_sets_only(sample: pd.DataFrame) -> None:
    grid = {"fast_length": [5], "slow_length": [20, 1900]}
    sweep = manager.sweep("MA_Crossover", grid, data=sample.iloc[:1000], store=False, **TERMS)
    assert "needs 1,900 bars" in sweep.table.loc[1, "failure"]
    assert sweep.table.loc[0, "failure"] is None


def test_groups_and_threads_change_nothing(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_sweep("MA_Crossover", GRID, data=sample, **TERMS)
    one = run_sweep(plan)
    monkeypatch.setattr(sweep_parts, "_BYTES_TOGETHER", 1)
    monkeypatch.setattr(sweep_parts, "_SECONDS_TOGETHER", 0.0)
    monkeypatch.setenv("SEQUENCE_PARALLEL__WORKERS", "3")
    parts = list(run_plan(plan))
    assert len(parts) > 3
    assert sorted(number for part in parts for number in part["number"]) == list(range(SETS))
    pd.testing.assert_frame_equal(run_sweep(plan).table, one.table)


def test_an_indicator_is_computed_once_for_each_length(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    from market import kernels

    lengths = []
    mean = kernels.rolling_mean
    monkeypatch.setattr(
        kernels, "rolling_mean", lambda values, length, out: (lengths.append(length), mean(values, length, out))
    )
    manager.sweep("MA_Crossover", GRID, data=sample, store=False, **TERMS)
    assert sorted(lengths) == [5, 12, 20, 30, 60, 80, 150]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"rank_by": "luck"}, "rank_by='luck' is not offered"),
        ({"held_out": 0.95}, "held_out=0.95"),
        ({"held_out": True}, "held_out=True"),
        ({"parameters": {"fast_length": 9}}, "fast_length is swept and fixed at 9"),
        ({"parameters": {"sid": "both"}}, "Did you mean 'side'"),
        ({"cash": 0}, "cash=0"),
        ({"spread_pips": -1}, "spread_pips=-1"),
        ({"commission": lambda size, price: 1.0}, "Python function runs on backtesting.py only"),
        ({"costs": Costs(account_currency="JPY")}, "JPY"),
        ({"timeframe": "H4"}, "declared as H4"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(
    sample: pd.DataFrame, terms: dict[str, object], words: str, home: Path
) -> None:
    with pytest.raises(InputError, match=words):
        manager.sweep("MA_Crossover", GRID, data=sample, **{**TERMS, **terms})
    assert not (home / "output_central").exists()


def test_bars_too_few_to_hold_any_out_are_refused(made: Made) -> None:
    bars = made([(1.0, 1.1, 0.9, 1.0)] * 4)
    with pytest.raises(BarsError, match=r"Of 4 bars 0.3 cannot be held out"):
        manager.sweep("MA_Crossover", {"fast_length": [2], "slow_length": [3]}, data=bars, symbol="EURUSD")


# Kept


def test_a_sweep_is_kept_and_read_back_as_it_was(version, home: Path) -> None:  # type: ignore[no-untyped-def]
    told: list[tuple[float, str]] = []
    sweep = manager.sweep("MA_Crossover", GRID, data=version, tell=lambda *said: told.append(said), **TERMS)
    [row] = sweep_store.list_sweeps()
    assert (row.id, row.status, row.sets, row.refused) == (sweep.id, "completed", SETS, 3)
    assert row.dataset_hash == version.content_hash
    assert row.optimization_type == "grid_search"
    assert row.best_parameters == {name: sweep.best[name] for name in GRID}
    loaded = load_sweep(row)
    pd.testing.assert_frame_equal(loaded.table, sweep.table)
    assert (loaded.order, loaded.importance, loaded.settings) == (sweep.order, sweep.importance, sweep.settings)
    assert told[0] == (0.0, "0 of 9 sets")
    assert told[-1][0] == 1.0
    assert told[-1][1].startswith("9 of 9 sets, best so far fast_length=")
    with closing(sqlite3.connect(home / "output_central" / "backtest_results.db")) as database:
        [(parameters, count)] = database.execute(
            "SELECT parameter_value, (SELECT count(*) FROM optimization_trials WHERE plateau IS NOT NULL) "
            "FROM optimal_parameters WHERE strategy_name = 'MA_Crossover' AND symbol = 'EURUSD' AND timeframe = 'H1'"
        ).fetchall()
    assert json.loads(parameters) == sweep.best_parameters
    assert count == sweep.table["plateau"].notna().sum()
    assert workbench.users_of(version) == [f"sweep {sweep.id}"]
    run = manager.run_backtest(version, strategy_name="MA_Crossover", parameters=sweep.best_parameters, **TERMS)
    assert run.settings.parameters == sweep.best_parameters


def test_a_newer_sweep_replaces_the_optimal_parameters(version, home: Path) -> None:  # type: ignore[no-untyped-def]
    manager.sweep("MA_Crossover", GRID, data=version, **TERMS)
    second = manager.sweep("MA_Crossover", {"fast_length": [7]}, data=version, **TERMS)
    with closing(sqlite3.connect(home / "output_central" / "backtest_results.db")) as database:
        rows = database.execute("SELECT parameter_value, optimization_id FROM optimal_parameters").fetchall()
    assert [(json.loads(text), key) for text, key in rows] == [(second.best_parameters, second.id)]


def test_a_bare_frame_becomes_a_version_when_its_sweep_is_kept(sample: pd.DataFrame) -> None:
    sweep = manager.sweep("MA_Crossover", GRID, data=sample, **TERMS)
    row = sweep_store.find_sweep(sweep.id or 0)
    assert controller.version(row.dataset_hash).rows == 5000


def test_a_deleted_sweep_takes_its_trials_along_but_not_what_was_tried(version) -> None:  # type: ignore[no-untyped-def]
    sweep = manager.sweep("MA_Crossover", GRID, data=version, **TERMS)
    assert sweep.id
    sweep_store.delete_sweep(sweep.id)
    assert sweep_store.trials_of(sweep.id).empty
    assert trials_on(version.content_hash).count == SETS
    with pytest.raises(UnknownNameError, match="There is no sweep"):
        sweep_store.delete_sweep(sweep.id)


def test_a_random_sweep_is_kept_with_its_seed(version) -> None:  # type: ignore[no-untyped-def]
    grid = {"fast_length": (2, 100, 1), "slow_length": (101, 300, 1)}
    sweep = manager.sweep("MA_Crossover", grid, data=version, method="random", max_sets=30, **TERMS)
    row = sweep_store.find_sweep(sweep.id or 0)
    assert row.optimization_type == "random_search"
    again = manager.sweep(
        "MA_Crossover", grid, data=version, method="random", max_sets=30, seed=row.config["seed"], store=False, **TERMS
    )
    pd.testing.assert_frame_equal(again.table, sweep.table)


def test_a_sweep_that_fails_is_kept_as_failed_and_counts_nothing(version) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StrategyError, match="None of the 1 sets"):
        manager.sweep("MA_Crossover", {"fast_length": [5], "slow_length": [1900]}, data=version, **TERMS)
    [row] = sweep_store.list_sweeps()
    assert row.status == "failed"
    assert trials_on(version.content_hash).count == 0


def test_a_sweep_stopped_midway_goes_on_with_what_is_missing(version, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sweep_parts, "_BYTES_TOGETHER", 1)
    monkeypatch.setattr(sweep_parts, "_SECONDS_TOGETHER", 0.0)
    monkeypatch.setattr("execution.sweep._SECONDS_BETWEEN_COMMITS", 0.0)
    plan = plan_sweep("MA_Crossover", GRID, data=version, **TERMS)
    key = enter_sweep_of(plan)
    parts = 0

    def stop_at_second(_connection: object) -> None:
        nonlocal parts
        parts += 1
        if parts == 2:
            raise JobLostError("stopped")

    with pytest.raises(JobLostError):
        store_sweep(plan, key, within=stop_at_second)
    done = sweep_store.numbers_done(key)
    assert 0 < len(done) < SETS
    with pytest.raises(InputError, match="no trials yet"):
        load_sweep(sweep_store.find_sweep(enter_sweep_of(plan)))
    assert len(load_sweep(sweep_store.find_sweep(key)).table) == len(done)
    tried: list[int] = []
    real = sweep_store.add_trials
    monkeypatch.setattr(
        sweep_store, "add_trials", lambda k, trials, within: (tried.extend(trials["number"]), real(k, trials, within))
    )
    words: list[str] = []
    sweep = store_sweep(plan, key, lambda _done, said: words.append(said))
    assert sorted([*tried, *done]) == list(range(SETS))
    assert words[0].startswith(f"{len(done)} of {SETS} sets, best so far")
    pd.testing.assert_frame_equal(sweep.table, run_sweep(plan).table)


# Classes of backtesting.py


def test_a_class_is_swept_in_processes_and_each_set_is_a_run_of_the_library(sample: pd.DataFrame) -> None:
    bars = sample.iloc[:900]
    sweep = manager.sweep(Crossing, {"fast": [5, 10], "slow": [20, 40]}, data=bars, held_out=0.3, store=False, **TERMS)
    assert len(sweep.table) == 4
    for number in range(4):
        values = {name: int(sweep.table.loc[number, name]) for name in ("fast", "slow")}
        run = manager.run_backtest(bars.iloc[:630], Crossing, parameters=values, **TERMS)
        assert figures(sweep, number) == pytest.approx({name: run.metrics[name] for name in FIGURE_COLUMNS}, rel=1e-12)

    class Idle(Crossing):
        def next(self) -> None:
            if len(self.data) > 630:
                super().next()

    run = manager.run_backtest(bars, Idle, parameters={"fast": 5, "slow": 20}, **TERMS)
    trades = run.trades.assign(entry_bar=run.trades["entry_bar"] - 630, exit_bar=run.trades["exit_bar"] - 630)
    metrics = compute_metrics(run.equity.iloc[630:], trades, 10_000, AssetClass.FX)
    assert metrics["trades_count"] > 0
    assert figures(sweep, 0, HELD) == pytest.approx({name: metrics[name] for name in FIGURE_COLUMNS}, rel=1e-12)


def test_a_class_that_raises_fails_its_set_by_name(sample: pd.DataFrame) -> None:
    sweep = manager.sweep(Choosy, {"fast": [5, 13]}, data=sample.iloc[:300], held_out=0, store=False, **TERMS)
    assert sweep.table.loc[0, "failure"] is None
    assert sweep.table.loc[1, "failure"].startswith("fast=13: Choosy stopped with ValueError: thirteen")


def test_a_class_that_other_processes_cannot_import_is_refused(sample: pd.DataFrame) -> None:
    class Local(Crossing):
        pass

    with pytest.raises(StrategyError, match="cannot be imported by the processes that sweep it"):
        manager.sweep(Local, {"fast": [5]}, data=sample, **TERMS)


def test_extras_that_a_class_cannot_have_are_told(sample: pd.DataFrame) -> None:
    costs = Costs(lots=0.1)
    sweep = manager.sweep(Crossing, {"fast": [5]}, data=sample.iloc[:200], store=False, symbol="EURUSD", costs=costs)
    assert any("Not applied" in note and "lots = 0.1" in note for note in sweep.notes)


# Jobs


@pytest.fixture
def work_through() -> Callable[[], list[Job]]:
    def work() -> list[Job]:
        worker = Worker(workbench.JOBS)
        end = time.monotonic() + 90
        try:
            while any(job.is_open for job in queue.jobs()):
                assert time.monotonic() < end, queue.jobs()
                worker.turn()
                time.sleep(0.02)
        finally:
            worker.stop()
        return queue.jobs()

    return work


def submit(version, grid: dict[str, object] = GRID, **terms: object) -> Job:  # type: ignore[no-untyped-def,assignment]
    arguments = sweep_arguments("MA_Crossover", grid, data=version, **{**TERMS, **terms})
    return workbench.JOBS.submit("backtest", "sweep", arguments, sweep_title(arguments))


def test_a_job_sweeps_as_the_manager_does(version) -> None:  # type: ignore[no-untyped-def]
    costs = Costs(lots=0.1, commission_per_lot=3.0)
    terms = {"commission": (1.0, 0.0), "costs": costs}
    job = submit(version, **terms)
    assert job.title == "Sweep MA_Crossover on EURUSD: fast_length, slow_length"
    claimed = queue.claim(workbench.JOBS.kinds["backtest"], "test")
    assert claimed
    sweep_job(queue.begin(claimed.id, claimed.attempt))
    done = queue.job(job.id)
    assert done.status is JobStatus.SUCCEEDED
    assert done.result
    row = sweep_store.find_sweep(done.result["sweep"])
    assert (row.status, row.job_id) == ("completed", job.id)
    stored = load_sweep(row)
    here = manager.sweep("MA_Crossover", GRID, data=version, store=False, **{**TERMS, **terms})
    pd.testing.assert_frame_equal(stored.table, here.table)
    assert done.result["best"] == {name: here.best[name] for name in GRID}
    assert "best fast_length=" in done.words


def test_a_zombie_attempt_can_store_nothing(version) -> None:  # type: ignore[no-untyped-def]
    submit(version)
    first = queue.claim(workbench.JOBS.kinds["backtest"], "test")
    assert first
    zombie = queue.begin(first.id, first.attempt)
    queue.give_back(first, blameless=False)
    second = queue.claim(workbench.JOBS.kinds["backtest"], "test")
    assert second
    with pytest.raises(JobLostError):
        sweep_job(zombie)
    assert sweep_store.list_sweeps() == []
    sweep_job(queue.begin(second.id, second.attempt))
    assert len(sweep_store.list_sweeps()) == 1
    assert trials_on(version.content_hash).count == SETS


def test_a_sweep_whose_process_is_killed_goes_on(version, work_through: Callable[[], list[Job]]) -> None:  # type: ignore[no-untyped-def]
    """Killed with −9 after its first part was stored; the second attempt does the rest, and nothing counts twice."""
    grid = {"fast_length": (2, 41, 1), "slow_length": (42, 141, 1)}
    job = submit(version, grid)
    script = (
        "import os, signal\n"
        "from execution import sweep, sweep_parts, sweep_store\n"
        "from execution.jobs import queue\n"
        "from execution.jobs import sweep as work\n"
        "import workbench\n"
        "sweep_parts._SECONDS_TOGETHER = sweep._SECONDS_BETWEEN_COMMITS = 0.0\n"
        "real = sweep_store.add_trials\n"
        "def killed(*given):\n"
        "    real(*given)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "sweep_store.add_trials = killed\n"
        "claimed = queue.claim(workbench.JOBS.kinds['backtest'], 'test')\n"
        "work(queue.begin(claimed.id, claimed.attempt))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ.copy())
    assert done.returncode == -signal.SIGKILL
    [row] = sweep_store.list_sweeps()
    before = sweep_store.numbers_done(row.id)
    assert 0 < len(before) < 4000
    queue.give_back(queue.job(job.id), blameless=False)
    [ended] = work_through()
    assert (ended.status, ended.attempt) == (JobStatus.SUCCEEDED, 2)
    assert [each.id for each in sweep_store.list_sweeps()] == [row.id]
    trials = sweep_store.trials_of(row.id)
    assert trials["number"].tolist() == list(range(4000))
    assert trials_on(version.content_hash).count == 4000


def test_a_backtest_as_a_job_saves_its_run(version, work_through: Callable[[], list[Job]]) -> None:  # type: ignore[no-untyped-def]
    arguments = backtest_arguments(
        "MA_Crossover", data=version, run_id="long_one", parameters={"fast_length": 9}, **TERMS
    )
    workbench.JOBS.submit("backtest", "backtest", arguments, backtest_title(arguments))
    [job] = work_through()
    assert (job.status, job.title) == (JobStatus.SUCCEEDED, "Backtest MA_Crossover on EURUSD")
    run = manager.run("long_one")
    assert job.result == {"run": "long_one"}
    assert run.settings["parameters"]["fast_length"] == 9


def test_what_does_not_travel_is_refused_before_a_job_is_queued(version, sample: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="cannot be given to a job"):
        sweep_arguments(Crossing, {"fast": [5]}, data=version)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="function cannot be given"):
        backtest_arguments("MA_Crossover", data=version, commission=lambda size, price: 1.0)
    with pytest.raises(InputError, match="USDJPY is a frame"):
        backtest_arguments("MA_Crossover", data=version, conversions={"USDJPY": sample})
    with pytest.raises(StrategyError, match="out of range"):
        sweep_arguments("MA_Crossover", {"fast_length": [1]}, data=version)


# Several machines


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    yield from two_workers(tmp_path, monkeypatch)


@pytest.mark.parametrize("strategy", ["MA_Crossover", Crossing])
def test_a_sweep_over_tcp_loses_a_worker_and_gets_every_result_once(
    sample: pd.DataFrame,
    cluster: list[subprocess.Popen[bytes]],
    strategy: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid: dict[str, object] = {"fast_length": (2, 41, 1), "slow_length": (50, 80, 1)}
    if strategy is Crossing:
        grid, sample = {"fast": (2, 9, 1), "slow": [20, 30]}, sample.iloc[:400]
    plan = plan_sweep(strategy, grid, data=sample, **TERMS)
    seen: list[int] = []
    parts = []
    for part in run_plan(plan):
        parts.append(part)
        seen += part["number"].tolist()
        if len(parts) == 1:
            cluster[0].kill()
    assert len(parts) > 3
    assert sorted(seen) == list(range(len(plan.sets)))
    here = judged(plan, pd.concat(parts, ignore_index=True))
    monkeypatch.delenv("SEQUENCE_PARALLEL__SCHEDULER")
    pd.testing.assert_frame_equal(here.table, run_sweep(plan).table)
