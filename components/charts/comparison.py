"""Several runs in one picture: their equity over the time they share, and how alike their days are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from components.charts.detail import thin_line
from components.charts.template import CHOSEN, PAGE, QUIET, TEXT, WARNING, mixed, palette, styled
from components.numbers import number

# After the first two, which are those of up and down elsewhere, colours that carry no meaning; then dashes.
_FURTHER = (WARNING, CHOSEN, "#b79bff", "#ff9ad5", "#8fd8c6", "#d7d05a")
_DASHES = ("solid", "dash", "dot", "dashdot")
_SQUARE_PIXELS, _LEAST_PIXELS, _MOST_PIXELS = 44, 160, 620


def equities_figure(equity: pd.DataFrame, *, points: int, height: int = 340) -> go.Figure:
    """A line a column of `equity` (100 at the beginning), each drawn with at most `points` points."""
    figure = go.Figure()
    colours = (palette().up, *_FURTHER)
    for place, name in enumerate(equity.columns):
        drawn = thin_line(equity[name].dropna(), points)
        figure.add_scatter(
            x=drawn.index,
            y=drawn,
            mode="lines",
            name=str(name),
            line={
                "width": 1.5,
                "color": colours[place % len(colours)],
                "dash": _DASHES[place // len(colours) % len(_DASHES)],
            },
        )
    styled(figure, height)
    figure.add_hline(y=100, line={"width": 1, "dash": "dot", "color": QUIET})
    figure.update_layout(showlegend=True)
    figure.update_xaxes(hoverformat="%a %Y-%m-%d %H:%M UTC")
    figure.update_yaxes(title={"text": "begin = 100", "font": {"size": 10.5, "color": QUIET}}, hoverformat=".2f")
    return figure


def correlation_figure(table: pd.DataFrame) -> go.Figure:
    """A square a pair of runs with the correlation of their daily returns, from −1 to 1; bare where it is unknown."""
    values = table.to_numpy(dtype="float64")
    names = [str(name) for name in table.columns]
    words = [["" if np.isnan(value) else number(value, 2) for value in row] for row in values]
    down, up = mixed(palette().down, 0.62), mixed(palette().up, 0.52)
    figure = go.Figure(
        go.Heatmap(
            x=names,
            y=names,
            z=values,
            text=words,
            texttemplate="%{text}",
            textfont={"size": 11, "color": TEXT},
            hovertemplate="%{y} and %{x}: %{text}<extra></extra>",
            hoverongaps=False,
            zmin=-1,
            zmax=1,
            colorscale=[[0.0, down], [0.5, PAGE], [1.0, up]],
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    styled(figure, min(_MOST_PIXELS, max(_LEAST_PIXELS, 60 + _SQUARE_PIXELS * len(names))))
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(type="category", showgrid=False, showspikes=False, tickangle=0)
    figure.update_yaxes(type="category", showgrid=False, showspikes=False, autorange="reversed", side="left")
    return figure
