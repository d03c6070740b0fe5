"""The Sweep page: from the form over the job to the map, and from a set to its run."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from core.jobs import Job, JobStatus
from execution.backtest_manager import manager
from execution.ledger import trials_on
from execution.sweep_store import list_sweeps

OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]
KEY = "sweep.MA_Crossover"


def words(app: AppTest) -> str:
    return "\n".join(str(each.value) for kind in ("caption", "markdown", "warning") for each in app.get(kind))


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def ask(app: AppTest) -> AppTest:
    """5 × 4 sets, of which the strategy refuses those whose fast average is not the faster one."""
    for name, values in {"fast_length": (10, 50, 10), "slow_length": (40, 100, 20)}.items():
        for part, value in zip(("from", "to", "step"), values, strict=True):
            app.number_input(key=f"{KEY}.{name}.{part}").set_value(value)
    return app.run()


@pytest.fixture
def swept(open_page: OpenPage, sample_run: str, work_through: WorkThrough) -> AppTest:
    app = ask(open_page(workbench.SWEEP.file))
    assert "20 combinations" in words(app)
    app.button(key="sweep.start").click().run()
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED, job.failure
    app.run()
    assert not app.exception
    assert not app.error
    return app


def test_a_form_becomes_a_job_and_the_job_a_map(swept: AppTest, sample_run: str) -> None:
    [row] = list_sweeps()
    # Refused: fast 40 and 50 with slow 40.
    assert (row.sets, row.refused, row.status) == (18, 2, "completed")
    assert metrics(swept)["Sets run"] == "18"
    [ranked] = [each.value for each in swept.dataframe if "Shape" in each.value]
    assert len(ranked) == 18
    plateaus = ranked["Plateau"].dropna()
    assert plateaus.is_monotonic_decreasing
    assert trials_on(row.dataset_hash).count == 18 + 1  # and the sample's run
    assert "19 variants were tried on this data" in words(swept)


def test_the_best_set_is_run_with_a_button_and_opened(swept: AppTest) -> None:
    [ranked] = [each.value for each in swept.dataframe if "Shape" in each.value]
    best = ranked.iloc[0]
    swept.button(key="sweep.run").click().run()
    run = manager.runs()[0]
    assert run.settings["parameters"]["fast_length"] == best["fast length"]
    assert run.settings["parameters"]["slow_length"] == best["slow length"]
    assert run.settings["spread_pips"] == manager.runs()[1].settings["spread_pips"]


def test_nothing_swept_is_no_sweep(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.SWEEP.file)
    app.multiselect(key=f"{KEY}.swept").set_value([]).run()
    assert "Name at least one parameter to sweep." in words(app)
    assert app.button(key="sweep.start.not_yet").disabled


def test_a_range_that_is_none_is_refused_in_words(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.SWEEP.file)
    app.number_input(key=f"{KEY}.fast_length.from").set_value(60)
    app.number_input(key=f"{KEY}.fast_length.to").set_value(20).run()
    app.button(key="sweep.start").click().run()
    assert not app.exception
    assert "cannot be swept from 60 to 20" in app.error[0].value
    assert list_sweeps() == []


def test_another_figure_is_mapped(swept: AppTest) -> None:
    swept.get_by_key("sweep.figure").set_value("Held out").run()
    assert not swept.exception
    assert isinstance(swept.get("plotly_chart")[0].proto.spec, str)


def test_a_sweep_is_deleted_and_what_was_tried_stays_counted(swept: AppTest) -> None:
    [row] = list_sweeps()
    swept.button(key=f"sweep.delete.{row.id}").click().run()
    assert list_sweeps() == []
    assert trials_on(row.dataset_hash).count == 19
    assert "No sweep yet" in words(swept)


def test_one_parameter_is_drawn_as_a_line(open_page: OpenPage, sample_run: str, work_through: WorkThrough) -> None:
    app = open_page(workbench.SWEEP.file)
    app.multiselect(key=f"{KEY}.swept").set_value(["fast_length"]).run()
    app.button(key="sweep.start").click().run()
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED, job.failure
    app.run()
    assert not app.exception
    assert not app.error
    assert isinstance(app, AppTest)
    assert pd.notna(metrics(app)["Best plateau"])
