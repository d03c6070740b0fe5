"""How the closes of a dataset move: their histogram, their course, the range by hour."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from components.charts.template import CHOSEN, QUIET, WARNING, palette, styled
from data.passport import WEEKDAYS, Moves


def moves_figure(moves: Moves, *, height: int = 230) -> go.Figure:
    """The histogram of the moves in pips, and dashed the normal distribution of the same deviation."""
    middles = (moves.edges[:-1] + moves.edges[1:]) / 2
    width = float(moves.edges[1] - moves.edges[0])
    share = 100 * moves.counts / max(1, moves.count)
    figure = go.Figure(
        go.Bar(
            x=middles,
            y=share,
            width=0.86 * width,
            marker={"color": palette().up, "opacity": 0.6},
            hovertemplate="%{x:.1f} pips: %{y:.2f} % of the bars<extra></extra>",
            showlegend=False,
        )
    )
    if moves.deviation:
        bell = np.exp(-0.5 * (middles / moves.deviation) ** 2) / (moves.deviation * np.sqrt(2 * np.pi))
        figure.add_scatter(
            x=middles,
            y=100 * width * bell,
            mode="lines",
            line={"width": 1.4, "dash": "dash", "color": WARNING},
            name="normal",
            hoverinfo="skip",
            showlegend=False,
        )
    styled(figure, height)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title=_title("pips"), showspikes=False)
    figure.update_yaxes(title=_title("% of bars"), side="left", showspikes=False)
    return figure


def moves_over_time_figure(over_time: pd.Series, *, height: int = 230) -> go.Figure:
    """The moves in pips over time; the index is UTC."""
    figure = go.Figure(
        go.Scatter(x=over_time.index, y=over_time, mode="lines", line={"width": 1, "color": CHOSEN}, name="move")
    )
    styled(figure, height)
    figure.update_xaxes(hoverformat="%a %Y-%m-%d %H:%M UTC")
    figure.update_yaxes(title=_title("pips"), hoverformat="+.1f", side="left")
    return figure


def ranges_figure(ranges: pd.Series, *, by_hour: bool, height: int = 230) -> go.Figure:
    """The mean range of a bar in pips by hour (UTC) or weekday; bright where it is in the highest quarter."""
    bright = ranges >= ranges.quantile(0.75)
    names = [f"{key:02d}" if by_hour else WEEKDAYS[key] for key in ranges.index]
    figure = go.Figure(
        go.Bar(
            x=names,
            y=ranges,
            marker={"color": palette().up, "opacity": np.where(bright, 1.0, 0.5)},
            hovertemplate="%{x}: %{y:.1f} pips<extra></extra>",
        )
    )
    styled(figure, height)
    figure.update_layout(hovermode="closest", bargap=0.15)
    figure.update_xaxes(
        type="category",
        showgrid=False,
        dtick=4 if by_hour else 1,
        title=_title("hour, UTC" if by_hour else "trading day"),
        showspikes=False,
    )
    figure.update_yaxes(title=_title("pips"), side="left", showspikes=False)
    return figure


def _title(words: str) -> dict[str, object]:
    return {"text": words, "font": {"size": 10.5, "color": QUIET}}
