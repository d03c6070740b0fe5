"""Setups: what findings of several timeframes add up to, and why a candidate fell short of one.

A candidate comes about at the close of a bar at which a sweep, a break of structure, a change of character, a fair
value gap or an order block becomes known on the timeframe of the setup. Its score is a sum that can be read:

    points of a pattern = weight of its kind × factor ^ (timeframes above) × ½ ^ (age / half life)

Of each kind, timeframe and direction the newest that still lasts counts; what speaks against takes a share of its
points away; a good place in the dealing range and a kill zone add theirs. Age is in bars of the pattern's own
timeframe. The entry is the close that made the candidate (a trade enters at the next open), the stop lies beyond the
level that makes it invalid, the targets are the standing swings and previous extremes ahead. Everything at bar *t*
comes from what was known at the close of *t*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.settings import ScannerSettings, current_settings
from market.indicators import atr
from market.symbols import symbol_of
from scanner.layers import Layer, first_closed, last_closed
from scanner.patterns.findings import LASTS, Kind
from scanner.patterns.ranges import range_position
from scanner.patterns.sessions import KILL_ZONES, OUTSIDE, zone_days

Whole = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Small = np.ndarray[Any, np.dtype[np.int8]]

# The kinds that make and carry a setup, in the order of the kernel's lanes.
SPEAKING = (Kind.LIQUIDITY_SWEEP, Kind.BOS, Kind.CHOCH, Kind.FVG, Kind.ORDER_BLOCK)
# Where orders are believed to wait: targets lie here.
_LEVELS = (Kind.SWING, Kind.PREVIOUS_DAY, Kind.PREVIOUS_WEEK, Kind.PREVIOUS_SESSION)
ATR_LENGTH = 14
STATUSES = ("live", "target", "stopped", "expired")
DIRECTIONS = {1: "bullish", -1: "bearish"}
DISCOUNT, KILL_ZONE = "discount", "kill_zone"


@dataclass(frozen=True)
class SetupSettings:
    """Weights and thresholds of setups; the defaults are those of `config.yaml`, section scanner.

    `weight_…` are points, `weight_against` and `maximum_cost_to_atr` shares, `…_atr` multiples of the average true
    range, `…_bars` bars (of the pattern's own timeframe for ages), `target_r` a multiple of the risk.
    """

    weight_liquidity_sweep: float = 2.0
    weight_bos: float = 1.0
    weight_choch: float = 2.0
    weight_fvg: float = 1.0
    weight_order_block: float = 1.5
    weight_discount: float = 0.5
    weight_kill_zone: float = 0.5
    weight_against: float = 0.5
    higher_timeframe_factor: float = 1.5
    half_life_bars: float = 10.0
    maximum_age_bars: int = 50
    minimum_score: float = 4.0
    minimum_patterns: int = 2
    minimum_risk_reward: float = 1.5
    maximum_cost_to_atr: float = 0.25
    maximum_stop_atr: float = 4.0
    stop_buffer_atr: float = 0.1
    target_r: float = 2.0
    setup_bars: int = 24

    def __post_init__(self) -> None:
        allowed = ScannerSettings.model_fields
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not np.isfinite(value):
                raise InputError(f"{field.name}={value!r} is no number.", f"Give one such as {field.default}.")
            for limit in allowed[field.name].metadata:
                _refuse_beyond(field.name, value, limit)

    @classmethod
    def from_settings(cls, settings: ScannerSettings | None = None) -> SetupSettings:
        """Those in force."""
        settings = settings or current_settings().scanner
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    def weights(self, layers: int) -> Floats:
        """Points of a fresh pattern, a row of the speaking kinds for each timeframe, flat."""
        of_kind = np.array([float(getattr(self, f"weight_{kind.words}")) for kind in SPEAKING])
        return np.concatenate([of_kind * self.higher_timeframe_factor**step for step in range(layers)])

    def decay(self) -> Floats:
        """The share of its points that a pattern gives at each age."""
        return np.asarray(0.5 ** (np.arange(self.maximum_age_bars + 1) / self.half_life_bars))


def _refuse_beyond(name: str, value: float, limit: Any) -> None:
    for sign, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        edge = getattr(limit, sign, None)
        if edge is None:
            continue
        kept = {"ge": value >= edge, "gt": value > edge, "le": value <= edge, "lt": value < edge}[sign]
        if not kept:
            raise InputError(f"{name}={value!r} cannot be used.", f"It must be {words} {edge:g}.")


@dataclass(frozen=True)
class Part:
    """One summand of a score. `points` are negative for what speaks against; `known_at` is None for place and hour."""

    pattern: str
    timeframe: str
    direction: str
    weight: float
    age_bars: int
    points: float
    level: float | None = None
    known_at: pd.Timestamp | None = None

    def sentence(self) -> str:
        """`+1.50 order_block H1, 4 bars old (weight 2.25)`."""
        age = f", {self.age_bars} bars old" if self.known_at is not None else ""
        return f"{self.points:+.2f} {self.pattern} {self.timeframe}{age} (weight {self.weight:g})".replace("-", "−")


@dataclass(frozen=True)
class Shortfall:
    """A rule that a candidate fell short of: its value, the threshold in force and what that means."""

    rule: str
    value: float
    threshold: float
    words: str

    def sentence(self) -> str:
        """`minimum_score: the score is 2.1, below 4`."""
        return f"{self.rule}: {self.words}"


@dataclass(frozen=True)
class Setup:
    """A setup, or a candidate with the rules it fell short of in `why_not`.

    Prices are of the bars (bid). `risk_reward` is after the spread. `confidence` is the points for over the points
    for, against and the minimum score: 0.5 at the minimum with nothing against; no probability. `status` is `live`,
    `target`, `stopped` or `expired`; times are open stamps of bars, knowable at their close.
    """

    symbol: str
    timeframe: str
    direction: str
    trigger: str
    formed_at: pd.Timestamp
    known_at: pd.Timestamp
    entry: float
    stop: float
    invalidation: float
    targets: tuple[float, ...]
    target: float
    risk_reward: float
    score: float
    confidence: float
    patterns: int
    atr: float
    cost_to_atr: float
    strength: float
    status: str
    ended_at: pd.Timestamp | None
    parts: tuple[Part, ...]
    why_not: tuple[Shortfall, ...]

    @property
    def is_setup(self) -> bool:
        """Whether it fell short of no rule."""
        return not self.why_not

    def as_dict(self) -> dict[str, Any]:
        """Plain members, with `kind` and `level` (the entry) as every finding has them."""
        return {
            "kind": "setup",
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "level": self.entry,
            "parts": [asdict(part) for part in self.parts],
            "why_not": [asdict(short) for short in self.why_not],
            "targets": list(self.targets),
        }

    def why_not_line(self) -> str:
        """Every rule it fell short of in a line; empty for a setup."""
        return "; ".join(short.sentence() for short in self.why_not)


@dataclass(frozen=True)
class _Book:
    """The findings that count, on the clock of the shortest timeframe, in the order in which they can be read."""

    layer: Whole
    row: Whole  # in the findings of its layer
    lane: Whole
    side: Small
    at: Whole
    gone: Whole
    known: Whole
    bounds: Floats


@dataclass(frozen=True)
class Candidates:
    """Every candidate of some bars, as columns; `setups` makes objects of those that are asked for."""

    symbol: str
    layers: Sequence[Layer]
    settings: SetupSettings
    book: _Book
    prices: Floats  # rows: high, low, close, ATR, spread, place in the dealing range, 1 in a kill zone
    closed: Whole
    places: Whole
    figures: Floats
    targets: Floats
    sources: Whole
    status: Small
    ended: Whole

    def __len__(self) -> int:
        return len(self.places)

    @property
    def bar(self) -> Whole:
        """The bar at whose close each came about."""
        return self.places[:, 0]

    @property
    def direction(self) -> Whole:
        """+1 bullish, −1 bearish."""
        return self.places[:, 1]

    @cached_property
    def passed(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which fell short of no rule."""
        return np.asarray(self.places[:, 4] == 0)

    @property
    def score(self) -> Floats:
        """Points."""
        return self.figures[:, 7]

    @property
    def entry(self) -> Floats:
        """Close of the bar (price)."""
        return self.figures[:, 0]

    @property
    def stop_distance(self) -> Floats:
        """From the entry to the stop, in price."""
        return np.asarray(np.abs(self.figures[:, 0] - self.figures[:, 2]))

    @property
    def target_distance(self) -> Floats:
        """From the entry to the target that counts, in price."""
        return np.asarray(np.abs(self.figures[:, 3] - self.figures[:, 0]))

    @cached_property
    def formed(self) -> Whole:
        """The bar that shaped the pattern which made each a candidate."""
        return self.layers[0].findings.formed[self.book.row[self.places[:, 2]]]

    @cached_property
    def confidence(self) -> Floats:
        """Points for over points for, against and the minimum score."""
        points = self.figures[:, 5]
        return np.asarray(points / (points + self.figures[:, 6] + self.settings.minimum_score))

    def where(self, rows: Any) -> Candidates:
        """Those that a mask or a list of rows picks."""
        picked = {name: getattr(self, name)[rows] for name in ("places", "figures", "targets", "sources")}
        others = {name: getattr(self, name) for name in ("symbol", "layers", "settings", "book", "prices", "closed")}
        return Candidates(**others, **picked, status=self.status[rows], ended=self.ended[rows])

    def as_seen(self, bar: int) -> Candidates:
        """What was there at the close of `bar`: none made later, and what ended later is still live."""
        seen = self.where(self.bar <= bar)
        later = seen.ended > bar
        others = {field.name: getattr(seen, field.name) for field in fields(seen)}
        status, ended = np.where(later, 0, seen.status).astype(np.int8), np.where(later, -1, seen.ended)
        return Candidates(**{**others, "status": status, "ended": ended})

    def setups(self) -> list[Setup]:
        """An object each, in the order in which they came about."""
        return [self._setup(row) for row in range(len(self))]

    def frame(self) -> pd.DataFrame:
        """A row each, without parts: what a table of many candidates shows, and the outcome study reads."""
        base, figures = self.layers[0], self.figures
        codes = [SPEAKING[lane].words for lane in range(len(SPEAKING))]
        lanes = self.book.lane[self.places[:, 2]] if len(self) else np.empty(0, "int64")
        ended = pd.Series(base.times[np.maximum(self.ended, 0)]).mask(self.ended < 0)
        return pd.DataFrame(
            {
                "symbol": self.symbol,
                "timeframe": str(base.timeframe),
                "direction": [DIRECTIONS[int(side)] for side in self.direction],
                "trigger": [codes[lane] for lane in lanes],
                "formed_at": base.times[self.formed],
                "known_at": base.times[self.bar],
                "entry": figures[:, 0],
                "invalidation": figures[:, 1],
                "stop": figures[:, 2],
                "target": figures[:, 3],
                "risk_reward": figures[:, 4],
                "score": figures[:, 7],
                "confidence": self.confidence,
                "patterns": self.places[:, 3],
                "atr": figures[:, 8],
                "cost_to_atr": figures[:, 9] / figures[:, 8],
                "is_setup": self.passed,
                "status": [STATUSES[code] for code in self.status],
                "ended_at": ended,
            }
        )

    def _setup(self, row: int) -> Setup:
        base, figures = self.layers[0], self.figures[row]
        bar, side, trigger, patterns, _, ahead = (int(place) for place in self.places[row])
        found = int(self.book.row[trigger])
        entry, invalidation, stop, target, reward, _, _, score, average, spread = (float(each) for each in figures)
        cost = spread / average if average > 0 else float("nan")
        ended = int(self.ended[row])
        return Setup(
            symbol=self.symbol,
            timeframe=str(base.timeframe),
            direction=DIRECTIONS[side],
            trigger=SPEAKING[int(self.book.lane[trigger])].words,
            formed_at=base.times[base.findings.formed[found]],
            known_at=base.times[bar],
            entry=entry,
            stop=stop,
            invalidation=invalidation,
            targets=tuple(float(each) for each in self.targets[row, :ahead]),
            target=target,
            risk_reward=reward,
            score=score,
            confidence=float(self.confidence[row]),
            patterns=patterns,
            atr=average,
            cost_to_atr=cost,
            strength=float(base.findings.strength[found]),
            status=STATUSES[int(self.status[row])],
            ended_at=None if ended < 0 else base.times[ended],
            parts=tuple(self._parts(row, bar, side)),
            why_not=tuple(self._why_not(row)),
        )

    @cached_property
    def _points(self) -> tuple[Floats, Floats]:
        return self.settings.weights(len(self.layers)), self.settings.decay()

    def _parts(self, row: int, bar: int, side: int) -> Iterable[Part]:
        weights, decay = self._points
        for sign, column in ((1.0, 0), (-self.settings.weight_against, 1)):
            for lane in np.flatnonzero(self.sources[row, :, column] >= 0).tolist():
                source = int(self.sources[row, lane, column])
                layer = self.layers[lane // len(SPEAKING)]
                found, known = int(self.book.row[source]), int(self.book.known[source])
                age = int(self.closed[lane // len(SPEAKING), bar]) - known
                yield Part(
                    SPEAKING[lane % len(SPEAKING)].words,
                    str(layer.timeframe),
                    DIRECTIONS[int(self.book.side[source])],
                    float(weights[lane]),
                    age,
                    float(sign * weights[lane] * decay[age]),
                    float(layer.findings.level[found]),
                    layer.times[known],
                )
        timeframe, words = str(self.layers[0].timeframe), DIRECTIONS[side]
        place, zone = self.prices[5:7, bar]
        for name, holds in ((DISCOUNT, (place < 0.5) if side > 0 else (place > 0.5)), (KILL_ZONE, zone > 0)):
            weight = getattr(self.settings, f"weight_{name}")
            if holds and weight:
                yield Part(name, timeframe, words, weight, 0, weight)

    def _why_not(self, row: int) -> Iterable[Shortfall]:
        """In the order of the kernel's bits."""
        asked, patterns, failed = self.settings, int(self.places[row, 3]), int(self.places[row, 4])
        entry, _, stop, _, reward, _, _, score, average, spread = (float(each) for each in self.figures[row])
        risk, cost = abs(entry - stop), spread / average if average > 0 else float("nan")
        away = risk / average if average > 0 else float("nan")
        rules = (
            ("atr", average, 0.0, f"the average true range needs {ATR_LENGTH} bars and must be above 0"),
            ("stop", away, 0.0, "no level makes it invalid, so there is no stop"),
            ("minimum_score", score, asked.minimum_score, f"the score is {score:.2f}, below {asked.minimum_score:g}"),
            (
                "minimum_patterns",
                float(patterns),
                float(asked.minimum_patterns),
                f"{patterns} different patterns speak for it, fewer than {asked.minimum_patterns}",
            ),
            (
                "maximum_stop_atr",
                away,
                asked.maximum_stop_atr,
                f"the stop is {away:.1f} average true ranges away, more than {asked.maximum_stop_atr:g}",
            ),
            (
                "minimum_risk_reward",
                reward,
                asked.minimum_risk_reward,
                f"risk-reward after the spread is {reward:.2f}, below {asked.minimum_risk_reward:g}",
            ),
            (
                "maximum_cost_to_atr",
                cost,
                asked.maximum_cost_to_atr,
                f"the spread is {cost:.2f} of the average true range, more than {asked.maximum_cost_to_atr:g}",
            ),
        )
        for bit, (rule, value, threshold, words) in enumerate(rules):
            if failed >> bit & 1:
                yield Shortfall(rule, value, threshold, words)


def find_candidates(
    layers: Sequence[Layer],
    symbol: str,
    settings: SetupSettings | None = None,
    *,
    spread_pips: float | None = None,
) -> Candidates:
    """The candidates on the first of `layers` (shortest timeframe first), with what became of each.

    The spread is that of the bars (`spread_points`), where they have none `spread_pips` (default:
    `backtest.spread_pips`).
    """
    known, bars = symbol_of(symbol), layers[0].bars
    pips = current_settings().backtest.spread_pips if spread_pips is None else spread_pips
    spread = np.full(len(bars), pips * known.pip)
    if "spread_points" in bars:
        own = bars["spread_points"].to_numpy() * known.point
        spread = np.where(np.isfinite(own), own, spread)
    return candidates_of(layers, settings or SetupSettings.from_settings(), spread, known.name)


def candidates_of(
    layers: Sequence[Layer], settings: SetupSettings, spread: Floats | float = 0.0, symbol: str = ""
) -> Candidates:
    """The same for a spread in price, and bars of whatever symbol."""
    from scanner import setups_kernel as kernel

    base = layers[0]
    book = _book_of(layers)
    levels = _levels_of(layers)
    prices = _prices_of(base, spread)
    closed = np.stack([last_closed(base, layer) for layer in layers])
    # One candidate for each bar and direction with a pattern of the shortest timeframe.
    own = book.lane < len(SPEAKING)
    count = len(np.unique(book.at[own] * 2 + (book.side[own] > 0)))
    weights = settings.weights(len(layers))
    places = np.empty((count, kernel.PLACES), np.int64)
    figures = np.empty((count, kernel.FIGURES))
    targets = np.empty((count, kernel.AHEAD))
    sources = np.full((count, len(weights), 2), -1, np.int64)
    kernel.find_candidates(
        prices, book.lane, book.side, book.at, book.gone, book.known, book.bounds, closed, *levels, weights,
        settings.decay(), _terms_of(settings), places, figures, targets, sources,
    )  # fmt: skip
    status, ended = np.empty(count, np.int8), np.empty(count, np.int64)
    kernel.follow(prices, places, figures, settings.setup_bars, status, ended)
    return Candidates(
        symbol, tuple(layers), settings, book, prices, closed, places, figures, targets, sources, status, ended
    )


def ranked(setups: Iterable[Setup]) -> list[Setup]:
    """Live setups before the others, then by score, then by risk-reward; candidates that fell short come last."""

    def order(setup: Setup) -> tuple[bool, bool, float, float]:
        reward = setup.risk_reward if np.isfinite(setup.risk_reward) else -np.inf
        return (not setup.is_setup, setup.status != "live", -setup.score, -reward)

    return sorted(setups, key=order)


def parts_frame(setup: Setup | Mapping[str, Any]) -> pd.DataFrame:
    """The sum behind a score, the largest part first: pattern, timeframe, direction, weight, age_bars, points …"""
    parts = setup.parts if isinstance(setup, Setup) else setup["parts"]
    rows = [part if isinstance(part, Mapping) else asdict(part) for part in parts]
    names = [field.name for field in fields(Part)]
    return pd.DataFrame(rows, columns=names).sort_values("points", key=np.abs, ascending=False, ignore_index=True)


def _book_of(layers: Sequence[Layer]) -> _Book:
    base = layers[0]
    columns: list[tuple[np.ndarray[Any, Any], ...]] = []
    lane_of = np.full(max(Kind) + 1, -1, np.int64)
    lane_of[list(SPEAKING)] = np.arange(len(SPEAKING))
    for number, layer in enumerate(layers):
        found = layer.findings
        rows = np.flatnonzero(lane_of[found.kind] >= 0)
        at = first_closed(base, layer, found.known[rows])
        rows, at = rows[at < len(base.bars)], at[at < len(base.bars)]
        gone = _gone(base, layer, found.ended[rows])
        columns.append((np.full(len(rows), number), rows, lane_of[found.kind[rows]] + number * len(SPEAKING),
                        found.direction[rows], at, gone, found.known[rows],
                        np.stack([found.low[rows], found.high[rows]])))  # fmt: skip
    joined = [np.concatenate(parts, axis=-1) for parts in zip(*columns, strict=True)]
    order = np.argsort(joined[4], kind="stable")
    layer_number, row, lane, side, at, gone, known, bounds = (column[..., order] for column in joined)
    return _Book(layer_number, row, lane, side, at, gone, known, np.ascontiguousarray(bounds))


def _levels_of(layers: Sequence[Layer]) -> tuple[Whole, Whole, Floats, Small]:
    """The levels ahead of which orders wait: when they can be read, when they are gone, price, whether they hold."""
    base = layers[0]
    at, gone, price, holds = [], [], [], []
    for layer in layers:
        found = layer.findings.where(np.isin(layer.findings.kind, _LEVELS))
        can = first_closed(base, layer, found.known)
        inside = can < len(base.bars)
        found = found.where(inside)
        at.append(can[inside])
        gone.append(_gone(base, layer, found.ended))
        price.append(found.level)
        holds.append((found.kind == Kind.SWING) & (layer is base))
    every = np.concatenate(at)
    order = np.argsort(every, kind="stable")
    return (
        every[order],
        np.concatenate(gone)[order],
        np.concatenate(price)[order],
        np.concatenate(holds)[order].astype(np.int8),
    )


def _gone(base: Layer, layer: Layer, ended: Whole) -> Whole:
    lasts = ended == LASTS
    return np.where(lasts, len(base.bars), first_closed(base, layer, np.where(lasts, 0, ended)))


def _prices_of(base: Layer, spread: Floats | float) -> Floats:
    bars = base.bars
    return np.ascontiguousarray(
        [
            *(bars[name].to_numpy() for name in ("high", "low", "close")),
            atr(bars, ATR_LENGTH),
            np.broadcast_to(spread, len(bars)),
            range_position(bars, base.findings),
            _in_kill_zone(base.times),
        ],
        dtype="float64",
    )


def _in_kill_zone(times: pd.DatetimeIndex) -> Floats:
    """1 for each bar that opens in a kill zone. No zone begins or ends within an hour, so each hour is asked once."""
    hours = times.as_unit("s").asi8 // 3600
    first = np.flatnonzero(np.diff(hours, prepend=hours[:1] - 1))
    inside = np.zeros(len(first))
    for zone in KILL_ZONES:
        inside[zone_days(times[first], zone) != OUTSIDE] = 1.0
    return np.repeat(inside, np.diff(first, append=len(hours)))


def _terms_of(settings: SetupSettings) -> Floats:
    return np.array(
        [
            settings.weight_discount,
            settings.weight_kill_zone,
            settings.weight_against,
            settings.minimum_score,
            settings.minimum_patterns,
            settings.minimum_risk_reward,
            settings.maximum_cost_to_atr,
            settings.maximum_stop_atr,
            settings.stop_buffer_atr,
            settings.target_r,
        ]
    )
