"""The pass over bars that makes candidates of findings, compiled by numba. Import late: that costs a third of a second.

Entries are findings of several timeframes on the clock of the shortest: `at` is the bar at whose close one can be
read, `gone` the bar at whose close it has ended (the number of bars while it lasts). Nothing here looks at a
later bar than the one it decides on.
"""

# ruff: noqa: PLR0912, PLR0915, PLR0917  # compiled functions take all they need by position, inlined or not
from __future__ import annotations

import math
from typing import Any

import numpy as np

from market.kernels import compiled

Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Small = np.ndarray[Any, np.dtype[np.int8]]

# Columns of a candidate's figures.
ENTRY, INVALIDATION, STOP, TARGET, RISK_REWARD, FOR, AGAINST, SCORE, ATR, COST = range(10)
FIGURES = 10
# Columns of its places.
BAR, SIDE, TRIGGER, PATTERNS, FAILED, LEVELS = range(6)
PLACES = 6
# The rules it may fall short of, as bits.
NO_ATR, NO_STOP, LOW_SCORE, FEW_PATTERNS, FAR_STOP, LOW_REWARD, HIGH_COST = (1 << bit for bit in range(7))
# How many levels ahead are kept, and how many standing ones are looked at, the newest first.
AHEAD = 3
_LOOKED_AT = 256
_KINDS = 5


@compiled
def find_candidates(
    prices: Floats,  # rows: high, low, close, ATR, spread (price), place in the dealing range, 1 in a kill zone
    lane: Whole,  # of each entry: 5 × timeframe + kind
    side: Small,
    at: Whole,
    gone: Whole,
    known: Whole,  # the bar of its own timeframe that proved it
    bounds: Floats,  # rows: low and high of its zone
    closed: Whole,  # a row a timeframe: its last closed bar at each bar
    level_at: Whole,
    level_gone: Whole,
    level_price: Floats,
    level_holds: Small,  # 1 where a level may make a trade invalid: a swing of the shortest timeframe
    weights: Floats,  # a weight a lane
    decay: Floats,  # the share of its points a pattern gives by its age
    terms: Floats,  # weights of discount, kill zone and against; minimum score, patterns, reward; see below
    places: Whole,
    figures: Floats,
    targets: Floats,
    sources: Whole,  # candidate × lane × (for, against): the entry that gives the points, or −1
) -> int:
    """Fill a row a candidate; how many there are."""
    bars, lanes = prices.shape[1], len(weights)
    top = np.full((lanes, 2), -1, np.int64)
    below = np.full(len(at), -1, np.int64)
    newest_level = -1
    older_level = np.full(len(level_at), -1, np.int64)
    triggers = np.full(2, -1, np.int64)
    entry_next, level_next, count = 0, 0, 0
    for bar in range(bars):
        while level_next < len(level_at) and level_at[level_next] <= bar:
            older_level[level_next] = newest_level
            newest_level = level_next
            level_next += 1
        triggers[:] = -1
        while entry_next < len(at) and at[entry_next] <= bar:
            of, on = lane[entry_next], 0 if side[entry_next] > 0 else 1
            below[entry_next] = top[of, on]
            top[of, on] = entry_next
            # Only a pattern of the shortest timeframe makes a candidate; of several the one that counts most.
            if of < _KINDS and (triggers[on] < 0 or weights[of] >= weights[lane[triggers[on]]]):
                triggers[on] = entry_next
            entry_next += 1
        for on in range(2):
            if triggers[on] < 0:
                continue
            newest_level = _judge(
                bar, on, triggers[on], prices, lane, at, gone, known, bounds, closed, level_gone, level_price,
                level_holds, weights, decay, terms, top, below, newest_level, older_level, places[count],
                figures[count], targets[count], sources[count],
            )  # fmt: skip
            count += 1
    return count


