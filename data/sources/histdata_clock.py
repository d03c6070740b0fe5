"""The clock HistData's files are written by, told from each file itself.

HistData says "Eastern Standard Time without daylight saving". Files of its that were looked at say otherwise:
EURUSD of July 2018 opens its week at 17:00 and jumps at 8:30 on the day of the payrolls, SPXUSD of March
2018 pauses at 16:15 and 17:00 when New York had summer time already, all of it on New York's own clock. A clock
that stands at UTC−5 would show an hour less. So the weeks of FX in New York's summer decide, file by file:
they open and close at 17:00 on a clock that follows New York, at 16:00 on one that stands.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.log import get_logger
from market.symbols import AssetClass, symbol_of

NEW_YORK = "America/New_York"
AS_DOCUMENTED = "Etc/GMT+5"  # UTC−5: the sign of these names is turned round
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000


def clock_of(wall_ms: np.ndarray, pair: str) -> str | None:
    """The clock a file is written by, told from its weeks in New York's summer; None where they do not tell.

    In winter the two are one. What is no FX has other weeks; it is taken to follow New York.
    """
    if symbol_of(pair).asset_class is not AssetClass.FX:
        return NEW_YORK
    gaps = np.flatnonzero(np.diff(wall_ms) > 36 * _HOUR_MS)
    ends, begins = np.r_[wall_ms[gaps], wall_ms[-1:]], np.r_[wall_ms[:1], wall_ms[gaps + 1]]
    if not (_is_summer(ends).any() or _is_summer(begins).any()):
        return AS_DOCUMENTED
    # The closes decide, at 16:59 on Friday; the opens only where there is no close: metals open an hour after FX.
    for moments, weekday, hour in ((ends[:-1], 4, 16), (begins[1:], 6, 17)):
        told = moments[_is_summer(moments) & ((moments // _DAY_MS + 3) % 7 == weekday)]  # 1970 began on a Thursday
        hours = told % _DAY_MS // _HOUR_MS
        follows, stands = int(np.sum(hours == hour)), int(np.sum(hours == hour - 1))
        if follows != stands:
            zone = NEW_YORK if follows > stands else AS_DOCUMENTED
            get_logger(__name__).info("told the clock of a HistData file", pair=pair, zone=zone, weeks=follows + stands)
            return zone
    return None


def _is_summer(wall_ms: np.ndarray) -> np.ndarray:
    summer: np.ndarray = _offsets_ms(wall_ms) == -4 * _HOUR_MS
    return summer


def _offsets_ms(wall_ms: np.ndarray) -> np.ndarray:
    """How far New York's clock is from UTC at times of that clock."""
    if not len(wall_ms):
        return np.zeros(0, dtype=np.int64)
    hours = wall_ms // _HOUR_MS
    begins = np.r_[0, np.flatnonzero(hours[1:] != hours[:-1]) + 1]
    wall = pd.DatetimeIndex((hours[begins] * 3_600).view("M8[s]"))
    # The hour that autumn repeats and the one that spring skips lie on Sunday at night, without a market.
    there = wall.tz_localize(NEW_YORK, ambiguous=np.zeros(len(wall), dtype=bool), nonexistent="shift_backward")
    ahead = (there.tz_localize(None) - there.tz_convert("UTC").tz_localize(None)) // pd.Timedelta(hours=1)
    offsets: np.ndarray = np.repeat(ahead.to_numpy() * np.int64(_HOUR_MS), np.diff(np.r_[begins, len(hours)]))
    return offsets


def to_utc(wall_ms: np.ndarray, zone: str) -> pd.DatetimeIndex:
    """Times of a file's clock as UTC."""
    moments = wall_ms - _offsets_ms(wall_ms) if zone == NEW_YORK else wall_ms + 5 * _HOUR_MS
    return pd.DatetimeIndex((moments * 1_000).view("M8[us]"), name="time").tz_localize("UTC")
