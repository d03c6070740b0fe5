"""Equity above, drawdown below, on one time axis."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.charts.detail import thin_line
from components.charts.template import QUIET, palette, styled


def equity_figure(
    equity: pd.Series,
    drawdown: pd.Series,
    *,
    name: str,
    currency: str,
    points: int,
    benchmark: pd.Series | None = None,
    height: int = 340,
) -> go.Figure:
    """`equity` and `benchmark` in money, `drawdown` as a fraction ≤ 0; each drawn with at most `points` points."""
    colours = palette()
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.04)
    if benchmark is not None:
        held = thin_line(benchmark, points)
        line = {"width": 1, "dash": "dot", "color": QUIET}
        figure.add_scatter(x=held.index, y=held, name="Buy and hold", line=line, row=1, col=1)
    drawn = thin_line(equity, points)
    figure.add_scatter(x=drawn.index, y=drawn, name=name, line={"width": 1.5, "color": colours.up}, row=1, col=1)
    under = thin_line(100 * drawdown, points)
    figure.add_scatter(
        x=under.index,
        y=under,
        name="Drawdown",
        line={"width": 1, "color": colours.down},
        fill="tozeroy",
        fillcolor=colours.down_fill,
        showlegend=False,
        row=2,
        col=1,
    )
    styled(figure, height)
    figure.update_xaxes(hoverformat="%a %Y-%m-%d %H:%M UTC")
    figure.update_yaxes(title={"text": currency, "font": {"size": 10.5, "color": QUIET}}, tickformat=",.0f", row=1)
    figure.update_yaxes(title={"text": "%", "font": {"size": 10.5, "color": QUIET}}, hoverformat=".2f", row=2)
    return figure
