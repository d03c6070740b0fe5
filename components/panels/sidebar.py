"""What stands under the navigation on every page."""

from __future__ import annotations

import streamlit as st

from components.panels.page import redraw
from core.clock import utc_now
from core.version import __version__


def show_sidebar() -> None:
    """The clock all times of the workbench are in, and what this is."""
    with st.sidebar:
        redraw(_draw_clock, "20s")
        st.caption(f"Sequence {__version__}  \nAGPL-3.0-or-later")


def _draw_clock() -> None:
    st.markdown(f"**{utc_now():%H:%M} UTC**  \n:gray[{utc_now():%a %d %b %Y}]")
