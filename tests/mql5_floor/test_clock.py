"""The server's clock: each moment with the offset of its own day, and the rule told from what was observed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import InputError
from mql5.files.clock import EU_RULE, NEW_YORK_CLOSE, ServerClock, fixed_clock, learn_clock, parse_clock

HOUR = 3_600
CLOCKS = (NEW_YORK_CLOSE, EU_RULE, fixed_clock(120), fixed_clock(-210), fixed_clock(0))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "new_york", "eu"),
    [
        ("2025-01-15 12:00", 2, 2),
        # The United States change on the second Sunday of March, the European Union on the last.
        ("2025-03-09 06:59", 2, 2),
        ("2025-03-09 07:00", 3, 2),
        ("2025-03-20 12:00", 3, 2),
        ("2025-03-30 00:59", 3, 2),
        ("2025-03-30 01:00", 3, 3),
        ("2025-07-01 12:00", 3, 3),
        # In autumn the European Union is first, on the last Sunday of October.
        ("2025-10-26 00:59", 3, 3),
        ("2025-10-26 01:00", 3, 2),
        ("2025-10-29 12:00", 3, 2),
        ("2025-11-02 05:59", 3, 2),
        ("2025-11-02 06:00", 2, 2),
    ],
)
def test_both_change_weeks_have_their_own_offsets(when: str, new_york: int, eu: int) -> None:
    assert NEW_YORK_CLOSE.offset_seconds(moment(when)) == new_york * HOUR
    assert EU_RULE.offset_seconds(moment(when)) == eu * HOUR
    assert fixed_clock(180).offset_seconds(moment(when)) == 3 * HOUR


@pytest.mark.parametrize("day", ["2025-01-10", "2025-03-14", "2025-03-28", "2025-10-31", "2025-11-07"])
def test_midnight_of_a_new_york_close_server_is_17_in_new_york(day: str) -> None:
    wall = pd.DatetimeIndex([day])
    assert NEW_YORK_CLOSE.to_utc(wall).tz_convert("America/New_York").hour.tolist() == [17]


@given(
    clock=some.sampled_from(CLOCKS),
    when=some.datetimes(min_value=datetime(2005, 1, 1), max_value=datetime(2037, 1, 1)),  # noqa: DTZ001
)
def test_utc_to_server_and_back_is_the_same_moment(clock: ServerClock, when: datetime) -> None:
    times = pd.DatetimeIndex([when.replace(tzinfo=UTC)]).as_unit("us")
    back = clock.to_utc(clock.to_server(times))
    # The hour that autumn repeats is read as its first passing.
    repeated = clock.offset_seconds(when.replace(tzinfo=UTC)) != clock.offset_seconds(back[0].to_pydatetime())
    assert (times - back)[0] == (timedelta(hours=1) if repeated else timedelta(0))
    if repeated:
        assert when.weekday() == 6


def test_the_hour_that_spring_leaves_out_is_read_as_the_change() -> None:
    wall = pd.DatetimeIndex(["2025-03-09 09:30", "2025-03-30 03:30"])
    assert NEW_YORK_CLOSE.to_utc(wall)[0] == pd.Timestamp("2025-03-09 07:00", tz="UTC")
    assert EU_RULE.to_utc(wall)[1] == pd.Timestamp("2025-03-30 01:00", tz="UTC")


@given(
    clock=some.sampled_from(CLOCKS),
    stamp=some.integers(min_value=1_100_000_000_000, max_value=2_100_000_000_000),
)
def test_a_stamp_in_milliseconds_is_read_as_the_same_time(clock: ServerClock, stamp: int) -> None:
    expected = clock.to_utc(pd.DatetimeIndex([pd.Timestamp(stamp, unit="ms")])).as_unit("ms").asi8[0]
    # A stamp within the hour that spring leaves out never comes; it is kept in the order of stamps.
    assert clock.utc_ms(stamp) in {expected, expected + stamp % (15 * 60_000)}


@pytest.mark.parametrize("times", ["to_utc", "to_server"])
def test_times_with_the_wrong_kind_of_zone_are_refused(times: str) -> None:
    zone = "UTC" if times == "to_utc" else None
    with pytest.raises(InputError, match="zone"):
        getattr(NEW_YORK_CLOSE, times)(pd.DatetimeIndex(["2025-01-01"], tz=zone))


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("new-york-close", NEW_YORK_CLOSE),
        ("NY+7", NEW_YORK_CLOSE),
        ("eet", EU_RULE),
        ("EU rule", EU_RULE),
        ("UTC", fixed_clock(0)),
        ("utc+02:00", fixed_clock(120)),
        ("+3", fixed_clock(180)),
        ("GMT-0330", fixed_clock(-210)),
    ],
)
def test_a_setting_names_a_clock(text: str, clock: ServerClock) -> None:
    assert parse_clock(text) == clock


@pytest.mark.parametrize("text", ["", "Athens", "+25", "+02:20", "UTC+2:75", "+ 1 2"])
def test_a_setting_that_names_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_clock(text)


@pytest.mark.parametrize("clock", [NEW_YORK_CLOSE, EU_RULE, fixed_clock(180)])
def test_offsets_of_a_whole_year_tell_the_rule(clock: ServerClock) -> None:
    days = [moment("2025-01-06 12:00") + timedelta(days=day) for day in range(0, 360, 3)]
    learned = learn_clock([(day, clock.offset_seconds(day) + 1.4) for day in days])
    assert learned.clock == clock
    assert learned.is_certain
    assert learned.sentence() == f"{clock.name} explains {len(days)} of {len(days)} observations."


def test_a_single_week_between_the_two_changes_tells_them_apart() -> None:
    between = moment("2025-03-19 12:00")
    for clock, other in ((NEW_YORK_CLOSE, EU_RULE), (EU_RULE, NEW_YORK_CLOSE)):
        learned = learn_clock([(between, clock.offset_seconds(between))])
        assert learned.clock == clock
        assert other not in learned.others


def test_winter_alone_leaves_more_than_one_rule() -> None:
    learned = learn_clock([(moment("2025-01-15 12:00"), 2 * HOUR)])
    assert learned.clock == NEW_YORK_CLOSE
    assert learned.others == (EU_RULE, fixed_clock(120))
    assert not learned.is_certain
    assert "so does EU rule, UTC+02:00" in learned.sentence()


@pytest.mark.parametrize("clock", [NEW_YORK_CLOSE, EU_RULE, fixed_clock(0), fixed_clock(-5 * 60), fixed_clock(14 * 60)])
def test_openings_of_weeks_tell_the_rule(clock: ServerClock) -> None:
    sundays = pd.date_range("2025-01-05 17:00", periods=50, freq="7D", tz="America/New_York")
    opens = clock.to_server(sundays.tz_convert("UTC")) + pd.to_timedelta([index % 6 for index in range(50)], unit="min")
    learned = learn_clock(week_opens=opens)
    assert (learned.clock, learned.explained, learned.observed) == (clock, 50, 50)
    assert learned.is_certain


def test_a_few_wrong_observations_do_not_hide_the_rule() -> None:
    days = [moment("2025-01-06 12:00") + timedelta(days=7 * week) for week in range(50)]
    observed = [(day, NEW_YORK_CLOSE.offset_seconds(day)) for day in days]
    observed[3] = (observed[3][0], 5 * HOUR)
    learned = learn_clock(observed)
    assert (learned.clock, learned.explained) == (NEW_YORK_CLOSE, 49)


def test_a_server_that_changed_its_rule_is_named_with_the_day() -> None:
    days = [moment("2025-01-06 12:00") + timedelta(days=7 * week) for week in range(20)]
    observed = [(day, fixed_clock(0 if week < 10 else 300).offset_seconds(day)) for week, day in enumerate(days)]
    with pytest.raises(InputError, match=r"No rule explains.*10 of 20.*Leave out"):
        learn_clock(observed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Nothing was observed"),
        ({"week_opens": pd.DatetimeIndex([])}, "Nothing was observed"),
        ({"reported": [(datetime(2025, 1, 1), 7200)]}, "no zone"),  # noqa: DTZ001
        ({"reported": [(moment("2025-01-01"), float("nan"))]}, "no offset"),
        ({"reported": [(moment("2025-01-01"), 90_000)]}, "no offset"),
        ({"week_opens": pd.DatetimeIndex(["2025-01-06"], tz="UTC")}, "without a zone"),
        ({"week_opens": pd.DatetimeIndex(["2025-01-08 12:00"])}, "No FX week opens"),
    ],
)
def test_observations_that_are_none_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        learn_clock(**arguments)
