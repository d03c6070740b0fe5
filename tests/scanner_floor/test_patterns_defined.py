"""Each pattern beside its definition written out at length, and a few bars that can be checked by eye."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from pattern_bars import SETTINGS, bars_of_any_kind, dealt

from core.errors import InputError
from market.indicators import atr
from scanner.patterns.all import (
    FOLDED,
    find_gaps,
    find_order_blocks,
    find_patterns,
    find_structure,
    find_sweeps,
    find_swings,
)
from scanner.patterns.findings import LASTS, End, Findings, Kind
from scanner.patterns.ranges import dealing_range, filled_share, range_position
from scanner.patterns.settings import PARAMETERS, PatternSettings

MadeBars = Callable[..., pd.DataFrame]


class Row(NamedTuple):
    known: int
    kind: Kind
    direction: int
    formed: int
    ended: int
    end: End
    level: float
    low: float
    high: float
    size: float


class Written:
    """The definitions, bar by bar and level by level, with no thought for speed."""

    def __init__(self, bars: pd.DataFrame, chosen: PatternSettings) -> None:
        self.opened, self.high, self.low, self.close, self.volume = (
            bars[name].tolist() for name in ("open", "high", "low", "close", "volume")
        )
        self.chosen = chosen
        self.count = len(bars)
        self.average = atr(bars, chosen.atr_length).tolist()
        self.swings = list(self._swings())
        self.breaks = list(self._breaks())

    def rows(self) -> list[Row]:
        found = [*self.swings, *(row for row, _ in self.breaks), *self._sweeps(), *self._gaps(), *self._blocks()]
        return sorted(found, key=lambda row: (row.known, row.kind, row.direction))

    def _first(self, after: int, ends: Callable[[int], bool]) -> int:
        return next((bar for bar in range(after + 1, self.count) if ends(bar)), LASTS)

    def _swings(self) -> Iterator[Row]:
        reach = self.chosen.swing_lookback
        for bar in range(reach, self.count - reach):
            for direction, prices in ((-1, self.high), (1, [-price for price in self.low])):
                before, after = prices[bar - reach : bar], prices[bar + 1 : bar + reach + 1]
                if not (max(before) < prices[bar] and max(after) <= prices[bar]):
                    continue
                known, level = bar + reach, -direction * prices[bar]
                ended = self._first(known, lambda at: prices[at] > prices[bar])  # noqa: B023
                beyond = ended != LASTS and direction * (level - self.close[ended]) > 0
                end = End.NONE if ended == LASTS else End.BROKEN if beyond else End.SWEPT
                size = abs(level - self.close[known])
                yield Row(known, Kind.SWING, direction, bar, ended, end, level, level, level, size)

    def _breaks(self) -> Iterator[tuple[Row, int]]:
        done: set[Row] = set()
        found: list[tuple[int, int, Row]] = []
        for bar in range(self.count):
            for side in (1, -1):
                known = [swing for swing in self.swings if swing.known < bar and swing.direction == -side]
                if not known or known[-1] in done or side * (self.close[bar] - known[-1].level) <= 0:
                    continue
                done.add(known[-1])
                found.append((bar, side, known[-1]))
        for place, (bar, side, swing) in enumerate(found):
            against = place > 0 and found[place - 1][1] == -side
            ended = found[place + 1][0] if place + 1 < len(found) else LASTS
            end = End.NONE if ended == LASTS else End.REPLACED
            kind, level = (Kind.CHOCH if against else Kind.BOS), swing.level
            size = abs(self.close[bar] - level)
            yield Row(bar, kind, side, swing.formed, ended, end, level, level, level, size), bar

    def _sweeps(self) -> Iterator[Row]:
        for bar in range(self.chosen.liquidity_lookback, self.count):
            for direction, prices in ((1, self.low), (-1, [-price for price in self.high])):
                level = self._swept(bar, prices, direction * self.close[bar])
                if level is None:
                    continue
                spike = direction * prices[bar]
                ended = self._first(bar, lambda at: direction * (self.close[at] - spike) < 0)  # noqa: B023
                end = End.NONE if ended == LASTS else End.BROKEN
                low, high = sorted((spike, direction * level))
                size = abs(self.close[bar] - spike)
                yield Row(bar, Kind.LIQUIDITY_SWEEP, direction, bar, ended, end, direction * level, low, high, size)

    def _swept(self, bar: int, prices: list[float], close: float) -> float | None:
        """Of lows; highs come with their sign turned."""
        first = bar - self.chosen.liquidity_lookback
        untaken = [at for at in range(first, bar - 1) if prices[at] <= min(prices[at + 1 : bar])]
        taken = [at for at in untaken if prices[bar] < prices[at]]
        levels = []
        lowest = min(prices[first:bar])
        if prices[bar] < lowest < close and any(prices[at] == lowest for at in untaken):
            levels.append(lowest)
        turns = [at for at in taken if at > 0 and prices[at - 1] > prices[at] < prices[at + 1]]
        average = self.average[bar]
        for later, earlier in zip(turns[::-1], turns[::-1][1:], strict=False):
            apart = prices[later] - prices[earlier]
            if average > 0 and apart <= self.chosen.equal_level_atr * average and prices[earlier] < close:
                levels.append(prices[earlier])
        return min(levels, default=None)

    def _gaps(self) -> Iterator[Row]:
        chosen = self.chosen
        for bar in range(2, self.count):
            body = self.close[bar - 1] - self.opened[bar - 1]
            for direction in (1, -1):
                low, high = (
                    (self.high[bar - 2], self.low[bar]) if direction > 0 else (self.high[bar], self.low[bar - 2])
                )
                if not (
                    high > low and high - low > chosen.fvg_threshold * self.close[bar - 1] and direction * body > 0
                ):
                    continue
                near, far = (high, low) if direction > 0 else (low, high)
                fill = near if chosen.gap_fill_share == 0 else far - (1 - chosen.gap_fill_share) * (far - near)
                reaching = self.low if direction > 0 else self.high
                ended = self._first(bar, lambda at: direction * (reaching[at] - fill) <= 0)  # noqa: B023
                end = End.NONE if ended == LASTS else End.FILLED
                yield Row(bar, Kind.FVG, direction, bar - 1, ended, end, near, low, high, high - low)

    def _blocks(self) -> Iterator[Row]:
        reach = self.chosen.order_block_lookback
        last = {1: -1, -1: -1}
        for swing_break, bar in self.breaks:
            side = swing_break.direction
            candles = range(max(bar - reach, swing_break.formed), bar)
            candle = next((at for at in reversed(candles) if self._is_block(at, side)), -1)
            if candle in {-1, last[side]}:
                continue
            last[side] = candle
            low, high = self.low[candle], self.high[candle]
            near = high if side > 0 else low
            reaching = self.low if side > 0 else self.high
            ended = self._first(bar, lambda at: side * (reaching[at] - near) <= 0)  # noqa: B023
            through = ended != LASTS and (self.close[ended] < low if side > 0 else self.close[ended] > high)
            end = End.NONE if ended == LASTS else End.BROKEN if through else End.MITIGATED
            size = side * (self.close[bar] - self.close[candle])
            yield Row(bar, Kind.ORDER_BLOCK, side, candle, ended, end, near, low, high, size)

    def _is_block(self, at: int, side: int) -> bool:
        body = side * (self.opened[at] - self.close[at])
        if body <= 0 or body < self.chosen.order_block_body_ratio * (self.high[at] - self.low[at]):
            return False
        before = self.volume[max(0, at - self.chosen.order_block_lookback) : at]
        there = [value for value in before if math.isfinite(value)]
        return not there or sum(there) <= 0 or self.volume[at] * len(there) > sum(there)


def rows_of(found: Findings, average: np.ndarray[Any, Any]) -> list[Row]:
    rows = []
    for at in range(len(found)):
        known = int(found.known[at])
        size = float(found.strength[at] * average[known])
        codes = Kind(int(found.kind[at])), int(found.direction[at]), int(found.formed[at]), int(found.ended[at])
        prices = (float(column[at]) for column in (found.level, found.low, found.high))
        rows.append(Row(known, *codes, End(int(found.end[at])), *prices, size))
    return sorted(rows, key=lambda row: (row.known, row.kind, row.direction))


@dealt
@given(bars=bars_of_any_kind(), chosen=SETTINGS)
def test_the_compiled_patterns_are_the_definitions(bars: pd.DataFrame, chosen: PatternSettings) -> None:
    average = atr(bars, chosen.atr_length)
    ours = rows_of(find_patterns(bars, chosen, kinds=FOLDED), average)
    written = Written(bars, chosen).rows()
    assert [row[:-1] for row in ours] == [row[:-1] for row in written]
    for mine, theirs in zip(ours, written, strict=True):
        known = average[theirs.known] > 0
        assert (mine.size == pytest.approx(theirs.size, abs=1e-9)) if known else math.isnan(mine.size)


def test_the_compiled_patterns_are_the_definitions_on_real_bars(sample: pd.DataFrame) -> None:
    bars, chosen = sample.iloc[:1500], PatternSettings()
    ours = rows_of(find_patterns(bars, chosen, kinds=FOLDED), atr(bars, 14))
    assert [row[:-1] for row in ours] == [row[:-1] for row in Written(bars, chosen).rows()]
    assert {row.kind for row in ours} == set(FOLDED)
    assert {row.end for row in ours} >= {End.FILLED, End.MITIGATED, End.SWEPT, End.BROKEN, End.REPLACED, End.NONE}


SMALL = PatternSettings(swing_lookback=2, liquidity_lookback=4, fvg_threshold=0, atr_length=1, order_block_lookback=4)


def lines(found: Findings) -> list[tuple[str, int, int, int, int, str, float]]:
    return [
        (
            Kind(int(found.kind[at])).words,
            int(found.direction[at]),
            int(found.formed[at]),
            int(found.known[at]),
            int(found.ended[at]),
            End(int(found.end[at])).words,
            float(found.level[at]),
        )
        for at in range(len(found))
    ]


def test_a_swing_high_is_known_after_its_lookback_and_swept_by_a_wick(made: MadeBars) -> None:
    highs = [10.0, 11, 15, 14, 13, 13, 16, 12]
    bars = made([(high - 1, high, high - 2, high - 1) for high in highs[:6]] + [(12, 16, 11, 13), (12, 12.5, 11, 12)])
    swings = find_swings(bars, SMALL)
    assert lines(swings.where(swings.direction < 0)) == [
        ("swing", -1, 2, 4, 6, "swept", 15.0),
    ]


def test_the_first_of_equal_highs_is_the_swing(made: MadeBars) -> None:
    highs = [10.0, 11, 15, 15, 13, 12, 11]
    swings = find_swings(made([(high - 1, high, high - 2, high - 1) for high in highs]), SMALL)
    assert [(row[2], row[3]) for row in lines(swings) if row[1] < 0] == [(2, 4)]


def test_a_break_against_the_one_before_is_a_change_of_character(made: MadeBars) -> None:
    closes = [10.0, 11, 12, 11, 10, 13, 14, 15, 14, 13, 14, 15, 16, 12, 11, 9]
    bars = made([(close, close + 0.5, close - 0.5, close) for close in closes])
    assert lines(find_structure(bars, SMALL)) == [
        ("bos", 1, 2, 5, 12, "replaced", 12.5),
        ("bos", 1, 7, 12, 13, "replaced", 15.5),
        ("choch", -1, 9, 13, -1, "none", 12.5),
    ]


def test_a_spike_through_the_lowest_low_that_closes_back_is_a_sweep_until_a_close_beyond_it(made: MadeBars) -> None:
    rows = [(12.0, 13, 11, 12), (12, 12, 9, 10), (10, 12, 10, 12), (12, 13, 11, 12), (11, 11, 8, 10), (10, 10, 7, 7.5)]
    assert lines(find_sweeps(made(rows), SMALL)) == [("liquidity_sweep", 1, 4, 4, 5, "broken", 9.0)]
    # The bar before made the low: nothing had held there.
    fresh = [*rows[:3], (12, 12, 8.5, 12), (11, 11, 8, 10)]
    assert lines(find_sweeps(made(fresh), SMALL)) == []
    # A close below it is a break.
    assert lines(find_sweeps(made([*rows[:4], (11, 11, 8, 8.9)]), SMALL)) == []


def test_equal_lows_are_swept_though_an_older_low_lies_deeper(made: MadeBars) -> None:
    deep = [
        (12.0, 12, 5, 11),
        (11, 12, 11, 12),
        (12, 12, 9, 11),
        (11, 12, 10, 11),
        (11, 12, 9.05, 11),
        (11, 12, 10, 11),
    ]
    bars = made([*deep, (11, 12, 8, 10)])
    chosen = PatternSettings(liquidity_lookback=6, atr_length=1)
    (row,) = lines(find_sweeps(bars, chosen))
    assert (row[0], row[1], row[3], row[6]) == ("liquidity_sweep", 1, 6, 9.0)
    assert lines(find_sweeps(bars, PatternSettings(liquidity_lookback=6, atr_length=1, equal_level_atr=0))) == []


def test_a_gap_is_known_at_its_third_bar_and_filled_at_its_far_edge(made: MadeBars) -> None:
    bars = made([(9.0, 10, 8, 10), (10, 13, 10, 13), (13, 14, 12, 13), (13, 13, 11, 12), (12, 12, 10, 11)])
    assert lines(find_gaps(bars, SMALL)) == [("fvg", 1, 1, 2, 4, "filled", 12.0)]
    assert find_gaps(bars, SMALL).strength.tolist() == [2 / 2]
    gaps = find_gaps(bars, SMALL)
    assert [filled_share(bars, gaps, at).tolist() for at in (2, 3, 4)] == [[0.0], [0.5], [1.0]]
    assert np.isnan(filled_share(bars, gaps, 1)).all()
    half = PatternSettings(fvg_threshold=0, gap_fill_share=0.5)
    assert lines(find_gaps(bars, half))[0][4] == 3
    assert len(find_gaps(bars, PatternSettings(fvg_threshold=0.2))) == 0  # 2 of 13 is less


def test_an_order_block_needs_body_and_volume_and_ends_when_price_is_back(made: MadeBars) -> None:
    up = [
        (9.0, 10, 8, 9, 10),
        (9, 11, 9, 10, 10),
        (10, 12, 10, 11, 10),
        (11, 11, 10, 10.5, 10),
        (10.5, 10.6, 9, 9.1, 30),
    ]
    after = [(9.1, 13, 9.1, 13, 20), (13, 14, 12, 14, 10), (14, 14, 10, 12, 10)]
    blocks = find_order_blocks(made([*up, *after]), SMALL)
    assert lines(blocks) == [("order_block", 1, 4, 5, 7, "mitigated", 10.6)]
    assert (blocks.low.tolist(), blocks.high.tolist()) == ([9.0], [10.6])
    quiet = [*up[:4], (*up[4][:4], 9.0)]
    assert lines(find_order_blocks(made([*quiet, *after]), SMALL)) == []
    without = [row[:4] for row in [*up, *after]]
    assert lines(find_order_blocks(made(without), SMALL))[0][2] == 4  # where there is no volume it is not asked for


def test_price_stands_between_the_last_known_swings(made: MadeBars) -> None:
    closes = [10.0, 11, 12, 11, 10, 9, 8, 9, 10, 11, 12]
    bars = made([(close, close + 0.5, close - 0.5, close) for close in closes])
    swings = find_swings(bars, SMALL)
    low, high = dealing_range(bars, swings)
    assert (low[-1], high[-1]) == (7.5, 12.5)
    position = range_position(bars, swings)
    assert np.isnan(position[:8]).all()  # the low of bar 6 is known at bar 8
    assert position[8:].tolist() == [0.5, 0.7, 0.9]
    assert np.isnan(range_position(bars.iloc[:0], find_swings(bars.iloc[:0]))).all()


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_bars_give_no_findings(sample: pd.DataFrame, count: int) -> None:
    found = find_patterns(sample.iloc[:count])
    assert len(found) == 0
    assert found.records(pd.DatetimeIndex(sample.index)) == []


def test_constant_bars_give_no_findings(made: MadeBars) -> None:
    assert len(find_patterns(made([(1.1, 1.1, 1.1, 1.1)] * 300), kinds=FOLDED)) == 0


def test_lookbacks_longer_than_the_data_give_no_findings(sample: pd.DataFrame) -> None:
    chosen = PatternSettings(liquidity_lookback=10_000, swing_lookback=10_000, fvg_threshold=1)
    assert len(find_patterns(sample, chosen, kinds=FOLDED)) == 0


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: str(parameter.name))
def test_settings_out_of_range_are_refused_with_their_range(parameter: Any) -> None:
    for wrong in (parameter.low - 1, parameter.high + 1, float("nan"), "many", None, True):
        with pytest.raises(InputError, match=parameter.name) as refused:
            PatternSettings(**{parameter.name: wrong})
        assert refused.value.cure
    assert getattr(PatternSettings(**{parameter.name: np.float64(parameter.low)}), parameter.name) == parameter.low


def test_the_defaults_are_declared_once() -> None:
    assert PatternSettings() == PatternSettings(**{parameter.name: parameter.default for parameter in PARAMETERS})


def test_findings_of_some_kinds_are_those_of_all(sample: pd.DataFrame) -> None:
    everything = find_patterns(sample)
    for kind in Kind:
        some, same = find_patterns(sample, kinds=[kind]), everything.of(kind)
        assert lines(some) == lines(same)
        assert len(some)
