"""Signals: the form that creates one, all of them with what became of each, and every step of the one chosen."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import ValidationError
from streamlit.delta_generator import DeltaGenerator

from components.numbers import DASH, number, stamp
from components.panels.bridge import mode_of
from components.panels.failure import failures_shown
from components.panels.page import card, redraw
from components.panels.remarks import attempt, show_outcome, tell_outcome
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import parse_utc, utc_now
from core.errors import InputError, SequenceError
from core.schema import refusal_of
from core.settings import current_settings
from market.symbols import symbol_of
from mql5.bridge.feed import Feed
from mql5.bridge.messages import Message, NewSignal
from mql5.bridge.signals import OPEN, SignalStore
from mql5.bridge.terminals import TerminalStore

PLACE = "bridge"
_LIVE = "2s"
_NEW, _CHOSEN, _REFUSED = "bridge.new", "bridge.signal", "bridge.signal.refused"
_MOST_IN_CSV = 10_000
_SIDES = {"BUY": "long", "SELL": "short", "CLOSE": "close"}
_COLOURS = {
    "pending": "#86ad90",
    "leased": "#4cc3ff",
    "sent": "#4cc3ff",
    "executed": "#2fe08a",
    "rejected": "#ff7a8e",
    "expired": "#ffcf6b",
    "cancelled": "#86ad90",
}
_WIDTHS = {
    "Id": 46,
    "Created, UTC": 118,
    "State": 82,
    "Symbol": 70,
    "Side": 54,
    "Lots": 48,
    "Asked": 74,
    "Filled": 74,
    "Slip": 48,
    "Path": 262,
    "Total": 72,
    "Broker says": 330,
}
Row = dict[str, Any]


def ask_signal(symbols: Sequence[str]) -> None:
    """The button that opens the form of a new signal; what is wrong with it is said in the form."""
    # The number of signals created here is part of the key: a new popover appears closed.
    nth = st.session_state.setdefault(_NEW, f"{secrets.token_hex(8)}-0")
    live = _live_terminals()
    key = f"bridge.create.{nth}"
    with (
        st.popover("Create a signal", type="primary", icon=":material/add:", key=key),
        st.container(width=460),
    ):
        show_outcome("bridge.create")
        with st.form("bridge.create.form", border=False):
            _draw_form(symbols, live)
            st.form_submit_button(
                "Create signal",
                type="primary",
                key="bridge.create.do",
                on_click=attempt,
                args=("bridge.create", partial(_create, nth)),
            )


def _live_terminals() -> list[str]:
    """Those that trade real money and were heard of late."""
    return [row["client"] for row in TerminalStore().all() if row["is_alive"] and mode_of(row) == "LIVE"]


def _draw_form(symbols: Sequence[str], live: Sequence[str]) -> None:
    if symbols and st.session_state.get("bridge.new.symbol") is None:  # also when the first tick came meanwhile
        st.session_state["bridge.new.symbol"] = symbols[0]
    one, other = st.columns(2, gap="xsmall")
    with one:
        st.selectbox(
            "Symbol",
            list(symbols),
            index=None,
            key="bridge.new.symbol",
            accept_new_options=True,
            placeholder="Type a symbol, such as EURUSD",
        )
    other.selectbox("Side", list(_SIDES), key="bridge.new.side")
    _ask_number(one, "Lots", "volume", "the EA's own")
    _ask_number(other, "Price wanted", "entry", "none", "Slippage is measured against it.")
    _ask_number(one, "Stop loss", "stop", "none")
    _ask_number(other, "Take profit", "target", "none")
    one.number_input("Confidence", value=1.0, step=0.05, key="bridge.new.confidence", help="0 to 1.")
    seconds = int(current_settings().bridge.signal_seconds)
    other.number_input("Valid for, s", 1, 86_400, seconds, key="bridge.new.seconds")
    if live:
        st.warning(f"With real money: {verbatim(', '.join(live))}. Its Expert Advisor may execute this signal.")
        st.checkbox(f"Real money of {', '.join(live)} may be traded", key="bridge.new.live")


def _ask_number(place: DeltaGenerator, label: str, name: str, empty: str, help_text: str | None = None) -> None:
    """A number that may be left out."""
    place.number_input(label, 0.0, value=None, format="%g", key=f"bridge.new.{name}", placeholder=empty, help=help_text)


def _create(nth: str) -> str:
    """Enter the signal of the form; a second click on the same form finds the signal of the first."""
    typed = {name: st.session_state.get(f"bridge.new.{name}") for name in ("symbol", "volume", "entry", "stop")}
    if not typed["symbol"]:
        raise InputError("No symbol is named.", "Choose one, or type it as EURUSD.")
    live = _live_terminals()  # one may have come since the form was drawn
    if live and not st.session_state.get("bridge.new.live"):
        raise InputError(
            f"{', '.join(live)} trades real money, and that was not confirmed.", "Tick the line above the button."
        )
    try:
        asked = NewSignal(
            symbol=typed["symbol"],
            signal_type=st.session_state["bridge.new.side"],
            confidence=st.session_state["bridge.new.confidence"],
            entry_price=typed["entry"],
            stop_loss=typed["stop"],
            take_profit=st.session_state.get("bridge.new.target"),
            volume=typed["volume"],
            valid_until=utc_now() + timedelta(seconds=st.session_state["bridge.new.seconds"]),
            idempotency_key=f"page-{nth}",
        )
    except ValidationError as error:
        raise InputError(*refusal_of(error, Message)) from None
    row, is_new = SignalStore().create(asked)
    if is_new:
        head, _, count = nth.rpartition("-")
        st.session_state[_NEW] = f"{head}-{int(count) + 1}"
        for name in ("volume", "entry", "stop", "target"):  # the next signal has prices of its own
            st.session_state[f"bridge.new.{name}"] = None
    _open(row["id"])
    tell_outcome(PLACE, f"Signal {row['id']} is {row['status']}: {row['signal_type']} {row['symbol']}.")
    return ""


def show_signals() -> None:
    """All signals, newest first, and the one chosen, drawn anew every two seconds."""

    def draw() -> None:
        with failures_shown():
            _draw_signals(Feed().signals())

    redraw(draw, _LIVE)


def _draw_signals(rows: Sequence[Row]) -> None:
    with card("Signals", "newest first · slip in pips, above 0 is worse · select one to see every step · times UTC"):
        if not rows:
            st.markdown("No signal yet. **Create a signal** above makes one, as do strategies over the interface.")
            return
        selected = show_table(
            _table(rows),
            # Rows move down when one comes: a new key forgets the tick, and the signal stays open by its id.
            key=f"bridge.signals.{rows[0]['id']}",
            select="one",
            formats={"Slip": lambda value: number(value, 1, sign=True)},
            right=["Lots", "Asked", "Filled", "Total"],
            widths=_WIDTHS,
            colours={"State": lambda state: _COLOURS.get(state, "")},
            rows=8,
        )
        if selected and _opened() != rows[selected[0]]["id"]:
            _open(rows[selected[0]]["id"])
        chosen = next((row for row in rows if row["id"] == _opened()), None)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            _offer_to_cancel(chosen)
            csv_button(
                "Signals as CSV",
                lambda: _everything(Feed().signals(_MOST_IN_CSV)),
                "signals.csv",
                key="bridge.signals.csv",
            )
            if chosen is not None:
                csv_button(
                    f"Steps of {chosen['id']} as CSV",
                    lambda: _steps(chosen),
                    f"signal_{chosen['id']}.csv",
                    key="bridge.steps.csv",
                )
        if chosen is not None:
            _show_chosen(chosen)


def _opened() -> int | None:
    """The signal whose steps are shown, kept in the address."""
    asked = st.query_params.get("signal", "")
    if _CHOSEN not in st.session_state and asked.isdecimal():
        st.session_state[_CHOSEN] = int(asked)
    chosen: int | None = st.session_state.get(_CHOSEN)
    return chosen


def _open(signal_id: int) -> None:
    st.session_state[_CHOSEN] = signal_id
    st.session_state.pop(_REFUSED, None)
    st.query_params["signal"] = str(signal_id)


def _offer_to_cancel(chosen: Row | None) -> None:
    open_ = chosen is not None and chosen["status"] in OPEN
    label = f"Cancel {chosen['id']}" if chosen is not None and open_ else "Cancel"
    identity = chosen["id"] if chosen is not None else 0
    st.button(
        label,
        key="bridge.signals.cancel",
        icon=":material/cancel:",
        disabled=not open_,
        on_click=_cancel,
        args=(identity,),
    )


def _cancel(signal_id: int) -> None:
    """Take it back; why it cannot be stays on the page while the signal is open there, which a timer redraws."""
    st.session_state.pop(_REFUSED, None)
    try:
        SignalStore().cancel(signal_id)
    except SequenceError as error:
        st.session_state[_REFUSED] = error


def _show_chosen(row: Row) -> None:
    with failures_shown():
        if refused := st.session_state.get(_REFUSED):
            raise refused
    steps = _steps(row)
    total = "" if row["total_seconds"] is None else f" in {number(row['total_seconds'], 2)} s"
    words = [f"{row['signal_type']} {row['symbol']}", f"{row['path']}{total}"]
    for name, label in (("stop_loss", "stop"), ("take_profit", "target")):
        words += [f"{label} {_price(row, row[name])}"] if row[name] else []
    words.append(f"confidence {number(row['confidence'], 2)}")
    valid = pd.Timestamp(row["valid_until_ms"], unit="ms", tz="UTC").to_pydatetime()
    words.append(f"valid until {stamp(valid, seconds=True)} UTC")
    st.markdown(f"**Signal {row['id']}** :gray[:small[{verbatim(' · '.join(words))}]]")
    shown = steps.assign(Time=[f"{time:%Y-%m-%d %H:%M:%S.%f}"[:-3] for time in steps["Time"]])
    show_table(
        shown.rename(columns={"Time": "Time, UTC"}),
        key=f"bridge.steps.{row['id']}",
        formats={"After, s": lambda value: number(value, 3)},
        widths={"Time, UTC": 184, "After, s": 80, "State": 84, "By": 140, "What": 300, "Figures": 360},
        colours={"State": lambda state: _COLOURS.get(state, "")},
    )


def _steps(row: Row) -> pd.DataFrame:
    """Every step of a signal with its time and how long after its creation it came."""
    created = parse_utc(row["created_at"])
    times = [parse_utc(step["at"]) for step in row["history"]]
    return pd.DataFrame(
        {
            "Time": pd.DatetimeIndex(times),
            "After, s": [max(0.0, (time - created).total_seconds()) for time in times],
            "State": [step["status"] for step in row["history"]],
            "By": [step["client"] or DASH for step in row["history"]],
            "What": [step["words"] for step in row["history"]],
            "Figures": [_figures(step["details"]) for step in row["history"]],
        }
    )


def _figures(details: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in details.items()) if details else DASH


def _table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Id": [row["id"] for row in rows],
            "Created, UTC": [f"{parse_utc(row['created_at']):%m-%d %H:%M:%S}" for row in rows],
            "State": [row["status"] for row in rows],
            "Symbol": [row["symbol"] for row in rows],
            "Side": [_SIDES[row["signal_type"]] for row in rows],
            "Lots": [number(row["executed_volume"] or row["volume"], 2) for row in rows],
            "Asked": [_price(row, row["asked"]) for row in rows],
            "Filled": [_price(row, row["executed_price"]) for row in rows],
            "Slip": [row["slippage_pips"] for row in rows],
            "Path": [row["path"] for row in rows],
            "Total": [DASH if row["total_seconds"] is None else f"{number(row['total_seconds'], 2)} s" for row in rows],
            "Broker says": [_broker_words(row) for row in rows],
        }
    ).astype({"Slip": "float64"})


def _price(row: Row, price: float | None) -> str:
    return DASH if not price else f"{price:.{symbol_of(row['symbol']).digits}f}"


def _broker_words(row: Row) -> str:
    """The broker's code and comment; of what never reached a broker, the last step's own words."""
    said = [str(row["retcode"] or ""), row["broker_comment"] or ""]
    said += [f"deal {row['deal_ticket']}"] if row["deal_ticket"] else []
    words = " · ".join(word for word in said if word)
    if words or row["status"] not in {"expired", "rejected"}:
        return words or DASH
    return row["history"][-1]["words"] if row["history"] else DASH


def _everything(rows: Sequence[Row]) -> pd.DataFrame:
    """All columns of signals, for the CSV; times as they are stored, UTC."""
    table = pd.DataFrame([{name: value for name, value in row.items() if name != "history"} for row in rows])
    for name in ("valid_until", "lease_until"):
        table[name] = pd.to_datetime(table.pop(f"{name}_ms"), unit="ms", utc=True)
    for name in ("created_at", "sent_at", "finished_at"):
        table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    return table.drop(columns=["idempotency_key"])
