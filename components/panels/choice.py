"""A choice that lives in the URL, so that a link sent to a colleague opens the same view."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from components.panels.defaults import keep_defaults
from components.panels.words import verbatim
from core.names import unknown_name


def choose_next(name: str, option: str) -> None:
    """Have `option` chosen when `name` is asked for next, where long work or a job has made it.

    It is not written to the choice itself: a timer of the page that rang meanwhile brings along what the browser
    still shows there, and that would win.
    """
    st.session_state[_next(name)] = option


def take_next(name: str) -> None:
    """Choose under `name` what `choose_next` left there; before the choice is drawn."""
    if (option := st.session_state.pop(_next(name), None)) is not None:
        st.session_state[name] = option


def _next(name: str) -> str:
    return f"{name}.next"


def choose(
    label: str, options: Sequence[str], name: str, words: Callable[[str], str], *, show_label: bool = True
) -> str:
    """The option chosen under `name` in the address and in the session; the first one at first.

    Streamlit's own binding writes the words of an option into the address instead of the option, so links
    would change with the words. What is asked for and is none of the options (any more) is told, not passed over.
    """
    take_next(name)
    asked = st.session_state.get(name, st.query_params.get(name))
    if asked in options:
        keep_defaults({name: asked})
    elif asked is not None:
        st.session_state.pop(name, None)
        error = unknown_name(label.lower(), asked, options)
        st.warning(verbatim(f"{error.what} {error.cure}"))
    chosen = st.selectbox(
        label, options, key=name, format_func=words, label_visibility="visible" if show_label else "collapsed"
    )
    if st.query_params.get(name) != chosen:
        st.query_params[name] = chosen
    return str(chosen)
