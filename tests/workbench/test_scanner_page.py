"""The page Scanner: from the first step over ranked setups and why-not to the outcome study; failures as failures."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from seen import table_with, words
from streamlit.testing.v1 import AppTest

import workbench
from core.jobs import Job, JobStatus
from core.settings import output_folder
from data.bar_store import BarStore
from data.pipeline_controller import controller
from data.sources.sample import SampleSource
from market.timeframes import Timeframe
from scanner.jobs import rank_arguments, scan_arguments
from scanner.store import list_ranks, list_scans, list_setups

OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]
PAGE = workbench.SCANNER.file


def bars() -> pd.DataFrame:
    first, end = pd.Timestamp("2017-04-01", tz="UTC"), pd.Timestamp("2018-02-08", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end)


def keep(symbol: str, share: float = 1.0, count: int | None = None) -> None:
    made = bars()[-(count or 0) :]
    prices = ["open", "high", "low", "close"]
    BarStore().add(symbol, Timeframe.H1, "Made", made.assign(**{name: made[name] * share for name in prices}))


@pytest.fixture
def scanned(sample_run: str, work_through: WorkThrough) -> str:
    """The sample's dataset is scanned on H1 and longer; the key of its hourly series."""
    version = controller.versions()[0]
    workbench.JOBS.submit("scan", "scan", scan_arguments(None, ["H1", "H4", "D1"], versions=[version]), "Scan")
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED
    return f"EURUSD-H1-{version.short_hash}"


