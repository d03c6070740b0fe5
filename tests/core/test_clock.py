"""The clock, and what a replay makes of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.clock import REPLAY_VARIABLE, is_replayed, now_ms, parse_utc, utc_now, utc_text, wall_now
from core.errors import SettingsError
from core.heartbeats import Heart, processes
from core.settings import current_settings

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


def test_without_a_replay_all_clocks_are_one() -> None:
    assert not is_replayed()
    assert abs(now_ms() - wall_now().timestamp() * 1000) < 5_000
    assert abs(utc_now() - wall_now()) < timedelta(seconds=5)


def test_a_replay_runs_from_its_moment_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    began = int(time.time() * 1000) - 10_000
    monkeypatch.setenv(REPLAY_VARIABLE, f"1700000000000@{began}x100")
    assert is_replayed()
    assert 1_700_000_000_000 + 100 * 10_000 <= now_ms() < 1_700_000_000_000 + 100 * 40_000
    assert utc_text().startswith("2023-11-1")
    assert abs(utc_now().timestamp() * 1000 - now_ms()) < 100 * 5_000
    assert abs(wall_now().timestamp() - time.time()) < 5


def test_a_replay_of_speed_0_stands_until_it_is_set_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in (1_700_000_000_123, 1_700_000_060_000):
        monkeypatch.setenv(REPLAY_VARIABLE, f"{moment}@0x0")
        assert now_ms() == moment
        assert utc_now() == datetime.fromtimestamp(moment / 1000, UTC)
    assert utc_text() == "2023-11-14T22:14:20.000Z"


def test_a_replay_never_leaves_the_years_that_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("99999999999999@0x999999", "0@99999999999999x1"):
        monkeypatch.setenv(REPLAY_VARIABLE, text)
        assert parse_utc(utc_text()) == utc_now() or is_replayed()


@pytest.mark.parametrize("text", ["now", "1700000000000", "1@2", "1@2x", "1@2x-1", "1.5@2x3", "1@2x1e9", "-1@0x1"])
def test_a_replay_clock_that_cannot_be_read_is_refused_with_its_form(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REPLAY_VARIABLE, text)
    for ask in (now_ms, utc_now, utc_text, current_settings):
        with pytest.raises(
            SettingsError, match=r"SEQUENCE_REPLAY_CLOCK='.*' sets no clock. Write <simulated epoch ms>@"
        ):
            ask()


def test_processes_beat_and_lead_on_the_computers_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heart("bridge")
    heart.beat("before")
    assert heart.leads(60)
    monkeypatch.setenv(REPLAY_VARIABLE, "1700000000000@0x0")
    assert [process.is_alive for process in processes("bridge")] == [True]
    assert not Heart("bridge").leads(60)
    heart.beat("within")
    [beaten] = processes("bridge")
    assert (beaten.words, beaten.is_alive) == ("within", True)
