"""Training in pictures: losses and the watched figure by epoch, the machine meanwhile, and whether to trust a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.charts.template import CHOSEN, QUIET, TEXT, WARNING, mixed, palette, styled
from components.numbers import number

_COLOURS = (CHOSEN, WARNING, "#b79bff", "#ff9ad5", "#8fd8c6", "#d7d05a")
_AXIS = {"font": {"size": 10.5, "color": QUIET}}


def curves_figure(epochs: Mapping[str, Sequence[Mapping[str, Any]]], *, height: int = 300) -> go.Figure:
    """Losses on the left, the watched figure on the right, by epoch; `epochs` are rows of `training_epochs` by job.

    Of one job its training and validation loss are drawn, of several the validation losses. The best epoch is ringed.
    """
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    one = len(epochs) == 1
    for place, (job_id, rows) in enumerate(epochs.items()):
        table = pd.DataFrame(list(rows))
        if table.empty:
            continue
        colour = CHOSEN if one else _COLOURS[place % len(_COLOURS)]
        if one:
            figure.add_scatter(
                x=table["epoch"],
                y=table["train_loss"],
                name="training",
                mode="lines+markers",
                marker={"size": 4},
                line={"color": palette().up, "width": 1.5},
                row=1,
                col=1,
            )
        line = {"color": colour, "width": 1.5, "dash": "dash" if one else "solid"}
        name = "validation" if one else job_id
        drawn = {"x": table["epoch"], "name": name, "mode": "lines+markers", "marker": {"size": 4}, "line": line}
        figure.add_scatter(y=table["validation_loss"], **drawn, row=1, col=1)
        figure.add_scatter(y=table["metric"], **drawn, showlegend=False, row=1, col=2)
        best = table[table["is_best"].astype(bool)].tail(1)
        for column, at in (("validation_loss", 1), ("metric", 2)):
            figure.add_scatter(
                x=best["epoch"],
                y=best[column],
                mode="markers",
                marker={"size": 11, "symbol": "circle-open", "color": WARNING, "line": {"width": 2}},
                showlegend=False,
                hovertemplate=f"best epoch %{{x}}: %{{y:.4f}}<extra>{name}</extra>",
                row=1,
                col=at,
            )
    styled(figure, height)
    named = {str(rows[0]["metric_name"]) for rows in epochs.values() if rows}
    figure.update_layout(showlegend=True, hovermode="closest")
    figure.update_xaxes(title={"text": "epoch", **_AXIS}, tickformat="d")
    figure.update_yaxes(title={"text": "loss", **_AXIS}, side="left", hoverformat=".4f", col=1)
    words = ", ".join(sorted(named)) or "metric"
    figure.update_yaxes(title={"text": f"{words}, validation", **_AXIS}, side="left", hoverformat=".4f", col=2)
    return figure


def machine_figure(samples: pd.DataFrame) -> go.Figure:
    """Processors, memory and, where there is one, the GPU over time, in per cent; `samples` are rows of `gpu_stats`."""
    gpus = samples["utilization_percent"].notna().any()
    rows = 3 if gpus else 2
    figure = make_subplots(rows=rows, shared_xaxes=True, vertical_spacing=0.06)
    parts = [("CPU", "cpu_percent", palette().up), ("Memory", "memory_percent", CHOSEN)]
    if gpus:
        parts.append(("GPU", "utilization_percent", "#b79bff"))
    for row, (name, column, colour) in enumerate(parts, 1):
        figure.add_scatter(
            x=samples["timestamp"],
            y=samples[column],
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.2},
            fill="tozeroy",
            fillcolor=mixed(colour, 0.15),
            row=row,
            col=1,
        )
        figure.update_yaxes(title={"text": f"{name} %", **_AXIS}, range=[0, 100], nticks=3, row=row)
    styled(figure, 300)
    figure.update_layout(showlegend=False)
    return figure


def calibration_figure(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> go.Figure:
    """What was predicted against what came, in bins of equally many samples; on the dotted line the two are equal."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"dash": "dot", "width": 1, "color": QUIET},
        showlegend=False,
        hoverinfo="skip",
    )
    for place, (name, points) in enumerate(curves.items()):
        figure.add_scatter(
            x=[point["predicted"] for point in points],
            y=[point["observed"] for point in points],
            customdata=[number(point["count"]) for point in points],
            name=f"class {name}",
            mode="lines+markers",
            line={"width": 1.5, "color": _COLOURS[place % len(_COLOURS)]},
            hovertemplate="predicted %{x:.3f}, came %{y:.3f}, %{customdata} samples<extra></extra>",
        )
    known = [point[side] for points in curves.values() for point in points for side in ("predicted", "observed")]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = max(0.02, 0.1 * (high - low))
    styled(figure, 300)
    figure.update_layout(hovermode="closest", showlegend=len(curves) > 1)
    figure.update_xaxes(title={"text": "predicted probability", **_AXIS}, range=[low - room, high + room])
    figure.update_yaxes(title={"text": "share that came", **_AXIS}, range=[low - room, high + room], side="left")
    return figure


def importance_bars(importance: Mapping[str, float], *, unit: str, most: int = 15) -> go.Figure:
    """What is lost when the values of a feature are permuted, the largest first."""
    ordered = sorted(importance.items(), key=lambda pair: -pair[1])[:most]
    colours = palette()
    figure = go.Figure(
        go.Bar(
            x=[value for _, value in ordered],
            y=[name for name, _ in ordered],
            orientation="h",
            marker_color=[mixed(colours.up, 0.6) if value > 0 else mixed(colours.down, 0.7) for _, value in ordered],
            text=[number(value, 4, sign=True) for _, value in ordered],
            textposition="auto",
            textfont={"size": 10.5, "color": TEXT},
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    styled(figure, max(200, 60 + 20 * len(ordered)))
    figure.update_layout(hovermode=False, bargap=0.3, margin={"l": 4, "r": 60, "t": 4, "b": 4})
    figure.update_xaxes(title={"text": f"loss of {unit}", **_AXIS})
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, side="left", ticksuffix=" ")
    return figure
