from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from components.charts.scanner import (
    DrawnSetup,
    kinds_figure,
    outcomes_figure,
    patterns_figure,
    scores_figure,
    strongest,
    timeframe_figure,
)
from data.sources.sample import SampleSource
from market.timeframes import Timeframe
from scanner.patterns.all import find_patterns
from scanner.patterns.sessions import zone_names


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    first, end = pd.Timestamp("2017-06-01", tz="UTC"), pd.Timestamp("2017-09-01", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end)


@pytest.fixture(scope="module")
def at(bars: pd.DataFrame) -> pd.Timestamp:
    moment: pd.Timestamp = bars.index[700]
    return moment


@pytest.fixture(scope="module")
def found(bars: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    """What was known at the close of `at`."""
    return find_patterns(bars).as_known(700).frame(pd.DatetimeIndex(bars.index))


def trace(figure: go.Figure, name: str) -> go.Scatter:
    [found] = [each for each in figure.data if each.name == name]
    return found


def times_of(values: object) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([each for each in values if each is not None]).tz_localize(None)  # type: ignore[attr-defined]


def test_nothing_that_was_not_known_is_drawn_but_dimmed_bars(
    bars: pd.DataFrame, found: pd.DataFrame, at: pd.Timestamp
) -> None:
    figure = patterns_figure(bars, found, digits=5, points=2_000, at=at)
    later = at.tz_localize(None)
    for each in figure.data:
        if each.name != "not yet known":
            assert times_of(each.x).max() <= later, each.name
    ghosts = trace(figure, "not yet known")
    assert times_of(ghosts.x).min() > later
    assert ghosts.opacity < 0.5
    assert [each.text for each in figure.layout.annotations] == ["not yet known"]
    hidden = patterns_figure(bars, found, digits=5, points=2_000, at=at, later=False)
    assert max(times_of(each.x).max() for each in hidden.data if len(times_of(each.x))) <= later
    assert not hidden.layout.annotations


def test_the_extreme_and_the_close_that_proved_it_are_both_marked(
    bars: pd.DataFrame, found: pd.DataFrame, at: pd.Timestamp
) -> None:
    figure = patterns_figure(bars, found, digits=5, points=2_000, at=at)
    swings = found[found["kind"] == "swing"]
    rings, dots = trace(figure, "extreme formed"), trace(figure, "close that proved it")
    assert set(swings["formed_at"].dt.tz_localize(None)) <= set(times_of(rings.x))
    assert set(swings["known_at"].dt.tz_localize(None)) <= set(times_of(dots.x))
    assert rings.marker.symbol == "circle-open"
    prices = dict(zip(times_of(dots.x), dots.y, strict=True))
    for known in swings["known_at"]:
        assert prices[known.tz_localize(None)] == bars["close"][known]


def test_boxes_end_where_the_finding_ended_and_structure_is_named(
    bars: pd.DataFrame, found: pd.DataFrame, at: pd.Timestamp
) -> None:
    figure = patterns_figure(bars, found, digits=5, points=2_000, at=at)
    gaps = found[(found["kind"] == "fvg") & (found["direction"] == "bullish")]
    ended, lasting = [each for each in figure.data if each.name == "FVG bullish"]
    assert len(ended.x) == 6 * gaps["ended_at"].notna().sum()
    assert len(lasting.x) == 6 * gaps["ended_at"].isna().sum()
    assert list(times_of(ended.x[1::6])) == list(gaps["ended_at"].dropna().dt.tz_localize(None))
    assert set(times_of(lasting.x[1::6])) == {at.tz_localize(None)}
    assert (trace(figure, "BOS bullish").line.dash, trace(figure, "CHoCH bullish").line.dash) == ("solid", "dash")
    words = {word for each in figure.data if each.type == "scatter" and each.mode == "text" for word in each.text}
    assert {"BOS", "CHoCH", "FVG"} <= words


def test_each_pattern_can_be_switched_off(bars: pd.DataFrame, found: pd.DataFrame, at: pd.Timestamp) -> None:
    zones = zone_names(pd.DatetimeIndex(bars.index))
    every = patterns_figure(bars, found, digits=5, points=2_000, at=at, zones=zones)
    assert {"Asia", "London", "New York", "previous level"} <= {each.name for each in every.data}
    alone = patterns_figure(bars, found, digits=5, points=2_000, at=at, zones=zones, shown=("Sweeps",))
    assert [each.name for each in alone.data if each.x is not None and len(each.x) and each.name] == [
        "Price",
        "liquidity sweep",
        "not yet known",
    ]


def test_a_setup_is_three_lines_and_a_missing_price_is_none(
    bars: pd.DataFrame, found: pd.DataFrame, at: pd.Timestamp
) -> None:
    setup = DrawnSetup("EURUSD long", bars.index[650], at, 1.15, 1.14, math.nan)
    figure = patterns_figure(bars, found, digits=5, points=2_000, at=at, setup=setup)
    lines = {each.name: each.y[0] for each in figure.data if str(each.name).startswith("EURUSD")}
    assert lines == {"EURUSD long: entry": 1.15, "EURUSD long: stop": 1.14}


def test_frames_are_left_as_they_were_and_few_bars_are_drawn_too(
    bars: pd.DataFrame, found: pd.DataFrame, at: pd.Timestamp
) -> None:
    before, known = bars.copy(), found.copy()
    few = patterns_figure(bars, found, digits=5, points=200, at=at)
    candles = sum(len(each.x) for each in few.data if each.type == "candlestick")
    assert candles <= 202
    timeframe_figure(bars.iloc[:2], found.iloc[:0], digits=5)
    patterns_figure(bars.iloc[:2], found.iloc[:0], digits=5, points=200, at=bars.index[0])
    pd.testing.assert_frame_equal(bars, before)
    pd.testing.assert_frame_equal(found, known)


def test_of_many_findings_the_strongest_of_each_kind_are_kept(found: pd.DataFrame) -> None:
    kept = strongest(found, 10)
    assert kept.groupby("kind").size().max() == 10
    assert list(kept.index) == sorted(kept.index)
    gaps = found[found["kind"] == "fvg"]
    assert set(gaps["strength"].nlargest(10)) == set(kept.loc[kept["kind"] == "fvg", "strength"])


def test_outcomes_stand_with_their_intervals_and_an_unknown_one_is_left_out() -> None:
    summary = pd.DataFrame(
        {
            "label": ["known", "random", "formed"],
            "expectancy_pips": [-0.7, math.nan, 12.6],
            "low": [-2.0, math.nan, 10.0],
            "high": [0.5, math.nan, 15.0],
        }
    )
    pretended, known = outcomes_figure(summary).data
    assert (pretended.x[0], known.x[0]) == (12.6, -0.7)
    assert known.error_x.array[0] == pytest.approx(1.2)
    assert known.error_x.arrayminus[0] == pytest.approx(1.3)
    assert known.text[0] == "\u22120.7"


def test_distributions_have_a_bar_for_each_timeframe_and_the_least_score() -> None:
    kinds = pd.DataFrame(
        {"timeframe": ["H1", "H1", "H4"], "kind": ["fvg", "order_block", "fvg"], "findings": [9, 2, 4]}
    )
    first, second = kinds_figure(kinds, ["H1", "H4"]).data
    assert (list(first.x), list(first.y)) == (["FVG", "order block"], [9, 2])
    assert second.y[0] == 4
    assert np.isnan(second.y[1])
    scores = pd.DataFrame({"timeframe": ["H1", "H1"], "score": [3, 4], "candidates": [7, 1]})
    figure = scores_figure(scores, ["H1"], 4.0)
    assert (figure.layout.shapes[0].x0, figure.layout.annotations[0].text) == (3.5, "needs 4")
