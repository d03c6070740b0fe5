"""A failure shown as a failure: what, why, what to do, details folded; never an empty table."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from components.panels.words import verbatim
from core.errors import InputError, SequenceError, TryAgainError
from core.log import get_logger, redact


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
    if not isinstance(error, InputError):
        _try_again(error)


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
