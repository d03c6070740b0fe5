"""One look for all charts: the Matrix template, and the colours that carry meaning."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from core.settings import current_settings

TEXT, QUIET, GRID, PAGE = "#c9ecd1", "#86ad90", "#10261a", "#050a06"
CHOSEN, WARNING = "#4cc3ff", "#ffc247"
_FONT = "Source Code Pro, monospace"


@dataclass(frozen=True)
class Palette:
    """The colours of up and down, with their fills."""

    up: str
    down: str
    up_fill: str
    down_fill: str


_PALETTES = {
    "green-red": Palette("#00d26a", "#ff5c74", "rgba(0,210,106,.08)", "rgba(255,92,116,.22)"),
    "blue-orange": Palette("#4cc3ff", "#ff9838", "rgba(76,195,255,.08)", "rgba(255,152,56,.22)"),
}


def palette() -> Palette:
    """The pair chosen in `display.palette`; the second is safe for the colour-blind."""
    return _PALETTES[current_settings().display.palette]


def styled(figure: go.Figure, height: int) -> go.Figure:
    """`figure` in the common look, `height` pixels tall."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "tickfont": {"size": 10.5, "color": QUIET}}
    spike = {"showspikes": True, "spikemode": "across", "spikedash": "dot", "spikethickness": 1, "spikecolor": QUIET}
    figure.update_layout(
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "size": 11, "color": TEXT},
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#07140c", "bordercolor": GRID, "font": {"family": _FONT, "size": 11}},
        separators=".\u202f",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 10.5}},
        dragmode="pan",
        selectdirection="h",  # a box takes times
        newselection={"line": {"color": CHOSEN, "width": 1}},
        xaxis_rangeslider_visible=False,
    )
    figure.update_xaxes(**axis, **spike, automargin=True)
    figure.update_yaxes(**axis, **spike, automargin=True, side="right")
    return figure


def mixed(colour: str, share: float) -> str:
    """A colour darkened towards the page, so that the words on it can be read."""
    parts = zip(_channels(colour), _channels(PAGE), strict=True)
    return "#" + "".join(f"{round(share * bright + (1 - share) * dark):02x}" for bright, dark in parts)


def _channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
