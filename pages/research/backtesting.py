"""Backtesting: test a strategy on a dataset version and see what is left after costs."""

from __future__ import annotations

import streamlit as st

from components.panels.backtest import Request, ask_request
from components.panels.failure import failures_shown
from components.panels.history import ask_run, show_history, show_outcome, show_remarks
from components.panels.page import card, columns, do_once, page_header, sample_badge, show_badges
from components.panels.result import show_equity, show_metrics, show_statistics, show_trades, version_of
from data.pipeline_controller import DatasetVersion, controller
from execution.backtest_manager import manager
from workbench import DATA_PIPELINE, OVERVIEW

SENTENCE = "Test a strategy on a dataset version and see what is left after costs."


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


def find_versions() -> list[DatasetVersion] | None:
    """The datasets there are; None where they cannot be read, and earlier runs can still be looked at."""
    with failures_shown():
        return controller.versions()
    return None


def show() -> None:
    """Ask on the left; the chosen run's figures, curves, trades and neighbours on the right and below."""
    header = page_header("Backtesting", SENTENCE)
    show_outcome()
    versions, runs = find_versions(), manager.runs()
    if not versions and not runs:
        if versions is None:  # the failure is shown; "nothing here yet" would be untrue
            show_badges(header, ("cannot read", "red"))
            return
        show_badges(header, ("no dataset yet", "gray"))
        show_empty()
        return
    left, right = columns([1, 3])
    with left, card("Run a backtest"), failures_shown():
        if versions:
            request = ask_request(versions)
            do_once(st.container(), "Run backtest", "backtest.run", lambda: run(request), icon=":material/play_arrow:")
        else:
            st.markdown(
                "There is no dataset version to run on." if versions is not None else "Datasets cannot be read."
            )
            st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/database:")
    if not runs:
        show_badges(header, ("no run yet", "gray"))
        with right, card("No run yet"):
            st.markdown("Choose a strategy and its costs, then press **Run backtest**. The result appears here.")
        return
    with right:
        chosen = ask_run(runs)
        show_badges(header, (chosen.run_id, "green"), (chosen.engine, "gray"))
        show_remarks(chosen)
        show_metrics(chosen)
        with failures_shown():
            show_equity(chosen)
            show_badges(header, *sample_badge(version_of(chosen)))
    show_history(runs, chosen)
    with failures_shown():
        show_trades(chosen)
    show_statistics(chosen)


with failures_shown():
    show()
