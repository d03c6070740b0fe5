"""The event loop of the compiled engine: one function decides what a set of wishes earns on given bars.

It is compiled twice over: without FX extras it takes the float operations of backtesting.py 0.6.6 in their
order and gives its bits, with them (`Extras`) it trades lots as a broker does. A recording run writes equity
and trades, a sweep only figures; both are the same function. Prices and distances are in price units, sizes
in units of the base currency, money in the account currency. Import late: numba costs a third of a second.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from market.kernels import compiled

Floats = np.ndarray[Any, np.dtype[np.float64]]
Wishes = np.ndarray[Any, np.dtype[np.int8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Prices(NamedTuple):
    """The bars, and the number of the last bar of each trading day in order, the last bar included."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    day_ends: Numbers


class Terms(NamedTuple):
    """Starting cash, leverage, spread (share of the price), and a side's commission.

    That is `fixed` + `relative` × traded value + `per_unit` × units, at least `minimum`.
    """

    cash: float
    leverage: float
    spread: float
    fixed: float
    relative: float
    per_unit: float
    minimum: float


class Extras(NamedTuple):
    """What a broker adds. `spread` (ask − bid), rates (quote → account) and `nights` are one value a bar.

    `open_rate` holds for fills of the bar, `close_rate` at its close; `own_rate` means that the account is kept
    in the base currency, so that the rate is 1 / price. `sizing` is one of `LOTS FRACTION RISK` with its `amount`
    (units, or share of the equity). `default_stop` stands in where the strategy gives none (0: none). Swaps are per
    unit and night, the first pair in quote money, the second in account money.
    """

    spread: Floats
    open_rate: Floats
    close_rate: Floats
    nights: Floats
    own_rate: bool
    slippage: float
    sizing: int
    amount: float
    default_stop: float
    unit_step: float
    least_units: float
    most_units: float
    swap_long: float
    swap_short: float
    swap_long_money: float
    swap_short_money: float
    call_level: float
    stop_out_level: float
    is_protected: bool


LOTS, FRACTION, RISK = 0, 1, 2
# Why a trade ended.
SIGNAL, STOP, TARGET, END, RUINED, STOPPED_OUT = 1, 2, 3, 4, 5, 6
# Columns of the table of trades, and of the figures of a run.
TRADE = (
    "entry_bar",
    "exit_bar",
    "size",
    "entry_price",
    "exit_price",
    "pnl",
    "commission",
    "return_fraction",
    "stop",
    "target",
    "reason",
    "swap",
    "spread",
    "slippage",
)
FIGURES = (
    "final_equity",
    "trades_count",
    "wins",
    "max_drawdown",
    "gross_profit",
    "gross_loss",
    "pnl_sum",
    "pnl_square_sum",
    "return_sum",
    "return_square_sum",
    "returns",
    "bars_in_market",
    "refused_for_margin",
    "refused_as_too_small",
    "refused_without_stop",
    "margin_call_bar",
    "end_bar",
    "written_off",
    "wrong_level_bar",
)
_NEVER = -1.0
_STEP_SLACK = 1e-9  # of a lot step: 0.3 / 0.1 is three steps, not 2.9999999999999996
# All that can be bought: the library's largest order below 1.
_ALL = 1.0 - float(np.finfo(np.float64).eps)


@compiled
def _charge(terms: Terms, units: float, price: float) -> float:
    """Commission of one side; `price` in account money."""
    return max(terms.minimum, terms.fixed + units * price * terms.relative + units * terms.per_unit)


@compiled
def _whole(money: float, price: float) -> float:
    """How many whole units `money` buys: the floor of the exact quotient, as Python's `//` has it."""
    quotient = money / price
    units = float(math.floor(quotient))
    # Rounding can only have crossed a whole number where the quotient lies next to one; there `//` is slow but exact.
    if quotient > 1e9 or quotient - units < 1e-6 or units + 1.0 - quotient < 1e-6:
        units = money // price
    return units


