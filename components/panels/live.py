"""Live as a whole: badges, figures of demo and of real money apart, and all deployments with what each does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.numbers import DASH, number
from components.panels.failure import failures_shown
from components.panels.listing import Listing, mark_open, open_asked
from components.panels.live_figures import age_words, show_figures
from components.panels.live_scene import (
    DEMO,
    MODES,
    REAL,
    Line,
    account_mode,
    read_scene,
    until_close,
    wish_words,
)
from components.panels.page import Colour, card, redraw, show_badges
from components.panels.remarks import attempt
from components.panels.standing import show_standing_outcome
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import is_replayed, parse_utc
from execution.live.deployments import PAUSED
from execution.trading_desk import desk
from mql5.bridge.terminals import TerminalStore

PLACE = "live"
_LIVE = "2s"
_DRAWN, _STOP = f"{PLACE}.drawn", f"{PLACE}.stop"
_COLOURS: dict[str, Colour] = {DEMO: "violet", REAL: "orange"}
_GOOD, _AMBER, _RED, _QUIET = "#2fe08a", "#ffcf6b", "#ff7a8e", "#86ad90"
STATE_COLOURS = {
    "trading": _GOOD, "paused": _AMBER, "stopped": _QUIET, "no worker": _RED, "failed": _RED,
    "killed": _RED,
}  # fmt: skip
# Together with the column of the selection they fill a full card beside a sidebar of 256 px: 1113 px.
_WIDTHS = {
    "Deployment": 172, "State": 82, "Last bar": 92, "Decided": 112, "Reason": 262, "Position": 84, "Pips": 52,
    "Result": 96, "Next bar": 66, "Feed": 58,
}  # fmt: skip


def listing_of(mode: str) -> Listing:
    """The list of the deployments of one mode; whichever is clicked in any of them is the open one."""
    return Listing("deployment", "deployment", f"{PLACE}.deployments.{MODES.index(mode)}", {})


def show_header(place: DeltaGenerator) -> None:
    """The badges: whose money is traded, whether entries are stopped, and whether time is replayed."""

    def draw() -> None:
        with failures_shown(once=True):
            here = st.container(horizontal=True, width="content", gap="small")
            at_work = {each.client for each in desk.deployments(only_open=True)}
            heard = [row for row in TerminalStore().all() if row["is_alive"] or row["client"] in at_work]
            modes = {account_mode(row) for row in heard}
            badges: list[tuple[str, Colour]] = [(mode, _COLOURS[mode]) for mode in (DEMO, REAL) if mode in modes]
            badges.append(("every entry stopped", "red") if desk.is_killed() else ("kill switch armed", "green"))
            if is_replayed():
                badges.append(("replayed time", "blue"))
            show_badges(here, *badges)

    with place:
        redraw(draw, _LIVE)


def show_deployments() -> str:
    """The figures and tables of all deployments, drawn anew every two seconds; the id of the open one."""

    def draw() -> None:
        with st.container(gap="xsmall"), failures_shown():
            lines = read_scene()
            opened = _opened(lines)
            if st.session_state.get(_DRAWN) != _shape(lines, opened):  # what stands below is of another one
                st.session_state[_DRAWN] = _shape(lines, opened)
                st.rerun()
            for mode in MODES:
                if of_mode := [line for line in lines if line.mode == mode]:
                    show_figures(mode, [line for line in of_mode if line.deployment.is_open])
                    _show_table(mode, of_mode, opened)

    lines = read_scene()
    opened = _opened(lines)
    st.session_state[_DRAWN] = _shape(lines, opened)
    redraw(draw, _LIVE)
    return opened


def _shape(lines: Sequence[Line], opened: str) -> tuple[str, bool]:
    """What the page below the tables depends on: which deployment is open, and whether it has begun to trade."""
    return opened, any(str(line.deployment.id) == opened and line.deployment.trades_from for line in lines)


def _opened(lines: Sequence[Line]) -> str:
    """The id of the deployment that was clicked or that the address names, else of the first."""
    ids = [str(line.deployment.id) for line in lines]
    name = listing_of(MODES[0]).name
    for mode in MODES:
        open_asked(listing_of(mode), ids)
    chosen = str(st.session_state.setdefault(name, st.query_params.get(name, ids[0] if ids else "")))
    if ids and st.query_params.get(name) != chosen:
        st.query_params[name] = chosen
    return chosen


def _show_table(mode: str, lines: Sequence[Line], opened: str) -> None:
    listing = listing_of(mode)
    accounts = sorted({_account(line) for line in lines})
    with card(f"Deployments · {mode}", f"{verbatim(', '.join(accounts))} · select one · times UTC"):
        show_standing_outcome(PLACE)
        # Told again each time: while a page is still being built, the browser loses the first telling.
        st.session_state.pop(listing.table, None)
        mark_open(listing, [str(line.deployment.id) for line in lines], opened)
        table = deployments_table(lines)
        show_table(
            table,
            key=listing.table,
            select="one",
            formats={"Pips": lambda value: number(value, 1, sign=True), "Feed": age_words},
            signed=["Pips"],
            right=["Result", "Next bar"],
            widths=_WIDTHS,
            help_texts={
                "Last bar": "The open of the bar decided on last, UTC.",
                "Position": "As the terminal reported it last.",
                "Result": "Floating profit as the terminal reports it.",
                "Next bar": "Until the open bar is complete.",
                "Feed": "Since the newest tick of its symbol arrived.",
            },
            colours={
                "State": lambda state: STATE_COLOURS.get(state, ""),
                "Position": _side_colour,
                "Feed": lambda seconds: _feed_colour(seconds, lines),
            },
            rows=8,
        )
        chosen = next((line for line in lines if str(line.deployment.id) == opened), None)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            _show_actions(listing.table, chosen)
            csv_button("Deployments as CSV", lambda: table, "deployments.csv", key=f"{listing.table}.csv")
        if chosen is not None:
            _confirm_stop(chosen)


def deployments_table(lines: Sequence[Line]) -> pd.DataFrame:
    """One row a deployment."""
    rows = []
    for line in lines:
        deployment, newest = line.deployment, line.newest
        positions = line.positions or []
        pips = [line.pips_of(each) for each in positions]
        profit = sum(each.get("profit") or 0.0 for each in positions)
        currency = str((line.terminal or {}).get("currency") or "")
        rows.append(
            {
                "Deployment": deployment.name,
                "State": line.state,
                "Last bar": f"{parse_utc(newest.bar_time):%m-%d %H:%M}" if newest else DASH,
                "Decided": wish_words(newest) if newest else DASH,
                "Reason": newest.reason if newest else deployment.state_words,
                "Position": line.position_words,
                "Pips": None if not pips or None in pips else sum(each for each in pips if each is not None),
                "Result": f"{number(profit, 2, sign=True)} {currency}" if positions else DASH,
                "Next bar": until_close(deployment) if deployment.is_open else DASH,
                "Feed": None if line.stream is None or not deployment.is_open else line.stream.age_seconds,
            }
        )
    return pd.DataFrame(rows).astype({"Pips": "float64", "Feed": "float64"})


def _account(line: Line) -> str:
    terminal = line.terminal
    if terminal is None:
        return f"{line.deployment.client}, never heard"
    parts = [line.deployment.client, terminal["login"] and f"account {terminal['login']}", terminal["server"]]
    return " ".join(str(part) for part in parts if part)


def _show_actions(key: str, chosen: Line | None) -> None:
    """Pause or resume, and stop; the buttons stand there without a deployment too, and wait."""
    deployment = chosen.deployment if chosen else None
    paused = deployment is not None and deployment.state == PAUSED
    failed = chosen is not None and chosen.state == "failed"
    closed = deployment is None or not deployment.is_open
    verb = "Begin again" if failed else "Resume" if paused else "Pause"
    label = verb if deployment is None else f"{verb} {deployment.name}"
    identity = deployment.id if deployment else 0
    st.button(
        label,
        key=f"{key}.pause",
        icon=":material/refresh:" if failed else ":material/play_arrow:" if paused else ":material/pause:",
        disabled=closed,
        help="In a new process, from where the last one ended."
        if failed
        else "Paused it decides on and sends no entry; exits go on.",
        on_click=attempt,
        args=(PLACE, partial(_resume if paused or failed else _pause, identity)),
    )
    st.button(
        "Stop…",
        key=f"{key}.stop",
        icon=":material/stop:",
        disabled=closed,
        on_click=lambda: st.session_state.update({_STOP: identity}),
    )


def _pause(deployment_id: int) -> str:
    found = desk.pause(deployment_id)
    return f"{found.name} is paused: it decides on and sends no entry, exits go on."


def _resume(deployment_id: int) -> str:
    return f"{desk.resume(deployment_id).name} trades again: at the next change of what it wants."


def _confirm_stop(line: Line) -> None:
    """The question, where it was asked of the open deployment."""
    deployment = line.deployment
    if st.session_state.get(_STOP) != deployment.id or not deployment.is_open:
        return
    holds = line.position_words
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"Stop **{verbatim(deployment.name)}** for good? It cannot be resumed, only deployed anew. "
            f"{_held_words(holds)}"
        )
        close = st.checkbox("Close its position too", key=f"{_STOP}.close", disabled=holds == "flat")
        st.button(
            f":red[Stop {verbatim(deployment.name)}]",
            key=f"{_STOP}.yes",
            icon=":material/stop_circle:",
            on_click=attempt,
            args=(PLACE, partial(_stop, deployment.id, close)),
        )
        st.button("Keep it", key=f"{_STOP}.no", on_click=lambda: st.session_state.pop(_STOP, None))


def _held_words(holds: str) -> str:
    if holds == "flat":
        return "It holds no position."
    if holds == DASH:
        return "Its terminal does not tell whether it holds a position."
    return f"Its position ({holds}) stays open, with its stop and target, unless you close it too."


def _stop(deployment_id: int, close: bool) -> str:
    if st.session_state.pop(_STOP, None) != deployment_id:
        return ""  # the second click of a double click
    found = desk.stop(deployment_id, close=close)
    return f"{found.name} is stopped{', and its position is being closed' if close else ''}."


def _side_colour(words: Any) -> str:
    return _GOOD if str(words).startswith("long") else _RED if str(words).startswith("short") else ""


def _feed_colour(seconds: Any, lines: Sequence[Line]) -> str:
    limit = min(line.deployment.limits.max_feed_age_seconds for line in lines)
    return _GOOD if seconds < limit / 2 else _AMBER if seconds < limit else _RED if seconds == seconds else ""  # noqa: PLR0124  # NaN
