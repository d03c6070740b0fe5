from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from market.calendar import (
    NEW_YORK_CLOSE,
    DayCut,
    bar_end,
    closed_bars,
    day_clock,
    fx_holidays,
    market_minutes,
    missing_bars,
    trading_day,
    trading_day_end,
    trading_day_start,
)
from market.symbols import AssetClass
from market.timeframes import Timeframe

NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT_IN_ATHENS = DayCut("Europe/Athens", 0, skips_weekend=True)
MIDNIGHT_UTC = DayCut("UTC", 0, skips_weekend=False)

moments = some.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=some.just(UTC))  # noqa: DTZ001
timeframes = some.sampled_from(Timeframe)
asset_classes = some.sampled_from(AssetClass)
cuts = some.sampled_from([None, NEW_YORK_CLOSE, MIDNIGHT_IN_ATHENS, MIDNIGHT_UTC, DayCut("UTC", 22, True)])


def at(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(list(texts), utc=True))


def day_of(text: str, asset_class: AssetClass = AssetClass.FX, cut: DayCut | None = None) -> str:
    return f"{trading_day(at(text), asset_class, cut)[0]:%a %Y-%m-%d}"


def end_of(text: str, timeframe: Timeframe, asset_class: AssetClass = AssetClass.FX, cut: DayCut | None = None) -> str:
    return f"{bar_end(at(text), timeframe, asset_class, cut)[0]:%a %Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("last", "next_day_from"),
    [
        ("2024-01-16 21:59:59", "2024-01-16 22:00"),  # winter on both sides of the Atlantic
        ("2024-07-16 20:59:59", "2024-07-16 21:00"),  # summer on both
        ("2024-03-20 20:59:59", "2024-03-20 21:00"),  # summer in New York, not yet in Europe
        ("2024-10-30 20:59:59", "2024-10-30 21:00"),  # summer in New York, no longer in Europe
    ],
)
def test_an_fx_day_rolls_at_seventeen_in_new_york_all_year(last: str, next_day_from: str) -> None:
    assert day_of(last).endswith(last[:10])
    assert day_of(next_day_from).endswith(f"{pd.Timestamp(last) + pd.Timedelta(days=1):%Y-%m-%d}")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-01-19 21:59:59", "Fri 2024-01-19"),
        ("2024-01-19 22:00", "Mon 2024-01-22"),
        ("2024-01-20 12:00", "Mon 2024-01-22"),
        ("2024-01-21 12:00", "Mon 2024-01-22"),
        ("2024-01-21 22:00", "Mon 2024-01-22"),
        ("2024-01-22 21:59:59", "Mon 2024-01-22"),
        ("2024-01-22 22:00", "Tue 2024-01-23"),
        ("2024-03-08 21:59:59", "Fri 2024-03-08"),  # the weekend on which New York's clocks go forward
        ("2024-03-08 22:00", "Mon 2024-03-11"),
        ("2024-03-10 21:00", "Mon 2024-03-11"),
        ("2024-03-11 21:00", "Tue 2024-03-12"),
    ],
)
def test_what_is_quoted_over_the_weekend_belongs_to_monday(text: str, day: str) -> None:
    assert day_of(text) == day


@pytest.mark.parametrize("year", range(2015, 2027))
def test_a_year_of_fx_hours_has_about_260_trading_days(year: int) -> None:
    hours = pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="h", tz="UTC", inclusive="left")
    wall = hours.tz_convert(NEW_YORK)
    since_sunday = (wall.day_of_week + 1) % 7 * 24 + wall.hour
    traded = hours[(since_sunday >= 17) & (since_sunday < 5 * 24 + 17)]
    days = trading_day(traded, AssetClass.FX).unique()
    days = days[days.year == year]  # New Year's Eve in New York belongs to New Year's Day
    assert abs(len(days) - 260) <= 2
    assert set(days.day_of_week) == {0, 1, 2, 3, 4}
    assert len(traded.normalize().unique()) > 300  # what a calendar of UTC dates would say


def test_crypto_days_are_utc_dates_seven_a_week() -> None:
    hours = pd.date_range("2024-01-01", "2025-01-01", freq="h", tz="UTC", inclusive="left")
    days = trading_day(hours, AssetClass.CRYPTO)
    assert len(days.unique()) == 366
    assert (days == hours.tz_localize(None).normalize()).all()


