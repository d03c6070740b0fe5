"""What happens to dataset versions afterwards: found again, written to, deleted, carried to newer tables."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import InputError, StoreLockedError, StoreUnusableError, UnknownNameError
from core.migrate import newest_version
from core.store import Module, Store
from data import tables
from data.pipeline_controller import DatasetVersion, controller
from data.versions import UNCHECKED, datasets_folder, filter_versions, hash_of

MadeBars = Callable[..., pd.DataFrame]
Kill = Callable[[str, str, str], None]
TablesOf = Callable[[Path, Module], dict[str, list[tuple[Any, ...]]]]

# Point → ids of the versions there are afterwards.
POINTS = {"before the commit": [2, 1], "between row and folder": [1], "half way through the folder": [1]}


def nobody(_version: DatasetVersion) -> Sequence[str]:
    return []


def folders() -> set[str]:
    return {entry.name for entry in datasets_folder().iterdir()}


def plain_sql(home: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "output_central" / "data_pipeline.db")) as database:
        return database.execute(query).fetchall()


@pytest.fixture
def version(made: MadeBars) -> DatasetVersion:
    """A version without note and tags."""
    return controller.publish(made([1.0, 2.0, 3.0], "EURUSD"))


@pytest.fixture
def other(version: DatasetVersion, made: MadeBars) -> DatasetVersion:
    """A newer version of other content."""
    return controller.publish(made([4.0, 5.0, 6.0], "GBPUSD"))


def test_note_and_tags_come_back_as_they_were_written_and_change_nothing_else(version: DatasetVersion) -> None:
    assert (version.note, version.tags) == (None, [])
    written = controller.annotate_version(
        version.short_hash, note="Gap on 2 Jan,\nspread 2,4 €", tags=["gap", "Zürich"]
    )
    assert written == controller.version(version.id)
    assert (written.note, written.tags) == ("Gap on 2 Jan,\nspread 2,4 €", ["gap", "Zürich"])
    assert dataclasses.replace(written, note=None, tags=[]) == version
    assert hash_of(written.frame()) == version.content_hash


def test_what_is_left_out_stays_and_what_is_empty_is_cleared(version: DatasetVersion, home: Path) -> None:
    controller.annotate_version(version, note="first", tags=["a"])
    assert controller.annotate_version(version, tags=["b"]).note == "first"
    assert controller.annotate_version(version, note="second").tags == ["b"]
    cleared = controller.annotate_version(version, note="  ", tags=[])
    assert (cleared.note, cleared.tags) == (None, [])
    assert plain_sql(home, "SELECT note, tags FROM dataset_versions") == [(None, None)]


@pytest.mark.parametrize("given", [{"tags": ["ok", "what?"]}, {"note": "n" * 2001}])
def test_what_cannot_be_kept_is_refused_and_nothing_changes(given: dict[str, Any], version: DatasetVersion) -> None:
    before = controller.annotate_version(version, note="kept", tags=["kept"])
    with pytest.raises(InputError):
        controller.annotate_version(version, **{"note": "another", "tags": ["another"], **given})
    assert controller.version(version) == before


def test_equal_content_published_again_has_remarks_of_its_own(version: DatasetVersion) -> None:
    written = controller.annotate_version(version, note="of the first", tags=["first"])
    again = controller.publish(version.frame())
    assert again.content_hash == version.content_hash
    assert (again.note, again.tags) == (None, [])
    assert controller.annotate_version(version.short_hash, note="of the newest").id == again.id
    assert controller.version(version) == written


def test_a_version_is_never_taken_for_the_one_that_took_over_its_id(
    version: DatasetVersion, other: DatasetVersion, made: MadeBars
) -> None:
    frame = other.frame()
    controller.delete_version(other, used_by=nobody)
    successor = controller.publish(made([7.0, 8.0], "USDJPY"))
    again = controller.publish(frame)
    assert successor.id == other.id
    for act in (
        controller.version,
        lambda gone: controller.annotate_version(gone, note="meant for another"),
        lambda gone: controller.delete_version(gone, used_by=nobody),
    ):
        with pytest.raises(UnknownNameError, match=f"{other.short_hash} is not there any more"):
            act(other)
    assert controller.versions() == [again, successor, version]


@pytest.mark.parametrize(
    "call", [controller.annotate_version, lambda name: controller.delete_version(name, used_by=nobody)]
)
def test_what_is_not_there_is_refused_and_creates_no_database(call: Callable[[str], Any], home: Path) -> None:
    with pytest.raises(UnknownNameError, match="There is no dataset version 'deadbeef'"):
        call("deadbeef")
    assert list(home.iterdir()) == []


@pytest.fixture
def several(version: DatasetVersion) -> list[DatasetVersion]:
    """Three versions that differ in all that can be filtered; not stored."""
    replace = dataclasses.replace
    return [
        replace(version, id=1, content_hash=f"{'abcd1234':0<64}", timeframe="D1", verdict="PASS", tags=["London"]),
        replace(version, id=2, content_hash=f"{'00000000':e<64}", symbols=["GBPUSD"], note="Straße at the roll"),
        replace(version, id=3, content_hash=f"{'11111111':0<64}", symbols=["EURUSD", "GBPUSD"], verdict="FAIL"),
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [1, 2, 3]),
        ({"text": "ABCD12"}, [1]),
        ({"text": f"{'abcd1234':0<64}"}, [1]),
        ({"text": "eee"}, []),
        ({"text": " eurusd "}, [1, 3]),
        ({"text": "gbpusd h1"}, [2, 3]),
        ({"text": "STRASSE"}, [2]),
        ({"symbol": "GBPUSD"}, [2, 3]),
        ({"symbol": "GBP"}, []),
        ({"timeframe": "D1"}, [1]),
        ({"verdict": "FAIL"}, [3]),
        ({"verdict": UNCHECKED}, [2]),
        ({"tag": "london"}, [1]),
        ({"text": "roll", "symbol": "GBPUSD", "timeframe": "H1"}, [2]),
        ({"text": "roll", "verdict": "PASS"}, []),
    ],
)
def test_versions_are_found_by_all_that_is_asked(
    asked: dict[str, str], found: list[int], several: list[DatasetVersion]
) -> None:
    assert [each.id for each in filter_versions(several, **asked)] == found  # type: ignore[arg-type]


def test_a_deleted_version_leaves_neither_row_nor_files(version: DatasetVersion, other: DatasetVersion) -> None:
    controller.delete_version(version.short_hash, used_by=nobody)
    assert controller.versions() == [other]
    assert folders() == {other.content_hash}
    assert hash_of(other.frame()) == other.content_hash
    with pytest.raises(UnknownNameError):
        controller.delete_version(version, used_by=nobody)


def test_the_files_go_with_the_last_row_that_names_them(version: DatasetVersion) -> None:
    again = controller.publish(version.frame())
    controller.delete_version(again, used_by=nobody)
    assert controller.versions() == [version]
    assert {file.name for file in version.folder.iterdir()} == {"data.parquet", "manifest.json"}
    controller.delete_version(version, used_by=nobody)
    assert folders() == set()


def test_of_equal_versions_the_one_that_is_meant_goes(version: DatasetVersion) -> None:
    again = controller.publish(version.frame())
    controller.delete_version(version, used_by=nobody)
    assert controller.versions() == [again]


def test_a_version_in_use_is_kept_and_its_users_are_named(version: DatasetVersion) -> None:
    def two(used: DatasetVersion) -> list[str]:
        return [f"run one on {used.short_hash}", "run two"]

    with pytest.raises(InputError) as refusal:
        controller.delete_version(version, used_by=two)
    assert f"in use by run one on {version.short_hash}, run two; it was not deleted" in refusal.value.what
    assert refusal.value.cure
    assert controller.versions() == [version]
    assert hash_of(version.frame()) == version.content_hash


def test_of_many_users_ten_are_named_and_the_rest_counted(version: DatasetVersion) -> None:
    with pytest.raises(InputError, match=r"run 8, run 9 and 3 more; it was not"):
        controller.delete_version(version, used_by=lambda _: [f"run {n}" for n in range(13)])


@pytest.mark.parametrize("failure", [StoreUnusableError("The database of the runs is damaged."), ValueError("odd")])
def test_where_nobody_can_say_who_uses_it_nothing_is_deleted(failure: Exception, version: DatasetVersion) -> None:
    def unknown(_: DatasetVersion) -> list[str]:
        raise failure

    with pytest.raises(type(failure)):
        controller.delete_version(version, used_by=unknown)
    assert controller.versions() == [version]
    assert hash_of(version.frame()) == version.content_hash


def failing_in_a_thread(work: Callable[[], Any]) -> type[BaseException] | None:
    """What `work` raises in another thread."""
    raised: list[type[BaseException]] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are waited for a tenth of a second."""
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.1")


