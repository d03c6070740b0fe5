"""Data Pipeline: collect bars, check them, publish them as an immutable version."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from components.panels.choice import choose_next
from components.panels.collect import ask_draft, submit_collection
from components.panels.collect_live import show_problems
from components.panels.dataset import show_bars, show_metrics
from components.panels.failure import failures_shown, fetched
from components.panels.jobs import run_as_job
from components.panels.page import VERDICT_COLOURS, card, columns, page_header, sample_badge, show_badges
from components.panels.remarks import show_outcome, show_remarks
from components.panels.schedules import offer_schedule
from components.panels.verdict import show_validation
from components.panels.versions import PLACE, ask_version, show_versions
from data.pipeline_controller import controller
from data.versions import UNCHECKED
from workbench import OVERVIEW

PLAY = ":material/play_arrow:"
SENTENCE = "Collect bars, check them against the rules, and publish them as an immutable version."


def open_version(made: dict[str, Any]) -> None:
    """Show what a collection made."""
    choose_next("version", made["version"][:8])


def show() -> None:
    """Ask on the left; the chosen version's chart, verdict and neighbours on the right and below."""
    header = page_header("Data Pipeline", SENTENCE)
    show_outcome(PLACE)
    left, right = columns([1, 3])
    with left, card("Collect"):
        draft = ask_draft()
        with failures_shown():
            submit = partial(submit_collection, draft.config) if draft.config else None
            run_as_job("Collect data", "data.collect", submit, open_version, icon=PLAY)
            offer_schedule(draft.config, PLACE)
    with right:
        draft.show()
        versions = fetched(controller.versions)
        if versions is None:
            show_badges(header, ("cannot read", "red"))
            return
        version = ask_version(versions)
        if version is None:
            with card("No dataset yet"):
                st.markdown("Collected bars appear here: their chart, their verdict and the versions made of them.")
                st.markdown("The embedded sample needs no network; or let the sample workflow do it all.")
                st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=PLAY)
        else:
            show_remarks(version)
            with failures_shown():
                show_problems(controller.collection_of(version))
            show_metrics(version, controller.preprocessing_of(version))
            with failures_shown():
                show_bars(version)
    if version is None:
        show_badges(header, ("no dataset yet", "gray"))
        return
    verdict = (version.verdict or UNCHECKED, VERDICT_COLOURS.get(version.verdict, "gray"))
    show_badges(header, *sample_badge(version), (f"version {version.short_hash}", "green"), verdict)
    with failures_shown():
        show_validation(version, controller.validation_of(version))
    show_versions(versions, version)


with failures_shown():
    show()
