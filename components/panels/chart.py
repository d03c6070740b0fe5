"""Charts on a page: the range buttons of the market, and the figure with its tools on hover."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from components.numbers import number

_RANGES = {"1D": 1, "1W": 7, "1M": 31, "3M": 92, "1Y": 366, "All": None}


def range_choice(key: str, default: str = "All") -> str:
    """Range buttons, kept in the URL."""
    chosen = st.segmented_control(
        "Range",
        list(_RANGES),
        default=default,
        required=True,
        key=key,
        label_visibility="collapsed",
        bind="query-params",
    )
    return chosen or default


def within(bars: pd.DataFrame, choice: str) -> pd.DataFrame:
    """The newest part of `bars` that `choice` asks for, counted back from the last bar."""
    days = _RANGES[choice]
    return bars if days is None or bars.empty else bars[bars.index > bars.index[-1] - pd.Timedelta(days=days)]


def drawn_words(shown: int, there: int, points: int) -> str:
    """How many candles stand for how many bars."""
    joined = max(1, -(-shown // points))
    drawn = -(-shown // joined)
    each = f", {joined} bars a candle" if joined > 1 else ""
    return f"drawn {number(drawn)} of {number(there)} bars{each}"


def show_figure(figure: go.Figure, key: str, file_name: str) -> None:
    """The figure over the full width; on hover it can be saved as PNG."""
    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        config={
            "displaylogo": False,
            "scrollZoom": True,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": {"filename": file_name, "scale": 2},
        },
    )
