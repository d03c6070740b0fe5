"""The cards of the Explorer page: a database, its tables, their rows, and SQL of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from components.numbers import number
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import card
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.explore import MOST_ROWS, MOST_SECONDS, Found, TableInfo, query, rows

_ROWS_SHOWN = 15


def ask_database(names: Sequence[str]) -> str:
    """The database to look into, kept in the URL."""
    return choose("Database", names, "database", str)


def ask_table(tables: Sequence[TableInfo]) -> TableInfo | None:
    """The table to look into; the list beside it says how much each holds."""
    if not tables:
        st.markdown("This database has no tables.")
        return None
    by_name = {table.name: table for table in sorted(tables, key=lambda table: -table.rows)}
    listed = pd.DataFrame(
        {
            "Table": list(by_name),
            "Rows": [table.rows for table in by_name.values()],
            "Kind": [_kind(table) for table in by_name.values()],
        }
    )
    show_table(listed, key="explorer.tables", formats={"Rows": number}, widths={"Rows": 90, "Kind": 96})
    chosen = by_name[choose("Table", list(by_name), "table", str)]
    with st.expander(f"Columns of {chosen.name}"):
        columns = pd.DataFrame({"Column": list(chosen.columns), "Type": list(chosen.columns.values())})
        show_table(columns, key="explorer.columns", rows=len(columns))
    return chosen


def show_rows(database: str, table: TableInfo) -> None:
    """Rows of a table by page, filtered by what they contain or found by full-text search."""
    with card(table.name, f"{number(table.rows)} rows · {'by rank' if table.searchable else 'newest first'}"):
        filters, place = st.columns([3, 1], gap="xsmall", vertical_alignment="bottom")
        with filters:
            text = _ask_text(table)
        pages = max(1, -(-table.rows // MOST_ROWS))
        page = place.number_input(f"Page of {number(pages)}", 1, pages, key=f"explorer.page.{table.name}")
        with failures_shown():
            searched, contained = (text, "") if table.searchable else ("", text)
            skip = (page - 1) * MOST_ROWS
            found = rows(database, table.name, contains=contained, search=searched, skip=skip)
            _show_found(found, f"{database.removesuffix('.db')}_{table.name}.csv", "explorer.rows")


def show_query(database: str, table: TableInfo | None) -> None:
    """SQL of the reader's own: read-only, at most so many rows and seconds."""
    limits = f"reading only · at most {number(MOST_ROWS)} rows and {MOST_SECONDS:g} s"
    with card("SQL", limits), st.form("explorer.form", border=False):
        example = f'SELECT * FROM "{table.name}" LIMIT 20' if table else "SELECT 1"  # noqa: S608  # a suggestion
        sql = st.text_area("Statement", example, key=f"explorer.sql.{database}", height=110)
        asked = st.form_submit_button("Run query", key="explorer.run", icon=":material/play_arrow:")
    if asked:
        st.session_state["explorer.asked"] = (database, sql)
    last = st.session_state.get("explorer.asked")
    if last and last[0] == database:
        with card("Result", verbatim(" ".join(last[1].split())[:120])), failures_shown():
            _show_found(query(*last), f"{database.removesuffix('.db')}_query.csv", "explorer.result")


def _ask_text(table: TableInfo) -> str:
    if table.searchable:
        return st.text_input(
            "Search the text", key=f"explorer.search.{table.name}", placeholder="words", icon=":material/search:"
        )
    return st.text_input(
        "Rows that contain", key=f"explorer.filter.{table.name}", placeholder="any text", icon=":material/search:"
    )


def _show_found(found: Found, file_name: str, key: str) -> None:
    if found.table.empty:
        st.markdown("No row answers to this.")
        return
    # As stored: a size of 8317 is no 8317.000000.
    formats = {str(name): "{:.15g}".format for name, column in found.table.items() if column.dtype.kind == "f"}
    show_table(found.table, key=key, formats=formats, rows=_ROWS_SHOWN)
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button("These rows as CSV", lambda: found.table, file_name, key=f"{key}.csv")
        more = ", there are more" if found.more else ""
        st.caption(f"{number(len(found.table))} rows{more} · {1000 * found.seconds:.0f} ms", width="content")


def _kind(table: TableInfo) -> str:
    if table.is_view:
        return "view"
    return "searchable" if table.searchable else "table"
