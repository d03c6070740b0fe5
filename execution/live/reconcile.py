"""A deployment held against its backtest, trade by trade: what differs, why, and what it cost in pips.

Trades are paired by the bar that decided them, where a decision is known, and else by `execution.trade_match`. A pair
agrees when it differs in nothing beyond the tolerances. Costs are pips at the size of the backtest, positive where the
live trade was worse: its result in the backtest minus its result live, in which a trade that is missing made nothing.
While one of the two is open, only the entry counts. Nothing here reads a database.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from execution.live import causes
from execution.live.causes import EXITS, LEVELS, Records
from execution.live.decisions import Decision
from execution.trade_match import match_trades
from market.calendar import trading_day
from market.symbols import Symbol, symbol_of
from market.timeframes import parse_timeframe

MISSING, EXTRA, LATER, RESIZED, DEARER, ENDED = (
    "missing", "extra", "later", "different size", "dearer", "ended otherwise",
)  # fmt: skip
# In the order in which a reader asks: is it there, when, how much, at what price, how did it end.
KINDS = (MISSING, EXTRA, LATER, RESIZED, DEARER, ENDED)
AGREES = "agrees"
# A row a trade of either side; `expected_` is the backtest, `traded_` the terminal. Seconds are live − backtest.
TABLE_COLUMNS = (
    "entry_time", "side", "outcome", "cost_pips", "reason",
    "expected_entry_time", "traded_entry_time", "entry_seconds",
    "expected_lots", "traded_lots",
    "expected_entry_price", "traded_entry_price",
    "expected_exit_time", "traded_exit_time", "exit_seconds",
    "expected_exit_price", "traded_exit_price",
    "expected_exit", "traded_exit",
    "expected_pips", "traded_pips",
    "decided_on", "signal", "position", "commission", "swap",
)  # fmt: skip
DIFFERENCE_COLUMNS = ("kind", "entry_time", "side", "cost_pips", "what", "reason")
# Pairs that share their deciding bar are one trade, however late it was filled.
_SAME_DECISION = pd.Timedelta(days=7)
_TIMES = (
    "entry_time",
    "expected_entry_time",
    "traded_entry_time",
    "expected_exit_time",
    "traded_exit_time",
    "decided_on",
)
_WORDS = ("side", "outcome", "reason", "expected_exit", "traded_exit")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tolerances:
    """Within which a trade agrees: a fill so many seconds after the bar's open, so many pips from its price.

    Bars close some seconds after their last tick, and a terminal asks once a second or two.
    """

    seconds: float = 10.0
    pips: float = 0.1


@dataclass(frozen=True)
class Reconciliation:
    """What came of it. `table` has a row a trade (`TABLE_COLUMNS`), `differences` a row each (`DIFFERENCE_COLUMNS`).

    `day` is the trading day, None for all there is; `is_over` is false while that day goes on. `notes` are
    sentences on what could not be compared.
    """

    symbol: str
    timeframe: str
    table: pd.DataFrame
    differences: pd.DataFrame
    day: str | None = None
    is_over: bool = True
    notes: tuple[str, ...] = ()

    @property
    def expected(self) -> int:
        """How many trades the backtest made."""
        return int(self.table["expected_entry_time"].notna().sum())

    @property
    def traded(self) -> int:
        """How many trades the terminal made."""
        return int(self.table["traded_entry_time"].notna().sum())

    @property
    def agreeing(self) -> int:
        """How many trades agree."""
        return int((self.table["outcome"] == AGREES).sum())

    @property
    def score(self) -> float | None:
        """The share of the trades that agree, of those of the side that made more; None where neither made any."""
        most = max(self.expected, self.traded)
        return self.agreeing / most if most else None

    @property
    def cost_pips(self) -> float:
        """By how many pips the live trades were worse."""
        return float(self.table["cost_pips"].sum())

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many differences there are of each kind."""
        found = self.differences["kind"].value_counts()
        return {kind: int(found.get(kind, 0)) for kind in KINDS}

    def sentence(self) -> str:
        """The outcome in a line."""
        score = self.score
        open_end = "" if self.is_over else " The day is not over."
        if score is None:
            return f"No trade was expected and none was made.{open_end}"
        parts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items() if count)
        cost = self.cost_pips
        apart = (
            f"{abs(cost):.1f} pips {'less' if cost > 0 else 'more'} than" if abs(cost) >= 0.05 else "the same pips as"
        )
        agree = f"{self.agreeing} of {max(self.expected, self.traded)} trades agree ({100 * score:.0f} %)"
        return f"{agree}{f'; {parts}' if parts else ''}. Live made {apart} the backtest.{open_end}"

    def days(self) -> list[str]:
        """The trading days on which a trade was entered, in their order."""
        return sorted(set(_days(self.table["entry_time"], symbol_of(self.symbol))))

    def of_day(self, day: str, *, is_over: bool = True) -> Reconciliation:
        """The part of one trading day: the trades that were, or should have been, entered in it."""

        def within(frame: pd.DataFrame) -> pd.DataFrame:
            days = np.array(_days(frame["entry_time"], symbol_of(self.symbol)), dtype=object)
            part: pd.DataFrame = frame[days == day].reset_index(drop=True)
            return part

        return replace(self, table=within(self.table), differences=within(self.differences), day=day, is_over=is_over)


