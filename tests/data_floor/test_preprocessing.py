from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BarsError, DataRequestError, InputError
from data.config import PreprocessingConfig
from data.features import GROUPS, engineered_features
from data.normalization import fit_normalization, normalized
from data.pipeline_controller import controller
from data.preprocessing import apply_prepared, invert, preprocess_frame
from market.bars import RAW_COLUMNS
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
FEATURES = ["return_1", "sma_10", "sma_20", "sma_50", "volatility_20", "atr_14"]
SCALED = [f"{name}_zscore" for name in RAW_COLUMNS]
nan = np.nan


def prepared(frame: pd.DataFrame, **settings: object) -> pd.DataFrame:
    return preprocess_frame(frame, PreprocessingConfig(**settings)).frame


def pinned_walk(rows: int = 120) -> np.ndarray:
    steps = np.random.default_rng(7).normal(0, 1, rows)
    return 100 + steps.cumsum()


def test_raw_columns_are_bit_equal_afterwards(sample: pd.DataFrame) -> None:
    before = sample.copy(deep=True)
    frame, _ = controller.preprocess(
        sample, None, {"normalize": True, "engineer_features": True, "fill_missing": "forward"}
    )
    pd.testing.assert_frame_equal(sample, before, check_exact=True)
    for name in RAW_COLUMNS:
        assert frame[name].to_numpy().tobytes() == before[name].to_numpy().tobytes()
    assert frame.index.equals(before.index)


def test_columns_are_added_after_the_raw_ones_in_the_order_of_their_making(sample: pd.DataFrame) -> None:
    frame, _ = controller.preprocess(sample, None, {"normalize": True, "engineer_features": True})
    assert list(frame.columns) == [*RAW_COLUMNS, *FEATURES, *SCALED]
    (row,) = controller.get_pipeline_status()["preprocessing"]
    assert row["columns_added"] == [*FEATURES, *SCALED]


def test_without_settings_nothing_is_added(sample: pd.DataFrame) -> None:
    frame, _ = controller.preprocess(sample)
    pd.testing.assert_frame_equal(frame, sample)
    assert controller.get_pipeline_status()["preprocessing"][0]["columns_added"] == []


def test_the_caller_may_pass_title_case_columns_and_naive_times(sample: pd.DataFrame) -> None:
    foreign = sample.rename(columns=str.title).tz_localize(None)
    frame, _ = controller.preprocess(foreign, None, {"engineer_features": True})
    expected, _ = controller.preprocess(sample, None, {"engineer_features": True})
    pd.testing.assert_frame_equal(frame, expected)


def test_a_column_that_is_there_already_is_not_added_twice(sample: pd.DataFrame) -> None:
    once, _ = controller.preprocess(sample, None, {"normalize": True})
    with pytest.raises(DataRequestError, match="The frame has a column 'open_zscore' already"):
        controller.preprocess(once, None, {"normalize": True})
    assert len(controller.get_pipeline_status()["preprocessing"]) == 1


def test_an_unknown_setting_is_refused_and_leaves_no_row(sample: pd.DataFrame) -> None:
    with pytest.raises(DataRequestError, match="Did you mean 'engineer_features'"):
        controller.preprocess(sample, None, {"engineer_feature": True})
    assert controller.get_pipeline_status()["preprocessing"] == []


def test_a_collection_that_does_not_exist_is_refused(sample: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="data_collections has no row 17"):
        controller.preprocess(sample, 17, {"normalize": True})


def test_rows_out_of_order_are_refused_with_their_symbol(made: MadeBars) -> None:
    frame = pd.concat([made([1, 2, 3], "EURUSD"), made([1, 2, 3], "GBPUSD").iloc[::-1]])
    with pytest.raises(BarsError, match=r"GBPUSD: Row 1 .* is earlier than the row before it"):
        controller.preprocess(frame)


