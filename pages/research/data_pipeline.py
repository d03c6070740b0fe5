"""Data Pipeline: collect bars, check them, publish them as an immutable version."""

from __future__ import annotations

from functools import partial

import streamlit as st

from components.panels.collect import ask_draft, show_draft
from components.panels.dataset import (
    ask_version,
    show_bars,
    show_metrics,
    show_validation,
    show_versions,
)
from components.panels.failure import failures_shown
from components.panels.page import VERDICT_COLOURS, card, columns, do_once, page_header, sample_badge, show_badges
from data.config import DataConfig
from data.pipeline_controller import DatasetVersion, controller
from data.sources.uploads import forget_upload
from workbench import OVERVIEW

PLAY = ":material/play_arrow:"
SENTENCE = "Collect bars, check them against the rules, and publish them as an immutable version."


def collect(config: DataConfig) -> None:
    """Run all four steps, showing each as it is done, and open the version they made."""
    with st.status("Collecting", expanded=True):
        version = controller.prepare(config, lambda step, words: st.write(f"**{step}** {words}"))
    for file in config.files:
        forget_upload(file)
    st.session_state["version"] = version.short_hash
    st.session_state["data.uploads"] = st.session_state.get("data.uploads", 0) + 1  # an empty upload field


def find_versions() -> list[DatasetVersion] | None:
    """The versions there are; None where they cannot be read, which is shown."""
    with failures_shown():
        return controller.versions()
    return None


def show() -> None:
    """Ask on the left; the chosen version's chart, verdict and neighbours on the right and below."""
    header = page_header("Data Pipeline", SENTENCE)
    left, right = columns([1, 3])
    with left, card("Collect"):
        draft = ask_draft()
        with failures_shown():
            if draft.config:
                do_once(st.container(), "Collect data", "data.collect", partial(collect, draft.config), icon=PLAY)
    with right:
        show_draft(draft)
        versions = find_versions()
        if versions is None:
            show_badges(header, ("cannot read", "red"))
            return
        version = ask_version(versions) if versions else None
        if version is None:
            with card("No dataset yet"):
                st.markdown("Collected bars appear here: their chart, their verdict and the versions made of them.")
                st.markdown("Press **Collect data** to read the embedded sample, or let the sample workflow do it all.")
                st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=PLAY)
        else:
            show_metrics(version, controller.preprocessing_of(version))
            with failures_shown():
                show_bars(version)
    if version is None:
        show_badges(header, ("no dataset yet", "gray"))
        return
    verdict = (version.verdict or "not checked", VERDICT_COLOURS.get(version.verdict, "gray"))
    show_badges(header, *sample_badge(version), (f"version {version.short_hash}", "green"), verdict)
    with failures_shown():
        show_validation(version, controller.validation_of(version))
    show_versions(versions, version)


with failures_shown():
    show()
