"""Patterns on candles as traders expect them, and what the scanner counts: pure figures, nothing is read here.

`found` is always a frame of `Findings.frame`, cut to what was known at the moment that is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from components.charts.detail import thin_bars
from components.charts.price import closed_hours, price_figure
from components.charts.template import CHOSEN, PAGE, QUIET, TEXT, WARNING, mixed, palette, styled
from components.numbers import number

# What a reader switches on and off, and the kinds of findings behind it.
SHOWN: dict[str, tuple[str, ...]] = {
    "Gaps": ("fvg",),
    "Structure": ("bos", "choch"),
    "Sweeps": ("liquidity_sweep",),
    "Order blocks": ("order_block",),
    "Swings": ("swing",),
    "Previous levels": ("previous_day", "previous_week", "previous_session"),
    "Kill zones": (),
}
KIND_WORDS = {
    "swing": "swing",
    "bos": "BOS",
    "choch": "CHoCH",
    "liquidity_sweep": "sweep",
    "fvg": "FVG",
    "order_block": "OB",
    "previous_day": "PD",
    "previous_week": "PW",
    "previous_session": "PS",
}
_KIND_NAMES = {
    **KIND_WORDS,
    "order_block": "order block",
    "previous_day": "previous day",
    "previous_week": "previous week",
    "previous_session": "previous session",
}
_ZONES = {"asia": ("Asia", "#b79bff"), "london": ("London", CHOSEN), "new_york": ("New York", WARNING)}
_NAMED = 14  # so many of the newest boxes carry their name: more would cover the candles
_SWEEP = "#b79bff"
_STUDY = {"known": "known at the close", "random": "random, same number", "formed": "pretended, at the extreme"}


@dataclass(frozen=True)
class DrawnSetup:
    """A setup's lines: prices, from when to when they hold, and its side in words."""

    words: str
    begin: pd.Timestamp
    end: pd.Timestamp
    entry: float
    stop: float
    target: float


