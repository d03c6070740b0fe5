"""Backtesting: test a strategy on a dataset version and see what is left after costs."""

from __future__ import annotations

import streamlit as st

from components.panels.analysis import show_edge
from components.panels.backtest import ask_request, show_run_button
from components.panels.exports import ask_import
from components.panels.failure import failures_shown, fetched
from components.panels.history import PLACE, ask_run, show_history
from components.panels.page import card, columns, page_header, sample_badge, show_badges
from components.panels.remarks import show_outcome, show_remarks
from components.panels.result import show_equity, show_metrics
from components.panels.views import show_view
from data.pipeline_controller import DatasetVersion, controller
from execution.backtest_manager import StoredRun, manager
from workbench import DATA_PIPELINE, OVERVIEW

PLAY = ":material/play_arrow:"
SENTENCE = "Test a strategy on a dataset version and see what is left after costs."
HOW = "Choose a strategy and its costs, then press **Run backtest**. "


def show_empty() -> None:
    """No dataset yet: what will be here and how to get there."""
    with card("Nothing to test on yet"):
        st.markdown("A backtest runs on a dataset version. Collect bars first, or let the sample workflow do it all.")
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=PLAY)
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/database:")


def show_form(versions: list[DatasetVersion] | None, runs: list[StoredRun] | None) -> None:
    """What to run on what; where that cannot be stored or had, why."""
    if runs is None:
        st.markdown("Runs cannot be read, so a new one could not be stored.")
    elif versions:
        show_run_button(ask_request(versions))
    else:
        st.markdown("There is no dataset version to run on." if versions is not None else "Datasets cannot be read.")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/database:")


def show() -> None:
    """Ask on the left; the chosen run's figures, curves, trades and neighbours on the right and below."""
    header = page_header("Backtesting", SENTENCE)
    show_outcome(PLACE)
    versions, runs = fetched(controller.versions), fetched(manager.runs)
    if versions is None or runs is None:  # the failure is shown; "nothing here yet" would be untrue
        show_badges(header, ("cannot read", "red"))
    if versions == [] and runs == []:
        show_badges(header, ("no dataset yet", "gray"))
        show_empty()
        return
    left, right = columns([1, 3])
    with left, card("Run a backtest"), failures_shown():
        show_form(versions, runs)
    if not runs:
        if runs is not None:
            show_badges(header, ("no run yet", "gray"))
            with right, card("No run yet"):
                st.markdown(f"{HOW if versions else ''}The result appears here.")
                ask_import()
        return
    with right:
        chosen = ask_run(runs)
        made_on = next((each for each in versions or [] if each.content_hash == chosen.dataset_hash), None)
        show_badges(header, (chosen.run_id, "green"), (chosen.engine, "gray"), *sample_badge(made_on))
        show_remarks(chosen)
        show_metrics(chosen)
        with failures_shown():
            show_equity(chosen)
    with failures_shown():
        show_edge(chosen)
    show_view(chosen)
    show_history(runs, chosen)


with failures_shown():
    show()
