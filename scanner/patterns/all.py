"""The front door of the patterns: bars in, findings out."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from market.indicators import floats
from market.symbols import AssetClass
from scanner.patterns.findings import Findings, Kind, joined
from scanner.patterns.fold import Columns, Fold
from scanner.patterns.levels import PREVIOUS, find_previous_levels
from scanner.patterns.rows import nothing
from scanner.patterns.settings import PatternSettings

FOLDED = (Kind.SWING, Kind.BOS, Kind.CHOCH, Kind.LIQUIDITY_SWEEP, Kind.FVG, Kind.ORDER_BLOCK)
DEFAULTS = PatternSettings()


def find_patterns(
    bars: pd.DataFrame,
    settings: PatternSettings = DEFAULTS,
    asset_class: AssetClass = AssetClass.FX,
    kinds: Collection[Kind] | None = None,
) -> Findings:
    """All findings in bars of the contract (`market.bars`), or those of some `kinds`, in the order they became known.

    `asset_class` says when days end, for the levels of previous days and weeks.
    """
    wanted = set(Kind) if kinds is None else set(kinds)
    parts = []
    if wanted & set(FOLDED):
        found = folded(bars, settings)
        parts.append(found if wanted >= set(FOLDED) else found.of(*wanted))
    if wanted & set(PREVIOUS):
        levels = find_previous_levels(bars, settings, asset_class)
        parts.append(levels if wanted >= set(PREVIOUS) else levels.of(*wanted))
    return parts[0] if len(parts) == 1 else joined([*parts, nothing()])


def find_swings(bars: pd.DataFrame, settings: PatternSettings = DEFAULTS) -> Findings:
    """Swing highs (−1: resistance) and lows (+1: support), the turning points of J. J. Murphy's trend lines.

    A bar is a swing high when its high exceeds those of the `swing_lookback` bars before it and is not exceeded by
    those of as many bars after it: of equal highs the first one counts. It is known at the close of the last of them.
    It ends when a later bar trades beyond it: SWEPT when that bar closes back inside, else BROKEN. Strength is how
    far the close at which it is known stands from it. Source: J. J. Murphy, Technical Analysis of the Financial
    Markets, 1999, on trends, support and resistance; "swing highs/lows" of Smart Money Concepts by LuxAlgo.
    """
    return folded(bars, settings).of(Kind.SWING)


def find_structure(bars: pd.DataFrame, settings: PatternSettings = DEFAULTS) -> Findings:
    """Breaks of structure (BOS) and changes of character (CHoCH).

    A close beyond the swing high (low) that was last known before the bar, once for each swing. It is a BOS when it
    goes on with the direction of the break before it, and a CHoCH when it goes against it; the first break of all is
    a BOS. `formed` is the swing's bar, `level` its price. It ends REPLACED by the next break. Strength is how far the
    close stands beyond the level. Source: the swing structure of Smart Money Concepts by LuxAlgo.
    """
    return folded(bars, settings).of(Kind.BOS, Kind.CHOCH)


def find_sweeps(bars: pd.DataFrame, settings: PatternSettings = DEFAULTS) -> Findings:
    """Liquidity sweeps: a spike through recent lows (bullish) or highs (bearish) that closes back inside.

    Recent are the `liquidity_lookback` bars before, and either of these must be taken by the bar's wick and held by
    its close: the furthest of all of them, if a bar in between had held there, or a cluster of equal ones: turning
    points that nothing traded beyond since, each at most `equal_level_atr` average true ranges from the next. The
    furthest level that was taken and held is reported, the spike bounds the zone. `formed` and `known` are the
    spike's bar. It ends BROKEN by a close beyond the spike. Strength is the way from the spike back to the close.
    Source: the stop runs ("turtle soup") of the Inner Circle Trader; equal highs and lows of Smart Money Concepts by
    LuxAlgo.
    """
    return folded(bars, settings).of(Kind.LIQUIDITY_SWEEP)


def find_gaps(bars: pd.DataFrame, settings: PatternSettings = DEFAULTS) -> Findings:
    """Fair value gaps: prices that three bars left out while the middle one ran.

    The third bar's low lies above the first one's high (bullish; bearish mirrored), the middle bar closes in that
    direction, and the gap exceeds `fvg_threshold` × the middle close. `formed` is the middle bar, `known` the third.
    `level` is the edge that price meets first. It ends FILLED when price has retraced `gap_fill_share` of it: 1 is
    its far edge, 0.5 what the Inner Circle Trader calls consequent encroachment, 0 the first touch. Strength is its
    height.
    """
    return folded(bars, settings).of(Kind.FVG)


def find_order_blocks(bars: pd.DataFrame, settings: PatternSettings = DEFAULTS) -> Findings:
    """Order blocks: the last candle against a move that broke structure.

    At each break (`find_structure`) the last candle against its direction, within `order_block_lookback` bars and
    not before the broken swing, whose body is at least `order_block_body_ratio` of its range and whose volume exceeds
    the mean of the `order_block_lookback` bars before it; where these have no volume it is not asked for. `formed` is
    that candle, its low and high are the zone, `known` is the break, `level` the edge that price meets first. It ends
    at the first bar that trades back into the zone: MITIGATED, or BROKEN when that bar closes beyond it. Strength is
    how far price ran from the candle's close to the break's. Source: order blocks of the Inner Circle Trader and of
    Smart Money Concepts by LuxAlgo.
    """
    return folded(bars, settings).of(Kind.ORDER_BLOCK)


def columns_of(bars: pd.DataFrame) -> Columns:
    """Open, high, low, close and volume as the kernels take them."""
    opened, high, low, close, volume = (floats(bars[name]) for name in ("open", "high", "low", "close", "volume"))
    return opened, high, low, close, volume


def folded(bars: pd.DataFrame, settings: PatternSettings) -> Findings:
    """Every finding but the levels of periods."""
    fold = Fold(settings, room=len(bars) + 1024)
    fold.take(columns_of(bars), 0, 0, len(bars))
    return fold.handed_over()
