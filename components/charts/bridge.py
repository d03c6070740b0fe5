"""Bid and ask as they came from a terminal, and where signals were executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from components.charts.detail import thin_line
from components.charts.template import CHOSEN, QUIET, palette, styled

_NAMED = 3  # signals with words; more would cover the quotes


def quotes_figure(
    quotes: pd.DataFrame,
    *,
    symbol: str,
    digits: int,
    points: int,
    executed: Sequence[Mapping[str, Any]] = (),
    height: int = 300,
) -> go.Figure:
    """`bid` and `ask` by UTC time, at most `points` of each, extremes kept, and the signals `executed` among them.

    A signal has `id`, `side` (long or short), `time` (aware), `price` and `words`; the newest are at the end.
    """
    colours = palette()
    figure = go.Figure()
    for name, colour, dash in (("bid", colours.up, "solid"), ("ask", colours.down, "dot")):
        drawn = thin_line(quotes[name], points)
        last = f" {quotes[name].iloc[-1]:.{digits}f}" if len(quotes) else ""
        figure.add_scatter(
            x=pd.DatetimeIndex(drawn.index).tz_convert(None),
            y=drawn.to_numpy(),
            name=f"{name.capitalize()}{last}",
            mode="lines",
            line={"color": colour, "width": 1.3, "shape": "hv", "dash": dash},
            hovertemplate=f"{name} %{{y:.{digits}f}}<extra></extra>",
        )
    _add_signals(figure, executed)
    styled(figure, height)
    figure.update_layout(showlegend=True, uirevision=symbol)
    figure.update_xaxes(hoverformat="%Y-%m-%d %H:%M:%S.%L UTC")
    figure.update_yaxes(tickformat=f".{digits}f", title={"text": symbol, "font": {"size": 10.5, "color": QUIET}})
    return figure


def _add_signals(figure: go.Figure, executed: Sequence[Mapping[str, Any]]) -> None:
    if not executed:
        return
    times = [pd.Timestamp(each["time"]).tz_convert(None) for each in executed]
    figure.add_scatter(
        x=times,
        y=[each["price"] for each in executed],
        name="Signal executed",
        mode="markers",
        marker={
            "size": 11,
            "symbol": ["triangle-up" if each["side"] == "long" else "triangle-down" for each in executed],
            "color": CHOSEN,
        },
        text=[each["words"] for each in executed],
        hovertemplate="%{text}<extra></extra>",
    )
    for time, each in list(zip(times, executed, strict=True))[-_NAMED:]:
        figure.add_annotation(
            x=time,
            y=each["price"],
            text=each["words"],
            ax=-40,
            ay=-34 if each["side"] == "long" else 34,
            arrowcolor=CHOSEN,
            arrowhead=2,
            arrowwidth=1,
            font={"size": 10.5, "color": CHOSEN},
            bordercolor=CHOSEN,
            borderpad=3,
            bgcolor="#07140c",
        )
