"""The patterns as one fold over bars, compiled by numba. Import late: numba costs a third of a second.

`advance` takes bars one after the other and carries everything it remembers in arrays that its caller holds. A bar is
read once it is closed, and no bar after it; what is known at a bar can therefore not depend on whether later bars were
there, and adding bars one at a time is the same computation as taking them all.

Findings go into three arrays of columns: `codes` (kind, direction, end), `places` (formed, known, ended) and `prices`
(level, low, high, strength). What still lasts waits in stacks and heaps that are sorted by the price that ends it, so
that a bar looks at one price of each and not at every finding.
"""

# ruff: noqa: PLR0912, PLR0915, PLR0917  # compiled functions take all they need by position, inlined or not
from __future__ import annotations

import math
from typing import Any

import numpy as np

from market.kernels import compiled
from scanner.patterns.findings import LASTS, End, Kind

Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Small = np.ndarray[Any, np.dtype[np.int8]]

SWING, BOS, CHOCH = int(Kind.SWING), int(Kind.BOS), int(Kind.CHOCH)
SWEEP, FVG, ORDER_BLOCK = int(Kind.LIQUIDITY_SWEEP), int(Kind.FVG), int(Kind.ORDER_BLOCK)
FILLED, MITIGATED, SWEPT = int(End.FILLED), int(End.MITIGATED), int(End.SWEPT)
BROKEN, REPLACED, NONE = int(End.BROKEN), int(End.REPLACED), int(End.NONE)

MOST_A_BAR = 8  # findings that one bar can make known, and one to spare
# Rows of the arrays of findings.
KIND, DIRECTION, END = range(3)
FORMED, KNOWN, ENDED = range(3)
LEVEL, LOW, HIGH, STRENGTH = range(4)
# Rows of what lasts.
GAPS_UP, GAPS_DOWN, HIGHS, LOWS, SWEEPS_UP, SWEEPS_DOWN, BLOCKS_UP, BLOCKS_DOWN = range(8)
WAITING = 8
# Places in `memory`: the findings so far and those ended, candidates, what structure stands on, sizes of what lasts.
COUNT, GONE, HIGH_CANDIDATE, LOW_CANDIDATE, HIGH_TO_BREAK, LOW_TO_BREAK, TREND, STRUCTURE = range(8)
SIZES = 8
BLOCK_UP, BLOCK_DOWN = SIZES + WAITING, SIZES + WAITING + 1
LOW_TURNS, HIGH_TURNS, LAST_LOW_TURN, LAST_HIGH_TURN = range(BLOCK_DOWN + 1, BLOCK_DOWN + 5)
MEMORY = LAST_HIGH_TURN + 1


@compiled
def put(
    codes: Small,
    places: Whole,
    prices: Floats,
    at: int,
    kind: int,
    direction: int,
    formed: int,
    known: int,
    level: float,
    low: float,
    high: float,
    strength: float,
) -> None:
    """Write a finding that lasts into row `at`."""
    codes[KIND, at] = kind
    codes[DIRECTION, at] = direction
    codes[END, at] = NONE
    places[FORMED, at] = formed
    places[KNOWN, at] = known
    places[ENDED, at] = LASTS
    prices[LEVEL, at] = level
    prices[LOW, at] = low
    prices[HIGH, at] = high
    prices[STRENGTH, at] = strength


@compiled
def stack(keys: Floats, waiting: Whole, row: int, size: int, sign: float, key: float, finding: int) -> None:
    """Put a finding on a stack whose last one has the highest `sign` × key."""
    while size > 0 and sign * keys[row, size - 1] > sign * key:
        keys[row, size] = keys[row, size - 1]
        waiting[row, size] = waiting[row, size - 1]
        size -= 1
    keys[row, size] = key
    waiting[row, size] = finding


