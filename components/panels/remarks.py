"""What a person does to the kept thing that is open: note and tags, deletion asked twice, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from components.panels.failure import failures_shown
from components.panels.words import verbatim
from core.errors import InputError, UnknownNameError
from core.remarks import MOST_NOTE_CHARACTERS, Remarked

_SHOWN_OF_NOTE = 160


@dataclass(frozen=True)
class Opened:
    """The run or dataset version that is open on a page.

    `place` begins the keys of its widgets. `name` is what a reader calls it, `identity` tells it from any other
    one, also from one that takes over its name.
    """

    place: str
    kind: str
    name: str
    identity: str
    kept: Remarked

    def key(self, words: str) -> str:
        """A key of its own on its page."""
        return f"{self.place}.{words}"


def attempt(place: str, work: Callable[[], str]) -> None:
    """Do a button's work before the page is drawn; `show_outcome` then tells what it said, or why it failed."""
    try:
        tell_outcome(place, work())
    except Exception as error:
        st.session_state[f"{place}.failed"] = error


def tell_outcome(place: str, said: str) -> None:
    """Keep a sentence for `show_outcome` to tell when the page is drawn next."""
    st.session_state[f"{place}.said"] = said


def show_outcome(place: str) -> None:
    """What the last button press came to, once."""
    if said := st.session_state.pop(f"{place}.said", None):
        st.info(verbatim(said))
    if failed := st.session_state.pop(f"{place}.failed", None):
        with failures_shown():
            raise failed


def show_remarks(kept: Remarked) -> None:
    """What a person wrote to it: its tags, and of a long note the beginning."""
    note = " ".join((kept.note or "").split())
    words = [f":blue-badge[{verbatim(tag)}]" for tag in kept.tags]
    if note:
        words.append(verbatim(note if len(note) <= _SHOWN_OF_NOTE else f"{note[: _SHOWN_OF_NOTE - 1]}…"))
    if words:
        st.markdown(" ".join(words))


def show_note_form(opened: Opened, read: Callable[[], Remarked], write: Callable[[str, list[str]], object]) -> None:
    """A button that opens note and tags for writing; `read` says what is stored by the time they are saved."""
    note, tags, seen_key = opened.key("note"), opened.key("tags"), opened.key("note.seen")
    seen = _seen(opened, opened.kept)
    # Widgets lose what they hold when another page was shown, our own keys do not.
    if st.session_state.get(seen_key) != seen or note not in st.session_state:
        st.session_state.update({seen_key: seen, note: opened.kept.note or "", tags: ", ".join(opened.kept.tags)})

    def save() -> str:
        stored = read()
        if st.session_state.get(seen_key) != _seen(opened, stored):
            st.session_state[seen_key] = _seen(opened, stored)  # so that the form keeps what was typed
            raise InputError(
                f"Note or tags of {opened.name} were changed elsewhere meanwhile. The note reads "
                f"{stored.note or ''!r}, the tags are {', '.join(stored.tags) or 'none'}.",
                "What you wrote is still in the form; save it again to replace them.",
            )
        write(st.session_state[note], [tag for tag in st.session_state[tags].split(",") if tag.strip()])
        st.session_state[opened.key("note.saves")] = st.session_state.get(opened.key("note.saves"), 0) + 1
        return f"Note and tags of {opened.name} are saved."

    # The number of saves is part of the key: a new popover appears closed.
    popover = opened.key(f"remarks.{st.session_state.get(opened.key('note.saves'), 0)}")
    with (
        st.popover("Note and tags", icon=":material/edit_note:", key=popover),
        st.form(opened.key("note_form"), border=False, width=440),
    ):
        st.text_area(f"Note on {opened.name}", key=note, max_chars=MOST_NOTE_CHARACTERS, height=140)
        st.text_input("Tags, separated by commas", key=tags, placeholder="london, breakout")
        st.form_submit_button("Save note", key=opened.key("note.save"), on_click=attempt, args=(opened.place, save))


def show_load_button(opened: Opened, help_text: str, load: Callable[[], str]) -> None:
    """The button that puts what the thing was made with into the form of its page; `load` says how it went."""
    st.button(
        "Load its settings",
        key=opened.key("load"),
        icon=":material/tune:",
        help=help_text,
        on_click=attempt,
        args=(opened.place, load),
    )


def show_delete_button(opened: Opened, label: str, check: Callable[[], None] = lambda: None) -> None:
    """The button that asks; nothing is asked where `check` raises, and its reason is shown instead."""

    def ask() -> str:
        check()
        st.session_state[opened.key("delete.asked")] = opened.identity
        return ""

    st.button(label, key=opened.key("delete"), icon=":material/delete:", on_click=attempt, args=(opened.place, ask))


def confirm_delete(opened: Opened, question: str, delete: Callable[[], None], open_next: Callable[[], None]) -> None:
    """The question, where it was asked of what is open; `open_next` is called once the thing is gone."""
    asked = opened.key("delete.asked")
    if st.session_state.get(asked) != opened.identity:
        st.session_state.pop(asked, None)
        return

    def delete_it() -> str:
        if st.session_state.pop(asked, None) != opened.identity:
            return ""  # the second click of a double click
        try:
            delete()
            said = f"{opened.kind.capitalize()} {opened.name} is deleted."
        except UnknownNameError:
            said = f"{opened.kind.capitalize()} {opened.name} was deleted already, in another tab or from Python."
        open_next()
        return said

    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(verbatim(question))
        st.button(
            f":red[Delete {verbatim(opened.name)}]",
            key=opened.key("delete.yes"),
            icon=":material/delete_forever:",
            on_click=attempt,
            args=(opened.place, delete_it),
        )
        st.button("Keep it", key=opened.key("delete.no"), on_click=lambda: st.session_state.pop(asked, None))


def _seen(opened: Opened, kept: Remarked) -> tuple[str, str | None, tuple[str, ...]]:
    """Whose note and tags the form last took from the database, and what they were."""
    return opened.identity, kept.note, tuple(kept.tags)
