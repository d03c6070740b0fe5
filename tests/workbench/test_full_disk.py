"""A disk that fills while a button works: the page says so, nothing is half stored, the button works afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

import workbench
from core.jobs import Job
from core.settings import output_folder
from data.pipeline_controller import controller
from execution.backtest_manager import manager

OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]
Case = tuple[Callable[[Path], bool], str, int]  # what is full, what is named, how many versions are stored then
MOST_PAGES = 2**30  # as good as no limit


class Disk:
    """The disk of this process: full for the files for which `is_full` holds.

    SQLite itself then refuses to let the database grow, and a Parquet file stays half written.
    """

    def __init__(self) -> None:
        self.is_full: Callable[[Path], bool] = lambda file: False
        self._write_whole = pd.DataFrame.to_parquet

    def write_parquet(self, frame: pd.DataFrame, path: Path, **options: Any) -> None:
        self._write_whole(frame, path, **options)
        if self.is_full(path):
            os.truncate(path, path.stat().st_size // 2)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def limit_database(self, connection: Any, *_: object) -> None:
        file = Path(connection.execute("PRAGMA database_list").fetchone()[2])
        connection.execute(f"PRAGMA max_page_count = {1 if self.is_full(file) else MOST_PAGES}")


@pytest.fixture
def disk(databases_built_anew: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()

    def write_parquet(frame: pd.DataFrame, path: Path, **options: Any) -> None:
        made.write_parquet(frame, path, **options)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", write_parquet)
    sa.event.listen(sa.pool.Pool, "checkout", made.limit_database)
    yield made
    sa.event.remove(sa.pool.Pool, "checkout", made.limit_database)


def is_new_database(file: Path) -> bool:
    """A database is made under a private name."""
    return file.name.startswith(".new") and file.suffix == ".db"


def is_first_database(file: Path) -> bool:
    return is_new_database(file) and not (output_folder() / "data_pipeline.db").exists()


def is_second_database(file: Path) -> bool:
    return is_new_database(file) and (output_folder() / "data_pipeline.db").exists()


def is_dataset(file: Path) -> bool:
    return file.suffix == ".parquet" and file.parent.parent.name == "datasets"


def is_equity(file: Path) -> bool:
    return file.suffix == ".parquet" and file.parent.parent.name == "runs"


def is_runs_database(file: Path) -> bool:
    return file.name == "backtest_results.db"


def names_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def assert_nothing_is_half_stored() -> None:
    """Every folder has its row, every row its folder, and no private name is left."""
    assert names_in(output_folder() / "datasets") == {version.content_hash for version in controller.versions()}
    assert names_in(output_folder() / "runs") == {run.run_id for run in manager.runs()}
    assert not list(output_folder().glob(".new*"))
    assert all(len(version.frame()) == version.rows for version in controller.versions())
    assert all(len(run.equity()) == run.bars for run in manager.runs())


def assert_told(app: AppTest, file: str) -> None:
    assert not app.exception
    [error] = app.error
    words = error.value.replace("\\", "")
    assert "The disk is full" in words
    assert str(output_folder() / file) in words
    assert "What to do:** Free some space" in words


@pytest.mark.parametrize(
    "case",
    [
        (is_first_database, "data_pipeline.db", 0),
        (is_dataset, "datasets", 0),
        (is_second_database, "backtest_results.db", 1),
        (is_equity, "runs", 1),
    ],
    ids=lambda case: case[0].__name__,
)
def test_the_sample_workflow_tells_of_a_full_disk_and_reaches_its_end_once_there_is_space(
    case: Case, open_page: OpenPage, work_through: WorkThrough, disk: Disk
) -> None:
    is_full, file, versions = case
    app = open_page(workbench.OVERVIEW.file)
    disk.is_full = is_full
    app.button(key="overview.run_sample").click().run()
    if work_through():  # where not even the job could be queued, the page says so at once
        app.run()
    assert_told(app, file)
    assert_nothing_is_half_stored()
    assert (len(controller.versions()), manager.runs()) == (versions, [])

    disk.is_full = lambda file: False
    app.button(key="overview.run_sample").click().run()
    work_through()
    app.run()
    assert not app.error
    assert not app.exception
    assert_nothing_is_half_stored()
    [run] = manager.runs()
    assert (run.trades_count, len(manager.trades(run))) == (42, 42)
    assert "overview.run_sample" not in {button.key for button in app.button}


@pytest.mark.parametrize(("is_full", "file"), [(is_equity, "runs"), (is_runs_database, "backtest_results.db")])
def test_a_backtest_tells_of_a_full_disk_and_is_stored_once_there_is_space(
    is_full: Callable[[Path], bool], file: str, open_page: OpenPage, sample_run: str, disk: Disk
) -> None:
    app = open_page(workbench.BACKTESTING.file)
    app.get_by_key("backtest.MA_Crossover.fast_length").set_value(5)
    disk.is_full = is_full
    app.button(key="backtest.run").click().run()
    assert_told(app, file)
    assert_nothing_is_half_stored()
    assert [run.run_id for run in manager.runs()] == [sample_run]
    assert app.session_state["run"] == sample_run

    disk.is_full = lambda file: False
    app.button(key="backtest.run").click().run()
    assert not app.error
    assert_nothing_is_half_stored()
    newest = manager.runs()[0]
    assert newest.run_id != sample_run
    assert len(manager.trades(newest)) == newest.trades_count > 42
    assert app.session_state["run"] == newest.run_id
