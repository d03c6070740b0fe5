from __future__ import annotations

import pandas as pd
import pytest

from core.errors import InputError
from market.timeframes import Timeframe, infer_timeframe, parse_timeframe


@pytest.mark.parametrize("timeframe", Timeframe)
def test_every_timeframe_answers_to_its_metatrader_names(timeframe: Timeframe) -> None:
    assert parse_timeframe(timeframe) is timeframe
    assert parse_timeframe(f"PERIOD_{timeframe}") is timeframe
    assert parse_timeframe(f" {timeframe.lower()} ") is timeframe


@pytest.mark.parametrize(
    ("text", "timeframe"),
    [
        *[(text, Timeframe.M1) for text in ("1m", "1min", "1T", "minute")],
        *[(text, Timeframe.M5) for text in ("5m", "5M", "5 min", "5t")],
        *[(text, Timeframe.M15) for text in ("15m", "15Min")],
        *[(text, Timeframe.M30) for text in ("30m", "30min")],
        *[(text, Timeframe.H1) for text in ("1H", "1h", "60m", "60min", "hourly", "Hour")],
        *[(text, Timeframe.H4) for text in ("4h", "4H", "240m")],
        *[(text, Timeframe.D1) for text in ("1d", "1D", "daily", "Day", "24h", "1440m")],
        *[(text, Timeframe.W1) for text in ("1w", "1wk", "weekly", "Week")],
        *[(text, Timeframe.MN1) for text in ("1mo", "1MN", "monthly", "month")],
    ],
)
def test_what_other_tools_call_a_timeframe_is_understood(text: str, timeframe: Timeframe) -> None:
    assert parse_timeframe(text) is timeframe


@pytest.mark.parametrize("text", ["", "H", "2h", "H2", "M2", "0m", "1x", "W2", "fortnight", "1.5h", "-1h", "h1h", "MN"])
def test_what_is_no_timeframe_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_timeframe(text)
    assert repr(text) in refused.value.what
    assert refused.value.cure == "Known: M1, M5, M15, M30, H1, H4, D1, W1, MN1."


@pytest.mark.parametrize("text", ["5d", "21d", "7200m", "120h", "7d"])
def test_a_number_of_days_is_no_week_and_no_month(text: str) -> None:
    with pytest.raises(InputError):
        parse_timeframe(text)


def test_a_name_that_means_two_things_is_refused_and_both_are_named() -> None:
    with pytest.raises(InputError, match=r"one minute or one month\. Write M1 or MN1\."):
        parse_timeframe("1M")


def test_a_timeframe_knows_its_length() -> None:
    assert [timeframe.minutes for timeframe in Timeframe] == sorted(timeframe.minutes for timeframe in Timeframe)
    assert Timeframe.H4.delta == pd.Timedelta(hours=4)
    assert [timeframe for timeframe in Timeframe if not timeframe.is_intraday] == ["D1", "W1", "MN1"]


@pytest.mark.parametrize(
    ("step", "timeframe"),
    [
        ("1min", Timeframe.M1),
        ("5min", Timeframe.M5),
        ("15min", Timeframe.M15),
        ("30min", Timeframe.M30),
        ("1h", Timeframe.H1),
        ("4h", Timeframe.H4),
        ("1D", Timeframe.D1),
        ("1B", Timeframe.D1),
        ("W-SUN", Timeframe.W1),
        ("MS", Timeframe.MN1),
        ("BMS", Timeframe.MN1),
    ],
)
def test_the_timeframe_is_seen_in_the_distance_between_bars(step: str, timeframe: Timeframe) -> None:
    assert infer_timeframe(pd.date_range("2024-01-01", periods=30, freq=step, tz="UTC")) is timeframe


def test_days_of_a_wall_clock_are_days_when_the_clocks_change() -> None:
    days = pd.date_range("2024-03-09 17:00", periods=3, freq="D", tz="America/New_York").tz_convert("UTC")
    assert (days[1] - days[0]) == pd.Timedelta(hours=23)
    assert infer_timeframe(days) is Timeframe.D1


def test_missing_bars_do_not_make_a_timeframe_longer(eurusd_h1: pd.DataFrame) -> None:
    hours = pd.DatetimeIndex(eurusd_h1.index)
    assert infer_timeframe(hours) is Timeframe.H1
    thinned = hours[pd.Series(range(len(hours))).mod(3).ne(0)]  # two of three are left: 1, 2, 1, 2 … hours apart
    assert infer_timeframe(thinned) is Timeframe.H1
    thin = pd.date_range("2024-01-01", periods=30, freq="3min", tz="UTC")  # one-minute bars of a quiet night
    assert infer_timeframe(thin) is Timeframe.M1


def test_a_weekend_among_few_bars_does_not_hide_their_timeframe() -> None:
    around = pd.to_datetime(["2024-01-05 20:00", "2024-01-05 21:00", "2024-01-07 22:00"], utc=True)
    assert infer_timeframe(around) is Timeframe.H1


def test_one_bar_says_nothing_and_counts_as_the_shortest() -> None:
    assert infer_timeframe(pd.DatetimeIndex(["2024-01-01"], tz="UTC")) is Timeframe.M1
    assert infer_timeframe(pd.DatetimeIndex([], tz="UTC")) is Timeframe.M1
