"""What is shown of a run below its curve, one view at a time, so that a page stays quick."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from components.panels.analysis import show_breakdown, show_episodes, show_months
from components.panels.checks import show_checks
from components.panels.failure import failures_shown
from components.panels.page import columns
from components.panels.replay import show_replay
from components.panels.result import show_statistics, show_trades, version_of
from execution.runs import StoredRun


def show_view(run: StoredRun) -> None:
    """Ask for the view, which stands in the address as well, and show it."""
    view = st.segmented_control(
        "View",
        list(_VIEWS),
        default="Trades",
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    with failures_shown():
        _VIEWS[view](run)


def _show_breakdowns(run: StoredRun) -> None:
    left, right = columns([2, 3])
    with left:
        show_months(run)
    with right:
        show_breakdown(run)
    show_episodes(run)


_VIEWS: dict[str, Callable[[StoredRun], None]] = {
    "Trades": show_trades,
    "Breakdown": _show_breakdowns,
    "Checks": lambda run: show_checks(run, version_of(run)),
    "Replay": lambda run: show_replay(run, version_of(run)),
    "Statistics": show_statistics,
}
