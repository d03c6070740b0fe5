"""What a result is made of: its months, its groups of trades, and what costs leave of its edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from components.charts.template import QUIET, TEXT, WARNING, mixed, palette, styled
from components.numbers import number
from execution.cost_edge import CostEdge

# The darkest that a cell may be and still carry its figure in the colour of text.
_FULL_UP, _FULL_DOWN, _NOTHING = 0.52, 0.62, 0.06
_SPREAD, _SLIPPAGE, _COMMISSION, _SWAP = WARNING, "#b35568", "#ff9838", "#b79bff"


def months_figure(table: pd.DataFrame, *, unit: str, digits: int = 2) -> go.Figure:
    """A heat map of figures by month and year, diverging around 0: `table` has a row a year and a column a month."""
    shown = table.T
    values = shown.to_numpy(dtype="float64")
    reach = float(np.nanquantile(np.abs(values[:12]), 0.95)) if np.isfinite(values[:12]).any() else 1.0
    words = [[number(value, digits, sign=True) if value == value else "" for value in row] for row in values]  # noqa: PLR0124
    up, down = palette().up, palette().down
    figure = go.Figure(
        go.Heatmap(
            x=[str(year) for year in shown.columns],
            y=list(shown.index),
            z=values,
            text=words,
            texttemplate="%{text}",
            textfont={"size": 10.5, "color": TEXT},
            hovertemplate=f"%{{y}} %{{x}}: %{{text}} {unit}<extra></extra>",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            zmin=-reach or -1,
            zmax=reach or 1,
            colorscale=[[0, mixed(down, _FULL_DOWN)], [0.5, mixed(QUIET, _NOTHING)], [1, mixed(up, _FULL_UP)]],
            showscale=False,
        )
    )
    styled(figure, 330)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(type="category", showgrid=False, showspikes=False, side="top")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, showspikes=False, side="left")
    return figure


def groups_figure(table: pd.DataFrame, *, unit: str, column: str = "mean_pips", digits: int = 1) -> go.Figure:
    """A bar a group, up or down from 0, with the number of its trades; `table` is a breakdown."""
    colours = palette()
    values = table[column]
    words = [
        f"{number(value, digits, sign=True)} · n = {number(count)}" if count else "no trade"
        for value, count in zip(values, table["trades"], strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=[str(name) for name in table.index],
            orientation="h",
            marker_color=[mixed(colours.up, 0.6) if value > 0 else mixed(colours.down, 0.7) for value in values],
            text=words,
            textposition="auto",
            textfont={"size": 10.5, "color": TEXT},
            insidetextanchor="start",
            hovertemplate=f"%{{y}}: %{{x:.{digits}f}} {unit}<extra></extra>",
            cliponaxis=False,
        )
    )
    styled(figure, max(180, 56 + 24 * len(table)))
    figure.update_layout(hovermode="closest", bargap=0.25)
    figure.update_xaxes(
        title={"text": unit, "font": {"size": 10.5, "color": QUIET}}, zeroline=True, zerolinecolor=QUIET
    )
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, side="left", ticksuffix=" ")
    return figure


def edge_figure(edge: CostEdge) -> go.Figure:
    """One strip of the gross edge: what is left of it, and what each cost takes, in pips a trade."""
    colours = palette()
    parts: Sequence[tuple[str, float, str]] = [
        ("net", edge.net, mixed(colours.up, 0.75) if edge.net > 0 else mixed(colours.down, 0.8)),
        ("spread", -edge.spread, _SPREAD),
        ("slippage", -edge.slippage, _SLIPPAGE),
        ("commission", -edge.commission, _COMMISSION),
        ("swap", edge.swap, _SWAP),
    ]
    figure = go.Figure()
    for name, pips, colour in parts:
        if not round(pips, 2):
            continue
        words = f"{name} {number(pips, 1, sign=True)}"
        figure.add_bar(
            x=[abs(pips)],
            y=[""],
            orientation="h",
            name=words,
            marker={"color": colour, "line": {"width": 1, "color": mixed(colour, 0.2)}},
            hovertemplate=f"{words} pips a trade<extra></extra>",
        )
    styled(figure, 84)
    figure.update_layout(
        barmode="stack",
        hovermode="closest",
        showlegend=True,
        legend={"y": -0.15, "yanchor": "top", "traceorder": "normal"},
    )
    figure.update_xaxes(visible=False, range=[0, sum(abs(pips) for _, pips, _ in parts)])
    figure.update_yaxes(visible=False)
    return figure