def test_times_may_come_in_any_zone() -> None:
    assert day_of("2024-01-19 17:00-05:00") == "Mon 2024-01-22"
    tokyo = at("2024-01-19 22:00").tz_convert("Asia/Tokyo")
    assert trading_day(tokyo, AssetClass.FX)[0] == pd.Timestamp("2024-01-22")
    assert trading_day(tokyo, AssetClass.FX).name == "trading_day"


@given(moments, asset_classes, cuts)
@settings(deadline=None)
def test_a_moment_comes_before_the_end_of_its_day_and_after_the_end_of_the_day_before(
    moment: datetime, asset_class: AssetClass, cut: DayCut | None
) -> None:
    day = trading_day(pd.DatetimeIndex([moment]), asset_class, cut)
    skips = (cut.skips_weekend if cut else None) or (cut is None and asset_class is AssetClass.FX)
    before = day - (pd.offsets.BDay(1) if skips else pd.Timedelta(days=1))
    assert trading_day_end(before, asset_class, cut)[0] <= moment < trading_day_end(day, asset_class, cut)[0]


@pytest.mark.parametrize("asset_class", [AssetClass.FX, AssetClass.CRYPTO])
def test_a_day_begins_where_the_calendar_day_before_ended(asset_class: AssetClass) -> None:
    days = pd.date_range("2024-01-01", "2024-12-31", freq="D")
    starts = trading_day_start(days, asset_class)
    assert (starts[1:] == trading_day_end(days, asset_class)[:-1]).all()
    assert (trading_day(starts[days.day_of_week < 5], asset_class) == days[days.day_of_week < 5]).all()


def test_a_cut_in_the_hour_that_spring_skips_is_the_first_moment_after_it() -> None:
    cut = DayCut("America/New_York", 2, skips_weekend=False)
    assert trading_day_end(pd.DatetimeIndex(["2024-03-10"]), AssetClass.FX, cut)[0] == at("2024-03-10 07:00")[0]


@pytest.mark.parametrize("timeframe", [timeframe for timeframe in Timeframe if timeframe.is_intraday])
def test_a_bar_below_a_day_ends_after_its_length_even_when_clocks_change(timeframe: Timeframe) -> None:
    opens = pd.date_range("2024-03-10 00:00", "2024-03-11 00:00", freq=timeframe.delta, tz="UTC")
    assert (bar_end(opens, timeframe) - opens == timeframe.delta).all()


@pytest.mark.parametrize(
    ("text", "timeframe", "end"),
    [
        ("2024-01-15 22:00", Timeframe.D1, "Tue 2024-01-16 22:00"),
        ("2024-01-16 00:00", Timeframe.D1, "Tue 2024-01-16 22:00"),
        ("2024-01-19 22:00", Timeframe.D1, "Mon 2024-01-22 22:00"),  # a bar of the weekend
        ("2024-03-07 22:00", Timeframe.D1, "Fri 2024-03-08 22:00"),  # the last day of New York's winter
        ("2024-03-10 21:00", Timeframe.D1, "Mon 2024-03-11 21:00"),  # the first of its summer
        ("2024-10-31 21:00", Timeframe.D1, "Fri 2024-11-01 21:00"),
        ("2024-11-03 22:00", Timeframe.D1, "Mon 2024-11-04 22:00"),
        ("2024-01-14 22:00", Timeframe.W1, "Fri 2024-01-19 22:00"),
        ("2024-01-17 08:00", Timeframe.W1, "Fri 2024-01-19 22:00"),
        ("2024-03-03 22:00", Timeframe.W1, "Fri 2024-03-08 22:00"),
        ("2024-03-10 21:00", Timeframe.W1, "Fri 2024-03-15 21:00"),
        ("2024-03-09 12:00", Timeframe.W1, "Fri 2024-03-15 21:00"),
        ("2024-02-29 22:00", Timeframe.MN1, "Fri 2024-03-29 21:00"),  # opens in winter, ends in summer
        ("2024-10-31 21:00", Timeframe.MN1, "Fri 2024-11-29 22:00"),
        ("2024-05-31 20:59", Timeframe.MN1, "Fri 2024-05-31 21:00"),
        ("2024-05-31 21:00", Timeframe.MN1, "Fri 2024-06-28 21:00"),  # June began on a Saturday
        ("2024-12-31 22:00", Timeframe.MN1, "Fri 2025-01-31 22:00"),
    ],
)
def test_a_long_fx_bar_ends_with_its_last_trading_day(text: str, timeframe: Timeframe, end: str) -> None:
    assert end_of(text, timeframe) == end


