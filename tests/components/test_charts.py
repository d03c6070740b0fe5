from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.charts.coverage import coverage_figure
from components.charts.detail import stretch, thin_bars, thin_line
from components.charts.distribution import moves_figure, moves_over_time_figure, ranges_figure
from components.charts.equity import equity_figure
from components.charts.price import price_figure
from components.charts.template import palette, styled
from data.passport import Coverage, coverage_matrix, moves_of
from data.sources.sample import SampleSource
from execution.metrics import drawdown
from market.symbols import AssetClass
from market.timeframes import Timeframe

PRICES = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=300)
IMPORT_CHARTS = "import sys, components.charts.price, components.charts.equity; print('streamlit' in sys.modules)"
nan = np.nan


def hours(rows: int, start: str = "2024-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=rows, freq="h", tz="UTC", unit="us", name="time")


def bars_of_closes(closes: list[float]) -> pd.DataFrame:
    close = np.array(closes, dtype="float64")
    columns = {"open": np.roll(close, 1), "high": close + 0.1, "low": close - 0.1, "close": close, "volume": 1.0}
    return pd.DataFrame(columns, index=hours(len(close)))


@pytest.fixture
def sample() -> pd.DataFrame:
    """The 5,000 hourly bars of EURUSD."""
    first, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end).copy()


@pytest.fixture
def trades(sample: pd.DataFrame) -> pd.DataFrame:
    """Two longs and a short, one of each side on the last day."""
    times = sample.index
    return pd.DataFrame(
        {
            "side": ["long", "short", "long"],
            "entry_time": times[[100, 4980, 4990]],
            "exit_time": times[[200, 4985, 4995]],
            "entry_price": sample["open"].iloc[[100, 4980, 4990]].to_numpy(),
            "exit_price": sample["open"].iloc[[200, 4985, 4995]].to_numpy(),
            "pnl": [10.0, -5.0, 0.0],
        }
    )


def marks(figure: go.Figure) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "scatter" and trace.mode == "markers"]


def named(figure: go.Figure, name: str) -> Any:
    (trace,) = [trace for trace in figure.data if trace.name == name]
    return trace


@settings(deadline=None)
@given(closes=PRICES, points=st.integers(1, 320))
def test_thinned_bars_keep_the_extremes_and_both_ends_within_their_number(closes: list[float], points: int) -> None:
    bars = bars_of_closes(closes)
    thin = thin_bars(bars, points)
    assert 1 <= len(thin) <= points
    assert (thin["high"].max(), thin["low"].min()) == (bars["high"].max(), bars["low"].min())
    assert (thin["open"].iloc[0], thin["close"].iloc[-1]) == (bars["open"].iloc[0], bars["close"].iloc[-1])
    assert thin.index[0] == bars.index[0]


@settings(deadline=None)
@given(closes=PRICES, points=st.integers(1, 320))
def test_each_thinned_bar_joins_the_bars_it_stands_for(closes: list[float], points: int) -> None:
    bars = bars_of_closes(closes)
    counted = 0
    thin = thin_bars(bars, points)
    starts = [*bars.index.get_indexer(thin.index), len(bars)]
    for (_, candle), begin, end in zip(thin.iterrows(), starts[:-1], starts[1:], strict=True):
        joined = bars.iloc[begin:end]
        counted += len(joined)
        assert candle["open"] == joined["open"].iloc[0]
        assert candle["high"] == joined["high"].max()
        assert candle["low"] == joined["low"].min()
        assert candle["close"] == joined["close"].iloc[-1]
    assert counted == len(bars)


def test_few_bars_are_drawn_as_they_are() -> None:
    bars = bars_of_closes([1.0, 1.5, 1.2])
    thin = thin_bars(bars, 3)
    pd.testing.assert_frame_equal(thin[["open", "high", "low", "close"]], bars.drop(columns="volume"), check_freq=False)


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9) | st.just(nan), min_size=1, max_size=300), points=st.integers(4, 320))
def test_a_thinned_line_keeps_the_extremes_and_both_ends_within_its_number(values: list[float], points: int) -> None:
    line = pd.Series(values, index=hours(len(values)))
    assume(line.notna().any())
    thin = thin_line(line, points)
    assert len(thin) <= points
    assert (thin.max(), thin.min()) == (line.max(), line.min())
    assert (thin.index[0], thin.index[-1]) == (line.index[0], line.index[-1])
    assert thin.index.is_monotonic_increasing
    assert thin.index.is_unique
    pd.testing.assert_series_equal(thin, line[thin.index], check_freq=False)


