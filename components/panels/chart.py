"""Charts on a page: the range buttons of the market, and the figure with its tools on hover."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from components.charts.detail import thin_bars
from components.charts.price import Breaks, closed_hours
from components.numbers import number
from data.versions import DatasetVersion
from market.bars import PRICES

AVERAGES = ("sma_20", "sma_50")
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


def range_start(last: pd.Timestamp, choice: str) -> pd.Timestamp | None:
    """Where the range that `choice` names begins, counted back from the last bar; None for all."""
    days = _RANGES[choice]
    return None if days is None else last - pd.Timedelta(days=days)


@dataclass(frozen=True)
class Drawn:
    """The candles of a range, how many bars they stand for, and the hours without bars."""

    candles: pd.DataFrame
    bars: int
    closed: Breaks


@st.cache_data(
    ttl=3600,
    max_entries=32,
    show_spinner="Reading the bars",
    hash_funcs={DatasetVersion: lambda version: version.content_hash},
)
def drawn_bars(home: str, version: DatasetVersion, symbol: str | None, choice: str, points: int) -> Drawn:
    """What a chart of a range needs; kept for an hour, as a version never changes. `home` tells workbenches apart."""
    since = range_start(pd.Timestamp(version.last_time), choice)
    bars = version.bars(symbol, since=since, columns=(*PRICES, *AVERAGES))
    return Drawn(thin_bars(bars, points), len(bars), closed_hours(bars))


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
