"""Overview: what is in this workbench, what ran last, what to do next."""

from __future__ import annotations

import streamlit as st

import workbench
from components.panels.failure import failures_shown
from components.panels.overview import (
    show_best,
    show_folder,
    show_last,
    show_metrics,
    show_next,
    show_sample_offer,
    show_what_comes,
)
from components.panels.page import columns, page_header, show_badges
from data.pipeline_controller import controller
from execution.backtest_manager import manager

SENTENCE = "What is in this workbench, what ran last, and what to do next."
LISTED = 20


def run_sample() -> None:
    """Take the sample through every floor, showing each step as it is done."""
    with st.status("Running the sample workflow", expanded=True) as status:
        run = workbench.run_sample_workflow(lambda step, words: st.write(f"**{step}** {words}"))
        status.update(label="The sample workflow is done", state="complete")
    st.session_state["overview.sample_run"] = run.run_id


def show() -> None:
    """Fetch what there is; an empty workbench offers the sample, a filled one says what happened."""
    header = page_header("Overview", SENTENCE)
    status = controller.get_pipeline_status()
    versions = controller.versions()
    runs = manager.runs()
    if not versions and not runs:
        show_badges(header, ("empty workbench", "gray"))
        left, right = columns([11, 9])
        with left:
            show_sample_offer(run_sample)
        with right:
            show_what_comes()
            show_folder()
        return
    show_metrics(versions, runs)
    left, right = columns([2, 1])
    with left:
        show_last(status["collections"], versions[:LISTED], runs[:LISTED])
        with failures_shown():
            show_best(runs)
    with right:
        show_next(versions, runs, st.session_state.get("overview.sample_run"))
        show_folder()


with failures_shown():
    show()
