"""Who may speak to the bridge: keys made and shown once, revoked for good, with the time of their last use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import age, stamp
from components.panels.page import card
from components.panels.remarks import attempt, show_outcome
from components.panels.table import show_table
from components.panels.words import verbatim
from core.errors import InputError
from mql5.bridge.keys import KeyRing, key_file

_PLACE = "bridge.keys"
_MADE, _ASKED = f"{_PLACE}.made", f"{_PLACE}.asked"
_LONGEST_NAME = 40
Row = dict[str, Any]


def show_keys(rows: Sequence[Row]) -> None:
    """All keys, the form that makes one, and the key just made."""
    with card("Keys", "every request to the bridge carries one · only hashes are kept"):
        show_outcome(_PLACE)
        _show_made()
        left, right = st.columns([2, 3], gap="small")
        with left:
            _ask_name()
        with right:
            if not rows:
                st.caption("No key yet: the bridge makes the first one when it starts.")
                return
            selected = show_table(
                _table(rows),
                key=f"{_PLACE}.table",
                select="one",
                widths={"Name": 170, "Begins with": 96, "State": 76, "Last used": 104, "Made, UTC": 134},
                colours={"State": lambda state: {"in force": "#2fe08a", "revoked": "#ff7a8e"}.get(state, "")},
                rows=6,
            )
            _offer_to_revoke(rows[selected[0]] if selected else None)


def _ask_name() -> None:
    with st.form(f"{_PLACE}.form", border=False, clear_on_submit=True):
        left, right = st.columns([3, 2], vertical_alignment="bottom", gap="xsmall")
        left.text_input(
            "Name of a new key", key=f"{_PLACE}.name", placeholder="terminal at the desk", max_chars=_LONGEST_NAME
        )
        right.form_submit_button(
            "Make a key", key=f"{_PLACE}.make", icon=":material/key:", on_click=attempt, args=(_PLACE, _make)
        )
    if key_file().exists():
        st.caption("The first key lies in output_central/bridge.key, readable by you alone.")


def _make() -> str:
    name = st.session_state[f"{_PLACE}.name"].strip()
    if not name:
        raise InputError("The key has no name.", "Name it for the terminal or program that will carry it.")
    st.session_state[_MADE] = name, KeyRing().make(name)
    return ""


def _show_made() -> None:
    """The key just made, until its reader says that it is copied; it cannot be had again."""
    if _MADE not in st.session_state:
        return
    name, key = st.session_state[_MADE]
    st.warning(f"This is the key **{verbatim(name)}**. It is shown this once: copy it now.")
    st.code(key, language=None)
    st.button("It is copied", key=f"{_PLACE}.copied", on_click=lambda: st.session_state.pop(_MADE, None))


def _offer_to_revoke(row: Row | None) -> None:
    """The button that asks, and the question naming the key."""
    revocable = row is not None and row["revoked_at"] is None
    if row is None or not revocable:
        st.button("Revoke…", key=f"{_PLACE}.revoke", icon=":material/key_off:", disabled=True)
        return
    if st.session_state.get(_ASKED) != row["id"]:
        st.button(
            f"Revoke {row['name']}…",
            key=f"{_PLACE}.revoke",
            icon=":material/key_off:",
            on_click=lambda: st.session_state.update({_ASKED: row["id"]}),
        )
        return

    def revoke() -> str:
        if st.session_state.pop(_ASKED, None) != row["id"]:
            return ""  # the second click of a double click
        KeyRing().revoke(row["id"])
        return f"The key {row['name']} is revoked. Within a second the bridge refuses whoever carries it."

    st.markdown(f"Whoever carries **{verbatim(row['name'])}** is refused from then on, for good.")
    with st.container(horizontal=True, gap="xsmall"):
        label = f":red[Revoke {verbatim(row['name'])}]"
        st.button(label, key=f"{_PLACE}.revoke.yes", on_click=attempt, args=(_PLACE, revoke))
        st.button("Keep it", key=f"{_PLACE}.revoke.no", on_click=lambda: st.session_state.pop(_ASKED, None))


def _table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Name": [row["name"] for row in rows],
            "Begins with": [f"{row['key_start']}…".replace("……", "…") for row in rows],
            "State": ["in force" if row["revoked_at"] is None else "revoked" for row in rows],
            "Last used": [age(row["last_used_at"]) if row["last_used_at"] else "never" for row in rows],
            "Made, UTC": [stamp(row["created_at"]) for row in rows],
        }
    )
