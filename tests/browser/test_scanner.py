"""A day at the scanner in Chromium: scan the sample, open a setup, go back in time, read why not, study outcomes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

import workbench
from data.pipeline_controller import controller
from scanner.jobs import scan_arguments
from scanner.store import list_scans, list_setups

pytestmark = [pytest.mark.browser, pytest.mark.standing]
TIMEFRAMES = ["H1", "H4", "D1"]


@pytest.fixture
def sample(sample_run: str) -> str:
    """The sample's dataset; the key of its hourly series."""
    return f"EURUSD-H1-{controller.versions()[0].short_hash}"


@pytest.fixture
def scanned(sample: str) -> str:
    """The same, scanned by the worker that the workbench starts."""
    arguments = scan_arguments(None, TIMEFRAMES, versions=[controller.versions()[0]])
    workbench.JOBS.submit("scan", "scan", arguments, "Scan the sample")
    return sample


def test_the_sample_is_scanned_and_a_setup_opened(sample: str, bench: Any) -> None:
    bench.open("/scanner", "Scanner")
    expect(bench.page.get_by_text("No scan yet", exact=True)).to_be_visible()
    bench.page.get_by_role("radio", name="Datasets").click()
    bench.press("scanner-scan")
    expect(bench.page.get_by_text(re.compile("Score of EURUSD"))).to_be_visible()
    expect(bench.page.locator(".st-key-scanner-chart .main-svg").first).to_be_visible()
    bench.settled("Scanner")
    assert set(list_scans()["timeframe"]) == set(TIMEFRAMES)
    setups = list_setups()
    assert len(setups) > 1
    bench.select_row("scanner-setups", 1)
    expect(bench.page).to_have_url(re.compile(f"setup={setups['id'].iloc[1]}"))
    bench.settled("Scanner")
    bench.page.get_by_role("button", name="Count rewrites").click()
    expect(bench.page.get_by_text("0 rewrites / 200 prefixes")).to_be_visible()


def test_the_slider_shows_only_what_was_known_then(scanned: str, bench: Any) -> None:
    bench.open("/scanner", "Scanner")
    expect(bench.page.get_by_text(re.compile("At the close of 2018-02-07 15:00 UTC"))).to_be_visible()
    chart = bench.page.locator(".st-key-scanner-chart")
    expect(chart.get_by_text("not yet known")).to_have_count(0)
    bench.press("scanner-chevron_left")
    expect(bench.page.get_by_text(re.compile("At the close of 2018-02-07 14:00 UTC"))).to_be_visible()
    thumb = bench.page.get_by_role("slider").first
    thumb.focus()
    for _ in range(5):
        thumb.press("ArrowLeft")
    expect(bench.page.get_by_text(re.compile("At the close of 2018-02-07 09:00 UTC"))).to_be_visible()
    expect(chart.get_by_text("not yet known").first).to_be_visible()
    expect(bench.page).to_have_url(re.compile("at=2018-02-07T09"))
    bench.page.reload()
    bench.settled("Scanner")
    expect(bench.page.get_by_text(re.compile("At the close of 2018-02-07 09:00 UTC"))).to_be_visible()


def test_why_not_the_study_and_the_metrics_are_a_click_away(scanned: str, bench: Any) -> None:
    bench.open("/scanner", "Scanner")
    expect(bench.page.get_by_text(re.compile("Score of EURUSD"))).to_be_visible()
    bench.page.get_by_role("radio", name="Why not").click()
    bench.select_row("scanner-why_not", 0)
    expect(bench.page.get_by_text("What it fell short of")).to_be_visible()
    expect(bench.page.get_by_text(re.compile("minimum_score: the score is"))).to_be_visible()
    bench.page.get_by_role("radio", name="Outcome study").click()
    bench.press("scanner-study-run")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Per entry, pips")).to_be_visible()
    expect(bench.page.get_by_text(re.compile("they would have pretended"))).to_be_visible()
    expect(bench.page.locator(".st-key-scanner-study-figure .main-svg").first).to_be_visible()
    for view, said in (
        ("Timeframes", "3 timeframes at one moment"),
        ("Metrics", "Rates and times"),
        ("Alerts", "as they came"),
    ):
        bench.page.get_by_role("radio", name=view).click()
        expect(bench.page.get_by_text(re.compile(said))).to_be_visible()
    bench.settled("Scanner")
