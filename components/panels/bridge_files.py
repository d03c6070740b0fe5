"""What MetaTrader's tester and terminal wrote: dropped here, read at once, listed with whether their totals agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from components.numbers import DASH, number, stamp
from components.panels.choice import choose_next
from components.panels.failure import failures_shown
from components.panels.page import card
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import InputError, SequenceError
from mql5.bridge.imports import ImportStore

_NTH, _TAKEN = "bridge.files.nth", "bridge.files.taken"
_MOST_MIB = 64
_ENDINGS = ["html", "htm", "xml", "csv", "json"]
_WIDTHS = {
    "Imported, UTC": 130,
    "Kind": 98,
    "Expert": 124,
    "Symbol": 66,
    "TF": 40,
    "From": 86,
    "To": 86,
    "Net, %": 60,
    "Won, %": 60,
    "Max. DD, %": 84,
    "Sharpe": 60,
    "Trades": 58,
    "Totals": 74,
    "Remarks": 68,
    "File": 260,
}
_COLOURS = {"agree": "#2fe08a", "disagree": "#ff7a8e"}
Row = dict[str, Any]


def show_imports(rows: Sequence[Row]) -> None:
    """The field for files, what became of those just dropped, and all imported runs."""
    with card("Imported from MetaTrader", "newest first · select one to read its remarks"):
        _ask_files()
        _show_taken()
        if not rows:
            st.markdown("None yet. What is dropped above is compared with a run of Sequence as soon as it is read.")
            return
        selected = show_table(
            _table(rows),
            key="bridge.imports",
            select="one",
            formats=dict.fromkeys(("Net, %", "Won, %", "Max. DD, %", "Sharpe"), _two),
            right=["Trades", "Remarks"],
            signed=["Net, %"],
            widths=_WIDTHS,
            colours={"Totals": lambda word: _COLOURS.get(word, "")},
            help_texts={"Totals": "Whether the report's own sums agree with its deals; – where it prints none."},
            rows=8,
        )
        csv_button("Imports as CSV", lambda: _everything(rows), "imported_runs.csv", key="bridge.imports.csv")
        if selected:
            _show_remarks(rows[selected[0]])


def _ask_files() -> None:
    """Read what is dropped, once: the field is empty afterwards."""
    nth = st.session_state.setdefault(_NTH, 0)
    dropped = st.file_uploader(
        "Drop files: tester report (HTML), optimisation (XML), history or deals (HTML, CSV), the EA's export (JSON)",
        type=_ENDINGS,
        accept_multiple_files=True,
        max_upload_size=_MOST_MIB,
        key=f"bridge.files.{nth}",
    )
    if not dropped:
        return
    with st.spinner(f"Reading {number(len(dropped))} file{'' if len(dropped) == 1 else 's'}"):
        st.session_state[_TAKEN] = [_take(each) for each in dropped]
    st.session_state[_NTH] = nth + 1
    st.rerun()


def _take(file: UploadedFile) -> tuple[str, str, SequenceError | None]:
    """(file, what was read of it, why not)."""
    try:
        row, is_new = ImportStore().enter_file(file.getvalue(), file.name)
    except SequenceError as error:
        return file.name, "", error
    if is_new and row["kind"] not in {"optimization", "forward"}:
        choose_next("report", _name(row))  # the one to compare
    trades = DASH if row["trades_count"] is None else number(row["trades_count"])
    said = f"{row['kind']} of {row['strategy_name']}, {row['symbol']} {row['timeframe']}, {trades} trades"
    return file.name, said if is_new else f"{said}; it was imported already", None


def _name(row: Row) -> str:
    """A report as the address names it."""
    return str(row["id"])


def _show_taken() -> None:
    """What became of the files dropped last, until others are."""
    for name, said, error in st.session_state.get(_TAKEN, []):
        if error is None:
            st.markdown(f":green[:material/check:] **{verbatim(name)}** :gray[{verbatim(said)}]")
        else:
            with failures_shown():
                raise InputError(f"{name}: {error.what}", error.cure) if isinstance(error, InputError) else error


def _show_remarks(row: Row) -> None:
    remarks = row["problems"] or []
    if not remarks:
        st.caption(f"Nothing to remark on {verbatim(row['file_name'] or row['strategy_name'])}.")
    for remark in remarks:
        st.markdown(f":orange[:material/warning:] {verbatim(remark)}")


def _table(rows: Sequence[Row]) -> pd.DataFrame:
    figures = {
        "Net, %": "total_return",
        "Won, %": "win_rate",
        "Max. DD, %": "max_drawdown",
        "Sharpe": "sharpe_ratio",
    }
    return pd.DataFrame(
        {
            "Imported, UTC": [stamp(row["import_timestamp"]) for row in rows],
            "Kind": [row["kind"] for row in rows],
            "Expert": [row["strategy_name"] for row in rows],
            "Symbol": [row["symbol"] for row in rows],
            "TF": [row["timeframe"] or DASH for row in rows],
            "From": [_day(row["start_date"]) for row in rows],
            "To": [_day(row["end_date"]) for row in rows],
            **{title: [row[name] for row in rows] for title, name in figures.items()},
            "Trades": [DASH if row["trades_count"] is None else number(row["trades_count"]) for row in rows],
            "Totals": [{1: "agree", 0: "disagree", None: DASH}[row["totals_agree"]] for row in rows],
            "Remarks": [number(len(row["problems"] or [])) for row in rows],
            "File": [row["file_name"] or DASH for row in rows],
        }
    ).astype(dict.fromkeys(figures, "float64"))


def _day(text: str | None) -> str:
    return (text or DASH)[:10].replace(".", "-")


def _two(value: float) -> str:
    return number(value, 2)


def _everything(rows: Sequence[Row]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows)).drop(columns=["has_deals"])
    table["problems"] = [" ".join(row["problems"] or []) for row in rows]
    table["import_timestamp"] = pd.to_datetime(table["import_timestamp"], utc=True, format="ISO8601")
    return table
