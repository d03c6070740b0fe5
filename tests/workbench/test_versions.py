"""Dataset versions on their page: found, opened, written to, loaded back into the form, deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from seen import words
from streamlit.testing.v1 import AppTest

import data.pipeline_controller
import workbench
from data.pipeline_controller import DataConfig, DatasetVersion, controller
from execution.backtest_manager import manager

OpenPage = Callable[..., AppTest]
PAGE = workbench.DATA_PIPELINE.file
SAMPLE: dict[str, Any] = {"data_sources": ["Sample"], "symbols": ["EURUSD"]}
WHOLE = {"start_date": "2017-04-19", "end_date": "2018-02-07"}


def made_bars(seed: int, symbol: str = "EURUSD", rows: int = 120) -> pd.DataFrame:
    """Hourly bars that wander."""
    close = 1.1 * np.exp(np.random.default_rng(seed).normal(0, 0.001, rows).cumsum())
    index = pd.date_range("2024-01-02", periods=rows, freq="h", tz="UTC", name="time")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close), index=index)
    return frame.assign(volume=1.0, symbol=symbol, source="made")


def listed(app: AppTest) -> list[str]:
    table = app.get_by_key("data.versions").value
    assert isinstance(table, pd.DataFrame)
    return list(table["Version"])


def click_row(app: AppTest, row: int) -> AppTest:
    app.session_state["data.versions"] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return app.run()


def opened(app: AppTest) -> str:
    """The version that page, address and list agree to be the open one."""
    name = str(app.session_state["version"])
    assert app.query_params["version"] == name
    marked = app.session_state["data.versions"]["selection"]["rows"]
    assert [listed(app)[row] for row in marked] == [name]
    assert {metric.label: metric.value for metric in app.metric}["Version"] == name[:8]
    return name


def delete(app: AppTest) -> AppTest:
    app.button(key="data.delete").click().run()
    return app.button(key="data.delete.yes").click().run()


@pytest.fixture
def versions() -> list[DatasetVersion]:
    """Newest first: GBPUSD unchecked, EURUSD D1 that passes, EURUSD that fails and is tagged."""
    _, validation_id = controller.validate(made_bars(1, rows=50))
    failed = controller.publish(made_bars(1, rows=50), validation_id=validation_id)
    controller.annotate_version(failed, note="Too short for the rules.", tags=["broker"])
    controller.prepare(DataConfig(**SAMPLE, **WHOLE, timeframe="D1"))
    controller.publish(made_bars(2, "GBPUSD"))
    return controller.versions()


def used(version: DatasetVersion, run_id: str) -> None:
    manager.save_result(run_id, result=manager.run_backtest(version, strategy_name="RSI_Bands"))


def test_the_list_shows_every_version_with_figures_that_sort_as_numbers(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    assert not app.exception
    table = app.get_by_key("data.versions").value
    assert list(table["Version"]) == [version.short_hash for version in versions]
    assert list(table["Rows"]) == [120, 207, 50]
    assert {table[name].dtype.kind for name in ("Rows", "Columns")} == {"i"}
    assert list(table["Verdict"]) == ["not checked", "PASS", "FAIL"]
    assert (table["Tags"].iloc[2], table["Note"].iloc[2]) == ("broker", "Too short for the rules.")
    assert opened(app) == versions[0].short_hash


def test_a_clicked_row_opens_its_version(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = click_row(open_page(PAGE), 2)
    assert opened(app) == versions[2].short_hash
    assert "Too short for the rules." in words(app)
    assert opened(click_row(app, 1)) == versions[1].short_hash


def test_of_equal_content_each_publication_can_be_opened_and_the_newest_has_the_short_address(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    first = versions[2]
    again = controller.publish(first.frame())
    older = f"{first.short_hash}-{first.id}"
    app = open_page(PAGE, version=first.short_hash)
    assert opened(app) == again.short_hash
    assert "Too short for the rules." not in words(app)
    app = click_row(app, 3)
    assert opened(app) == older
    assert "Too short for the rules." in words(app)
    app.get_by_key("version").select(again.short_hash).run()  # its words differ only by that number
    assert opened(app) == again.short_hash
    assert opened(open_page(PAGE, version=older)) == older
    controller.delete_version(again, used_by=workbench.users_of)
    app = open_page(PAGE, version=older)
    assert not app.warning
    assert opened(app) == first.short_hash


@pytest.mark.parametrize(
    ("key", "value", "rows"),
    [
        ("versions.find", "TOO SHORT", [2]),
        ("versions.symbol", "EURUSD", [1, 2]),
        ("versions.timeframe", "D1", [1]),
        ("versions.verdict", "not checked", [0]),
        ("versions.tag", "broker", [2]),
    ],
)
def test_the_list_is_filtered_and_the_open_version_stays_open(
    key: str, value: str, rows: list[int], open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    app.get_by_key(key).set_value(value).run()
    assert listed(app) == [versions[row].short_hash for row in rows]
    assert f"{len(rows)} of 3 versions" in words(app)
    assert app.session_state["version"] == versions[0].short_hash


def test_a_row_of_a_filtered_list_that_a_link_carries_opens_its_version(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE, **{"versions.symbol": "EURUSD", "versions.verdict": "FAIL"})
    assert opened(click_row(app, 0)) == versions[2].short_hash


def test_filters_that_nothing_answers_to_say_so_and_can_be_cleared(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE, **{"versions.find": "nothing", "versions.tag": "tokyo"})
    assert "None of the 3 dataset versions matches these filters." in words(app)
    with pytest.raises(KeyError):
        app.get_by_key("data.versions")
    app.button(key="versions.clear").click().run()
    assert len(listed(app)) == 3


def test_note_and_tags_are_saved_read_back_and_found(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = open_page(PAGE)
    app.text_area(key="data.note").set_value("  Spread *doubles* at the roll. ")
    app.text_input(key="data.tags").set_value("reference, , Night shift,reference")
    app.button(key="data.note.save").click().run()
    assert not app.error
    stored = controller.version(versions[0])
    assert (stored.note, stored.tags) == ("Spread *doubles* at the roll.", ["reference", "Night shift"])
    assert f"Note and tags of {stored.short_hash} are saved." in words(app)
    assert "Spread *doubles* at the roll." in words(app)
    app.get_by_key("versions.tag").set_value("Night shift").run()
    assert listed(app) == [stored.short_hash]


def test_a_note_written_elsewhere_meanwhile_is_not_overwritten_unseen(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    controller.annotate_version(versions[0], note="from the other tab")
    app.text_area(key="data.note").set_value("from this tab")
    app.button(key="data.note.save").click().run()
    [error] = app.error
    assert "from the other tab" in error.value
    assert controller.version(versions[0]).note == "from the other tab"
    app.button(key="data.note.save").click().run()
    assert controller.version(versions[0]).note == "from this tab"


def test_deleting_asks_once_more_naming_the_version(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = open_page(PAGE, version=versions[2].short_hash)
    app.button(key="data.delete").click().run()
    assert f"Delete {versions[2].label}, made" in words(app)
    assert versions[2].short_hash in app.button(key="data.delete.yes").label
    app.button(key="data.delete.no").click().run()
    assert f"Delete {versions[2].label}" not in words(app)
    assert controller.versions() == versions


def test_a_deleted_version_is_gone_and_the_newest_is_opened(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = delete(click_row(open_page(PAGE), 2))
    assert not app.error
    assert not app.warning
    assert f"Dataset version {versions[2].short_hash} is deleted." in words(app)
    assert controller.versions() == versions[:2]
    assert not versions[2].folder.exists()
    assert opened(app) == versions[0].short_hash


def test_the_question_about_one_of_equal_versions_says_that_the_file_stays(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    controller.publish(versions[2].frame())
    app = open_page(PAGE, version=versions[2].short_hash)
    app.button(key="data.delete").click().run()
    assert "The file stays, as the same content was published 1 more time." in words(app)
    app.button(key="data.delete.yes").click().run()
    assert controller.versions() == versions
    assert len(versions[2].frame()) == 50


def test_after_the_last_version_the_page_leads_to_the_first_again(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    for version in versions[1:]:
        controller.delete_version(version, used_by=workbench.users_of)
    app = delete(open_page(PAGE))
    assert not app.exception
    assert not app.warning
    assert "No dataset yet" in words(app)
    assert "version" not in app.query_params


def test_a_version_that_a_run_was_made_on_is_kept_and_the_run_is_named(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    used(versions[0], "the_run")
    again = controller.publish(versions[0].frame())
    app = open_page(PAGE)
    assert opened(app) == again.short_hash
    app.button(key="data.delete").click().run()
    assert not app.exception
    [error] = app.error
    assert f"{again.label} is in use by run the_run" in error.value.replace("\\", "")
    assert "What to do" in error.value
    with pytest.raises(KeyError):
        app.button(key="data.delete.yes")
    manager.delete_run("the_run")
    assert not delete(app).error
    assert again not in controller.versions()


def test_a_run_stored_after_the_question_was_asked_keeps_the_version(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    app.button(key="data.delete").click().run()
    used(versions[0], "just_now")
    app.button(key="data.delete.yes").click().run()
    [error] = app.error
    assert "run just_now" in error.value.replace("\\", "")
    assert controller.versions() == versions
    assert opened(app) == versions[0].short_hash


def test_while_the_runs_cannot_be_read_no_version_is_deleted(
    open_page: OpenPage, versions: list[DatasetVersion], home: Path
) -> None:
    app = open_page(PAGE)
    app.button(key="data.delete").click().run()
    (home / "output_central" / "backtest_results.db").write_bytes(b"")
    app.button(key="data.delete.yes").click().run()
    assert not app.exception
    assert any("backtest_results.db" in error.value.replace("\\", "") for error in app.error)
    assert controller.versions() == versions
    assert versions[0].parquet_file.is_file()


def test_a_version_deleted_in_another_tab_is_told_when_it_is_deleted_again_and_at_the_next_look(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    app.button(key="data.delete").click().run()
    controller.delete_version(versions[0], used_by=workbench.users_of)
    app.button(key="data.delete.yes").click().run()
    assert not app.error
    assert f"Dataset version {versions[0].short_hash} was deleted already, in another tab or" in words(app)
    assert opened(app) == versions[1].short_hash
    controller.delete_version(versions[1], used_by=workbench.users_of)
    app.run()
    [warning] = app.warning
    assert f"There is no dataset version '{versions[1].short_hash}'. It was deleted" in warning.value.replace("\\", "")
    assert opened(app) == versions[2].short_hash
    assert not app.run().warning


def test_a_stale_page_never_deletes_the_version_that_took_over_an_id(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    app.button(key="data.delete").click().run()
    controller.delete_version(versions[0], used_by=workbench.users_of)
    successor = controller.publish(made_bars(3))
    assert successor.id == versions[0].id
    app.button(key="data.delete.yes").click().run()
    assert controller.versions() == [successor, *versions[1:]]


@pytest.mark.parametrize("left", [3, 0])
def test_a_link_to_a_deleted_version_says_so(left: int, open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    for version in versions[left:]:
        controller.delete_version(version, used_by=workbench.users_of)
    app = open_page(PAGE, version="deadbeef")
    assert not app.exception
    [warning] = app.warning
    assert "There is no dataset version 'deadbeef'. It was deleted" in warning.value.replace("\\", "")
    assert ("Shown is the newest dataset version." in warning.value) == bool(left)
    assert not app.run().warning


def test_the_form_of_a_backtest_tells_that_its_dataset_was_deleted_in_another_tab(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(workbench.BACKTESTING.file, dataset=versions[2].short_hash)
    assert not app.warning
    controller.delete_version(versions[2], used_by=workbench.users_of)
    app.run()
    assert not app.exception
    [warning] = app.warning
    assert f"There is no dataset '{versions[2].short_hash}'" in warning.value.replace("\\", "")
    assert app.session_state["dataset"] == versions[0].short_hash


# Load its settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[DataConfig]:
    """What the form asked for, each time it was drawn: what **Collect data** would collect."""
    configs: list[DataConfig] = []

    def noted(**values: Any) -> DataConfig:
        configs.append(DataConfig(**values))
        return configs[-1]

    monkeypatch.setattr("components.panels.collect.DataConfig", noted)
    return configs


@pytest.mark.parametrize(
    "made_with",
    [
        {**WHOLE, "timeframe": "D1"},
        {"start_date": "2017-06-01", "end_date": "2017-08-31", "preprocessing": {"engineer_features": True}},
        {
            "start_date": "2016-01-01",  # more than the sample holds
            "end_date": "2019-01-01",
            "timeframe": "H4",
            "preprocessing": {"normalize": True, "normalization_method": "minmax", "fill_missing": "backward"},
        },
        {**WHOLE, "resolution": "weekly", "preprocessing": {"normalize": True, "train_fraction": 0.29}},
    ],
)
def test_loaded_settings_of_the_sample_make_the_same_version_again(
    made_with: dict[str, Any], asked: list[DataConfig], open_page: OpenPage
) -> None:
    version = controller.prepare(DataConfig(**SAMPLE, **made_with))
    app = open_page(PAGE)
    app.get_by_key("data.source").select("File (CSV, Parquet)").run()
    app.button(key="data.load").click().run()
    assert not app.exception
    assert not app.error
    assert not app.warning
    assert f"The form holds the settings of {version.short_hash}." in words(app)
    assert str(app.get_by_key("data.timeframe").value) == version.timeframe
    assert controller.prepare(asked[-1]).content_hash == version.content_hash


def export(folder: Path) -> Path:
    """Hours whose commas may be decimal signs or thousands, and times of which nobody says in which zone they are."""
    times = pd.date_range("2024-03-04", periods=130, freq="h")
    rows = [f"{time:%d.%m.%Y %H:%M};1,100;1,400;1,000;1,{150 + row}" for row, time in enumerate(times)]
    file = folder / "my export.csv"
    file.write_text("\n".join(["Zeit;Auf;Hoch;Tief;Zu", *rows]), encoding="utf-8")
    return file


SAID: dict[str, Any] = {
    "timezone": "Asia/Kolkata",
    "columns": {"time": 0, "open": 1, "high": 2, "low": 3, "close": 4},
    "delimiter": ";",
    "decimal": ".",  # the commas are thousands, which nobody would guess
    "time_format": "%d.%m.%Y %H:%M",
}


def asked_of(file: Path, **more: Any) -> DataConfig:
    return DataConfig(**{"data_sources": ["CSV"], "symbols": ["GBPUSD"], "files": [file], **SAID, **more})


def test_loaded_settings_of_a_file_wait_for_it_and_make_the_same_version_again(
    open_page: OpenPage, asked: list[DataConfig], tmp_path: Path
) -> None:
    file = export(tmp_path)
    version = controller.prepare(asked_of(file, preprocessing={"engineer_features": False, "normalize": True}))
    app = open_page(PAGE)
    app.button(key="data.load").click().run()
    assert f"Upload {file} again: the form then holds the settings of {version.short_hash}." in words(app)
    assert app.get_by_key("data.source").value == "File (CSV, Parquet)"
    assert f"Upload {file.name}: it is then read as for {version.short_hash}." in words(app)
    app.file_uploader[0].set_value((file.name, file.read_bytes(), "text/csv")).run()
    assert not app.exception
    assert not app.error
    assert not app.warning
    assert asked[-1].files != [file]
    assert {name: getattr(asked[-1], name) for name in SAID} == SAID
    assert controller.prepare(asked[-1]).content_hash == version.content_hash


def test_settings_of_one_file_are_not_applied_to_another(
    open_page: OpenPage, asked: list[DataConfig], tmp_path: Path
) -> None:
    file = export(tmp_path)
    version = controller.prepare(asked_of(file))
    app = open_page(PAGE)
    app.button(key="data.load").click().run()
    app.file_uploader[0].set_value(("USDCHF.csv", file.read_bytes(), "text/csv")).run()
    assert f"The settings of {version.short_hash} are for {file.name}; this file is read afresh." in words(app)
    assert app.get_by_key("data.symbol.USDCHF.csv").value == "USDCHF"
    assert [config for config in asked if config.files] == []  # nobody said what its times mean


def test_what_the_form_cannot_ask_of_a_file_is_told(open_page: OpenPage, tmp_path: Path) -> None:
    controller.prepare(asked_of(export(tmp_path), timeframe="H4", start_date="2024-03-05"))
    app = open_page(PAGE)
    app.button(key="data.load").click().run()
    assert not app.error
    assert "The form reads a whole file at its own timeframe; this version is H4 from 2024-03-05 to" in words(app)


def published_in_python(_folder: Path) -> None:
    controller.publish(made_bars(1))


def asked_from_noon(_folder: Path) -> None:
    controller.prepare(DataConfig(**SAMPLE, start_date="2017-06-01 12:00", end_date="2017-07-01"))


def fitted_on_an_odd_part(_folder: Path) -> None:
    controller.prepare(DataConfig(**SAMPLE, **WHOLE, preprocessing={"train_fraction": 0.705}))


def made_of_two_files(folder: Path) -> None:
    one = export(folder)
    other = folder / "other.csv"
    other.write_text(one.read_text(encoding="utf-8").replace(".2024", ".2023"), encoding="utf-8")
    controller.prepare(asked_of(one, files=[one, other]))


def made_of_two_symbols(folder: Path) -> None:
    file = export(folder)
    controller.prepare(asked_of(file, files=[file, file], symbols=["GBPUSD", "EURUSD"]))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (published_in_python, "was published from a frame in Python; nothing says where its bars came from."),
        (asked_from_noon, "from 2017-06-01 12:00 to 2017-07-02 00:00 UTC; the form takes whole days."),
        (fitted_on_an_odd_part, "was fitted on 70.5 % of its rows; the form takes whole per cents from 10 on."),
        (made_of_two_files, "was made of 2 files ("),
        (made_of_two_symbols, "was made of 2 symbols (GBPUSD, EURUSD); the form takes one."),
    ],
)
def test_settings_that_the_form_cannot_hold_are_told_and_the_form_stays(
    make: Callable[[Path], None], sentence: str, open_page: OpenPage, tmp_path: Path
) -> None:
    make(tmp_path)
    app = open_page(PAGE)
    app.get_by_key("data.timeframe").select("W1").run()
    app.button(key="data.load").click().run()
    assert not app.exception
    [error] = app.error
    assert sentence in error.value.replace("\\", "")
    assert "What to do" in error.value
    assert str(app.get_by_key("data.timeframe").value) == "W1"


def test_a_source_that_the_form_does_not_offer_is_told(
    open_page: OpenPage, versions: list[DatasetVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = controller.collection_of(versions[1])
    assert row is not None
    monkeypatch.setattr(controller, "collection_of", lambda version: {**row, "sources": ["Elsewhere"]})
    app = open_page(PAGE)
    app.button(key="data.load").click().run()
    [error] = app.error
    assert "was collected from Elsewhere, which the form does not offer." in error.value.replace("\\", "")


def test_formulas_that_have_changed_since_are_told(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(data.pipeline_controller, "CODE_VERSION", 0)
        controller.prepare(workbench.sample_config())
    app = open_page(PAGE)
    app.button(key="data.load").click().run()
    assert not app.error
    assert "The formulas of the added columns have changed since" in words(app)
