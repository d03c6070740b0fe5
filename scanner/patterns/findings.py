"""What a pattern says it found: columns of equal length instead of an object a finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd

Whole = np.ndarray[Any, np.dtype[np.int64]]
Small = np.ndarray[Any, np.dtype[np.int8]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

LASTS = -1  # `ended` of a finding that lasts
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Named(IntEnum):
    """A code of a column; its name in lower case is what people read."""

    @property
    def words(self) -> str:
        return self.name.lower()


class Kind(_Named):
    """What was found."""

    SWING = 0
    BOS = 1
    CHOCH = 2
    LIQUIDITY_SWEEP = 3
    FVG = 4
    ORDER_BLOCK = 5
    PREVIOUS_DAY = 6
    PREVIOUS_WEEK = 7
    PREVIOUS_SESSION = 8


class End(_Named):
    """Why a finding ended; NONE while it lasts."""

    NONE = 0
    FILLED = 1
    MITIGATED = 2
    SWEPT = 3
    BROKEN = 4
    REPLACED = 5


_KINDS = [kind.words for kind in Kind]
_ENDS = [end.words if end else "" for end in End]


@dataclass(frozen=True)
class Findings:
    """Findings in one symbol's bars of one timeframe, in the order in which they became known.

    Times are places of bars (0 is the first): `formed` is the extreme or the bar that gave the finding its shape,
    `known` the bar whose close proves it (never before `formed`), `ended` the bar whose close ended it (after `known`
    or equal to it), or `LASTS`. `direction` is +1 bullish, −1 bearish: what it speaks for, so a swept low is
    bullish. `level` is the price that matters, `low` and `high` bound the zone (equal to `level` where the
    pattern is a line). `strength` is in average true ranges of the bar `known`, NaN where that is still warming up.
    """

    kind: Small
    direction: Small
    formed: Whole
    known: Whole
    ended: Whole
    end: Small
    level: Floats
    low: Floats
    high: Floats
    strength: Floats

    def __len__(self) -> int:
        return len(self.known)

    def where(self, rows: Any) -> Findings:
        """Those that a mask or a list of rows picks."""
        return Findings(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def of(self, *kinds: Kind) -> Findings:
        """Those of some kinds."""
        wanted = np.zeros(len(Kind), dtype=bool)
        wanted[list(kinds)] = True
        return self.where(wanted[self.kind])

    def as_known(self, bar: int) -> Findings:
        """What was known at the close of `bar`: nothing proved later, and what ended later still lasts."""
        known = self.where(slice(0, int(np.searchsorted(self.known, bar, side="right"))))
        later = known.ended > bar
        return Findings(
            **{
                **{field.name: getattr(known, field.name) for field in fields(known)},
                "ended": np.where(later, LASTS, known.ended),
                "end": np.where(later, np.int8(End.NONE), known.end).astype(np.int8),
            }
        )

    def records(self, times: pd.DatetimeIndex) -> list[dict[str, Any]]:
        """Each as a dictionary with the columns of `frame`; `times` are the open times of the bars.

        Times are aware datetimes in UTC, `ended_at` is None while it lasts.
        """
        # Each time that is told becomes an object once; LASTS, −1, is the place behind the last bar.
        told = np.zeros(len(times) + 1, dtype=bool)
        for places in (self.formed, self.known, self.ended):
            told[places] = True
        rank = np.cumsum(told) - 1
        # An eighth of the time that `to_pydatetime` takes for aware times.
        since = times.as_unit("us").asi8[told[:-1]].view("timedelta64[us]")
        stamps = [*(_EPOCH + each for each in since.tolist()), None]
        formed, known, ended = rank[self.formed].tolist(), rank[self.known].tolist(), rank[self.ended].tolist()
        columns = zip(
            self.kind.tolist(), self.direction.tolist(), self.level.tolist(), self.low.tolist(), self.high.tolist(),
            formed, known, ended, self.end.tolist(), self.strength.tolist(), strict=True,
        )  # fmt: skip
        return [
            {
                "kind": _KINDS[kind],
                "direction": "bullish" if direction > 0 else "bearish",
                "level": level,
                "low": low,
                "high": high,
                "formed_at": stamps[formed_place],
                "known_at": stamps[known_place],
                "ended_at": stamps[ended_place],
                "end": _ENDS[end],
                "strength": strength,
            }
            for kind, direction, level, low, high, formed_place, known_place, ended_place, end, strength in columns
        ]

    def frame(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """A row each: kind, direction, level, low, high, formed_at, known_at, ended_at, end, strength."""
        lasts = self.ended == LASTS
        ended = pd.Series(times[np.where(lasts, 0, self.ended)]).mask(lasts) if len(self) else times[:0]
        return pd.DataFrame(
            {
                "kind": [_KINDS[code] for code in self.kind.tolist()],
                "direction": np.where(self.direction > 0, "bullish", "bearish"),
                "level": self.level,
                "low": self.low,
                "high": self.high,
                "formed_at": times[self.formed],
                "known_at": times[self.known],
                "ended_at": ended,
                "end": [_ENDS[code] for code in self.end.tolist()],
                "strength": self.strength,
            }
        )


def joined(parts: Iterable[Findings]) -> Findings:
    """Findings of several patterns in the same bars, in the order in which they became known, then of their kinds."""
    found = list(parts)
    columns = {field.name: np.concatenate([getattr(part, field.name) for part in found]) for field in fields(Findings)}
    order = np.lexsort((columns["kind"], columns["known"]))  # a stable order
    return Findings(**{name: column[order] for name, column in columns.items()})