@compiled
def _units(  # noqa: PLR0917  # compiled functions are called by position
    terms: Terms, extras: Extras, cash: float, value: float, stop: float, distance_rate: float
) -> float:
    """Units to trade, rounded down to the lot step: 0 when there is no stop to size by, −1 when below the least."""
    wanted = extras.amount
    if extras.sizing == FRACTION:
        per_unit = value / terms.leverage + terms.per_unit + value * terms.relative
        wanted = (cash * extras.amount - max(terms.minimum, terms.fixed)) / per_unit
    elif extras.sizing == RISK:
        if not stop > 0.0:
            return 0.0
        wanted = cash * extras.amount / (stop * distance_rate)
    wanted = min(wanted, extras.most_units)
    units = math.floor(wanted / extras.unit_step + _STEP_SLACK) * extras.unit_step
    return units if units >= extras.least_units else -1.0


@compiled
def _forced_price(  # noqa: PLR0917  # likewise
    extras: Extras, rate: float, cash: float, size: float, entry: float, margin: float
) -> float:
    """The price at which equity falls to the stop-out level; 0 for never."""
    room = (extras.stop_out_level * margin - cash) / size
    if extras.own_rate:
        share = 1.0 - room
        return entry / share if share > 0.0 else 0.0
    return max(entry + room / rate, 0.0)


@compiled
def _hit(  # noqa: PLR0917  # likewise
    bid: float, high: float, low: float, gap: float, size: float, stop: float, target: float, forced: float
) -> tuple[int, float]:
    """What a bar's range meets first, the stop before the target, and at which price; 0 for nothing.

    `gap` is ask − bid; `forced` the price of the stop-out. 0 stands for a level that is not there.
    """
    reason = STOP
    if size > 0.0:
        if forced > stop:
            stop, reason = forced, STOPPED_OUT
        if stop != 0.0 and low <= stop:
            return reason, min(bid, stop)
        if target != 0.0 and high >= target:
            return TARGET, max(bid, target)
    else:
        if forced != 0.0 and (stop == 0.0 or forced < stop):
            stop, reason = forced, STOPPED_OUT
        if stop != 0.0 and high + gap >= stop:
            return reason, max(bid + gap, stop)
        if target != 0.0 and low + gap <= target:
            return TARGET, min(bid + gap, target)
    return 0, 0.0


@compiled
def _are_levels_sane(side: int, price: float, stop: float, target: float) -> bool:
    """Whether the stop lies behind the price and the target before it, both above 0; 0 for one that is not there."""
    low, high = (stop, target) if side > 0 else (target, stop)
    return (low == 0.0 or 0.0 < low < price) and (high == 0.0 or price < high < np.inf)


