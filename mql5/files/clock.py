"""The clock of a broker's server and UTC, each moment with the offset that held then.

MetaTrader stamps ticks, bars, deals and reports by the wall clock of the server and writes the stamp as if it were
UTC. Most FX brokers keep New York's clock seven hours ahead, so that their day ends with New York's at 17:00; they
change to summer time with the United States. Others keep Eastern European time and change with the European Union,
two to three weeks later in March and one week earlier in autumn. The rest stand still. Which of them a
broker keeps is told by the offsets its terminal reports and by when its weeks open; in winter alone nobody can tell.

The hour that autumn repeats is read as its first passing, the hour that spring leaves out as the moment of the
change. Both lie on Sunday, when FX is closed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pandas as pd

from core.errors import InputError

_NEW_YORK, _EASTERN_EUROPE = "America/New_York", "Europe/Athens"
_FIXED = re.compile(r"(?:utc|gmt)?\s*([+\-−])\s*(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_LIMIT_MINUTES = 14 * 60
_QUARTER = 15  # minutes; every offset there is is a multiple, and so is every change of one
# Of the observations, how many a rule must explain: a heartbeat sent while the clock changed may be wrong.
_NEEDED_FRACTION = 0.9


@dataclass(frozen=True)
class ServerClock:
    """The wall clock of a server: that of `zone`, put forward by `shift_minutes`."""

    name: str
    zone: str
    shift_minutes: int = 0

    def to_utc(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Naive times of the server as aware UTC. Raises InputError when they have a zone already."""
        if times.tz is not None:
            raise InputError(f"The times have the zone {times.tz}.", "Give the server's times without a zone.")
        wall = times - pd.Timedelta(minutes=self.shift_minutes)
        first = np.ones(len(wall), dtype=bool)
        return wall.tz_localize(self.zone, ambiguous=first, nonexistent="shift_forward").tz_convert("UTC")

    def to_server(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Aware times as the server's wall clock, without a zone. Raises InputError when they have none."""
        if times.tz is None:
            raise InputError("The times have no zone.", "Give aware times.")
        return times.tz_convert(self.zone).tz_localize(None) + pd.Timedelta(minutes=self.shift_minutes)

    def offset_seconds(self, moment: datetime) -> int:
        """By how much the server is ahead of UTC at an aware moment."""
        index = pd.DatetimeIndex([moment])
        ahead = self.to_server(index) - index.tz_convert("UTC").tz_localize(None)
        return int(ahead[0].total_seconds())

    def utc_ms(self, server_ms: int) -> int:
        """A stamp of MetaTrader in milliseconds, which is the server's clock, as milliseconds of UTC since 1970."""
        quarter, rest = divmod(server_ms, _QUARTER * 60_000)
        return _quarter_utc_ms(self, quarter) + rest


@lru_cache(maxsize=4_096)
def _quarter_utc_ms(clock: ServerClock, quarter: int) -> int:
    """When a quarter of an hour of the server's clock begins; ticks come by thousands within one."""
    wall = pd.DatetimeIndex([pd.Timestamp(quarter * _QUARTER * 60, unit="s")])
    return int(clock.to_utc(wall).as_unit("ms").asi8[0])


NEW_YORK_CLOSE = ServerClock("New York close", _NEW_YORK, 7 * 60)
EU_RULE = ServerClock("EU rule", _EASTERN_EUROPE)


def fixed_clock(offset_minutes: int) -> ServerClock:
    """A server that is always so far ahead of UTC, in whole quarters of an hour within 14 hours."""
    if offset_minutes % _QUARTER or abs(offset_minutes) > _LIMIT_MINUTES:
        raise InputError(
            f"No clock is {offset_minutes} minutes from UTC.", "Give a multiple of 15 minutes within 14 hours."
        )
    hours, minutes = divmod(abs(offset_minutes), 60)
    return ServerClock(f"UTC{'-' if offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}", "UTC", offset_minutes)


def parse_clock(text: str) -> ServerClock:
    """The clock that a setting names: `new-york-close` (or `NY+7`), `eu` (or `EET`), `UTC+02:00`, `+3`, `UTC`.

    Raises InputError for anything else.
    """
    word = text.strip().casefold().replace(" ", "-").replace("_", "-")
    if word in {"new-york-close", "ny-close", "ny+7", "us"}:
        return NEW_YORK_CLOSE
    if word in {"eu", "eu-rule", "eet"}:
        return EU_RULE
    if word in {"utc", "gmt"}:
        return fixed_clock(0)
    found = _FIXED.fullmatch(text.strip())
    if found and int(found[3] or 0) < 60:
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        return fixed_clock(minutes if found[1] == "+" else -minutes)
    raise InputError(f"{text!r} names no server clock.", "Write new-york-close, eu, or an offset such as UTC+02:00.")


@dataclass(frozen=True)
class LearnedClock:
    """What observations say of a server's clock: the rule that explains most of them, and which others do as well.

    `explained` of `observed` agree with it. While `others` is not empty more than one rule fits, and moments in
    the other half of the year may be an hour off: observe until the clock has changed.
    """

    clock: ServerClock
    explained: int
    observed: int
    others: tuple[ServerClock, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether no other rule explains as many observations."""
        return not self.others

    def sentence(self) -> str:
        """The outcome in a line."""
        said = f"{self.clock.name} explains {self.explained} of {self.observed} observations"
        return said + (f"; so does {', '.join(each.name for each in self.others)}." if self.others else ".")


def learn_clock(
    reported: Iterable[tuple[datetime, float]] = (), week_opens: pd.DatetimeIndex | None = None
) -> LearnedClock:
    """The clock of a server, from offsets that its terminal reported and from when FX opened its weeks.

    `reported` are aware moments with the seconds that the server was ahead of UTC then, as the Expert Advisor sends
    them. `week_opens` are the first ticks or bars of FX weeks by the server's clock, without a zone: they fall on
    Sunday 17:00 in New York, give or take minutes (metals open an hour later and must not be among them). Where
    several rules explain as much, the New York close comes before the EU rule and both before a clock that stands.

    Raises InputError when there is no observation, one is no offset, or no rule explains nine of ten.
    """
    observed = [*_from_reports(reported), *_from_week_opens(week_opens)]
    if not observed:
        raise InputError("Nothing was observed of the server's clock.", "Give reported offsets or openings of weeks.")
    candidates = [NEW_YORK_CLOSE, EU_RULE, *(fixed_clock(each) for each in sorted({offset for _, offset in observed}))]
    counts = [_explained(clock, observed) for clock in candidates]
    best = max(counts)
    if best < _NEEDED_FRACTION * len(observed):
        clock = candidates[counts.index(best)]
        moment, offset = next(each for each in observed if _offset_minutes(clock, each[0]) != each[1])
        raise InputError(
            f"No rule explains the server's clock: {clock.name} does {best} of {len(observed)} times, but on "
            f"{moment:%Y-%m-%d %H:%M} UTC the server was {offset} minutes ahead.",
            "Leave out the times before the broker changed its rule, or name the clock in the settings.",
        )
    fitting = [clock for clock, count in zip(candidates, counts, strict=True) if count == best]
    return LearnedClock(fitting[0], best, len(observed), tuple(fitting[1:]))


def _explained(clock: ServerClock, observed: list[tuple[datetime, int]]) -> int:
    index = pd.DatetimeIndex([moment for moment, _ in observed])
    ahead = clock.to_server(index) - index.tz_localize(None)
    minutes = np.asarray(ahead // pd.Timedelta(minutes=1))
    return int(np.sum(minutes == np.array([offset for _, offset in observed])))


def _offset_minutes(clock: ServerClock, moment: datetime) -> int:
    return clock.offset_seconds(moment) // 60


def _from_reports(reported: Iterable[tuple[datetime, float]]) -> Iterator[tuple[datetime, int]]:
    for moment, seconds in reported:
        if moment.tzinfo is None:
            raise InputError(f"The offset was reported at {moment}, which has no zone.", "Give aware moments.")
        if not (math.isfinite(seconds) and abs(seconds) <= _LIMIT_MINUTES * 60):
            raise InputError(f"{seconds!r} seconds is no offset of a clock.", "Offsets lie within 14 hours of UTC.")
        # The two clocks are read one after the other, and the computer's own may be some seconds off.
        yield moment.astimezone(UTC), round(seconds / 60 / _QUARTER) * _QUARTER


def _from_week_opens(opens: pd.DatetimeIndex | None) -> Iterator[tuple[datetime, int]]:
    """The moment of each opening in New York and by how much the server was ahead of UTC then."""
    if opens is None or opens.empty:
        return
    if opens.tz is not None:
        raise InputError(f"The openings have the zone {opens.tz}.", "Give them by the server's clock, without a zone.")
    for wall in opens:
        # Whatever the offset is, the Sunday meant is the one nearest; it is 21:00 or 22:00 UTC there.
        near = (wall - pd.Timedelta(hours=21.5)).round("D")
        sunday = near + pd.Timedelta(days=(6 - near.day_of_week + 3) % 7 - 3)
        opened = (sunday + pd.Timedelta(hours=17)).tz_localize(_NEW_YORK).tz_convert("UTC")
        minutes = (wall - opened.tz_localize(None)) / pd.Timedelta(minutes=1)
        if not abs(minutes) <= _LIMIT_MINUTES + _QUARTER:
            raise InputError(f"No FX week opens on {wall}.", "Give only the first tick or bar of each week.")
        # The first tick comes up to some minutes late, never early.
        yield opened.to_pydatetime(), math.floor((minutes + 1) / _QUARTER) * _QUARTER
