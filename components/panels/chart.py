"""Charts on a page: which part of a series is shown, chosen by range button or by box, and the figure itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from components.charts.detail import stretch, thin_bars
from components.charts.price import Breaks, closed_hours
from components.numbers import number
from components.panels.words import verbatim
from data.versions import DatasetVersion
from market.bars import PRICES
from market.timeframes import parse_timeframe

AVERAGES = ("sma_20", "sma_50")
BOX_HINT = "box select zooms in"  # for the caption of a card: the tool appears above the chart on hover
_RANGES = {"1D": 1, "1W": 7, "1M": 31, "3M": 92, "1Y": 366, "All": None}
Box = tuple[pd.Timestamp, pd.Timestamp]


@dataclass(frozen=True)
class Span:
    """The part of a series that a chart shows: what its range button says or, with one, the times of a box."""

    choice: str
    box: Box | None = None

    def __str__(self) -> str:
        """For the name of a file."""
        return "_".join(f"{end:%Y%m%dT%H%M}" for end in self.box) if self.box else self.choice

    def start(self, last: pd.Timestamp) -> pd.Timestamp | None:
        """Where a range begins, counted back from the last bar; None for all."""
        days = _RANGES[self.choice]
        return None if days is None else last - pd.Timedelta(days=days)

    def cut(self, version: DatasetVersion, symbol: str | None, columns: tuple[str, ...] | None = None) -> pd.DataFrame:
        """The bars of the span; at least a few, however small the box."""
        if self.box is None:
            return version.bars(symbol, since=self.start(pd.Timestamp(version.last_time)), columns=columns)
        # A few bars before it as well, over a weekend: it may lie between two bars, or in a link after the last one.
        before = parse_timeframe(version.timeframe).delta * 20 + pd.Timedelta(days=4)
        since = min(self.box[0], pd.Timestamp(version.last_time)) - before
        bars = version.bars(symbol, since=since, columns=columns)
        return bars.iloc[stretch(pd.DatetimeIndex(bars.index), *self.box)]


def ask_span(chart: str, of: str, default: str = "All", otherwise: str = "") -> Span:
    """Range buttons, kept in the URL, and the way back from a box that was dragged in `chart` while it showed `of`.

    `otherwise` names what is shown without a box, where that is not the range.
    """
    choice = st.segmented_control(
        "Range",
        list(_RANGES),
        default=default,
        required=True,
        key="range",
        label_visibility="collapsed",
        bind="query-params",
        on_change=partial(_forget_box, chart),
    )
    span = Span(choice or default, held_box(chart, of))
    if span.box:
        show_way_back(chart, otherwise or span.choice)
    return span


def show_way_back(chart: str, where: str) -> None:
    """The button that leaves a box."""
    st.button(
        f"Back to {where}",
        key=f"{chart}.back",
        icon=":material/zoom_out:",
        on_click=partial(_forget_box, chart),
    )


def held_box(chart: str, of: str) -> Box | None:
    """The box dragged in `chart` while it showed `of`, kept in the URL; that of another dataset or run is forgotten."""
    name = f"{chart}.box"
    if name not in st.session_state and (asked := st.query_params.get(name)):
        if box := _read_box(asked):
            st.session_state[name] = of, box
        else:
            st.warning(verbatim(f"The link names the box {asked!r}, which is no stretch of time. The range is shown."))
    held: tuple[str, Box] | None = st.session_state.get(name)
    if held is None or held[0] != of:
        _forget_box(chart)
        return None
    st.query_params[name] = "~".join(f"{end:%Y-%m-%dT%H:%M}" for end in held[1])
    return held[1]


def _read_box(text: str) -> Box | None:
    try:
        begin, end = (pd.Timestamp(each, tz="UTC") for each in text.split("~"))
    except ValueError:
        return None
    return (begin, end) if begin < end else None


def _take_box(chart: str, of: str) -> None:
    """What a box dragged in the chart says: its times without a zone are UTC, as those that were drawn."""
    if boxes := st.session_state[chart]["selection"]["box"]:
        begin, end = sorted(pd.Timestamp(each, tz="UTC") for each in boxes[-1]["x"])
        st.session_state[f"{chart}.box"] = of, (begin.floor("min"), end.ceil("min"))


def _forget_box(chart: str) -> None:
    st.session_state.pop(f"{chart}.box", None)
    st.query_params.pop(f"{chart}.box", None)


@dataclass(frozen=True)
class Drawn:
    """The candles of a span, how many bars they stand for, and the hours without bars."""

    candles: pd.DataFrame
    bars: int
    closed: Breaks


@st.cache_data(
    ttl=3600,
    max_entries=32,
    show_spinner="Reading the bars",
    hash_funcs={DatasetVersion: lambda version: version.content_hash, Span: repr},
)
def drawn_bars(home: str, version: DatasetVersion, symbol: str | None, span: Span, points: int) -> Drawn:
    """What a chart of a span needs; kept for an hour, as a version never changes. `home` tells workbenches apart."""
    return drawn_of(span.cut(version, symbol, (*PRICES, *AVERAGES)), points)


def drawn_of(bars: pd.DataFrame, points: int) -> Drawn:
    """`bars` as candles."""
    return Drawn(thin_bars(bars, points), len(bars), closed_hours(bars))


def drawn_words(shown: int, there: int, points: int) -> str:
    """How many candles stand for how many bars."""
    joined = max(1, -(-shown // points))
    drawn = -(-shown // joined)
    each = f", {joined} bars a candle" if joined > 1 else ""
    return f"drawn {number(drawn)} of {number(there)} bars{each}"


def show_figure(figure: go.Figure, key: str, file_name: str, of: str) -> None:
    """The figure over the full width; on hover it can be saved as PNG, and a box takes its times as the span.

    `of` is what the figure shows; `ask_span` and `held_box` give the box to the same only.
    """
    # Plotly offers its box select only where there are markers: here is one, and it is nowhere.
    figure.add_scatter(x=[None], y=[None], mode="markers", showlegend=False, hoverinfo="skip")
    if f"{key}.box" in st.session_state:
        figure.update_layout(dragmode="select")  # who zoomed in by a box may want to go on
    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        on_select=partial(_take_box, key, of),
        selection_mode="box",
        config={
            "displaylogo": False,
            "scrollZoom": True,
            # The tool "Zoom" would only enlarge what is drawn.
            "modeBarButtonsToRemove": ["zoom2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": {"filename": file_name, "scale": 2},
        },
    )


def show_still(figure: go.Figure, key: str, file_name: str) -> None:
    """A figure that is looked at and not zoomed; on hover it can be saved as PNG."""
    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        config={
            "displaylogo": False,
            "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
            "toImageButtonOptions": {"filename": file_name, "scale": 2},
        },
    )
