"""A database that cannot be used is set aside from the page that met it, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

import workbench
from core.store import set_aside
from data.pipeline_controller import controller
from execution.backtest_manager import manager

OpenPage = Callable[..., AppTest]
PUBLISH = "import workbench; workbench.run_sample_workflow()"


def test_the_page_asks_twice_and_starts_an_empty_database(open_page: OpenPage, home: Path) -> None:
    file = home / "output_central" / "data_pipeline.db"
    file.parent.mkdir()
    file.write_bytes(b"no database, whatever its name says" * 100)
    before = file.read_bytes()
    app = open_page(workbench.DATA_PIPELINE.file)
    app.button(key="failure.aside.data_pipeline.db.ask").click().run()
    assert file.read_bytes() == before
    app.button(key="failure.aside.data_pipeline.db.do").click().run()
    assert not app.error
    assert not app.exception
    [moved] = file.parent.glob("data_pipeline.set-aside-*.db")
    assert moved.read_bytes() == before
    assert any(moved.name in info.value.replace("\\", "") for info in app.info)


def test_leaving_it_changes_nothing(open_page: OpenPage, home: Path) -> None:
    file = home / "output_central" / "data_pipeline.db"
    file.parent.mkdir()
    file.write_bytes(b"")
    app = open_page(workbench.DATA_PIPELINE.file)
    app.button(key="failure.aside.data_pipeline.db.ask").click().run()
    app.button(key="failure.aside.data_pipeline.db.leave").click().run()
    assert [entry.name for entry in file.parent.glob("*.db")] == ["data_pipeline.db"]
    assert app.button(key="failure.aside.data_pipeline.db.ask")


def test_the_datasets_of_a_database_set_aside_outlive_the_next_publication(sample_run: str, home: Path) -> None:
    folder = controller.versions()[0].folder
    set_aside(home / "output_central" / "data_pipeline.db")
    small = PUBLISH.replace(
        "run_sample_workflow()",
        "controller.prepare(workbench.DataConfig("
        "data_sources=['Sample'], symbols=['EURUSD'], start_date='2017-05-01', end_date='2017-06-01'))",
    )
    subprocess.run([sys.executable, "-c", small], check=True)
    assert len(controller.versions()) == 1
    assert controller.versions()[0].folder != folder
    assert (folder / "data.parquet").is_file()


def test_an_earlier_run_never_shows_the_bars_of_another_dataset(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    set_aside(home / "output_central" / "data_pipeline.db")
    config = workbench.sample_config().model_copy(update={"start_date": "2017-06-01"})
    other = controller.prepare(config)
    assert other.id == manager.run(sample_run).dataset_version_id
    app = open_page(workbench.BACKTESTING.file)
    assert not app.exception
    assert any("There is no dataset version" in warning.value for warning in app.warning)
    assert {metric.label: metric.value for metric in app.metric}["Sharpe"] == "0.60"
    workbench.run_sample_workflow()
    assert not open_page(workbench.BACKTESTING.file).warning
