"""SMC Confluence: trades the setups of the scanner, with their stops and targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from execution.strategy import SIDES, Parameter, Signals, Strategy, Values
from market.symbols import AssetClass
from market.timeframes import Timeframe
from scanner.layers import BARS_THAT_TELL, layers_of, parse_timeframes, timeframe_of
from scanner.patterns.settings import PatternSettings
from scanner.setups import Candidates, SetupSettings, candidates_of

_PATTERNS = ("liquidity_lookback", "swing_lookback", "fvg_threshold", "order_block_body_ratio")
_SETUPS = (
    "weight_liquidity_sweep", "weight_bos", "weight_choch", "weight_fvg", "weight_order_block", "weight_against",
    "higher_timeframe_factor", "minimum_score", "minimum_patterns", "minimum_risk_reward", "setup_bars",
)  # fmt: skip
_OWN = "none"
# A strategy knows no symbol and no spread: costs are those of the run.
_FREE = {"maximum_cost_to_atr": 1e9}
_MARKETS = {"fx": AssetClass.FX, "always open": AssetClass.CRYPTO}


def signals(bars: pd.DataFrame, values: Values) -> Signals:
    """The position of the newest setup, until its stop, its target, `setup_bars` or a setup of the other side."""
    from scanner import setups_kernel as kernel

    candidates = _candidates(bars, values)
    rows = _taken(candidates, *SIDES[str(values["side"])])
    rows = rows[candidates.bar[rows] >= _warm_up(values)]
    stop, target = (np.full(len(bars), np.nan) for _ in range(2))
    at, sides = candidates.bar[rows], candidates.direction[rows]
    stop[at], target[at] = candidates.stop_distance[rows], candidates.target_distance[rows]
    position = np.empty(len(bars), np.int8)
    kernel.wished_positions(
        candidates.prices, at, sides, candidates.figures[rows, kernel.STOP], candidates.figures[rows, kernel.TARGET],
        int(values["setup_bars"]), position,
    )  # fmt: skip
    return Signals(position, stop, target)


def _candidates(bars: pd.DataFrame, values: Values) -> Candidates:
    chosen: dict[str, Any] = {name: values[name] for name in _PATTERNS}
    patterns = PatternSettings(**chosen)
    wanted: list[Timeframe] = [] if values["timeframes"] == _OWN else parse_timeframes(str(values["timeframes"]))
    layers = layers_of(bars, timeframe_of(bars), wanted, patterns, _MARKETS[str(values["market"])])
    given: dict[str, Any] = {name: values[name] for name in _SETUPS}
    return candidates_of(layers, SetupSettings(**{**given, **_FREE}))


def _taken(candidates: Candidates, lowest: int, highest: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The setups that may be traded, one a bar: of two sides the one with more points."""
    side = candidates.direction
    rows = np.flatnonzero(candidates.passed & (side >= lowest) & (side <= highest))
    order = np.lexsort((-candidates.score[rows], candidates.bar[rows]))
    rows = rows[order]
    first = np.flatnonzero(np.diff(candidates.bar[rows], prepend=-1))
    return rows[first]


def _warm_up(values: Values) -> int:
    """Fewer bars would not tell their timeframe for good; and no swing is known before twice its look-back."""
    return max(BARS_THAT_TELL, 2 * int(values["swing_lookback"]))


def _cannot_be(values: Values) -> str | None:
    try:
        if str(values["timeframes"]) != _OWN:
            parse_timeframes(str(values["timeframes"]))
    except InputError as error:
        return error.what.rstrip(".")
    return None


_DEFAULTS = SetupSettings()


def _weight(kind: str, meaning: str) -> Parameter:
    return Parameter(f"weight_{kind}", getattr(_DEFAULTS, f"weight_{kind}"), meaning, low=0.0, high=100.0, step=0.5)


STRATEGY = Strategy(
    name="SMC_Confluence",
    title="SMC Confluence",
    rule="Trades a setup when sweeps, structure, gaps and order blocks of several timeframes add up to enough points; "
    "stop beyond the level that makes it invalid, target at the next level ahead.",
    source="Smart Money Concepts after the Inner Circle Trader and LuxAlgo; the scanner's setups, docs/scanner.md",
    version=1,
    parameters=(
        Parameter("minimum_score", _DEFAULTS.minimum_score, "Points that a setup needs", low=0.1, high=100.0, step=0.5),
        Parameter("minimum_risk_reward", _DEFAULTS.minimum_risk_reward, "Way to the target for one to the stop",
                  low=0.0, high=20.0, step=0.25),
        Parameter("minimum_patterns", _DEFAULTS.minimum_patterns, "Different patterns that must agree", low=1, high=5),
        Parameter("setup_bars", _DEFAULTS.setup_bars, "Bars after which a position is closed", low=1, high=1_000),
        Parameter("liquidity_lookback", 20, "Bars in which a high or low is recent for a sweep", low=2, high=500),
        Parameter("swing_lookback", 10, "Bars on both sides over which a swing is the extreme", low=1, high=200),
        Parameter("fvg_threshold", 0.0001, "Least height of a fair value gap as a share of the price",
                  low=0.0, high=0.1, step=0.0001),
        Parameter("order_block_body_ratio", 0.6, "Least share of an order block's range that is body",
                  low=0.0, high=1.0, step=0.1),
        Parameter("timeframes", "H1, H4, D1", "Longer timeframes that have a say, or none"),
        _weight("liquidity_sweep", "Points of a fresh liquidity sweep"),
        _weight("bos", "Points of a fresh break of structure"),
        _weight("choch", "Points of a fresh change of character"),
        _weight("fvg", "Points of a fresh fair value gap"),
        _weight("order_block", "Points of a fresh order block"),
        _weight("against", "Share of their points that patterns of the other side take away"),
        Parameter("higher_timeframe_factor", _DEFAULTS.higher_timeframe_factor,
                  "Points grow by this with each timeframe upwards", low=0.1, high=10.0, step=0.1),
        Parameter("market", "fx", "When days end: FX at 17:00 New York, or at midnight UTC", choices=tuple(_MARKETS)),
        Parameter("side", "both", "Which sides may be traded", choices=tuple(SIDES)),
    ),
    signals=signals,
    constraint=_cannot_be,
    warm_up=_warm_up,
)  # fmt: skip
