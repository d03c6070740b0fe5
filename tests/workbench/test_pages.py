"""Each page empty, filled and failing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import workbench
from core.jobs import Job, JobStatus
from data.pipeline_controller import controller
from execution.backtest_manager import manager

WorkThrough = Callable[[], list[Job]]
OpenPage = Callable[..., AppTest]
FILES = [entry.file for entry in workbench.PAGES]


def words(app: AppTest) -> str:
    """Everything a reader can read outside of tables."""
    kinds = ("title", "caption", "markdown", "error", "warning")
    read = [str(each.value) for kind in kinds for each in app.get(kind)]
    return "\n".join([*read, *(each.proto.text for each in app.get("progress"))])


def table(app: AppTest, key: str) -> object:
    return app.get_by_key(key).value


@pytest.mark.parametrize("entry", workbench.PAGES, ids=lambda entry: entry.title)
def test_a_page_of_an_empty_workbench_leads_to_its_first_content(
    entry: workbench.PageEntry, open_page: OpenPage
) -> None:
    app = open_page(entry.file)
    assert [title.value for title in app.title] == [entry.title]
    assert not app.exception
    assert not app.error
    assert "ample workflow" in words(app)


@pytest.mark.parametrize("entry", workbench.PAGES, ids=lambda entry: entry.title)
def test_reading_an_empty_workbench_creates_no_database(
    entry: workbench.PageEntry, open_page: OpenPage, home: Path
) -> None:
    open_page(entry.file)
    assert list((home / "output_central").glob("*.db")) == []


@pytest.mark.parametrize("entry", workbench.PAGES, ids=lambda entry: entry.title)
def test_a_page_of_a_filled_workbench_shows_figures(
    entry: workbench.PageEntry, open_page: OpenPage, sample_run: str
) -> None:
    workbench.submit_sample()
    app = open_page(entry.file)
    assert not app.exception
    assert not app.error
    if entry in {
        workbench.COMPARE,
        workbench.SWEEP,
        workbench.TRAINING,
        workbench.MODEL,
        workbench.SCANNER,
        workbench.BRIDGE,
        workbench.LIVE,
    }:  # which need what the sample workflow does not make
        return
    if entry not in {workbench.JOBS_PAGE, workbench.EXPLORER}:
        assert len(app.metric) >= 5
    assert len(app.dataframe) >= (1 if entry in {workbench.JOBS_PAGE, workbench.DATASET} else 2)


def test_the_button_takes_the_sample_through_every_floor(open_page: OpenPage, work_through: WorkThrough) -> None:
    app = open_page(workbench.OVERVIEW.file)
    app.button(key="overview.run_sample").click().run()
    assert app.button(key="overview.run_sample.busy").disabled
    assert "no worker runs" in words(app)
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED
    app.run()
    assert not app.exception
    assert not app.error
    assert {metric.label: metric.value for metric in app.metric}["Backtest runs"] == "1"
    [version], [run] = controller.versions(), manager.runs()
    assert (version.rows, version.timeframe, version.verdict) == (5000, "H1", "PASS")
    assert (run.strategy_name, run.trades_count, run.dataset_version_id) == ("MA_Crossover", 42, version.id)


def test_data_can_be_collected_by_hand(open_page: OpenPage, work_through: WorkThrough) -> None:
    app = open_page(workbench.DATA_PIPELINE.file)
    app.get_by_key("data.timeframe").select("D1")
    app.button(key="data.collect").click().run()
    work_through()
    app.run()
    assert not app.exception
    [version] = controller.versions()
    assert (version.timeframe, version.rows) == ("D1", 207)
    assert version.short_hash in [metric.value for metric in app.metric]


def test_a_dataset_that_fails_is_published_and_marked(open_page: OpenPage, work_through: WorkThrough) -> None:
    app = open_page(workbench.DATA_PIPELINE.file)
    app.get_by_key("data.timeframe").select("W1")
    app.button(key="data.collect").click().run()
    work_through()
    app.run()
    assert controller.versions()[0].verdict == "FAIL"
    assert "FAIL" in [metric.value for metric in app.metric]
    rules = table(app, "data.rules")
    assert list(rules.loc[rules["Rule"] == "Enough rows", "Verdict"]) == ["FAIL"]  # type: ignore[attr-defined]


def test_a_backtest_can_be_run_by_hand_with_other_parameters(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file)
    app.get_by_key("strategy").select("RSI_Bands").run()
    app.get_by_key("backtest.RSI_Bands.length").set_value(21)
    app.button(key="backtest.run").click().run()
    assert not app.exception
    assert not app.error
    newest = manager.runs()[0]
    assert (newest.strategy_name, newest.settings["parameters"]["length"]) == ("RSI_Bands", 21)
    assert app.session_state["run"] == newest.run_id
    assert "length 21" in words(app)


def test_the_same_backtest_twice_is_one_run(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file)
    app.button(key="backtest.run").click().run()
    assert [run.run_id for run in manager.runs()] == [sample_run]


def test_a_refused_parameter_is_shown_as_a_sentence_and_nothing_is_stored(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file)
    app.get_by_key("backtest.MA_Crossover.fast_length").set_value(200)
    app.button(key="backtest.run").click().run()
    [error] = app.error
    assert "fast" in error.value
    assert "What to do" in error.value
    assert len(manager.runs()) == 1
    assert not app.button(key="backtest.run").disabled


def test_a_deep_link_opens_the_run_it_names(open_page: OpenPage, sample_run: str) -> None:
    result = manager.run_backtest(controller.versions()[0], strategy_name="RSI_Bands", cash=10_000)
    newer = manager.save_result(result=result)
    assert newer.run_id != sample_run
    app = open_page(workbench.BACKTESTING.file, run=sample_run)
    assert "fast_length 48" in words(app).replace("\\", "")


@pytest.mark.parametrize(
    ("database", "page"),
    [("data_pipeline", workbench.DATA_PIPELINE.file), ("backtest_results", workbench.BACKTESTING.file)],
)
def test_a_damaged_database_is_named_with_its_cure_and_left_alone(
    database: str, page: str, open_page: OpenPage, sample_run: str, home: Path
) -> None:
    file = home / "output_central" / f"{database}.db"
    for beside in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        beside.unlink(missing_ok=True)
    file.unlink()
    file.write_bytes(b"this is no database at all, whatever its name says" * 100)
    before = file.read_bytes()
    app = open_page(page)
    assert not app.exception
    assert any(f"{database}.db" in error.value.replace("\\", "") for error in app.error)
    assert all("What to do" in error.value for error in app.error)
    assert file.read_bytes() == before


def test_the_other_pages_work_while_one_database_is_damaged(open_page: OpenPage, sample_run: str, home: Path) -> None:
    file = home / "output_central" / "backtest_results.db"
    file.unlink()
    file.write_bytes(b"")
    app = open_page(workbench.DATA_PIPELINE.file)
    assert not app.error
    assert "EURUSD H1" in words(app)


def test_a_locked_database_says_so_and_offers_to_try_again(
    open_page: OpenPage, sample_run: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.2")
    app = open_page(workbench.DATA_PIPELINE.file)
    holder = sqlite3.connect(home / "output_central" / "data_pipeline.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        app.button(key="data.collect").click().run()
        assert any("Another program holds" in error.value for error in app.error)
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert len(controller.versions()) == 1


def test_a_broken_config_file_stops_the_page_with_its_line(open_page: OpenPage, home: Path) -> None:
    (home / "config.yaml").write_text("gui:\n  prt: 1\n", encoding="utf-8")
    app = AppTest.from_file(str(Path(workbench.__file__).with_name("app.py")), default_timeout=60).run()
    assert not app.exception
    [error] = app.error
    assert "port" in error.value


def test_a_missing_equity_file_is_a_failure_not_an_empty_chart(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    (home / "output_central" / "runs" / sample_run / "equity.parquet").unlink()
    app = open_page(workbench.BACKTESTING.file)
    assert any("equity" in error.value for error in app.error)


def test_a_version_in_the_address_that_is_gone_does_not_break_the_page(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.DATA_PIPELINE.file, version="deadbeef")
    assert not app.exception
    assert [title.value for title in app.title] == ["Data Pipeline"]


def test_earlier_runs_stay_readable_while_the_datasets_are_not(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    file = home / "output_central" / "data_pipeline.db"
    for beside in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        beside.unlink(missing_ok=True)
    file.unlink()
    file.write_bytes(b"")
    app = open_page(workbench.BACKTESTING.file)
    assert not app.exception
    assert any("data_pipeline.db" in error.value.replace("\\", "") for error in app.error)
    assert {metric.label: metric.value for metric in app.metric}["Sharpe"] == "0.60"
