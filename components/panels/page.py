"""The frame of every page: header, cards, and a button that cannot do its work twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data.versions import DatasetVersion

Colour = Literal["green", "red", "yellow", "violet", "gray", "blue", "orange"]
VERDICT_COLOURS: dict[str | None, Colour] = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}
_AT_WORK = "page.at_work"


def page_header(title: str, sentence: str) -> DeltaGenerator:
    """Title and what the page is for; returns the place of its badges, which may fail to come."""
    row = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    left = row.container(width="stretch", gap=None)
    left.title(title, anchor=False)
    left.caption(sentence)
    return row.container(horizontal=True, width="content", vertical_alignment="center", gap="small")


def show_badges(place: DeltaGenerator, *badges: tuple[str, Colour]) -> None:
    """The state of things, in the header."""
    for words, colour in badges:
        place.badge(words, color=colour)


def sample_badge(version: DatasetVersion | None) -> list[tuple[str, Colour]]:
    """The mark that the embedded sample wears wherever it appears."""
    return [("sample data", "violet")] if version is not None and "sample" in version.attribution else []


@contextmanager
def card(title: str, caption: str = "", key: str | None = None) -> Iterator[None]:
    """A bordered card with its title and, in grey, what is drawn and in which unit."""
    with st.container(border=True, gap="xsmall", height="stretch", key=key):
        words = f" :gray[:small[{caption}]]" if caption else ""
        st.markdown(f"**{title}**{words}")
        yield


def columns(spec: Sequence[float]) -> list[DeltaGenerator]:
    """Columns of equal height with the page's gap; they stack below 900 px."""
    return [column.container(gap="xsmall", height="stretch") for column in st.columns(spec, gap="xsmall")]


def metric_row() -> DeltaGenerator:
    """A row that metrics share evenly and in which they wrap when there is no room."""
    return st.container(horizontal=True, gap="xsmall")


def metric(place: DeltaGenerator, label: str, value: str, context: str, help_text: str | None = None) -> None:
    """One figure with its unit, and one grey line of context (at most 18 characters)."""
    place.metric(label, value, context, delta_color="off", delta_arrow="off", border=True, help=help_text)


def redraw(draw: Callable[[], None], every: str | None) -> None:
    """Draw a part of the page, and again whenever so much time has passed ("1s"); None stands still.

    The timer rests while the work of `do_once` is done. What it asked for would wait for the end of the work and bring
    along what the browser still showed then, which Streamlit takes for newer than what the work has written; and a part
    that is drawn anew the moment a page is, takes some of the page's elements with it.
    """
    st.fragment(draw, run_every=None if st.session_state.get(_AT_WORK) else every)()


def end_work() -> None:
    """Let the timers ring again, also where a page has failed before it came to the work."""
    st.session_state[_AT_WORK] = False


def do_once(
    place: DeltaGenerator,
    label: str,
    key: str,
    work: Callable[[], None],
    icon: str | None = None,
    *,
    filled: bool = True,
) -> None:
    """A button that stays disabled while `work` runs, then the page is drawn anew; the main action's is `filled`.

    What `work` raises is raised here in that next run, in which the button is free again. `work` may lead to another
    page instead.
    """
    pending, failed = f"{key}.pending", f"{key}.failed"

    def note() -> None:
        st.session_state[pending] = st.session_state[_AT_WORK] = True

    place.button(
        label,
        key=key,
        type="primary" if filled else "secondary",
        icon=icon,
        disabled=st.session_state.get(pending, False),
        on_click=note,
    )
    if st.session_state.get(pending):
        try:
            work()
        except Exception as error:
            st.session_state[failed] = error
        finally:
            st.session_state[pending] = False
            end_work()
        st.rerun()
    if failure := st.session_state.pop(failed, None):
        raise failure
