"""What happens to stored runs afterwards: found again, written to, deleted, carried to newer tables."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import execution.runs
from core.errors import InputError, StoreLockedError, UnknownNameError
from core.store import Module, Store
from data.pipeline_controller import DatasetVersion, controller
from execution import tables
from execution.backtest_manager import BacktestResult, StoredRun, manager
from execution.runs import filter_runs, runs_folder

Kill = Callable[[str, str, str], None]
TablesOf = Callable[[Path, Module], dict[str, list[tuple[Any, ...]]]]

# Point → runs there are afterwards.
POINTS = {
    "before the commit": ["second", "first"],
    "between row and folder": ["first"],
    "half way through the folder": ["first"],
}


def folders() -> set[str]:
    return {entry.name for entry in runs_folder().iterdir()}


def plain_sql(home: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "output_central" / "backtest_results.db")) as database:
        return database.execute(query).fetchall()


@pytest.fixture
def run(result: BacktestResult) -> StoredRun:
    """A stored run without note and tags."""
    return manager.save_result("backtest_001", result=result)


def test_a_new_run_has_neither_note_nor_tags(run: StoredRun) -> None:
    assert (run.note, run.tags) == (None, [])


def test_a_note_and_tags_come_back_as_they_were_written(run: StoredRun) -> None:
    written = manager.annotate("backtest_001", note="Rolls at 22:00,\nspread doubles: 1,2 → 2,4 €", tags=["roll", "EU"])
    assert written == manager.run("backtest_001")
    assert (written.note, written.tags) == ("Rolls at 22:00,\nspread doubles: 1,2 → 2,4 €", ["roll", "EU"])
    assert dataclasses.replace(written, note=None, tags=[]) == run


def test_what_is_left_out_stays_and_what_is_empty_is_cleared(run: StoredRun, home: Path) -> None:
    manager.annotate("backtest_001", note="first", tags=["a"])
    assert manager.annotate("backtest_001", tags=["b"]).note == "first"
    assert manager.annotate("backtest_001", note="second").tags == ["b"]
    assert manager.annotate("backtest_001") == manager.run("backtest_001")
    cleared = manager.annotate("backtest_001", note="  ", tags=[])
    assert (cleared.note, cleared.tags) == (None, [])
    assert plain_sql(home, "SELECT note, tags FROM backtest_runs") == [(None, None)]


def test_tags_are_kept_once_each_in_their_order(run: StoredRun) -> None:
    tags = manager.annotate("backtest_001", tags=["Zürich open", " v1.2 ", "Night_shift", "v1.2", "zürich Open"]).tags
    assert tags == ["Zürich open", "v1.2", "Night_shift"]


@pytest.mark.parametrize(
    ("given", "named", "cure"),
    [
        ({"tags": ["a,b"]}, "'a,b'", "letters, digits"),
        ({"tags": ["ok", ""]}, "''", "1 to 30"),
        ({"tags": ["x" * 31]}, "x" * 31, "1 to 30"),
        ({"tags": ["new\nline"]}, r"'new\nline'", "letters, digits"),
        ({"tags": [7]}, "7", "letters, digits"),
        ({"tags": [f"t{n}" for n in range(11)]}, "11 tags", "at most 10"),
        ({"tags": "london"}, "tags='london'", "list"),
        ({"note": "n" * 2001}, "2001 characters", "2000"),
        ({"note": 7}, "note=7", "text"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_value_and_cure_and_nothing_changes(
    given: dict[str, Any], named: str, cure: str, run: StoredRun
) -> None:
    before = manager.annotate("backtest_001", note="kept", tags=["kept"])
    with pytest.raises(InputError) as refusal:
        manager.annotate("backtest_001", **{"note": "another", "tags": ["another"], **given})
    assert named in refusal.value.what
    assert cure in refusal.value.cure
    assert manager.run("backtest_001") == before


def test_the_longest_note_and_the_most_tags_are_kept(run: StoredRun) -> None:
    tags = [f"{n}{'x' * 29}" for n in range(10)]
    written = manager.annotate("backtest_001", note="n" * 2000, tags=tags)
    assert (written.note, written.tags) == ("n" * 2000, tags)


def test_a_note_to_an_unknown_run_is_refused_and_creates_no_database(home: Path) -> None:
    with pytest.raises(UnknownNameError, match="There is no run 'nothing'"):
        manager.annotate("nothing", note="x")
    assert list(home.iterdir()) == []


def test_note_and_tags_are_no_part_of_what_a_run_is(run: StoredRun, result: BacktestResult) -> None:
    written = manager.annotate("backtest_001", note="mine", tags=["mine"])
    assert written.content_digest == run.content_digest
    assert manager.save_result("backtest_001", result=result) == written
    assert len(manager.runs()) == 1


@pytest.fixture
def several(run: StoredRun) -> list[StoredRun]:
    """Three runs that differ in all that can be filtered; not stored."""
    return [
        dataclasses.replace(run, run_id="night_1", strategy_name="MA_Crossover", symbol="EURUSD", tags=["London"]),
        dataclasses.replace(run, run_id="day_2", strategy_name="RSI_Bands", symbol="GBPUSD", note="Straße at the roll"),
        dataclasses.replace(run, run_id="day_3", strategy_name="RSI_Bands", symbol="EURUSD", tags=["roll", "london"]),
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["night_1", "day_2", "day_3"]),
        ({"text": "NIGHT"}, ["night_1"]),
        ({"text": "rsi_"}, ["day_2", "day_3"]),
        ({"text": " eurusd "}, ["night_1", "day_3"]),
        ({"text": "STRASSE"}, ["day_2"]),
        ({"text": "roll"}, ["day_2", "day_3"]),
        ({"text": "roll at"}, []),
        ({"strategy": "RSI_Bands"}, ["day_2", "day_3"]),
        ({"strategy": "RSI"}, []),
        ({"symbol": "EURUSD"}, ["night_1", "day_3"]),
        ({"tag": "london"}, ["night_1", "day_3"]),
        ({"tag": "lon"}, []),
        ({"text": "day", "strategy": "RSI_Bands", "symbol": "EURUSD", "tag": "ROLL"}, ["day_3"]),
        ({"text": "day", "symbol": "EURUSD", "tag": "other"}, []),
    ],
)
def test_runs_are_found_by_all_that_is_asked(asked: dict[str, str], found: list[str], several: list[StoredRun]) -> None:
    assert [run.run_id for run in filter_runs(several, **asked)] == found


def test_a_deleted_run_leaves_neither_row_nor_trades_nor_files(
    run: StoredRun, other: BacktestResult, home: Path
) -> None:
    kept = manager.save_result("kept", result=other)
    manager.delete_run("backtest_001")
    assert manager.runs() == [kept]
    assert folders() == {"kept"}
    assert plain_sql(home, "SELECT DISTINCT backtest_id FROM backtest_trades") == [(kept.id,)]
    assert len(kept.equity()) == 20
    with pytest.raises(UnknownNameError):
        manager.run("backtest_001")


def test_comparisons_outlive_the_runs_they_name(run: StoredRun, other: BacktestResult, home: Path) -> None:
    manager.save_result("kept", result=other)
    manager.compare_strategies("backtest_001", "kept")
    manager.delete_run("backtest_001")
    [(first, second, metrics)] = plain_sql(home, "SELECT run_id_1, run_id_2, metrics FROM backtest_comparisons")
    assert (first, second) == ("backtest_001", "kept")
    assert json.loads(metrics)["return"]["strategy_1"] == run.total_return


def test_what_is_not_there_cannot_be_deleted(run: StoredRun) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'backtest_001'\?"):
        manager.delete_run("backtest_002")
    manager.delete_run("backtest_001")
    with pytest.raises(UnknownNameError):
        manager.delete_run("backtest_001")


def test_deleting_from_an_empty_workbench_creates_no_database(home: Path) -> None:
    with pytest.raises(UnknownNameError):
        manager.delete_run("nothing")
    assert list(home.iterdir()) == []


def test_the_name_of_a_deleted_run_is_free_again(run: StoredRun, other: BacktestResult) -> None:
    manager.delete_run("backtest_001")
    again = manager.save_result("backtest_001", result=other)
    pd.testing.assert_series_equal(again.equity(), other.equity, check_freq=False)


def test_a_run_saved_under_the_name_while_the_old_one_is_deleted_keeps_its_files(
    run: StoredRun, other: BacktestResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Store.remove_folder

    def saved_just_before(store: Store, folder: Path, **unless: Any) -> None:
        manager.save_result("backtest_001", result=other)
        remove(store, folder, **unless)

    monkeypatch.setattr(Store, "remove_folder", saved_just_before)
    manager.delete_run("backtest_001")
    [left] = manager.runs()
    assert left.content_digest != run.content_digest
    pd.testing.assert_series_equal(left.equity(), other.equity, check_freq=False)


def test_a_lock_that_comes_after_the_row_is_gone_does_not_bring_it_back(
    run: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Store.remove_folder

    def locked(_store: Store) -> None:
        raise StoreLockedError("Another program holds it.")

    def locked_from_here(store: Store, folder: Path, **unless: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "write", locked)
            remove(store, folder, **unless)

    monkeypatch.setattr(Store, "remove_folder", locked_from_here)
    manager.delete_run("backtest_001")
    assert manager.runs() == []
    assert folders() == {"backtest_001"}


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_deleting_leaves_whole_runs_only(
    point: str,
    killed_while_deleting: Kill,
    result: BacktestResult,
    other: BacktestResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager.save_result("first", result=result)
    manager.save_result("second", result=other)
    killed_while_deleting('manager.delete_run("second")', "equity.parquet", point)
    assert folders() == {"first", "second"}, "the kill left no debris, so it did not strike where it should"
    runs = manager.runs()
    assert [run.run_id for run in runs] == POINTS[point]
    assert all(len(run.equity()) == 20 and len(manager.trades(run)) == run.trades_count for run in runs)
    owners = plain_sql(runs_folder().parents[1], "SELECT DISTINCT backtest_id FROM backtest_trades")
    assert {owner for (owner,) in owners} == {run.id for run in runs}
    monkeypatch.setattr("core.folders._swept", set())  # as in the next process
    manager.save_result("third", result=result)
    assert folders() == {*POINTS[point], "third"}


@pytest.fixture
def on_a_dataset(bars: pd.DataFrame) -> BacktestResult:
    """A result made on a published version, which nothing uses yet."""
    version = controller.publish(bars.assign(symbol="EURUSD"))
    return manager.run_backtest(version, strategy_name="MA_Crossover", parameters={"fast_length": 2, "slow_length": 4})


def dataset_of(result: BacktestResult) -> DatasetVersion:
    assert result.dataset is not None
    return result.dataset


def test_a_run_on_a_dataset_that_was_deleted_meanwhile_is_refused_and_leaves_nothing(
    on_a_dataset: BacktestResult,
) -> None:
    version = dataset_of(on_a_dataset)
    controller.delete_version(version, used_by=lambda _: [])
    with pytest.raises(UnknownNameError, match=f"{version.short_hash} is not there any more"):
        manager.save_result("late", result=on_a_dataset)
    assert manager.runs() == []
    assert folders() == set()


def test_a_run_names_the_row_of_its_dataset_that_is_left(on_a_dataset: BacktestResult) -> None:
    version = dataset_of(on_a_dataset)
    again = controller.publish(version.frame())
    controller.delete_version(version, used_by=lambda _: [])
    assert manager.save_result(result=on_a_dataset).dataset_version_id == again.id


def test_a_dataset_cannot_be_deleted_while_a_run_on_it_is_stored(
    on_a_dataset: BacktestResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.1")
    enter = execution.runs.inserted_id
    refusals: list[str] = []

    def delete() -> None:
        try:
            controller.delete_version(dataset_of(on_a_dataset), used_by=lambda _: [])
        except StoreLockedError as error:
            refusals.append(error.what)

    def entered_while_another_deletes(*row: Any) -> int:
        another = threading.Thread(target=delete)
        another.start()
        another.join()
        return enter(*row)

    monkeypatch.setattr(execution.runs, "inserted_id", entered_while_another_deletes)
    run = manager.save_result(result=on_a_dataset)
    [refusal] = refusals
    assert "data_pipeline.db" in refusal
    assert controller.version(run.dataset_hash) == dataset_of(on_a_dataset)


@pytest.fixture
def version_1(left_by_version_1: Callable[[Module, str], Path], run: StoredRun, other: BacktestResult) -> Path:
    """A workbench whose runs, trades, comparison and files were left by version 1 of the tables."""
    manager.save_result("kept", result=other)
    manager.compare_strategies("backtest_001", "kept")
    return left_by_version_1(tables.BACKTEST_RESULTS, "runs")


def test_runs_of_version_1_are_carried_over_whole_with_a_backup(
    version_1: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(home))
    before = [(run, manager.trades(run), run.equity()) for run in manager.runs()]
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    after = [(run, manager.trades(run), run.equity()) for run in manager.runs()]
    assert [run for run, _, _ in after] == [run for run, _, _ in before]
    assert [(run.note, run.tags) for run, _, _ in after] == [(None, []), (None, [])]
    for (_, trades, equity), (_, trades_before, equity_before) in zip(after, before, strict=True):
        pd.testing.assert_frame_equal(trades, trades_before)
        pd.testing.assert_series_equal(equity, equity_before)
    assert plain_sql(version_1, "SELECT run_id_1, run_id_2 FROM backtest_comparisons") == [("backtest_001", "kept")]
    newest = len(list(tables.BACKTEST_RESULTS.migrations.glob("v*.py")))
    assert plain_sql(version_1, "PRAGMA user_version") == [(newest,)]
    [backup] = (version_1 / "output_central").glob("backtest_results.v1.*.backup.db")
    with closing(sqlite3.connect(backup)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM backtest_runs").fetchone() == (2,)


def test_runs_of_version_1_can_be_written_to_and_deleted(version_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    assert manager.annotate("kept", note="still here", tags=["old"]).tags == ["old"]
    manager.delete_run("backtest_001")
    [left] = manager.runs()
    assert (left.run_id, left.note) == ("kept", "still here")
    assert plain_sql(version_1, "SELECT DISTINCT backtest_id FROM backtest_trades") == [(left.id,)]


def test_a_migrated_database_and_a_new_one_have_the_same_columns(
    version_1: Path, tables_of: TablesOf, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    manager.runs()
    migrated = tables_of(version_1, tables.BACKTEST_RESULTS)
    assert migrated == tables_of(home, tables.BACKTEST_RESULTS)
    for table in tables.BACKTEST_RESULTS.metadata.sorted_tables:
        *columns, strict = migrated[table.name]
        assert [column[1] for column in columns] == [column.name for column in table.columns]
        assert strict == (1,)
