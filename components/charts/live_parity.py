"""How well a deployment's days agree with their backtests: the parity score by day, and what the differences cost."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.charts.template import GRID, QUIET, WARNING, mixed, palette, styled
from components.numbers import number

_AXIS = {"font": {"size": 10.5, "color": QUIET}}


def parity_figure(days: pd.DataFrame, *, height: int = 260) -> go.Figure:
    """A bar a trading day with the share of its trades that agree, above the pips that the live day was worse.

    `days` is what `execution.live.parity.parity_of` gives. A day without a trade has no bar; one that is not over
    is paler. Costs point down where the live day was worse, and their line is the sum so far.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.55, 0.45])
    shown = days.reset_index(drop=True)
    scores, cost = 100 * shown["score"], -shown["cost_pips"]
    colours = palette()
    labels = shown["trading_day"].astype(str)
    words = [
        _words(expected, traded, agreeing, is_over=bool(is_over))
        for expected, traded, agreeing, is_over in shown[["expected", "traded", "agreeing", "is_over"]].itertuples(
            index=False
        )
    ]
    figure.add_bar(
        x=labels,
        y=scores,
        customdata=words,
        # Nothing would be seen of a day on which no trade agreed.
        text=["0" if score == 0 else "" for score in scores],
        textposition="outside",
        textfont={"size": 10.5, "color": WARNING},
        marker_line_width=0,
        marker_color=[_score_colour(score, bool(over)) for score, over in zip(scores, shown["is_over"], strict=True)],
        hovertemplate="%{y:.0f} %, %{customdata}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=labels,
        y=cost,
        marker_line_width=0,
        marker_color=[mixed(colours.up, 0.6) if value >= 0 else mixed(colours.down, 0.7) for value in cost],
        customdata=[number(value, 1, sign=True) for value in cost],
        hovertemplate="%{customdata} pips<extra>the day</extra>",
        row=2,
        col=1,
    )
    figure.add_scatter(
        x=labels,
        y=cost.cumsum(),
        mode="lines",
        line={"color": WARNING, "width": 1.5},
        customdata=[number(value, 1, sign=True) for value in cost.cumsum()],
        hovertemplate="%{customdata} pips<extra>so far</extra>",
        row=2,
        col=1,
    )
    styled(figure, height)
    figure.update_layout(showlegend=False, bargap=0.3)
    figure.update_xaxes(type="category", showgrid=False, nticks=6, tickangle=0)
    figure.update_yaxes(title={"text": "agree, %", **_AXIS}, range=[0, 105], nticks=4, side="left", row=1)
    figure.update_yaxes(title={"text": "pips", **_AXIS}, nticks=4, side="left", row=2)
    figure.add_hline(y=0, line={"width": 1, "color": GRID}, row=2)
    return figure


def _score_colour(score: float, is_over: bool) -> str:
    """Amber where a trade disagrees; a day that is not over is paler."""
    return mixed(palette().up if score >= 100 else WARNING, 0.75 if is_over else 0.35)


def _words(expected: int, traded: int, agreeing: int, *, is_over: bool) -> str:
    counted = f"{agreeing} of {max(expected, traded)} agree ({expected} expected, {traded} made)"
    return counted if is_over else f"{counted}, the day is not over"
