"""What the terminal of a deployment tells: its open positions, and the quotes that its bars are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, percent, span
from components.panels.live_scene import Line
from components.panels.page import card
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import utc_now
from market.symbols import symbol_of
from mql5.bridge.ticks import TickStore

_GAPS_MS = 24 * 3_600_000


def show_positions(line: Line) -> None:
    """The open positions of its symbol."""
    with card("Open positions", f"{verbatim(line.deployment.symbol)} as the terminal reported it last · UTC"):
        positions = line.positions
        if line.terminal is None:
            st.markdown("Its terminal was never heard.")
        elif positions is None:
            st.markdown("The terminal does not tell its positions: its Expert Advisor is of an older version.")
        elif not positions:
            st.markdown(f"Flat. Heard {span(line.terminal['age_seconds'])} ago.")
        else:
            _show_position_table(line, positions)


def _show_position_table(line: Line, positions: Sequence[dict[str, Any]]) -> None:
    digits = symbol_of(line.deployment.symbol).digits
    table = pd.DataFrame(
        {
            "Side": [each["side"] for each in positions],
            "Lots": [number(each["volume"], 2) for each in positions],
            "Opened, UTC": [_time_of(each.get("opened_ms")) for each in positions],
            "Price": [number(each["price"], digits) for each in positions],
            "Stop": [number(each.get("sl"), digits) for each in positions],
            "Target": [number(each.get("tp"), digits) for each in positions],
            "Pips": [line.pips_of(each) for each in positions],
            "Profit": [each.get("profit") for each in positions],
            "Ticket": [str(each["ticket"]) for each in positions],
        }
    ).astype({"Pips": "float64", "Profit": "float64"})
    show_table(
        table,
        key="live.positions",
        formats={
            "Pips": lambda value: number(value, 1, sign=True),
            "Profit": lambda value: number(value, 2, sign=True),
        },
        signed=["Pips", "Profit"],
        right=["Lots", "Price", "Stop", "Target", "Ticket"],
        widths={
            "Side": 46,
            "Lots": 44,
            "Opened, UTC": 116,
            "Price": 66,
            "Stop": 66,
            "Target": 66,
            "Pips": 48,
            "Profit": 62,
            "Ticket": 74,
        },
        help_texts={"Profit": f"In {(line.terminal or {}).get('currency') or 'money of the account'}."},
        rows=4,
    )
    everything = table.assign(Comment=[each.get("comment") or "" for each in positions])
    csv_button("Positions as CSV", lambda: everything, "positions.csv", key="live.positions.csv")


def _time_of(opened_ms: Any) -> str:
    return DASH if not opened_ms else f"{pd.Timestamp(int(opened_ms), unit='ms'):%m-%d %H:%M:%S}"


def show_feed(line: Line) -> None:
    """The quotes that its bars are made of."""
    deployment, stream = line.deployment, line.stream
    with card("Feed", f"{verbatim(deployment.symbol)} from {verbatim(deployment.client)}"):
        if stream is None:
            st.markdown(
                f"No tick of {verbatim(deployment.symbol)} has come from {verbatim(deployment.client)}: nothing is "
                "decided before one does."
            )
            return
        now_ms = int(utc_now().timestamp() * 1000)
        missing = TickStore().gaps_between(deployment.client, deployment.symbol, now_ms - _GAPS_MS, now_ms)
        digits = symbol_of(deployment.symbol).digits
        rows = [
            ("Newest tick", f"{span(stream.age_seconds)} ago", _feed_words(line)),
            ("Bid and ask", f"{stream.bid:.{digits}f} / {stream.ask:.{digits}f}", "as the terminal sent them"),
            ("Spread", f"{number(stream.pips(stream.ask - stream.bid), 1)} pips", _spread_words(line)),
            ("Missing ticks", number(missing), "numbers left out in 24 h"),
            ("Terminal", _terminal_words(line), "last heartbeat"),
        ]
        equity = (line.terminal or {}).get("equity")
        if equity is not None:
            currency = (line.terminal or {}).get("currency") or ""
            rows.append(("Equity", f"{number(equity, 2)} {currency}", _loss_words(line)))
        show_table(
            pd.DataFrame(rows, columns=["What", "Now", "Note"]),
            key="live.feed",
            right=["Now"],
            widths={"What": 104, "Now": 142},
        )


def _feed_words(line: Line) -> str:
    limit = line.deployment.limits.max_feed_age_seconds
    late = line.stream is not None and line.stream.age_seconds > limit
    return (
        f"too old: entries are refused over {number(limit)} s"
        if late
        else f"entries are refused over {number(limit)} s"
    )


def _spread_words(line: Line) -> str:
    limit, stream = line.deployment.limits.max_spread_pips, line.stream
    mean = "" if stream is None or stream.mean_spread is None else f"mean {number(stream.pips(stream.mean_spread), 1)}"
    allowed = "not limited" if limit is None else f"at most {number(limit, 1)}"
    return f"{mean}, {allowed}" if mean else allowed


def _terminal_words(line: Line) -> str:
    if line.terminal is None:
        return "never heard"
    return f"{span(line.terminal['age_seconds'])} ago"


def _loss_words(line: Line) -> str:
    limit = line.deployment.limits.max_daily_loss_pct
    return "no limit of a day's loss" if limit is None else f"a day may lose {percent(limit)} of it"
