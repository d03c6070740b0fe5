"""The pages Jobs and Explorer, and the strip on every page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from core.heartbeats import Heart
from core.jobs import Job, JobStatus
from core.worker import ROLE
from data.jobs import collection_arguments, queue
from market.timeframes import Timeframe

APP = Path(workbench.__file__).with_name("app.py")
OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]


def words(app: AppTest) -> str:
    kinds = ("title", "caption", "markdown", "error", "warning")
    read = [str(each.value) for kind in kinds for each in app.get(kind)]
    return "\n".join([*read, *(each.proto.text for each in app.get("progress"))]).replace("\\", "")


def select(app: AppTest, *rows: int) -> AppTest:
    app.session_state["jobs.table"] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return app.run()


def shown_with(app: AppTest, column: str) -> pd.DataFrame:
    """The table that has such a column."""
    return next(each.value for each in app.dataframe if column in each.value.columns)


@pytest.fixture
def doomed() -> Job:
    """A queued collection that will fail: the sample has no minutes."""
    config = workbench.sample_config().model_copy(update={"timeframe": Timeframe.M5})
    return workbench.JOBS.submit("data", "collect", collection_arguments(config), "Collect the impossible")


def test_without_a_worker_every_page_says_what_the_job_waits_for(open_page: OpenPage) -> None:
    workbench.submit_sample()
    for entry in workbench.PAGES:
        assert "no worker runs; start one with python main.py --mode worker" in words(open_page(entry.file)), entry


def test_with_a_worker_that_is_full_it_says_so(open_page: OpenPage) -> None:
    Heart(ROLE).beat("2 running")
    for _ in range(3):
        workbench.submit_sample()
    for _ in range(2):
        queue.claim(workbench.JOBS.kinds["data"], "test")
    app = open_page(workbench.JOBS_PAGE.file)
    assert "2 jobs run, the most at once" in words(app)
    assert "**2** running" in words(app)


def test_selected_jobs_are_cancelled_together_and_retried_together(open_page: OpenPage) -> None:
    jobs = [workbench.submit_sample() for _ in range(3)]
    app = select(open_page(workbench.JOBS_PAGE.file), 0, 2)
    assert app.button(key="jobs.retry").disabled
    assert app.button(key="jobs.cancel").label == "Cancel 2 jobs"
    app.button(key="jobs.cancel").click().run()
    assert [queue.job(job.id).status for job in jobs] == ["CANCELLED", "QUEUED", "CANCELLED"]
    app = select(app, 0, 1, 2)
    assert app.button(key="jobs.cancel").label == "Cancel 1 job"
    assert app.button(key="jobs.retry").label == "Retry 2 jobs"
    app.button(key="jobs.retry").click().run()
    assert {queue.job(job.id).status for job in jobs} == {JobStatus.QUEUED}


def test_a_failed_job_says_why_and_what_to_do(open_page: OpenPage, doomed: Job, work_through: WorkThrough) -> None:
    [ended] = work_through()
    assert ended.status is JobStatus.FAILED
    app = select(open_page(workbench.JOBS_PAGE.file), 0)
    assert "The sample has no M5 bars." in words(app)
    assert "What to do:** The sample holds EURUSD" in words(app)


def overview_with(job: str) -> AppTest:
    """The Overview whose address names a job, as after a reload."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["job"] = job
    return app.run()


def test_a_page_shows_the_failure_of_the_job_its_address_names(doomed: Job, work_through: WorkThrough) -> None:
    work_through()
    app = overview_with(f"data-{doomed.id}")
    assert "The sample has no M5 bars." in words(app)
    app.button(key="overview.run_sample.retry").click().run()
    assert queue.job(doomed.id).status is JobStatus.QUEUED


@pytest.mark.parametrize("job", ["data-99", "nothing", "other-1", "data-", "data-1; DROP"])
def test_a_job_in_the_address_that_is_not_there_is_no_trouble(job: str) -> None:
    app = overview_with(job)
    assert not app.exception
    assert not app.error


def test_the_explorer_shows_rows_and_answers_sql(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.EXPLORER.file)
    app.get_by_key("database").select("backtest_results.db").run()
    app.get_by_key("table").select("backtest_trades").run()
    assert len(shown_with(app, "pnl")) == 42
    app.get_by_key("explorer.filter.backtest_trades").set_value("short").run()
    shown = shown_with(app, "pnl")
    assert 0 < len(shown) < 42
    app.get_by_key("explorer.sql.backtest_results.db").set_value("SELECT side, count(*) AS n FROM backtest_trades")
    app.button(key="explorer.run").click().run()
    assert list(shown_with(app, "n")["n"]) == [42]


def test_the_explorer_refuses_to_change_anything(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.EXPLORER.file, database="backtest_results.db")
    app.get_by_key("explorer.sql.backtest_results.db").set_value("DELETE FROM backtest_runs")
    app.button(key="explorer.run").click().run()
    assert "Only reading is possible here" in words(app)
    assert not app.exception