def strongest(found: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many findings of each kind: the strongest, in their order. One without a strength counts least."""
    rank = found["strength"].fillna(-1.0).groupby(found["kind"]).rank(ascending=False, method="first")
    return found[rank <= most]


def patterns_figure(
    bars: pd.DataFrame,
    found: pd.DataFrame,
    *,
    digits: int,
    points: int,
    at: pd.Timestamp,
    shown: Collection[str] = tuple(SHOWN),
    setup: DrawnSetup | None = None,
    zones: np.ndarray[Any, Any] | None = None,
    height: int = 400,
    later: bool = True,
) -> go.Figure:
    """Candles up to the bar that opens `at`, what was known at its close, and with `later` the bars after it, dimmed.

    `shown` are keys of `SHOWN`, `zones` the kill zone of each bar (empty outside all). Times are UTC.
    """
    known, after = bars.loc[:at], bars[bars.index > at]
    if not later:
        bars, after = known, after.iloc[:0]
    share = len(known) / max(1, len(bars))
    closed = closed_hours(bars)
    figure = price_figure(known, digits=digits, points=max(2, round(points * share)), closed=closed, height=height)
    _add_zones(figure, bars, zones if "Kill zones" in shown else None)
    picked = {kind for name in shown for kind in SHOWN.get(name, ())}
    found = found[found["kind"].isin(picked)]
    _add_boxes(figure, found, at)
    _add_levels(figure, found, at, bars.index[0])
    _add_structure(figure, found)
    _add_marks(figure, found, bars)
    if setup is not None:
        _add_setup(figure, setup, digits)
    _add_later(figure, after, max(2, points - round(points * share)))
    _frame(figure, bars, setup, at if len(after) else None)
    return figure


def timeframe_figure(bars: pd.DataFrame, found: pd.DataFrame, *, digits: int) -> go.Figure:
    """One of several timeframes side by side: small, with what lasts and the last breaks."""
    lasts = found[found["ended_at"].isna() | found["kind"].isin(["bos", "choch", "liquidity_sweep"])]
    shown = ("Gaps", "Structure", "Sweeps", "Order blocks")
    figure = patterns_figure(
        bars, lasts, digits=digits, points=max(2, len(bars)), at=bars.index[-1], shown=shown, height=250
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(nticks=4)
    return figure


def outcomes_figure(summary: pd.DataFrame) -> go.Figure:
    """Expectancy with its interval for each row of `OutcomeStudy.summary`: known, random, formed."""
    colours = palette()
    paint = {"known": colours.up, "random": QUIET, "formed": colours.down}
    figure = go.Figure()
    rows: list[Any] = list(summary.iloc[::-1].itertuples())
    for row in rows:
        value, low, high = float(row.expectancy_pips), float(row.low), float(row.high)
        if np.isnan(value):
            continue
        whisker = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]}
        figure.add_scatter(
            x=[value],
            y=[_STUDY[row.label]],
            error_x={**whisker, "color": paint[row.label], "thickness": 1.6, "width": 6},
            mode="markers+text",
            marker={"size": 10, "color": paint[row.label], "symbol": "diamond" if row.label == "known" else "circle"},
            text=[number(value, 1, sign=True)],
            textposition="top center",
            textfont={"color": TEXT},
            hovertemplate=f"{number(value, 1, sign=True)} pips, {number(low, 1, sign=True)} to "
            f"{number(high, 1, sign=True)}<extra></extra>",
            showlegend=False,
        )
    styled(figure, 210)
    figure.update_layout(hovermode="closest", margin={"t": 16})
    figure.update_xaxes(
        title={"text": "pips per entry after costs, 95 % interval", "font": {"size": 10.5, "color": QUIET}},
        zeroline=True,
        zerolinecolor=QUIET,
    )
    figure.update_yaxes(type="category", side="left", showspikes=False, ticksuffix=" ", range=[-0.6, 2.7])
    return figure


def kinds_figure(distribution: pd.DataFrame, timeframes: Sequence[str]) -> go.Figure:
    """How many findings of each kind, a bar for each timeframe beside the others."""
    kinds = distribution.groupby("kind")["findings"].sum().sort_values(ascending=False).index
    return _bars_by_timeframe(distribution, "kind", "findings", timeframes, list(kinds))


def scores_figure(distribution: pd.DataFrame, timeframes: Sequence[str], least: float) -> go.Figure:
    """How many candidates of each score, cut to whole points, with the score that a setup needs."""
    scores = sorted(int(score) for score in distribution["score"].unique())
    figure = _bars_by_timeframe(distribution, "score", "candidates", timeframes, scores)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(type="linear", dtick=1, title={"text": "points, cut to whole ones", "font": {"size": 10.5}})
    figure.add_shape(
        type="line", x0=least - 0.5, x1=least - 0.5, y0=0, y1=1, yref="paper", line={"color": WARNING, "width": 1.5}
    )
    figure.add_annotation(
        x=least - 0.5,
        y=1,
        yref="paper",
        text=f"needs {least:g}",
        showarrow=False,
        xanchor="left",
        font={"color": WARNING},
    )
    return figure


def _bars_by_timeframe(
    table: pd.DataFrame, x: str, y: str, timeframes: Iterable[str], order: Sequence[Any]
) -> go.Figure:
    figure = go.Figure()
    for place, timeframe in enumerate(timeframes):
        own = table[table["timeframe"] == timeframe].set_index(x)[y].reindex(list(order))
        figure.add_bar(
            x=[_KIND_NAMES.get(each, each) for each in order],
            y=own,
            name=timeframe,
            marker_color=mixed(CHOSEN, 1 - 0.2 * min(place, 4)),
            hovertemplate=f"%{{x}} {timeframe}: %{{y:,}}<extra></extra>",
        )
    styled(figure, 240)
    figure.update_layout(hovermode="closest", bargap=0.25)
    return figure


def _add_zones(figure: go.Figure, bars: pd.DataFrame, zones: np.ndarray[Any, Any] | None) -> None:
    """Shade the hours of each kill zone over the whole height."""
    if zones is None or not len(bars):
        return
    names = np.asarray(zones)[: len(bars)]
    begins = np.flatnonzero(np.append(True, names[1:] != names[:-1])).tolist()
    ends = [*begins[1:], len(names)]
    times = pd.DatetimeIndex(bars.index)
    low, high = _reach(bars, None)
    for zone, (words, colour) in _ZONES.items():
        corners = [
            (times[begin], times[min(end, len(times) - 1)], low, high)
            for begin, end in zip(begins, ends, strict=True)
            if names[begin] == zone
        ]
        if corners:
            x, y = _polygons(corners)
            figure.add_scatter(
                x=x, y=y, fill="toself", fillcolor=_faint(colour, 0.07), line={"width": 0}, mode="lines", name=words,
                hoverinfo="skip",
            )  # fmt: skip


def _add_boxes(figure: go.Figure, found: pd.DataFrame, at: pd.Timestamp) -> None:
    """Gaps and blocks from the bar that shaped them to their end; those that ended are fainter."""
    colours = palette()
    boxes = found[found["kind"].isin(["fvg", "order_block"])]
    for kind in ("fvg", "order_block"):
        for direction, colour in (("bullish", colours.up), ("bearish", colours.down)):
            for ended in (True, False):
                some = boxes[
                    (boxes["kind"] == kind) & (boxes["direction"] == direction) & (boxes["ended_at"].notna() == ended)
                ]
                if some.empty:
                    continue
                until = some["ended_at"].fillna(at)
                x, y = _polygons(zip(some["formed_at"], until, some["low"], some["high"], strict=True))
                edge = 0.0 if kind == "fvg" else 1.0
                figure.add_scatter(
                    x=x, y=y, fill="toself", fillcolor=_faint(colour, 0.07 if ended else 0.2), mode="lines",
                    line={"width": edge, "color": _faint(colour, 0.35 if ended else 0.9), "dash": "dot"},
                    name=f"{KIND_WORDS[kind]} {direction}", showlegend=False, hoverinfo="skip",
                )  # fmt: skip
    named = boxes[boxes["ended_at"].isna()].tail(_NAMED)
    figure.add_scatter(
        x=named["formed_at"],
        y=np.where(named["direction"] == "bullish", named["high"], named["low"]),
        mode="text",
        text=[KIND_WORDS[kind] for kind in named["kind"]],
        textposition=["bottom right" if each == "bullish" else "top right" for each in named["direction"]],
        textfont={"size": 9.5, "color": [_side_colour(each) for each in named["direction"]]},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(  # what a box is, for the reader who asks: shown where it became known
        x=boxes["known_at"],
        y=boxes["level"],
        mode="markers",
        marker={"size": 7, "color": "rgba(0,0,0,0)"},
        text=[_box_words(row) for row in boxes.itertuples()],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _add_levels(figure: go.Figure, found: pd.DataFrame, at: pd.Timestamp, first: pd.Timestamp) -> None:
    """Highs and lows of earlier periods, from when they were known to their end."""
    levels = found[found["kind"].isin(SHOWN["Previous levels"])]
    if levels.empty:
        return
    begin = levels["known_at"].where(levels["known_at"] > first, first)
    end = levels["ended_at"].fillna(at)
    x, y = _segments(zip(begin, end, levels["level"], levels["level"], strict=True))
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"width": 1, "color": QUIET, "dash": "dot"},
        name="previous level",
        hoverinfo="skip",
    )
    newest = levels[levels["ended_at"].isna()].groupby(["kind", "direction"]).tail(1)
    figure.add_scatter(
        x=[at] * len(newest),
        y=newest["level"],
        mode="text",
        text=[
            KIND_WORDS[kind] + ("L" if direction == "bullish" else "H")
            for kind, direction in zip(newest["kind"], newest["direction"], strict=True)
        ],
        textposition="middle left",
        textfont={"size": 9.5, "color": QUIET},
        showlegend=False,
        hoverinfo="skip",
    )


def _add_structure(figure: go.Figure, found: pd.DataFrame) -> None:
    """A line from the broken swing to the close that broke it: BOS solid, CHoCH dashed, each with its name."""
    for kind, dash in (("bos", "solid"), ("choch", "dash")):
        for direction in ("bullish", "bearish"):
            some = found[(found["kind"] == kind) & (found["direction"] == direction)]
            if some.empty:
                continue
            colour = _side_colour(direction)
            x, y = _segments(zip(some["formed_at"], some["known_at"], some["level"], some["level"], strict=True))
            figure.add_scatter(
                x=x, y=y, mode="lines", line={"width": 1.3, "color": colour, "dash": dash}, showlegend=False,
                name=f"{KIND_WORDS[kind]} {direction}", hoverinfo="skip",
            )  # fmt: skip
            figure.add_scatter(
                x=some["formed_at"] + (some["known_at"] - some["formed_at"]) / 2,
                y=some["level"],
                mode="text",
                text=[KIND_WORDS[kind]] * len(some),
                textposition="top center" if direction == "bullish" else "bottom center",
                textfont={"size": 9.5, "color": colour},
                showlegend=False,
                hoverinfo="skip",
            )


def _add_marks(figure: go.Figure, found: pd.DataFrame, bars: pd.DataFrame) -> None:
    """Rings where an extreme formed, dots at the close that proved it, crosses at sweeps."""
    first = bars.index[0]
    pairs = found[found["kind"].isin(["swing", "bos", "choch"])]
    swings = pairs[(pairs["kind"] == "swing") & (pairs["formed_at"] >= first)]
    broken = pairs[(pairs["kind"] != "swing") & (pairs["formed_at"] >= first)]
    rings = pd.concat([swings, broken]).drop_duplicates(["formed_at", "level"])
    figure.add_scatter(
        x=rings["formed_at"],
        y=rings["level"],
        mode="markers",
        name="extreme formed",
        marker={"symbol": "circle-open", "size": 8, "color": WARNING, "line": {"width": 1.5}},
        text=[f"known only {row.known_at:%a %d %b %H:%M}" for row in rings.itertuples()],
        hovertemplate="extreme %{y}, %{text}<extra></extra>",
    )
    proved = pairs[pairs["known_at"] >= first]
    at_close = bars["close"].reindex(proved["known_at"]).to_numpy()
    figure.add_scatter(
        x=proved["known_at"],
        y=at_close,
        mode="markers",
        name="close that proved it",
        marker={"size": 5, "color": CHOSEN},
        text=[f"{KIND_WORDS[row.kind]} of {row.formed_at:%a %d %b %H:%M}" for row in proved.itertuples()],
        hovertemplate="%{text} proved at %{y}<extra></extra>",
    )
    sweeps = found[(found["kind"] == "liquidity_sweep") & (found["known_at"] >= first)]
    figure.add_scatter(
        x=sweeps["known_at"],
        y=np.where(sweeps["direction"] == "bullish", sweeps["low"], sweeps["high"]),
        mode="markers",
        name="liquidity sweep",
        marker={"symbol": "x-thin", "size": 8, "color": _SWEEP, "line": {"width": 2, "color": _SWEEP}},
        text=[f"sweep of {row.level:g}, {row.direction}" for row in sweeps.itertuples()],
        hovertemplate="%{text}<extra></extra>",
    )


def _add_setup(figure: go.Figure, setup: DrawnSetup, digits: int) -> None:
    """Entry, stop and target of the chosen setup, from the close that made it."""
    colours = palette()
    for name, price, colour, dash in (
        ("entry", setup.entry, TEXT, "solid"),
        ("stop", setup.stop, colours.down, "dash"),
        ("target", setup.target, colours.up, "dash"),
    ):
        if not np.isfinite(price):
            continue
        figure.add_scatter(
            x=[setup.begin, setup.end],
            y=[price, price],
            mode="lines+text",
            line={"width": 1.5, "color": colour, "dash": dash},
            text=["", f"{name} {price:.{digits}f}"],
            textposition="top left",
            textfont={"size": 10, "color": colour},
            name=f"{setup.words}: {name}",
            showlegend=False,
            hovertemplate=f"{setup.words}: {name} %{{y:.{digits}f}}<extra></extra>",
        )


def _add_later(figure: go.Figure, after: pd.DataFrame, points: int) -> None:
    """The bars that nobody had seen yet, as ghosts."""
    if after.empty:
        return
    candles = thin_bars(after, points)
    colours = palette()
    figure.add_candlestick(
        x=candles.index,
        open=candles["open"],
        high=candles["high"],
        low=candles["low"],
        close=candles["close"],
        increasing={"line": {"color": colours.up, "width": 1}, "fillcolor": PAGE},
        decreasing={"line": {"color": colours.down, "width": 1}, "fillcolor": PAGE},
        opacity=0.28,
        name="not yet known",
        showlegend=False,
        hoverinfo="skip",
    )


def _frame(figure: go.Figure, bars: pd.DataFrame, setup: DrawnSetup | None, at: pd.Timestamp | None) -> None:
    """The ranges of both axes, and where what was known ends."""
    times = pd.DatetimeIndex(bars.index)
    figure.update_xaxes(range=[times[0], times[-1] + (times[-1] - times[0]) * 0.012])
    figure.update_yaxes(range=list(_reach(bars, setup)))
    figure.update_layout(hovermode="x")
    if at is None:
        return
    line = {"color": WARNING, "width": 1.2}
    figure.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line=line)
    figure.add_annotation(
        x=at, y=1, yref="paper", text="not yet known", showarrow=False, xanchor="left", yanchor="top", xshift=4,
        font={"color": WARNING, "size": 10.5},
    )  # fmt: skip


def _reach(bars: pd.DataFrame, setup: DrawnSetup | None) -> tuple[float, float]:
    """The prices that a chart shows: those of its bars, and of a setup's lines where these are no further off."""
    low, high = float(bars["low"].min()), float(bars["high"].max())
    room = (high - low) or abs(high) * 1e-4 or 1.0
    prices = [each for each in (setup.stop, setup.entry, setup.target) if np.isfinite(each)] if setup else []
    near = [each for each in prices if low - room <= each <= high + room]
    return min([low, *near]) - 0.04 * room, max([high, *near]) + 0.04 * room


def _polygons(boxes: Iterable[tuple[Any, Any, float, float]]) -> tuple[list[Any], list[float | None]]:
    """Corners of each box from begin to end and low to high, a gap after each."""
    x: list[Any] = []
    y: list[float | None] = []
    for begin, end, low, high in boxes:
        x += [begin, end, end, begin, begin, None]
        y += [low, low, high, high, low, None]
    return x, y


def _segments(lines: Iterable[tuple[Any, Any, float, float]]) -> tuple[list[Any], list[float | None]]:
    x: list[Any] = []
    y: list[float | None] = []
    for begin, end, one, other in lines:
        x += [begin, end, None]
        y += [one, other, None]
    return x, y


def _box_words(row: Any) -> str:
    strength = "" if np.isnan(row.strength) else f", {row.strength:.1f} ATR"
    ended = "" if pd.isna(row.ended_at) else f", {row.end} {row.ended_at:%d %b %H:%M}"
    return f"{KIND_WORDS[row.kind]} {row.direction} {row.low:g} to {row.high:g}{strength}{ended}"


def _side_colour(direction: str) -> str:
    return palette().up if direction == "bullish" else palette().down


def _faint(colour: str, share: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
