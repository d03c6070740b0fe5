"""Data Pipeline: collect bars, check them, publish them as an immutable version."""

from __future__ import annotations

import streamlit as st

from components.panels.dataset import (
    ask_config,
    ask_version,
    show_bars,
    show_metrics,
    show_validation,
    show_versions,
)
from components.panels.failure import failures_shown
from components.panels.page import VERDICT_COLOURS, card, columns, do_once, page_header, sample_badge, show_badges
from data.config import DataConfig
from data.pipeline_controller import controller
from workbench import OVERVIEW

SENTENCE = "Collect bars, check them against the rules, and publish them as an immutable version."


def collect(config: DataConfig) -> None:
    """Run all four steps, showing each as it is done, and open the version they made."""
    with st.status("Collecting", expanded=True):
        version = controller.prepare(config, lambda step, words: st.write(f"**{step}** {words}"))
    st.session_state["version"] = version.short_hash


def show() -> None:
    """Ask on the left; the chosen version's chart, verdict and neighbours on the right and below."""
    header = page_header("Data Pipeline", SENTENCE)
    left, right = columns([1, 3])
    with left, card("Collect"):
        config = ask_config()
        with failures_shown():
            if config:
                do_once(
                    st.container(),
                    "Collect data",
                    "data.collect",
                    lambda: collect(config),
                    icon=":material/play_arrow:",
                )
    versions = controller.versions()
    with right:
        version = ask_version(versions) if versions else None
        if version is None:
            with card("No dataset yet"):
                st.markdown("Collected bars appear here: their chart, their verdict and the versions made of them.")
                st.markdown("Press **Collect data** to read the embedded sample, or let the sample workflow do it all.")
                st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
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
