"""Sweep: try many parameter sets at once, and prefer plateaus to peaks."""

from __future__ import annotations

from typing import Any

import streamlit as st

from components.panels.choice import choose_next
from components.panels.failure import failures_shown, fetched
from components.panels.jobs import run_as_job
from components.panels.page import Colour, card, page_header, show_badges
from components.panels.sweep import ask_stored, offer_delete, show_sweep
from components.panels.sweep_form import ask_sweep
from data.pipeline_controller import controller
from execution.sweep_store import COMPLETED, FAILED, RUNNING, list_sweeps
from workbench import DATA_PIPELINE, OVERVIEW

COLOURS: dict[str, Colour] = {COMPLETED: "green", RUNNING: "blue", FAILED: "red"}
SENTENCE = "Try many parameter sets at once, and prefer plateaus to peaks."


def open_sweep(made: dict[str, Any]) -> None:
    """Show what the job made."""
    choose_next("sweep", str(made["sweep"]))


def show() -> None:
    """Ask on the left; the chosen sweep's figures and map on the right, its evidence below."""
    header = page_header("Sweep", SENTENCE)
    versions, sweeps = fetched(controller.versions), fetched(list_sweeps)
    if versions is None or sweeps is None:
        show_badges(header, ("cannot read", "red"))
        return
    if not versions and not sweeps:
        show_badges(header, ("no dataset yet", "gray"))
        with card("Nothing to sweep on yet"):
            st.markdown("A sweep runs on a dataset version. Collect bars, or let the sample workflow do it all.")
            st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
            st.page_link(DATA_PIPELINE.file, label="Collect data", icon=DATA_PIPELINE.icon)
        return
    with st.expander("New sweep", expanded=not sweeps, icon=":material/add:"), failures_shown():
        request = ask_sweep(versions) if versions else None
        submit = request.submit if request else None
        run_as_job("Run the sweep", "sweep.start", submit, open_sweep, icon=":material/play_arrow:")
    sweeps = fetched(list_sweeps)
    if not sweeps:
        show_badges(header, ("no sweep yet", "gray"))
        with card("No sweep yet"):
            st.markdown("Choose what to sweep and press **Run the sweep**. The map and the ranking appear here.")
        return
    row = ask_stored(sweeps)
    show_badges(header, (f"sweep {row.id}", "green"), (row.status, COLOURS[row.status]), (row.engine, "gray"))
    with failures_shown():
        show_sweep(row)
    offer_delete(row)


with failures_shown():
    show()
