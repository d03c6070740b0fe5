"""A failure shown as a failure: what, why, what to do, details folded; never an empty table."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from components.panels.words import verbatim
from core.errors import InputError, SequenceError, StoreUnusableError, TryAgainError
from core.log import get_logger, redact
from core.store import set_aside


@contextmanager
def failures_shown() -> Iterator[None]:
    """Show what the block raises as a red box; the page around it goes on."""
    try:
        yield
    except SequenceError as error:
        get_logger(__name__).warning(
            "shown to the reader", error=type(error).__name__, what=error.what, exc_info=error.__cause__
        )
        show_failure(error)
    except Exception as error:
        get_logger(__name__).exception("an error nobody foresaw")
        _show_unforeseen(error)


def show_failure(error: SequenceError) -> None:
    """A failure that Sequence understands."""
    if isinstance(error, InputError):
        title, icon = "This cannot be done as asked", ":material/edit_note:"
    elif isinstance(error, TryAgainError):
        title, icon = "Something is in the way for now", ":material/lock:"
    else:
        title, icon = "This needs a hand", ":material/build:"
    cure = f"\n\n**What to do:** {verbatim(error.cure)}" if error.cure else ""
    st.error(verbatim(error.what) + cure, title=title, icon=icon)
    if isinstance(error, StoreUnusableError) and error.path:
        _offer_to_set_aside(Path(error.path))
    if not isinstance(error, InputError):
        _try_again(error)


def _offer_to_set_aside(path: Path) -> None:
    """Move the file out of the way, asked twice; the page then starts with an empty database."""
    asked = f"failure.aside.{path.name}"
    if not st.session_state.get(asked):
        if st.button(f"Set {path.name} aside…", key=f"{asked}.ask", icon=":material/drive_file_move:"):
            st.session_state[asked] = True
            st.rerun()
        return
    st.warning(f"{verbatim(path.name)} will be renamed, not deleted, and Sequence starts an empty one in its place.")
    with st.container(horizontal=True):
        if st.button(f"Set {path.name} aside", key=f"{asked}.do", type="primary"):
            st.session_state[asked] = False
            st.session_state["failure.aside.done"] = _set_aside(path)
            st.rerun()
        if st.button("Leave it", key=f"{asked}.leave"):
            st.session_state[asked] = False
            st.rerun()


def _set_aside(path: Path) -> str:
    try:
        return f"{path.name} now stands as {set_aside(path).name} in the same folder."
    except SequenceError as error:
        return f"{error.what} {error.cure}"


def show_what_was_set_aside() -> None:
    """Tell, once, how setting a file aside ended; the page it was asked on may look different by now."""
    if words := st.session_state.pop("failure.aside.done", ""):
        st.info(verbatim(words))


def _show_unforeseen(error: Exception) -> None:
    st.error(
        f"{verbatim(redact(f'{type(error).__name__}: {error}'))}\n\n**What to do:** try again; if it stays, send the "
        "details and the newest lines of output_central/logs/workbench.jsonl to whoever looks after Sequence.",
        title="Sequence met an error it does not know",
        icon=":material/error:",
    )
    with st.expander("Details"):
        st.code(redact("".join(traceback.format_exception(error))), language=None)
    _try_again(error)


def _try_again(error: Exception) -> None:
    # Several boxes may stand on one page; the message tells their buttons apart.
    st.button("Try again", icon=":material/refresh:", key=f"failure.again.{hash(str(error))}")
