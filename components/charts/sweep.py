"""A sweep in pictures: two parameters as a map, all of them as lines, promise against truth, and what matters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from components.charts.template import CHOSEN, GRID, QUIET, TEXT, WARNING, mixed, palette, styled
from components.numbers import number

_MOST_WORDED = 260  # cells that carry their figure
_MOST_LINES = 3_000


def map_figure(
    cells: pd.DataFrame,
    *,
    x: str,
    y: str,
    unit: str,
    best: tuple[object, object] | None,
    peak: tuple[object, object] | None,
) -> go.Figure:
    """A figure by two parameters: `cells` has a row a value of `y` and a column a value of `x`, NaN where nothing is.

    `best` and `peak` are the values of x and y at the best plateau and at the highest peak, which are boxed.
    """
    values = cells.to_numpy(dtype="float64")
    known = np.abs(values[np.isfinite(values)])
    reach = float(np.quantile(known, 0.98)) if len(known) else 1.0
    worded = values.size <= _MOST_WORDED
    words = [[number(value, 1) if worded and np.isfinite(value) else "" for value in row] for row in values]
    columns, rows = [str(value) for value in cells.columns], [str(value) for value in cells.index]
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=rows,
            z=values,
            text=words,
            texttemplate="%{text}",
            textfont={"size": 9.5, "color": TEXT},
            hovertemplate=f"{y} %{{y}}, {x} %{{x}}: %{{z:.2f}} {unit}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            zmin=-reach or -1,
            zmax=reach or 1,
            colorscale=[
                [0, mixed(palette().down, 0.62)],
                [0.5, mixed(QUIET, 0.06)],
                [1, mixed(palette().up, 0.52)],
            ],
            colorbar={"thickness": 10, "outlinewidth": 0, "tickfont": {"size": 10.5, "color": QUIET}},
        )
    )
    styled(figure, 380)
    figure.update_layout(hovermode="closest")
    for place, colour, words_of_it in ((best, CHOSEN, "best"), (peak, WARNING, "peak")):
        if place is not None and str(place[0]) in columns and str(place[1]) in rows:
            _box(figure, columns.index(str(place[0])), rows.index(str(place[1])), colour, words_of_it)
    title = {"font": {"size": 10.5, "color": QUIET}}
    figure.update_xaxes(type="category", showgrid=False, showspikes=False, nticks=12, title={"text": x, **title})
    figure.update_yaxes(
        type="category", showgrid=False, showspikes=False, nticks=14, side="left", title={"text": y, **title}
    )
    return figure


def _box(figure: go.Figure, column: int, row: int, colour: str, words: str) -> None:
    figure.add_shape(
        type="rect",
        x0=column - 0.5,
        x1=column + 0.5,
        y0=row - 0.5,
        y1=row + 0.5,
        line={"color": colour, "width": 2},
    )
    figure.add_annotation(
        x=column, y=row - 0.5, text=words, showarrow=False, yshift=-8, font={"size": 10, "color": colour}, bgcolor=GRID
    )


def lines_figure(table: pd.DataFrame, *, colour_by: str, titles: Mapping[str, str]) -> go.Figure:
    """Parallel coordinates: a line a set through its parameters and figures, coloured by one of them.

    At most 3,000 sets are drawn, those with the highest figure among them.
    """
    shown = table.sort_values(colour_by, na_position="first").tail(_MOST_LINES)
    dimensions = []
    for name, title in titles.items():
        column = shown[name]
        if column.dtype.kind in "if":
            # A line needs a place on every axis: what is unknown lies at the lowest.
            dimensions.append({"label": title, "values": column.fillna(column.min() if column.notna().any() else 0)})
        else:
            codes = pd.Categorical(column.astype(str))
            ticks = {"tickvals": list(range(len(codes.categories))), "ticktext": list(codes.categories)}
            dimensions.append({"label": title, "values": codes.codes, **ticks})
    known = shown[colour_by].dropna().abs()
    reach = float(known.quantile(0.98)) if len(known) else 1.0
    colours = palette()
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={
                "color": shown[colour_by].fillna(-reach),
                "cmin": -reach,
                "cmax": reach,
                "colorscale": [[0, mixed(colours.down, 0.7)], [0.5, mixed(QUIET, 0.3)], [1, colours.up]],
            },
            unselected={"line": {"color": GRID, "opacity": 0.25}},
            labelfont={"size": 11, "color": TEXT},
            tickfont={"size": 10, "color": QUIET},
            rangefont={"size": 9, "color": "rgba(0,0,0,0)"},
        )
    )
    styled(figure, 300)
    figure.update_layout(margin={"l": 60, "r": 60, "t": 44, "b": 16})
    return figure


def promise_figure(table: pd.DataFrame, *, best: int, peak: int) -> go.Figure:
    """Sharpe ratios of the fitted part against the held-out part, a point a set; on the dotted line they are equal."""
    known = table[["sharpe_ratio", "held_sharpe_ratio"]].dropna()
    figure = go.Figure()
    if len(known):
        low, high = float(known["sharpe_ratio"].min()), float(known["sharpe_ratio"].max())
        figure.add_scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            line={"width": 1, "dash": "dot", "color": QUIET},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.add_scattergl(
        x=known["sharpe_ratio"],
        y=known["held_sharpe_ratio"],
        mode="markers",
        marker={"size": 5, "color": palette().up, "opacity": 0.55},
        name="a set",
        hovertemplate="fitted %{x:.2f}, held out %{y:.2f}<extra></extra>",
        showlegend=False,
    )
    for row, colour, shape, words in (
        (best, CHOSEN, "square-open", "best plateau"),
        (peak, WARNING, "diamond-open", "peak"),
    ):
        if row in known.index:
            figure.add_scatter(
                x=[known.loc[row, "sharpe_ratio"]],
                y=[known.loc[row, "held_sharpe_ratio"]],
                mode="markers+text",
                text=[words],
                textposition="middle left",
                textfont={"size": 10.5, "color": colour},
                marker={"size": 12, "symbol": shape, "color": colour, "line": {"width": 2}},
                showlegend=False,
                hoverinfo="skip",
            )
    styled(figure, 280)
    figure.update_layout(hovermode="closest")
    title = {"font": {"size": 10.5, "color": QUIET}}
    figure.update_xaxes(title={"text": "Sharpe, fitted", **title})
    figure.update_yaxes(title={"text": "Sharpe, held out", **title}, side="left")
    return figure


def importance_figure(shares: Mapping[str, float]) -> go.Figure:
    """The share of the variance that each parameter explains, the largest first."""
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])[:8]
    figure = go.Figure(
        go.Bar(
            x=[100 * share for _, share in ordered],
            y=[name.replace("_", " ") for name, _ in ordered],
            orientation="h",
            marker_color=[palette().up if not place else mixed(palette().up, 0.5) for place in range(len(ordered))],
            text=[f"{number(100 * share)} %" for _, share in ordered],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    styled(figure, 280)
    figure.update_layout(hovermode=False, bargap=0.35, margin={"l": 4, "r": 40, "t": 4, "b": 4})
    figure.update_xaxes(ticksuffix=" %", rangemode="tozero")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, side="left", ticksuffix=" ")
    return figure
