"""Jobs: what runs, what waits and why, and what became of the rest."""

from __future__ import annotations

import streamlit as st

from components.panels.failure import failures_shown
from components.panels.jobs import show_jobs, show_workers
from components.panels.page import card, page_header, show_badges
from components.panels.schedules import show_schedules
from core.heartbeats import processes
from core.worker import ROLE
from workbench import DATA_PIPELINE, JOBS, OVERVIEW

SENTENCE = "Long work in the background: what runs, what waits and why, and what became of the rest."
LISTED = 200


def show() -> None:
    """The workers, then all jobs."""
    header = page_header("Jobs", SENTENCE)
    jobs, workers = JOBS.recent(LISTED), processes(ROLE)
    alive = any(worker.is_alive for worker in workers)
    show_badges(header, ("worker alive", "green") if alive else ("no worker", "yellow"))
    if jobs:
        show_jobs(jobs, workers)
    else:
        with card("No job yet"):
            st.markdown("Whatever takes longer than a page should is a job: the sample workflow, a collection of data.")
            st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
            st.page_link(DATA_PIPELINE.file, label="Collect data", icon=DATA_PIPELINE.icon)
    show_schedules()
    show_workers(workers)


with failures_shown():
    show()
