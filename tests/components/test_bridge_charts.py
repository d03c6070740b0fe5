from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components.charts.bridge import quotes_figure
from components.charts.template import palette


@pytest.fixture
def quotes() -> pd.DataFrame:
    """5,000 quotes, the highest ask and the lowest bid far from their neighbours."""
    times = pd.date_range("2026-11-20 10:00", periods=5_000, freq="100ms", tz="UTC", unit="us", name="time")
    bid = 1.1 + np.sin(np.arange(5_000) / 300) / 1_000
    found = pd.DataFrame({"bid": bid, "ask": bid + 0.0001}, index=times)
    found.iloc[1_234, 0] = 1.05
    found.iloc[4_321, 1] = 1.15
    return found


def executed(quotes: pd.DataFrame, count: int) -> list[dict[str, object]]:
    return [
        {
            "id": n,
            "side": "long" if n % 2 else "short",
            "time": quotes.index[100 * n],
            "price": 1.1,
            "words": f"signal {n}",
        }
        for n in range(1, count + 1)
    ]


def test_many_quotes_are_drawn_with_few_points_and_their_extremes(quotes: pd.DataFrame) -> None:
    before = quotes.copy()
    figure = quotes_figure(quotes, symbol="EURUSD", digits=5, points=400)
    bid, ask = figure.data
    assert max(len(bid.x), len(ask.x)) <= 400
    assert (min(bid.y), max(ask.y)) == (1.05, 1.15)
    assert (bid.name, ask.line.dash) == (f"Bid {quotes['bid'].iloc[-1]:.5f}", "dot")
    assert (bid.line.color, ask.line.color) == (palette().up, palette().down)
    assert pd.Timestamp(bid.x[0]) == quotes.index[0].tz_convert(None)
    pd.testing.assert_frame_equal(quotes, before)


def test_executed_signals_point_up_or_down_and_the_newest_are_named(quotes: pd.DataFrame) -> None:
    figure = quotes_figure(quotes, symbol="EURUSD", digits=5, points=400, executed=executed(quotes, 5))
    marks = figure.data[2]
    assert list(marks.marker.symbol) == ["triangle-up", "triangle-down"] * 2 + ["triangle-up"]
    assert [each.text for each in figure.layout.annotations] == ["signal 3", "signal 4", "signal 5"]
    assert list(marks.text) == [f"signal {n}" for n in range(1, 6)]


def test_no_quote_and_one_quote_are_drawn_too(quotes: pd.DataFrame) -> None:
    assert quotes_figure(quotes.iloc[:0], symbol="EURUSD", digits=5, points=400).data[0].name == "Bid"
    assert len(quotes_figure(quotes.iloc[:1], symbol="EURUSD", digits=5, points=400).data[0].x) == 1


def test_a_redrawn_chart_keeps_the_readers_zoom(quotes: pd.DataFrame) -> None:
    first, second = (quotes_figure(quotes.iloc[:n], symbol="EURUSD", digits=5, points=400) for n in (50, 90))
    assert first.layout.uirevision == second.layout.uirevision == "EURUSD"
