"""What the patterns remember from bar to bar."""

from __future__ import annotations

import numpy as np

from market.indicators import Floats, floats
from scanner.patterns.rows import Rows
from scanner.patterns.settings import PatternSettings

Columns = tuple[Floats, Floats, Floats, Floats, Floats]


class Fold(Rows):
    """The findings of the bars taken so far, and what later bars can still end."""

    growing = (*Rows.growing, "keys", "waiting")

    def __init__(self, settings: PatternSettings, room: int = 1024) -> None:
        from scanner.patterns import kernels

        room = max(room, 2 * kernels.MOST_A_BAR)
        super().__init__(kernels.MEMORY, room)
        self._advance = kernels.advance
        self.memory[kernels.TREND] = 0
        self.memory[kernels.SIZES : kernels.SIZES + kernels.WAITING] = 0
        self.memory[[kernels.LOW_TURNS, kernels.HIGH_TURNS]] = 0
        # Turning points lie two bars apart at least.
        turns = 1 << (settings.liquidity_lookback // 2 + 3).bit_length()
        self.turns = np.empty((2, turns))
        self.turned = np.empty((2, turns), dtype=np.int64)
        self.edges = np.empty((2, settings.liquidity_lookback + 1))
        self.edges[:, -1] = np.inf, -np.inf  # of the block under way
        self.average = np.full(1, np.nan)  # the average true range of the bar taken last
        self.keys = np.empty((kernels.WAITING, room))
        self.waiting = np.empty((kernels.WAITING, room), dtype=np.int64)
        self.settings = settings

    def take(self, bars: Columns, offset: int, begin: int, end: int) -> None:
        """Take the bars from number `begin` to before `end`; the first row of `bars` is number `offset`."""
        settings = self.settings
        first_atr = np.nan
        if begin < settings.atr_length <= end:
            first_atr = _first_average(bars, settings.atr_length)  # so early, the first bars are in the arrays
        while begin < end:
            begin = self._advance(
                *bars,
                offset,
                begin,
                end,
                settings.swing_lookback,
                settings.liquidity_lookback,
                settings.order_block_lookback,
                settings.atr_length,
                settings.fvg_threshold,
                settings.order_block_body_ratio,
                settings.equal_level_atr,
                settings.gap_fill_share,
                first_atr,
                self.average,
                self.memory,
                self.keys,
                self.waiting,
                self.codes,
                self.places,
                self.prices,
                self.gone,
                self.turns,
                self.turned,
                self.edges,
            )
            if begin < end:
                self.grow()


def _first_average(bars: Columns, length: int) -> float:
    """The mean of the first true ranges, in the very steps of market.indicators.atr."""
    from market import kernels

    _, high, low, close, _ = (floats(column[:length]) for column in bars)
    ranges = np.empty(length)
    kernels.true_range(high, low, close, ranges)
    return float(ranges.sum() / length)
