from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.clock import parse_utc, utc_now, utc_text

moments = some.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=some.timezones())  # noqa: DTZ001


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert utc_text(datetime(2026, 11, 21, 14, 32, 7, 120_999, UTC)) == "2026-11-21T14:32:07.120Z"
    west = timezone(timedelta(hours=-5))
    assert utc_text(datetime(2026, 11, 21, 17, 0, tzinfo=west)) == "2026-11-21T22:00:00.000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        utc_text(datetime(2026, 11, 21))  # noqa: DTZ001


def test_now_is_aware() -> None:
    assert utc_now().tzinfo is UTC
    assert parse_utc(utc_text()).tzinfo is UTC


@given(moments)
@settings(deadline=None)
def test_what_is_read_back_is_what_was_written_to_the_millisecond(moment: datetime) -> None:
    assert timedelta(0) <= moment - parse_utc(utc_text(moment)) < timedelta(milliseconds=1)


@given(moments, moments)
@settings(deadline=None)
def test_texts_sort_as_their_times_do(one: datetime, other: datetime) -> None:
    if parse_utc(utc_text(one)) < parse_utc(utc_text(other)):
        assert utc_text(one) < utc_text(other)