def reconcile(
    expected: pd.DataFrame,
    traded: pd.DataFrame,
    decisions: Iterable[Decision] = (),
    *,
    symbol: str,
    timeframe: str,
    signals: Iterable[Row] = (),
    silent: Collection[pd.Timestamp] = (),
    tolerances: Tolerances | None = None,
) -> Reconciliation:
    """Hold the trades of a terminal against those of the backtest of the same hours.

    Both tables have the columns that `match_trades` requires, sizes in units. Of a backtest `exit_reason`,
    `spread_pips`, `entry_decided` and `exit_decided` are read where they are there; of a terminal those of
    `execution.live.fills`, and `entry_bid`, `entry_ask`, `exit_bid`, `exit_ask`, the quotes just before its fills.
    `decisions` and `signals` (rows of the bridge with their `history`) give the reasons, `silent` are the opens of
    bars in which no tick came. Raises InputError for a table that `match_trades` refuses.
    """
    known, length = symbol_of(symbol), parse_timeframe(timeframe)
    # The door of both tables: past it nobody looks for a column again.
    match_trades(expected, traded, time_tolerance=pd.Timedelta(0), price_tolerance=0.0, size_tolerance=0.0)
    records = Records.of(known, length, decisions, signals, silent)
    work = _Work(expected, traded, records, tolerances or Tolerances())
    rows, differences = work.rows()
    table = _frame(rows, TABLE_COLUMNS, _TIMES, _WORDS).sort_values(
        ["entry_time", "side", "outcome"], kind="stable", ignore_index=True
    )
    listed = _frame(differences, DIFFERENCE_COLUMNS, ("entry_time",), ("kind", "side", "what", "reason"))
    return Reconciliation(
        known.name, str(length), table, listed.sort_values("entry_time", kind="stable", ignore_index=True)
    )