def test_zscore_and_minmax_are_fitted_on_the_first_rows_only(made: MadeBars) -> None:
    bars = made([*range(1, 8), 1000.0, 2000.0, 3000.0])
    zscored = prepared(bars, normalize=True, train_fraction=0.7)
    assert zscored["close_zscore"].iloc[0] == pytest.approx((1 - 4) / 2)  # 1 … 7: mean 4, deviation (ddof 0) 2
    assert zscored["close_zscore"].iloc[-1] == pytest.approx((3000 - 4) / 2)
    scaled = prepared(bars, normalize=True, normalization_method="minmax", train_fraction=0.7)
    assert list(scaled["close_minmax"].iloc[:7]) == pytest.approx([n / 6 for n in range(7)])
    assert scaled["close_minmax"].iloc[-1] == pytest.approx(2999 / 6)


def test_changing_later_rows_leaves_what_was_fitted_equal(sample: pd.DataFrame) -> None:
    settings = PreprocessingConfig(normalize=True, train_fraction=0.7)
    changed = sample.copy()
    changed.iloc[3500:, :4] *= 3
    first = preprocess_frame(sample, settings)
    second = preprocess_frame(changed, settings)
    assert first.fitted == second.fitted
    pd.testing.assert_frame_equal(first.frame[SCALED].iloc[:3500], second.frame[SCALED].iloc[:3500], check_exact=True)
    changed.iloc[3499, 3] *= 3
    assert preprocess_frame(changed, settings).fitted != first.fitted


def test_the_share_of_training_rows_comes_from_the_settings(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_DATA__TRAIN_FRACTION", "0.5")
    controller.preprocess(sample, None, {"normalize": True})
    (row,) = controller.get_pipeline_status()["preprocessing"]
    assert row["settings"]["train_fraction"] == 0.5
    assert row["fitted"][""]["close"]["mean"] == sample["close"].iloc[:2500].mean()


def test_what_was_fitted_is_stored_and_brings_new_bars_to_the_same_scale(sample: pd.DataFrame) -> None:
    frame, _ = controller.preprocess(sample, None, {"normalize": True})
    fitted = controller.get_pipeline_status()["preprocessing"][0]["fitted"][""]
    again = normalized(sample.iloc[-100:], fitted, "zscore")
    pd.testing.assert_frame_equal(again, frame[SCALED].iloc[-100:], check_exact=True)


def test_each_symbol_is_fitted_on_its_own_rows(made: MadeBars) -> None:
    frame = pd.concat([made([1, 2, 3, 4, 5], "EURUSD"), made([150, 151, 152], "USDJPY")])
    result = preprocess_frame(frame, PreprocessingConfig(normalize=True, train_fraction=1))
    assert result.fitted["EURUSD"]["close"] == {"mean": 3.0, "std": pytest.approx(2**0.5), "min": 1.0, "max": 5.0}
    assert result.fitted["USDJPY"]["close"]["mean"] == 151.0
    yen = result.frame[result.frame["symbol"] == "USDJPY"]["close_zscore"]
    assert list(yen) == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5])


def test_features_never_reach_from_one_symbol_into_the_next(made: MadeBars) -> None:
    walk = pinned_walk(60)
    alone = prepared(made(walk, "GBPUSD"), engineer_features=True)
    frame = pd.concat([made(walk * 50, "USDJPY"), made(walk, "GBPUSD")])
    together = prepared(frame, engineer_features=True)
    pd.testing.assert_frame_equal(together[together["symbol"] == "GBPUSD"], alone)


def test_symbols_whose_rows_alternate_keep_their_own_figures(made: MadeBars) -> None:
    walk = pinned_walk(60)
    grouped = pd.concat([made(walk, "EURUSD"), made(walk * 50, "USDJPY")])
    alternating = grouped.sort_index(kind="stable")
    result = prepared(alternating, normalize=True, engineer_features=True)
    pd.testing.assert_frame_equal(
        result[result["symbol"] == "USDJPY"],
        prepared(made(walk * 50, "USDJPY"), normalize=True, engineer_features=True),
    )


@settings(deadline=None)
@given(
    closes=st.lists(st.floats(0.5, 2.0), min_size=2, max_size=90),
    cut=st.integers(1, 90),
)
def test_no_feature_of_a_bar_changes_when_later_bars_arrive(closes: list[float], cut: int) -> None:
    close = np.array(closes)
    bars = pd.DataFrame(
        {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1.0},
        index=pd.date_range("2024-01-01", periods=len(close), freq="h", tz="UTC", name="time"),
    )
    full = engineered_features(bars)
    pd.testing.assert_frame_equal(engineered_features(bars.iloc[:cut]), full.iloc[:cut], check_exact=True)


