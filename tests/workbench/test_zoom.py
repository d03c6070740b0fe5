"""A box in a chart without a mouse: as a link names it, as the page keeps it, and how it is left."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.metrics import drawdown

OpenPage = Callable[..., AppTest]
BARS, EQUITY, TRADES = "data.chart.box", "backtest.equity.box", "backtest.price.box"
THREE_DAYS = "2017-07-25T00:00~2017-07-27T23:59"
THIN_SPACE = "\u202f"


def words(app: AppTest) -> str:
    return "\n".join(str(each.value) for kind in ("caption", "markdown", "warning") for each in app.get(kind))


def series(app: AppTest, chart: int, name: str) -> pd.Series:
    """A series of the n-th chart of the page."""
    figure = json.loads(app.get("plotly_chart")[chart].proto.spec)
    [found] = [each for each in figure["data"] if each.get("name") == name]
    values = found.get("y", found.get("close"))
    if isinstance(values, dict):  # as plotly sends numbers
        values = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return pd.Series(values, pd.to_datetime(found["x"], utc=True))


def test_a_link_to_a_box_opens_it_at_full_detail_and_a_button_leaves_it(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.DATA_PIPELINE.file, **{BARS: THREE_DAYS})
    assert not app.exception
    stored = controller.versions()[0].bars().loc["2017-07-25":"2017-07-27"]
    assert list(series(app, 0, "Price").index) == list(stored.index)
    assert f"drawn {len(stored)} of 5{THIN_SPACE}000 bars" in words(app)
    assert app.query_params[BARS] == THREE_DAYS
    app.button(key="data.chart.back").click().run()
    assert f"drawn 1{THIN_SPACE}667 of 5{THIN_SPACE}000 bars" in words(app)
    assert BARS not in app.query_params
    assert "data.chart.back" not in {button.key for button in app.button}


def test_a_range_button_leaves_the_box(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.DATA_PIPELINE.file, **{BARS: THREE_DAYS})
    app.get_by_key("range").set_value("1M").run()
    assert series(app, 0, "Price").index[-1] == pd.Timestamp(controller.versions()[0].last_time)
    assert BARS not in app.query_params


def test_a_box_between_two_bars_shows_those_around_it(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.DATA_PIPELINE.file, **{BARS: "2017-07-29T10:00~2017-07-29T10:05"})
    shown = series(app, 0, "Price").index
    assert len(shown) == 10
    assert shown[0] < pd.Timestamp("2017-07-29", tz="UTC") < shown[-1]


@pytest.mark.parametrize(
    ("box", "row"), [("1601-01-01T00:00~1601-01-02T00:00", 0), ("9001-01-01T00:00~9001-01-02T00:00", -1)]
)
def test_a_link_to_a_box_outside_the_data_shows_their_nearest_end(
    box: str, row: int, open_page: OpenPage, sample_run: str
) -> None:
    app = open_page(workbench.DATA_PIPELINE.file, **{BARS: box})
    assert not app.exception
    shown = series(app, 0, "Price").index
    assert (len(shown), shown[row]) == (10, controller.versions()[0].bars().index[row])


@pytest.mark.parametrize("box", ["yesterday", "2017-07-27T00:00~2017-07-25T00:00", "2017-07-25~soon", "~"])
def test_a_link_to_a_box_that_is_none_is_told_once_and_the_range_is_shown(
    box: str, open_page: OpenPage, sample_run: str
) -> None:
    app = open_page(workbench.DATA_PIPELINE.file, **{BARS: box})
    assert not app.exception
    assert "no stretch of time" in app.warning[0].value
    assert f"drawn 1{THIN_SPACE}667 of 5{THIN_SPACE}000 bars" in words(app)
    assert not app.run().warning


def test_the_equity_in_a_box_is_that_of_the_whole_run(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file, **{EQUITY: THREE_DAYS})
    whole = manager.run(sample_run).equity()
    stored = whole.loc["2017-07-25":"2017-07-27"]
    assert f"drawn {len(stored)} of 5{THIN_SPACE}000 points" in words(app)
    drawn = series(app, 0, sample_run)
    assert list(drawn.items()) == list(stored.items())
    under = series(app, 0, "Drawdown")
    assert list(under) == pytest.approx(list(100 * drawdown(whole).loc[under.index]))
    held = series(app, 0, "Buy and hold")
    closes = controller.versions()[0].bars()["close"]
    assert held.iloc[0] == pytest.approx(10_000 * closes.loc[held.index[0]] / closes.iloc[0])


def test_another_run_does_not_take_over_the_box(open_page: OpenPage, sample_run: str) -> None:
    result = manager.run_backtest(controller.versions()[0], strategy_name="RSI_Bands")
    other = manager.save_result(result=result)
    app = open_page(workbench.BACKTESTING.file, **{"run": sample_run, EQUITY: THREE_DAYS, TRADES: THREE_DAYS})
    assert {"backtest.equity.back", "backtest.price.back"} <= {button.key for button in app.button}
    app.get_by_key("run").select(other.run_id).run()
    assert not {"backtest.equity.back", "backtest.price.back"} & {button.key for button in app.button}
    assert not {EQUITY, TRADES} & set(app.query_params)
    app.get_by_key("run").select(sample_run).run()
    assert "backtest.equity.back" not in {button.key for button in app.button}


def test_the_boxes_of_two_charts_are_two(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file, **{EQUITY: THREE_DAYS, TRADES: "2017-09-04T00:00~2017-09-05T23:59"})
    app.button(key="backtest.equity.back").click().run()
    assert EQUITY not in app.query_params
    assert set(series(app, 2, "Price").index.strftime("%Y-%m-%d")) == {"2017-09-04", "2017-09-05"}


def test_a_box_among_the_trades_wins_over_a_trade_and_leads_back_to_it(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file)
    table = f"backtest.trades.{sample_run}.0"
    app.session_state[table] = {"selection": {"rows": [3], "columns": [], "cells": []}}
    app.run()
    around = series(app, 2, "Price").index
    trade = manager.newest_trades(manager.run(sample_run), 4).iloc[3]
    of = f"{sample_run} {trade['entry_time']}"
    box = (trade["entry_time"], trade["entry_time"] + pd.Timedelta(hours=30))
    app.session_state[TRADES] = (of, box)
    app.run()
    assert series(app, 2, "Price").index[0] == trade["entry_time"]
    assert app.button(key="backtest.price.back").label == "Back to the trade"
    app.button(key="backtest.price.back").click().run()
    assert list(series(app, 2, "Price").index) == list(around)