@given(st.integers(0, 60), st.integers(0, 89), st.integers(0, 89), st.integers(1, 20))
def test_a_stretch_holds_the_times_between_and_never_too_few(rows: int, begin: int, end: int, fewest: int) -> None:
    times = hours(90)[15 : 15 + rows]
    begin, end = sorted((begin, end))
    taken = times[stretch(times, hours(90)[begin], hours(90)[end], fewest)]
    inside = times[(times >= hours(90)[begin]) & (times <= hours(90)[end])]
    assert set(inside) <= set(taken)
    assert len(taken) == max(len(inside), min(fewest, rows))


@pytest.mark.parametrize("points", [2, 3])
def test_a_line_of_two_or_three_points_is_its_ends(points: int) -> None:
    assert list(thin_line(pd.Series([1.0, 9.0, 3.0, 4.0]), points)) == [1.0, 4.0]


def test_every_stretch_of_a_thinned_line_shows_its_own_extremes() -> None:
    quiet = np.zeros(10_000)
    quiet[[1234, 8765]] = (7.0, -7.0)
    thin = thin_line(pd.Series(quiet), 200)
    assert (thin[1234], thin[8765]) == (7.0, -7.0)


def test_nothing_is_drawn_as_nothing() -> None:
    assert len(thin_bars(bars_of_closes([]), 200)) == 0
    assert len(thin_line(pd.Series([], dtype="float64"), 200)) == 0


def test_a_price_figure_leaves_what_it_was_given_as_it_was(sample: pd.DataFrame, trades: pd.DataFrame) -> None:
    average = sample["close"].rolling(50).mean()
    before = [frame.copy(deep=True) for frame in (sample, trades)]
    kept = average.copy(deep=True)
    price_figure(sample, digits=5, points=300, lines={"SMA 50": average}, trades=trades)
    for given_, copy in zip((sample, trades), before, strict=True):
        pd.testing.assert_frame_equal(given_, copy, check_exact=True)
    pd.testing.assert_series_equal(average, kept, check_exact=True)


def test_an_equity_figure_leaves_what_it_was_given_as_it_was(sample: pd.DataFrame) -> None:
    equity, held = 10_000 * sample["close"], 9_000 * sample["close"]
    under = drawdown(equity)
    before = [series.copy(deep=True) for series in (equity, under, held)]
    equity_figure(equity, under, name="MA", currency="USD", points=300, benchmark=held)
    for given_, copy in zip((equity, under, held), before, strict=True):
        pd.testing.assert_series_equal(given_, copy, check_exact=True)


@pytest.mark.parametrize("points", [200, 777, 2000, 20_000])
def test_no_series_of_a_price_figure_has_more_points_than_asked(sample: pd.DataFrame, points: int) -> None:
    figure = price_figure(sample, digits=5, points=points, lines={"SMA 50": sample["close"].rolling(50).mean()})
    assert [trace.name for trace in figure.data] == ["Price", "SMA 50"]
    for trace in figure.data:
        assert points / 3 <= len(trace.x) <= points or len(trace.x) == len(sample)
    assert max(named(figure, "Price").high) == sample["high"].max()
    assert min(named(figure, "Price").low) == sample["low"].min()


@pytest.mark.parametrize("points", [200, 2000])
def test_no_series_of_an_equity_figure_has_more_points_than_asked(sample: pd.DataFrame, points: int) -> None:
    equity = 10_000 * sample["close"]
    figure = equity_figure(equity, drawdown(equity), name="MA", currency="USD", points=points, benchmark=equity / 2)
    assert {trace.name for trace in figure.data} == {"MA", "Buy and hold", "Drawdown"}
    assert all(points / 3 <= len(trace.x) <= points for trace in figure.data)
    assert max(named(figure, "MA").y) == equity.max()
    assert min(named(figure, "Drawdown").y) == pytest.approx(100 * drawdown(equity).min())


