"""The newcomer's first five minutes, in Chromium."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect

import workbench
from data.pipeline_controller import controller
from execution.backtest_manager import manager

pytestmark = [pytest.mark.browser, pytest.mark.standing]


def test_one_button_leads_from_nothing_to_a_result(bench: Any) -> None:
    bench.open("/", "Overview")
    expect(bench.page.get_by_text("empty workbench")).to_be_visible()
    bench.press("overview-run_sample")
    link = bench.page.get_by_role("link", name="Open run MA_Crossover_EURUSD_H1_1")
    expect(link).to_be_visible()
    link.click()
    bench.settled("Backtesting")
    expect(bench.page).to_have_url(re.compile(r"/backtesting\?.*run=MA_Crossover_EURUSD_H1_1"))
    charts = bench.page.locator('[data-testid="stPlotlyChart"] svg.main-svg')
    expect(charts.first).to_be_visible()
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Sharpe")).to_contain_text("0.60")
    assert len(manager.runs()) == 1


def test_the_same_by_hand_on_the_two_pages(bench: Any) -> None:
    bench.open("/", "Overview")
    bench.page.get_by_test_id("stSidebarNav").get_by_role("link", name="Data Pipeline").click()
    bench.settled("Data Pipeline")
    bench.press("data-collect")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Validated")).to_contain_text("PASS")
    version = controller.versions()[0]
    bench.page.get_by_role("link", name=f"Backtest {version.short_hash}").click()
    bench.settled("Backtesting")
    expect(bench.page.get_by_text("no run yet", exact=True)).to_be_visible()
    bench.press("backtest-run")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Sharpe")).to_contain_text("0.60")
    [run] = manager.runs()
    assert (run.dataset_version_id, run.trades_count) == (version.id, 42)


def test_a_link_to_a_version_and_a_range_opens_that_view(bench: Any, sample_run: str) -> None:
    bench.open(f"/data_pipeline?version={controller.versions()[0].short_hash}&range=1W", "Data Pipeline")
    expect(bench.page.get_by_text(re.compile(r"drawn 1\d\d of 5.000 bars"))).to_be_visible()


def test_downloads_hold_what_is_shown(bench: Any, sample_run: str) -> None:
    version = controller.versions()[0]
    bench.open("/data_pipeline", "Data Pipeline")
    with bench.page.expect_download() as caught:
        bench.press("data-version-csv")
    content = Path(caught.value.path()).read_bytes()
    assert caught.value.suggested_filename == f"EURUSD_H1_{version.short_hash}.csv"
    assert content.startswith(b"\xef\xbb\xbftime (UTC),open,")
    bars = pd.read_csv(io.BytesIO(content), index_col=0, parse_dates=True)
    assert list(bars["close"]) == list(version.frame()["close"])
    with bench.page.expect_download() as caught:
        bench.press("data-version-parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(caught.value.path()), version.frame())
    bench.open("/backtesting", "Backtesting")
    with bench.page.expect_download() as caught:
        bench.press("backtest-trades-csv")
    trades = pd.read_csv(caught.value.path(), encoding="utf-8-sig")
    assert list(trades["pnl"]) == pytest.approx(list(manager.trades(manager.run(sample_run))["pnl"]))
    assert "entry_time (UTC)" in trades.columns


def test_a_damaged_database_is_a_red_box_that_names_the_file(bench: Any, home: Path) -> None:
    (home / "output_central").mkdir(exist_ok=True)
    (home / "output_central" / "data_pipeline.db").write_bytes(b"not a database " * 500)
    bench.open("/data_pipeline", "Data Pipeline")
    expect(bench.page.get_by_test_id("stAlert").first).to_contain_text("data_pipeline.db")
    expect(bench.page.get_by_test_id("stAlert").first).to_contain_text("What to do")


@pytest.mark.parametrize(("width", "pages"), [(800, workbench.PAGES), (400, workbench.PAGES[:1])])
def test_nothing_is_cut_on_a_narrow_screen(
    bench: Any, width: int, pages: tuple[workbench.PageEntry, ...], sample_run: str
) -> None:
    bench.page.set_viewport_size({"width": width, "height": 900})
    for entry in pages:
        bench.open("/" if entry is workbench.OVERVIEW else f"/{entry.url_path}", entry.title)
        main = bench.page.get_by_test_id("stMain")
        assert main.evaluate("node => node.scrollWidth <= node.clientWidth"), entry.title
