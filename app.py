"""The workbench: `streamlit run app.py`, or `python main.py --mode gui`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from components.panels.failure import failures_shown, show_what_was_set_aside
from components.panels.jobs import show_strip
from components.panels.page import end_work
from components.panels.place import note_place
from components.panels.sidebar import show_sidebar
from core.log import configure_logging
from core.settings import current_settings
from workbench import OVERVIEW, PAGES

PANELS = Path(__file__).parent / "components" / "panels"

st.set_page_config(
    page_title="Sequence",
    page_icon=str(PANELS / "icon.svg"),
    layout="wide",
    initial_sidebar_state=212,
)
st.html(PANELS / "matrix.css")
st.logo(str(PANELS / "logo.svg"), size="large", icon_image=str(PANELS / "icon.svg"))

settings_are_good = False
with failures_shown():
    current_settings()
    configure_logging("workbench")
    settings_are_good = True
if not settings_are_good:
    st.stop()

sections: dict[str, list[st.Page]] = {}
for entry in PAGES:
    page = st.Page(entry.file, title=entry.title, icon=entry.icon, url_path=entry.url_path, default=entry is OVERVIEW)
    sections.setdefault(entry.section, []).append(page)
# Folded, the list would hide the page with the kill switch.
chosen = st.navigation(sections, expanded=True)
show_sidebar()
with st.container(gap="xsmall"), failures_shown():
    note_place(chosen)
    show_strip()
    show_what_was_set_aside()
    chosen.run()
    end_work()
    note_place(chosen, drawn=True)