def test_a_line_outside_the_range_of_the_bars_is_left_out(sample: pd.DataFrame) -> None:
    week = sample.iloc[1000:1100]
    figure = price_figure(week, digits=5, points=2000, lines={"SMA 50": sample["close"].rolling(50).mean()})
    line = named(figure, "SMA 50")
    assert (pd.Timestamp(line.x[0]), pd.Timestamp(line.x[-1])) == (week.index[0], week.index[-1])
    assert len(line.x) == 100


def test_weekends_become_breaks_of_the_axis(sample: pd.DataFrame) -> None:
    fortnight = sample["2017-05-01":"2017-05-13"]
    breaks = price_figure(fortnight, digits=5, points=2000).layout.xaxis.rangebreaks
    bounds = [tuple(pd.Timestamp(bound) for bound in found.bounds) for found in breaks]
    assert bounds == [
        (pd.Timestamp("2017-05-05 21:00", tz="UTC"), pd.Timestamp("2017-05-07 21:00", tz="UTC")),
    ]


@pytest.mark.parametrize("points", [200, 2000])
def test_every_weekend_is_a_break_and_no_break_hides_a_bar(sample: pd.DataFrame, points: int) -> None:
    figure = price_figure(sample, digits=5, points=points)
    weekends = sample.index[1:][np.diff(sample.index) > np.timedelta64(40, "h")]
    assert set(weekends) <= {pd.Timestamp(found.bounds[1]) for found in figure.layout.xaxis.rangebreaks}
    for found in figure.layout.xaxis.rangebreaks:
        begin, end = (pd.Timestamp(bound) for bound in found.bounds)
        assert begin < end
        assert not ((sample.index >= begin) & (sample.index < end)).any()


def test_of_too_many_breaks_the_longest_are_kept() -> None:
    # An hour missing after every second bar, and one whole day: 300 gaps, of which 200 may be drawn.
    times = hours(900)[np.arange(900) % 3 != 2]
    times = times.append(times[-1:] + pd.Timedelta(days=1))
    bars = bars_of_closes([1.0] * len(times)).set_axis(times)
    breaks = price_figure(bars, digits=5, points=2000).layout.xaxis.rangebreaks
    assert len(breaks) == 200
    last = pd.Timestamp(breaks[-1].bounds[1])
    assert last == times[-1]


def test_a_market_without_gaps_has_no_breaks() -> None:
    figure = price_figure(bars_of_closes([1.0, 1.1] * 50), digits=5, points=2000)
    assert not figure.layout.xaxis.rangebreaks


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_handful_of_bars_can_be_drawn(sample: pd.DataFrame, rows: int) -> None:
    assert len(price_figure(sample.iloc[:rows], digits=5, points=200).data[0].x) == rows


def test_trades_are_marked_where_they_lie_in_the_range(sample: pd.DataFrame, trades: pd.DataFrame) -> None:
    figure = price_figure(sample.iloc[4900:], digits=5, points=2000, trades=trades)
    marked = {trace.name: list(pd.to_datetime(list(trace.x), utc=True)) for trace in marks(figure)}
    assert marked == {
        "Long entry": [trades["entry_time"][2]],
        "Short entry": [trades["entry_time"][1]],
        "Exit": [trades["exit_time"][1], trades["exit_time"][2]],
    }


def test_a_run_without_trades_is_drawn_without_marks(sample: pd.DataFrame, trades: pd.DataFrame) -> None:
    figure = price_figure(sample, digits=5, points=200, trades=trades.iloc[:0])
    assert sum(len(trace.x) for trace in marks(figure)) == 0