@pytest.mark.parametrize("rows", [1, 14, 15, 50, 51, 777, 4999])
def test_features_of_a_prefix_of_the_sample_are_those_of_the_whole(sample: pd.DataFrame, rows: int) -> None:
    full = engineered_features(sample)
    pd.testing.assert_frame_equal(engineered_features(sample.iloc[:rows]), full.iloc[:rows], check_exact=True)


def test_returns_are_simple_and_over_one_bar(made: MadeBars) -> None:
    assert list(engineered_features(made([100, 110, 99]))["return_1"]) == pytest.approx([nan, 0.1, -0.1], nan_ok=True)


def test_moving_averages_are_means_of_the_last_closes(made: MadeBars) -> None:
    features = engineered_features(made(range(1, 61)))
    assert features["sma_10"].iloc[8:11].tolist() == pytest.approx([nan, 5.5, 6.5], nan_ok=True)
    assert features["sma_20"].iloc[18:21].tolist() == pytest.approx([nan, 10.5, 11.5], nan_ok=True)
    assert features["sma_50"].iloc[48:51].tolist() == pytest.approx([nan, 25.5, 26.5], nan_ok=True)


def test_volatility_is_the_deviation_of_twenty_returns(made: MadeBars) -> None:
    # Returns alternate between +10 % and −10 %; twenty of them, ten each, have the deviation √(20/19) · 0.1.
    closes = [100 * 1.1 ** ((n + 1) // 2) * 0.9 ** (n // 2) for n in range(23)]
    volatility = engineered_features(made(closes))["volatility_20"]
    assert volatility.iloc[:20].isna().all()
    assert volatility.iloc[20:].tolist() == pytest.approx([0.1 * (20 / 19) ** 0.5] * 3)


def test_average_true_range_is_smoothed_as_wilder_does() -> None:
    # Fourteen bars of range 2, then a gap up of 10 (true range 11 from the close before), then a quiet bar of range 1.
    rows = [(10, 11, 9, 10)] * 14 + [(20, 21, 19, 20), (20, 20.5, 19.5, 20)]
    bars = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype="float64").assign(volume=1.0)
    after_gap = (13 * 2 + 11) / 14
    quiet = (13 * after_gap + 1) / 14
    atr = engineered_features(bars)["atr_14"]
    assert atr.iloc[:13].isna().all()
    assert atr.iloc[13:].tolist() == pytest.approx([2.0, after_gap, quiet])


def test_a_gap_down_counts_from_the_close_before() -> None:
    rows = [(10, 10, 10, 10)] * 14 + [(3, 4, 2, 3)]
    bars = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype="float64").assign(volume=1.0)
    assert engineered_features(bars)["atr_14"].iloc[-1] == pytest.approx((10 - 2) / 14)


def test_the_rows_in_which_features_warm_up_are_counted(sample: pd.DataFrame) -> None:
    assert preprocess_frame(sample, PreprocessingConfig(engineer_features=True)).warmup_rows == 49
    assert preprocess_frame(sample.iloc[:30], PreprocessingConfig(engineer_features=True)).warmup_rows == 30
    assert preprocess_frame(sample, PreprocessingConfig(normalize=True)).warmup_rows == 0


def test_a_hole_further_on_is_no_warm_up(made: MadeBars) -> None:
    bars = made(pinned_walk())
    bars.loc[bars.index[80], ["open", "high", "low", "close"]] = nan
    assert preprocess_frame(bars, PreprocessingConfig(engineer_features=True)).warmup_rows == 49


def test_filling_adds_columns_only_where_there_are_holes_and_leaves_the_raw_ones(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0, 4.0])
    bars.iloc[1, bars.columns.get_loc("close")] = nan
    bars.iloc[2, bars.columns.get_loc("high")] = nan
    result = preprocess_frame(bars, PreprocessingConfig(fill_missing="forward"))
    assert result.columns_added == ["high_filled", "close_filled"]
    assert result.frame["close"].isna().tolist() == [False, True, False, False]
    assert result.frame["close_filled"].tolist() == [1.0, 1.0, 3.0, 4.0]
    assert not result.looks_ahead


