"""How a button press ended, where a timer redraws the place: it stands for a while instead of one drawing."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from components.panels.failure import failures_shown
from components.panels.words import verbatim
from core.clock import wall_now

# Long enough to be read, short enough not to be taken for the present.
_STANDS = timedelta(seconds=30)


def show_standing_outcome(place: str) -> None:
    """What the last press of `remarks.attempt(place, …)` came to, until the next press or for half a minute."""
    said, failed, stands = f"{place}.said", f"{place}.failed", f"{place}.stands"
    if said in st.session_state or failed in st.session_state:
        outcome = st.session_state.pop(said, None), st.session_state.pop(failed, None)
        st.session_state[stands] = (wall_now() + _STANDS, *outcome)
    until, words, error = st.session_state.get(stands, (wall_now(), None, None))
    if wall_now() >= until:
        st.session_state.pop(stands, None)
        return
    if words:
        st.info(verbatim(words))
    if error is not None:
        with failures_shown():
            raise error
