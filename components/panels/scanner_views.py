"""What the Scanner page shows of the chosen series and of all, one view at a time, so that the page stays quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import columns
from components.panels.scanner import SERIES, choose_setup, opened_setup, show_setups
from components.panels.scanner_chart import show_chart, show_timeframes
from components.panels.scanner_data import ScannedSeries
from components.panels.scanner_study import show_study
from components.panels.scanner_tables import show_alerts, show_metrics, show_volatility, show_why_not
from scanner.reading import held_series
from scanner.store import list_alerts, list_ranks, list_scans, list_setups

_CANDIDATES = 2_000  # that fell short, at most, are listed
_ALERTS = 200


@dataclass(frozen=True)
class Chosen:
    """A view, the series it is of, all series, and the setups that were found in them."""

    view: str
    series: ScannedSeries
    every: Sequence[ScannedSeries]
    setups: pd.DataFrame


def ask_view(every: Sequence[ScannedSeries]) -> Chosen:
    """The view and the series, both of which stand in the address; a row clicked in the setups chooses its series."""
    setups = list_setups()
    choose_setup(setups, every)
    by_key = {each.key: each for each in every}
    left, right = columns([2, 1])
    with left:
        view = st.segmented_control(
            "View",
            list(_VIEWS),
            default="Setups",
            required=True,
            key="view",
            bind="query-params",
            label_visibility="collapsed",
        )
    with right:
        key = choose("Series", list(by_key), SERIES, lambda each: by_key[each].label, show_label=False)
    return Chosen(view, by_key[key], every, setups)


def show_view(chosen: Chosen) -> None:
    """The view that was asked for."""
    with failures_shown():
        _VIEWS[chosen.view](chosen)


def _show_setups(chosen: Chosen) -> None:
    opened = opened_setup(chosen.setups, chosen.series)
    show_setups(chosen.setups, chosen.every, opened)
    with failures_shown():
        show_chart(chosen.series, chosen.every, opened)


_VIEWS: dict[str, Callable[[Chosen], None]] = {
    "Setups": _show_setups,
    "Timeframes": lambda chosen: show_timeframes(chosen.series, chosen.every),
    "Why not": lambda chosen: show_why_not(list_setups(setups_only=False, limit=_CANDIDATES), chosen.every),
    "Outcome study": lambda chosen: show_study(chosen.series, chosen.every),
    "Alerts": lambda chosen: show_alerts(list_alerts(_ALERTS), chosen.every),
    "Metrics": lambda chosen: show_metrics(list_scans(), chosen.every),
    "Volatility": lambda chosen: show_volatility(list_ranks(), sorted(held_series()["symbol"].unique())),
}
