"""A box dragged in a chart with the mouse: its times are drawn anew from what is stored, in full detail."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from playwright.sync_api import expect

import workbench
from data.pipeline_controller import controller
from execution.backtest_manager import manager

pytestmark = [pytest.mark.browser, pytest.mark.standing]

HAS_SO_MANY = """([selector, name, count]) => {
    const series = document.querySelector(selector)?.data?.find(each => each.name === name);
    return series?.x.length === count;
}"""


def drag_box(bench: Any, chart: str, begin: float, end: float, plot: int = 0) -> None:
    """Choose the box above the chart and drag it over a part of a plot's width; then it is in the address."""
    before = bench.page.url
    node = bench.page.locator(f".st-key-{chart}")
    node.scroll_into_view_if_needed()
    node.hover()
    node.locator('.modebar-btn[data-title="Box Select"]').click()
    area = node.locator(".nsewdrag").nth(plot).bounding_box()
    height = area["y"] + area["height"] / 2
    bench.page.mouse.move(area["x"] + begin * area["width"], height)
    bench.page.mouse.down()
    bench.page.mouse.move(area["x"] + end * area["width"], height + 10, steps=5)
    bench.page.mouse.up()
    expect(bench.page).not_to_have_url(before)


def box_in_address(bench: Any, chart: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    [text] = parse_qs(urlsplit(bench.page.url).query)[f"{chart}.box"]
    begin, end = (pd.Timestamp(each, tz="UTC") for each in text.split("~"))
    return begin, end


def in_box(bench: Any, chart: str, stored: Any) -> Any:
    """What of it lies in the box that the address carries."""
    begin, end = box_in_address(bench, chart)
    return stored.loc[begin:end]


def expect_drawn(bench: Any, chart: str, name: str, times: pd.Index) -> None:
    """The series of that name, as it lies in the browser, has exactly these times."""
    selector = f".st-key-{chart} .js-plotly-plot"
    bench.page.wait_for_function(HAS_SO_MANY, arg=[selector, name, len(times)])
    drawn = bench.page.locator(selector).evaluate("(plot, name) => plot.data.find(each => each.name === name).x", name)
    assert list(pd.to_datetime(list(drawn), utc=True)) == list(times)


def test_a_box_on_the_bars_draws_the_stored_ones_and_is_left_again(bench: Any, sample_run: str) -> None:
    bench.open("/data_pipeline", "Data Pipeline")
    whole = bench.page.get_by_text("drawn 1\u202f667 of 5\u202f000 bars, 3 bars a candle")
    expect(whole).to_be_visible()
    drag_box(bench, "data-chart", 0.3, 0.4)
    expect(whole).to_have_count(0)
    bench.settled("Data Pipeline")
    begin, end = box_in_address(bench, "data.chart")
    stored = in_box(bench, "data.chart", controller.versions()[0].bars())
    assert 400 < len(stored) < 600
    expect(bench.page.get_by_text(f"drawn {len(stored)} of 5\u202f000 bars", exact=True)).to_be_visible()
    expect_drawn(bench, "data-chart", "Price", stored.index)

    drag_box(bench, "data-chart", 0.5, 0.6)  # closer still, in the box
    closer = box_in_address(bench, "data.chart")
    assert begin < closer[0] < closer[1] < end
    bench.page.get_by_role("button", name="Back to All").click()
    expect(whole).to_be_visible()
    expect(bench.page).not_to_have_url(re.compile("box"))
    expect(bench.page.get_by_role("button", name="Back to All")).to_have_count(0)

    bench.settled("Data Pipeline")
    drag_box(bench, "data-chart", 0.3, 0.4)
    bench.page.get_by_role("radio", name="1W").click()
    expect(bench.page.get_by_text(re.compile(r"drawn 1\d\d of 5.000 bars"))).to_be_visible()
    expect(bench.page).not_to_have_url(re.compile("box"))


def test_another_dataset_does_not_take_over_the_box(bench: Any, sample_run: str) -> None:
    other = controller.prepare(
        workbench.DataConfig(
            data_sources=["Sample"],
            symbols=["EURUSD"],
            start_date="2017-04-19",
            end_date="2018-02-07",
            timeframe="H4",
        )
    )
    bench.open("/data_pipeline", "Data Pipeline")
    whole = bench.page.get_by_text("drawn 1\u202f251 of 1\u202f251 bars")
    expect(whole).to_be_visible()
    drag_box(bench, "data-chart", 0.3, 0.4)
    expect(whole).to_have_count(0)
    bench.settled("Data Pipeline")
    bench.page.locator(".st-key-version input").click()
    bench.page.get_by_role("option").filter(has_text="H1").click()
    expect(bench.page.get_by_text("drawn 1\u202f667 of 5\u202f000 bars")).to_be_visible()
    expect(bench.page).not_to_have_url(re.compile("box"))
    bench.settled("Data Pipeline")
    bench.page.locator(".st-key-version input").click()
    bench.page.get_by_role("option").filter(has_text=other.short_hash).click()
    expect(whole).to_be_visible()


def test_a_box_on_the_equity_or_its_drawdown_draws_the_stored_one(bench: Any, sample_run: str) -> None:
    bench.open("/backtesting", "Backtesting")
    for plot, begin in ((0, 0.5), (1, 0.3)):  # the equity, then the drawdown below it
        drag_box(bench, "backtest-equity", begin, begin + 0.1, plot)
        expect(bench.page.get_by_role("button", name="Back to All")).to_be_visible()
        bench.settled("Backtesting")
        stored = in_box(bench, "backtest.equity", manager.run(sample_run).equity())
        assert 300 < len(stored) < 700
        expect(bench.page.get_by_text(f"drawn {len(stored)} of 5\u202f000 points")).to_be_visible()
        for name in (sample_run, "Drawdown", "Buy and hold"):
            expect_drawn(bench, "backtest-equity", name, stored.index)
        bench.page.get_by_role("button", name="Back to All").click()
        expect(bench.page.get_by_text("drawn 1\u202f969 of 5\u202f000 points")).to_be_visible()
        bench.settled("Backtesting")


def test_a_box_among_the_trades_draws_bars_and_trades_inside_it(bench: Any, sample_run: str) -> None:
    bench.open("/backtesting", "Backtesting")
    drag_box(bench, "backtest-price", 0.3, 0.5)
    expect(bench.page.get_by_role("button", name="Back to 3M")).to_be_visible()
    bench.settled("Backtesting")
    stored = in_box(bench, "backtest.price", controller.versions()[0].bars())
    trades = manager.trades(manager.run(sample_run), since=stored.index[0], until=stored.index[-1])
    words = f"drawn {len(stored)} of 5\u202f000 bars, {len(trades)} of {len(trades)} trades"
    expect(bench.page.get_by_text(words, exact=True)).to_be_visible()
    expect_drawn(bench, "backtest-price", "Price", stored.index)
