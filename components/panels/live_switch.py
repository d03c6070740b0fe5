"""The kill switch on a page: one click stops every entry, two steps bring them back, and all of it is told."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import age, stamp
from components.panels.failure import failures_shown
from components.panels.page import card, redraw
from components.panels.remarks import attempt
from components.panels.standing import show_standing_outcome
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import InputError
from execution.live.switch import notice_kill
from execution.trading_desk import desk
from mql5.bridge.terminals import TerminalStore

_PLACE = "live.switch"
_BY = "page Live"
_CODE, _TYPED, _REASON, _CLOSE = f"{_PLACE}.code", f"{_PLACE}.typed", f"{_PLACE}.reason", f"{_PLACE}.close"
_LIVE = "2s"
_OTHER_WAYS = (
    "It is also thrown by `python main.py --mode kill`, by a file named `KILL` in output_central, and by the Expert "
    "Advisor. Exits go on; what is open keeps its stop and target."
)
_COLOURS = {"killed": "#ff7a8e", "arming": "#ffcf6b", "armed": "#2fe08a"}


def show_switch() -> None:
    """The switch as it stands, looked at every two seconds: others can throw it too.

    A kill that came by its file alone is recorded here as well as by deployments at work: there may be none.
    """

    def draw() -> None:
        with st.container(gap="xsmall"), failures_shown():
            killed = notice_kill()
            if killed is None:
                st.session_state.pop(_CODE, None)
                _show_armed()
            else:
                _show_killed(killed)
            show_standing_outcome(_PLACE)

    redraw(draw, _LIVE)


def show_switch_history() -> None:
    """Who killed and who armed, when and why."""
    rows = desk.switch_history()
    if not rows:
        return
    table = pd.DataFrame(
        {
            "When, UTC": [stamp(row["at"], seconds=True) for row in rows],
            "What": [row["event"] for row in rows],
            "By": [row["by"] for row in rows],
            "Why": [row["reason"] for row in rows],
        }
    )
    with card("Kill switch, so far", "newest first"):
        show_table(
            table,
            key=f"{_PLACE}.history",
            widths={"When, UTC": 156, "What": 70, "By": 160},
            colours={"What": lambda event: _COLOURS.get(event, "")},
            rows=6,
        )
        csv_button("History as CSV", lambda: table, "kill_switch.csv", key=f"{_PLACE}.csv")


def _show_armed() -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="live-switch-armed"):
        st.markdown(
            "**Kill switch** :green[armed]  \n:gray[:small[One click stops every entry on every terminal at once.]]",
            help=_OTHER_WAYS,
            width="stretch",
        )
        st.text_input(
            "Why", key=_REASON, placeholder="why (optional)", label_visibility="collapsed", max_chars=200, width=180
        )
        st.checkbox(_close_label(), key=_CLOSE)
        st.button(
            ":red[Stop every entry now]",
            key=f"{_PLACE}.kill",
            icon=":material/power_settings_new:",
            on_click=attempt,
            args=(_PLACE, _kill),
        )


def _close_label() -> str:
    """How many positions would be closed; without the number where it cannot be told."""
    told = [row.get("open_positions") for row in TerminalStore().all() if row["is_alive"]]
    count = sum(len(each) for each in told if each is not None)
    if not told or None in told:
        return "also close open positions"
    return f"also close {count} position{'' if count == 1 else 's'}"


def _kill() -> str:
    close = bool(st.session_state.get(_CLOSE))
    done = desk.kill(_BY, st.session_state.get(_REASON) or "by hand", close_positions=close)
    st.session_state.pop(_CODE, None)
    return done.sentence()


def _show_killed(killed: dict[str, Any]) -> None:
    closes = "Positions are being closed." if killed["close_positions"] else "Open positions stay, with their stops."
    st.error(
        f"Since **{stamp(killed['at'], seconds=True)} UTC** ({age(killed['at'])}), by {verbatim(killed['by'])}: "
        f"{verbatim(killed['reason'] or 'no reason given')}. {closes} Exits go on.",
        title="Every entry is stopped",
        icon=":material/power_settings_new:",
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="live-switch-killed"):
        code = st.session_state.get(_CODE)
        if code is None:
            st.markdown(
                "**Arming again takes two steps**, and both are recorded. Look first at what happened.", width="stretch"
            )
            if not killed["close_positions"]:
                st.button(
                    "Close all positions too",
                    key=f"{_PLACE}.close_now",
                    icon=":material/cancel_presentation:",
                    on_click=attempt,
                    args=(_PLACE, _close_too),
                )
            st.button(
                "1 · Ask to arm",
                key=f"{_PLACE}.ask",
                icon=":material/lock_open:",
                on_click=attempt,
                args=(_PLACE, _ask),
            )
            return
        st.markdown(f"**2 · Type `{code}`** and arm; the code is good for ten minutes.", width="stretch")
        st.text_input("Code", key=_TYPED, placeholder="code", label_visibility="collapsed", max_chars=20, width=120)
        st.button(
            "Arm: let entries trade again",
            key=f"{_PLACE}.arm",
            icon=":material/play_circle:",
            on_click=attempt,
            args=(_PLACE, _arm),
        )
        st.button("Leave it stopped", key=f"{_PLACE}.leave", on_click=lambda: st.session_state.pop(_CODE, None))


def _close_too() -> str:
    return desk.kill(_BY, "positions are to be closed as well", close_positions=True).sentence()


def _ask() -> str:
    st.session_state[_CODE] = desk.ask_to_arm(_BY)
    st.session_state[_TYPED] = ""
    return ""


def _arm() -> str:
    typed = str(st.session_state.get(_TYPED) or "").strip()
    if not typed:
        raise InputError("No code was typed.", "Type the code that the first step gave.")
    desk.arm(_BY, typed)
    st.session_state.pop(_CODE, None)
    return "The kill switch is armed: entries trade again at the next change of what a strategy wants."
