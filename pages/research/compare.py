"""Compare: hold stored runs against each other on their common dates."""

from __future__ import annotations

import streamlit as st

from components.panels.compare import ask_runs, show_all
from components.panels.failure import failures_shown, fetched
from components.panels.page import card, page_header, show_badges
from execution.backtest_manager import manager
from workbench import BACKTESTING, OVERVIEW

SENTENCE = "Hold stored runs against each other on their common dates, down to the single trade."


def show_empty(count: int) -> None:
    """Fewer than two runs: what will be here and how to get there."""
    with card("Nothing to compare yet"):
        st.markdown(f"A comparison needs two stored runs; there {'is one' if count else 'is none'}.")
        if not count:
            st.markdown("The sample workflow makes the first one.")
            st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        st.page_link(BACKTESTING.file, label="Run a backtest", icon=BACKTESTING.icon)


def show() -> None:
    """Which runs, and what tells them apart."""
    header = page_header("Compare", SENTENCE)
    runs = fetched(manager.runs)
    if runs is None:
        show_badges(header, ("cannot read", "red"))
        return
    if len(runs) < 2:
        show_badges(header, ("nothing to compare", "gray"))
        show_empty(len(runs))
        return
    chosen = ask_runs(runs)
    show_badges(header, (f"{len(chosen)} runs", "green" if len(chosen) > 1 else "gray"))
    if len(chosen) < 2:
        with card("Choose two or more runs"):
            st.markdown("Curves, statistics, settings and trades are shown side by side.")
        return
    with failures_shown():
        show_all(chosen)


with failures_shown():
    show()
