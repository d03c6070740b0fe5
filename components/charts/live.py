"""How much of each guard's limit is used, and which guards refuse."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from components.charts.template import GRID, QUIET, TEXT, WARNING, palette, styled
from components.numbers import number
from execution.live.guards import Verdict

NEAR = 0.2  # so little headroom is a warning
_TRACK, _USED = "#0d1f14", "#1f8a55"
_ROW_PIXELS = 25
_LONGEST = 38  # characters beside a bar
_BAR = 0.42  # of the width; the words have the rest


def guards_figure(verdicts: Sequence[Verdict]) -> go.Figure:
    """One row a guard, in the order given: a bar as long as what is used of its limit, and value and limit beside it.

    A guard that counts nothing has no bar, one that refuses is red and says so in words.
    """
    figure = go.Figure()
    names = [verdict.guard for verdict in verdicts]
    tracks = [1.0 if verdict.headroom is not None else 0.0 for verdict in verdicts]
    words = [verdict.words for verdict in verdicts]
    figure.add_bar(
        y=names,
        x=tracks,
        orientation="h",
        marker={"color": _TRACK, "line": {"color": GRID, "width": 1}},
        hovertext=words,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.add_bar(
        y=names,
        x=[used_share(verdict) for verdict in verdicts],
        orientation="h",
        marker={"color": [_colour(verdict) for verdict in verdicts]},
        hovertext=words,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    beside = [
        {
            "x": 1.0 if verdict.headroom is not None else 0.0,
            "y": verdict.guard,
            "xanchor": "left",
            "xshift": 5,
            "showarrow": False,
            "text": _beside(verdict),
            "font": {"size": 11, "color": _word_colour(verdict)},
        }
        for verdict in verdicts
    ]
    styled(figure, 14 + _ROW_PIXELS * len(verdicts))
    figure.update_layout(
        annotations=beside, barmode="overlay", bargap=0.36, showlegend=False, hovermode="closest", dragmode=False
    )
    figure.update_xaxes(range=[0, 1 / _BAR], visible=False, fixedrange=True, showspikes=False)
    figure.update_yaxes(
        autorange="reversed", side="left", showgrid=False, fixedrange=True, showspikes=False,
        tickfont={"size": 11, "color": TEXT}, type="category",
    )  # fmt: skip
    return figure


def used_share(verdict: Verdict) -> float:
    """How much of a guard's limit is used, 0 to 1; 0 where it counts nothing."""
    return 0.0 if verdict.headroom is None else min(1.0, max(0.0, 1.0 - verdict.headroom))


def nearest_to_refusing(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The passing guard with the least headroom; None where none counts anything."""
    counting = [verdict for verdict in verdicts if verdict.passed and verdict.headroom is not None]
    return min(counting, key=lambda verdict: verdict.headroom or 0.0, default=None)


def figures_of(verdict: Verdict) -> str:
    """`1.4 of 3.0 pips`; empty where a guard counts nothing."""
    if verdict.value is None or verdict.limit is None:
        return ""
    digits = 0 if float(verdict.value).is_integer() and float(verdict.limit).is_integer() else 2
    digits = 2 if verdict.unit == "%" else 1 if verdict.unit in {"pips", "s"} and digits else digits
    unit = f" {verdict.unit}" if verdict.unit else ""
    return f"{number(verdict.value, digits)} of {number(verdict.limit, digits)}{unit}"


def _beside(verdict: Verdict) -> str:
    """Figures where it counts and passes, else its words; a cross marks a refusal without colour."""
    said = (figures_of(verdict) if verdict.headroom is not None else "") or verdict.words
    room = _LONGEST if verdict.headroom is not None else 2 * _LONGEST
    cut = said if len(said) <= room else f"{said[: room - 1]}…"
    mark = "" if verdict.passed else "✕ "
    return f"{mark}{cut}".replace("<", "&lt;")


def _colour(verdict: Verdict) -> str:
    if not verdict.passed:
        return palette().down
    return WARNING if (verdict.headroom or 0.0) < NEAR else _USED


def _word_colour(verdict: Verdict) -> str:
    if not verdict.passed:
        return palette().down
    if verdict.headroom is None:
        return QUIET
    return WARNING if verdict.headroom < NEAR else TEXT
