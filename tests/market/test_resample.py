from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import market.resample
from core.errors import BarsError
from market.bars import check_bars
from market.calendar import DayCut, bar_end, closed_bars, trading_day, trading_day_end
from market.resample import period_starts, resample_bars
from market.symbols import AssetClass
from market.timeframes import Timeframe, infer_timeframe

CountedBars = Callable[[pd.DatetimeIndex], pd.DataFrame]
LONGER = [Timeframe.H4, Timeframe.D1, Timeframe.W1, Timeframe.MN1]


def hours(start: str, count: int) -> pd.DatetimeIndex:
    return pd.date_range(start, periods=count, freq="h", tz="UTC")


def opens(bars: pd.DataFrame) -> list[str]:
    return [f"{time:%m-%d %H:%M}" for time in bars.index]


def test_hours_become_the_fx_days_reckoned_by_hand(counted_bars: CountedBars) -> None:
    # Sunday 7 January 2024 17:00 New York is 22:00 UTC; 24 hours a day, and 7 of Wednesday's.
    days = resample_bars(counted_bars(hours("2024-01-07 22:00", 55)), Timeframe.D1)
    assert opens(days) == ["01-07 22:00", "01-08 22:00"]
    assert days.to_numpy().tolist() == [
        [100.0, 124.0, 99.0, 123.5, sum(range(24))],
        [124.0, 148.0, 123.0, 147.5, sum(range(24, 48))],
    ]
    pd.testing.assert_frame_equal(check_bars(days), days)


def test_hours_become_four_hours_counted_from_the_new_york_close(counted_bars: CountedBars) -> None:
    winter = resample_bars(counted_bars(hours("2024-01-07 22:00", 11)), Timeframe.H4)
    assert opens(winter) == ["01-07 22:00", "01-08 02:00"]
    assert winter.to_numpy().tolist() == [
        [100.0, 104.0, 99.0, 103.5, 0 + 1 + 2 + 3],
        [104.0, 108.0, 103.0, 107.5, 4 + 5 + 6 + 7],
    ]
    summer = resample_bars(counted_bars(hours("2024-07-07 21:00", 8)), Timeframe.H4)
    assert opens(summer) == ["07-07 21:00", "07-08 01:00"]


def test_days_keep_to_new_york_when_its_clocks_change(counted_bars: CountedBars) -> None:
    traded = hours("2024-03-06 22:00", 48).append(hours("2024-03-10 21:00", 48))
    days = resample_bars(counted_bars(traded), Timeframe.D1)
    assert opens(days) == ["03-06 22:00", "03-07 22:00", "03-10 21:00", "03-11 21:00"]
    assert list(days["open"]) == [100.0, 124.0, 148.0, 172.0]


def test_weeks_and_months_of_fx_begin_on_the_evening_before(counted_bars: CountedBars) -> None:
    traded = hours("2024-05-30 21:00", 24 * 60)
    bars = counted_bars(traded[trading_day(traded, AssetClass.FX) <= pd.Timestamp("2024-07-02")])
    assert opens(resample_bars(bars, Timeframe.W1)) == ["06-02 21:00", "06-09 21:00", "06-16 21:00", "06-23 21:00"]
    assert opens(resample_bars(bars, Timeframe.MN1)) == ["06-02 21:00"]  # June began on a Saturday


def test_crypto_days_begin_at_midnight_utc_and_its_weeks_on_monday(counted_bars: CountedBars) -> None:
    bars = counted_bars(hours("2024-03-03 00:00", 24 * 40))
    days = resample_bars(bars, Timeframe.D1, AssetClass.CRYPTO)
    assert (len(days), opens(days)[0]) == (40, "03-03 00:00")
    weeks = resample_bars(bars, Timeframe.W1, AssetClass.CRYPTO)
    assert opens(weeks) == ["03-04 00:00", "03-11 00:00", "03-18 00:00", "03-25 00:00", "04-01 00:00"]
    assert opens(resample_bars(bars, Timeframe.H4, AssetClass.CRYPTO))[1] == "03-03 04:00"
    assert opens(resample_bars(bars, Timeframe.MN1, AssetClass.CRYPTO)) == []  # March's first two days are missing


def test_minutes_become_hours_on_the_hour(counted_bars: CountedBars) -> None:
    quarters = counted_bars(pd.date_range("2024-01-08 08:00", periods=9, freq="15min", tz="UTC"))
    assert opens(resample_bars(quarters, Timeframe.H1)) == ["01-08 08:00", "01-08 09:00"]
    assert opens(resample_bars(quarters, Timeframe.M30))[-1] == "01-08 09:30"


