"""A list of what is kept, of which one thing is open: filters in the address, a click on a row opens it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.numbers import number
from components.panels.choice import take_next
from components.panels.words import verbatim

_FILTER_WIDTH = 176


@dataclass(frozen=True)
class Listing:
    """One such list: how its things are called, and where session and address hold what is chosen in it.

    `name` holds the open thing, `table` is the key of the table, `filters` are keys with what asks nothing.
    """

    kind: str
    name: str
    table: str
    filters: Mapping[str, str | None]

    @property
    def listed(self) -> str:
        """The names as last drawn, in their order: a click means a row of that list."""
        return f"{self.table}.listed"

    @property
    def marked(self) -> str:
        """The row last marked by us: any other one was clicked."""
        return f"{self.table}.marked"


def open_asked(listing: Listing, options: Sequence[str], aliases: Mapping[str, str] | None = None) -> None:
    """Open what was clicked, else what session or address name; what is not there (any more) is told.

    `options` begin with the newest, which is opened instead; `aliases` are other names of an option.
    """
    take_next(listing.name)
    if clicked := _clicked(listing):
        st.session_state[listing.name] = clicked
    asked = st.session_state.get(listing.name, st.query_params.get(listing.name))
    if asked is None or asked in options:
        return
    if aliases and asked in aliases:
        st.session_state[listing.name] = aliases[asked]
        return
    gone = f"There is no {listing.kind} {asked!r}. It was deleted, or the link is mistyped."
    if options:
        st.warning(verbatim(f"{gone} Shown is the newest {listing.kind}."))
        st.session_state[listing.name] = options[0]
    else:
        st.warning(verbatim(gone))
        open_instead(listing, None)


def open_instead(listing: Listing, option: str | None) -> None:
    """Open another one; without any forget what was open, in the address too."""
    if option is not None:
        st.session_state[listing.name] = option
    else:
        st.session_state.pop(listing.name, None)
        st.query_params.pop(listing.name, None)


def mark_open(listing: Listing, listed: Sequence[str], opened: str) -> None:
    """Select the row of the open thing in the list about to be drawn, whatever moved the rows or opened it."""
    st.session_state[listing.listed] = list(listed)
    if not listed:
        return
    row = listed.index(opened) if opened in listed else None
    rows = [] if row is None else [row]
    if st.session_state.get(listing.table, {}).get("selection", {}).get("rows") != rows:
        st.session_state[listing.table] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    st.session_state[listing.marked] = row


def show_no_match(listing: Listing, count: int) -> None:
    """Nothing answers to the filters: say so, and offer to clear them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"None of the {number(count)} {listing.kind}s matches these filters.", width="content")
        st.button("Clear filters", key=f"{listing.name}s.clear", on_click=_clear_filters, args=(listing,))


def filter_row() -> DeltaGenerator:
    """Where the filters stand side by side, and wrap when there is no room."""
    return st.container(horizontal=True, gap="xsmall")


def ask_text(key: str, where: str) -> str:
    """What to look for; `where` says in what."""
    return st.text_input("Find", key=key, bind="query-params", placeholder=f"in {where}", icon=":material/search:")


def ask_one(label: str, values: Iterable[str], key: str, nothing: str) -> str | None:
    """One of the values there are, or None; one that a link names and nothing has any more stays choosable."""
    options = list({value.casefold(): value for value in sorted(values, reverse=True)}.values())[::-1]
    asked: str | None = st.session_state.get(key, st.query_params.get(key))
    if asked and asked not in options:
        options.append(asked)
    chosen: str | None = st.selectbox(
        label, options, index=None, key=key, placeholder=nothing, bind="query-params", width=_FILTER_WIDTH
    )
    return chosen


def _clear_filters(listing: Listing) -> None:
    for key, nothing in listing.filters.items():
        st.session_state[key] = nothing


def _clicked(listing: Listing) -> str | None:
    """What the row stands for that was clicked since the list was drawn."""
    rows = st.session_state.get(listing.table, {}).get("selection", {}).get("rows", [])
    listed: list[str] = st.session_state.get(listing.listed, [])
    if not rows or rows[0] == st.session_state.get(listing.marked) or rows[0] >= len(listed):
        return None
    return listed[int(rows[0])]