@pytest.mark.parametrize(
    ("text", "timeframe", "end"),
    [
        ("2024-03-09 00:00", Timeframe.D1, "Sun 2024-03-10 00:00"),
        ("2024-03-10 23:59", Timeframe.D1, "Mon 2024-03-11 00:00"),
        ("2024-03-04 00:00", Timeframe.W1, "Mon 2024-03-11 00:00"),
        ("2024-03-10 23:59", Timeframe.W1, "Mon 2024-03-11 00:00"),
        ("2024-06-01 00:00", Timeframe.MN1, "Mon 2024-07-01 00:00"),
        ("2024-02-29 12:00", Timeframe.MN1, "Fri 2024-03-01 00:00"),
    ],
)
def test_a_long_crypto_bar_ends_at_midnight_utc(text: str, timeframe: Timeframe, end: str) -> None:
    assert end_of(text, timeframe, AssetClass.CRYPTO) == end


def test_a_vendors_day_ends_at_the_vendors_own_cut() -> None:
    assert end_of("2024-01-16 00:00", Timeframe.D1, cut=MIDNIGHT_UTC) == "Wed 2024-01-17 00:00"
    assert end_of("2024-01-15 22:00", Timeframe.D1, cut=MIDNIGHT_IN_ATHENS) == "Tue 2024-01-16 22:00"
    assert end_of("2024-03-20 22:00", Timeframe.D1, cut=MIDNIGHT_IN_ATHENS) == "Thu 2024-03-21 22:00"
    assert end_of("2024-03-28 22:00", Timeframe.W1, cut=MIDNIGHT_IN_ATHENS) == "Fri 2024-03-29 22:00"
    assert end_of("2024-04-03 00:00", Timeframe.W1, cut=MIDNIGHT_IN_ATHENS) == "Fri 2024-04-05 21:00"


def next_new_york_close(moment: datetime) -> datetime:
    """The end of the FX day of `moment`, found by walking a New York calendar."""
    date = moment.astimezone(NEW_YORK).date()
    while True:
        close = datetime.combine(date, time(17), NEW_YORK).astimezone(UTC)
        if date.weekday() < 5 and close > moment:
            return close
        date += timedelta(days=1)


@given(moments)
@settings(deadline=None)
def test_an_fx_day_ends_at_the_next_close_of_a_weekday(moment: datetime) -> None:
    assert bar_end(pd.DatetimeIndex([moment]), Timeframe.D1)[0] == next_new_york_close(moment)


@given(moments)
@settings(deadline=None)
def test_an_fx_week_ends_at_the_next_friday_close_and_a_month_at_the_last_of_its_month(moment: datetime) -> None:
    friday = close = next_new_york_close(moment)
    while friday.weekday() != 4:
        friday = next_new_york_close(friday)
    assert bar_end(pd.DatetimeIndex([moment]), Timeframe.W1)[0] == friday

    last = close
    while next_new_york_close(last).month == close.month:
        last = next_new_york_close(last)
    assert bar_end(pd.DatetimeIndex([moment]), Timeframe.MN1)[0] == last


@given(moments, timeframes, asset_classes, cuts)
@settings(deadline=None)
def test_a_bar_ends_after_it_opened(
    moment: datetime, timeframe: Timeframe, asset_class: AssetClass, cut: DayCut | None
) -> None:
    opens = pd.DatetimeIndex([moment])
    (end,) = bar_end(opens, timeframe, asset_class, cut)
    assert end > opens[0]
    assert str(end.tz) == "UTC"
    # What opens at the end belongs to the next bar, and what opens just before it to this one.
    if not timeframe.is_intraday:
        around = pd.DatetimeIndex([end - pd.Timedelta(seconds=1), end])
        assert list(bar_end(around, timeframe, asset_class, cut) == end) == [True, False]


