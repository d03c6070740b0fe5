"""The Collect form of live sources and zips, what is kept up to date, and how a collection in part is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from loopback.base import FOR_EVER, Sickness
from loopback.histdata import HistDataServer
from loopback.yahoo import YahooServer
from seen import words
from streamlit.testing.v1 import AppTest

import workbench
from components.panels.schedules import cron_words
from core.clock import utc_now
from core.errors import DataRequestError
from core.jobs import Job, JobStatus
from core.schedules import add_schedule, enable_schedule, fire_due, schedules
from data.collecting import bar_store, refuse_unreachable
from data.config import DataConfig, up_to_now
from data.jobs import collection_arguments
from data.pipeline_controller import DatasetVersion, controller

OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]
TODAY = utc_now().date()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    monkeypatch.setenv("SEQUENCE_SOURCES__ATTEMPTS", "2")


def hours(days: int = 20, **more: object) -> DataConfig:
    """The last days of EURUSD from Yahoo Finance."""
    asked = {"data_sources": ["YFinance"], "symbols": ["EURUSD"], "timeframe": "H1"}
    return DataConfig(**{**asked, "start_date": TODAY - timedelta(days=days), "end_date": TODAY, **more})


def the_form(open_page: OpenPage, source: str = "Yahoo Finance") -> AppTest:
    app = open_page(workbench.DATA_PIPELINE.file)
    return app.get_by_key("data.source").select(source).run()


def collected(app: AppTest, work_through: WorkThrough) -> DatasetVersion:
    app.button(key="data.collect").click().run()
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED, job.failure
    app.run()
    assert not app.exception
    assert not app.error
    return controller.versions()[0]


# The form


def test_hours_are_collected_from_yahoo(
    open_page: OpenPage, work_through: WorkThrough, yahoo_server: YahooServer
) -> None:
    app = the_form(open_page)
    app.get_by_key("data.live.from").set_value(TODAY - timedelta(days=20)).run()
    app.get_by_key("data.live.symbols").set_value(["EURUSD", "USDJPY"]).run()
    version = collected(app, work_through)
    assert (version.symbols, version.timeframe) == (["EURUSD", "USDJPY"], "H1")
    assert version.short_hash in [metric.value for metric in app.metric]
    assert "Collected in part" not in [warning.proto.title for warning in app.warning]
    # The mark of the embedded sample stands on nothing else.
    assert "sample data" not in words(app)


def test_a_range_out_of_reach_is_told_below_the_form_and_can_be_put_right(
    open_page: OpenPage, yahoo_server: YahooServer
) -> None:
    app = the_form(open_page)
    app.get_by_key("data.live.timeframe").select("M5").run()
    assert "has M5 bars of the last 60 days only" in words(app)
    assert app.button(key="data.collect.not_yet").disabled
    assert [each for each in app.button if each.key == "data.collect"] == []
    app.button(key="data.live.begin").click().run()
    assert "only" not in words(app)
    assert not app.button(key="data.collect").disabled
    assert app.get_by_key("data.live.from").value >= TODAY - timedelta(days=60)
    assert yahoo_server.requests == []


def test_what_is_no_symbol_is_told_below_the_form(open_page: OpenPage) -> None:
    app = the_form(open_page)
    app.get_by_key("data.live.symbols").set_value(["EUR USD?"]).run()
    assert not app.exception
    assert "is no symbol" in words(app)
    assert app.button(key="data.collect.not_yet").disabled


def test_without_a_symbol_nothing_can_be_collected(open_page: OpenPage) -> None:
    app = the_form(open_page, "HistData")
    app.get_by_key("data.live.symbols").set_value([]).run()
    assert not app.exception
    assert "Name at least one symbol." in words(app)
    assert app.button(key="data.collect.not_yet").disabled


def test_the_form_says_since_when_histdata_has_a_pair(open_page: OpenPage) -> None:
    app = the_form(open_page, "HistData")
    app.get_by_key("data.live.symbols").set_value(["EURUSD", "XAUUSD"]).run()
    assert "EURUSD since 2000-05, XAUUSD since 2009-03." in words(app)


def test_what_news_cost_in_time_is_told_before_they_are_collected(open_page: OpenPage) -> None:
    app = the_form(open_page)
    app.get_by_key("data.live.from").set_value(TODAY - timedelta(days=69))
    app.get_by_key("data.live.news").check().run()
    # Ten weeks of two currencies, two requests each: 40 times 5.5 s.
    assert "Tone of EUR, USD takes 40 requests" in words(app)
    assert "one in 5.5 s: 3 min 40 s" in words(app)
    app.get_by_key("data.live.countries").set_value(["EU", "US"]).run()
    app.button(key="data.collect").click().run()
    [job] = workbench.JOBS.recent(5)
    config = job.arguments["config"]
    assert (config["data_sources"], config["countries"]) == (["YFinance", "GDELT"], ["EU", "US"])


def test_groups_of_features_and_their_lags_are_asked_for(
    open_page: OpenPage, work_through: WorkThrough, yahoo_server: YahooServer
) -> None:
    app = the_form(open_page)
    app.get_by_key("data.live.from").set_value(TODAY - timedelta(days=20))
    app.get_by_key("data.features").set_value(["rsi", "lags"]).run()
    app.get_by_key("data.lags").set_value("1, 3").run()
    app.get_by_key("data.normalise").set_value("none").run()
    version = collected(app, work_through)
    added = [name for name in version.columns if name not in {"symbol", "source"}][5:]
    assert added == ["rsi_14", "return_1_lag_1", "return_1_lag_3"]


def test_lags_that_are_no_numbers_are_told(open_page: OpenPage) -> None:
    app = the_form(open_page)
    app.get_by_key("data.features").set_value(["lags"]).run()
    app.get_by_key("data.lags").set_value("a few").run()
    assert "Lags 'a few' are no numbers of bars. Write them as 1, 2, 5." in words(app)
    assert app.button(key="data.collect.not_yet").disabled


# In part


def test_a_collection_in_part_says_what_is_missing_why_and_what_to_do(
    open_page: OpenPage, yahoo_server: YahooServer
) -> None:
    controller.prepare(hours(symbols=["EURUSD", "NOSUCH"]))
    app = open_page(workbench.DATA_PIPELINE.file)
    [box] = [warning for warning in app.warning if warning.proto.title == "Collected in part"]
    assert "YFinance, NOSUCH" in box.value.replace("\\", "")
    assert "What to do" in box.value


def test_a_vendor_that_is_down_is_a_failure_with_a_retry(
    open_page: OpenPage, work_through: WorkThrough, yahoo_server: YahooServer
) -> None:
    yahoo_server.fall_sick(Sickness.BROKEN, FOR_EVER)
    app = the_form(open_page)
    app.button(key="data.collect").click().run()
    [job] = work_through()
    assert job.status is JobStatus.FAILED
    app.run()
    [error] = app.error
    assert "Yahoo Finance" in error.value
    assert controller.versions() == []
    yahoo_server.fall_sick(Sickness.BROKEN, times=0)
    app.button(key="data.collect.retry").click().run()
    work_through()
    app.run()
    assert not app.error
    assert [version.timeframe for version in controller.versions()] == ["H1"]


# Zips


def test_a_folder_of_zips_is_listed_and_collected(
    open_page: OpenPage, work_through: WorkThrough, tmp_path: Path
) -> None:
    folder = tmp_path / "zips"
    folder.mkdir()
    with HistDataServer() as vendor:
        vendor.every = 60
        for pair in ("EURUSD", "XAUUSD"):
            (folder / f"HISTDATA_COM_ASCII_{pair}_M1202401.zip").write_bytes(vendor.zip_of(pair, "202401"))
    (folder / "photos.zip").write_bytes(b"no zip")
    app = the_form(open_page, "HistData zips on disk")
    app.get_by_key("data.zips.from").set_value("Folder here").run()
    app.get_by_key("data.zips.folder.0").set_value(str(folder)).run()
    [listed] = [table.value for table in app.dataframe if "Pair" in table.value]
    assert list(listed["Pair"]) == ["EURUSD", "XAUUSD", "–"]
    assert "photos.zip is damaged" in words(app)
    version = collected(app, work_through)
    assert (version.symbols, version.timeframe) == (["EURUSD", "XAUUSD"], "M1")
    assert [warning.proto.title for warning in app.warning] == ["Collected in part"]
    assert "nothing is stored yet" not in words(app)
    assert len(list(folder.iterdir())) == 3  # files of the user's own stay


def test_a_folder_that_is_not_there_is_told(open_page: OpenPage) -> None:
    app = the_form(open_page, "HistData zips on disk")
    app.get_by_key("data.zips.from").set_value("Folder here").run()
    app.get_by_key("data.zips.folder.0").set_value("/no/such/folder").run()
    assert "/no/such/folder is no folder on this machine." in words(app)
    assert app.button(key="data.collect.not_yet").disabled


# Load its settings


@pytest.mark.parametrize(
    "made_with",
    [
        {},
        {"symbols": ["USDJPY", "GBPUSD"], "timeframe": "H4", "preprocessing": {"normalize": True, "fit_on": "all"}},
        {"preprocessing": {"features": ["averages", "lags"], "lags": [2], "lag_columns": ["sma_10", "close"]}},
    ],
)
def test_loaded_settings_of_a_live_version_make_it_again_without_asking(
    made_with: dict[str, object], open_page: OpenPage, work_through: WorkThrough, yahoo_server: YahooServer
) -> None:
    version = controller.prepare(hours(end_date=TODAY - timedelta(days=4), **made_with))
    asked = len(yahoo_server.questions)
    app = open_page(workbench.DATA_PIPELINE.file)
    app.button(key="data.load").click().run()
    assert f"The form holds the settings of {version.short_hash}." in words(app)
    assert app.get_by_key("data.source").value == "Yahoo Finance"
    assert collected(app, work_through).content_hash == version.content_hash
    assert len(yahoo_server.questions) == asked


def test_loaded_settings_of_an_open_end_say_where_the_form_ends(open_page: OpenPage, yahoo_server: YahooServer) -> None:
    version = controller.prepare(up_to_now(hours()))
    app = open_page(workbench.DATA_PIPELINE.file)
    app.button(key="data.load").click().run()
    assert f"Its end was open; the form ends on {version.last_time[:10]}" in words(app)
    assert app.get_by_key("data.live.to").value == date.fromisoformat(version.last_time[:10])


# Keep up to date


def test_a_collection_is_kept_up_to_date_once(open_page: OpenPage) -> None:
    app = the_form(open_page)
    app.get_by_key("schedules.rhythm").set_value("Daily").run()
    for _ in range(2):
        app.button(key="schedules.add.do").click().run()
    assert not app.exception
    [schedule] = schedules()
    assert (schedule.kind, schedule.cron, schedule.enabled) == ("collect", "5 22 * * *", 1)
    assert "This is kept up to date daily at 22:05 UTC already." in words(app)
    assert DataConfig(**schedule.arguments["config"]).end_date is None


def test_a_cron_that_cannot_be_used_is_told_beside_it(open_page: OpenPage) -> None:
    app = the_form(open_page)
    app.get_by_key("schedules.rhythm").set_value("Own cron").run()
    app.get_by_key("schedules.cron").set_value("5 22 * *").run()
    assert not app.exception
    assert "cannot be used" in words(app)
    assert [each for each in app.button if each.key == "schedules.add.do"] == []


@pytest.mark.parametrize("source", ["Sample (embedded)", "File (CSV, Parquet)", "HistData zips on disk"])
def test_what_cannot_grow_is_not_kept_up_to_date(source: str, open_page: OpenPage) -> None:
    app = the_form(open_page, source)
    assert [each for each in app.button if str(each.key).startswith("schedules")] == []


def test_what_is_kept_up_to_date_reaches_to_the_moment_it_runs(
    work_through: WorkThrough, yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = hours(days=28, timeframe="M5", end_date=TODAY - timedelta(days=5))
    controller.prepare(config)
    schedule = add_schedule(
        workbench.JOBS, "data", "collect", collection_arguments(up_to_now(config)), title="EURUSD", cron="5 * * * *"
    )
    later = utc_now() + timedelta(days=40)
    yahoo_server.now = later
    for module in ("data.config", "data.bar_store", "data.sources.yahoo"):
        monkeypatch.setattr(f"{module}.utc_now", lambda: later)
    assert fire_due(workbench.JOBS, later) == 1
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED, job.failure
    version = controller.versions()[0]
    # Its beginning is out of reach by now, was answered before, and is there.
    assert version.first_time[:10] <= (TODAY - timedelta(days=24)).isoformat()
    assert pd.Timestamp(version.last_time) > pd.Timestamp(later) - pd.Timedelta(days=4)
    assert schedules()[0].last_fired_at is not None
    assert schedules()[0].id == schedule.id


def test_a_beginning_out_of_reach_is_refused_where_it_was_never_answered(yahoo_server: YahooServer) -> None:
    with pytest.raises(DataRequestError, match="60 days"):
        refuse_unreachable(hours(days=90, timeframe="M5"))
    assert bar_store.held().empty
    assert yahoo_server.requests == []


def test_an_end_may_be_left_out_of_live_collections_only() -> None:
    assert abs(up_to_now(hours()).end - pd.Timestamp(utc_now())) < pd.Timedelta(minutes=1)
    with pytest.raises(DataRequestError, match="end_date"):
        DataConfig(data_sources=["Sample"], symbols=["EURUSD"], start_date="2017-05-01")


# The Jobs page


@pytest.fixture
def kept() -> str:
    """The title of a schedule there is."""
    arguments = collection_arguments(up_to_now(hours()))
    return add_schedule(workbench.JOBS, "data", "collect", arguments, title="Euro hours", cron="5 22 * * mon-fri").title


def select_first(app: AppTest) -> AppTest:
    app.session_state["schedules.table"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    return app.run()


def test_the_jobs_page_lists_what_is_kept_up_to_date(open_page: OpenPage, kept: str) -> None:
    app = open_page(workbench.JOBS_PAGE.file)
    assert not app.exception
    [row] = app.get_by_key("schedules.table").value.to_dict("records")
    assert (row["What"], row["When"], row["State"], row["Missed"]) == (kept, "weekdays at 22:05 UTC", "on", "0")
    assert row["Next, UTC"].endswith("22:05")
    assert app.button(key="schedules.switch").disabled


def test_a_schedule_is_switched_off_and_on(open_page: OpenPage, kept: str) -> None:
    app = select_first(open_page(workbench.JOBS_PAGE.file))
    app.button(key="schedules.switch").click().run()
    assert [each.enabled for each in schedules()] == [0]
    assert f"{kept}: switched off." in words(app)
    select_first(app).button(key="schedules.switch").click().run()
    assert [each.enabled for each in schedules()] == [1]


def test_a_schedule_is_deleted_only_after_it_was_asked_twice(open_page: OpenPage, kept: str) -> None:
    app = select_first(open_page(workbench.JOBS_PAGE.file))
    app.button(key="schedules.delete").click().run()
    assert f"Delete “{kept}”, weekdays at 22:05 UTC?" in words(app)
    assert len(schedules()) == 1
    select_first(app).button(key="schedules.delete.yes").click().run()
    assert schedules() == []
    assert f"{kept}, weekdays at 22:05 UTC, is deleted." in words(app)


def test_a_schedule_switched_off_elsewhere_is_shown_as_it_is(open_page: OpenPage, kept: str) -> None:
    enable_schedule(schedules()[0].id, False)
    app = open_page(workbench.JOBS_PAGE.file)
    [row] = app.get_by_key("schedules.table").value.to_dict("records")
    assert (row["State"], row["Next, UTC"]) == ("off", "–")


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("5 * * * *", "every hour at :05"),
        ("5 22 * * *", "daily at 22:05 UTC"),
        ("30 6 * * mon-fri", "weekdays at 06:30 UTC"),
        ("*/5 22 * * *", "*/5 22 * * * (UTC)"),
        ("5 22 1 * *", "5 22 1 * * (UTC)"),
    ],
)
def test_a_cron_is_told_in_words(cron: str, said: str) -> None:
    assert cron_words(cron) == said
