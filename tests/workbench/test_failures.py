"""One box for one cause, and every database by itself: what a page shows of several failures at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from seen import words
from streamlit.testing.v1 import AppTest

import workbench
from data.pipeline_controller import PipelineController, controller
from execution.backtest_manager import BacktestManager, manager

OpenPage = Callable[..., AppTest]


def shown(app: AppTest) -> dict[str, str]:
    return {metric.label: str(metric.value) for metric in app.metric}


def spoil(home: Path, database: str) -> Path:
    """Put a text in the place of a database; its file."""
    file = home / "output_central" / f"{database}.db"
    for part in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        part.unlink(missing_ok=True)
    file.write_text("no database, whatever its name says", encoding="utf-8")
    return file


def test_both_databases_unusable_are_two_boxes_and_nothing_passes_for_empty(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    files = [spoil(home, database) for database in ("data_pipeline", "backtest_results")]
    for entry in (workbench.OVERVIEW, workbench.BACKTESTING):
        app = open_page(entry.file)
        assert not app.exception
        assert [file.name in error.value.replace("\\", "") for file, error in zip(files, app.error, strict=True)] == [
            True,
            True,
        ]
        assert len({button.key for button in app.button if button.label.startswith("Set ")}) == 2
        assert "overview.run_sample" not in {button.key for button in app.button}
        assert "yet" not in words(app)


def test_the_overview_shows_of_each_database_what_can_be_read(open_page: OpenPage, sample_run: str, home: Path) -> None:
    spoil(home, "backtest_results")
    app = open_page(workbench.OVERVIEW.file)
    assert len(app.error) == 1
    assert (shown(app)["Dataset versions"], shown(app)["Backtest runs"], shown(app)["Best Sharpe"]) == ("1", "–", "–")
    [last] = [each.value for each in app.dataframe if "Kind" in each.value]
    assert list(last["Kind"]) == ["Version", "Collect"]
    assert "cannot be read: backtests" in words(app)
    assert "no run yet" not in words(app)


def test_a_button_that_meets_a_database_that_is_told_already_adds_no_second_box(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    app = open_page(workbench.DATA_PIPELINE.file)
    spoil(home, "data_pipeline")
    app.button(key="data.collect").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert words(app).count("What to do") == 1


def test_damage_that_only_the_trades_meet_leaves_the_rest_of_the_run(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    file = home / "output_central" / "backtest_results.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(page, size)] = database.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'backtest_trades'"
        ).fetchall()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = bytes(255 for _ in range(size))
    file.unlink()  # another file than the one this process has open
    file.write_bytes(content)
    app = open_page(workbench.BACKTESTING.file)
    assert not app.exception
    [error] = app.error
    assert "is damaged" in error.value
    assert shown(app)["Sharpe"] == "0.60"
    assert list(app.get_by_key("backtest.runs").value["Run"]) == [sample_run]
    app.get_by_key("view").set_value("Statistics").run()
    assert [each for each in app.dataframe if "Formula" in each.value]


def test_an_error_that_nobody_foresaw_is_one_box_however_often_it_comes(
    open_page: OpenPage, sample_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(PipelineController, "versions", fail)
    monkeypatch.setattr(BacktestManager, "runs", fail)
    app = open_page(workbench.OVERVIEW.file)
    assert not app.exception
    [error] = app.error
    assert "ZeroDivisionError: of all things" in error.value.replace("\\", "")
    assert shown(app)["Backtest runs"] == "–"


def test_a_log_without_its_database_is_set_aside_from_the_page(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    file = home / "output_central" / "backtest_results.db"
    result = manager.run_backtest(controller.versions()[0], strategy_name="RSI_Bands")
    manager.save_result("kept_in_the_log", result=result)
    log = file.with_name(f"{file.name}-wal")
    content = log.read_bytes()
    file.unlink()
    app = open_page(workbench.BACKTESTING.file)
    assert "is gone but its backtest_results.db-wal is still there" in words(app)
    ask = app.button(key="failure.aside.backtest_results.db.ask")
    assert ask.label == "Set backtest_results.db-wal aside…"
    ask.click().run()
    app.button(key="failure.aside.backtest_results.db.do").click().run()
    assert not app.error
    assert "No run yet" in words(app)
    [moved] = file.parent.glob("backtest_results.set-aside-*.db-wal")
    assert moved.read_bytes() == content
    assert f"backtest_results.db-wal now stands as {moved.name}" in words(app)
    app.button(key="backtest.run").click().run()
    assert len(manager.runs()) == 1


def test_a_file_that_is_open_elsewhere_is_not_set_aside_and_the_page_says_where(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    file = spoil(home, "data_pipeline")
    hold = f"stream = open({str(file)!r}); print('open', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        app = open_page(workbench.DATA_PIPELINE.file)
        app.button(key="failure.aside.data_pipeline.db.ask").click().run()
        app.button(key="failure.aside.data_pipeline.db.do").click().run()
    finally:
        holder.communicate("\n")
    assert not app.exception
    assert f"(process {holder.pid}); nothing was moved" in app.error[0].value.replace("\\", "")
    assert app.button(key="failure.aside.data_pipeline.db.ask")
    assert [entry.name for entry in file.parent.glob("data_pipeline*.db")] == [file.name]
