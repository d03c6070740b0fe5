"""What a pattern or a setup was worth: every one of them entered once it could be known, costs taken off.

An entry is made at the open of the bar after the one that proved the finding, at the ask for a long and the bid for a
short (bars are bid), and left at its stop or target where it has them, else at the close of the last bar of the
horizon. Beside it stand two others of the same number and sides: entries at random bars, and the same findings entered
as if they had been known when they formed. The first says what the market gave anybody, the second what a chart that
repaints would have pretended.

Entries of one day are no independent witnesses, so intervals are those of a bootstrap over trading days (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 1993: percentile intervals; clusters drawn whole).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError, UnknownNameError
from core.names import nearest
from core.settings import current_settings
from market.calendar import trading_day
from market.symbols import Symbol, symbol_of
from scanner.patterns.findings import Findings, Kind
from scanner.patterns.sessions import zone_names
from scanner.setups import Candidates

Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]

KNOWN, RANDOM, FORMED = "known", "random", "formed"
DIMENSIONS = ("symbol", "timeframe", "session", "year", "direction", "kind", "exit")
OUTSIDE_ZONES = "outside"
EXITS = ("horizon", "target", "stop")
# So many prices at once stay out of the way of other processes: 32 MiB a column of a window.
_PRICES_AT_ONCE = 4_000_000
_DRAWS_AT_ONCE = 4_000_000
_MOST_DRAWN = 20_000  # entries of a series; of more, so many at random stand for all
_ROUNDING = 1e-9  # pips by which equal means may differ in their last bits


@dataclass(frozen=True)
class StudyTerms:
    """How entries are held and charged.

    `horizon_bars` is the longest a position is held. `spread_pips` goes before the bars' own spread where it is given
    (None: the bars', else `backtest.spread_pips`); `slippage_pips` moves every fill but a target's against the trade,
    `commission_pips` is for the round trip. Without `use_levels` stops and targets are left aside. `controls` random
    entries are drawn for each real one, `resamples` times the days are drawn again, both from `seed`.
    """

    horizon_bars: int = 24
    spread_pips: float | None = None
    slippage_pips: float = 0.0
    commission_pips: float = 0.0
    use_levels: bool = True
    controls: int = 100
    resamples: int = 2_000
    confidence: float = 0.95
    seed: int = 1

    def __post_init__(self) -> None:
        for name, least in (("horizon_bars", 1), ("controls", 1), ("resamples", 100), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{name}={value!r} cannot be used.", f"Give a whole number from {least} on.")
        for name in ("spread_pips", "slippage_pips", "commission_pips"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
                raise InputError(f"{name}={value!r} cannot be used.", "Give 0 or more pips.")
        if not 0.5 <= self.confidence < 1:
            raise InputError(f"confidence={self.confidence!r} cannot be used.", "Give a share such as 0.95.")


@dataclass(frozen=True)
class Entries:
    """What is entered: the bars that proved and shaped each finding (places), +1 or −1, and what it is.

    Distances are in price from the close of the proving bar; NaN means none.
    """

    known: Whole
    formed: Whole
    direction: Whole
    kind: np.ndarray[Any, Any]
    stop_distance: Floats
    target_distance: Floats

    def __len__(self) -> int:
        return len(self.known)


def entries_of_findings(findings: Findings, kinds: Iterable[Kind] | None = None) -> Entries:
    """Every finding of some kinds, entered in the direction it speaks for and held for the horizon."""
    picked = findings if kinds is None else findings.of(*kinds)
    none = np.full(len(picked), np.nan)
    words = np.array([Kind(code).words for code in picked.kind], dtype=object)
    return Entries(picked.known, picked.formed, picked.direction.astype("int64"), words, none, none)


def entries_of_setups(candidates: Candidates) -> Entries:
    """Every setup with its stop and target; candidates that fell short are left out."""
    passed = candidates.where(candidates.passed)
    kind = np.full(len(passed), "setup", dtype=object)
    return Entries(passed.bar, passed.formed, passed.direction, kind, passed.stop_distance, passed.target_distance)


@dataclass(frozen=True)
class StudiedSeries:
    """Bars of one symbol and timeframe with what is entered in them."""

    symbol: str
    timeframe: str
    bars: pd.DataFrame
    entries: Entries


@dataclass(frozen=True)
class Outcome:
    """What entries came to. Pips are after costs and per entry; `low` and `high` bound the expectancy.

    `mae_pips` and `mfe_pips` are how far price went against and with the position at most, on average. `left_out` could
    not be entered or had not ended when the bars did.
    """

    label: str
    entries: int
    left_out: int
    days: int
    hit_rate_pct: float
    expectancy_pips: float
    low: float
    high: float
    cost_pips: float
    mae_pips: float
    mfe_pips: float
    bars_held: float


@dataclass(frozen=True)
class OutcomeStudy:
    """The study of some entries beside chance and beside what hindsight would have shown.

    `trades` and `pretended` have a row an entry: symbol, timeframe, kind, direction, known_at, entry_time, exit_time,
    exit, pips (after costs), cost_pips, mae_pips, mfe_pips, bars, day, session, year. `draws` are the expectancies of
    the random entries, `luck` the share of them that did as well or better.
    """

    terms: StudyTerms
    known: Outcome
    random: Outcome
    formed: Outcome
    luck: float
    draws: Floats
    trades: pd.DataFrame = field(repr=False)
    pretended: pd.DataFrame = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """A row each for known, random and formed."""
        return pd.DataFrame([vars(each) for each in (self.known, self.random, self.formed)])

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """What the study can be broken down by."""
        return DIMENSIONS

    def by(self, dimension: str) -> pd.DataFrame:
        """A row a group of a dimension: the figures of `Outcome`, and `pretended`, the expectancy of hindsight.

        Raises UnknownNameError for what is no dimension.
        """
        if dimension not in DIMENSIONS:
            meant = nearest(dimension, DIMENSIONS)
            hint = f"Did you mean {meant!r}? " if meant else ""
            raise UnknownNameError(f"A study is not broken down by {dimension!r}.", f"{hint}{', '.join(DIMENSIONS)}.")
        hindsight = self.pretended.groupby(dimension)["pips"].mean()
        rows = []
        for group, trades in self.trades.groupby(dimension, sort=True):
            said = vars(_outcome(str(group), trades, 0, self.terms))
            rows.append({dimension: group, **said, "pretended": float(hindsight.get(group, math.nan))})
        names = [dimension, *Outcome.__dataclass_fields__, "pretended"]
        return pd.DataFrame(rows, columns=names).drop(columns=["label", "left_out"])

    def sentence(self) -> str:
        """What the figures say, in two sentences."""
        if not self.known.entries:
            return "Nothing was entered, so nothing can be said."
        share = f"{100 * self.terms.confidence:.0f} %"
        interval = f"{self.known.low:+.1f} to {self.known.high:+.1f}" if not math.isnan(self.known.low) else "unknown"
        verdict = "no edge is proven"
        if self.known.low > 0 and self.luck < 1 - self.terms.confidence:
            verdict = "better than chance"
        elif self.known.high < 0:
            verdict = "a loss is proven"
        return (
            f"{self.known.entries:,} entries: {self.known.expectancy_pips:+.1f} pips each after costs ({share} "
            f"interval {interval}), random entries {self.random.expectancy_pips:+.1f}; {verdict}. "
            f"Entered where they formed, they would have pretended {self.formed.expectancy_pips:+.1f}."
        ).replace("-", "−")


def study_outcomes(series: StudiedSeries | Sequence[StudiedSeries], terms: StudyTerms | None = None) -> OutcomeStudy:
    """Enter everything there is in one or several series, and hold it against chance and hindsight.

    Raises InputError where nothing is given.
    """
    terms = terms or StudyTerms()
    every = [series] if isinstance(series, StudiedSeries) else list(series)
    if not every:
        raise InputError("There is nothing to study.", "Give a series with its entries.")
    trades, pretended, draws, chance = [], [], np.zeros(terms.controls), []
    luck_of = np.random.default_rng(terms.seed)
    counts = np.zeros(terms.controls)
    for each in every:
        market = _Market.of(each, terms)
        entries = each.entries if terms.use_levels else _without_levels(each.entries)
        real = _walked(market, entries, entries.known, terms)
        trades.append(real)
        pretended.append(_walked(market, entries, entries.formed, terms))
        pips, drawn = _random(market, entries, real.index.to_numpy(), terms, luck_of)
        stands_for = len(real) / max(1, pips.shape[1])
        draws += stands_for * np.nansum(pips, axis=1)
        counts += stands_for * np.sum(~np.isnan(pips), axis=1)
        chance.append(drawn)
    draws = np.divide(draws, counts, out=np.full(terms.controls, np.nan), where=counts > 0)
    asked = sum(len(each.entries) for each in every)
    real, hindsight, drawn = (_joined(parts) for parts in (trades, pretended, chance))
    known = _outcome(KNOWN, real, asked - len(real), terms)
    return OutcomeStudy(
        terms,
        known,
        _chance_outcome(draws, drawn, terms),
        _outcome(FORMED, hindsight, asked - len(hindsight), terms),
        luck=float((1 + np.sum(draws >= known.expectancy_pips - _ROUNDING)) / (1 + len(draws)))
        if len(real)
        else math.nan,
        draws=draws,
        trades=real,
        pretended=hindsight,
    )


def study_frame(studies: Iterable[tuple[str, OutcomeStudy]]) -> pd.DataFrame:
    """Several studies in a table: `study`, and of each the known outcome beside chance and hindsight."""
    rows = [
        {
            "study": name,
            **vars(study.known),
            "random_pips": study.random.expectancy_pips,
            "luck": study.luck,
            "pretended_pips": study.formed.expectancy_pips,
            "pretended_hit_rate_pct": study.formed.hit_rate_pct,
        }
        for name, study in studies
    ]
    return pd.DataFrame(rows).drop(columns="label", errors="ignore")


@dataclass(frozen=True)
class _Market:
    series: StudiedSeries
    symbol: Symbol
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    spread: Floats

    @classmethod
    def of(cls, series: StudiedSeries, terms: StudyTerms) -> _Market:
        symbol, bars = symbol_of(series.symbol), series.bars
        pips = current_settings().backtest.spread_pips if terms.spread_pips is None else terms.spread_pips
        spread = np.full(len(bars), pips * symbol.pip)
        if terms.spread_pips is None and "spread_points" in bars:
            own = bars["spread_points"].to_numpy(dtype="float64") * symbol.point
            spread = np.where(np.isfinite(own), own, spread)
        opened, high, low, close = (bars[name].to_numpy(dtype="float64") for name in ("open", "high", "low", "close"))
        return cls(series, symbol, opened, high, low, close, spread)


def _without_levels(entries: Entries) -> Entries:
    none = np.full(len(entries), np.nan)
    return replace(entries, stop_distance=none, target_distance=none)


def _walked(market: _Market, entries: Entries, decided: Whole, terms: StudyTerms) -> pd.DataFrame:
    """A row an entry that could be made and has ended, indexed by its place in `entries`."""
    orders = _Orders(decided, entries.direction, entries.stop_distance, entries.target_distance)
    found = _walk(market, orders, terms)
    kept = np.flatnonzero(~np.isnan(found["pips"]))
    times = pd.DatetimeIndex(market.series.bars.index)
    begun = times[decided[kept] + 1]
    names = zone_names(begun)
    names[names == ""] = OUTSIDE_ZONES
    return pd.DataFrame(
        {
            "symbol": market.symbol.name,
            "timeframe": market.series.timeframe,
            "kind": entries.kind[kept],
            "direction": np.where(entries.direction[kept] > 0, "bullish", "bearish"),
            "known_at": times[decided[kept]],
            "entry_time": begun,
            "exit_time": times[found["exit_bar"][kept].astype("int64")],
            "exit": np.array(EXITS, dtype=object)[found["exit"][kept].astype("int64")],
            **{name: found[name][kept] for name in ("pips", "cost_pips", "mae_pips", "mfe_pips")},
            "bars": (found["exit_bar"][kept] - decided[kept]).astype("int64"),
            "day": trading_day(begun, market.symbol.asset_class),
            "session": names,
            "year": np.asarray(begun.year, dtype="int64"),
        },
        index=kept,
    )


@dataclass(frozen=True)
class _Orders:
    """Entries decided at the close of some bars; the columns are those of `Entries`."""

    decided: Whole
    side: Whole
    stop: Floats
    target: Floats

    def where(self, rows: Whole) -> _Orders:
        return _Orders(self.decided[rows], self.side[rows], self.stop[rows], self.target[rows])


def _walk(market: _Market, orders: _Orders, terms: StudyTerms) -> dict[str, Floats]:
    """Pips and more of each order; NaN where it cannot be filled or had not ended when the bars did."""
    names = ("pips", "cost_pips", "mae_pips", "mfe_pips", "exit_bar", "exit")
    found = {name: np.full(len(orders.decided), np.nan) for name in names}
    able = np.flatnonzero((orders.decided >= 0) & (orders.decided + 1 < len(market.close)))
    rows = max(1, _PRICES_AT_ONCE // terms.horizon_bars)
    for begin in range(0, len(able), rows):
        part = able[begin : begin + rows]
        for name, values in _walk_some(market, orders.where(part), terms).items():
            found[name][part] = values
    return found


def _walk_some(market: _Market, orders: _Orders, terms: StudyTerms) -> dict[str, Floats]:
    decided, side, stop, target = orders.decided, orders.side, orders.stop, orders.target
    slip, last = terms.slippage_pips * market.symbol.pip, len(market.close) - 1
    window = decided[:, None] + 1 + np.arange(terms.horizon_bars)
    there = window <= last
    window = np.minimum(window, last)
    # Prices at which the position can be left, as gains: a short buys back at the ask and gains downwards.
    ask = np.where(side < 0, 1.0, 0.0)[:, None] * market.spread[window]
    sign = side[:, None].astype("float64")
    opened = (market.open[window] + ask) * sign
    one, other = (market.high[window] + ask) * sign, (market.low[window] + ask) * sign
    best, worst = np.where(sign > 0, one, other), np.where(sign > 0, other, one)
    del one, other
    close = (market.close[window] + ask) * sign
    spread = market.spread[decided + 1]
    # A long pays the spread where it enters, a short where it leaves; both slip.
    fill = market.open[decided + 1] * side + np.where(side > 0, spread, 0.0) + slip
    decision = market.close[decided] * side
    stop_price, target_price = (decision - stop)[:, None], (decision + target)[:, None]
    lost, won = (worst <= stop_price) & there, (best >= target_price) & there  # never at NaN
    hit = lost | won
    rows = np.arange(len(decided))
    hits = hit.any(axis=1)
    at = np.where(hits, hit.argmax(axis=1), terms.horizon_bars - 1)
    ended = hits | there[:, -1]
    is_lost = hits & lost[rows, at]
    is_won = hits & ~is_lost
    at_open = opened[rows, at]
    out = np.where(
        is_lost,
        np.minimum(at_open, stop_price[:, 0]) - slip,
        np.where(is_won, np.maximum(at_open, target_price[:, 0]), close[rows, at] - slip),
    )
    # Of the bar that ends it only the price of the exit counts: what came first within it is not known.
    before = np.arange(terms.horizon_bars) < at[:, None] + np.where(hits, 0, 1)[:, None]
    deepest = np.minimum(np.where(before, worst, np.inf).min(axis=1), out)
    highest = np.maximum(np.where(before, best, -np.inf).max(axis=1), out)
    pip = market.symbol.pip
    leaving = np.where(side < 0, market.spread[window[rows, at]], 0.0)
    cost = np.where(side > 0, spread, leaving) + slip * np.where(is_won, 1, 2)
    found = {
        "pips": (out - fill) / pip - terms.commission_pips,
        "cost_pips": cost / pip + terms.commission_pips,
        "mae_pips": np.maximum(fill - deepest, 0.0) / pip,
        "mfe_pips": np.maximum(highest - fill, 0.0) / pip,
        "exit_bar": window[rows, at].astype("float64"),
        "exit": np.where(is_lost, 2.0, np.where(is_won, 1.0, 0.0)),
    }
    return {name: np.where(ended, values, np.nan) for name, values in found.items()}


def _random(
    market: _Market, entries: Entries, rows: Whole, terms: StudyTerms, luck: np.random.Generator
) -> tuple[Floats, pd.DataFrame]:
    """As many entries as the real ones in `rows`, with their sides and distances, at random bars.

    Pips (draw × entry), and a row each with what `_chance_outcome` reads.
    """
    names = ("pips", "cost_pips", "mae_pips", "mfe_pips")
    room = len(market.close) - terms.horizon_bars  # the first bar after which the horizon is not whole any more
    if not len(rows) or room < 1:
        return np.empty((terms.controls, 0)), pd.DataFrame(columns=[*names, "bars"], dtype="float64")
    # No earlier than the first real one: indicators were warming up there for both.
    first = min(int(entries.known[rows].min()), room - 1)
    if len(rows) > _MOST_DRAWN:
        rows = luck.choice(rows, _MOST_DRAWN, replace=False)
    bars = luck.integers(first, room, size=terms.controls * len(rows))
    real = np.tile(rows, terms.controls)
    orders = _Orders(bars, entries.direction[real], entries.stop_distance[real], entries.target_distance[real])
    found = _walk(market, orders, terms)
    table = pd.DataFrame({name: found[name] for name in names}).assign(bars=found["exit_bar"] - bars)
    return found["pips"].reshape(terms.controls, len(rows)), table


def _outcome(label: str, trades: pd.DataFrame, left_out: int, terms: StudyTerms) -> Outcome:
    if trades.empty:
        nan = math.nan
        return Outcome(label, 0, left_out, 0, nan, nan, nan, nan, nan, nan, nan, nan)
    pips = trades["pips"].to_numpy()
    low, high = _interval(pips, trades["day"], terms)
    mean = {name: float(trades[name].mean()) for name in ("cost_pips", "mae_pips", "mfe_pips", "bars")}
    return Outcome(
        label=label,
        entries=len(trades),
        left_out=left_out,
        days=int(trades["day"].nunique()),
        hit_rate_pct=100 * float((pips > 0).mean()),
        expectancy_pips=float(pips.mean()),
        low=low,
        high=high,
        cost_pips=mean["cost_pips"],
        mae_pips=mean["mae_pips"],
        mfe_pips=mean["mfe_pips"],
        bars_held=mean["bars"],
    )


def _chance_outcome(draws: Floats, drawn: pd.DataFrame, terms: StudyTerms) -> Outcome:
    """Of all draws together; the interval is that of one draw's expectancy."""
    known = drawn.dropna(subset=["pips"])
    if known.empty or np.isnan(draws).all():
        nan = math.nan
        return Outcome(RANDOM, 0, 0, 0, nan, nan, nan, nan, nan, nan, nan, nan)
    tail = (1 - terms.confidence) / 2
    low, high = (float(edge) for edge in np.nanquantile(draws, [tail, 1 - tail]))
    pips = known["pips"].to_numpy(dtype="float64")
    mean = {name: float(known[name].mean()) for name in ("cost_pips", "mae_pips", "mfe_pips", "bars")}
    return Outcome(
        label=RANDOM,
        entries=len(known),
        left_out=len(drawn) - len(known),
        days=0,
        hit_rate_pct=100 * float((pips > 0).mean()),
        expectancy_pips=float(np.nanmean(draws)),
        low=low,
        high=high,
        cost_pips=mean["cost_pips"],
        mae_pips=mean["mae_pips"],
        mfe_pips=mean["mfe_pips"],
        bars_held=mean["bars"],
    )


def _interval(pips: Floats, days: pd.Series, terms: StudyTerms) -> tuple[float, float]:
    """The percentile interval of the mean when whole days are drawn again; NaN below two days."""
    codes, _ = pd.factorize(days)
    clusters = int(codes.max()) + 1 if len(codes) else 0
    if clusters < 2:
        return math.nan, math.nan
    sums = np.bincount(codes, weights=pips, minlength=clusters)
    counts = np.bincount(codes, minlength=clusters).astype("float64")
    means = np.concatenate([drawn @ sums / (drawn @ counts) for drawn in _drawn_days(clusters, terms)])
    tail = (1 - terms.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _drawn_days(clusters: int, terms: StudyTerms) -> Iterator[Floats]:
    """How often each day is drawn, a row a resample, some rows at a time."""
    luck = np.random.default_rng(terms.seed)
    rows = max(1, _DRAWS_AT_ONCE // clusters)
    shares = np.full(clusters, 1 / clusters)
    for begin in range(0, terms.resamples, rows):
        yield luck.multinomial(clusters, shares, size=min(rows, terms.resamples - begin)).astype("float64")


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The parts below each other; empty ones say nothing of types."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0].reset_index(drop=True)
