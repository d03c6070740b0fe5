"""What the widgets of a page hold at first, by their keys in the session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from components.panels.place import is_redrawn


def keep_defaults(values: Mapping[str, Any]) -> None:
    """What widgets hold at first, by their keys, unless something stands there already.

    Not handed to the widgets: Streamlit warns about a default beside a value that was put there by a page. A browser
    that has dropped the page's elements is told again what they hold: it would take them for untouched otherwise.
    """
    for name, value in values.items():
        if name not in st.session_state:
            st.session_state[name] = value
        elif is_redrawn():
            st.session_state[name] = st.session_state[name]
