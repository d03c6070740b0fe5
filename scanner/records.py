"""Findings as dictionaries, the form in which they leave the scanner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scanner.patterns.findings import LASTS, End, Findings, Kind

_KINDS = [kind.words for kind in Kind]
_ENDS = [end.words if end else "" for end in End]


def finding_dicts(found: Findings, times: pd.DatetimeIndex) -> list[dict[str, Any]]:
    """Findings as dictionaries: kind, direction, level, low, high, formed_at, known_at, ended_at, end, strength.

    As `Findings.records`, but without a frame between them. `ended_at` is None while it lasts.
    """
    places, where = np.unique(np.concatenate([found.formed, found.known, found.ended]), return_inverse=True)
    lasts = len(places) > 0 and places[0] == LASTS
    stamps: list[Any] = [None, *times[places[1:]]] if lasts else list(times[places])
    formed, known, ended = where.reshape(3, -1).tolist()
    columns = zip(
        found.kind.tolist(), found.direction.tolist(), found.level.tolist(), found.low.tolist(), found.high.tolist(),
        formed, known, ended, found.end.tolist(), found.strength.tolist(), strict=True,
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
