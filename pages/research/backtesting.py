"""Backtesting: test a strategy on a dataset version and see what is left after costs."""

from __future__ import annotations

import streamlit as st

from components.panels.backtest import (
    Request,
    ask_request,
    ask_run,
    show_equity,
    show_history,
    show_metrics,
    show_statistics,
    show_trades,
)
from components.panels.failure import failures_shown
from components.panels.page import Colour, card, columns, do_once, page_header
from data.pipeline_controller import controller
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
    page_header("Backtesting", SENTENCE, [("no dataset yet", "gray")])
    with card("Nothing to test on yet"):
        st.markdown("A backtest runs on a dataset version. Collect bars first, or let the sample workflow do it all.")
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/database:")


def show() -> None:
    """Ask on the left; the chosen run's figures, curves, trades and neighbours on the right and below."""
    versions = controller.versions()
    if not versions and not manager.runs(1):
        show_empty()
        return
    header = st.container()
    left, right = columns([1, 3])
    with left, card("Run a backtest"), failures_shown():
        request = ask_request(versions)
        do_once(st.container(), "Run backtest", "backtest.run", lambda: run(request), icon=":material/play_arrow:")
    runs = manager.runs()
    with right, failures_shown():
        chosen = ask_run(runs) if runs else None
        if chosen:
            equity = manager.run(chosen.run_id).equity()
            show_metrics(chosen)
            show_equity(chosen, equity)
        else:
            with card("No run yet"):
                st.markdown("Choose a strategy and its costs, then press **Run backtest**. The result appears here.")
    with header:
        badges: list[tuple[str, Colour]] = (
            [(chosen.run_id, "green"), (chosen.engine, "gray")] if chosen else [("no run yet", "gray")]
        )
        page_header("Backtesting", SENTENCE, badges)
    if chosen:
        with failures_shown():
            show_trades(chosen, manager.trades(chosen))
        show_statistics(chosen)
    show_history(runs)


with failures_shown():
    show()