@given(moments, some.integers(0, 60 * 24 * 60), timeframes, asset_classes, cuts)
@settings(deadline=None)
def test_the_bars_that_are_closed_now_are_those_whose_end_has_come(
    start: datetime, minutes: int, timeframe: Timeframe, asset_class: AssetClass, cut: DayCut | None
) -> None:
    step = min(timeframe.delta, pd.Timedelta(days=1))
    bars = pd.DataFrame({"close": 1.0}, index=pd.date_range(start, periods=40, freq=step))
    now = start + timedelta(minutes=minutes)
    closed = closed_bars(bars, timeframe, now, asset_class, cut)
    ends = bar_end(pd.DatetimeIndex(bars.index), timeframe, asset_class, cut)
    assert all(end <= now for end in ends[: len(closed)])
    assert all(end > now for end in ends[len(closed) :])
    pd.testing.assert_frame_equal(closed, bars.iloc[: len(closed)])


@pytest.mark.parametrize("timeframe", Timeframe)
def test_a_bar_is_closed_from_the_very_second_of_its_end_on(
    timeframe: Timeframe, counted_bars: Callable[[pd.DatetimeIndex], pd.DataFrame]
) -> None:
    bars = counted_bars(at("2024-03-10 21:00"))
    (end,) = bar_end(pd.DatetimeIndex(bars.index), timeframe)
    assert len(closed_bars(bars, timeframe, end - pd.Timedelta(seconds=1))) == 0
    assert len(closed_bars(bars, timeframe, end - pd.Timedelta(microseconds=1))) == 0
    assert len(closed_bars(bars, timeframe, end)) == 1
    assert len(closed_bars(bars, timeframe, end.to_pydatetime().astimezone(NEW_YORK))) == 1


def test_a_time_without_a_zone_cannot_say_what_is_closed(
    counted_bars: Callable[[pd.DatetimeIndex], pd.DataFrame],
) -> None:
    with pytest.raises(TypeError):
        closed_bars(counted_bars(at("2024-03-10 21:00")), Timeframe.H1, datetime(2024, 3, 11))  # noqa: DTZ001


def test_no_bars_are_no_closed_bars(eurusd_h1: pd.DataFrame) -> None:
    assert closed_bars(eurusd_h1.iloc[:0], Timeframe.D1, datetime(2024, 1, 1, tzinfo=UTC)).empty


# The hours of a market, and the bars they let expect


def minutes_between(begin: str, end: str, asset_class: AssetClass = AssetClass.FX, holidays: bool = True) -> int:
    first, last = market_minutes(at(begin, end), asset_class, holidays=holidays)
    return int(last - first)


@pytest.mark.parametrize("cut", [None, MIDNIGHT_IN_ATHENS])
def test_the_clock_of_a_day_begins_at_its_cut(cut: DayCut | None) -> None:
    for moment in ("2024-07-16 21:30", "2024-01-16 22:30"):
        assert f"{day_clock(at(moment), AssetClass.FX, cut)[0]:%a %H:%M}" == "Wed 00:30"
    assert day_clock(at("2024-07-16 21:30"), AssetClass.CRYPTO)[0] == pd.Timestamp("2024-07-16 21:30")


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        ("2024-01-16 12:00", "2024-01-16 13:30", 90),
        ("2024-01-16 21:50", "2024-01-16 23:10", 20),  # the hour after 17:00 New York does not count
        ("2024-07-16 20:50", "2024-07-16 22:10", 20),
        ("2024-01-15 22:00", "2024-01-16 22:00", 23 * 60),
        ("2024-01-19 21:00", "2024-01-21 22:00", 60),  # Friday 16:00 to Sunday 17:00 in New York
        ("2024-01-19 22:00", "2024-01-21 23:00", 0),
        ("2024-01-20 03:00", "2024-01-21 12:00", 0),
        ("2024-03-08 21:30", "2024-03-10 22:30", 60),  # New York's clocks go forward in between
        ("2024-11-01 20:30", "2024-11-03 23:30", 60),  # and back
        ("2024-01-14 22:00", "2024-01-21 22:00", 5 * 23 * 60),
    ],
)
def test_fx_is_open_but_for_weekends_and_the_hour_after_its_days_begin(begin: str, end: str, minutes: int) -> None:
    assert minutes_between(begin, end) == minutes
    assert minutes_between(begin, begin) == 0


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        ("2024-12-24 17:00", "2024-12-25 23:00", 0),  # from noon of Christmas Eve to 18:00 on Christmas Day
        ("2024-12-24 16:00", "2024-12-25 23:30", 60 + 30),
        ("2023-12-22 21:00", "2023-12-26 00:00", 60 + 60),  # Christmas on a Monday: no early close on Friday
        ("2024-12-31 16:30", "2025-01-02 00:00", 30 + 60),
        ("2025-12-24 12:00", "2026-01-02 12:00", 5 * 60 + 3 * 23 * 60 + 18 * 60 + 13 * 60),
        ("2022-12-23 21:00", "2022-12-26 00:00", 60 + 60),  # a Sunday: nothing is closed that is not always
    ],
)
def test_fx_is_closed_at_christmas_and_new_year_and_leaves_early_on_the_days_before(
    begin: str, end: str, minutes: int
) -> None:
    assert minutes_between(begin, end) == minutes


