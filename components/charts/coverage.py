"""The coverage of a dataset as a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from components.charts.template import GRID, QUIET, TEXT, WARNING, mixed, palette, styled
from components.numbers import number, percent
from data.passport import Coverage

_WHOLE = 99.5  # per cent that would be worded as 100
_MOST_WORDED = 400  # cells that carry their figure; in smaller ones it could not be read
Cells = np.ndarray[Any, Any]
_ROW_PIXELS, _LEAST_PIXELS, _MOST_PIXELS = 9, 300, 620


def coverage_figure(coverage: Coverage, *, unit: str, height: int | None = None) -> go.Figure:
    """Per cent of the expected bars that are there, a cell an hour (or day); bare where the market is closed.

    Where the market's hours are not known the counts themselves are coloured. `unit` ends the hours in the hover.
    """
    shown = coverage.percent if coverage.expected is not None else _counts(coverage)
    colours, low, high = _scale(coverage, shown)
    figure = go.Figure(
        go.Heatmap(
            x=list(coverage.columns),
            y=list(coverage.rows),
            z=shown,
            text=_words(coverage, shown),
            customdata=_hovers(coverage, unit),
            texttemplate="%{text}",
            textfont={"size": 10, "color": TEXT},
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=True,
            xgap=1,
            ygap=1,
            zmin=low,
            zmax=high,
            colorscale=colours,
            colorbar={
                "thickness": 10,
                "outlinewidth": 0,
                "tickfont": {"size": 10.5, "color": QUIET},
                "ticksuffix": " %" if coverage.expected is not None else "",
            },
        )
    )
    styled(figure, height or min(_MOST_PIXELS, max(_LEAST_PIXELS, 60 + _ROW_PIXELS * len(coverage.rows))))
    figure.update_layout(hovermode="closest", plot_bgcolor=mixed(GRID, 0.6))
    hours = len(coverage.columns) == 24
    figure.update_xaxes(
        type="category",
        showgrid=False,
        showspikes=False,
        dtick=2 if hours else 1,
        title={"text": f"hour, {unit}" if hours else "", "font": {"size": 10.5, "color": QUIET}},
    )
    figure.update_yaxes(
        type="category",
        autorange="reversed",
        showgrid=False,
        showspikes=False,
        side="left",
        nticks=24,
        ticksuffix=" ",
    )
    return figure


def _counts(coverage: Coverage) -> Cells:
    return np.where(coverage.present > 0, coverage.present, np.nan)


def _scale(coverage: Coverage, shown: Cells) -> tuple[list[list[object]], float, float]:
    """From the colour of down over amber to that of up, from just below the lowest per cent to 100."""
    up, down = mixed(palette().up, 0.52), mixed(palette().down, 0.62)
    known = shown[~np.isnan(shown)]
    if coverage.expected is None:
        return [[0.0, mixed(palette().up, 0.12)], [1.0, up]], 0.0, float(known.max(initial=1.0))
    low = min(95.0, 5.0 * np.floor(float(known.min(initial=100.0)) / 5.0))
    return [[0.0, down], [0.5, mixed(WARNING, 0.42)], [1.0, up]], low, 100.0


def _words(coverage: Coverage, shown: Cells) -> Cells:
    """The figure of each cell in which something is missing, where cells are few enough to read it."""
    if coverage.expected is None or shown.size > _MOST_WORDED:
        return np.full(shown.shape, "", dtype=object)
    words = [[number(value) if value < _WHOLE else "" for value in row] for row in shown.tolist()]
    return np.array(words, dtype=object)


def _hovers(coverage: Coverage, unit: str) -> Cells:
    words = np.full(coverage.present.shape, "", dtype=object)
    hours = len(coverage.columns) == 24
    for at in np.ndindex(words.shape):
        row, column = coverage.rows[at[0]], coverage.columns[at[1]]
        present, besides = float(coverage.present[at]), float(coverage.besides[at])
        expected = float("nan") if coverage.expected is None else float(coverage.expected[at])
        where = f"{row} {column}:00 {unit}" if hours else f"{row} {column}"
        if np.isnan(expected):
            said = f"{number(present)} {coverage.unit}"
        elif expected:
            share = percent(100 * present / expected)
            said = f"{number(present)} of {number(expected)} {coverage.unit}, {share}"
        else:
            said = "no bar expected"
        words[at] = f"{where}<br>{said}" + (f"<br>{number(besides)} more while the market is closed" if besides else "")
    return words
