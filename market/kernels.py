"""Moving figures over arrays of float64, compiled by numba. Import late: numba costs a third of a second.

Each kernel fills `out` in one pass from the first row on, so a value never depends on later rows. They
take the steps that pandas takes, in its order, and give its bits (pandas 3: sums after Kahan, variances
after Welford, a window reckoned anew where its variance lost its digits). What is not finite counts as
missing: a window with a missing value has none, an exponential mean carries its last one.

The kernels of wanted positions fill −1, 0 and 1 (int8), kept between `lowest` and `highest`: 0 and 1 for a
strategy that may only buy. In a bar where a figure they need is missing they want nothing.
"""

# ruff: noqa: PLR0917  # compiled functions take all they need by position
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Positions = np.ndarray[Any, np.dtype[np.int8]]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# A variance that falls to this share of the one before has lost too many digits to be carried on.
_LOST = float(np.finfo(np.float64).eps) * 1e3


def compiled(kernel: Kernel) -> Kernel:
    """`kernel` as machine code, kept on disk; compiled in every process where no folder can be written."""
    try:
        return cast("Kernel", njit(cache=True, nogil=True, error_model="numpy")(kernel))
    except RuntimeError:  # no place for a cache
        return cast("Kernel", njit(nogil=True, error_model="numpy")(kernel))


@compiled
def change(values: Floats, rows: int, out: Floats) -> None:
    """Relative change over `rows` rows, as a fraction."""
    out[:rows] = np.nan
    for at in range(rows, len(values)):
        out[at] = values[at] / values[at - rows] - 1.0


@compiled
def log_change(values: Floats, out: Floats) -> None:
    """Natural logarithm of each value over the one before; NaN where one of them is not above 0."""
    out[:1] = np.nan
    for at in range(1, len(values)):
        ratio = values[at] / values[at - 1]
        out[at] = math.log(ratio) if 0 < ratio < np.inf else np.nan


@compiled
def rolling_mean(values: Floats, length: int, out: Floats) -> None:
    """Mean of the last `length` values."""
    total = lost_in = lost_out = 0.0
    seen = below_zero = alike = 0
    before = np.nan
    for at in range(len(values)):
        if at >= length:
            value = values[at - length]
            if value - value == 0:
                seen -= 1
                below_zero -= value < 0
                step = -value - lost_out
                moved = total + step
                lost_out = moved - total - step
                total = moved
        value = values[at]
        if value - value == 0:
            seen += 1
            below_zero += value < 0
            step = value - lost_in
            moved = total + step
            lost_in = moved - total - step
            total = moved
            alike = alike + 1 if value == before else 1
            before = value
        if seen < length:
            mean = np.nan
        elif alike >= length:
            mean = before
        else:
            mean = total / length
            # Rounding must not give a mean the sign that none of its values has.
            if (below_zero == 0 and mean < 0) or (below_zero == length and mean > 0):
                mean = 0.0
        out[at] = mean


@compiled
def rolling_deviation(values: Floats, length: int, ddof: int, out: Floats) -> None:
    """Standard deviation of the last `length` values, divided by `length` − `ddof`."""
    mean = squares = lost_in = lost_out = seen = 0.0
    for at in range(len(values)):
        first = at
        if at >= length:
            value = values[at - length]
            if value - value == 0:
                seen -= 1
                squares_before = squares
                if seen > 0:
                    mean_before = mean - lost_out
                    shifted = value - lost_out
                    step = shifted - mean
                    lost_out = step + mean - shifted
                    mean -= step / seen
                    squares -= (value - mean_before) * (value - mean)
                if seen == 0 or squares_before * _LOST > squares:
                    mean = squares = lost_in = lost_out = seen = 0.0
                    first = at - length + 1
        for row in range(first, at + 1):
            value = values[row]
            if value - value == 0:
                seen += 1
                mean_before = mean - lost_in
                shifted = value - lost_in
                step = shifted - mean
                lost_in = step + mean - shifted
                mean += step / seen
                squares += (value - mean_before) * (value - mean)
        out[at] = math.sqrt(max(squares, 0.0) / (length - ddof)) if seen >= length else np.nan


@compiled
def exponential_mean(values: Floats, alpha: float, least: int, out: Floats) -> None:
    """Starts at the first value; each later one moves it by `alpha` of its distance. NaN until `least` were seen.

    A missing value leaves the mean as it is and lessens its weight against the next one.
    """
    kept, weight, mean = 1.0 - alpha, 1.0, np.nan
    seen = 0
    for at in range(len(values)):
        value = values[at]
        if value - value == 0:
            seen += 1
            if math.isnan(mean):
                mean = value
            elif mean != value:
                old = weight * kept
                mean = old * mean + alpha * value
                if old + alpha != 1:
                    mean /= old + alpha
            weight = 1.0
        else:
            weight *= kept
        out[at] = mean if seen >= least else np.nan


@compiled
def rolling_extreme(values: Floats, length: int, sign: float, out: Floats) -> None:
    """Highest (`sign` 1) or lowest (−1) of the last `length` values.

    By blocks of `length`: a window is the end of one block and the beginning of the next, whose extremes are carried
    along (M. van Herk, Pattern Recognition Letters 13, 1992). Three comparisons a value, and none that is guessed.
    """
    ends = np.full(length + 1, -np.inf)  # of the block before: the extreme from each place to its end
    whole = 0
    for begin in range(0, len(values), length):
        stop = min(begin + length, len(values))
        best = -np.inf
        for at in range(begin, stop):
            value = sign * values[at]
            known = value - value == 0
            whole = whole + 1 if known else 0
            best = max(best, value if known else -np.inf)
            out[at] = sign * max(best, ends[at - begin + 1]) if whole >= length else np.nan
        best = -np.inf
        for at in range(stop - 1, begin - 1, -1):
            value = sign * values[at]
            best = max(best, value if value - value == 0 else -np.inf)
            ends[at - begin] = best