def test_holidays_are_named_by_their_trading_day() -> None:
    days = fx_holidays(datetime(2021, 12, 1, tzinfo=UTC), datetime(2024, 1, 1, 12, tzinfo=UTC))
    # Christmas 2021, New Year 2022, Christmas 2022 and New Year 2023 fell on weekends.
    assert [f"{day:%Y-%m-%d}" for day in days] == ["2023-12-25", "2024-01-01"]
    assert len(fx_holidays(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 11, 1, tzinfo=UTC))) == 0
    noon = datetime(2024, 12, 24, 17, tzinfo=UTC)
    assert len(fx_holidays(noon - timedelta(hours=9), noon)) == 0
    assert len(fx_holidays(noon - timedelta(hours=9), noon + timedelta(minutes=1))) == 1


def test_crypto_is_open_always() -> None:
    assert minutes_between("2024-12-20 00:00", "2024-12-27 00:00", AssetClass.CRYPTO) == 7 * 1440


@given(moments, moments, some.booleans())
@settings(deadline=None)
def test_a_market_never_unopens(one: datetime, other: datetime, holidays: bool) -> None:
    first, last = sorted([one, other])
    minutes = market_minutes(pd.DatetimeIndex([first, last]), AssetClass.FX, holidays=holidays)
    assert 0 <= minutes[1] - minutes[0] <= (last - first).total_seconds() / 60 + 1


def fx_opens(start: str, end: str, timeframe: Timeframe) -> pd.DatetimeIndex:
    """Every bar that FX forms, those of the hour after 17:00 New York included."""
    times = pd.date_range(start, end, freq=timeframe.delta, tz="UTC", unit="us", inclusive="left")
    wall = times.tz_convert(NEW_YORK)
    since_sunday = (wall.day_of_week + 1) % 7 * 24 + wall.hour
    return times[(since_sunday >= 17) & (since_sunday < 5 * 24 + 17)]


def gaps_of(times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass = AssetClass.FX) -> list[str]:
    found = missing_bars(times, timeframe, asset_class)
    return [f"{time:%m-%d %H:%M} {row.bars}+{row.holiday_bars}" for time, row in found.iterrows()]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M15, Timeframe.H1, Timeframe.H4])
def test_a_whole_month_of_fx_lacks_nothing_over_both_changes_of_clocks(timeframe: Timeframe) -> None:
    assert gaps_of(fx_opens("2024-03-01", "2024-04-05", timeframe), timeframe) == []
    assert gaps_of(fx_opens("2024-10-20", "2024-11-10", timeframe), timeframe) == []


def test_what_lacks_is_counted_where_it_was_to_open() -> None:
    times = fx_opens("2024-01-16", "2024-01-24", Timeframe.H1)
    lacking = at("2024-01-17 08:00", "2024-01-17 09:00", "2024-01-19 21:00", "2024-01-21 22:00", "2024-01-21 23:00")
    # The first hour of a week lies in the pause after 17:00; the second is missed.
    assert gaps_of(times.difference(lacking), Timeframe.H1) == ["01-17 08:00 2+0", "01-19 21:00 2+0"]
    found = missing_bars(times.difference(lacking), Timeframe.H1, AssetClass.FX)
    assert list(found["until"]) == list(at("2024-01-17 10:00", "2024-01-22 00:00"))


