"""Earlier runs on the Backtesting page: find one, open it, write to it, load its settings, delete it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import streamlit as st

from components.numbers import number, stamp
from components.panels.backtest import load_settings
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import card
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import InputError, UnknownNameError
from execution.backtest_manager import manager
from execution.metrics import ENOUGH_TRADES
from execution.runs import MOST_NOTE_CHARACTERS, StoredRun, filter_runs

_TABLE = "backtest.runs"
_LISTED = "backtest.runs.listed"  # the run ids as last drawn: a click means a row of that list
_MARKED = "backtest.runs.marked"  # the row last marked by us: any other one was clicked
_DOOMED = "backtest.delete.asked"
_SEEN = "backtest.note.seen"  # run, note and tags as the form last took them from the database
_SAVES = "backtest.note.saves"  # part of the popover's key: a new one appears closed
_SAID, _FAILED = "backtest.said", "backtest.failed"
_SHOWN_OF_NOTE = 160
_FILTERS = {"runs.find": "", "runs.strategy": None, "runs.symbol": None, "runs.tag": None}


def ask_run(runs: Sequence[StoredRun]) -> StoredRun:
    """The run to look at, kept in the URL, the newest at first; beside it what can be done with it.

    A row clicked in the list of runs opens that run.
    """
    by_id = {run.run_id: run for run in runs}
    words = {run.run_id: f"{run.run_id} · {stamp(run.created_at)}" for run in runs}
    if clicked := _clicked():
        st.session_state["run"] = clicked
    asked = st.session_state.get("run", st.query_params.get("run"))
    if asked is not None and asked not in by_id:
        st.warning(
            verbatim(f"There is no run {asked!r}. It was deleted, or the link is mistyped. Shown is the newest run.")
        )
        st.session_state["run"] = runs[0].run_id
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        run = by_id[choose("Run", list(by_id), "run", words.__getitem__, show_label=False)]
        # In a container of their own the buttons wrap together, below the run's full name.
        with st.container(horizontal=True, width="content", gap="xsmall"):
            _show_note_form(run)
            st.button(
                "Load its settings",
                key="backtest.load",
                icon=":material/tune:",
                help="Puts dataset, strategy, parameters and costs of this run into the form.",
                on_click=_attempt,
                args=(lambda: load_settings(run),),
            )
            st.button("Delete run…", key="backtest.delete", icon=":material/delete:", on_click=_ask_delete, args=(run,))
    _confirm_delete(run)
    return run


def show_outcome() -> None:
    """What the last button press came to, once."""
    if said := st.session_state.pop(_SAID, None):
        st.info(verbatim(said))
    if failed := st.session_state.pop(_FAILED, None):
        with failures_shown():
            raise failed


def show_remarks(run: StoredRun) -> None:
    """What a person wrote to the run: its tags, and of a long note the beginning."""
    note = " ".join((run.note or "").split())
    words = [f":blue-badge[{verbatim(tag)}]" for tag in run.tags]
    if note:
        words.append(verbatim(note if len(note) <= _SHOWN_OF_NOTE else f"{note[: _SHOWN_OF_NOTE - 1]}…"))
    if words:
        st.markdown(" ".join(words))


def show_history(runs: Sequence[StoredRun], opened: StoredRun) -> None:
    """All runs that answer to the filters; the open one is marked, a click opens another."""
    with card("Runs", "newest first · select one to open it · click a header to sort · times UTC"):
        listed = _ask_filter(runs)
        st.session_state[_LISTED] = [run.run_id for run in listed]
        if not listed:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"None of the {number(len(runs))} runs matches these filters.", width="content")
                st.button("Clear filters", key="runs.clear", on_click=_clear_filters)
            return
        _mark(st.session_state[_LISTED], opened.run_id)
        table = _history_table(listed)
        show_table(
            table,
            key=_TABLE,
            formats={
                "Net, %": lambda value: number(value, 2, sign=True),
                "Sharpe": lambda value: number(value, 2),
                "Drawdown, %": lambda value: number(value, 2),
                "Trades": number,
            },
            signed=["Net, %"],
            widths=_WIDTHS,
            help_texts={"Sharpe": f"Daily, per year; – below {ENOUGH_TRADES} trades, where a ratio says little."},
            selectable=True,
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            csv_button("Runs as CSV", lambda: table, "backtest_runs.csv", key="backtest.runs.csv")
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
    find, strategy, symbol, tag = st.columns([3, 2, 2, 2], gap="xsmall")
    with find:
        text = st.text_input(
            "Find",
            key="runs.find",
            bind="query-params",
            placeholder="in run, strategy, symbol, note and tags",
            icon=":material/search:",
        )
    with strategy:
        chosen_strategy = _ask_one("Strategy", (run.strategy_name for run in runs), "runs.strategy", "any strategy")
    with symbol:
        chosen_symbol = _ask_one("Symbol", (run.symbol for run in runs), "runs.symbol", "any symbol")
    with tag:
        chosen_tag = _ask_one("Tag", (tag for run in runs for tag in run.tags), "runs.tag", "any tag")
    return filter_runs(runs, text, chosen_strategy, chosen_symbol, chosen_tag)


def _ask_one(label: str, values: Iterable[str], key: str, nothing: str) -> str | None:
    """One of the values there are, or None; one that a link names and nothing has any more stays choosable."""
    options = list({value.casefold(): value for value in sorted(values, reverse=True)}.values())[::-1]
    asked: str | None = st.session_state.get(key, st.query_params.get(key))
    if asked and asked not in options:
        options.append(asked)
    chosen: str | None = st.selectbox(label, options, index=None, key=key, placeholder=nothing, bind="query-params")
    return chosen


def _clear_filters() -> None:
    for key, nothing in _FILTERS.items():
        st.session_state[key] = nothing


def _clicked() -> str | None:
    """The run whose row was clicked since the list was drawn."""
    rows = st.session_state.get(_TABLE, {}).get("selection", {}).get("rows", [])
    listed: list[str] = st.session_state.get(_LISTED, [])
    if not rows or rows[0] == st.session_state.get(_MARKED) or rows[0] >= len(listed):
        return None
    return listed[int(rows[0])]


def _mark(listed: Sequence[str], run_id: str) -> None:
    """Select the row of the open run, whatever moved the rows or opened the run."""
    row = listed.index(run_id) if run_id in listed else None
    rows = [] if row is None else [row]
    if st.session_state.get(_TABLE, {}).get("selection", {}).get("rows") != rows:
        st.session_state[_TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    st.session_state[_MARKED] = row


def _show_note_form(run: StoredRun) -> None:
    seen = (run.run_id, run.note, tuple(run.tags))
    # Widgets lose what they hold when another page was shown, our own keys do not.
    if st.session_state.get(_SEEN) != seen or "backtest.note" not in st.session_state:
        st.session_state.update({_SEEN: seen, "backtest.note": run.note or "", "backtest.tags": ", ".join(run.tags)})
    with (
        st.popover(
            "Note and tags", icon=":material/edit_note:", key=f"backtest.remarks.{st.session_state.get(_SAVES, 0)}"
        ),
        st.form("backtest.note_form", border=False, width=440),
    ):
        st.text_area(f"Note on {run.run_id}", key="backtest.note", max_chars=MOST_NOTE_CHARACTERS, height=140)
        st.text_input("Tags, separated by commas", key="backtest.tags", placeholder="london, breakout")
        st.form_submit_button(
            "Save note", key="backtest.note.save", on_click=_attempt, args=(lambda: _save_note(run.run_id),)
        )


def _save_note(run_id: str) -> str:
    stored = manager.run(run_id)
    seen = (run_id, stored.note, tuple(stored.tags))
    if st.session_state.get(_SEEN) != seen:
        st.session_state[_SEEN] = seen  # so that the form keeps what was typed
        raise InputError(
            f"Note or tags of {run_id} were changed elsewhere meanwhile. The note reads {stored.note or ''!r}, "
            f"the tags are {', '.join(stored.tags) or 'none'}.",
            "What you wrote is still in the form; save it again to replace them.",
        )
    tags = [tag for tag in st.session_state["backtest.tags"].split(",") if tag.strip()]
    manager.annotate(run_id, note=st.session_state["backtest.note"], tags=tags)
    st.session_state[_SAVES] = st.session_state.get(_SAVES, 0) + 1
    return f"Note and tags of {run_id} are saved."


def _ask_delete(run: StoredRun) -> None:
    st.session_state[_DOOMED] = run.run_id


def _confirm_delete(run: StoredRun) -> None:
    if st.session_state.get(_DOOMED) != run.run_id:
        st.session_state.pop(_DOOMED, None)
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(
            verbatim(
                f"Delete {run.run_id} with its {number(run.trades_count)} trades, its equity curve and its note? "
                "This cannot be undone. Comparisons that name it stay."
            )
        )
        st.button(
            f":red[Delete {verbatim(run.run_id)}]",
            key="backtest.delete.yes",
            icon=":material/delete_forever:",
            on_click=_attempt,
            args=(lambda: _delete(run.run_id),),
        )
        st.button("Keep it", key="backtest.delete.no", on_click=lambda: st.session_state.pop(_DOOMED, None))


def _delete(run_id: str) -> str:
    if st.session_state.pop(_DOOMED, None) != run_id:
        return ""  # the second click of a double click
    try:
        manager.delete_run(run_id)
        said = f"Run {run_id} is deleted."
    except UnknownNameError:
        said = f"Run {run_id} was deleted already, in another tab or from Python."
    if newest := manager.runs(limit=1):
        st.session_state["run"] = newest[0].run_id
    else:
        st.session_state.pop("run", None)
        st.query_params.pop("run", None)
    return said


def _attempt(work: Callable[[], str]) -> None:
    """Do a button's work before the page is drawn; `show_outcome` then tells what it said, or why it failed."""
    try:
        st.session_state[_SAID] = work()
    except Exception as error:
        st.session_state[_FAILED] = error