@compiled
def true_range(high: Floats, low: Floats, close: Floats, out: Floats) -> None:
    """Largest of high − low, |high − close before| and |low − close before|, of those that are there."""
    for at in range(len(close)):
        widest = high[at] - low[at]
        if at > 0:
            for price in (high[at], low[at]):
                reach = abs(price - close[at - 1])
                if reach > widest or math.isnan(widest):
                    widest = reach
        out[at] = widest


@compiled
def moves(close: Floats, sign: float, out: Floats) -> None:
    """What each close gained (`sign` 1) or lost (−1) against the one before, 0 where it went the other way."""
    out[:1] = np.nan
    for at in range(1, len(close)):
        move = sign * (close[at] - close[at - 1])
        out[at] = 0.0 if move < 0 else move


@compiled
def strength_index(gain: Floats, loss: Floats, out: Floats) -> None:
    """RSI of mean gains and losses, 0 to 100; without any loss 100, without any change 50."""
    for at in range(len(gain)):
        if loss[at] > 0:
            out[at] = 100 - 100 / (1 + gain[at] / loss[at])
        elif loss[at] == 0:
            out[at] = 100.0 if gain[at] > 0 else 50.0
        else:
            out[at] = np.nan


@compiled
def band_position(close: Floats, middle: Floats, deviation: Floats, width: float, out: Floats) -> None:
    """Where each close stands between middle ∓ `width` deviations: 0 on the lower band, 1 on the upper one."""
    for at in range(len(close)):
        reach = 2 * width * deviation[at]
        out[at] = 0.5 if reach == 0 else (close[at] - middle[at]) / reach + 0.5


@compiled
def are_positions(wanted: Positions) -> bool:
    """Whether all are −1, 0 or 1; without a way out in the middle, so that many are looked at at once."""
    low = high = np.int8(0)
    for at in range(len(wanted)):
        low = min(low, wanted[at])
        high = max(high, wanted[at])
    return bool(low >= -1 and high <= 1)


@compiled
def cross_position(fast: Floats, slow: Floats, lowest: int, highest: int, out: Positions) -> None:
    """1 where `fast` stands above `slow`, −1 below, 0 where they are equal."""
    for at in range(len(fast)):
        side = int(fast[at] > slow[at]) - int(fast[at] < slow[at])
        out[at] = min(max(side, lowest), highest)


@compiled
def level_position(
    values: Floats, lower: float, middle: float, upper: float, sign: int, lowest: int, highest: int, out: Positions
) -> None:
    """From a value above `upper` `sign`, from one below `lower` −`sign`, each until the value is back at `middle`."""
    held = 0
    for at in range(len(values)):
        value = values[at]
        if value > upper:
            held = 1
        elif value < lower:
            held = -1
        elif not ((held > 0 and value > middle) or (held < 0 and value < middle)):
            held = 0
        out[at] = min(max(sign * held, lowest), highest)


@compiled
def reversion_position(
    close: Floats, lower: Floats, middle: Floats, upper: Floats, lowest: int, highest: int, out: Positions
) -> None:
    """1 from a close below `lower`, −1 from one above `upper`, each until a close is back at `middle`."""
    held = 0
    for at in range(len(close)):
        price = close[at]
        if price < lower[at]:
            held = 1
        elif price > upper[at]:
            held = -1
        elif not ((held > 0 and price < middle[at]) or (held < 0 and price > middle[at])):
            held = 0
        out[at] = min(max(held, lowest), highest)


@compiled
def channel_position(
    close: Floats,
    entry_low: Floats,
    entry_high: Floats,
    exit_low: Floats,
    exit_high: Floats,
    lowest: int,
    highest: int,
    out: Positions,
) -> None:
    """1 from a close above `entry_high` to one below `exit_low`, −1 from below `entry_low` to above `exit_high`."""
    held = 0
    for at in range(len(close)):
        price = close[at]
        if price > entry_high[at]:
            held = 1
        elif price < entry_low[at]:
            held = -1
        elif not ((held > 0 and price >= exit_low[at]) or (held < 0 and price <= exit_high[at])):
            held = 0
        out[at] = min(max(held, lowest), highest)


@compiled
def trailing_position(
    high: Floats,
    low: Floats,
    close: Floats,
    average: Floats,
    reach: Floats,
    lowest: int,
    highest: int,
    out: Positions,
) -> None:
    """From a close across `average` to that side, until a close has fallen back by `reach` from the best price since.

    The level that ends a position starts `reach` from the close that began it, follows each bar's high (low for
    a short) at that bar's `reach`, and never gives way. A close across the other way reverses the position.
    """
    held = side_before = 0
    level = 0.0
    for at in range(len(close)):
        side = int(close[at] > average[at]) - int(close[at] < average[at])
        if held != 0:
            follows = (high[at] if held > 0 else low[at]) - held * reach[at]
            if held * (follows - level) > 0:
                level = follows
            if not held * (close[at] - level) >= 0:
                held = 0
        if side != 0:
            if side_before == -side and reach[at] - reach[at] == 0:
                held = side
                level = close[at] - side * reach[at]
            side_before = side
        out[at] = min(max(held, lowest), highest)


@compiled
def held_position(begins: Flags, ends: Flags, out: Positions) -> None:
    """1 from a bar that begins until the bar that ends, else 0; a bar that does both begins."""
    held = 0
    for at in range(len(begins)):
        if begins[at]:
            held = 1
        elif ends[at]:
            held = 0
        out[at] = held
