"""Findings that are still being added to: arrays of columns that grow."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from scanner.patterns.findings import Findings

Whole = np.ndarray[Any, np.dtype[np.int64]]


class Rows:
    """Columns for `room` findings, more when they are needed; `memory` begins with how many there are and ended."""

    growing: ClassVar[tuple[str, ...]] = ("codes", "places", "prices", "gone")

    def __init__(self, memory: int, room: int) -> None:
        self.memory = np.full(memory, -1, dtype=np.int64)
        self.memory[:2] = 0
        self.codes = np.empty((3, room), dtype=np.int8)
        self.places = np.empty((3, room), dtype=np.int64)
        self.prices = np.empty((4, room))
        self.gone = np.empty(room, dtype=np.int64)

    def __len__(self) -> int:
        return int(self.memory[0])

    def ended(self) -> Whole:
        """The rows of the findings that ended since this was asked last, in their order."""
        gone: Whole = np.sort(self.gone[: self.memory[1]])
        self.memory[1] = 0
        return gone

    def copied(self, rows: slice | Whole | None = None) -> Findings:
        """The findings in some rows, or all of them, as later bars will not change them."""
        picked: Any = slice(0, len(self)) if rows is None else rows
        return _findings(self.codes[:, picked].copy(), self.places[:, picked].copy(), self.prices[:, picked].copy())

    def handed_over(self) -> Findings:
        """All findings, in the very arrays: nothing may be added afterwards."""
        count = len(self)
        return _findings(self.codes[:, :count], self.places[:, :count], self.prices[:, :count])

    def grow(self) -> None:
        """Make room for twice as many."""
        for name in self.growing:
            old = getattr(self, name)
            new = np.empty((*old.shape[:-1], 2 * old.shape[-1]), dtype=old.dtype)
            new[..., : old.shape[-1]] = old
            setattr(self, name, new)


def nothing() -> Findings:
    """No findings."""
    return Rows(2, 0).handed_over()


def _findings(codes: Any, places: Any, prices: Any) -> Findings:
    return Findings(
        kind=codes[0],
        direction=codes[1],
        formed=places[0],
        known=places[1],
        ended=places[2],
        end=codes[2],
        level=prices[0],
        low=prices[1],
        high=prices[2],
        strength=prices[3],
    )