def test_filling_backward_looks_ahead_and_says_so(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0])
    bars.iloc[1, bars.columns.get_loc("close")] = nan
    frame, preprocessing_id = controller.preprocess(bars, None, {"fill_missing": "backward"})
    assert frame["close_filled"].tolist() == [1.0, 3.0, 3.0]
    assert controller.get_pipeline_status()["preprocessing"][0]["looks_ahead"] == 1
    assert controller.publish(frame, preprocessing_id=preprocessing_id).looks_ahead == 1


def test_a_frame_without_holes_is_not_filled(sample: pd.DataFrame) -> None:
    assert preprocess_frame(sample, PreprocessingConfig(fill_missing="forward")).columns_added == []


def test_a_hole_before_the_first_value_stays_a_hole(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    bars.iloc[0, bars.columns.get_loc("close")] = nan
    assert prepared(bars, fill_missing="forward")["close_filled"].tolist() == pytest.approx([nan, 2.0], nan_ok=True)


def test_holes_of_one_symbol_give_every_symbol_the_filled_column(made: MadeBars) -> None:
    holed = made([150.0, 151.0, 152.0], "USDJPY")
    holed.iloc[1, holed.columns.get_loc("close")] = nan
    frame = pd.concat([made([1.0, 2.0, 3.0], "EURUSD"), holed])
    result = preprocess_frame(frame, PreprocessingConfig(fill_missing="forward"))
    assert result.columns_added == ["close_filled"]
    assert result.frame["close_filled"].tolist() == [1.0, 2.0, 3.0, 150.0, 150.0, 152.0]


def test_features_are_made_from_filled_prices_where_filling_is_asked_for(made: MadeBars) -> None:
    bars = made([100.0, 110.0, 121.0])
    bars.iloc[1, bars.columns.get_loc("close")] = nan
    assert prepared(bars, engineer_features=True)["return_1"].isna().all()
    filled = prepared(bars, engineer_features=True, fill_missing="forward")
    assert filled["return_1"].tolist() == pytest.approx([nan, 0.0, 0.21], nan_ok=True)


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_a_column_that_was_constant_becomes_zero(made: MadeBars, method: str) -> None:
    bars = made([5.0] * 7 + [6.0] * 3)
    frame = prepared(bars, normalize=True, normalization_method=method)
    assert (frame[f"close_{method}"] == 0).all()
    assert (frame[f"volume_{method}"] == 0).all()


def test_a_single_row_can_be_fitted(made: MadeBars) -> None:
    figures = fit_normalization(made([3.0]), PreprocessingConfig(normalize=True, train_fraction=0.1))
    assert figures["close"] == {"mean": 3.0, "std": 0.0, "min": 3.0, "max": 3.0}


# Groups of features


def test_groups_add_their_columns_behind_the_standard_ones_each_once(sample: pd.DataFrame) -> None:
    result = preprocess_frame(sample, PreprocessingConfig(engineer_features=True, features=["macd", "averages"]))
    assert result.columns_added == [*FEATURES, "ema_20", "ema_50", "macd", "macd_signal", "macd_histogram"]
    alone = preprocess_frame(sample, PreprocessingConfig(features="rsi"))
    assert alone.columns_added == ["rsi_14"]
    assert alone.warmup_rows == 14


def test_equal_groups_are_equal_settings_however_they_were_written() -> None:
    one = PreprocessingConfig(features=["macd", "rsi", "macd"])
    assert one.features == ["rsi", "macd"]
    assert one.model_dump() == PreprocessingConfig(features=["rsi", "macd"]).model_dump()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"features": ["rsi", "bolinger"]},
            r"features='bolinger' cannot be used.*Did you mean 'bollinger'\? Known: returns",
        ),
        ({"features": ["lags"], "lags": [0]}, "lags=0 cannot be used.*greater than or equal to 1"),
        ({"features": ["lags"], "lags": []}, "lags=.. cannot be used"),
        ({"lags": [1, 2]}, r"lags=\[1, 2\] is given, but lags are not asked for. Add 'lags' to features"),
        ({"features": ["rsi"], "lag_columns": ["close"]}, "lag_columns=.*'lags' to features"),
        ({"features": ["lags"], "lag_columns": ["clse"]}, "no column 'clse' to lag. Did you mean 'close'"),
        ({"fit_on": "everything"}, "fit_on='everything' cannot be used.*'train' or 'all'"),
    ],
)
def test_a_group_a_lag_or_a_part_that_does_not_exist_is_refused(asked: dict[str, object], words: str) -> None:
    with pytest.raises(DataRequestError, match=words):
        PreprocessingConfig(**asked)