class _Work:
    """Both tables on their way to rows and differences."""

    def __init__(self, expected: pd.DataFrame, traded: pd.DataFrame, records: Records, tolerances: Tolerances) -> None:
        self.records, self.tolerances = records, tolerances
        self.symbol: Symbol = records.symbol
        self.length = records.timeframe.delta
        self.tables = (expected.reset_index(drop=True), traded.reset_index(drop=True))
        self.ours, self.theirs = _records(self.tables[0]), _records(self.tables[1])

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of the table, and of the differences."""
        pairs = self._pairs()
        alone = sorted(set(range(len(self.ours))) - {one for one, _ in pairs})
        beside = sorted(set(range(len(self.theirs))) - {two for _, two in pairs})
        opened = {self.records.entry_signal(self.theirs[two]) for _, two in pairs}
        rows: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        for one, two in pairs:
            self._add(rows, differences, self.ours[one], self.theirs[two], list(self._of_pair(one, two)))
        for one in alone:
            ours = self.ours[one]
            reason = causes.why_missing(self.records, self._bar(ours), _side(ours))
            what = f"{_named(ours, self.symbol)} was not traded"
            self._add(rows, differences, ours, None, [(MISSING, self._result(ours), what, reason)])
        for two in beside:
            theirs = self.theirs[two]
            signal = self.records.entry_signal(theirs)
            reason = causes.why_extra(self.records, theirs, is_second=signal is not None and signal in opened)
            opened.add(signal)
            what = f"{_named(theirs, self.symbol)} is not in the backtest"
            self._add(rows, differences, None, theirs, [(EXTRA, -self._result(theirs), what, reason)])
        return rows, differences

    # Pairing

    def _pairs(self) -> list[tuple[int, int]]:
        """Which rows are one trade: first by the bar that decided them, then by the time of entry."""
        ours = [self._bar(trade) for trade in self.ours]
        theirs = [self._bar_of_signal(trade) for trade in self.theirs]
        shared = set(ours) & {bar for bar in theirs if bar is not None}
        one = [row for row, bar in enumerate(ours) if bar in shared]
        two = [row for row, bar in enumerate(theirs) if bar in shared]
        bars = ([str(ours[row]) for row in one], [str(theirs[row]) for row in two])
        found = self._matched((one, two), bars, _SAME_DECISION)
        left = sorted(set(range(len(ours))) - {pair[0] for pair in found})
        beside = sorted(set(range(len(theirs))) - {pair[1] for pair in found})
        nothing = ([""] * len(left), [""] * len(beside))
        return sorted([*found, *self._matched((left, beside), nothing, 2 * self.length)])

    def _matched(
        self, rows: tuple[list[int], list[int]], keys: tuple[list[str], list[str]], window: pd.Timedelta
    ) -> list[tuple[int, int]]:
        """The pairs among `rows` of the two tables; those with other keys are never one trade."""
        one, two = rows
        if not one or not two:
            return []
        match = match_trades(
            self.tables[0].iloc[one].assign(symbol=keys[0]),
            self.tables[1].iloc[two].assign(symbol=keys[1]),
            time_tolerance=pd.Timedelta(seconds=self.tolerances.seconds),
            price_tolerance=self.tolerances.pips * self.symbol.pip,
            size_tolerance=self._half_step,
            pnl_tolerance=math.inf,
            window=window,
        )
        return [(one[a], two[b]) for a, b in match.pairs[["ours", "theirs"]].itertuples(index=False)]

    def _bar(self, trade: Row) -> pd.Timestamp:
        """The open of the bar at whose close the backtest decided a trade."""
        decided = trade.get("entry_decided")
        return pd.Timestamp(trade["entry_time"] - self.length if decided is None or pd.isna(decided) else decided)

    def _bar_of_signal(self, trade: Row) -> pd.Timestamp | None:
        decision = self.records.by_signal.get(self.records.entry_signal(trade) or 0)
        return None if decision is None else causes.bar_of(decision)

    @property
    def _half_step(self) -> float:
        return self.symbol.lot_step * self.symbol.contract_size / 2

    # What differs within a pair

    def _of_pair(self, one: int, two: int) -> Iterator[tuple[str, float, str, str]]:
        """The differences of a pair: kind, cost, what it is, and why."""
        ours, theirs, side = self.ours[one], self.theirs[two], _side(self.ours[one])
        signal = self.records.entry_signal(theirs)
        decision = self.records.by_signal.get(signal or 0)
        ratio = self._ratio(ours, theirs)
        entry = ratio * side * (theirs["entry_price"] - ours["entry_price"]) / self.symbol.pip
        seconds = (theirs["entry_time"] - ours["entry_time"]).total_seconds()
        is_dear = abs(entry) > self._pips_beyond * ratio
        if abs(seconds) > self.tolerances.seconds:
            why = causes.why_later(self.records, decision, signal, ours["entry_time"], theirs["entry_time"])
            what = f"entered {abs(seconds):.1f} s {'later' if seconds > 0 else 'earlier'}"
            yield LATER, 0.0 if is_dear else entry, what, why
        if abs(abs(theirs["size"]) - abs(ours["size"])) > self._half_step * (1 + 1e-9):
            lots = abs(theirs["size"]) / self.symbol.contract_size
            what = f"{lots:g} lots for {abs(ours['size']) / self.symbol.contract_size:g}"
            why = causes.why_resized(self.records, decision, signal, lots)
            # Of trades that are open nobody knows yet what the rest would have made.
            cost = (1 - ratio) * self._result(ours) if self._both_closed(ours, theirs) else math.nan
            yield RESIZED, cost, what, why
        if is_dear:
            why = causes.why_dearer(self.records, "entry", ours, theirs)
            yield DEARER, entry, f"entered {_pips_words(entry / ratio)}", why
        yield from self._of_exit(ours, theirs, ratio)

    def _of_exit(self, ours: Row, theirs: Row, ratio: float) -> Iterator[tuple[str, float, str, str]]:
        side, kinds = _side(ours), (self._exit(ours), self._exit(theirs))
        left = (ours["exit_time"], theirs["exit_time"])
        if pd.isna(left[0]) and pd.isna(left[1]):
            return
        cost = math.nan
        if self._both_closed(ours, theirs):
            cost = ratio * side * (ours["exit_price"] - theirs["exit_price"]) / self.symbol.pip
        if self._ended_otherwise(left, kinds):
            what = f"backtest: {_ended(left[0], kinds[0])}; terminal: {_ended(left[1], kinds[1])}"
            yield ENDED, cost, what, causes.why_ended(self.records, ours, theirs, kinds)
            return
        seconds = (left[1] - left[0]).total_seconds()
        is_dear = abs(cost) > self._pips_beyond * ratio
        if kinds[1] not in LEVELS and seconds > self.tolerances.seconds:
            signal = self.records.exit_signal(theirs)
            why = causes.why_later(self.records, self.records.by_signal.get(signal or 0), signal, *left)
            yield LATER, 0.0 if is_dear else cost, f"left {seconds:.1f} s later", why
        if is_dear:
            level = kinds[1] if kinds[1] in LEVELS else ""
            why = causes.why_dearer(self.records, "exit", ours, theirs, level)
            yield DEARER, cost, f"left {_pips_words(cost / ratio)}", why

    def _ended_otherwise(self, left: tuple[Any, Any], kinds: tuple[str, str]) -> bool:
        """Whether the two exits are not one: by another kind, or not within the bar in which the backtest left."""
        if pd.isna(left[0]) or pd.isna(left[1]) or (all(kinds) and kinds[0] != kinds[1]):
            return True
        seconds, bar = (left[1] - left[0]).total_seconds(), self.length.total_seconds()
        return not -self.tolerances.seconds <= seconds <= bar + self.tolerances.seconds

    @property
    def _pips_beyond(self) -> float:
        # A price of 1.10001 − 1.1 is a little more than a point in binary.
        return self.tolerances.pips + 1e-7

    def _exit(self, trade: Row) -> str:
        """How a trade ended, in one word for both tables; empty while it is open or where that is not told."""
        said = trade.get("exit_reason")
        return "" if not isinstance(said, str) or pd.isna(trade["exit_time"]) else EXITS.get(said, said)

    # Costs

    def _result(self, trade: Row) -> float:
        """The pips a trade made; NaN while it is open."""
        return float(_side(trade) * (trade["exit_price"] - trade["entry_price"]) / self.symbol.pip)

    def _ratio(self, ours: Row, theirs: Row) -> float:
        return abs(theirs["size"]) / abs(ours["size"]) if ours["size"] else 1.0

    def _both_closed(self, ours: Row, theirs: Row) -> bool:
        return not (pd.isna(ours["exit_time"]) or pd.isna(theirs["exit_time"]))

    def _cost(self, ours: Row | None, theirs: Row | None) -> float:
        """What a trade cost in all, at the size of the backtest's; of a trade that is open only what is known."""
        if theirs is None:
            return self._result(ours) if ours is not None else math.nan
        if ours is None:
            return -self._result(theirs)
        ratio = self._ratio(ours, theirs)
        if not self._both_closed(ours, theirs):
            return ratio * _side(ours) * float(theirs["entry_price"] - ours["entry_price"]) / self.symbol.pip
        return self._result(ours) - ratio * self._result(theirs)

    # Rows

    def _add(
        self,
        rows: list[dict[str, Any]],
        differences: list[dict[str, Any]],
        ours: Row | None,
        theirs: Row | None,
        found: list[tuple[str, float, str, str]],
    ) -> None:
        either: Any = ours if ours is not None else theirs
        head = {"entry_time": either["entry_time"], "side": either["side"]}
        kinds = list(dict.fromkeys(kind for kind, *_ in found))
        rows.append(
            {
                **head,
                "outcome": ", ".join(kinds) or AGREES,
                "cost_pips": self._cost(ours, theirs),
                "reason": "; ".join(f"{what}: {why}" if why else what for _, _, what, why in found),
                **self._columns("expected", ours),
                **self._columns("traded", theirs),
                **self._both(ours, theirs),
            }
        )
        differences += [
            {**head, "kind": kind, "cost_pips": cost, "what": what, "reason": why} for kind, cost, what, why in found
        ]

    def _columns(self, which: str, trade: Row | None) -> dict[str, Any]:
        if trade is None:
            return {}
        figures = {name: trade[name] for name in ("entry_time", "exit_time", "entry_price", "exit_price")}
        lots = abs(trade["size"]) / self.symbol.contract_size
        said = {**figures, "lots": lots, "exit": self._exit(trade), "pips": self._result(trade)}
        return {f"{which}_{name}": value for name, value in said.items()}

    def _both(self, ours: Row | None, theirs: Row | None) -> dict[str, Any]:
        found: dict[str, Any] = {"decided_on": self._bar(ours) if ours is not None else None}
        if theirs is not None:
            found |= {name: theirs.get(name) for name in ("position", "commission", "swap")}
            found["signal"] = self.records.entry_signal(theirs)
            if ours is None:
                found["decided_on"] = self._bar_of_signal(theirs)
        if ours is not None and theirs is not None:
            for name in ("entry", "exit"):
                found[f"{name}_seconds"] = (theirs[f"{name}_time"] - ours[f"{name}_time"]).total_seconds()
        return found


