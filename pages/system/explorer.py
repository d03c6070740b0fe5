"""Explorer: look into any database of the workbench, without being able to change it."""

from __future__ import annotations

import streamlit as st

from components.panels.explorer import ask_database, ask_table, show_query, show_rows
from components.panels.failure import failures_shown
from components.panels.page import card, columns, page_header, show_badges
from core.explore import databases, describe
from workbench import OVERVIEW

SENTENCE = "Look into any database of the workbench: tables, rows, search, SQL. Nothing can be changed here."


def show() -> None:
    """A database and its tables on the left, rows and SQL on the right."""
    header = page_header("Explorer", SENTENCE)
    names = databases()
    if not names:
        show_badges(header, ("no database yet", "gray"))
        with card("No database yet"):
            st.markdown("Databases appear with the first data. The sample workflow makes the first two.")
            st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
        return
    show_badges(header, (f"{len(names)} databases", "gray"), ("read-only", "green"))
    left, right = columns([1, 2])
    table = None
    with left, card("Tables"):
        database = ask_database(names)
        with failures_shown():
            table = ask_table(describe(database))
    with right:
        if table:
            show_rows(database, table)
        show_query(database, table)


with failures_shown():
    show()
