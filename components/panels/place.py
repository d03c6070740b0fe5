"""Which page the reader is on, so that a page which Streamlit has emptied is drawn again.

A fragment's timer that rings while a script is on its way to another page is answered after that page was drawn,
still in the name of the page before: the browser then takes the old page for the current one and drops the new
one's elements. Whatever is redrawn by a timer on every page calls `return_if_lost` first.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_PLACE = "place"
_REDRAWN = "place.redrawn"


@dataclass(frozen=True)
class _Place:
    page: st.Page
    script_hash: str | None
    query: dict[str, list[str]]


def note_place(page: st.Page, *, drawn: bool = False) -> None:
    """Remember page and address; called in whole runs, before the page is drawn and when it is."""
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    st.session_state[_PLACE] = _Place(page, _script_hash(), query)
    if drawn:
        st.session_state[_REDRAWN] = False


def return_if_lost() -> None:
    """Draw the page again when this fragment runs in the name of another one."""
    place = st.session_state.get(_PLACE)
    if place is not None and place.script_hash != _script_hash():
        st.session_state[_REDRAWN] = True
        st.switch_page(place.page, query_params=place.query)


def is_redrawn() -> bool:
    """Whether this run draws a page once more, of which the browser has dropped the elements and what they hold."""
    return bool(st.session_state.get(_REDRAWN))


def _script_hash() -> str | None:
    context = get_script_run_ctx()
    return context.page_script_hash if context else None