def test_a_whole_day_that_lacks_has_23_hours_to_miss() -> None:
    times = fx_opens("2024-01-14", "2024-01-20", Timeframe.M1)
    day = trading_day(times, AssetClass.FX) == pd.Timestamp("2024-01-17")
    assert gaps_of(times[~day], Timeframe.M1) == ["01-16 22:00 1380+0"]


def test_the_pause_after_seventeen_is_no_gap() -> None:
    times = fx_opens("2024-01-14", "2024-01-20", Timeframe.M5)
    pause = times.tz_convert(NEW_YORK).hour == 17
    assert gaps_of(times[~pause], Timeframe.M5) == []


def test_holidays_are_told_apart_from_gaps() -> None:
    times = fx_opens("2023-12-18", "2024-01-06", Timeframe.H1)
    days = trading_day(times, AssetClass.FX)
    holidays = days.isin([pd.Timestamp("2023-12-25"), pd.Timestamp("2024-01-01")])
    assert gaps_of(times[~holidays], Timeframe.H1) == ["12-24 22:00 0+23", "12-31 22:00 0+23"]
    assert gaps_of(times[~holidays & (days != pd.Timestamp("2023-12-26"))], Timeframe.H1)[0] == "12-24 22:00 23+23"


def test_days_weeks_and_months_lack_when_their_neighbours_are_further_apart() -> None:
    days = pd.date_range("2024-01-02", "2024-12-31", freq="B", tz="America/New_York", unit="us") - pd.Timedelta(hours=7)
    days = days.tz_convert("UTC")  # each opens at 17:00 New York of the evening before
    assert gaps_of(days.drop(days[[50, 51]]), Timeframe.D1) == [f"{days[50]:%m-%d %H:%M} 2+0"]
    at_midnight = pd.date_range("2024-01-02", "2024-12-20", freq="B", tz="UTC", unit="us")
    assert gaps_of(at_midnight, Timeframe.D1) == []
    assert [gap[-3:] for gap in gaps_of(at_midnight.drop(at_midnight[50]), Timeframe.D1)] == ["1+0"]
    assert gaps_of(days[days.tz_convert(NEW_YORK).day_of_week == 6], Timeframe.W1) == []
    months = pd.date_range("2020-01-01", "2024-12-31", freq="MS", tz="UTC", unit="us")
    assert gaps_of(months, Timeframe.MN1) == []
    assert [gap[-3:] for gap in gaps_of(months.drop(months[[20, 21]]), Timeframe.MN1)] == ["2+0"]


def test_crypto_lacks_its_weekends_when_they_are_not_there() -> None:
    times = fx_opens("2024-01-16", "2024-01-24", Timeframe.H1)
    assert gaps_of(times, Timeframe.H1, AssetClass.CRYPTO) == ["01-19 22:00 48+0"]
    whole = pd.date_range("2024-01-01", periods=500, freq="D", tz="UTC", unit="us")
    assert gaps_of(whole, Timeframe.D1, AssetClass.CRYPTO) == []
    assert gaps_of(whole[::7], Timeframe.W1, AssetClass.CRYPTO) == []
    weeks = whole[::7]
    assert gaps_of(weeks.drop(weeks[[4, 5]]), Timeframe.W1, AssetClass.CRYPTO) == [f"{weeks[4]:%m-%d %H:%M} 2+0"]


@pytest.mark.parametrize("rows", [0, 1])
def test_where_there_are_no_two_bars_none_lacks(rows: int) -> None:
    assert missing_bars(at("2024-01-16")[:rows], Timeframe.H1, AssetClass.FX).empty


@settings(deadline=None)
@given(seed=some.integers(0, 1000), timeframe=some.sampled_from([Timeframe.M15, Timeframe.H1]))
def test_present_and_missing_bars_add_up(seed: int, timeframe: Timeframe) -> None:
    times = fx_opens("2024-03-04", "2024-03-20", timeframe)
    times = times[times.tz_convert(NEW_YORK).hour != 17]
    kept = np.random.default_rng(seed).random(len(times)) < 0.8
    kept[[0, -1]] = True
    assert missing_bars(times[kept], timeframe, AssetClass.FX)["bars"].sum() == (~kept).sum()