def test_while_it_is_asked_who_uses_a_version_nobody_begins_to(impatient: None, version: DatasetVersion) -> None:
    def hold() -> None:
        with controller.hold(version):
            pass

    outcomes: list[type[BaseException] | None] = []

    def asked(_: DatasetVersion) -> list[str]:
        outcomes.append(failing_in_a_thread(hold))
        return []

    controller.delete_version(version, used_by=asked)
    assert outcomes == [StoreLockedError]
    assert failing_in_a_thread(hold) is UnknownNameError


def test_a_version_that_is_held_cannot_be_deleted(impatient: None, version: DatasetVersion) -> None:
    with controller.hold(version) as held:
        assert held == version
        assert failing_in_a_thread(lambda: controller.delete_version(version, used_by=nobody)) is StoreLockedError
    assert controller.versions() == [version]


def test_what_is_held_is_the_newest_of_equal_content_where_the_row_itself_is_gone(version: DatasetVersion) -> None:
    again = controller.publish(version.frame())
    with controller.hold(version) as held:
        assert held == version
    controller.delete_version(version, used_by=nobody)
    with controller.hold(version) as held:
        assert held == again


def test_a_version_of_another_workbench_cannot_be_held_and_creates_no_database(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(UnknownNameError), controller.hold(version):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_content_published_again_while_it_is_deleted_keeps_its_files(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, remove = version.frame(), Store.remove_folder

    def published_just_before(store: Store, folder: Path, **unless: Any) -> None:
        controller.publish(frame)
        remove(store, folder, **unless)

    monkeypatch.setattr(Store, "remove_folder", published_just_before)
    controller.delete_version(version, used_by=nobody)
    [left] = controller.versions()
    assert left != version
    assert hash_of(left.frame()) == version.content_hash


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_deleting_leaves_whole_versions_only(
    point: str,
    killed_while_deleting: Kill,
    version: DatasetVersion,
    other: DatasetVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed_while_deleting("controller.delete_version(2, used_by=lambda version: [])", "data.parquet", point)
    assert folders() == {version.content_hash, other.content_hash}, "the kill did not strike where it should"
    versions = controller.versions()
    assert [each.id for each in versions] == POINTS[point]
    assert all(hash_of(each.frame()) == each.content_hash for each in versions)
    monkeypatch.setattr("core.folders._swept", set())  # as in the next process
    controller.publish(version.frame().iloc[:2])
    assert folders() == {each.content_hash for each in controller.versions()}
    assert len(controller.versions()) == len(POINTS[point]) + 1


@pytest.fixture
def version_1(left_by_version_1: Callable[[Module, str], Path], version: DatasetVersion, other: DatasetVersion) -> Path:
    """A workbench whose rows and files were left by version 1 of the tables, with every step of one version."""
    frame = version.frame()
    processed, preprocessing_id = controller.preprocess(frame, None, {"normalize": True})
    _, validation_id = controller.validate(processed)
    controller.publish(processed, None, preprocessing_id, validation_id)
    return left_by_version_1(tables.DATA_PIPELINE, "datasets")


def test_versions_left_by_version_1_are_carried_over_whole_with_a_backup(
    version_1: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> list[tuple[Any, ...]]:
        steps = (controller.preprocessing_of, controller.validation_of)
        return [(each, *(step(each) for step in steps), hash_of(each.frame())) for each in controller.versions()]

    monkeypatch.setenv("SEQUENCE_HOME", str(home))
    before = everything()
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    assert everything() == before
    assert [(each.note, each.tags) for each in controller.versions()] == [(None, [])] * 3
    assert plain_sql(version_1, "PRAGMA user_version") == [(newest_version(tables.DATA_PIPELINE.migrations),)]
    [backup] = (version_1 / "output_central").glob("data_pipeline.v1.*.backup.db")
    with closing(sqlite3.connect(backup)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM dataset_versions").fetchone() == (3,)


def test_versions_left_by_version_1_can_be_written_to_and_deleted(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    assert controller.annotate_version(1, note="still here", tags=["old"]).tags == ["old"]
    controller.delete_version(2, used_by=nobody)
    assert [(each.id, each.note) for each in controller.versions()] == [(3, None), (1, "still here")]
    assert folders() == {each.content_hash for each in controller.versions()}


def test_a_migrated_database_and_a_new_one_have_the_same_columns(
    version_1: Path, tables_of: TablesOf, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    controller.versions()
    migrated = tables_of(version_1, tables.DATA_PIPELINE)
    assert migrated == tables_of(home, tables.DATA_PIPELINE)
    for table in tables.DATA_PIPELINE.metadata.sorted_tables:
        *columns, strict = migrated[table.name]
        assert [column[1] for column in columns] == [column.name for column in table.columns]
        assert strict == (1,)
