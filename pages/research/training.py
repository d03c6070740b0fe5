"""Training Hub: queue models on a checked dataset, watch them learn, keep the one that beats its baseline."""

from __future__ import annotations

import streamlit as st

from components.panels.choice import choose_next
from components.panels.failure import failures_shown, fetched
from components.panels.models import show_registry
from components.panels.page import Colour, card, columns, do_once, page_header, show_badges
from components.panels.training import ask_job, show_comparison, show_job, show_machine, show_metrics, show_queue
from components.panels.training_form import ask_training
from data.pipeline_controller import DatasetVersion, controller
from train.registry import list_models
from train.training_manager import TrainingJob, manager
from workbench import DATA_PIPELINE, OVERVIEW

SENTENCE = "Queue models on a checked dataset, watch them learn, keep the one that beats its baseline."


def show_empty() -> None:
    """No dataset yet: what will be here and how to get there."""
    with card("Nothing to train on yet"):
        st.markdown("A model learns from a dataset version. Collect bars, or let the sample workflow do it all.")
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=DATA_PIPELINE.icon)


def submit(job: TrainingJob) -> None:
    """Queue it and open it."""
    manager.submit_job(job)
    choose_next("training", job.job_id)


def show_form(versions: list[DatasetVersion]) -> None:
    """What to train on what."""
    with failures_shown():
        job = ask_training(versions)
        do_once(st.container(), "Submit job", "train.submit", lambda: submit(job), icon=":material/add:")


def show() -> None:
    """The form in a fold, then the queue, the open job and the machine, then models and comparisons."""
    header = page_header("Training Hub", SENTENCE)
    versions, rows = fetched(controller.versions), fetched(lambda: manager.history(200))
    if versions is None or rows is None:
        show_badges(header, ("cannot read", "red"))
        return
    if not versions and not rows:
        show_badges(header, ("no dataset yet", "gray"))
        show_empty()
        return
    status = manager.get_queue_status(limit=0)
    states: list[tuple[str, Colour]] = [("running", "blue"), ("queued", "gray"), ("interrupted", "yellow")]
    badges: list[tuple[str, Colour]] = [(f"{status[name]} {name}", colour) for name, colour in states if status[name]]
    show_badges(header, *badges)
    if versions:
        with st.expander("New job", expanded=not rows, icon=":material/add:"):
            show_form(versions)
    show_metrics(status)
    if not rows:
        with card("No job yet"):
            st.markdown("Choose data, target and model, and press **Submit job**. Its curves appear here as it learns.")
        return
    show_queue(rows)
    with failures_shown():
        chosen = ask_job(rows)
        left, right = columns([3, 2])
        with left:
            show_job(chosen)
        with right:
            show_machine()
    with failures_shown():
        show_registry(list_models(limit=200))
    with failures_shown():
        show_comparison(rows)


with failures_shown():
    show()
