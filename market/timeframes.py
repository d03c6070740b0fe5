"""Timeframes under MetaTrader's names; what other tools call them is understood at the door."""

from __future__ import annotations

import re
from enum import StrEnum

import numpy as np
import pandas as pd

from core.errors import InputError


class Timeframe(StrEnum):
    """The length of a bar. From D1 on, a bar ends with a trading day, not after a fixed time."""

    M1 = "M1"
    M5 = "M5"
    M15 = "M15"
    M30 = "M30"
    H1 = "H1"
    H4 = "H4"
    D1 = "D1"
    W1 = "W1"
    MN1 = "MN1"

    @property
    def minutes(self) -> int:
        """Nominal length in minutes; W1 counts five trading days, MN1 twenty-one."""
        return _MINUTES[self]

    @property
    def delta(self) -> pd.Timedelta:
        """Nominal length; exact below D1."""
        return pd.Timedelta(minutes=self.minutes)

    @property
    def is_intraday(self) -> bool:
        """Whether bars have a fixed length."""
        return self.minutes < 1440


_MINUTES = {
    Timeframe.M1: 1,
    Timeframe.M5: 5,
    Timeframe.M15: 15,
    Timeframe.M30: 30,
    Timeframe.H1: 60,
    Timeframe.H4: 240,
    Timeframe.D1: 1440,
    Timeframe.W1: 5 * 1440,
    Timeframe.MN1: 21 * 1440,
}
_WORDS = {
    "minute": Timeframe.M1,
    "hourly": Timeframe.H1,
    "hour": Timeframe.H1,
    "daily": Timeframe.D1,
    "day": Timeframe.D1,
    "weekly": Timeframe.W1,
    "week": Timeframe.W1,
    "monthly": Timeframe.MN1,
    "month": Timeframe.MN1,
}
_UNITS = {
    "m": 1,
    "min": 1,
    "t": 1,
    "h": 60,
    "d": 1440,
    "day": 1440,
    "w": 5 * 1440,
    "wk": 5 * 1440,
    "mo": 21 * 1440,
    "mn": 21 * 1440,
}
_CALENDAR_UNITS = {"w", "wk", "mo", "mn"}
_NUMBER_FIRST = re.compile(r"(\d+)\s*([a-z]+)")
_UNIT_FIRST = re.compile(r"([a-z]+)(\d+)")


def parse_timeframe(text: str) -> Timeframe:
    """The timeframe meant by `H1`, `1H`, `1h`, `60m`, `60min`, `hourly`, `PERIOD_H1` …

    Raises InputError when nothing, or more than one thing, is meant.
    """
    word = str(text).strip().removeprefix("PERIOD_")
    if word == "1M":
        raise InputError("'1M' may mean one minute or one month.", "Write M1 or MN1.")
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if match := _NUMBER_FIRST.fullmatch(word.lower()):
        count, unit = int(match[1]), match[2]
    elif match := _UNIT_FIRST.fullmatch(word.lower()):
        count, unit = int(match[2]), match[1]
    else:
        count, unit = 0, ""
    minutes = count * _UNITS.get(unit, 0)
    for timeframe, length in _MINUTES.items():
        # Five days are a week of FX only, so weeks and months have units of their own.
        if minutes == length and (length <= 1440 or unit in _CALENDAR_UNITS):
            return timeframe
    raise InputError(f"There is no timeframe {text!r}.", f"Known: {', '.join(Timeframe)}.")


def infer_timeframe(times: pd.DatetimeIndex) -> Timeframe:
    """The longest timeframe that fits into the usual distance between bars; M1 for fewer than two bars."""
    if len(times) < 2:
        return Timeframe.M1
    # The lower of two middle distances: in three bars across a weekend it is the other that is a gap.
    distances = np.diff(times.as_unit("ns").asi8)
    middle = (len(distances) - 1) // 2
    minutes = float(np.partition(distances, middle)[middle]) / 60e9
    # Calendar lengths: bars of a week stand seven days apart, of a month 28 or more; a day of spring has 23 hours.
    apart = {**_MINUTES, Timeframe.W1: 7 * 1440, Timeframe.MN1: 28 * 1440}
    # Longest that fits, not nearest: where bars are missing they stand further apart, never closer.
    fitting = [timeframe for timeframe in Timeframe if 0.95 * apart[timeframe] <= minutes]
    return fitting[-1] if fitting else Timeframe.M1
