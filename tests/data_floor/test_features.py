from __future__ import annotations

import platform
from collections.abc import Callable
from math import cos, log, nan, pi, sin

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import PreprocessingConfig
from data.features import FEATURES, GROUPS, STANDARD, columns_of, engineered_features, lagged
from data.preprocessing import preprocess_frame
from market import kernels
from market.smoothing import wilder_mean
from market.symbols import AssetClass
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
Runner = Callable[..., object]
EVERY_GROUP = [*GROUPS]


def rsi(close: pd.Series, length: int) -> pd.Series:
    """Wilder's relative strength index as pandas reckons it."""
    change = close.diff()
    gain, loss = (wilder_mean(moves.clip(lower=0), length) for moves in (change, -change))
    index = 100 - 100 / (1 + gain / loss.where(loss > 0))
    return index.where(loss > 0, np.where(gain > 0, 100.0, 50.0)).where(loss.notna())


def walk(rows: int, seed: int = 3) -> np.ndarray:
    return 1.1 + np.random.default_rng(seed).normal(0, 1e-4, rows).cumsum()


def kinds_of_values() -> dict[str, np.ndarray]:
    """What real columns are like, and worse."""
    rng = np.random.default_rng(11)
    values = walk(3000)
    return {
        "a walk": values,
        "holes": np.where(rng.random(3000) < 0.02, nan, values),
        "holes longer than any window": np.where(np.arange(3000) // 70 % 3 == 1, nan, values),
        "nothing at first": np.where(np.arange(3000) < 77, nan, values),
        "infinities": np.where(rng.random(3000) < 0.01, np.inf, values),
        "prices a million times too high": np.where(rng.random(3000) < 0.005, 1e6, values),
        "flat stretches": np.round(values, 3),
        "signs of both kinds": np.diff(values, prepend=values[0]),
    }


def run(kernel: Callable[..., None], values: np.ndarray, *arguments: float) -> np.ndarray:
    out = np.full(len(values), 17.0)
    kernel(values, *arguments, out)
    return out


def assert_close(found: np.ndarray | pd.Series, expected: np.ndarray | pd.Series) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-12, atol=1e-15)


def candles(rows: list[tuple[float, float, float, float]], start: str = "2024-01-01", freq: str = "h") -> pd.DataFrame:
    index = pd.date_range(start, periods=len(rows), freq=freq, tz="UTC", unit="us", name="time")
    return pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype="float64", index=index).assign(volume=1.0)


def feature(bars: pd.DataFrame, name: str, asset_class: AssetClass = AssetClass.FX) -> pd.Series:
    return engineered_features(bars, [name], asset_class)[name]


# Kernels against pandas


@pytest.mark.parametrize("kind", kinds_of_values())
@pytest.mark.parametrize("length", [2, 10, 50])
def test_rolling_figures_are_those_of_pandas(kind: str, length: int) -> None:
    values = kinds_of_values()[kind]
    rolling = pd.Series(values).rolling(length)
    assert_close(run(kernels.rolling_mean, values, length), rolling.mean())
    for ddof in (0, 1):
        assert_close(run(kernels.rolling_deviation, values, length, ddof), rolling.std(ddof=ddof))
    assert_close(run(kernels.rolling_extreme, values, length, 1.0), rolling.max())
    assert_close(run(kernels.rolling_extreme, values, length, -1.0), rolling.min())


@pytest.mark.parametrize("kind", kinds_of_values())
@pytest.mark.parametrize("length", [9, 26])
def test_exponential_means_are_those_of_pandas(kind: str, length: int) -> None:
    values = kinds_of_values()[kind]
    expected = pd.Series(values).ewm(span=length, adjust=False, min_periods=length).mean()
    assert_close(run(kernels.exponential_mean, values, 1 / (1 + (length - 1) / 2), length), expected)