@compiled
def _judge(
    bar: int,
    on: int,
    trigger: int,
    prices: Floats,
    lane: Whole,
    at: Whole,
    gone: Whole,
    known: Whole,
    bounds: Floats,
    closed: Whole,
    level_gone: Whole,
    level_price: Floats,
    level_holds: Small,
    weights: Floats,
    decay: Floats,
    terms: Floats,
    top: Whole,
    below: Whole,
    newest_level: int,
    older_level: Whole,
    place: Whole,
    figure: Floats,
    target: Floats,
    source: Whole,
) -> int:
    """Fill the row of one candidate; the newest level that still stands."""
    direction = 1.0 if on == 0 else -1.0
    entry, atr, spread = prices[2, bar], prices[3, bar], prices[4, bar]
    points_for, points_against, patterns = 0.0, 0.0, 0
    for kind in range(_KINDS):
        speaks = False
        for of in range(kind, len(weights), _KINDS):
            for other in range(2):
                points, found = 0.0, top[of, other]
                while found >= 0 and gone[found] <= bar:
                    found = below[found]
                top[of, other] = found
                if found >= 0:
                    age = closed[of // _KINDS, bar] - known[found]
                    if age < len(decay):
                        points = weights[of] * decay[age]
                source[of, 0 if other == on else 1] = found if points > 0 else -1
                if other == on:
                    points_for += points
                    speaks = speaks or points > 0
                else:
                    points_against += points
        patterns += speaks
    in_range = prices[5, bar]
    if (in_range < 0.5 and on == 0) or (in_range > 0.5 and on == 1):
        points_for += terms[0]
    if prices[6, bar] > 0:
        points_for += terms[1]
    points_against *= terms[2]
    # What makes it invalid: the far end of the zone; behind a break of structure the nearest swing that stands.
    of = lane[trigger]
    is_structure = of in (1, 2)
    invalidation = math.nan if is_structure else bounds[on, trigger]
    target[:] = math.nan
    held = -math.inf
    ahead, looked, newer, level = 0, 0, -1, newest_level
    while level >= 0 and looked < _LOOKED_AT:
        older = older_level[level]
        if level_gone[level] <= bar:  # swept or broken by now, and for good
            if newer < 0:
                newest_level = older
            else:
                older_level[newer] = older
            level = older
            continue
        looked += 1
        distance = (level_price[level] - entry) * direction
        if distance > 0:
            ahead = _keep_near(target, ahead, level_price[level], entry)
        elif distance < 0 and is_structure and level_holds[level] and distance > held:
            invalidation, held = level_price[level], distance
        newer, level = level, older
    stop = invalidation - direction * terms[8] * atr
    risk = (entry - stop) * direction
    chosen, reward = math.nan, math.nan
    if risk > 0:
        for row in range(ahead):
            chosen = target[row]
            reward = ((chosen - entry) * direction - spread) / (risk + spread)
            if reward >= terms[5]:
                break
        if ahead == 0:
            chosen = entry + direction * terms[9] * risk
            reward = (terms[9] * risk - spread) / (risk + spread)
    score = points_for - points_against
    failed = 0
    if not atr > 0:
        failed |= NO_ATR
    else:
        if risk > terms[7] * atr:
            failed |= FAR_STOP
        if spread > terms[6] * atr:
            failed |= HIGH_COST
    if not risk > 0:
        failed |= NO_STOP
    elif reward < terms[5]:
        failed |= LOW_REWARD
    if score < terms[3]:
        failed |= LOW_SCORE
    if patterns < terms[4]:
        failed |= FEW_PATTERNS
    place[BAR], place[SIDE], place[TRIGGER] = bar, 1 - 2 * on, trigger
    place[PATTERNS], place[FAILED], place[LEVELS] = patterns, failed, ahead
    figure[ENTRY], figure[INVALIDATION], figure[STOP], figure[TARGET] = entry, invalidation, stop, chosen
    figure[RISK_REWARD], figure[FOR], figure[AGAINST], figure[SCORE] = reward, points_for, points_against, score
    figure[ATR], figure[COST] = atr, spread
    return newest_level


@compiled
def _keep_near(target: Floats, ahead: int, price: float, entry: float) -> int:
    """Enter a level among the nearest ones, in their order; how many there are. An equal one counts once."""
    row = 0
    while row < ahead and abs(target[row] - entry) < abs(price - entry):
        row += 1
    if row == AHEAD or (row < ahead and target[row] == price):
        return ahead
    ahead = min(AHEAD, ahead + 1)
    for moved in range(ahead - 1, row, -1):
        target[moved] = target[moved - 1]
    target[row] = price
    return ahead


# What became of a candidate.
LIVE, REACHED, STOPPED, EXPIRED = range(4)


@compiled
def follow(prices: Floats, places: Whole, figures: Floats, life: int, status: Small, ended: Whole) -> None:
    """From the bar after each candidate: target, stop (which comes first within a bar) or the end of its life.

    Prices are bid; what closes a short is bought at the ask, a spread above. `ended` stays −1 while it is live.
    """
    bars = prices.shape[1]
    for row in range(len(places)):
        bar, long = places[row, BAR], places[row, SIDE] > 0
        stop, target = figures[row, STOP], figures[row, TARGET]
        status[row], ended[row] = LIVE, -1
        for later in range(bar + 1, min(bars, bar + life + 1)):
            if long:
                lost, won = prices[1, later] <= stop, prices[0, later] >= target
            else:
                lost = prices[0, later] + prices[4, later] >= stop
                won = prices[1, later] + prices[4, later] <= target
            if lost or won:
                status[row], ended[row] = STOPPED if lost else REACHED, later
                break
        if ended[row] < 0 and bar + life < bars:
            status[row], ended[row] = EXPIRED, bar + life


@compiled
def wished_positions(
    prices: Floats, bars_of: Whole, sides: Whole, stops: Floats, targets: Floats, life: int, position: Small
) -> None:
    """The position each bar's close wants: that of the newest setup until its stop, its target or its end.

    A setup of the other side turns it; one of the same side goes on with the levels of the first. The bar that
    ends a trade begins none, since orders follow changes.
    """
    held, begun, stop, target, following = 0, 0, 0.0, 0.0, 0
    for bar in range(prices.shape[1]):
        over = False
        if held > 0:
            over = prices[1, bar] <= stop or prices[0, bar] >= target
        elif held < 0:
            over = prices[0, bar] + prices[4, bar] >= stop or prices[1, bar] + prices[4, bar] <= target
        over = over or (held != 0 and bar - begun >= life)
        if over:
            held = 0
        while following < len(bars_of) and bars_of[following] <= bar:
            row = following
            following += 1
            if over or sides[row] == held or sides[row] == 0:
                continue
            held, begun, stop, target = sides[row], bar, stops[row], targets[row]
        position[bar] = held
