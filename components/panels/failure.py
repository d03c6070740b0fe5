"""A failure shown as a failure: what, why, what to do, details folded; never an empty table."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import streamlit as st

from components.panels.words import verbatim
from core.errors import InputError, SequenceError, StoreUnusableError, TryAgainError
from core.log import get_logger, redact
from core.store import parts_of, set_aside

T = TypeVar("T")
# What stands on the page already: the file, or the words of the failure. None outside of `failures_shown`.
_standing: ContextVar[set[str] | None] = ContextVar("failures standing on the page", default=None)
_DONE, _REFUSED = "failure.aside.done", "failure.aside.refused"  # how setting a file aside ended


@contextmanager
def failures_shown(*, once: bool = False) -> Iterator[None]:
    """Show what the block raises as a red box; the page around it goes on.

    One box for one cause: where it stands on the page already, a line says that something is missing here, or
    with `once` nothing, for a caller who says it better.
    """
    outermost = _standing.set(set()) if _standing.get() is None else None
    try:
        yield
    except SequenceError as error:
        get_logger(__name__).warning(
            "shown to the reader", error=type(error).__name__, what=error.what, exc_info=error.__cause__
        )
        if not (once and _stands(error)):
            show_failure(error)
    except Exception as error:
        get_logger(__name__).exception("an error nobody foresaw")
        if not (once and _stands(error)):
            _show_unforeseen(error)
    finally:
        if outermost is not None:
            _standing.reset(outermost)


def fetched(read: Callable[[], T]) -> T | None:
    """What `read` returns; None where it cannot be had, which a box says: the caller lets nothing pass for empty."""
    with failures_shown(once=True):
        return read()
    return None


def show_failure(error: SequenceError) -> None:
    """A failure that Sequence understands."""
    if _stands(error):
        _say_missing(error.what)
        return
    _note(error)
    if isinstance(error, InputError):
        title, icon = "This cannot be done as asked", ":material/edit_note:"
    elif isinstance(error, TryAgainError):
        title, icon = "Something is in the way for now", ":material/lock:"
    else:
        title, icon = "This needs a hand", ":material/build:"
    cure = f"\n\n**What to do:** {verbatim(error.cure)}" if error.cure else ""
    st.error(verbatim(error.what) + cure, title=title, icon=icon)
    unusable = Path(error.path) if isinstance(error, StoreUnusableError) and error.path else None
    if unusable and st.session_state.get(_asked(unusable)):
        _confirm_setting_aside(unusable)
        return
    with st.container(horizontal=True, gap="xsmall"):
        if unusable:
            _offer_to_set_aside(unusable)
        if not isinstance(error, InputError):
            _try_again(error)


def reason(error: SequenceError) -> str:
    """Why a part of a card is missing, in one line; what to do only where no box says so already."""
    return error.what if _stands(error) else f"{error.what} {error.cure}"


def _stands(error: Exception) -> bool:
    """Whether a box on the page tells of the cause already."""
    return _cause(error) in (_standing.get() or ())


def _note(error: Exception) -> None:
    if (standing := _standing.get()) is not None:
        standing.add(_cause(error))


def _cause(error: Exception) -> str:
    return error.path if isinstance(error, StoreUnusableError) and error.path else str(error)


def _say_missing(words: str) -> None:
    st.markdown(f":red[:material/block: Cannot be shown here: {verbatim(words)}]")


def _asked(path: Path) -> str:
    return f"failure.aside.{path.name}"


def _named(path: Path) -> str:
    """What there is to set aside: the database, or what is left of it."""
    return next((part.name for part in parts_of(path)), path.name)


def _offer_to_set_aside(path: Path) -> None:
    """Move the file out of the way, asked twice; the page then starts with an empty database."""
    if st.button(f"Set {_named(path)} aside…", key=f"{_asked(path)}.ask", icon=":material/drive_file_move:"):
        st.session_state[_asked(path)] = True
        st.rerun()


def _confirm_setting_aside(path: Path) -> None:
    name = _named(path)
    st.warning(f"{verbatim(name)} will be renamed, not deleted, and Sequence starts an empty database in its place.")
    with st.container(horizontal=True, gap="xsmall"):
        if st.button(f"Set {name} aside", key=f"{_asked(path)}.do", type="primary"):
            st.session_state[_asked(path)] = False
            try:
                st.session_state[_DONE] = f"{name} now stands as {set_aside(path).name} in the same folder."
            except SequenceError as error:
                st.session_state[_REFUSED] = error
            st.rerun()
        if st.button("Leave it", key=f"{_asked(path)}.leave"):
            st.session_state[_asked(path)] = False
            st.rerun()


def show_what_was_set_aside() -> None:
    """Tell, once, how setting a file aside ended; the page it was asked on may look different by now."""
    if words := st.session_state.pop(_DONE, ""):
        st.info(verbatim(words))
    if refused := st.session_state.pop(_REFUSED, None):
        show_failure(refused)


def _show_unforeseen(error: Exception) -> None:
    words = redact(f"{type(error).__name__}: {error}")
    if _stands(error):
        _say_missing(words)
        return
    _note(error)
    st.error(
        f"{verbatim(words)}\n\n**What to do:** try again; if it stays, send the "
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
