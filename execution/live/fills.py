"""What a terminal did, as trades: its deals paired by position, in the columns that `execution.trade_match` takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from market.symbols import canonical_symbol, symbol_of
from mql5.files.deal_pairs import TRADE_COLUMNS, pair_deals
from mql5.files.report_content import deals_frame

Deal = Mapping[str, Any]
# Beside those of `deal_pairs`: tickets of the position and of the deals, why the terminal closed (`sl`, `tp`, `so`,
# `expert`, `client` …, empty while it is open), and the signals that the deals name, where they do.
FILL_COLUMNS = (
    *(name for name in TRADE_COLUMNS if name not in {"tag", "exit_tag"}),
    "position",
    "entry_deal",
    "exit_deal",
    "exit_reason",
    "entry_signal",
    "exit_signal",
    "parts",
)
_DIRECTIONS = {"in": "in", "out": "out", "inout": "in/out", "out_by": "out by"}
_SIGNAL = re.compile(r"\bsig:(\d{1,15})(?!\d)")
_WORDS = ("position", "entry_deal", "exit_deal", "entry_signal", "exit_signal", "parts")


def trades_of_deals(deals: Iterable[Deal], symbol: str) -> pd.DataFrame:
    """The trades of one symbol that a terminal's deals make, in the order of their entries, with `FILL_COLUMNS`.

    A row is a position's way in one direction: what was filled or closed in several `parts` is one trade at the mean
    price by volume, ended when its last part was; it is open (NaT, NaN, empty `exit_reason`) while a part is. `size`
    is in units (negative: short), times are aware UTC, `pnl` is account money net of commission and swap.
    """
    return _joined(parts_of_deals(deals, symbol))


def parts_of_deals(deals: Iterable[Deal], symbol: str) -> pd.DataFrame:
    """The same, a row an entry and exit deal that belong together; over these rows money sums to that of the deals."""
    found, _ = _parts(deals, symbol)
    return found


def unpaired_deals(deals: Iterable[Deal], symbol: str) -> list[str]:
    """What is to be said of deals that close what none of them opened; such exits are in no trade."""
    _, problems = _parts(deals, symbol)
    return problems


def signal_of(comment: str | None) -> int | None:
    """The id of the signal that a comment `sig:<id>` names; brokers add words of their own around it."""
    found = _SIGNAL.search(comment or "")
    return int(found[1]) if found else None


def _parts(deals: Iterable[Deal], symbol: str) -> tuple[pd.DataFrame, list[str]]:
    name = canonical_symbol(symbol)
    own = {deal["deal"]: deal for deal in deals if canonical_symbol(deal["symbol"]) == name}
    units = symbol_of(name).contract_size
    trades, unopened = pair_deals(_frame(own.values()), lambda _: units, lambda _: False)
    found = _named(trades, own).assign(symbol=name)
    if unopened:
        alone = sorted({*own} - {*found["entry_deal"], *found["exit_deal"].dropna()})
        said = ", ".join(map(str, alone[:5])) + (" …" if len(alone) > 5 else "")
        unopened = [f"Closed without an opening that a deal tells, and so no trade: {said or 'a part of a deal'}."]
    return found.sort_values(["entry_time", "exit_time", "entry_deal"], kind="stable", ignore_index=True), unopened


def _frame(given: Iterable[Deal]) -> pd.DataFrame:
    """Deals as `pair_deals` takes them.

    In place of the comment stands the ticket, by which they are found again, and in place of the symbol the
    position: what has a symbol of its own is closed by nobody else's deals.
    """
    deals = list(given)
    columns: dict[str, list[Any]] = {
        "deal": [deal["deal"] for deal in deals],
        "symbol": [str(deal["position"] or 0) for deal in deals],
        "type": [deal["side"] for deal in deals],
        "direction": [_DIRECTIONS[deal["entry"]] for deal in deals],
        "lots": [deal["volume"] for deal in deals],
        "price": [deal["price"] for deal in deals],
        "order": [deal["order"] or 0 for deal in deals],
        "position": [deal["position"] or 0 for deal in deals],
        **{name: [deal[name] or 0.0 for deal in deals] for name in ("commission", "swap", "profit")},
        "comment": [str(deal["deal"]) for deal in deals],
    }
    return deals_frame(columns, pd.DatetimeIndex(pd.to_datetime([deal["time_ms"] for deal in deals], unit="ms")))


def _named(trades: pd.DataFrame, deals: Mapping[int, Deal]) -> pd.DataFrame:
    """Paired rows with what is known of the two deals that their tags name."""
    entries = [deals[int(tag)] for tag in trades["tag"]]
    exits = [deals[int(tag)] if tag else None for tag in trades["exit_tag"]]
    columns: dict[str, list[Any]] = {
        "position": [int(deal["position"] or 0) for deal in entries],
        "entry_deal": [deal["deal"] for deal in entries],
        "exit_deal": [deal["deal"] if deal else None for deal in exits],
        "exit_reason": [str(deal["reason"] or "") if deal else "" for deal in exits],
        "entry_signal": [signal_of(deal["comment"]) for deal in entries],
        "exit_signal": [signal_of(deal["comment"]) if deal else None for deal in exits],
        "parts": [1] * len(trades),
    }
    found = pd.concat([trades, pd.DataFrame(columns, index=trades.index, dtype=object)], axis=1)
    for name in ("entry_time", "exit_time"):
        found[name] = pd.DatetimeIndex(found[name]).tz_localize("UTC").as_unit("us")
    return _typed(found)


def _typed(found: pd.DataFrame) -> pd.DataFrame:
    numbers = ("size", "entry_price", "exit_price", "pnl", "commission", "swap")
    kinds: dict[str, str] = {**dict.fromkeys(numbers, "float64"), **dict.fromkeys(_WORDS, "Int64")}
    typed: pd.DataFrame = found.astype({**kinds, "exit_reason": object, "side": object, "symbol": object})[
        list(FILL_COLUMNS)
    ]
    typed[list(numbers)] += 0.0  # no −0
    return typed


def _joined(parts: pd.DataFrame) -> pd.DataFrame:
    """A row a position and direction. On a netting account a reversed position keeps its ticket and turns its side."""
    if parts.empty:
        return parts
    ordered = parts.sort_values(["position", "side", "entry_time", "exit_time"], kind="stable")
    legs: list[int] = []
    before: tuple[Any, ...] | None = None
    until: pd.Timestamp | None = None
    for position, side, entered, left in ordered[["position", "side", "entry_time", "exit_time"]].itertuples(
        index=False
    ):
        is_over = until is not None and entered >= until
        # A position without a ticket is nobody's part.
        if before != (position, side) or is_over or not position:
            legs.append(len(legs))
            until = None
        else:
            legs.append(legs[-1])
        before = (position, side)
        ends = pd.Timestamp.max.tz_localize("UTC") if pd.isna(left) else left
        until = ends if until is None else max(until, ends)
    leg = np.array(legs)
    is_part = np.bincount(leg)[leg] > 1
    rows = [_one(group) for _, group in ordered[is_part].groupby(leg[is_part], sort=False)]
    found: pd.DataFrame = ordered[~is_part]
    if rows:
        found = pd.concat([found, _typed(pd.DataFrame(rows).assign(**_times(rows)))], ignore_index=True)
    return found.sort_values(["entry_time", "exit_time", "entry_deal"], kind="stable", ignore_index=True)


def _times(rows: list[dict[str, Any]]) -> dict[str, pd.DatetimeIndex]:
    return {
        name: pd.DatetimeIndex(pd.to_datetime([row[name] for row in rows], utc=True)).as_unit("us")
        for name in ("entry_time", "exit_time")
    }


def _one(group: pd.DataFrame) -> dict[str, Any]:
    """The rows of one leg as one trade."""
    first = group.sort_values(["entry_time", "entry_deal"], kind="stable").iloc[0]
    weights = group["size"].abs()
    is_open = bool(group["exit_time"].isna().any())
    last = group.sort_values(["exit_time", "exit_deal"], kind="stable").iloc[-1]
    row = {
        **dict(first),
        **{name: group[name].sum() for name in ("size", "commission", "swap")},
        "entry_price": float((group["entry_price"] * weights).sum() / weights.sum()),
        "parts": len(group),
    }
    if is_open:
        nothing = {"exit_time": pd.NaT, "exit_price": np.nan, "pnl": np.nan, "exit_reason": ""}
        return {**row, **nothing, "exit_deal": None, "exit_signal": None}
    return {
        **row,
        **{name: last[name] for name in ("exit_time", "exit_deal", "exit_reason", "exit_signal")},
        "exit_price": float((group["exit_price"] * weights).sum() / weights.sum()),
        "pnl": group["pnl"].sum(),
    }
