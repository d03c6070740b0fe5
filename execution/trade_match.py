"""Two tables of trades held against each other, trade by trade, with a reason for every difference.

Trades are paired one to one within a symbol and a side, by their entry times. First those whose entries agree to
the tolerance, so that a missing trade never shifts its neighbours; then, of what is left, those no further apart than
a window. Each round finds the pairs with the least total distance, of all the ways to pair: along a line that is a
sweep over both tables with two heaps, in which a later trade may take the partner of an earlier one and hand that one
back (the exchange argument of minimum-cost matching on a line), O(n log n). Where entries coincide, equal sizes,
prices and exits go together. The answer depends on the trades alone and not on the order of the rows.

Nothing here knows where a table came from: two runs, two engines, or MetaTrader's deals made into trades.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError

REQUIRED = ("entry_time", "exit_time", "side", "size", "entry_price", "exit_price", "pnl")
# In the order in which a reader asks: is it there at all, when, how much, at what price, how did it end, for how much.
REASONS = ("missing", "extra", "time", "size", "price", "exit", "pnl")
_WINDOW = pd.Timedelta(hours=1)
_SIDES = ("long", "short")
Whole = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class TradeMatch:
    """What `match_trades` found.

    `pairs`: a row a pair in the order of entries: `ours` and `theirs` (row positions in the two tables), `symbol`,
    `side`, `entry_time`, the differences theirs − ours (`entry_seconds`, `exit_seconds`, `size`, `entry_price`,
    `exit_price`, `pnl`) and `reasons`, the reasons joined by commas, empty where the two agree.
    `differences`: a row a difference: `reason` of `REASONS`, `symbol`, `side`, `entry_time`, `ours` and `theirs`
    (row positions, NA where there is none), and `words` for the reader.
    """

    pairs: pd.DataFrame
    differences: pd.DataFrame
    ours: int
    theirs: int

    @property
    def is_equal(self) -> bool:
        """Whether every trade has its partner and none differs beyond the tolerances."""
        return self.differences.empty

    @property
    def counts(self) -> dict[str, int]:
        """How many differences there are for each reason of `REASONS`."""
        found = self.differences["reason"].value_counts()
        return {reason: int(found.get(reason, 0)) for reason in REASONS}

    def sentence(self) -> str:
        """The outcome in a line."""
        if not self.ours and not self.theirs:
            return "Neither table has a trade."
        equal = int((self.pairs["reasons"] == "").sum())
        if self.is_equal:
            return f"All {equal} trades agree."
        said = {
            "missing": "only in ours",
            "extra": "only in theirs",
            "time": "entered at another time",
            "size": "of another size",
            "price": "at another price",
            "exit": "ended otherwise",
            "pnl": "with another profit only",
        }
        parts = [f"{count} {said[reason]}" for reason, count in self.counts.items() if count]
        return f"{equal} of {self.ours} trades agree with theirs ({self.theirs}): {', '.join(parts)}."


def match_trades(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    *,
    time_tolerance: pd.Timedelta,
    price_tolerance: float,
    size_tolerance: float,
    pnl_tolerance: float = 0.01,
    window: pd.Timedelta | None = None,
) -> TradeMatch:
    """Pair the trades of two tables and say where they differ by more than the tolerances.

    Both tables have the columns `REQUIRED` and may have `symbol`, which then keeps symbols apart; times are aware,
    `side` is long or short, sizes are in one unit (their sign is ignored), prices in the quote currency, `pnl` in one
    currency. An exit that is not known yet (NaT, NaN) agrees with another such only.

    `time_tolerance` holds for entries and exits, `price_tolerance` (price units) for both prices, `size_tolerance` is
    in units of `size`. `pnl_tolerance` is money; the profit is a reason of its own only where size, prices and exit
    agree and so do not explain it: give it as much as the price tolerance is worth. Trades whose entries lie further
    apart than `window` (an hour, unless `time_tolerance` is longer) are never taken for the same one.

    Raises InputError for a missing column, a time without a zone, an unknown side, or a tolerance below zero.
    """
    limits = {"price_tolerance": price_tolerance, "size_tolerance": size_tolerance, "pnl_tolerance": pnl_tolerance}
    for name, limit in limits.items():
        if not limit >= 0:
            raise InputError(f"{name}={limit!r} is no tolerance.", "Give 0 or more.")
    reach = max(time_tolerance, window if window is not None else _WINDOW)
    if pd.isna(time_tolerance) or time_tolerance < pd.Timedelta(0):
        raise InputError(f"time_tolerance={time_tolerance} is no tolerance.", "Give a length of time, 0 or more.")
    one, two = _checked(ours, "ours"), _checked(theirs, "theirs")
    pairs = _differences_of_pairs(one, two, _paired(one, two, [time_tolerance, reach]))
    for reason, differs in _reasons(pairs, time_tolerance, **limits):
        pairs["reasons"] = np.where(differs, pairs["reasons"] + reason + ",", pairs["reasons"])
    pairs["reasons"] = pairs["reasons"].str.removesuffix(",")
    return TradeMatch(pairs, _listed(one, two, pairs), len(ours), len(theirs))


def _checked(trades: pd.DataFrame, which: str) -> pd.DataFrame:
    """The columns needed, times as UTC, sizes without sign."""
    missing = [name for name in REQUIRED if name not in trades.columns]
    if missing:
        raise InputError(f"The table {which} has no column {', '.join(missing)}.", f"It needs {', '.join(REQUIRED)}.")
    found = pd.DataFrame({"side": trades["side"].astype(str).to_numpy()})
    found["symbol"] = trades["symbol"].astype(str).to_numpy() if "symbol" in trades.columns else ""
    for name in ("entry_time", "exit_time"):
        times = pd.DatetimeIndex(trades[name])
        if times.tz is None:
            if not times.isna().all():
                raise InputError(f"{name} of {which} has no time zone.", "Convert broker time to UTC first.")
            times = times.tz_localize("UTC")
        found[name] = times.tz_convert("UTC").as_unit("us")
    for name in ("size", "entry_price", "exit_price", "pnl"):
        found[name] = pd.to_numeric(trades[name]).to_numpy(dtype="float64")
    found["size"] = found["size"].abs()
    for wrong, what, cure in (
        (~found["side"].isin(_SIDES), "side", "A side is long or short."),
        (found["entry_time"].isna(), "entry_time", "Every trade needs the time of its entry."),
    ):
        if wrong.any():
            row = int(np.argmax(wrong.to_numpy()))
            raise InputError(f"{what} of row {row} of {which} is {trades[what].iloc[row]!r}.", cure)
    return found


def _paired(one: pd.DataFrame, two: pd.DataFrame, reaches: list[pd.Timedelta]) -> Whole:
    """Row positions of the pairs, a row a pair, in the order of entries."""
    both = pd.concat([one.assign(table=0, row=range(len(one))), two.assign(table=1, row=range(len(two)))])
    both["moment"] = pd.DatetimeIndex(both["entry_time"]).asi8
    # Trades entered at one moment are told apart by all else; equal ones are exchangeable.
    like = ["moment", "size", "entry_price", "exit_time", "exit_price", "pnl"]
    both = both.sort_values(["symbol", "side", *like, "table"], kind="stable", ignore_index=True)
    same = both[like].eq(both[like].shift()) | (both[like].isna() & both[like].shift().isna())
    both["rank"] = (~same.all(axis=1)).cumsum()
    both["rank"] -= both.groupby(["symbol", "side", "moment"])["rank"].transform("min")
    found = [np.empty((0, 2), dtype="int64")]
    for _, group in both.groupby(["symbol", "side"], sort=True):
        left = group
        for reach in reaches:
            at = _nearest_pairs(left, reach // pd.Timedelta(microseconds=1))
            found.append(left["row"].to_numpy()[at])
            left = left.drop(left.index[at.ravel()])
    pairs = np.concatenate(found)
    entries = pd.DatetimeIndex(one["entry_time"]).asi8[pairs[:, 0]]
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0], entries))], dtype="int64")


def _nearest_pairs(trades: pd.DataFrame, reach: int) -> Whole:
    """Positions (in ours, in theirs) of the pairs of least total distance among those within `reach` microseconds.

    A pair gains the reach and pays its distance; the sum over the pairs is the most there is. `trades` are of one
    symbol and side, sorted by moment and rank.
    """
    tables, moments, ranks = (trades[name].tolist() for name in ("table", "moment", "rank"))
    # One axis for moment and rank, on which no sum of ranks outweighs a microsecond; Python's integers hold it.
    scale = 2 * (len(trades) + 1) ** 2
    limit = reach * scale + scale // 2
    is_paired = [False] * len(trades)
    # What each table offers to later trades of the other: (price, position, whose pairing it turns over).
    offers: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]] = ([], [])
    for at, (table, moment, rank) in enumerate(zip(tables, moments, ranks, strict=True)):
        place = moment * scale + rank
        offered = offers[1 - table]
        change = place + offered[0][0] - limit if offered else 0
        if change < 0:
            turned = heapq.heappop(offered)[2]
            is_paired[at] = True
            is_paired[turned] = not is_paired[turned]
            # Whoever takes this trade later pays its distance and gets back what has just been gained.
            heapq.heappush(offers[table], (-place - change, at, turned))
        else:
            heapq.heappush(offers[table], (-place, at, at))
    paired = np.array(is_paired, dtype=bool)
    # Of the trades that have a partner, pairing them in order costs least.
    return np.column_stack([np.flatnonzero(paired & (np.array(tables) == table)) for table in (0, 1)])


def _differences_of_pairs(one: pd.DataFrame, two: pd.DataFrame, pairs: Whole) -> pd.DataFrame:
    """The table `pairs` of a TradeMatch, reasons still empty."""
    first, second = one.iloc[pairs[:, 0]].reset_index(drop=True), two.iloc[pairs[:, 1]].reset_index(drop=True)
    columns: dict[str, Any] = {"ours": pairs[:, 0], "theirs": pairs[:, 1]}
    columns |= {name: first[name] for name in ("symbol", "side", "entry_time")}
    for name in ("entry", "exit"):
        apart = second[f"{name}_time"] - first[f"{name}_time"]
        columns[f"{name}_seconds"] = apart.dt.total_seconds()
    for name in ("size", "entry_price", "exit_price", "pnl"):
        columns[name] = second[name] - first[name]
    found = pd.DataFrame(columns).assign(reasons="")
    # Unknown in both is no difference; unknown in one is one that no tolerance covers.
    for name, column in (("exit_time", "exit_seconds"), ("exit_price", "exit_price"), ("pnl", "pnl"), ("size", "size")):
        unknown = first[name].isna().astype(int) + second[name].isna().astype(int)
        found[column] = found[column].mask(unknown == 2, 0.0).mask(unknown == 1, np.inf)
    return found


def _reasons(
    pairs: pd.DataFrame,
    time_tolerance: pd.Timedelta,
    price_tolerance: float,
    size_tolerance: float,
    pnl_tolerance: float,
) -> Iterator[tuple[str, pd.Series]]:
    """Each reason a pair can have, and whether it does."""

    def beyond(column: str, limit: float) -> pd.Series:
        # A price of 1.10001 − 1.1 is a little more than a point in binary.
        return pairs[column].abs() > limit + 1e-9 * max(limit, 1e-3)

    seconds = time_tolerance.total_seconds()
    size, price = beyond("size", size_tolerance), beyond("entry_price", price_tolerance)
    exits = beyond("exit_seconds", seconds) | beyond("exit_price", price_tolerance)
    yield "time", beyond("entry_seconds", seconds)
    yield "size", size
    yield "price", price
    yield "exit", exits
    yield "pnl", beyond("pnl", pnl_tolerance) & ~(size | price | exits)


def _listed(one: pd.DataFrame, two: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The table `differences` of a TradeMatch, by the time of entry."""
    columns = ["reason", "symbol", "side", "entry_time", "ours", "theirs", "words"]
    first: list[Any] = list(one.itertuples(index=False, name="Trade"))
    second: list[Any] = list(two.itertuples(index=False, name="Trade"))
    rows: list[tuple[Any, ...]] = []
    differing = pairs.loc[pairs["reasons"] != "", ["ours", "theirs", "reasons"]]
    for at, other, reasons in differing.to_numpy().tolist():
        trade = first[at]
        rows += [
            (reason, trade.symbol, trade.side, trade.entry_time, at, other, _words(reason, trade, second[other]))
            for reason in reasons.split(",")
        ]
    for reason, trades, own in (("missing", first, "ours"), ("extra", second, "theirs")):
        for at in np.setdiff1d(np.arange(len(trades)), pairs[own]).tolist():
            trade = trades[at]
            words = f"{trade.side} {trade.size:.10g} at {trade.entry_price:.10g} is only in {own}"
            either = (at, None) if own == "ours" else (None, at)
            rows.append((reason, trade.symbol, trade.side, trade.entry_time, *either, words))
    found = pd.DataFrame(rows, columns=columns)
    found["entry_time"] = pd.to_datetime(found["entry_time"], utc=True)
    found[["ours", "theirs"]] = found[["ours", "theirs"]].astype("Int64")
    order = found["reason"].map(REASONS.index).astype("int64")
    by = [found["words"], order, found["entry_time"]]
    return found.iloc[np.lexsort([np.asarray(key) for key in by])].reset_index(drop=True)


def _words(reason: str, first: Any, second: Any) -> str:
    """One difference of a pair: ours, then theirs."""
    return f"{_said(reason, first)}, theirs {_said(reason, second)}"


def _said(reason: str, trade: Any) -> str:
    if reason == "time":
        return f"entered {_moment(trade.entry_time)}"
    if reason == "exit":
        return f"exit {_moment(trade.exit_time)} at {trade.exit_price:.10g}"
    name, what, form = {"size": ("size", "size", ".10g"), "price": ("entry_price", "entry at", ".10g")}.get(
        reason, ("pnl", "profit", ".2f")
    )
    return f"{what} {getattr(trade, name):{form}}"


def _moment(time: Any) -> str:
    return "not yet" if pd.isna(time) else f"{time:%Y-%m-%d %H:%M:%S}"
