"""Live bars on the page Scanner, and scans that come back by themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from seen import table_with, words
from streamlit.testing.v1 import AppTest

import workbench
from components.panels.schedule_offer import cron_words
from core.clock import parse_utc
from core.jobs import Job, JobStatus
from core.schedules import delete_schedule, enable_schedule, fire_due, schedules
from data.bar_store import BarStore
from data.live_bars import GRACE_MS, MINUTE_MS, LiveBars
from mql5.bridge.ticks import TickRow, TickStore
from scanner.jobs import scan_arguments
from scanner.store import list_scans, list_setups

OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]
PAGE = workbench.SCANNER.file
START_MS = 1_709_596_800_000  # Tuesday, 5 March 2024
MINUTES = 900


@pytest.fixture
def live_bars() -> None:
    """Fifteen hours of EURUSD have come in from a terminal."""
    bids = (1.1 + 0.0003 * np.random.default_rng(11).standard_normal(MINUTES).cumsum()).tolist()
    times = [START_MS + number * MINUTE_MS + 500 for number in range(MINUTES)]
    ticks = [
        TickRow("mt5-1", "EURUSD", at, number, at, bid, bid + 0.0001, None, 0.0, 0, 0, at)
        for number, (at, bid) in enumerate(zip(times, bids, strict=True))
    ]
    TickStore().enter([ticks])
    LiveBars().step(START_MS + MINUTES * MINUTE_MS + GRACE_MS)


def on_live_bars(app: AppTest) -> AppTest:
    app.get_by_key("scanner.source").select("Live bars").run()
    app.get_by_key("scanner.timeframes.M1").set_value(["M5", "M15"]).run()
    assert not app.exception
    return app


def keep_stored_bars() -> None:
    prices = LiveBars().bars("EURUSD", "M5")
    BarStore().add("GBPUSD", "M5", "Elsewhere", prices.drop(columns="spread_points"))


def test_live_bars_are_offered_where_there_are_any(open_page: OpenPage, live_bars: None) -> None:
    app = open_page(PAGE)
    assert app.get_by_key("scanner.source").options == ["Live bars"]
    assert "Press **Scan now**" in words(app)
    keep_stored_bars()
    assert open_page(PAGE).get_by_key("scanner.source").options == ["Stored bars", "Live bars"]


def test_live_bars_are_scanned_and_shown_beside_stored_ones(
    open_page: OpenPage, live_bars: None, work_through: WorkThrough
) -> None:
    keep_stored_bars()
    app = on_live_bars(open_page(PAGE))
    app.button(key="scanner.scan").click().run()
    [job] = work_through()
    assert (job.status, job.title) == (JobStatus.SUCCEEDED, "Scan all live bars on M5, M15")
    app.run()
    assert set(list_scans()["source"]) == {"live"}
    assert "From" not in table_with(app, "Score", "Parts")  # one kind of bars needs no telling
    workbench.JOBS.submit("scan", "scan", scan_arguments(None, ["M5", "M15"]), "Scan")
    work_through()
    app = open_page(PAGE, series="EURUSD-M5-live")
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="series").options == [
        "EURUSD M5 · live bars",
        "EURUSD M15 · live bars",
        "GBPUSD M5 · stored bars",
        "GBPUSD M15 · stored bars",
    ]
    assert "EURUSD M5, patterns known" in words(app)
    assert "last bar 2024-03-05 14:55" in words(app)
    shown = table_with(app, "Score", "Parts")
    assert len(shown) == len(list_setups())
    assert set(shown["From"]) == {"live bars", "stored bars"}
    assert set(shown.loc[shown["From"] == "live bars", "Series"]) <= {"EURUSD M5", "EURUSD M15"}
    assert set(table_with(open_page(PAGE, view="Alerts"), "Entered, UTC")["From"]) == {"live bars", "stored bars"}


def test_a_scan_is_kept_up_by_the_popover_and_told_in_one_line(
    open_page: OpenPage, live_bars: None, work_through: WorkThrough
) -> None:
    app = on_live_bars(open_page(PAGE))
    assert "Kept scanning" not in words(app)
    assert "Next: " in words(app)
    app.button(key="scanner.keep.add.do").click().run()
    [kept] = schedules()
    assert (kept.queue, kept.kind, kept.cron) == ("scan", "scan", "1-59/5 * * * *")
    assert kept.arguments == scan_arguments(None, ["M5", "M15"], live=True)
    assert "Kept scanning every 5 minutes from :01; the first time" in words(app)
    assert "Kept scanning: all live bars on M5, M15, every 5 minutes from :01, next " in words(app)
    app.button(key="scanner.keep.add.do").click().run()
    assert "This is kept scanning every 5 minutes from :01 already." in words(app)
    assert "begin anew after the other" not in words(app)
    app.get_by_key("scanner.timeframes.M1").set_value(["M5", "H1"]).run()
    assert "begin anew after the other" in words(app)
    app.get_by_key("scanner.timeframes.M1").set_value(["M5", "M15"]).run()
    app.get_by_key("scanner.keep.rhythm").set_value("Own cron").run()
    app.get_by_key("scanner.keep.cron").set_value("5 22 * *").run()
    assert "cannot be used" in words(app)
    app.get_by_key("scanner.keep.cron").set_value("7 6-20 * * mon-fri").run()
    app.button(key="scanner.keep.add.do").click().run()
    assert [each.cron for each in schedules()] == ["7 6-20 * * mon-fri", "1-59/5 * * * *"]
    assert fire_due(workbench.JOBS, parse_utc(kept.next_run_at) + timedelta(seconds=1)) >= 1
    assert work_through()[0].status is JobStatus.SUCCEEDED
    assert set(list_scans()["timeframe"]) == {"M5", "M15"}
    enable_schedule(kept.id, False)
    assert "switched off" in words(open_page(PAGE))
    for each in schedules():
        delete_schedule(each.id)
    assert "Kept scanning" not in words(open_page(PAGE))


def test_what_never_changes_is_not_kept_scanning(open_page: OpenPage, sample_run: str, live_bars: None) -> None:
    app = open_page(PAGE)
    assert app.get_by_key("scanner.source").options == ["Live bars", "Datasets"]
    assert app.button(key="scanner.keep.add.do")
    app.get_by_key("scanner.source").select("Datasets").run()
    assert app.button(key="scanner.scan")
    assert [each for each in app.button if str(each.key).startswith("scanner.keep")] == []


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("*/5 * * * *", "every 5 minutes"),
        ("1-59/15 * * * *", "every 15 minutes from :01"),
        ("1 * * * *", "every hour at :01"),
        ("*/7 * * * *", "*/7 * * * * (UTC)"),  # not every seven minutes at the full hour
        ("20-59/15 * * * *", "20-59/15 * * * * (UTC)"),
        ("*/5 6-20 * * *", "*/5 6-20 * * * (UTC)"),
    ],
)
def test_minutes_are_told_in_words_where_they_are_even(cron: str, said: str) -> None:
    assert cron_words(cron) == said