def test_before_the_first_bars_the_page_says_how_to_begin(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert "Collect bars, or let the sample workflow" in words(app)
    assert not app.button
    assert not app.exception


def test_scan_now_scans_what_was_asked_and_shows_it(
    open_page: OpenPage, sample_run: str, work_through: WorkThrough
) -> None:
    app = open_page(PAGE)
    assert "Press **Scan now**" in words(app)
    app.get_by_key("scanner.source").select("Datasets").run()
    app.button(key="scanner.scan").click().run()
    assert app.button(key="scanner.scan.busy").disabled
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED
    app.run()
    assert not app.exception
    assert not app.error
    assert set(list_scans()["timeframe"]) == {"H1", "H4", "D1"}  # the settings' M15 is shorter than the bars
    setups = list_setups()
    assert len(table_with(app, "Score", "Parts")) == len(setups)
    assert "known at the slider's bar" in words(app)


def test_the_best_setup_is_open_and_its_score_is_the_sum_of_its_parts(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE)
    best = list_setups().iloc[0]
    parts = table_with(app, "Part", "Adds")
    assert parts["Part"].iloc[-1] == "Sum"
    assert parts["Adds"].iloc[:-1].sum() == pytest.approx(best["score"])
    assert parts["Adds"].iloc[-1] == best["score"]
    shown = table_with(app, "Score", "Parts").iloc[0]
    assert (shown["Entry"], shown["Side"]) == (
        f"{best['entry']:.5f}",
        {"bullish": "long", "bearish": "short"}[best["direction"]],
    )
    closes = bars()["close"]
    assert shown["Age"] == (closes.index > best["known_at"]).sum()
    assert shown["Pips"] == pytest.approx(abs(closes.iloc[-1] - best["entry"]) / 0.0001)


def test_a_click_opens_another_setup_and_filters_keep_what_answers(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE)
    setups = list_setups()
    assert len(setups) > 1
    app.session_state["scanner.setups"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    app.run()
    assert app.session_state["setup"] == str(setups["id"].iloc[1])
    highest = float(setups["score"].max())
    app.get_by_key("score").set_value(highest).run()
    assert len(table_with(app, "Score", "Parts")) == (setups["score"] >= highest).sum()
    app.get_by_key("score").set_value(100.0).run()
    assert "None of the" in words(app)
    app.button(key="setups.clear").click().run()
    assert len(table_with(app, "Score", "Parts")) == len(setups)


def test_the_slider_takes_back_what_was_not_yet_known(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, series=scanned)
    [slider] = app.slider
    last = slider.value
    before = words(app)
    app.button(key="scanner.chevron_left").click().run()
    assert app.slider[0].value < last
    assert f"At the close of {app.slider[0].value:%Y-%m-%d %H:%M} UTC" in words(app)
    app.button(key="scanner.last_page").click().run()
    assert app.slider[0].value == last
    assert words(app) == before


def test_a_link_opens_the_series_the_view_and_the_moment(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, series=scanned.replace("-H1-", "-H4-"), at="2018-01-26T10:00")
    assert not app.exception
    assert "At the close of 2018-01-26 10:00 UTC" in words(app)
    assert "EURUSD H4, patterns known" in words(app)
    gone = open_page(PAGE, series="XAUUSD-H1", at="no time", setup="99999")
    assert not gone.exception
    assert "'XAUUSD-H1'" in words(gone)
    assert "There is no setup '99999'" in words(gone)


def test_rewrites_are_counted_on_a_click(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, series=scanned.replace("-H1-", "-H4-"))
    app.button(key="scanner.rewrites").click().run()
    assert not app.exception
    assert "0 rewrites / 200 prefixes" in words(app)


def test_why_not_names_rule_value_and_threshold(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, view="Why not")
    short = list_setups(setups_only=False)
    short = short[short["is_setup"] == 0]
    table = table_with(app, "Rule", "Value", "Needs")
    assert len(table) == len(short)
    score = table[(table["Rule"] == "score") & (table["Missed"] == 1)].iloc[0]
    assert (score["Needs"], score["Value"]) == ("≥ 4.00", f"{score['Score']:.2f}")
    assert "below 4" in score["In words"]
    app.session_state["scanner.why_not"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()
    assert "What it fell short of" in words(app)
    app.get_by_key("scanner.rule").select("minimum_risk_reward").run()
    assert set(table_with(app, "Rule", "Value", "Needs")["Rule"]) == {"risk-reward"}


def test_timeframes_stand_side_by_side_at_one_moment(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, series=scanned, view="Timeframes", at="2018-02-02T13:00")
    table = table_with(app, "Timeframe", "Structure")
    assert list(table["Timeframe"]) == ["H1", "H4", "D1"]
    said = words(app)
    assert "closed bars to 2018-02-02 13:00" in said  # the hour that ends at 14:00
    assert "closed bars to 2018-02-02 10:00" in said  # of four hours, those that end at 14:00
    assert "closed bars to 2018-01-31 22:00" in said  # the day before: this one is still forming


def test_an_outcome_study_says_what_patterns_were_worth(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, series=scanned, view="Outcome study")
    app.get_by_key("scanner.study.what").select("Swings").run()
    app.button(key="scanner.study.run").click().run()
    assert not app.exception
    assert not app.error
    summary = table_with(app, "Entered", "Pips").set_index("Entered")["Pips"]
    # A swing low is only known ten bars later: bought at the low it pretends a profit that nobody can have.
    assert summary["pretended, at the extreme"] > 10
    assert summary["known at the close"] < 3
    assert "entries" in words(app)
    assert set(table_with(app, "Session", "Pretended")["Session"]) == {"Asia", "London", "New York", "outside"}
    app.get_by_key("scanner.study.horizon").set_value(5).run()
    assert "**Run study**" in words(app)  # the answer above was to another question


def test_metrics_and_alerts_count_what_the_store_holds(open_page: OpenPage, scanned: str) -> None:
    app = open_page(PAGE, view="Metrics")
    figures = {each.label: each.value for each in app.metric}
    scans = list_scans()
    assert figures["Series"] == "3"
    assert figures["Bars"].replace("\u202f", "") == str(scans["bars"].sum())
    assert figures["Findings"].replace("\u202f", "") == str(scans["findings"].sum())
    alerts = open_page(PAGE, view="Alerts")
    assert len(table_with(alerts, "Known, UTC", "Entered, UTC")) == len(list_setups())


def test_a_dozen_symbols_are_scanned_and_ranked_and_a_broken_one_is_told(
    open_page: OpenPage, work_through: WorkThrough
) -> None:
    names = [
        "EURUSD",
        "GBPUSD",
        "AUDUSD",
        "NZDUSD",
        "USDCHF",
        "USDCAD",
        "EURGBP",
        "EURCHF",
        "EURAUD",
        "GBPCHF",
        "AUDNZD",
    ]
    for place, name in enumerate(names):
        keep(name, 1 + place / 10, 600)
    keep("USDJPY", 100.0, 1)  # too short for a ranking
    workbench.JOBS.submit("scan", "scan", scan_arguments([*names, "USDJPY", "XAUUSD"], ["H1", "H4"]), "Scan")
    work_through()
    app = open_page(PAGE)
    assert not app.exception
    assert len(app.selectbox(key="series").options) >= 2 * len(names)
    told = table_with(open_page(PAGE, view="Metrics"), "Why", "What to do")
    assert "XAUUSD H1" in set(told["Series"])
    ranking = open_page(PAGE, view="Volatility")
    ranking.button(key="scanner.rank").click().run()
    work_through()
    ranking.run()
    ranks = table_with(ranking, "Rank", "Why skipped").set_index("Series")
    assert len(ranks) == len(list_ranks()) == 12
    assert "are needed" in ranks["Why skipped"]["USDJPY H1"]


def test_a_ranking_that_failed_is_told_where_it_was_asked(
    open_page: OpenPage, scanned: str, work_through: WorkThrough
) -> None:
    app = open_page(PAGE, view="Volatility")
    assert "Only stored bars are ranked" in words(app)
    assert app.button(key="scanner.rank").disabled
    workbench.JOBS.submit("scan", "rank", rank_arguments(), "Rank all")
    work_through()
    told = open_page(PAGE, view="Volatility")
    assert not told.exception
    assert "There are no bars to rank" in words(told)


def test_a_series_whose_bars_are_gone_is_a_failure_not_an_empty_chart(
    open_page: OpenPage, work_through: WorkThrough, sample_run: str, scanned: str
) -> None:
    version = controller.versions()[0]
    version.parquet_file.unlink()
    app = open_page(PAGE, series=scanned)
    assert not app.exception
    assert app.error
    assert len(table_with(app, "Score", "Parts"))  # what is stored can still be read


def test_a_damaged_database_is_named(open_page: OpenPage, scanned: str) -> None:
    file = output_folder() / "scanner.db"
    for beside in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        beside.unlink(missing_ok=True)
    file.unlink()
    file.write_bytes(b"this is no database at all" * 100)
    app = open_page(PAGE)
    assert not app.exception
    assert any("scanner.db" in error.value.replace("\\", "") for error in app.error)
