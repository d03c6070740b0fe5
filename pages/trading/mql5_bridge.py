"""MQL5 Bridge: what MetaTrader sends and what it is told, as it happens, and its backtests beside ours."""

from __future__ import annotations

import streamlit as st

from components.panels.bridge import START_COMMAND, show_live, show_state, show_what_is_wrong
from components.panels.bridge_comparison import show_comparison
from components.panels.bridge_files import show_imports
from components.panels.bridge_keys import show_keys
from components.panels.bridge_signals import PLACE, ask_signal, show_signals
from components.panels.failure import failures_shown, fetched
from components.panels.page import card, page_header, redraw, show_badges
from components.panels.remarks import show_outcome
from core.settings import current_settings
from execution.backtest_manager import manager
from mql5.bridge.feed import Feed
from mql5.bridge.imports import ImportStore
from mql5.bridge.keys import KeyRing
from mql5.bridge.reach import ask_health
from mql5.bridge.ticks import TickStore
from workbench import OVERVIEW

SENTENCE = "What MetaTrader sends and what it is told: ticks in, signals out, each exactly once."


def show_empty() -> None:
    """Nothing was heard yet: how a terminal is joined, and the page that turns by itself when it speaks."""
    url = ask_health(current_settings().bridge).url
    with card("No terminal has spoken yet", "the page fills by itself with the first tick"):
        st.markdown(
            f"1. The bridge runs with the workbench, or alone: `{START_COMMAND}`\n"
            "2. Copy `mql5/experts/` into MetaTrader's *MQL5/Experts/Sequence* and compile `SequenceBridge.mq5` (F7).\n"
            f"3. *Tools > Options > Expert Advisors > Allow WebRequest for listed URL*: add `{url}`\n"
            "4. Drag *SequenceBridge* onto a chart and paste a key into `InpKey`: that of `output_central/bridge.key`, "
            "or one made below.\n\n"
            "Every step with its error numbers is in `docs/expert-advisor.md`. No terminal at hand? Reports of the "
            "tester can be dropped below, and the sample workflow gives a run to compare them with."
        )
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")

    def turn() -> None:
        with failures_shown(once=True):
            if not Feed().is_silent():
                st.rerun()

    redraw(turn, "2s")


def show() -> None:
    """The state in the header, the live part, signals, then what is kept: comparison, imports, keys."""
    place = page_header("MQL5 Bridge", SENTENCE)
    silent = fetched(Feed().is_silent)
    if silent is None:
        show_badges(place, ("cannot read", "red"))
        return
    show_state(place)
    with place, failures_shown():
        ask_signal(TickStore().symbols())
    show_what_is_wrong()
    show_outcome(PLACE)
    if silent:
        show_empty()
    else:
        show_live()
        show_signals()
    imported = fetched(ImportStore().listed)
    if imported is not None:
        with failures_shown():
            show_comparison(manager.runs(), imported)
        with failures_shown():
            show_imports(imported)
    with failures_shown():
        show_keys(KeyRing().all())


with failures_shown():
    show()