@compiled
def run_set(  # noqa: PLR0912, PLR0915, PLR0917  # one loop over the bars: cut up, it would pass its state around
    prices: Prices,
    wishes: Wishes,
    stops: Floats,
    targets: Floats,
    terms: Terms,
    extras: Extras | None,
    equity: Floats | None,
    trades: Floats | None,
    figures: Floats,
) -> None:
    """Trade one set of wishes (−1, 0, 1 a bar) and fill `figures`; `equity` and `trades` where they are given.

    `stops` and `targets` are distances from the deciding close, one for all bars or one a bar; NaN for none. As many
    rows of `trades` are filled as `trades_count` says. A level on the wrong side of the price ends the run with
    `wrong_level_bar`.
    """
    bars = len(prices.close)
    cash = terms.cash
    size = entry = stop = target = entry_charge = swap = paid_spread = paid_slippage = margin = 0.0
    entry_bar = 0
    wish_before = 0
    is_ordered = False
    ordered_stop = ordered_target = ordered_distance = 0.0
    count = wins = in_market = refused = too_small = unstopped = 0
    gains = losses = pnl_sum = pnl_squares = 0.0
    peak = lowest = worth = cash
    fall = 0.0
    day = 0
    day_end = prices.day_ends[0]
    day_before = cash
    return_sum = return_squares = 0.0
    call_bar = end_bar = wrong_bar = -1
    written_off = 0.0
    if equity is not None:
        equity[0] = cash
    if day_end == 0:
        day = 1
        day_end = prices.day_ends[1]
    is_first_day = day == 0
    bar = 0
    while bar < bars - 1:
        bar += 1
        if extras is None and equity is None and not is_ordered and (size == 0.0 or (stop == 0.0 and target == 0.0)):
            # Until the wish changes nothing can happen but that the account is worth something else.
            paid = size * entry
            began = bar
            while bar < bars - 1 and wishes[bar] == wish_before:
                worth = cash + (prices.close[bar] * size - paid)
                if worth <= 0.0:
                    break
                if worth > peak:
                    if lowest < peak:
                        fall = max(fall, 1.0 - lowest / peak)
                    peak = lowest = worth
                elif worth < lowest:
                    lowest = worth
                if bar == day_end:
                    if is_first_day:
                        is_first_day = False
                    else:
                        change = worth / day_before - 1.0 if day_before != 0.0 else 0.0
                        return_sum += change
                        return_squares += change * change
                    day_before = worth
                    day += 1
                    day_end = prices.day_ends[day]
                bar += 1
            in_market += (bar - began) * (size != 0.0)
        bid, high, low, close = prices.open[bar], prices.high[bar], prices.low[bar], prices.close[bar]
        gap = 0.0
        was_in_market = size != 0.0
        reason = 0
        price = forced = 0.0
        is_last = bar == bars - 1
        if extras is not None:
            gap = extras.spread[bar]
            if size != 0.0:
                if extras.nights[bar] != 0.0:
                    quote, money = extras.swap_long, extras.swap_long_money
                    if size < 0.0:
                        quote, money = extras.swap_short, extras.swap_short_money
                    # Kept in the base currency, a swap in quote money is worth what the open says.
                    rate = 1.0 / bid if extras.own_rate else extras.open_rate[bar]
                    night = extras.nights[bar] * abs(size) * (quote * rate + money)
                    cash += night
                    swap += night
                forced = _forced_price(extras, extras.open_rate[bar], cash, size, entry, margin)
        if size != 0.0:
            if is_ordered:
                if extras is not None:
                    # An open beyond the stop or the target fills that order, at the same price.
                    reason, price = _hit(bid, bid, bid, gap, size, stop, target, 0.0)
                if reason == 0:
                    reason, price = END if is_last else SIGNAL, bid + gap if size < 0.0 else bid
            else:
                reason, price = _hit(bid, high, low, gap, size, stop, target, forced)
        # Most bars change nothing but what the position is worth, and take the short way.
        least = 0.0
        if extras is None:
            worth = cash + (close * size - size * entry)
        else:
            worth = cash
            if size != 0.0:
                mark = close + gap if size < 0.0 else close
                worth += size * (mark - entry) * (1.0 / mark if extras.own_rate else extras.close_rate[bar])
                least = max(extras.call_level * margin, 0.0)
        is_quiet = worth > least and reason == 0 and not is_ordered and not is_last
        # Twice at most: what was open leaves, and what is opened may leave within the same bar.
        step = 0
        while not is_quiet:
            if reason != 0:
                units = abs(size)
                rate = 1.0
                if extras is not None:
                    if reason != TARGET:
                        price -= math.copysign(extras.slippage, size)
                        paid_slippage += extras.slippage
                    if size < 0.0:
                        paid_spread += gap
                    rate = 1.0 / price if extras.own_rate else extras.open_rate[bar]
                    if reason == RUINED or (reason == STOPPED_OUT and step == 2):
                        rate = 1.0 / price if extras.own_rate else extras.close_rate[bar]
                    profit = size * (price - entry) * rate
                    charge = _charge(terms, units, price * rate)
                else:
                    profit = size * (price - entry)
                    charge = _charge(terms, units, price)
                cash += profit - charge
                charges = charge + entry_charge
                pnl = profit - charges
                if extras is not None:
                    pnl += swap
                pnl_sum += pnl
                pnl_squares += pnl * pnl
                if pnl > 0.0:
                    wins += 1
                    gains += pnl
                else:
                    losses -= pnl
                if trades is not None:
                    trade = trades[count]
                    trade[0], trade[1], trade[2], trade[3], trade[4] = entry_bar, bar, size, entry, price
                    trade[5], trade[6] = pnl, charges
                    if extras is not None:
                        trade[7] = pnl / (margin * terms.leverage)
                    else:
                        trade[7] = math.copysign(1.0, size) * (price / entry - 1.0) - charges / (units * entry)
                    trade[8] = stop if stop != 0.0 else np.nan
                    trade[9] = target if target != 0.0 else np.nan
                    trade[10], trade[11], trade[12], trade[13] = reason, swap, paid_spread, paid_slippage
                count += 1
                size = 0.0
                if reason >= RUINED:
                    end_bar = bar
                reason = 0
            if is_ordered and end_bar < 0:
                is_ordered = False
                if wish_before != 0:
                    side = float(wish_before)
                    margin = units = 0.0
                    if extras is None:
                        price = bid * (1.0 + math.copysign(terms.spread, side))
                        with_charge = price + _charge(terms, _ALL, bid) / _ALL
                        money = max(0.0, cash) * terms.leverage
                        units = _whole(money * _ALL, with_charge)
                        if units == 0.0 or units * with_charge > money:
                            units = 0.0
                            refused += 1
                        else:
                            entry_charge = _charge(terms, units, price)
                    else:
                        price = bid + gap + extras.slippage if side > 0.0 else bid - extras.slippage
                        rate = 1.0 / price if extras.own_rate else extras.open_rate[bar]
                        units = _units(terms, extras, cash, price * rate, ordered_distance, rate)
                        if units == 0.0:
                            unstopped += 1
                        elif units < 0.0:
                            too_small += 1
                            units = 0.0
                        else:
                            entry_charge = _charge(terms, units, price * rate)
                            margin = units * price * rate / terms.leverage
                            if margin + entry_charge > cash + _STEP_SLACK * margin:
                                units = 0.0
                                refused += 1
                    if units != 0.0:
                        if extras is None and not (0.0 <= ordered_stop < np.inf and 0.0 <= ordered_target < np.inf):
                            wrong_bar = bar
                            break
                        size, entry, entry_bar = side * units, price, bar
                        stop, target = ordered_stop, ordered_target
                        cash -= entry_charge
                        swap = 0.0
                        was_in_market = True
                        if extras is None:
                            reason, price = _hit(bid, high, low, gap, size, stop, target, 0.0)
                        else:
                            paid_spread, paid_slippage = gap if side > 0.0 else 0.0, extras.slippage
                            forced = _forced_price(extras, extras.open_rate[bar], cash, size, entry, margin)
                            reason, price = _hit(bid, high, low, gap, size, stop, target, forced)
                        if reason != 0:
                            continue
            # The account at the close of the bar.
            worth = cash
            if size != 0.0:
                if extras is None:
                    worth = cash + (close * size - size * entry)
                else:
                    mark = close + gap if size < 0.0 else close
                    rate = 1.0 / mark if extras.own_rate else extras.close_rate[bar]
                    worth = cash + size * (mark - entry) * rate
                    if worth < extras.call_level * margin and call_bar < 0:
                        call_bar = bar
                    if worth <= extras.stop_out_level * margin and end_bar < 0:
                        reason, price = STOPPED_OUT, mark
                        step = 2
                        continue
            if worth <= 0.0 and end_bar < 0:
                end_bar = bar
                if size != 0.0:
                    reason, price = RUINED, close
                    continue
            if is_last and size != 0.0:
                reason, price = END, bid + gap if size < 0.0 else bid
                continue
            break
        if wrong_bar >= 0:
            break
        in_market += was_in_market
        if end_bar >= 0:
            if extras is None:
                worth = cash = 0.0
            elif extras.is_protected and cash < 0.0:
                written_off = -cash
                worth = cash = 0.0
        if equity is not None:
            equity[bar] = worth
        if worth > peak:
            if lowest < peak:
                fall = max(fall, 1.0 - lowest / peak)
            peak = lowest = worth
        elif worth < lowest:
            lowest = worth
        if bar == day_end:
            if is_first_day:
                is_first_day = False
            else:
                change = worth / day_before - 1.0 if day_before != 0.0 else 0.0
                return_sum += change
                return_squares += change * change
            day_before = worth
            day += 1
            if not is_last:
                day_end = prices.day_ends[day]
        if end_bar >= 0:
            break
        # What the strategy wants at this close; after the last bar there is no next open.
        wish = wishes[bar]
        if wish != wish_before and not is_last:
            wish_before = wish
            is_ordered = True
            ordered_stop = ordered_target = 0.0
            if wish != 0:
                ordered_distance = stops[bar] if len(stops) > 1 else stops[0]
                if extras is not None and not abs(ordered_distance) < np.inf and extras.default_stop > 0.0:
                    ordered_distance = extras.default_stop
                reach = targets[bar] if len(targets) > 1 else targets[0]
                if abs(ordered_distance) < np.inf:
                    ordered_stop = close - wish * ordered_distance
                if abs(reach) < np.inf:
                    ordered_target = close + wish * reach
                if extras is None:
                    seen = close * (1.0 + math.copysign(terms.spread, float(wish)))
                    below, above = (ordered_stop, ordered_target) if wish > 0 else (ordered_target, ordered_stop)
                    is_sane = (below == 0.0 or below < seen) and (above == 0.0 or seen < above)
                else:
                    seen = close + gap if wish > 0 else close
                    is_sane = _are_levels_sane(wish, seen, ordered_stop, ordered_target)
                if not is_sane:
                    wrong_bar = bar
                    break
    # Days after the end: the account does not change, but on the day it ended it may have.
    last_day = len(prices.day_ends) - 1
    if end_bar >= 0 and wrong_bar < 0:
        if equity is not None:
            equity[end_bar + 1 :] = worth
        if day <= last_day and not is_first_day:
            change = worth / day_before - 1.0 if day_before != 0.0 else 0.0
            return_sum += change
            return_squares += change * change
    if lowest < peak:
        fall = max(fall, 1.0 - lowest / peak)
    figures[0], figures[1], figures[2], figures[3] = worth, count, wins, fall
    figures[4], figures[5], figures[6], figures[7] = gains, losses, pnl_sum, pnl_squares
    figures[8], figures[9], figures[10] = return_sum, return_squares, last_day
    figures[11], figures[12], figures[13], figures[14] = in_market, refused, too_small, unstopped
    figures[15], figures[16], figures[17], figures[18] = call_bar, end_bar, written_off, wrong_bar


@compiled
def sweep_sets(  # noqa: PLR0917  # compiled functions are called by position
    prices: Prices,
    wishes: Wishes,
    stops: Floats,
    targets: Floats,
    terms: Terms,
    extras: Extras | None,
    first: int,
    last: int,
    figures: Floats,
) -> None:
    """`run_set` for the rows `first` to `last` − 1 of `wishes`; nothing else is kept than their `figures`.

    `stops` and `targets` have a row a set, or one for all.
    """
    for row in range(first, last):
        run_set(
            prices,
            wishes[row],
            stops[row if len(stops) > 1 else 0],
            targets[row if len(targets) > 1 else 0],
            terms,
            extras,
            None,
            None,
            figures[row],
        )