def test_settings_of_the_first_version_are_stored_as_it_stored_them() -> None:
    # They are part of a version's name: equal data must keep its name.
    assert PreprocessingConfig(engineer_features=True, train_fraction=0.7).model_dump() == {
        "normalize": False,
        "normalization_method": "zscore",
        "engineer_features": True,
        "fill_missing": "none",
        "train_fraction": 0.7,
    }


@pytest.mark.parametrize("asked", [{}, {"features": ["lags"], "lags": [3]}, {"normalize": True, "fit_on": "all"}])
def test_settings_come_back_from_what_was_stored(asked: dict[str, object]) -> None:
    settings = PreprocessingConfig(**asked)
    assert PreprocessingConfig(**settings.model_dump()) == settings


def test_lags_repeat_raw_columns_and_features_as_they_were(made: MadeBars) -> None:
    asked = PreprocessingConfig(features=["rsi", "lags"], lags=[2, 1], lag_columns=["close", "rsi_14", "return_5"])
    result = preprocess_frame(made(pinned_walk()), asked)
    lags = [f"{column}_lag_{bars}" for column in ("close", "rsi_14", "return_5") for bars in (1, 2)]
    assert result.columns_added == ["rsi_14", *lags]
    frame = result.frame
    pd.testing.assert_series_equal(frame["close_lag_2"], frame["close"].shift(2), check_names=False)
    pd.testing.assert_series_equal(frame["rsi_14_lag_1"], frame["rsi_14"].shift(1), check_names=False)
    expected = frame["close"].pct_change(5).shift(1)
    pd.testing.assert_series_equal(frame["return_5_lag_1"], expected, check_names=False)
    assert result.warmup_rows == 16


def test_lags_of_the_return_are_1_2_and_5_unless_others_are_asked_for(sample: pd.DataFrame) -> None:
    asked = PreprocessingConfig(features=["lags"])
    assert preprocess_frame(sample, asked).columns_added == ["return_1_lag_1", "return_1_lag_2", "return_1_lag_5"]


def test_a_lag_never_reaches_from_one_symbol_into_the_next(made: MadeBars) -> None:
    frame = pd.concat([made([1.0, 2.0], "EURUSD"), made([150.0, 151.0], "USDJPY")])
    lagged = prepared(frame, features=["lags"], lags=[1], lag_columns=["close"])["close_lag_1"]
    assert lagged.tolist() == pytest.approx([nan, 1.0, nan, 150.0], nan_ok=True)


def test_a_symbol_outside_fx_has_its_own_days(made: MadeBars) -> None:
    frame = pd.concat([made([1.0] * 24, "EURUSD"), made([1.0] * 24, "BTCUSD")])  # Monday 2024-01-01
    weekdays = prepared(frame, features=["calendar"]).groupby("symbol")["weekday"].unique()
    assert [*weekdays["EURUSD"]] == [0.0, 1.0]
    assert [*weekdays["BTCUSD"]] == [0.0]


# News


def tone(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
    """A stand-in for news: their tone is the hour at which they are asked for, for one symbol the negative of it."""
    sign = -1.0 if symbol == "USDJPY" else 1.0
    return pd.DataFrame({"tone": sign * closes.hour, "stories": 1.0}, index=closes)


def test_news_are_joined_as_they_were_known_when_each_bar_closed(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0], "EURUSD", start="2024-01-02 09:00")
    result = preprocess_frame(bars, PreprocessingConfig(features=["news"]), tone)
    assert result.frame["tone"].tolist() == [10.0, 11.0, 12.0]
    assert result.columns_added == result.joined == ["tone", "stories"]
    assert result.frame.index.equals(bars.index)
    longer = preprocess_frame(bars, PreprocessingConfig(features=["news"]), tone, Timeframe.H4)
    assert longer.frame["tone"].tolist() == [13.0, 14.0, 15.0]


