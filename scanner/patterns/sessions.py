"""Kill zones: hours in which a market's dealers are at their desks, each on the wall clock of its own place.

Places change their clocks on different days, or never, so a zone's UTC hours move against each other; a fixed offset
would be wrong for half of the year. Source: the Asian, London and New York kill zones of the Inner Circle Trader,
which he gives in New York time: 20:00–00:00, 02:00–05:00, 07:00–10:00.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError

Whole = np.ndarray[Any, np.dtype[np.int64]]
OUTSIDE = -1
_DAYS_BEFORE_1970 = 719_163  # so that days of earlier bars are numbers above 0 too


@dataclass(frozen=True)
class KillZone:
    """From full hour `begins` to before full hour `ends` of every day on the clock of `zone`; may span midnight."""

    name: str
    zone: str
    begins: int
    ends: int

    def __post_init__(self) -> None:
        for hour in (self.begins, self.ends):
            if not 0 <= hour <= 24:
                raise InputError(
                    f"Kill zone {self.name!r}: the hour {hour} is none of a day.", "Give one from 0 to 24."
                )


KILL_ZONES = (
    KillZone("asia", "Asia/Tokyo", 9, 13),
    KillZone("london", "Europe/London", 7, 10),
    KillZone("new_york", "America/New_York", 7, 10),
)


def zone_days(times: pd.DatetimeIndex, zone: KillZone) -> Whole:
    """For each aware time the day, as a growing number, whose hours of the zone it lies in, or `OUTSIDE`."""
    wall = times.tz_convert(zone.zone).tz_localize(None) - pd.Timedelta(hours=zone.begins)
    inside = np.asarray(wall.hour) < ((zone.ends - zone.begins) % 24 or 24)
    return np.where(inside, day_numbers(wall), OUTSIDE)


def zone_names(times: pd.DatetimeIndex, zones: Sequence[KillZone] = KILL_ZONES) -> np.ndarray[Any, Any]:
    """For each aware time the name of the zone it lies in, the first of several; empty outside all."""
    names = np.full(len(times), "", dtype=object)
    for zone in reversed(zones):
        names[zone_days(times, zone) != OUTSIDE] = zone.name
    return names


def day_numbers(wall: pd.DatetimeIndex) -> Whole:
    """The days of naive times, counted from the year 1."""
    return np.asarray(wall.as_unit("s").asi8 // 86_400 + _DAYS_BEFORE_1970, dtype=np.int64)
