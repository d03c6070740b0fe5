"""Highs and lows of periods that are over, as a fold over bars, compiled by numba. Import late."""

# ruff: noqa: PLR0917  # compiled functions take all they need by position
from __future__ import annotations

import math
from typing import Any

import numpy as np

from market.kernels import compiled
from scanner.patterns.kernels import BROKEN, COUNT, END, ENDED, GONE, LEVEL, REPLACED, SWEPT, put

Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Small = np.ndarray[Any, np.dtype[np.int8]]

MOST_A_BAR = 2
# Places in `memory` after the two counts: the first period and the one under way, its bars, its extremes, what lasts.
FIRST, PERIOD, BARS, HIGHEST_AT, LOWEST_AT, HIGH_ROW, LOW_ROW = range(2, 9)
MEMORY = 9


@compiled
def advance_levels(
    periods: Whole,
    high: Floats,
    low: Floats,
    close: Floats,
    average: Floats,
    begin: int,
    kind: int,
    memory: Whole,
    extremes: Floats,
    codes: Small,
    places: Whole,
    prices: Floats,
    gone: Whole,
) -> int:
    """Take bars of which the first is number `begin`; how many were taken before there was no room any more.

    `periods` holds a number for each bar, below 0 outside all; a period is over at the first bar with another one.
    The period of bar 0 is left out, because its beginning may be missing, and so is one of a single bar.
    `extremes` carries the high and low of the period under way.
    """
    room = codes.shape[1] - MOST_A_BAR
    for at in range(len(periods)):
        if memory[COUNT] > room:
            return at
        bar, period = begin + at, periods[at]
        if bar == 0:
            memory[FIRST] = period
        if period != memory[PERIOD]:
            if memory[PERIOD] >= 0 and memory[PERIOD] != memory[FIRST] and memory[BARS] > 1:
                size = (extremes[0] - extremes[1]) / average[at] if average[at] > 0 else math.nan
                for side in (-1, 1):
                    place = HIGH_ROW if side < 0 else LOW_ROW
                    row = memory[place]
                    if row >= 0:
                        places[ENDED, row] = bar
                        codes[END, row] = REPLACED
                        gone[memory[GONE]] = row
                        memory[GONE] += 1
                    level = extremes[0] if side < 0 else extremes[1]
                    formed = memory[HIGHEST_AT] if side < 0 else memory[LOWEST_AT]
                    memory[place] = memory[COUNT]
                    put(codes, places, prices, memory[COUNT], kind, side, formed, bar, level, level, level, size)
                    memory[COUNT] += 1
            memory[PERIOD] = period
            memory[BARS] = 0
        if period >= 0:
            if memory[BARS] == 0 or high[at] > extremes[0]:
                extremes[0] = high[at]
                memory[HIGHEST_AT] = bar
            if memory[BARS] == 0 or low[at] < extremes[1]:
                extremes[1] = low[at]
                memory[LOWEST_AT] = bar
            memory[BARS] += 1
        row = memory[HIGH_ROW]
        if row >= 0 and high[at] > prices[LEVEL, row]:
            places[ENDED, row] = bar
            codes[END, row] = BROKEN if close[at] > prices[LEVEL, row] else SWEPT
            gone[memory[GONE]] = row
            memory[GONE] += 1
            memory[HIGH_ROW] = -1
        row = memory[LOW_ROW]
        if row >= 0 and low[at] < prices[LEVEL, row]:
            places[ENDED, row] = bar
            codes[END, row] = BROKEN if close[at] < prices[LEVEL, row] else SWEPT
            gone[memory[GONE]] = row
            memory[GONE] += 1
            memory[LOW_ROW] = -1
    return len(periods)
