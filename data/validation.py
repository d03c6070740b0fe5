"""The five rules a dataset is judged by. They look at raw columns only; features may warm up as they like."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from core.clock import utc_text
from core.plain import plain
from core.settings import DataSettings
from market.bars import PRICES, RAW_COLUMNS, bars_of, symbols_in

LISTED_ROWS = 20


class Verdict(StrEnum):
    """How a rule, or a whole dataset, came out; later members are worse."""

    PASS = "PASS"  # noqa: S105  # a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of some verdicts."""
    return max(verdicts, key=list(Verdict).index)


@dataclass(frozen=True)
class RuleResult:
    """One rule's finding: the figure found, the limit it is held to, how many cells broke it, the first of them."""

    rule: str
    status: Verdict
    value: Any
    limit: Any
    count: int
    rows: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The finding as the door prints and stores it."""
        return {
            "rule": self.rule,
            "status": str(self.status),
            "value": plain(self.value),
            "limit": plain(self.limit),
            "count": self.count,
            "rows": plain(self.rows),
        }


def validate_frame(frame: pd.DataFrame, limits: DataSettings) -> list[RuleResult]:
    """The five findings for `frame` (one symbol, or long with a column `symbol`)."""
    symbols = symbols_in(frame)
    series = [(symbol, bars_of(frame, symbol)) for symbol in symbols] or [("", frame)]
    return [
        _minimum_rows(series, limits),
        _missing_values(series, limits),
        _bounds("price_bounds", PRICES, series, limits.price_low, limits.price_high),
        _bounds("volume_bounds", ("volume",), series, limits.volume_low, limits.volume_high),
        _outliers(series, limits),
    ]


_Series = list[tuple[str, pd.DataFrame]]


def _minimum_rows(series: _Series, limits: DataSettings) -> RuleResult:
    """FAIL when the shortest symbol has fewer rows than the limit; `count` are the rows it lacks."""
    symbol, fewest = min(((symbol, len(bars)) for symbol, bars in series), key=lambda pair: pair[1])
    lacking = max(0, limits.minimum_rows - fewest)
    rows = [{"time": None, "symbol": symbol, "column": None, "value": fewest}] if lacking else []
    return RuleResult("minimum_rows", _fail_if(lacking > 0), fewest, limits.minimum_rows, lacking, rows)


def _missing_values(series: _Series, limits: DataSettings) -> RuleResult:
    """FAIL when more than `limit` per cent of the raw cells of any symbol are empty; `value` in per cent."""
    rows: list[dict[str, Any]] = []
    count, worst_pct = 0, 0.0
    for symbol, bars in series:
        holes = bars[list(RAW_COLUMNS)].isna()
        found = int(holes.to_numpy().sum())
        count += found
        worst_pct = max(worst_pct, 100 * found / max(1, holes.size))
        rows += _listed(symbol, bars, holes)
    status = _fail_if(worst_pct > limits.missing_limit_pct)
    return RuleResult("missing_values", status, worst_pct, limits.missing_limit_pct, count, rows[:LISTED_ROWS])


def _bounds(rule: str, columns: tuple[str, ...], series: _Series, low: float, high: float) -> RuleResult:
    """FAIL when any value lies outside [low, high]; `value` is the lowest and highest found."""
    rows: list[dict[str, Any]] = []
    count = 0
    lowest, highest = np.inf, -np.inf
    for symbol, bars in series:
        values = bars[list(columns)]
        outside = (values < low) | (values > high)
        count += int(outside.to_numpy().sum())
        lowest, highest = min(lowest, values.min().min()), max(highest, values.max().max())
        rows += _listed(symbol, bars, outside)
    return RuleResult(rule, _fail_if(count > 0), [lowest, highest], [low, high], count, rows[:LISTED_ROWS])


def _outliers(series: _Series, limits: DataSettings) -> RuleResult:
    """List one-bar returns beyond so many standard deviations; WARN above `limit` per cent of them, never FAIL.

    Price returns have fat tails: three sigmas flag 1.4 per cent of good hourly EUR/USD bars.
    """
    rows: list[dict[str, Any]] = []
    count, worst_pct = 0, 0.0
    for symbol, bars in series:
        # A price of 0, which is for the bounds to judge, must not hide the other outliers behind an infinite return.
        returns = bars["close"].pct_change(fill_method=None).replace([np.inf, -np.inf], np.nan)
        far = (returns - returns.mean()).abs() > limits.outlier_sigmas * returns.std()
        found = int(far.sum())
        count += found
        worst_pct = max(worst_pct, 100 * found / max(1, int(returns.notna().sum())))
        rows += _listed(symbol, returns.to_frame("return_1"), far.to_frame("return_1"))
    status = Verdict.WARN if worst_pct > limits.outlier_warn_pct else Verdict.PASS
    return RuleResult("outliers_3_sigma", status, worst_pct, limits.outlier_warn_pct, count, rows[:LISTED_ROWS])


def _fail_if(broken: bool) -> Verdict:
    return Verdict.FAIL if broken else Verdict.PASS


def _listed(symbol: str, values: pd.DataFrame, flagged: pd.DataFrame) -> list[dict[str, Any]]:
    """The first flagged cells, in order of time."""
    positions, columns = np.nonzero(flagged.to_numpy())
    return [
        {
            "time": utc_text(values.index[position]),
            "symbol": symbol,
            "column": flagged.columns[column],
            "value": values[flagged.columns[column]].iloc[position],
        }
        for position, column in zip(positions[:LISTED_ROWS], columns[:LISTED_ROWS], strict=True)
    ]