def test_the_palette_setting_switches_the_colours_of_up_and_down(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    green_red = palette()
    first = price_figure(sample, digits=5, points=200).data[0]
    monkeypatch.setenv("SEQUENCE_DISPLAY__PALETTE", "blue-orange")
    blue_orange = palette()
    second = price_figure(sample, digits=5, points=200).data[0]
    equity = equity_figure(sample["close"], drawdown(sample["close"]), name="MA", currency="USD", points=200)
    assert (first.increasing.line.color, first.decreasing.line.color) == (green_red.up, green_red.down)
    assert (second.increasing.line.color, second.decreasing.line.color) == (blue_orange.up, blue_orange.down)
    assert (named(equity, "MA").line.color, named(equity, "Drawdown").line.color) == (blue_orange.up, blue_orange.down)
    assert {green_red.up, green_red.down}.isdisjoint({blue_orange.up, blue_orange.down})


def test_the_axes_of_an_equity_figure_carry_their_units(sample: pd.DataFrame) -> None:
    figure = equity_figure(sample["close"], drawdown(sample["close"]), name="MA", currency="JPY", points=200)
    assert (figure.layout.yaxis.title.text, figure.layout.yaxis2.title.text) == ("JPY", "%")
    assert figure.layout.xaxis.hoverformat.endswith("UTC")
    assert figure.layout.xaxis2.hoverformat.endswith("UTC")


@pytest.mark.parametrize(("digits", "ticks", "hover"), [(5, ".4f", ".5f"), (3, ".3f", ".3f"), (2, ".2f", ".2f")])
def test_prices_are_written_with_the_digits_of_their_symbol(
    sample: pd.DataFrame, digits: int, ticks: str, hover: str
) -> None:
    figure = price_figure(sample, digits=digits, points=200)
    assert (figure.layout.yaxis.tickformat, figure.layout.yaxis.hoverformat) == (ticks, hover)
    assert figure.layout.xaxis.hoverformat.endswith("UTC")


def test_every_figure_has_the_common_look_and_the_height_asked_for(sample: pd.DataFrame) -> None:
    figures = [
        price_figure(sample, digits=5, points=200, height=500),
        equity_figure(sample["close"], drawdown(sample["close"]), name="MA", currency="USD", points=200, height=500),
        styled(go.Figure(), 500),
    ]
    for figure in figures:
        assert figure.layout.height == 500
        assert figure.layout.separators == ".\u202f"  # points for decimals, thin spaces for thousands
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.yaxis.side == "right"
        assert figure.layout.xaxis.rangeslider.visible is False


def coverage_of(bars: pd.DataFrame, asset_class: AssetClass = AssetClass.FX) -> Coverage:
    return coverage_matrix(pd.DatetimeIndex(bars.index), Timeframe.H1, asset_class, over_time=False)


def test_a_heat_map_words_what_is_missing_and_leaves_closed_hours_bare(sample: pd.DataFrame) -> None:
    wednesdays = [time for time in sample.index if (time.day_of_week, time.hour) == (2, 14)]
    [cells] = coverage_figure(coverage_of(sample.drop(wednesdays[:21])), unit="UTC").data
    assert (cells.text[2][14], cells.text[2][15], cells.text[5][12]) == ("51", "", "")
    assert np.isnan(cells.z[5][12])
    assert cells.customdata[2][14] == "Wed 14:00 UTC<br>22 of 43 bars, 51.16 %"
    assert cells.customdata[5][12] == "Sat 12:00 UTC<br>no bar expected"
    assert (cells.zmin, cells.zmax) == (50, 100)


def test_a_heat_map_of_unknown_hours_colours_the_counts(sample: pd.DataFrame) -> None:
    [cells] = coverage_figure(coverage_of(sample, AssetClass.OTHER), unit="UTC").data
    assert cells.customdata[2][14] == "Wed 14:00 UTC<br>43 bars"
    assert cells.zmax == max(max(row) for row in np.nan_to_num(cells.z)) == 43


def test_the_moves_are_drawn_as_shares_with_a_normal_distribution_of_equal_area(sample: pd.DataFrame) -> None:
    moves = moves_of(sample, Timeframe.H1, AssetClass.FX, 0.0001)
    bars, bell = moves_figure(moves).data
    assert sum(bars.y) == pytest.approx(100 * (1 - moves.beyond / moves.count))
    assert sum(bell.y) == pytest.approx(100, abs=0.1)
    assert bell.line.dash == "dash"
    assert max(moves_over_time_figure(moves.over_time).data[0].y) == moves.over_time.max()


def test_ranges_are_named_by_hour_or_weekday_and_the_top_quarter_is_bright(sample: pd.DataFrame) -> None:
    [hours] = ranges_figure(moves_of(sample, Timeframe.H1, AssetClass.FX, 0.0001).ranges, by_hour=True).data
    assert list(hours.x)[:3] == ["00", "01", "02"]
    assert sum(opacity == 1 for opacity in hours.marker.opacity) == 6
    [days] = ranges_figure(pd.Series([1.0, 2.0], index=[0, 4]), by_hour=False).data
    assert list(days.x) == ["Mon", "Fri"]


def test_charts_know_no_streamlit() -> None:
    ended = subprocess.run([sys.executable, "-c", IMPORT_CHARTS], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
