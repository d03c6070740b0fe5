"""Trades that a terminal never reported, taken from the history of its account where a person imported one.

MetaTrader's history lists closed positions without magic number and comment. One of them is taken for a trade of ours
only where a signal of ours was executed with the same side, lots and price, within a minute of its opening; it stands
in for a deal that is lacking, and never beside one that was reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from core.clock import parse_utc
from core.errors import InputError
from execution.live.fills import FILL_COLUMNS
from market.symbols import Symbol, canonical_symbol, symbol_of
from mql5.bridge.imports import ImportStore
from mql5.bridge.report_rows import trades_of_row
from mql5.bridge.terminals import TerminalStore
from mql5.files.clock import ServerClock, learn_clock

_APART = pd.Timedelta(minutes=1)
_EXIT = ("exit_time", "exit_price", "pnl", "commission", "swap")
_SIDES = {"BUY": "long", "SELL": "short"}


def imported_trades(client: str, symbol: str) -> pd.DataFrame:
    """The closed positions of a symbol in the imported histories of a terminal's account; empty where there are none.

    Their times are the server's; its clock is learnt of the offset that the terminal reported last.
    """
    terminal = TerminalStore().one(client)
    if terminal is None or not terminal["login"] or terminal["tz_offset_seconds"] is None:
        return pd.DataFrame()
    try:
        clock = learn_clock([(parse_utc(terminal["beat_at"]), terminal["tz_offset_seconds"])]).clock
    except InputError:  # no offset that a clock can have
        return pd.DataFrame()
    store = ImportStore()
    histories = [store.one(row["id"]) for row in store.listed() if row["kind"] == "history"]
    tables = [_of_symbol(row, clock, symbol) for row in histories if row and _is_account(row, terminal["login"])]
    found = [table for table in tables if not table.empty]
    return pd.concat(found, ignore_index=True).drop_duplicates(ignore_index=True) if found else pd.DataFrame()


def with_history(
    trades: pd.DataFrame, history: pd.DataFrame, signals: Iterable[Mapping[str, Any]], symbol: str
) -> tuple[pd.DataFrame, int]:
    """`trades` (`FILL_COLUMNS`) with what only `history` tells, and how many trades that concerns.

    An entry that a signal executed and no deal reports is added; a trade that is open here and closed there is closed.
    How a position ended a history does not tell: `exit_reason` stays empty.
    """
    if history.empty:
        return trades, 0
    known, used = symbol_of(symbol), 0
    taken: set[int] = set()
    found = trades.copy()
    for row, trade in found[found["exit_time"].isna()].iterrows():
        place = _place(
            history, taken, known, (trade["side"], abs(trade["size"]), trade["entry_price"], trade["entry_time"])
        )
        if place is not None:
            found.loc[row, list(_EXIT)] = history.loc[place, list(_EXIT)].to_numpy()
            used += 1
    reported = {*trades["entry_signal"].dropna()}, {*trades["entry_deal"].dropna()}
    added = []
    for signal in signals:
        side = _SIDES.get(signal["signal_type"])
        if side is None or signal["status"] != "executed" or not signal["executed_price"] or not signal["finished_at"]:
            continue
        if signal["id"] in reported[0] or signal["deal_ticket"] in reported[1]:
            continue
        units = (signal["executed_volume"] or signal["volume"] or 0.0) * known.contract_size
        moment = pd.Timestamp(signal["finished_at"])
        place = _place(history, taken, known, (side, units, signal["executed_price"], moment))
        if place is not None:
            own: dict[Any, Any] = {"position": 0, "entry_deal": signal["deal_ticket"], "exit_reason": "", "parts": 1}
            added.append({**history.loc[place].to_dict(), **own, "entry_signal": signal["id"], "symbol": known.name})
    if added:
        rows = pd.DataFrame(added).reindex(columns=list(FILL_COLUMNS))
        found = pd.concat([found, rows.astype(found.dtypes.to_dict())], ignore_index=True)
    return found.sort_values("entry_time", kind="stable", ignore_index=True), used + len(added)


def _place(
    history: pd.DataFrame, taken: set[int], symbol: Symbol, wanted: tuple[str, float, float, pd.Timestamp]
) -> int | None:
    """The row of `history` that is this entry (side, units, price, time) and nobody else's; it is taken then."""
    side, units, price, moment = wanted
    apart = (history["entry_time"] - moment).abs()
    same = (
        (history["side"] == side)
        & ((history["size"].abs() - units).abs() < symbol.lot_step * symbol.contract_size / 2)
        & ((history["entry_price"] - price).abs() < symbol.point / 2)
        & (apart <= _APART)
        & ~history.index.isin(taken)
    )
    if not same.any():
        return None
    place = int(np.asarray(apart[same].sort_values(kind="stable").index)[0])
    taken.add(place)
    return place


def _of_symbol(row: dict[str, Any], clock: ServerClock, symbol: str) -> pd.DataFrame:
    trades = trades_of_row(row, clock)
    return trades[[_is_same(each, symbol) for each in trades["symbol"]]]


def _is_same(text: str, symbol: str) -> bool:
    try:
        return canonical_symbol(text) == symbol
    except InputError:
        return False


def _is_account(row: Mapping[str, Any], login: str) -> bool:
    """Whether a history is that of the account: it is headed `12345678 (USD, Server, demo, Hedge)`."""
    account = str(((row["full_results"] or {}).get("settings") or {}).get("account", ""))
    return account.split(" ", 1)[0] == login
