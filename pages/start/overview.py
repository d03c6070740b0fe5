"""Overview: what is in this workbench, what ran last, what to do next."""

from __future__ import annotations

from components.panels.failure import failures_shown, fetched
from components.panels.jobs import asked_job
from components.panels.overview import (
    show_best,
    show_folder,
    show_last,
    show_live_line,
    show_metrics,
    show_next,
    show_sample_offer,
    show_what_comes,
)
from components.panels.page import columns, page_header, show_badges
from core.jobs import JobStatus
from data.pipeline_controller import controller
from execution.backtest_manager import manager

SENTENCE = "What is in this workbench, what ran last, and what to do next."


def show() -> None:
    """Fetch what there is; an empty workbench offers the sample, a filled one says what happened."""
    header = page_header("Overview", SENTENCE)
    # Each database by itself: one that cannot be read hides nothing of the other.
    versions, runs = fetched(controller.versions), fetched(manager.runs)
    collections = None if versions is None else fetched(lambda: controller.get_pipeline_status()["collections"])
    job = fetched(asked_job)
    unfinished = job is not None and job.status is not JobStatus.SUCCEEDED
    if runs == [] and (versions == [] or unfinished):
        show_badges(header, ("no run yet" if versions else "empty workbench", "gray"))
        left, right = columns([11, 9])
        with left:
            show_sample_offer(
                "The sample workflow has not reached its end." if versions else "Nothing has been collected yet."
            )
        with right:
            show_what_comes()
            show_folder()
        return
    if versions is None or runs is None:
        show_badges(header, ("cannot read", "red"))
    show_live_line()
    show_metrics(versions, runs)
    left, right = columns([2, 1])
    with left:
        show_last(collections, versions, runs)
        if runs is not None:
            with failures_shown():
                show_best(runs)
    sample_run = job.result.get("run") if job and job.result else None
    with right:
        show_next(versions, runs, sample_run)
        show_folder()


with failures_shown():
    show()
