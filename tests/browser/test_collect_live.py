"""Collections from live sources in Chromium, against vendors' servers on the loopback."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from loopback.base import Answer, Request, served
from loopback.histdata import HistDataServer
from loopback.yahoo import YahooServer
from playwright.sync_api import expect
from waiting import wait_until

from core.heartbeats import processes
from core.jobs import JobStatus
from core.schedules import schedules
from data.collecting import bar_store
from data.jobs import queue
from data.pipeline_controller import controller

pytestmark = pytest.mark.browser


@pytest.fixture
def yahoo(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    """Yahoo Finance on the loopback; named before `bench`, so that the workbench is started with its address."""
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    yield from served(YahooServer, monkeypatch)


def choose(bench: Any, key: str, option: str) -> None:
    bench.page.locator(f'[class*="{key}"] input').first.click()
    bench.page.get_by_role("option", name=option, exact=True).click()


def add_symbol(bench: Any, symbol: str) -> None:
    field = bench.page.locator(".st-key-data-live-symbols input")
    field.fill(symbol)
    field.press("Enter")
    field.press("Escape")
    expect(bench.page.locator(".st-key-data-live-symbols").get_by_text(symbol, exact=True)).to_be_visible()


def test_hours_are_collected_from_yahoo_in_part_and_kept_up_to_date(yahoo: YahooServer, bench: Any) -> None:
    bench.open("/data_pipeline", "Data Pipeline")
    choose(bench, "st-key-data-source", "Yahoo Finance")
    expect(bench.page.get_by_text("Yahoo Finance has H1 bars back to")).to_be_visible()
    add_symbol(bench, "NOSUCH")
    bench.press("data-collect")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="EURUSD H1")).to_be_visible()
    partial = bench.page.get_by_test_id("stAlert").filter(has_text="Collected in part")
    expect(partial).to_contain_text("NOSUCH")
    expect(partial).to_contain_text("What to do")
    expect(bench.page.get_by_text("sample data")).to_have_count(0)
    [version] = controller.versions()
    assert (version.symbols, version.timeframe) == (["EURUSD"], "H1")
    assert bar_store.sources_of("EURUSD", "H1") == ["YFinance"]

    bench.page.get_by_role("button", name="Keep up to date").click()
    bench.press("schedules-add-do")
    expect(bench.page.get_by_text("Kept up to date weekdays at 22:05 UTC").first).to_be_visible()
    [schedule] = schedules()
    assert schedule.arguments["config"]["symbols"] == ["EURUSD", "NOSUCH"]
    assert schedule.arguments["config"]["end_date"] is None


class PausedYahoo(YahooServer):
    """A Yahoo that answers so many questions, and the others only when it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.answered_at_once = 2
        self.go_on = threading.Event()

    def answer(self, request: Request) -> Answer:
        if len(self.questions) > self.answered_at_once:
            self.go_on.wait(60)
        return super().answer(request)


@pytest.fixture
def paused_yahoo(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PausedYahoo]:
    """Likewise, pausing after its first answers."""
    monkeypatch.setenv("SEQUENCE_JOBS__LEASE_SECONDS", "2")
    yield from served(PausedYahoo, monkeypatch)


def test_a_collection_goes_on_after_a_reload_and_a_killed_worker(paused_yahoo: PausedYahoo, bench: Any) -> None:
    bench.open("/data_pipeline", "Data Pipeline")
    choose(bench, "st-key-data-source", "Yahoo Finance")
    for symbol in ("GBPUSD", "USDJPY"):
        add_symbol(bench, symbol)
    bench.press("data-collect")
    strip = bench.page.locator(".st-key-strip")
    expect(strip).to_contain_text("1 running")
    expect(strip).to_contain_text("YFinance")
    bench.page.reload()
    expect(bench.page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(strip).to_contain_text("1 running")

    [worker] = [process for process in processes("worker") if process.is_alive]
    psutil.Process(worker.pid).kill()
    paused_yahoo.go_on.set()
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="EURUSD, GBPUSD")).to_be_visible()
    [version] = controller.versions()
    assert version.symbols == ["EURUSD", "GBPUSD", "USDJPY"]
    [job] = queue.jobs()
    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 2)


def test_zips_are_uploaded_together_and_the_bad_one_is_named(bench: Any, home: Path, tmp_path: Path) -> None:
    with HistDataServer() as histdata:
        histdata.every = 60
        for code in ("202401", "202402"):
            (tmp_path / f"HISTDATA_COM_ASCII_EURUSD_M1{code}.zip").write_bytes(histdata.zip_of("EURUSD", code))
    bad = tmp_path / "HISTDATA_COM_ASCII_EURUSD_M1202403.zip"
    bad.write_bytes(b"PK\x03\x04 cut off")
    bench.open("/data_pipeline", "Data Pipeline")
    choose(bench, "st-key-data-source", "HistData zips on disk")
    bench.page.locator("input[type=file]").set_input_files(sorted(tmp_path.glob("*.zip")))
    expect(bench.page.get_by_text("3 of 3 say their pair")).to_be_visible()
    bench.press("data-collect")
    partial = bench.page.get_by_test_id("stAlert").filter(has_text="Collected in part")
    expect(partial).to_contain_text(re.compile(r"M1202403\.zip is damaged"))
    [version] = controller.versions()
    assert (version.first_time[:13], version.last_time[:13]) == ("2024-01-01T05", "2024-03-01T04")
    wait_until(lambda: not list((home / "output_central" / "uploads").iterdir()), "uploads stay though collected")
