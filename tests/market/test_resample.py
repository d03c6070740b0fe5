from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.errors import BarsError
from market.bars import check_bars
from market.calendar import bar_end, trading_day
from market.resample import resample_bars
from market.symbols import AssetClass
from market.timeframes import Timeframe

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
