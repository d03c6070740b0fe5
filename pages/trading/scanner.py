"""Scanner: setups on closed bars, ranked, with what speaks for each, and what patterns like these were worth."""

from __future__ import annotations

from functools import partial

import streamlit as st

from components.panels.failure import failures_shown, fetched
from components.panels.page import card, page_header, show_badges
from components.panels.scanner_data import is_sample, scanned_series
from components.panels.scanner_form import show_form, show_state
from components.panels.scanner_tables import show_failures
from components.panels.scanner_views import ask_view, show_view
from data.pipeline_controller import controller
from scanner.metrics import failures
from scanner.reading import LIVE, held_series
from scanner.store import list_scans
from workbench import DATA_PIPELINE, OVERVIEW

SENTENCE = "Setups on closed bars, ranked, with what speaks for each; no finding is ever rewritten."


def show_empty() -> None:
    """No bars yet: what will be here and how to get there."""
    with card("Nothing to scan yet"):
        st.markdown(
            "A scan reads stored bars, live bars or a dataset version. Collect bars, or let the sample workflow do it "
            "all; a terminal with the Expert Advisor sends live ones."
        )
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=DATA_PIPELINE.icon)


def show() -> None:
    """The form, then what the last scans found, one view at a time."""
    header = page_header("Scanner", SENTENCE)
    versions, scans = fetched(controller.versions), fetched(list_scans)
    held, live = fetched(held_series), fetched(partial(held_series, LIVE))
    if versions is None or held is None or live is None or scans is None:
        show_badges(header, ("cannot read", "red"))
        return
    every = scanned_series(scans)
    if held.empty and live.empty and not versions and not every:
        show_badges(header, ("no bars yet", "gray"))
        show_empty()
        return
    with failures_shown():
        show_form(held, live, versions)
    if not every:
        show_badges(header, ("no scan yet", "gray"))
        with card("No scan yet"):
            st.markdown(
                "Press **Scan now**. Ranked setups, their patterns on the chart and why others fell short appear here."
            )
        show_failures(failures(scans))
        return
    chosen = ask_view(every)
    show_state(header, chosen.series, is_sample(chosen.series, versions, held))
    show_view(chosen)


with failures_shown():
    show()
