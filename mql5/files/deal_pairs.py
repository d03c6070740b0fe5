"""MetaTrader's deals made into trades: an entry and its exit in one row, in units, with the money net of costs.

Most reports do not say which entry an exit closes. Where the file names the position it is followed. Otherwise,
of the open entries of that symbol on the other side, an exit takes the one of equal lots whose profit fits the
reported one, then the oldest; what it closes beyond the first is taken from the next. Splitting a deal shares its
money by lots, so that the sum over the trades stays that of the deals. On a netting account, whose exits are reckoned
against the average price, the profit of one such part is therefore a share and not price difference times size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

# As Sequence's own trades: `size` in units (negative: short), `commission` above 0 when paid, fees included, `swap`
# negative when paid, `pnl` net of both. Times are the server's until a clock is applied.
TRADE_COLUMNS = (
    "symbol",
    "side",
    "size",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "pnl",
    "commission",
    "swap",
    "tag",
    "exit_tag",
)
_EPSILON = 1e-9  # lots
UnitsPerLot = Callable[[str], float]


@dataclass
class _Entry:
    """What is still open of an entry: money is for `lots`, of which `left` are not closed."""

    deal: Any
    lots: float
    left: float
    commission: float
    swap: float


def pair_deals(
    deals: pd.DataFrame, units: UnitsPerLot, currencies: Callable[[str], bool]
) -> tuple[pd.DataFrame, list[str]]:
    """Trades in the order of their entries, and what could not be paired, in words.

    `units` gives the units in one lot of a symbol, `currencies` says whether its quotes are in the account's currency,
    in which case a profit can be foretold. An entry that is still open has no exit (NaT, NaN).
    """
    pairing = _Pairing(units, currencies)
    traded = deals[deals["type"].isin(["buy", "sell"])].sort_values(["time", "deal"], kind="stable")
    for deal in traded.itertuples(index=False):
        pairing.take(deal)
    return pairing.trades(), pairing.problems()


class _Pairing:
    """The state of going through the deals once."""

    def __init__(self, units: UnitsPerLot, currencies: Callable[[str], bool]) -> None:
        self.units = units
        self.currencies = currencies
        self.open: dict[tuple[str, str], list[_Entry]] = {}
        self.rows: list[tuple[Any, ...]] = []
        self.unopened: list[int] = []

    def take(self, deal: Any) -> None:
        """An entry opens, an exit closes, a reversal does one after the other."""
        if deal.direction == "in":
            self._open(deal, deal.lots)
            return
        left = self._close(deal)
        if left > _EPSILON:
            if deal.direction == "in/out":
                self._open(deal, left)
            else:
                self.unopened.append(deal.deal)

    def trades(self) -> pd.DataFrame:
        """All trades, those still open with them."""
        rows = list(self.rows)
        for (_, side), entries in self.open.items():
            rows += [self._row(entry, side, None, entry.left) for entry in entries]
        trades = pd.DataFrame(rows, columns=list(TRADE_COLUMNS))
        for name in ("entry_time", "exit_time"):
            trades[name] = pd.to_datetime(trades[name]).astype("datetime64[us]")
        return trades.sort_values(["entry_time", "exit_time"], kind="stable", ignore_index=True)

    def problems(self) -> list[str]:
        if not self.unopened:
            return []
        return [
            f"{len(self.unopened)} deals close what the file does not open (the first is deal {self.unopened[0]}); "
            "what they close beyond it is no trade here."
        ]

    def _open(self, deal: Any, lots: float) -> None:
        part = lots / deal.lots
        side = "long" if deal.type == "buy" else "short"
        entry = _Entry(deal, lots, lots, -(deal.commission + deal.fee) * part, 0.0 if part < 1 else deal.swap)
        self.open.setdefault((deal.symbol, side), []).append(entry)

    def _close(self, deal: Any) -> float:
        """Close what `deal` closes; the lots for which nothing was open."""
        side = "long" if deal.type == "sell" else "short"
        entries = self.open.get((deal.symbol, side), [])
        taken: list[tuple[_Entry, float]] = []
        left = deal.lots
        while left > _EPSILON and entries:
            entry = self._choose(entries, deal, left, side)
            lots = min(left, entry.left)
            taken.append((entry, lots))
            left -= lots
            entry.left -= lots
            if entry.left <= _EPSILON:
                entries.remove(entry)
        closed = sum(lots for _, lots in taken)
        self.rows += [self._row(entry, side, deal, lots, closed) for entry, lots in taken]
        return float(left)

    def _choose(self, entries: list[_Entry], deal: Any, lots: float, side: str) -> _Entry:
        if len(entries) == 1:
            return entries[0]
        if deal.position and (named := [entry for entry in entries if entry.deal.position == deal.position]):
            return named[0]
        equal = [entry for entry in entries if abs(entry.left - lots) <= _EPSILON]
        if len(equal) > 1 and self.currencies(deal.symbol):
            sign, units = (1.0 if side == "long" else -1.0), self.units(deal.symbol) * lots
            return min(equal, key=lambda entry: abs(sign * (deal.price - entry.deal.price) * units - deal.profit))
        return (equal or entries)[0]

    def _row(self, entry: _Entry, side: str, deal: Any, lots: float, closed: float = 1.0) -> tuple[Any, ...]:
        """One trade: `lots` of an entry and of the exit `deal`, which closed `closed` of its own lots in all."""
        first = entry.deal
        size = lots * self.units(first.symbol) * (1.0 if side == "long" else -1.0)
        commission, swap = (money * (lots / entry.lots) for money in (entry.commission, entry.swap))
        head = (first.symbol, side, size, first.time)
        if deal is None:
            return (*head, pd.NaT, first.price, math.nan, math.nan, commission, swap, first.comment, "")
        # Commission is paid on all lots of a deal, profit and swap are made by those it closes.
        commission -= (deal.commission + deal.fee) * (lots / deal.lots)
        share = lots / closed
        swap += deal.swap * share
        pnl = deal.profit * share - commission + swap
        return (*head, deal.time, first.price, deal.price, pnl, commission, swap, first.comment, deal.comment)


def trades_of_positions(positions: pd.DataFrame, units: UnitsPerLot) -> pd.DataFrame:
    """The closed positions of a history as trades in the order of their entries."""
    side = positions["type"].map({"buy": "long", "sell": "short"})
    sign = positions["type"].map({"buy": 1.0, "sell": -1.0}).astype("float64")
    per_lot = positions["symbol"].map(units).astype("float64")
    paid = -(positions["commission"] + positions["fee"])
    trades = pd.DataFrame(
        {
            "symbol": positions["symbol"],
            "side": side,
            "size": positions["lots"] * per_lot * sign,
            "entry_time": positions["entry_time"],
            "exit_time": positions["exit_time"],
            "entry_price": positions["entry_price"],
            "exit_price": positions["exit_price"],
            "pnl": positions["profit"] - paid + positions["swap"],
            "commission": paid,
            "swap": positions["swap"],
            "tag": "",
            "exit_tag": "",
        }
    )
    return trades.sort_values(["entry_time", "exit_time"], kind="stable", ignore_index=True)
