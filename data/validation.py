"""What a dataset is judged by: five rules of amounts and bounds here, and those of a desk in `data.desk_rules`.

They look at raw columns only; features may warm up as they like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.settings import DataSettings
from data.desk_rules import desk_rules
from data.verdicts import LISTED_ROWS, RuleResult, Series, Verdict, series_of, worst
from market.bars import PRICES, RAW_COLUMNS

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

__all__ = ["LISTED_ROWS", "RuleResult", "Verdict", "validate_frame", "worst"]


def validate_frame(frame: pd.DataFrame, limits: DataSettings, others: Sequence[pd.DataFrame] = ()) -> list[RuleResult]:
    """The finding of every rule for `frame` (one symbol, or long with a column `symbol`).

    Where `frame` holds several sources of one symbol, each is judged by itself. `others` are frames of other
    sources, with the same columns, that it is compared with; they are not judged. Rows out of order or twice are
    a finding here, not an error.
    """
    series = series_of(frame)
    return [
        _minimum_rows(series, limits),
        _missing_values(series, limits),
        _bounds("price_bounds", PRICES, series, limits.price_low, limits.price_high),
        _bounds("volume_bounds", ("volume",), series, limits.volume_low, limits.volume_high),
        _outliers(series, limits),
        *desk_rules(series, limits, [each for other in others for each in series_of(other)]),
    ]


def _minimum_rows(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """FAIL when the shortest symbol has fewer rows than the limit; `count` are the rows it lacks."""
    symbol, fewest = min(((each.symbol, len(each.bars)) for each in series), key=lambda pair: pair[1])
    lacking = max(0, limits.minimum_rows - fewest)
    rows = [{"time": None, "symbol": symbol, "column": None, "value": fewest}] if lacking else []
    return RuleResult("minimum_rows", _fail_if(lacking > 0), fewest, limits.minimum_rows, lacking, rows)


def _missing_values(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """FAIL when more than `limit` per cent of the raw cells of any symbol are empty; `value` in per cent."""
    rows: list[dict[str, Any]] = []
    count, worst_pct = 0, 0.0
    for each in series:
        columns = {name: each.bars[name].to_numpy() for name in RAW_COLUMNS}
        found, listed = _cells(each, columns, {name: np.isnan(values) for name, values in columns.items()})
        count += found
        worst_pct = max(worst_pct, 100 * found / max(1, len(columns) * len(each.bars)))
        rows += listed
    status = _fail_if(worst_pct > limits.missing_limit_pct)
    return RuleResult("missing_values", status, worst_pct, limits.missing_limit_pct, count, rows[:LISTED_ROWS])


def _bounds(rule: str, names: tuple[str, ...], series: Sequence[Series], low: float, high: float) -> RuleResult:
    """FAIL when any value lies outside [low, high]; `value` is the lowest and highest found."""
    rows: list[dict[str, Any]] = []
    count = 0
    lowest, highest = np.inf, -np.inf
    for each in series:
        columns = {name: each.bars[name].to_numpy() for name in names}
        ends = [end for values in columns.values() for end in _ends(values)]
        lowest, highest = min([lowest, *ends]), max([highest, *ends])
        if ends and low <= min(ends) and max(ends) <= high:
            continue
        outside = {name: (values < low) | (values > high) for name, values in columns.items()}
        found, listed = _cells(each, columns, outside)
        count += found
        rows += listed
    return RuleResult(rule, _fail_if(count > 0), [lowest, highest], [low, high], count, rows[:LISTED_ROWS])


def _outliers(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """List one-bar returns beyond so many standard deviations; WARN above `limit` per cent of them, never FAIL.

    Price returns have fat tails: three sigmas flag 1.4 per cent of good hourly EUR/USD bars.
    """
    rows: list[dict[str, Any]] = []
    count, worst_pct = 0, 0.0
    for each in series:
        returns = _returns(each.ordered["close"].to_numpy())
        finite = np.isfinite(returns)
        known = returns if finite.all() else returns[finite]
        apart = known - known.mean() if len(known) else known
        deviation = float(np.sqrt(np.dot(apart, apart) / (len(known) - 1))) if len(known) > 1 else np.inf
        wild = np.abs(apart, out=apart) > limits.outlier_sigmas * deviation
        found = int(np.count_nonzero(wild))
        count += found
        worst_pct = max(worst_pct, 100 * found / max(1, len(known)))
        if found:
            at = np.flatnonzero(wild)[:LISTED_ROWS]
            places = at if finite.all() else np.flatnonzero(finite)[at]
            rows += each.rows(places + 1, "return_1", known[at].tolist())
    status = Verdict.WARN if worst_pct > limits.outlier_warn_pct else Verdict.PASS
    return RuleResult("outliers_3_sigma", status, worst_pct, limits.outlier_warn_pct, count, rows[:LISTED_ROWS])


def _returns(close: Floats) -> Floats:
    """One-bar returns from the second bar on.

    A price of 0, which is for the bounds to judge, gives an infinite one, which must not hide the other outliers.
    """
    with np.errstate(all="ignore"):
        returns: Floats = close[1:] / close[:-1] - 1
    return returns


def _ends(values: Floats) -> list[float]:
    """Lowest and highest of the values that are there; none when there are none."""
    if not len(values):
        return []
    low, high = float(values.min()), float(values.max())
    if np.isnan(low):
        present = values[~np.isnan(values)]
        return [float(present.min()), float(present.max())] if len(present) else []
    return [low, high]


def _cells(each: Series, columns: Mapping[str, Floats], flags: Mapping[str, Flags]) -> tuple[int, list[dict[str, Any]]]:
    """How many cells are flagged, and the first of them, in the order of the rows."""
    counts = {name: int(np.count_nonzero(flagged)) for name, flagged in flags.items()}
    first = sorted(
        (row, place, name)
        for place, name in enumerate(flags)
        if counts[name]
        for row in np.flatnonzero(flags[name])[:LISTED_ROWS].tolist()
    )
    rows = [each.row(each.bars.index[row], name, columns[name][row]) for row, _, name in first[:LISTED_ROWS]]
    return sum(counts.values()), rows


def _fail_if(broken: bool) -> Verdict:
    return Verdict.FAIL if broken else Verdict.PASS