def test_a_bar_whose_last_row_is_missing_waits_for_a_later_one(counted_bars: CountedBars) -> None:
    two_days = counted_bars(hours("2024-01-07 22:00", 48))
    assert len(resample_bars(two_days, Timeframe.D1)) == 2
    assert len(resample_bars(two_days.iloc[:-1], Timeframe.D1)) == 1
    assert len(resample_bars(two_days.drop(two_days.index[23]), Timeframe.D1)) == 2  # Tuesday proves that Monday ended


def test_a_bar_whose_first_row_is_missing_at_the_beginning_is_left_out(counted_bars: CountedBars) -> None:
    bars = counted_bars(hours("2024-01-07 23:00", 48))
    assert opens(resample_bars(bars, Timeframe.D1)) == ["01-08 22:00"]
    assert opens(resample_bars(bars, Timeframe.H4))[0] == "01-08 02:00"


def test_a_quoted_spread_becomes_its_mean_and_other_columns_go(counted_bars: CountedBars) -> None:
    bars = counted_bars(hours("2024-01-07 22:00", 4)).assign(spread_points=[4.0, 6.0, 8.0, np.nan], note="x")
    longer = resample_bars(bars, Timeframe.H4)
    assert list(longer.columns) == ["open", "high", "low", "close", "volume", "spread_points"]
    assert list(longer["spread_points"]) == [6.0]


def test_bars_of_the_timeframe_asked_for_come_back_as_they_are(eurusd_h1: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(resample_bars(eurusd_h1, Timeframe.H1), eurusd_h1)


def test_bars_cannot_be_split(eurusd_h1: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"^H1 bars cannot be split into M15\. Ask for H1 or longer\.$"):
        resample_bars(eurusd_h1, Timeframe.M15)


def test_no_bars_stay_no_bars(eurusd_h1: pd.DataFrame) -> None:
    assert resample_bars(eurusd_h1.iloc[:0], Timeframe.D1).empty


def test_the_bars_given_are_not_changed(eurusd_h1: pd.DataFrame) -> None:
    before = eurusd_h1.copy(deep=True)
    resample_bars(eurusd_h1, Timeframe.D1)
    pd.testing.assert_frame_equal(eurusd_h1, before)


@pytest.mark.parametrize("timeframe", LONGER)
def test_real_bars_are_each_the_sum_of_their_rows(eurusd_h1: pd.DataFrame, timeframe: Timeframe) -> None:
    longer = resample_bars(eurusd_h1, timeframe)
    ends = bar_end(pd.DatetimeIndex(longer.index), timeframe)
    assert len(longer) > 5
    for before, end, bar in zip(ends[:-1], ends[1:], longer.iloc[1:].itertuples(), strict=True):
        rows = eurusd_h1[(eurusd_h1.index >= before) & (eurusd_h1.index < end)]  # what the weekend quotes is Monday's
        assert (bar.open, bar.close) == (rows["open"].iloc[0], rows["close"].iloc[-1])
        assert (bar.high, bar.low) == (rows["high"].max(), rows["low"].min())
        assert bar.volume == rows["volume"].sum()
    assert (longer.index[1:] >= ends[:-1]).all()
    assert (longer.index < ends).all()


def test_days_made_of_four_hours_are_those_made_of_hours(eurusd_h1: pd.DataFrame) -> None:
    by_way_of_four = resample_bars(resample_bars(eurusd_h1, Timeframe.H4), Timeframe.D1)
    pd.testing.assert_frame_equal(by_way_of_four, resample_bars(eurusd_h1, Timeframe.D1))


@given(data=some.data(), timeframe=some.sampled_from(LONGER), start=some.integers(0, 4000))
@settings(deadline=None, max_examples=150)
def test_a_prefix_of_the_bars_gives_a_prefix_of_the_longer_bars(
    eurusd_h1: pd.DataFrame, data: some.DataObject, timeframe: Timeframe, start: int
) -> None:
    bars = eurusd_h1.iloc[start : start + 1000]
    asset_class = data.draw(some.sampled_from([AssetClass.FX, AssetClass.CRYPTO]))
    prefix = bars.iloc[: data.draw(some.integers(3, len(bars)))]
    whole = resample_bars(bars, timeframe, asset_class)
    part = resample_bars(prefix, timeframe, asset_class)
    pd.testing.assert_frame_equal(part, whole.iloc[: len(part)], check_freq=False)
    # and it is as long as can be: the next bar's end is not known yet
    if len(part) < len(whole):
        next_end = bar_end(pd.DatetimeIndex(whole.index[len(part) :][:1]), timeframe, asset_class)[0]
        assert next_end > prefix.index[-1] + pd.Timedelta(hours=1)


def by_pandas(bars: pd.DataFrame, timeframe: Timeframe, asset_class: AssetClass) -> pd.DataFrame:
    """What resample_bars is to give, to the last bit: pandas' own groupby over the opens of the longer bars."""
    times = pd.DatetimeIndex(bars.index)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "spread_points": "mean"}
    longer = bars.groupby(period_starts(times, timeframe, asset_class)).agg(how)
    longer.index = pd.DatetimeIndex(longer.index, name="time")
    whole = longer.iloc[1:] if times[0] > longer.index[0] else longer
    return closed_bars(whole, timeframe, bar_end(times[-1:], Timeframe.M1, asset_class)[0], asset_class)


