"""Candles without weekend holes, with indicators and trades on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from components.charts.detail import thin_bars, thin_line
from components.charts.template import CHOSEN, TEXT, WARNING, palette, styled

_LINES = (CHOSEN, WARNING, "#b79bff")
_MOST_BREAKS = 200
Breaks = list[dict[str, list[str]]]


def price_figure(
    bars: pd.DataFrame,
    *,
    digits: int,
    points: int,
    lines: Mapping[str, pd.Series] | None = None,
    trades: pd.DataFrame | None = None,
    closed: Breaks | None = None,
    height: int = 360,
) -> go.Figure:
    """`bars` as at most `points` candles; `lines` are prices by name, `trades` those of a run (entry and exit marks).

    Times are UTC. The figure holds what lies inside the range of `bars` only. Where `bars` are joined already,
    `closed` are the `closed_hours` of those they stand for.
    """
    colours = palette()
    candles = thin_bars(bars, points)
    figure = go.Figure(
        go.Candlestick(
            x=candles.index,
            open=candles["open"],
            high=candles["high"],
            low=candles["low"],
            close=candles["close"],
            increasing={"line": {"color": colours.up, "width": 1}, "fillcolor": colours.up},
            decreasing={"line": {"color": colours.down, "width": 1}, "fillcolor": "#2a0d13"},
            name="Price",
            showlegend=False,
        )
    )
    for (name, line), colour in zip((lines or {}).items(), _LINES, strict=False):
        drawn = thin_line(line.loc[bars.index[0] : bars.index[-1]], points)
        figure.add_scatter(x=drawn.index, y=drawn, name=name, mode="lines", line={"width": 1.2, "color": colour})
    if trades is not None:
        _mark_trades(figure, trades, bars, digits)
    styled(figure, height)
    figure.update_yaxes(tickformat=f".{min(digits, 4)}f", hoverformat=f".{digits}f")
    figure.update_xaxes(
        rangebreaks=closed_hours(bars) if closed is None else closed,
        hoverformat="%a %Y-%m-%d %H:%M UTC",
        tickangle=0,  # plotly turns the words where breaks push them together
        nticks=8,
    )
    return figure


def closed_hours(bars: pd.DataFrame) -> Breaks:
    """The stretches without bars; the longest where there are too many for plotly to handle quickly.

    Of the bars and not of the candles drawn: a candle may join Friday and Sunday.
    """
    if len(bars) < 3:
        return []
    times = pd.DatetimeIndex(bars.index)
    begins, ends = times[:-1] + pd.Timedelta(pd.Series(times).diff().median()), times[1:]
    gaps: np.ndarray = (ends - begins).to_numpy()
    longest = np.argsort(-gaps.astype("int64"), kind="stable")[:_MOST_BREAKS]
    return [
        {"bounds": [begins[row].isoformat(), ends[row].isoformat()]}
        for row in sorted(longest)
        if gaps[row] > np.timedelta64(0)
    ]


def _mark_trades(figure: go.Figure, trades: pd.DataFrame, bars: pd.DataFrame, digits: int) -> None:
    """A dotted line from entry to exit, coloured by the result, a cross at the exit, and an arrow at the entry.

    Arrows stand off the price, below for long and above for short: a reversal enters where it leaves.
    """
    colours = palette()
    first, last = bars.index[0], bars.index[-1]
    seen = trades[(trades["exit_time"] >= first) & (trades["entry_time"] <= last)]
    for name, chosen, colour in (
        ("Won", seen[seen["pnl"] > 0], colours.up),
        ("Lost", seen[seen["pnl"] <= 0], colours.down),
    ):
        times, prices = _segments(chosen)
        line = {"width": 1, "dash": "dot", "color": colour}
        figure.add_scatter(x=times, y=prices, name=name, mode="lines", line=line, hoverinfo="skip")
    away = 0.04 * float(bars["high"].max() - bars["low"].min())
    marks = (
        ("Exit", seen, "exit", "x-thin", TEXT, 0.0),
        ("Long entry", seen[seen["side"] == "long"], "entry", "triangle-up", colours.up, -away),
        ("Short entry", seen[seen["side"] == "short"], "entry", "triangle-down", colours.down, away),
    )
    for name, chosen, end, shape, colour, offset in marks:
        inside = chosen[(chosen[f"{end}_time"] >= first) & (chosen[f"{end}_time"] <= last)]
        figure.add_scatter(
            x=inside[f"{end}_time"],
            y=inside[f"{end}_price"] + offset,
            customdata=inside[f"{end}_price"],
            hovertemplate=f"%{{customdata:.{digits}f}}",
            name=name,
            mode="markers",
            marker={"symbol": shape, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
        )
    figure.update_xaxes(range=[first, last])


def _segments(trades: pd.DataFrame) -> tuple[list[object], list[object]]:
    """Entry, exit, gap; entry, exit, gap …"""
    times: list[object] = []
    prices: list[object] = []
    for trade in trades.itertuples():
        times += [trade.entry_time, trade.exit_time, None]
        prices += [trade.entry_price, trade.exit_price, None]
    return times, prices