def test_news_of_days_are_those_known_at_seventeen_new_york(made: MadeBars) -> None:
    days = made([1.0, 2.0, 3.0], "EURUSD").set_axis(pd.date_range("2024-07-15 21:00", periods=3, freq="D", tz="UTC"))
    days.index.name = "time"
    assert preprocess_frame(days, PreprocessingConfig(features=["news"]), tone).frame["tone"].tolist() == [21.0] * 3


def test_each_symbol_has_its_own_news(made: MadeBars) -> None:
    frame = pd.concat([made([1.0, 2.0], "EURUSD"), made([150.0, 151.0], "USDJPY")]).sort_index(kind="stable")
    result = preprocess_frame(frame, PreprocessingConfig(features=["news"]), tone).frame
    assert result["tone"].tolist() == [1.0, -1.0, 2.0, -2.0]


def test_news_that_begin_late_are_no_warm_up_and_can_be_lagged(made: MadeBars) -> None:
    def late(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
        known = tone(closes, symbol)
        known.iloc[:100] = nan
        return known

    asked = PreprocessingConfig(features=["rsi", "news", "lags"], lags=[1], lag_columns=["tone"])
    result = preprocess_frame(made(pinned_walk()), asked, late)
    assert result.warmup_rows == 14
    assert result.joined == ["tone", "stories", "tone_lag_1"]
    assert result.frame["tone_lag_1"].first_valid_index() == result.frame.index[101]


def test_news_asked_for_and_not_given_are_refused(made: MadeBars) -> None:
    with pytest.raises(DataRequestError, match=r"no news were given. Collect news first"):
        preprocess_frame(made([1.0, 2.0]), PreprocessingConfig(features=["news"]))


def test_news_not_asked_for_are_not_asked() -> None:
    def nobody(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
        raise AssertionError

    bars = pd.DataFrame({name: [1.0] for name in RAW_COLUMNS}, index=pd.date_range("2024", periods=1, tz="UTC"))
    assert preprocess_frame(bars, PreprocessingConfig(), nobody).columns_added == []


def test_news_for_other_moments_are_refused(made: MadeBars) -> None:
    def stale(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
        return tone(closes[:-1], symbol)

    with pytest.raises(DataRequestError, match="came for 1 moments; asked for were 2"):
        preprocess_frame(made([1.0, 2.0]), PreprocessingConfig(features=["news"]), stale)


@pytest.mark.parametrize("name", ["close", "rsi_14"])
def test_news_with_the_name_of_a_column_are_refused(made: MadeBars, name: str) -> None:
    def again(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
        return pd.DataFrame({name: 1.0}, index=closes)

    with pytest.raises(DataRequestError, match=f"has a column '{name}' already"):
        preprocess_frame(made([1.0, 2.0]), PreprocessingConfig(features=["rsi", "news"]), again)


def test_a_lag_of_news_that_did_not_come_is_refused(made: MadeBars) -> None:
    asked = PreprocessingConfig(features=["news", "lags"], lag_columns=["tonne"])
    with pytest.raises(DataRequestError, match=r"no column 'tonne' to lag. Did you mean 'tone'"):
        preprocess_frame(made([1.0, 2.0]), asked, tone)


# Fitted once, applied to new bars, and undone


def test_fitting_on_all_rows_sees_them_all_and_looks_ahead(made: MadeBars) -> None:
    bars = made([*range(1, 8), 1000.0, 2000.0, 3000.0])
    result = preprocess_frame(bars, PreprocessingConfig(normalize=True, fit_on="all", train_fraction=0.7))
    assert result.fitted[""]["close"]["max"] == 3000.0
    assert result.looks_ahead
    assert not preprocess_frame(bars, PreprocessingConfig(fit_on="all")).looks_ahead  # nothing is fitted
    frame, preprocessing_id = controller.preprocess(bars, None, {"normalize": True, "fit_on": "all"})
    assert controller.publish(frame, preprocessing_id=preprocessing_id).looks_ahead == 1


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_new_bars_become_what_they_would_have_been(sample: pd.DataFrame, method: str) -> None:
    asked = PreprocessingConfig(
        normalize=True, normalization_method=method, engineer_features=True, features=[*GROUPS][:-1], train_fraction=0.5
    )
    whole = preprocess_frame(sample, asked)
    stored = {symbol: dict(figures) for symbol, figures in whole.fitted.items()}
    again = apply_prepared(sample.iloc[:4000], asked, stored)
    assert again.columns_added == whole.columns_added
    assert again.fitted == whole.fitted
    pd.testing.assert_frame_equal(again.frame, whole.frame.iloc[:4000], check_exact=True)
    assert preprocess_frame(sample.iloc[:4000], asked).fitted != whole.fitted


def test_windows_of_new_bars_need_no_more_than_their_length_before_them(sample: pd.DataFrame) -> None:
    asked = PreprocessingConfig(engineer_features=True)
    whole = preprocess_frame(sample, asked).frame
    again = apply_prepared(sample.iloc[4000:], asked, {}).frame
    columns = ["return_1", "sma_50", "volatility_20"]
    pd.testing.assert_frame_equal(again[columns].iloc[49:], whole[columns].iloc[4049:], rtol=1e-9)


def test_new_bars_without_holes_have_the_fills_of_the_version(made: MadeBars) -> None:
    holed = made([1.0, 2.0, 3.0])
    holed.iloc[1, holed.columns.get_loc("close")] = nan
    asked = PreprocessingConfig(fill_missing="forward", normalize=True)
    version = preprocess_frame(holed, asked)
    new = apply_prepared(made([4.0, 5.0]), asked, version.fitted, columns=version.columns_added)
    assert new.columns_added == version.columns_added
    assert new.frame["close_filled"].tolist() == [4.0, 5.0]
    assert "close_filled" not in apply_prepared(made([4.0, 5.0]), asked, version.fitted).columns_added


def test_bars_of_a_symbol_that_was_not_fitted_are_refused(made: MadeBars) -> None:
    asked = PreprocessingConfig(normalize=True, train_fraction=1)
    fitted = preprocess_frame(made([1.0, 3.0], "EURUSD"), asked).fitted
    with pytest.raises(DataRequestError, match=r"Nothing was fitted for GBPUSD. Fitted: EURUSD"):
        apply_prepared(made([1.0, 2.0], "GBPUSD"), asked, fitted)
    nameless = apply_prepared(made([5.0]), asked, fitted)  # takes the only figures there are
    assert nameless.frame["close_zscore"].tolist() == [3.0]


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_normalised_columns_come_back_as_they_were(sample: pd.DataFrame, method: str) -> None:
    other = sample.assign(symbol="USDJPY", source="x")
    other[list(RAW_COLUMNS)] *= 130
    frame = pd.concat([sample.assign(symbol="EURUSD", source="x"), other]).sort_index(kind="stable")
    frame.iloc[17, frame.columns.get_loc("close")] = nan
    result = preprocess_frame(frame, PreprocessingConfig(normalize=True, normalization_method=method))
    scaled_only = result.frame.drop(columns=list(RAW_COLUMNS))
    pd.testing.assert_frame_equal(invert(scaled_only, result.fitted), frame[list(RAW_COLUMNS)], rtol=1e-9, atol=1e-9)


def test_a_column_that_was_constant_comes_back_as_that_constant(made: MadeBars) -> None:
    result = preprocess_frame(made([5.0] * 7 + [6.0] * 3), PreprocessingConfig(normalize=True, train_fraction=0.7))
    restored = invert(result.frame, result.fitted)
    assert restored["volume"].tolist() == [100.0] * 10
    assert restored["close"].tolist() == [5.0] * 10  # the later 6 is not kept by its scaled copy


def test_a_frame_without_normalised_columns_cannot_be_undone(sample: pd.DataFrame) -> None:
    with pytest.raises(DataRequestError, match="holds no normalised column"):
        invert(sample, {"": {}})
