"""Backtesting: test a strategy on a dataset version and see what is left after costs."""

from __future__ import annotations

import streamlit as st

from components.panels.backtest import Request, ask_request
from components.panels.failure import failures_shown, fetched
from components.panels.history import PLACE, ask_run, show_history
from components.panels.page import card, columns, do_once, page_header, sample_badge, show_badges
from components.panels.remarks import show_outcome, show_remarks
from components.panels.result import show_equity, show_metrics, show_statistics, show_trades
from data.pipeline_controller import DatasetVersion, controller
from execution.backtest_manager import StoredRun, manager
from workbench import DATA_PIPELINE, OVERVIEW

SENTENCE = "Test a strategy on a dataset version and see what is left after costs."
HOW = "Choose a strategy and its costs, then press **Run backtest**. "


def run(request: Request) -> None:
    """Run, store, and open what was stored."""
    with st.spinner(f"Running {request.strategy_name} on {request.version.label}"):
        result = manager.run_backtest(request.version, **request.arguments())
        st.session_state["run"] = manager.save_result(result=result).run_id


def show_empty() -> None:
    """No dataset yet: what will be here and how to get there."""
    with card("Nothing to test on yet"):
        st.markdown("A backtest runs on a dataset version. Collect bars first, or let the sample workflow do it all.")
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/database:")


def show_form(versions: list[DatasetVersion] | None, runs: list[StoredRun] | None) -> None:
    """What to run on what; where that cannot be stored or had, why."""
    if runs is None:
        st.markdown("Runs cannot be read, so a new one could not be stored.")
    elif versions:
        request = ask_request(versions)
        do_once(st.container(), "Run backtest", "backtest.run", lambda: run(request), icon=":material/play_arrow:")
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
        return
    with right:
        chosen = ask_run(runs)
        made_on = next((each for each in versions or [] if each.content_hash == chosen.dataset_hash), None)
        show_badges(header, (chosen.run_id, "green"), (chosen.engine, "gray"), *sample_badge(made_on))
        show_remarks(chosen)
        show_metrics(chosen)
        with failures_shown():
            show_equity(chosen)
    show_history(runs, chosen)
    with failures_shown():
        show_trades(chosen)
    show_statistics(chosen)


with failures_shown():
    show()
