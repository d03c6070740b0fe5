"""How a rule of validation came out, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from core.clock import utc_text
from core.plain import plain
from market.bars import symbols_in
from market.symbols import AssetClass, symbol_of
from market.timeframes import Timeframe, infer_timeframe

LISTED_ROWS = 20
# Of millions of bars the first ones tell the timeframe as well as all of them.
_ROWS_TO_INFER = 100_000


class Verdict(StrEnum):
    """How a rule, or a whole dataset, came out; later members are worse."""

    PASS = "PASS"  # noqa: S105  # a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of some verdicts."""
    return max(verdicts, key=list(Verdict).index)


def by_limits(value: float, warn: float, fail: float) -> Verdict:
    """PASS up to `warn`, WARN up to `fail`, FAIL above it."""
    if value > fail:
        return Verdict.FAIL
    return Verdict.WARN if value > warn else Verdict.PASS


@dataclass(frozen=True)
class RuleResult:
    """One rule's finding: the figure found, the limit it is held to, how many cells broke it, the first of them.

    `note` says in a sentence what the figures cannot; it may be empty.
    """

    rule: str
    status: Verdict
    value: Any
    limit: Any
    count: int
    rows: list[dict[str, Any]]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The finding as the door prints and stores it."""
        return {
            "rule": self.rule,
            "status": str(self.status),
            "value": plain(self.value),
            "limit": plain(self.limit),
            "count": self.count,
            "rows": plain(self.rows),
            "note": self.note,
        }


@dataclass(frozen=True)
class Series:
    """The bars of one symbol from one source, as they were given and in order of time."""

    symbol: str
    source: str
    bars: pd.DataFrame

    @cached_property
    def asset_class(self) -> AssetClass:
        """Of bars without a symbol it is not known how their market keeps time."""
        return symbol_of(self.symbol).asset_class if self.symbol else AssetClass.OTHER

    @cached_property
    def steps(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Microseconds from each row to the next, as the rows were given."""
        return np.diff(pd.DatetimeIndex(self.bars.index).as_unit("us").asi8)

    @cached_property
    def ordered(self) -> pd.DataFrame:
        """The bars sorted by time, the first of each time kept."""
        if not len(self.steps) or self.steps.min() > 0:
            return self.bars
        ordered = self.bars.sort_index(kind="stable")
        return ordered[~ordered.index.duplicated()]

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """When the ordered bars open, UTC."""
        return pd.DatetimeIndex(self.ordered.index).as_unit("us")

    @cached_property
    def timeframe(self) -> Timeframe:
        """The usual distance of the bars."""
        return infer_timeframe(self.times[:_ROWS_TO_INFER])

    def row(self, time: Any, column: str | None, value: Any) -> dict[str, Any]:
        """One cell as rules list it."""
        return {
            "time": None if time is None else utc_text(time),
            "symbol": self.symbol,
            "column": column,
            "value": value,
        }

    def rows(self, positions: np.ndarray[Any, Any], column: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        """The ordered bars at `positions`, the first of them, with a value each."""
        shown = positions[:LISTED_ROWS].tolist()
        return [self.row(self.times[at], column, value) for at, value in zip(shown, values, strict=False)]


def series_of(frame: pd.DataFrame) -> list[Series]:
    """The series a frame holds: one a symbol, or one a symbol and source where several tell of one symbol."""
    found: list[Series] = []
    symbols = symbols_in(frame)
    for symbol in symbols or [""]:
        part = frame[frame["symbol"] == symbol] if len(symbols) > 1 else frame
        sources = [str(name) for name in pd.unique(part["source"])] if "source" in part else []
        for source in sources or [""]:
            bars = part[part["source"] == source] if len(sources) > 1 else part
            found.append(Series(symbol, source, bars.drop(columns=["symbol", "source"], errors="ignore")))
    return found
