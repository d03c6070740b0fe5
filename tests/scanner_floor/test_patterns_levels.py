from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pattern_bars import bars_of_any_kind, dealt

from core.errors import InputError
from market.calendar import trading_day
from market.symbols import AssetClass
from scanner.patterns.findings import LASTS, End, Findings, Kind
from scanner.patterns.levels import find_previous_levels
from scanner.patterns.sessions import KILL_ZONES, OUTSIDE, KillZone, zone_days, zone_names

MadeBars = Callable[..., pd.DataFrame]
LEVEL_COLUMNS = ["known", "direction", "formed", "ended", "end", "level"]


def written(bars: pd.DataFrame, periods: list[Any]) -> list[tuple[Any, ...]]:
    """The levels of periods, written out: `periods` names one for each bar, None outside all."""
    found = []
    high, low, close = (bars[name].tolist() for name in ("high", "low", "close"))
    runs: list[list[int]] = []
    for bar, period in enumerate(periods):
        if bar and period == periods[bar - 1]:
            runs[-1].append(bar)
        else:
            runs.append([bar])
    known = []
    for place, run in enumerate(runs[:-1]):
        if periods[run[0]] is not None and periods[run[0]] != periods[0] and len(run) > 1:
            known.append((runs[place + 1][0], run))
    for place, (bar, run) in enumerate(known):
        last = known[place + 1][0] if place + 1 < len(known) else len(bars)
        for direction, prices in ((-1, high), (1, [-price for price in low])):
            formed = max(run, key=lambda at: prices[at])
            ended = next((at for at in range(bar, last) if prices[at] > prices[formed]), LASTS)
            level = -direction * prices[formed]
            if ended != LASTS:
                end = End.BROKEN if direction * (level - close[ended]) > 0 else End.SWEPT
            else:
                end, ended = (End.REPLACED, last) if last < len(bars) else (End.NONE, LASTS)
            found.append((bar, direction, formed, ended, int(end), level))
    return found


def columns(found: Findings) -> list[tuple[Any, ...]]:
    return list(zip(*(getattr(found, name).tolist() for name in LEVEL_COLUMNS), strict=True))


@dealt
@given(bars=bars_of_any_kind(), asset_class=some.sampled_from([AssetClass.FX, AssetClass.CRYPTO]))
def test_levels_of_periods_are_those_written_out(bars: pd.DataFrame, asset_class: AssetClass) -> None:
    times = pd.DatetimeIndex(bars.index)
    days = list(trading_day(times, asset_class))
    weeks = [day - pd.Timedelta(days=day.day_of_week) for day in days]
    found = find_previous_levels(bars, asset_class=asset_class)
    assert columns(found.of(Kind.PREVIOUS_DAY)) == written(bars, days)
    assert columns(found.of(Kind.PREVIOUS_WEEK)) == written(bars, weeks)
    sessions = []
    for zone in KILL_ZONES:
        wall = times.tz_convert(zone.zone)
        inside = [stamp.date() if zone.begins <= stamp.hour < zone.ends else None for stamp in wall]
        sessions += written(bars, inside)
    assert sorted(columns(found.of(Kind.PREVIOUS_SESSION))) == sorted(sessions)


def test_the_first_bar_of_a_day_knows_the_day_before_it(made: MadeBars) -> None:
    ramp = made([(hour + 1.0, hour + 1.0, hour + 1.0, hour + 1.0) for hour in range(80)])
    found = find_previous_levels(ramp, asset_class=AssetClass.CRYPTO).of(Kind.PREVIOUS_DAY)
    # The library that labels the day before that one would say 24 here.
    assert columns(found.as_known(48)) == [(48, -1, 47, 48, int(End.BROKEN), 48.0), (48, 1, 24, -1, 0, 25.0)]
    assert len(found.as_known(47)) == 0  # the day of bar 0 may have begun before it


@pytest.mark.parametrize(("first", "hour"), [("2024-01-10", 22), ("2024-07-10", 21)])
def test_an_fx_day_ends_at_five_in_new_york_in_winter_and_summer(made: MadeBars, first: str, hour: int) -> None:
    bars = made([(10.0, 11.0, 9.0, 10.0)] * 72, start=first)
    found = find_previous_levels(bars).of(Kind.PREVIOUS_DAY)
    assert set(pd.DatetimeIndex(bars.index)[found.known].hour) == {hour}


def test_a_session_is_replaced_by_the_next_one_of_its_zone(made: MadeBars) -> None:
    bars = made([(10.0, 11.0, 9.0, 10.0)] * 72, start="2024-01-09 22:00")
    found = find_previous_levels(bars, zones=KILL_ZONES[1:2]).of(Kind.PREVIOUS_SESSION)
    assert columns(found.where(found.direction > 0)) == [
        (12, 1, 9, 36, int(End.REPLACED), 9.0),
        (36, 1, 33, 60, int(End.REPLACED), 9.0),
        (60, 1, 57, -1, int(End.NONE), 9.0),
    ]


@pytest.mark.parametrize(
    ("day", "utc_hours"),
    [
        ("2024-01-16", {"asia": 0, "london": 7, "new_york": 12}),
        ("2024-07-16", {"asia": 0, "london": 6, "new_york": 11}),
        ("2024-03-19", {"asia": 0, "london": 7, "new_york": 11}),  # New York has summer time, London not yet
        ("2024-10-29", {"asia": 0, "london": 7, "new_york": 11}),  # London has winter time, New York not yet
    ],
)
def test_kill_zones_keep_the_clocks_of_their_places(day: str, utc_hours: dict[str, int]) -> None:
    times = pd.date_range(day, periods=96, freq="15min", tz="UTC")
    names = zone_names(times)
    for zone in KILL_ZONES:
        inside = times[names == zone.name]
        assert inside[0].hour == utc_hours[zone.name]
        assert len(inside) == 4 * (zone.ends - zone.begins)
    assert (names == "").sum() == 96 - 4 * 10


def test_a_zone_may_span_midnight_and_belongs_to_the_day_it_begins_on() -> None:
    zone = KillZone("night", "UTC", 22, 2)
    days = zone_days(pd.date_range("2024-01-01 21:00", periods=6, freq="h", tz="UTC"), zone)
    assert (days != OUTSIDE).tolist() == [False, True, True, True, True, False]
    assert len(np.unique(days[1:5])) == 1
    day = pd.date_range("2024-01-01", periods=24, freq="h", tz="UTC")
    assert (zone_days(day, KillZone("all", "UTC", 0, 24)) != OUTSIDE).all()


def test_an_hour_that_no_day_has_is_refused() -> None:
    with pytest.raises(InputError, match="the hour 25 is none of a day"):
        KillZone("late", "UTC", 20, 25)


def test_bars_of_a_day_have_no_previous_day_but_a_previous_week(made: MadeBars) -> None:
    bars = made([(10.0, 11.0, 9.0, 10.0)] * 40, start="2024-01-01 22:00", every="D")
    found = find_previous_levels(bars, asset_class=AssetClass.CRYPTO)
    assert set(found.kind) == {Kind.PREVIOUS_WEEK}