def _frame(
    rows: list[dict[str, Any]], columns: tuple[str, ...], times: tuple[str, ...], words: tuple[str, ...]
) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=list(columns), dtype=object)
    for name in columns:
        if name in times:
            found[name] = pd.DatetimeIndex(pd.to_datetime(found[name], utc=True)).as_unit("us")
        elif name in {"signal", "position"}:
            found[name] = found[name].astype("Int64")
        elif name not in words:
            found[name] = pd.to_numeric(found[name]).astype("float64")
        else:
            found[name] = found[name].fillna("")
    return found


def _records(table: pd.DataFrame) -> list[Row]:
    """A mapping a row."""
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _days(times: pd.Series, symbol: Symbol) -> list[str]:
    """The trading day of each time."""
    return list(trading_day(pd.DatetimeIndex(times), symbol.asset_class).strftime("%Y-%m-%d"))


def _side(trade: Row) -> int:
    return 1 if trade["side"] == "long" else -1


def _named(trade: Row, symbol: Symbol) -> str:
    lots = abs(trade["size"]) / symbol.contract_size
    return f"{trade['side']} {lots:g} lots at {trade['entry_price']:.10g}"


def _ended(time: Any, kind: str) -> str:
    return "still open" if pd.isna(time) else f"{kind or 'left'} {time:%Y-%m-%d %H:%M:%S}"


def _pips_words(cost: float) -> str:
    return f"{abs(cost):.1f} pips {'dearer' if cost > 0 else 'better'}"