def test_the_mean_of_equal_values_is_that_value() -> None:
    values = np.concatenate([[0.1, 0.7, 1e6, 0.3], np.full(60, 1.1)])
    assert set(run(kernels.rolling_mean, values, 50)[53:]) == {1.1}
    assert set(run(kernels.rolling_deviation, values, 50, 0)[53:]) == {0.0}


def plain_pandas(bars: pd.DataFrame) -> dict[str, pd.Series]:
    """The same features written with pandas."""
    close, high, low = bars["close"], bars["high"], bars["low"]
    before = close.shift(1)
    returns = close.pct_change(fill_method=None)
    ranges = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)

    def exponential(values: pd.Series, length: int) -> pd.Series:
        return values.ewm(span=length, adjust=False, min_periods=length).mean()

    macd = exponential(close, 12) - exponential(close, 26)
    signal = exponential(macd, 9)
    middle, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    return {
        "return_1": returns,
        "return_5": close.pct_change(5, fill_method=None),
        "return_20": close.pct_change(20, fill_method=None),
        "log_return_1": np.log(close / before),
        **{f"sma_{length}": close.rolling(length).mean() for length in (10, 20, 50)},
        **{f"ema_{length}": exponential(close, length) for length in (20, 50)},
        "volatility_20": returns.rolling(20).std(),
        "atr_14": wilder_mean(ranges, 14),
        "rsi_14": rsi(close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": macd - signal,
        "bollinger_position": (close - (middle - 2 * deviation)) / (4 * deviation),
        "bollinger_width": 4 * deviation / middle,
        "high_distance_20": close / high.rolling(20).max() - 1,
        "low_distance_20": close / low.rolling(20).min() - 1,
        "candle_body": (close - bars["open"]) / (high - low),
        "candle_upper_shadow": (high - bars[["open", "close"]].max(axis=1)) / (high - low),
        "candle_lower_shadow": (bars[["open", "close"]].min(axis=1) - low) / (high - low),
        "candle_range": (high - low) / close,
    }


def test_features_of_the_sample_are_those_of_pandas(sample: pd.DataFrame) -> None:
    expected = plain_pandas(sample)
    priced = [name for name in FEATURES if name in expected]
    assert len(priced) >= 16
    moving = sample["high"] > sample["low"]  # two bars have no range: pandas divides by zero there
    for name in priced:
        rows = moving if name.startswith("candle_") else slice(None)
        found = feature(sample, name)[rows]
        np.testing.assert_allclose(found, expected[name][rows], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="elsewhere pandas joins products and sums")
def test_the_standard_columns_are_those_of_the_first_version_bit_for_bit(sample: pd.DataFrame) -> None:
    holed = sample.copy()
    rng = np.random.default_rng(5)
    for name in ("open", "high", "low", "close"):
        holed.loc[rng.random(len(holed)) < 0.01, name] = nan
    for bars in (sample, holed, holed.iloc[40:60]):
        expected = plain_pandas(bars)
        found = engineered_features(bars)
        assert list(found) == [*STANDARD]
        for name in STANDARD:
            pd.testing.assert_series_equal(found[name], expected[name], check_exact=True, check_names=False)


@pytest.mark.parametrize("holes", [0, 49, 50, 51, 52, 1010, 1011, 1012])
def test_wilders_average_waits_for_prices_however_late_they_come(sample: pd.DataFrame, holes: int) -> None:
    bars = sample.iloc[:1100].copy()
    bars.iloc[:holes, :4] = nan
    assert_close(feature(bars, "rsi_14"), rsi(bars["close"], 14))
    assert_close(feature(bars, "atr_14"), plain_pandas(bars)["atr_14"])


# Formulas by hand


def test_returns_over_more_bars_and_logarithmic_ones(made: MadeBars) -> None:
    bars = made([100, 110, 121, 100, 100, 125])
    assert feature(bars, "return_5").tolist() == pytest.approx([nan] * 5 + [0.25], nan_ok=True)
    assert feature(bars, "log_return_1").iloc[1] == pytest.approx(log(1.1))
    assert feature(made([100.0, 0.0, 100.0]), "log_return_1").isna().all()


def test_an_exponential_average_moves_by_two_over_length_plus_one(made: MadeBars) -> None:
    bars = made([100.0] * 20 + [121.0])
    assert feature(bars, "ema_20").tolist() == pytest.approx([nan] * 19 + [100.0, 100 + 21 * 2 / 21], nan_ok=True)


def test_the_relative_strength_index_of_three_gains_to_one_loss_is_75(made: MadeBars) -> None:
    closes = np.concatenate([[100.0], 100 + np.cumsum([3.0, -1.0] * 7)])
    strength = feature(made(closes), "rsi_14")
    assert strength.iloc[:14].isna().all()
    assert strength.iloc[14] == pytest.approx(75.0)
    assert feature(made(np.arange(1.0, 17.0)), "rsi_14").iloc[-1] == 100.0
    assert feature(made([5.0] * 16), "rsi_14").iloc[-1] == 50.0


def test_macd_of_a_straight_line_is_the_difference_of_the_lags(made: MadeBars) -> None:
    # An exponential average of length n trails a line of slope 1 by (n − 1) / 2.
    macd = engineered_features(made(np.arange(1.0, 801.0)), GROUPS["macd"])
    assert macd["macd"].first_valid_index() == macd.index[25]
    assert macd["macd_signal"].first_valid_index() == macd.index[33]
    assert macd.iloc[-1].tolist() == pytest.approx([7.0, 7.0, 0.0], abs=1e-9)


def test_the_band_position_is_a_half_in_the_middle_and_leaves_zero_to_one_beyond_the_bands(made: MadeBars) -> None:
    # Ten closes of 99 and ten of 101: mean 100, deviation (ddof 0) 1, bands 98 and 102.
    bars = made([99.0, 101.0] * 10)
    assert feature(bars, "bollinger_position").iloc[-1] == pytest.approx(0.75)
    assert feature(bars, "bollinger_width").iloc[-1] == pytest.approx(0.04)
    assert feature(made([5.0] * 20), "bollinger_position").iloc[-1] == 0.5
    assert feature(made([99.0, 101.0] * 10 + [110.0]), "bollinger_position").iloc[-1] > 1


def test_distances_are_measured_from_the_extremes_of_twenty_bars(made: MadeBars) -> None:
    bars = made([100.0] * 25)
    bars.iloc[3, bars.columns.get_loc("high")] = 125.0
    bars.iloc[4, bars.columns.get_loc("low")] = 80.0
    high, low = feature(bars, "high_distance_20"), feature(bars, "low_distance_20")
    assert high.iloc[:19].isna().all()
    assert high.iloc[22] == pytest.approx(100 / 125 - 1)
    assert high.iloc[23] == pytest.approx(100 / 100.5 - 1)
    assert low.iloc[23] == pytest.approx(100 / 80 - 1)
    assert low.iloc[24] == pytest.approx(100 / 99.5 - 1)


def test_a_candle_is_split_into_body_and_shadows() -> None:
    bars = candles([(10, 14, 8, 12), (12, 14, 8, 10), (5, 5, 5, 5)])
    shape = engineered_features(bars, GROUPS["candle"])
    assert shape["candle_body"].tolist() == pytest.approx([1 / 3, -1 / 3, 0])
    assert shape["candle_upper_shadow"].tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    assert shape["candle_lower_shadow"].tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    assert shape["candle_range"].tolist() == pytest.approx([6 / 12, 6 / 10, 0])
    bars.iloc[1, 0] = nan
    assert shape_is_missing(bars, "candle_body").tolist() == [False, True, False]


def shape_is_missing(bars: pd.DataFrame, name: str) -> pd.Series:
    return feature(bars, name).isna()


# The clock


def hours_of(session: str, day: str) -> list[int]:
    """The UTC hours of a day at which a session is open."""
    bars = candles([(1, 1, 1, 1)] * 24, start=day)
    flags = feature(bars, f"session_{session}")
    return [int(hour) for hour in np.flatnonzero(flags == 1)]


@pytest.mark.parametrize(
    ("day", "london", "new_york"),
    [
        ("2024-01-16", range(8, 17), range(13, 22)),  # winter on both sides of the Atlantic
        ("2024-03-20", range(8, 17), range(12, 21)),  # summer in New York, not yet in London
        ("2024-07-16", range(7, 16), range(12, 21)),  # summer on both
        ("2024-10-30", range(8, 17), range(12, 21)),  # summer in New York, no longer in London
    ],
)
def test_sessions_follow_the_clocks_of_their_cities(day: str, london: range, new_york: range) -> None:
    assert hours_of("london", day) == [*london]
    assert hours_of("new_york", day) == [*new_york]
    assert hours_of("tokyo", day) == [*range(9)]  # no summer time in Japan


@pytest.mark.parametrize(
    ("day", "hours"), [("2024-01-16", [*range(5), *range(20, 24)]), ("2024-07-16", [*range(6), 21, 22, 23])]
)
def test_sydney_has_its_summer_in_january(day: str, hours: list[int]) -> None:
    assert hours_of("sydney", day) == hours


def test_no_session_is_open_on_its_own_weekend() -> None:
    assert hours_of("london", "2024-07-13") == []
    assert hours_of("sydney", "2024-07-14") == [21, 22, 23]  # Monday morning there


def test_the_minute_before_a_session_opens_is_outside() -> None:
    bars = candles([(1, 1, 1, 1)] * 3, start="2024-07-16 06:59", freq="min")
    assert feature(bars, "session_london").tolist() == [0.0, 1.0, 1.0]
    last = candles([(1, 1, 1, 1)] * 2, start="2024-07-16 15:59", freq="min")
    assert feature(last, "session_london").tolist() == [1.0, 0.0]


def test_the_weekday_is_that_of_the_trading_day() -> None:
    bars = candles([(1, 1, 1, 1)] * 3, start="2024-07-14 20:00")  # Sunday; New York is at 16:00
    assert feature(bars, "weekday").tolist() == [0.0, 0.0, 0.0]
    assert feature(bars, "weekday", AssetClass.CRYPTO).tolist() == [6.0, 6.0, 6.0]
    friday = candles([(1, 1, 1, 1)] * 2, start="2024-07-19 20:00")
    assert feature(friday, "weekday").tolist() == [4.0, 0.0]


def test_a_trading_day_turns_once_from_seventeen_new_york() -> None:
    for day in ("2024-01-16 22:00", "2024-07-16 21:00"):
        bars = candles([(1, 1, 1, 1)] * 4, start=day, freq="6h")
        assert feature(bars, "hour_sin").tolist() == pytest.approx([0, 1, 0, -1])
        assert feature(bars, "hour_cos").tolist() == pytest.approx([1, 0, -1, 0])
    minute = candles([(1, 1, 1, 1)], start="2024-07-16 21:37")
    assert feature(minute, "hour_sin").iloc[0] == pytest.approx(sin(2 * pi * 37 / 1440))
    assert feature(minute, "hour_cos", AssetClass.CRYPTO).iloc[0] == pytest.approx(cos(2 * pi * (21 * 60 + 37) / 1440))


def test_the_last_trading_day_of_a_month_is_marked() -> None:
    days = ["2024-05-30 20:00", "2024-05-30 21:00", "2024-05-31 20:00", "2024-05-31 21:00", "2024-06-28 12:00"]
    bars = candles([(1, 1, 1, 1)] * 5).set_axis(pd.DatetimeIndex(pd.to_datetime(days, utc=True), name="time"))
    assert feature(bars, "month_end").tolist() == [0, 1, 1, 0, 1]  # June began on a Saturday, and ended on one
    assert feature(bars, "month_end", AssetClass.CRYPTO).tolist() == [0, 0, 1, 1, 0]


# Nothing of the future


def fx_bars(rows: int, seed: int, freq: str, holes: float, digits: int) -> pd.DataFrame:
    """Random bars of the hours in which FX trades, some of them left out, some with holes."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-03-06", periods=6 * rows, freq=freq, tz="UTC", unit="us", name="time")
    wall = times.tz_convert("America/New_York")
    since_sunday = (wall.day_of_week + 1) % 7 * 24 + wall.hour
    times = times[(since_sunday >= 17) & (since_sunday < 5 * 24 + 17) & (rng.random(len(times)) < 0.95)][:rows]
    close = np.round(1.1 + rng.normal(0, 1e-3, len(times)).cumsum(), digits)
    opened = np.concatenate([close[:1], close[:-1]])
    reach = np.round(np.abs(rng.normal(0, 1e-3, (2, len(times)))), digits)
    prices = {"open": opened, "high": np.maximum(opened, close) + reach[0], "low": np.minimum(opened, close) - reach[1]}
    bars = pd.DataFrame({**prices, "close": close, "volume": rng.integers(0, 99, len(times)) * 1.0}, index=times)
    return bars.mask(rng.random(bars.shape) < holes)


def published_before(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
    """A stand-in for news: how many of the stories that come every 47 minutes were out before each close."""
    stories = pd.date_range("2024-03-01", "2024-06-01", freq="47min", tz="UTC", unit="us")
    return pd.DataFrame({"news_count": stories.searchsorted(closes, side="left")}, index=closes)


def rewritten(bars: pd.DataFrame, cut: int, asked: PreprocessingConfig, timeframe: Timeframe) -> set[str]:
    """The columns that the first `cut` bars have otherwise once later bars are there."""

    def first_rows(frame: pd.DataFrame) -> pd.DataFrame:
        return preprocess_frame(frame, asked, published_before, timeframe).frame.iloc[:cut]

    alone, whole = first_rows(bars.iloc[:cut]), first_rows(bars)
    other = bars.copy()
    other.iloc[cut:] = other.iloc[cut:] * 7 + 3
    elsewhere = first_rows(other)
    return {
        str(name)
        for name in whole
        for again in (alone, elsewhere)
        if name not in again or again[name].to_numpy().tobytes() != whole[name].to_numpy().tobytes()
    }


made_up_bars = st.builds(
    lambda rows, seed, freq, holes, digits: (fx_bars(rows, seed, freq, holes, digits), freq),
    st.integers(2, 140),
    st.integers(0, 10_000),
    st.sampled_from(["min", "15min", "h", "4h"]),
    st.sampled_from([0.0, 0.03]),
    st.sampled_from([2, 5]),
)
LENGTHS = {"min": Timeframe.M1, "15min": Timeframe.M15, "h": Timeframe.H1, "4h": Timeframe.H4}


@settings(deadline=None, max_examples=60)
@given(made=made_up_bars, cut=st.integers(1, 140), fill=st.sampled_from(["none", "forward"]))
def test_no_column_of_a_bar_changes_when_later_bars_come_or_change(
    made: tuple[pd.DataFrame, str], cut: int, fill: str
) -> None:
    bars, freq = made
    asked = PreprocessingConfig(
        engineer_features=True,
        features=EVERY_GROUP,
        lag_columns=["return_1", "close", "rsi_14", "news_count"],
        fill_missing=fill,
    )
    found = rewritten(bars, min(cut, len(bars)), asked, LENGTHS[freq])
    # Whether a column of fills is added depends on holes anywhere; its values do not.
    assert {name for name in found if not name.endswith("_filled")} == set()


def test_the_check_for_the_future_finds_it_where_it_is() -> None:
    bars = fx_bars(100, 4, "h", 0.0, 5)
    bars.iloc[49, bars.columns.get_loc("close")] = nan
    looking = PreprocessingConfig(fill_missing="backward", engineer_features=True)
    assert looking.looks_ahead == ["fill_missing"]
    assert rewritten(bars, 50, looking, Timeframe.H1) >= {"close_filled", "return_1"}
    fitted = PreprocessingConfig(normalize=True, fit_on="all")
    assert fitted.looks_ahead == ["fit_on"]
    assert "close_zscore" in rewritten(bars, 40, fitted, Timeframe.H1)


def test_every_group_but_lags_and_news_has_columns_and_every_column_is_made(sample: pd.DataFrame) -> None:
    assert {group for group, columns in GROUPS.items() if not columns} == {"lags", "news"}
    made = engineered_features(sample.iloc[:200], FEATURES)
    assert list(made) == [*FEATURES]
    assert made.iloc[60:].notna().all().all()
    assert set(STANDARD) <= set(FEATURES)
    assert columns_of(["macd", "rsi"]) == ["rsi_14", "macd", "macd_signal", "macd_histogram"]


@pytest.mark.parametrize("rows", [0, 1, 13, 14, 15])
def test_few_rows_have_features_without_values(sample: pd.DataFrame, rows: int) -> None:
    made = engineered_features(sample.iloc[:rows], FEATURES)
    assert made.shape == (rows, len(FEATURES))
    assert made["sma_20"].isna().all()


def test_bars_are_left_as_they_were(sample: pd.DataFrame) -> None:
    before = sample.copy(deep=True)
    made = engineered_features(sample, FEATURES)
    made.iloc[:, 0] = 0.0
    pd.testing.assert_frame_equal(sample, before, check_exact=True)


def test_columns_made_side_by_side_are_those_made_in_turn(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_turn = engineered_features(sample, FEATURES)
    monkeypatch.setattr("data.features._ROWS_FOR_THREADS", 1)
    monkeypatch.setattr("data.features._THREADS", 4)
    for columns in (FEATURES, FEATURES[::-1]):
        side_by_side = engineered_features(sample, columns)
        pd.testing.assert_frame_equal(side_by_side[list(FEATURES)], in_turn, check_exact=True)


def test_a_name_that_is_no_feature_is_an_error(sample: pd.DataFrame) -> None:
    with pytest.raises(KeyError, match="sma_11"):
        engineered_features(sample, ["sma_10", "sma_11"])


def test_a_lag_longer_than_the_bars_is_empty() -> None:
    assert lagged(np.array([1.0, 2.0, 3.0]), 2).tolist() == pytest.approx([nan, nan, 1.0], nan_ok=True)
    assert np.isnan(lagged(np.arange(5.0), 7)).all()


def test_numba_is_not_imported_before_a_feature_is_asked_for(run_script: Runner) -> None:
    done = run_script(
        "import sys, data.preprocessing\n"
        "from data.pipeline_controller import controller\n"
        "assert 'numba' not in sys.modules\n"
        "import pandas as pd\n"
        "bars = pd.DataFrame({n: [1.0, 2.0] for n in ('open', 'high', 'low', 'close', 'volume')},\n"
        "                    index=pd.date_range('2024-01-01', periods=2, freq='h', tz='UTC', name='time'))\n"
        "controller.preprocess(bars, None, {'normalize': True})\n"
        "assert 'numba' not in sys.modules\n"
        "controller.preprocess(bars, None, {'engineer_features': True})\n"
        "print('numba' in sys.modules)"
    )
    assert done.stdout.strip() == "True", done.stderr  # type: ignore[attr-defined]


def test_kernels_are_compiled_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def njit(**options: bool) -> Callable[[object], object]:
        asked.append("cache" in options)
        if "cache" in options:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda kernel: kernel

    monkeypatch.setattr(kernels, "njit", njit)

    def kernel() -> None: ...

    assert kernels.compiled(kernel) is kernel
    assert asked == [True, False]