distances = some.lists(some.sampled_from([1, 1, 1, 2, 7, 60, 61, 600, 1441, 4000]), min_size=1, max_size=120)
volumes = some.sampled_from([0.0, 1.0, 250.0, 0.1, 0.7, 1e-9, 2.0**40 + 0.5, 2.0**53, -3.0, np.nan])
spreads = some.sampled_from([0.0, 1.0, 1.5, 0.1, np.nan, 1e17])


@given(
    distances=distances,
    data=some.data(),
    timeframe=some.sampled_from([each for each in Timeframe if each is not Timeframe.M1]),
    asset_class=some.sampled_from([AssetClass.FX, AssetClass.CRYPTO]),
    together=some.sampled_from([1, 3, 64, 10_000]),
)
@settings(deadline=None, max_examples=300)
def test_every_figure_is_what_pandas_gives_to_the_last_bit(
    distances: list[int],
    data: some.DataObject,
    timeframe: Timeframe,
    asset_class: AssetClass,
    together: int,
) -> None:
    minutes = np.cumsum([data.draw(some.integers(0, 366 * 1440)), *distances])
    times = pd.DatetimeIndex(np.datetime64("2024-01-01", "us") + minutes * np.timedelta64(1, "m"), tz="UTC")
    chance = np.random.default_rng(data.draw(some.integers(0, 1000)))
    count = len(times)
    bars = pd.DataFrame(chance.uniform(1, 2, (count, 4)), columns=["open", "high", "low", "close"], index=times)
    if data.draw(some.booleans()):
        bars = bars.mask(chance.random((count, 4)) < 0.1)  # on their way to validation prices may be missing
    bars["volume"] = data.draw(some.lists(volumes, min_size=count, max_size=count))
    bars["spread_points"] = data.draw(some.lists(spreads, min_size=count, max_size=count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market.resample, "_CACHED_ROWS", together)
        found = resample_bars(bars, timeframe, asset_class, source=Timeframe.M1)
    pd.testing.assert_frame_equal(found, by_pandas(bars, timeframe, asset_class), check_exact=True, check_freq=False)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_may_be_counted_in_any_unit_and_stay_in_it(counted_bars: CountedBars, unit: str) -> None:
    minutes = counted_bars(pd.date_range("2024-01-08 08:00", periods=121, freq="min", tz="UTC", unit=unit))
    found = resample_bars(minutes, Timeframe.H1)
    assert opens(found) == ["01-08 08:00", "01-08 09:00"]
    assert found["volume"].tolist() == [sum(range(60)), sum(range(60, 120))]
    assert found.index.unit == minutes.index.unit == unit


@given(some.lists(some.integers(1, 12), min_size=1, max_size=40))
def test_the_source_is_what_the_distances_say_however_it_is_found(distances: list[int]) -> None:
    minutes = np.cumsum([0, *distances])
    times = pd.DatetimeIndex(np.datetime64("2024-01-01", "us") + minutes * np.timedelta64(1, "m"), tz="UTC")
    assert market.resample._source_of(times) is infer_timeframe(times)


def test_a_few_scattered_rows_are_what_they_are_said_to_be(counted_bars: CountedBars) -> None:
    minutes = counted_bars(hours("2024-01-08 08:30", 3))
    assert opens(resample_bars(minutes, Timeframe.H1)) == ["01-08 08:30", "01-08 09:30", "01-08 10:30"]
    assert opens(resample_bars(minutes, Timeframe.H1, source=Timeframe.M1)) == ["01-08 09:00"]


@pytest.mark.parametrize("cut", [DayCut("Europe/London", 0, skips_weekend=True), DayCut("UTC", 0, skips_weekend=False)])
def test_periods_may_follow_a_vendors_days(cut: DayCut) -> None:
    times = pd.date_range("2024-02-01", "2024-07-01", freq="h", tz="UTC")
    days = trading_day(times, AssetClass.FX, cut)
    months = period_starts(times, Timeframe.MN1, AssetClass.FX, cut)
    firsts = days.to_period("M").to_timestamp() + (pd.offsets.BDay(0) if cut.skips_weekend else pd.Timedelta(0))
    assert (months.tz_convert(cut.zone).tz_localize(None) == firsts).all()
    weeks = period_starts(times, Timeframe.W1, AssetClass.FX, cut)
    assert set(weeks.tz_convert(cut.zone).day_of_week) == {0}
    starts = period_starts(times, Timeframe.D1, AssetClass.FX, cut)
    assert (starts < trading_day_end(days, AssetClass.FX, cut)).all()
    assert len(starts.unique()) == len(days.unique())