@compiled
def push(keys: Floats, waiting: Whole, row: int, size: int, key: float, finding: int) -> None:
    """Put a finding into a heap whose first one has the lowest key."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if keys[row, above] <= key:
            break
        keys[row, at] = keys[row, above]
        waiting[row, at] = waiting[row, above]
        at = above
    keys[row, at] = key
    waiting[row, at] = finding


@compiled
def pop(keys: Floats, waiting: Whole, row: int, size: int) -> int:
    """Take the finding with the lowest key out of a heap of `size`."""
    first = waiting[row, 0]
    size -= 1
    key, finding = keys[row, size], waiting[row, size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and keys[row, below + 1] < keys[row, below]:
            below += 1
        if keys[row, below] >= key:
            break
        keys[row, at] = keys[row, below]
        waiting[row, at] = waiting[row, below]
        at = below
    keys[row, at] = key
    waiting[row, at] = finding
    return int(first)


@compiled
def has_held(extremes: Floats, at: int, lookback: int, level: float) -> bool:
    """Whether `level` is the extreme of one of the last bars before a bar, the very last not counted."""
    place = at - 2
    while place >= at - lookback and extremes[place] != level:
        place -= 1
    return bool(place >= at - lookback)


@compiled
def block_candle(
    opened: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    at: int,
    first: int,
    origin: int,
    lookback: int,
    direction: int,
    body_ratio: float,
) -> int:
    """The last candle against `direction` before `at`, with body and volume enough, not before `origin`; −1 if none."""
    for place in range(at - 1, max(origin, at - lookback, first) - 1, -1):
        body = direction * (opened[place] - close[place])
        if body <= 0 or body < body_ratio * (high[place] - low[place]):
            continue
        total = 0.0
        known = 0
        for before in range(max(first, place - lookback), place):
            if volume[before] - volume[before] == 0:
                total += volume[before]
                known += 1
        if total <= 0 or volume[place] * known > total:
            return place
    return -1


@compiled
def advance(
    opened: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    offset: int,
    begin: int,
    end: int,
    swing_lookback: int,
    liquidity_lookback: int,
    block_lookback: int,
    atr_length: int,
    threshold: float,
    body_ratio: float,
    equal_level: float,
    fill_share: float,
    first_atr: float,
    average: Floats,
    memory: Whole,
    keys: Floats,
    waiting: Whole,
    codes: Small,
    places: Whole,
    prices: Floats,
    gone: Whole,
    turns: Floats,
    turned: Whole,
    edges: Floats,
) -> int:
    """Take the bars from number `begin` to before `end`; the number of the first bar that found no room any more.

    `offset` is the number of the first bar in the arrays. `first_atr` is the average true range of bar `atr_length`
    − 1. `gone` takes the rows of findings that ended. `turns` and `turned` are the prices and bars of recent turning
    points, lows and highs, that nothing traded beyond; they hold a power of two of each, and the oldest gives way.
    `edges` carries the extremes of recent bars, by blocks of `liquidity_lookback` as in market.kernels.rolling_extreme.
    """
    room = codes.shape[1] - MOST_A_BAR
    alpha = 1 / (1 + (1 - 1 / atr_length) / (1 / atr_length))
    kept = 1.0 - alpha
    whole = kept + alpha
    mean = average[0]
    count, ended = memory[COUNT], memory[GONE]
    high_candidate, low_candidate = memory[HIGH_CANDIDATE], memory[LOW_CANDIDATE]
    high_to_break, low_to_break = memory[HIGH_TO_BREAK], memory[LOW_TO_BREAK]
    trend, structure = memory[TREND], memory[STRUCTURE]
    gaps_up, gaps_down = memory[SIZES + GAPS_UP], memory[SIZES + GAPS_DOWN]
    highs, lows = memory[SIZES + HIGHS], memory[SIZES + LOWS]
    sweeps_up, sweeps_down = memory[SIZES + SWEEPS_UP], memory[SIZES + SWEEPS_DOWN]
    blocks_up, blocks_down = memory[SIZES + BLOCKS_UP], memory[SIZES + BLOCKS_DOWN]
    low_turns, high_turns = memory[LOW_TURNS], memory[HIGH_TURNS]
    last_low_turn, last_high_turn = memory[LAST_LOW_TURN], memory[LAST_HIGH_TURN]
    lowest, highest = edges[0, liquidity_lookback], edges[1, liquidity_lookback]
    most_turns = turns.shape[1]
    around = most_turns - 1

    bar = begin
    within = begin % liquidity_lookback
    break_above = prices[LEVEL, high_to_break] if high_to_break >= 0 else math.inf
    break_below = prices[LEVEL, low_to_break] if low_to_break >= 0 else -math.inf
    below, above, close_below, close_above = math.inf, -math.inf, math.inf, -math.inf  # looked up after the first bar
    while bar < end and count <= room:
        at = bar - offset
        h, l, c = high[at], low[at], close[at]  # noqa: E741
        # Wilder's average true range, as market.indicators has it.
        widest = h - l
        if bar > 0:
            widest = max(widest, abs(h - close[at - 1]), abs(l - close[at - 1]))
        if bar >= atr_length:
            if mean != widest:
                mean = kept * mean + alpha * widest
                if whole != 1:
                    mean /= whole
        elif bar == atr_length - 1:
            mean = first_atr
        atr = mean if mean > 0 else np.nan

        # Swings: extremes that the last bars have not exceeded. There is one candidate at most, because a bar within
        # reach of it either exceeds it or is no extreme itself.
        events = count + ended
        new_high = new_low = -1
        if high_candidate >= 0:
            if h > high[high_candidate - offset]:
                high_candidate = bar
            elif bar - high_candidate == swing_lookback:
                level = high[high_candidate - offset]
                size = (level - c) / atr
                put(codes, places, prices, count, SWING, -1, high_candidate, bar, level, level, level, size)
                new_high = count
                count += 1
                high_candidate = -1
        elif bar >= swing_lookback:
            place = at - 1
            while place >= at - swing_lookback and high[place] < h:
                place -= 1
            if place < at - swing_lookback:
                high_candidate = bar
        if low_candidate >= 0:
            if l < low[low_candidate - offset]:
                low_candidate = bar
            elif bar - low_candidate == swing_lookback:
                level = low[low_candidate - offset]
                size = (c - level) / atr
                put(codes, places, prices, count, SWING, 1, low_candidate, bar, level, level, level, size)
                new_low = count
                count += 1
                low_candidate = -1
        elif bar >= swing_lookback:
            place = at - 1
            while place >= at - swing_lookback and low[place] > l:
                place -= 1
            if place < at - swing_lookback:
                low_candidate = bar

        # What this bar ends of what was known before it.
        if (l <= below) | (h >= above) | (c < close_below) | (c > close_above):
            while highs > 0 and h > keys[HIGHS, highs - 1]:
                highs -= 1
                row = waiting[HIGHS, highs]
                places[ENDED, row] = bar
                codes[END, row] = BROKEN if c > keys[HIGHS, highs] else SWEPT
                gone[ended] = row
                ended += 1
            while lows > 0 and l < keys[LOWS, lows - 1]:
                lows -= 1
                row = waiting[LOWS, lows]
                places[ENDED, row] = bar
                codes[END, row] = BROKEN if c < keys[LOWS, lows] else SWEPT
                gone[ended] = row
                ended += 1
            while gaps_up > 0 and l <= keys[GAPS_UP, gaps_up - 1]:
                gaps_up -= 1
                row = waiting[GAPS_UP, gaps_up]
                places[ENDED, row] = bar
                codes[END, row] = FILLED
                gone[ended] = row
                ended += 1
            while gaps_down > 0 and h >= keys[GAPS_DOWN, gaps_down - 1]:
                gaps_down -= 1
                row = waiting[GAPS_DOWN, gaps_down]
                places[ENDED, row] = bar
                codes[END, row] = FILLED
                gone[ended] = row
                ended += 1
            while sweeps_up > 0 and keys[SWEEPS_UP, 0] < -c:
                row = pop(keys, waiting, SWEEPS_UP, sweeps_up)
                sweeps_up -= 1
                places[ENDED, row] = bar
                codes[END, row] = BROKEN
                gone[ended] = row
                ended += 1
            while sweeps_down > 0 and keys[SWEEPS_DOWN, 0] < c:
                row = pop(keys, waiting, SWEEPS_DOWN, sweeps_down)
                sweeps_down -= 1
                places[ENDED, row] = bar
                codes[END, row] = BROKEN
                gone[ended] = row
                ended += 1
            while blocks_up > 0 and keys[BLOCKS_UP, 0] <= -l:
                row = pop(keys, waiting, BLOCKS_UP, blocks_up)
                blocks_up -= 1
                places[ENDED, row] = bar
                codes[END, row] = BROKEN if c < prices[LOW, row] else MITIGATED
                gone[ended] = row
                ended += 1
            while blocks_down > 0 and keys[BLOCKS_DOWN, 0] <= h:
                row = pop(keys, waiting, BLOCKS_DOWN, blocks_down)
                blocks_down -= 1
                places[ENDED, row] = bar
                codes[END, row] = BROKEN if c > prices[HIGH, row] else MITIGATED
                gone[ended] = row
                ended += 1

        # Structure: a close beyond the swing that was last known.
        side = 0
        broken = -1
        if c > break_above:
            side, broken, high_to_break, break_above = 1, high_to_break, -1, math.inf
        elif c < break_below:
            side, broken, low_to_break, break_below = -1, low_to_break, -1, -math.inf
        if side != 0:
            if structure >= 0:
                places[ENDED, structure] = bar
                codes[END, structure] = REPLACED
                gone[ended] = structure
                ended += 1
            level = prices[LEVEL, broken]
            kind = CHOCH if trend == -side else BOS
            formed = places[FORMED, broken]
            put(codes, places, prices, count, kind, side, formed, bar, level, level, level, side * (c - level) / atr)
            structure = count
            trend = side
            count += 1

        # The lowest low and the highest high of the last bars: what is left of the block before, and this one so far.
        floor, ceiling = math.nan, math.nan  # with too few bars before
        if bar >= liquidity_lookback:
            if within == 0:
                bottom, top = math.inf, -math.inf
                for place in range(liquidity_lookback - 1, -1, -1):
                    bottom = min(bottom, low[at - liquidity_lookback + place])
                    top = max(top, high[at - liquidity_lookback + place])
                    edges[0, place], edges[1, place] = bottom, top
                lowest, highest = math.inf, -math.inf
            floor, ceiling = min(lowest, edges[0, within]), max(highest, edges[1, within])
        lowest, highest = min(lowest, l), max(highest, h)
        within = within + 1 if within + 1 < liquidity_lookback else 0
        # Sweeps: of turning points that lie close together, or of all lows (highs) there were.
        level = touch = math.nan
        while low_turns > 0 and turns[0, last_low_turn & around] > l:
            price = turns[0, last_low_turn & around]
            if bar - turned[0, last_low_turn & around] <= liquidity_lookback:
                if price < c and touch - price <= equal_level * atr:
                    level = price
                touch = price
            last_low_turn -= 1
            low_turns -= 1
        if (l < floor) & (c > floor) and has_held(low, at, liquidity_lookback, floor):
            level = floor
        if not math.isnan(level) and bar >= liquidity_lookback:
            put(codes, places, prices, count, SWEEP, 1, bar, bar, level, l, level, (c - l) / atr)
            push(keys, waiting, SWEEPS_UP, sweeps_up, -l, count)
            sweeps_up += 1
            count += 1
        level = touch = math.nan
        while high_turns > 0 and turns[1, last_high_turn & around] < h:
            price = turns[1, last_high_turn & around]
            if bar - turned[1, last_high_turn & around] <= liquidity_lookback:
                if price > c and price - touch <= equal_level * atr:
                    level = price
                touch = price
            last_high_turn -= 1
            high_turns -= 1
        if (h > ceiling) & (c < ceiling) and has_held(high, at, liquidity_lookback, ceiling):
            level = ceiling
        if not math.isnan(level) and bar >= liquidity_lookback:
            put(codes, places, prices, count, SWEEP, -1, bar, bar, level, level, h, (h - c) / atr)
            push(keys, waiting, SWEEPS_DOWN, sweeps_down, h, count)
            sweeps_down += 1
            count += 1
        if bar >= 2:
            # Written in any case and counted if it is a turning point: a branch would be guessed wrong too often.
            before, last = low[at - 2], low[at - 1]
            turns[0, (last_low_turn + 1) & around] = last
            turned[0, (last_low_turn + 1) & around] = bar - 1
            more = int((last < before) & (last < l))
            last_low_turn += more
            low_turns = min(low_turns + more, most_turns - 1)
            before, last = high[at - 2], high[at - 1]
            turns[1, (last_high_turn + 1) & around] = last
            turned[1, (last_high_turn + 1) & around] = bar - 1
            more = int((last > before) & (last > h))
            last_high_turn += more
            high_turns = min(high_turns + more, most_turns - 1)

        # Fair value gaps.
        if bar >= 2:
            bottom, top = high[at - 2], low[at - 2]
            middle = close[at - 1]
            if l > bottom:
                if middle > opened[at - 1] and l - bottom > threshold * middle:
                    put(codes, places, prices, count, FVG, 1, bar - 1, bar, l, bottom, l, (l - bottom) / atr)
                    fill = l if fill_share == 0 else bottom + (1 - fill_share) * (l - bottom)
                    stack(keys, waiting, GAPS_UP, gaps_up, 1.0, fill, count)
                    gaps_up += 1
                    count += 1
            elif h < top and middle < opened[at - 1] and top - h > threshold * middle:
                put(codes, places, prices, count, FVG, -1, bar - 1, bar, h, h, top, (top - h) / atr)
                fill = h if fill_share == 0 else top - (1 - fill_share) * (top - h)
                stack(keys, waiting, GAPS_DOWN, gaps_down, -1.0, fill, count)
                gaps_down += 1
                count += 1

        # The order block that a break of structure came from.
        if side != 0:
            origin = places[FORMED, broken] - offset
            place = block_candle(opened, high, low, close, volume, at, 0, origin, block_lookback, side, body_ratio)
            which = BLOCK_UP if side > 0 else BLOCK_DOWN
            if place >= 0 and memory[which] != place + offset:
                memory[which] = place + offset
                bottom, top = low[place], high[place]
                level = top if side > 0 else bottom
                size = side * (c - close[place]) / atr
                put(codes, places, prices, count, ORDER_BLOCK, side, place + offset, bar, level, bottom, top, size)
                if side > 0:
                    push(keys, waiting, BLOCKS_UP, blocks_up, -top, count)
                    blocks_up += 1
                else:
                    push(keys, waiting, BLOCKS_DOWN, blocks_down, bottom, count)
                    blocks_down += 1
                count += 1

        # Swings that this bar proved count from the next bar on. None lies beyond those that still last.
        if new_high >= 0:
            keys[HIGHS, highs] = prices[LEVEL, new_high]
            waiting[HIGHS, highs] = new_high
            highs += 1
            high_to_break = new_high
            break_above = prices[LEVEL, new_high]
        if new_low >= 0:
            keys[LOWS, lows] = prices[LEVEL, new_low]
            waiting[LOWS, lows] = new_low
            lows += 1
            low_to_break = new_low
            break_below = prices[LEVEL, new_low]
        if count + ended != events or bar == begin:
            # The nearest prices that end something: most bars reach none of them.
            below, above, close_below, close_above = -math.inf, math.inf, -math.inf, math.inf
            if lows > 0:
                below = keys[LOWS, lows - 1]
            if gaps_up > 0:
                below = max(below, keys[GAPS_UP, gaps_up - 1])
            if blocks_up > 0:
                below = max(below, -keys[BLOCKS_UP, 0])
            if highs > 0:
                above = keys[HIGHS, highs - 1]
            if gaps_down > 0:
                above = min(above, keys[GAPS_DOWN, gaps_down - 1])
            if blocks_down > 0:
                above = min(above, keys[BLOCKS_DOWN, 0])
            if sweeps_up > 0:
                close_below = -keys[SWEEPS_UP, 0]
            if sweeps_down > 0:
                close_above = keys[SWEEPS_DOWN, 0]
        bar += 1

    average[0] = mean
    memory[COUNT], memory[GONE] = count, ended
    memory[HIGH_CANDIDATE], memory[LOW_CANDIDATE] = high_candidate, low_candidate
    memory[HIGH_TO_BREAK], memory[LOW_TO_BREAK] = high_to_break, low_to_break
    memory[TREND], memory[STRUCTURE] = trend, structure
    memory[SIZES + GAPS_UP], memory[SIZES + GAPS_DOWN] = gaps_up, gaps_down
    memory[SIZES + HIGHS], memory[SIZES + LOWS] = highs, lows
    memory[SIZES + SWEEPS_UP], memory[SIZES + SWEEPS_DOWN] = sweeps_up, sweeps_down
    memory[SIZES + BLOCKS_UP], memory[SIZES + BLOCKS_DOWN] = blocks_up, blocks_down
    memory[LOW_TURNS], memory[HIGH_TURNS] = low_turns, high_turns
    memory[LAST_LOW_TURN], memory[LAST_HIGH_TURN] = last_low_turn, last_high_turn
    edges[0, liquidity_lookback], edges[1, liquidity_lookback] = lowest, highest
    return bar
