"""Views of findings over bars: where price stands in the dealing range, how much of a gap is filled."""

from __future__ import annotations

import numpy as np
import pandas as pd

from market.indicators import Floats, floats
from scanner.patterns.findings import Findings, Kind


def dealing_range(bars: pd.DataFrame, findings: Findings) -> tuple[Floats, Floats]:
    """For each bar the swing low and the swing high that were last known at its close; NaN before there is one."""
    low, high = (_last_level(findings, direction, len(bars)) for direction in (1, -1))
    return low, high


def range_position(bars: pd.DataFrame, findings: Findings) -> Floats:
    """Where each close stands in the dealing range: 0 at its low, 1 at its high, below 0.5 discount, above premium.

    The range lies between the swing low and the swing high last known at that bar, whichever came first; beyond it the
    position stays 0 or 1. NaN before both are known and where the low is not below the high. `findings` must hold the
    swings (`find_swings`). Source: premium and discount of the Inner Circle Trader.
    """
    low, high = dealing_range(bars, findings)
    height = high - low
    position = (floats(bars["close"]) - low) / np.where(height > 0, height, np.nan)
    return np.clip(position, 0.0, 1.0)


def filled_share(bars: pd.DataFrame, gaps: Findings, at: int | None = None) -> Floats:
    """How much of each gap price has retraced up to bar `at` (the last one): 0 untouched, 1 all of it.

    Raises no question of when a gap ends, which `gap_fill_share` decides; a gap not yet known at `at` is NaN.
    """
    last = len(bars) - 1 if at is None else at
    low, high = floats(bars["low"])[: last + 1], floats(bars["high"])[: last + 1]
    # The furthest price from each bar to `at`, and past the last bar none.
    deepest = np.append(np.minimum.accumulate(low[::-1])[::-1], np.inf)
    highest = np.append(np.maximum.accumulate(high[::-1])[::-1], -np.inf)
    after = np.minimum(gaps.known + 1, last + 1)
    reach = np.where(gaps.direction > 0, gaps.high - deepest[after], highest[after] - gaps.low)
    share = np.clip(reach / (gaps.high - gaps.low), 0.0, 1.0)
    return np.where(gaps.known > last, np.nan, share)


def _last_level(findings: Findings, direction: int, length: int) -> Floats:
    swings = findings.where((findings.kind == Kind.SWING) & (findings.direction == direction))
    places = np.searchsorted(swings.known, np.arange(length), side="right")
    return np.concatenate([[np.nan], swings.level])[places]
