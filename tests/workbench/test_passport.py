"""The passport of a dataset version: opened, pinned, compared, deleted; and what it says when it cannot say all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from seen import words
from streamlit.testing.v1 import AppTest

import workbench
from data.collecting import bar_store
from data.pipeline_controller import DatasetVersion, controller

OpenPage = Callable[..., AppTest]
PAGE = workbench.DATASET.file


def made_bars(seed: int, symbol: str = "EURUSD", rows: int = 240) -> pd.DataFrame:
    """Hourly bars that wander; they begin on a Monday and go over the weekend as no FX bars do."""
    close = 1.1 * np.exp(np.random.default_rng(seed).normal(0, 0.001, rows).cumsum())
    index = pd.date_range("2024-01-08", periods=rows, freq="h", tz="UTC", name="time")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close), index=index)
    return frame.assign(volume=1.0, symbol=symbol, source="made")


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def table_with(app: AppTest, column: str) -> pd.DataFrame:
    """The one table with that column."""
    [table] = [each.value for each in app.dataframe if column in each.value]
    assert isinstance(table, pd.DataFrame)
    return table


def told(app: AppTest) -> dict[str, tuple[str, str]]:
    return {row.What: (row.Change, row.Detail) for row in table_with(app, "What").itertuples()}


@pytest.fixture
def versions() -> list[DatasetVersion]:
    """Newest first: checked EURUSD that lacks 12 bars of a Wednesday, and all of it unchecked."""
    whole = made_bars(1)
    lacking = whole.drop(whole.index[50:62])
    controller.publish(whole)
    _, validation_id = controller.validate(lacking)
    controller.publish(lacking, validation_id=validation_id)
    return controller.versions()


def test_the_passport_of_the_sample_shows_origin_verdict_and_use(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    assert not app.exception
    shown = metrics(app)
    assert (shown["Bars"], shown["Coverage"], shown["Gaps"]) == ("5\u202f000", "100.00 %", "0 bars")
    assert (shown["Spikes > 10 ATR"], shown["Disagreements"]) == ("0", "–")
    said = words(app)
    for expected in ("sample data", "**Collection 1**", "+11 columns", "fitted on the first 70 %", "15 of 15 rules"):
        assert expected in said
    assert "Used by" in said
    assert "There is no other version to compare with." in said


def test_gaps_are_listed_with_their_move(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = open_page(PAGE)
    gaps = app.get_by_key("passport.gaps").value
    assert (gaps["From"][0], gaps["Bars"][0], gaps["State"][0]) == ("2024-01-10 02:00", 12, "open")
    assert metrics(app)["Gaps"] == "12 bars"
    assert "48 bars around 2024-01-10 02:00 UTC" in words(app)


def test_kind_coverage_and_the_other_version_live_in_the_address(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    newest, oldest = (version.short_hash for version in versions)
    app = open_page(PAGE, version=oldest, against=newest, coverage="time", finding="gaps")
    assert not app.exception
    assert dict(app.query_params) | {"version": oldest, "against": newest, "coverage": "time"} == dict(app.query_params)
    app.get_by_key("coverage").set_value("weekday").run()
    assert app.query_params["coverage"] == "weekday"


def test_the_difference_tells_rows_figures_columns_and_settings(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    newest, oldest = versions
    app = open_page(PAGE)
    assert app.query_params["against"] == oldest.short_hash
    rows = told(app)
    assert (rows["Rows added"][0], rows["Rows removed"][0], rows["Rows changed"][0]) == ("0", "12", "0")
    assert rows["verdict"] == ("differs", f"not checked → {newest.verdict}")
    removed = table_with(app, "Time, UTC")
    assert (removed["Time, UTC"][0], len(removed)) == ("2024-01-10 02:00", 12)


def test_opening_the_version_compared_with_compares_with_another_one(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    newest, oldest = versions
    app = open_page(PAGE, against=oldest.short_hash)
    app.get_by_key("version").select(oldest.short_hash).run()
    assert not app.exception
    assert not app.warning
    assert app.query_params["against"] == newest.short_hash
    assert told(app)["Rows added"][0] == "12"


def test_an_unchecked_version_claims_no_spikes(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = open_page(PAGE, version=versions[1].short_hash)
    assert metrics(app)["Spikes"] == "–"
    assert "Published unchecked: only gaps are known." in words(app)
    assert "published from a frame" in words(app)


def test_a_pinned_version_wears_a_badge_and_refuses_to_be_deleted(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    app = open_page(PAGE)
    app.button(key="passport.pin").click().run()
    assert "is pinned: it cannot be deleted." in words(app)
    assert ":blue-badge[pinned]" in words(app)
    app.button(key="passport.delete").click().run()
    assert "was pinned on" in words(app)
    assert len(controller.versions()) == 2
    app.button(key="passport.pin").click().run()
    app.button(key="passport.delete").click().run()
    app.button(key="passport.delete.yes").click().run()
    assert [version.id for version in controller.versions()] == [versions[1].id]
    assert app.query_params["version"] == versions[1].short_hash
    assert not app.exception


def test_a_version_that_a_run_uses_is_not_deleted(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    app.button(key="passport.delete").click().run()
    [error] = app.error
    assert f"is in use by run {sample_run}" in error.value.replace("\\", "")
    assert len(controller.versions()) == 1


def test_a_link_to_a_deleted_version_is_told(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = open_page(PAGE, version="0123abcd")
    assert "There is no dataset version '0123abcd'." in words(app)
    assert app.query_params["version"] == versions[0].short_hash


def test_one_symbol_of_several_is_measured_and_can_be_chosen(open_page: OpenPage) -> None:
    version = controller.publish(pd.concat([made_bars(1), made_bars(2, "USDJPY", rows=200)]))
    app = open_page(PAGE, version=version.short_hash, symbol="USDJPY")
    assert "1 pip is 0.01 of the price." in words(app)
    app.get_by_key("symbol").select("EURUSD").run()
    assert not app.exception
    assert "1 pip is 0.0001 of the price." in words(app)
    assert app.query_params["symbol"] == "EURUSD"


def test_what_a_source_told_differently_later_is_shown(open_page: OpenPage, sample_run: str) -> None:
    [version] = controller.versions()
    bars = version.bars("EURUSD").iloc[100:103][["open", "high", "low", "close", "volume"]]
    bar_store.add("EURUSD", "H1", "Sample", bars)
    bar_store.add("EURUSD", "H1", "Sample", bars.assign(volume=bars["volume"] + 1))
    bar_store.add("EURUSD", "H1", "Elsewhere", bars)
    bar_store.add("EURUSD", "H1", "Elsewhere", bars.assign(volume=bars["volume"] + 1))
    app = open_page(PAGE, finding="revised")
    assert not app.exception
    revised = app.get_by_key("passport.revised").value
    assert list(revised["Source"]) == ["Sample"] * 3
    assert list(revised["Offered"] - revised["Kept"]) == [1.0] * 3


def test_a_version_that_looks_ahead_wears_a_badge(open_page: OpenPage) -> None:
    holes = made_bars(1)
    holes.loc[holes.index[3], ["open", "high", "low", "close"]] = np.nan
    frame, preprocessing_id = controller.preprocess(holes, None, {"fill_missing": "backward"})
    controller.publish(frame, preprocessing_id=preprocessing_id)
    assert ":red-badge[looks ahead]" in words(open_page(PAGE))


def test_a_missing_file_is_a_red_box_and_the_version_can_still_be_chosen(
    open_page: OpenPage, versions: list[DatasetVersion]
) -> None:
    versions[0].parquet_file.unlink()
    app = open_page(PAGE)
    assert not app.exception
    assert "cannot be read" in words(app)
    app.get_by_key("version").select(versions[1].short_hash).run()
    assert metrics(app)["Bars"] == "240"


def test_where_runs_cannot_be_read_the_rest_of_the_passport_stands(
    open_page: OpenPage, sample_run: str, home: Path
) -> None:
    file = home / "output_central" / "backtest_results.db"
    file.unlink()
    file.write_bytes(b"")
    app = open_page(PAGE)
    assert not app.exception
    assert app.error
    assert metrics(app)["Coverage"] == "100.00 %"
    assert "Not used yet" not in words(app)


def test_a_version_can_be_opened_from_the_data_pipeline(open_page: OpenPage, versions: list[DatasetVersion]) -> None:
    app = open_page(workbench.DATA_PIPELINE.file)
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    assert links["Open passport"].query_string == f"version={versions[0].short_hash}"
