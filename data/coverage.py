"""Ranges of time that were asked for: what is covered, and what is missing.

A range is a pair of integers, [start, end): the start is in it, the end is not. Milliseconds here, though
nothing depends on the unit.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same moments in as few ranges as can be, in order of time, none touching another; empty ones go."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def missing_from(covered: Iterable[Range], start: int, end: int) -> list[Range]:
    """What of [start, end) no range of `covered` holds: in front, behind and in the holes between."""
    missing: list[Range] = []
    for first, after in merged(covered):
        if start < min(first, end):
            missing.append((start, min(first, end)))
        start = max(start, after)
    return [*missing, (start, end)] if start < end else missing


def are_covered(covered: Iterable[Range], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which of the ranges [start, end) lie wholly in `covered`; an array of booleans."""
    known = np.array(merged(covered), dtype=np.int64).reshape(-1, 2)
    nearest = np.searchsorted(known[:, 0], starts, side="right") - 1
    inside = nearest >= 0
    inside[inside] = ends[inside] <= known[nearest[inside], 1]
    return inside
