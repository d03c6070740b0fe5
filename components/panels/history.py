"""Earlier runs on the Backtesting page: find one, open it, write to it, load its settings, delete it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from components.numbers import number, stamp
from components.panels.backtest import load_settings
from components.panels.choice import choose
from components.panels.exports import ask_import, show_exports
from components.panels.listing import (
    Listing,
    ask_one,
    ask_text,
    filter_row,
    mark_open,
    open_asked,
    open_instead,
    show_no_match,
)
from components.panels.page import card
from components.panels.remarks import Opened, confirm_delete, show_delete_button, show_load_button, show_note_form
from components.panels.result import offer_deployment
from components.panels.table import csv_button, show_table
from execution.backtest_manager import manager
from execution.metrics import ENOUGH_TRADES
from execution.runs import StoredRun, filter_runs

PLACE = "backtest"
_RUNS = Listing(
    "run", "run", "backtest.runs", {"runs.find": "", "runs.strategy": None, "runs.symbol": None, "runs.tag": None}
)


def ask_run(runs: Sequence[StoredRun]) -> StoredRun:
    """The run to look at, kept in the URL, the newest at first; beside it what can be done with it.

    A row clicked in the list of runs opens that run.
    """
    by_id = {run.run_id: run for run in runs}
    words = {run.run_id: f"{run.run_id} · {stamp(run.created_at)}" for run in runs}
    open_asked(_RUNS, list(by_id))
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        run = by_id[choose("Run", list(by_id), _RUNS.name, words.__getitem__, show_label=False)]
        opened = Opened(PLACE, "run", run.run_id, run.run_id, run)
        # In a container of their own the buttons wrap together, below the run's full name.
        with st.container(horizontal=True, width="content", gap="xsmall"):
            show_note_form(
                opened,
                lambda: manager.run(run.run_id),
                lambda note, tags: manager.annotate(run.run_id, note=note, tags=tags),
            )
            show_load_button(
                opened,
                "Puts dataset, strategy, parameters and costs of this run into the form.",
                lambda: load_settings(run),
            )
            show_exports(run)
            offer_deployment(run)
            show_delete_button(opened, "Delete run…")
    confirm_delete(
        opened,
        f"Delete {run.run_id} with its {number(run.trades_count)} trades, its equity curve and its note? "
        "This cannot be undone. Comparisons that name it stay.",
        lambda: manager.delete_run(run.run_id),
        _open_newest,
    )
    return run


def _open_newest() -> None:
    open_instead(_RUNS, next((run.run_id for run in manager.runs(limit=1)), None))


def show_history(runs: Sequence[StoredRun], opened: StoredRun) -> None:
    """All runs that answer to the filters; the open one is marked, a click opens another."""
    with card("Runs", "newest first · select one to open it · click a header to sort · times UTC"):
        listed = _ask_filter(runs)
        mark_open(_RUNS, [run.run_id for run in listed], opened.run_id)
        if not listed:
            show_no_match(_RUNS, len(runs))
            return
        table = _history_table(listed)
        show_table(
            table,
            key=_RUNS.table,
            formats={
                "Net, %": lambda value: number(value, 2, sign=True),
                "Sharpe": lambda value: number(value, 2),
                "Drawdown, %": lambda value: number(value, 2),
                "Trades": number,
            },
            signed=["Net, %"],
            widths=_WIDTHS,
            help_texts={"Sharpe": f"Daily, per year; – below {ENOUGH_TRADES} trades, where a ratio says little."},
            select="one",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            csv_button("Runs as CSV", lambda: table, "backtest_runs.csv", key="backtest.runs.csv")
            ask_import()
            st.caption(f"{number(len(listed))} of {number(len(runs))} runs", width="content")


# Together with the column of the selection they fill a full card beside a sidebar of 256 px: 1113 px.
_WIDTHS = {
    "When, UTC": 134,
    "Run": 190,
    "Strategy": 104,
    "Data": 152,
    "Net, %": 68,
    "Sharpe": 66,
    "Drawdown, %": 94,
    "Trades": 64,
    "Tags": 112,
    "Note": 96,
}


def _history_table(runs: Sequence[StoredRun]) -> pd.DataFrame:
    """One row a run; figures stay numbers, so that a click on a header sorts them."""
    return pd.DataFrame(
        {
            "When, UTC": [stamp(run.created_at) for run in runs],
            "Run": [run.run_id for run in runs],
            "Strategy": [run.strategy_name for run in runs],
            "Data": [f"{run.symbol} {run.timeframe} {run.dataset_hash[:8]}" for run in runs],
            "Net, %": [run.total_return for run in runs],
            "Sharpe": [run.sharpe_ratio if run.trades_count >= ENOUGH_TRADES else None for run in runs],
            "Drawdown, %": [run.max_drawdown for run in runs],
            "Trades": [run.trades_count for run in runs],
            "Tags": [", ".join(run.tags) for run in runs],
            "Note": [run.note or "" for run in runs],
        }
    ).astype(dict.fromkeys(("Net, %", "Sharpe", "Drawdown, %"), "float64"))


def _ask_filter(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The runs that answer to text, strategy, symbol and tag, all of which live in the URL."""
    with filter_row():
        text = ask_text("runs.find", "run, strategy, symbol, note and tags")
        strategy = ask_one("Strategy", (run.strategy_name for run in runs), "runs.strategy", "any strategy")
        symbol = ask_one("Symbol", (run.symbol for run in runs), "runs.symbol", "any symbol")
        tag = ask_one("Tag", (tag for run in runs for tag in run.tags), "runs.tag", "any tag")
    return filter_runs(runs, text, strategy, symbol, tag)
