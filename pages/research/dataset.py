"""Dataset: the passport of one dataset version, what it covers, what is wrong with it, where it came from."""

from __future__ import annotations

from functools import partial

import streamlit as st

from components.panels.difference import show_difference
from components.panels.failure import failures_shown, fetched
from components.panels.findings import revisions_of, show_findings
from components.panels.lineage import show_lineage
from components.panels.page import card, columns, page_header, show_badges
from components.panels.passport import (
    PLACE,
    ask_passport,
    ask_symbol,
    badges_of,
    measured,
    show_course,
    show_coverage,
    show_metrics,
    show_moves,
    show_ranges,
)
from components.panels.remarks import show_outcome, show_remarks
from core.settings import output_folder
from data.pipeline_controller import DatasetVersion, controller
from workbench import BACKTESTING, DATA_PIPELINE, OVERVIEW

SENTENCE = "Everything known about one dataset version: what it covers, what is wrong with it, where it came from."


def show_empty() -> None:
    """No dataset yet: what will be here and how to get there."""
    with card("No dataset yet"):
        st.markdown("A dataset version appears here with its coverage, gaps and spikes, its origin and what uses it.")
        st.markdown("Let the sample workflow make the first one, or collect bars.")
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=DATA_PIPELINE.icon)


def show_measured(version: DatasetVersion) -> None:
    """The figures of the version, its coverage and findings, and below them its lineage and moves."""
    symbol = ask_symbol(version)
    found = measured(str(output_folder()), version, symbol)
    collection, validation = controller.collection_of(version), controller.validation_of(version)
    rules = {rule["rule"]: rule for rule in validation["rules"]} if validation else {}
    show_metrics(version, found, rules)
    left, right = columns([15, 10])
    with left:
        show_coverage(version, found)
    with right, failures_shown():
        revisions = fetched(partial(revisions_of, version, collection["sources"])) if collection else None
        show_findings(version, found, rules, revisions)
    show_lineage(version, collection, controller.preprocessing_of(version), validation)
    for place, show_part in zip(columns([1, 1, 1]), (show_moves, show_course, show_ranges), strict=True):
        with place:
            show_part(version, found)


def show() -> None:
    """Which version, what can be done with it, what it is."""
    header = page_header("Dataset", SENTENCE)
    show_outcome(PLACE)
    versions = fetched(controller.versions)
    if not versions:
        show_badges(header, ("no dataset yet", "gray") if versions == [] else ("cannot read", "red"))
        if versions == []:
            show_empty()
        return
    name, version = ask_passport(versions)
    show_badges(header, *badges_of(version))
    if header.button("Backtest this version", type="primary", icon=BACKTESTING.icon, key="passport.backtest"):
        st.switch_page(BACKTESTING.file, query_params={"dataset": name})
    show_remarks(version)
    with failures_shown():
        show_measured(version)
    with failures_shown():
        show_difference(versions, name, version)


with failures_shown():
    show()
