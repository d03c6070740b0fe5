"""The chart of the Scanner page: patterns as they were known at a bar, and the same moment on every timeframe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from components.charts.detail import stretch
from components.charts.scanner import SHOWN, DrawnSetup, patterns_figure, strongest, timeframe_figure
from components.numbers import DASH, number, stamp
from components.panels.chart import BOX_HINT, Span, ask_span, drawn_words, show_figure, show_still
from components.panels.defaults import keep_defaults
from components.panels.page import card, columns
from components.panels.scanner import AT, SIDES
from components.panels.scanner_data import Picture, ScannedSeries, family, layer_shown, picture_of
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.settings import current_settings
from market.calendar import bar_end
from scanner.layers import Layer
from scanner.patterns.findings import Findings, Kind
from scanner.patterns.ranges import range_position
from scanner.patterns.sessions import zone_names

_CHART = "scanner.chart"
_MOST = 200  # findings of a kind that are drawn: more cover the candles
_SIDE_BY_SIDE = 90  # bars of each timeframe
_PRICES = ("entry", "stop", "target")
_USUAL = ("Gaps", "Structure", "Sweeps", "Order blocks", "Swings")


@dataclass(frozen=True)
class _View:
    """What the chart shows: the bars of its window up to `at` (bar number `place` of the series), and what was found.

    `found` was known at `at` and touches the window, `drawn` is the strongest of it.
    """

    picture: Picture
    window: pd.DataFrame
    at: pd.Timestamp
    place: int
    found: pd.DataFrame
    drawn: pd.DataFrame


def show_chart(series: ScannedSeries, every: Sequence[ScannedSeries], setup: pd.Series | None) -> None:
    """Candles and patterns of the chosen series, only with what was known at the bar that the slider names."""
    picture = picture_of(series, every)
    with card(f"{series.symbol} {series.timeframe}, patterns known at the slider's bar", f"UTC · {BOX_HINT}"):
        left, right = columns([3, 7])
        with left:
            span = ask_span(_CHART, series.key, default="1M")
        with right:
            shown = st.pills(
                "Shown",
                list(SHOWN),
                selection_mode="multi",
                default=list(_USUAL),
                key="scanner.shown",
                label_visibility="collapsed",
            )
        window = _cut(picture.layer.bars, span)
        at = ask_moment(series, window, setup)
        later = st.toggle("Later bars, dimmed", value=True, key="scanner.later") if at < window.index[-1] else False
        place = int(picture.layer.times.searchsorted(at))
        found = _seen(picture.layer, place, window.index[0])
        found = found[found["kind"].isin([kind for name in shown for kind in SHOWN[name]])]
        view = _View(picture, window, at, place, found, strongest(found, _MOST))
        zones = zone_names(pd.DatetimeIndex(window.index)) if series.timeframe.is_intraday else None
        figure = patterns_figure(
            window,
            view.drawn,
            digits=series.about.digits,
            points=current_settings().display.chart_points,
            at=at,
            shown=shown,
            setup=_lines(setup, view),
            zones=zones,
            height=430,
            later=later,
        )
        show_figure(figure, _CHART, f"scanner_{series.key}", series.key)
        _tell(view)
        csv_button("Findings as CSV", lambda: view.found, f"findings_{series.key}.csv", key="scanner.findings.csv")


def ask_moment(series: ScannedSeries, window: pd.DataFrame, setup: pd.Series | None = None) -> pd.Timestamp:
    """The bar up to whose close everything is shown: by slider, by single steps, or when the setup was made."""
    times = pd.DatetimeIndex(window.index)
    key = moment_key(series)
    first, last = (moment.to_pydatetime() for moment in (times[0], times[-1]))
    held = st.session_state.get(key, _asked(series) or last)
    wanted = held if first <= held <= last else last
    if held != wanted:
        st.session_state.pop(key, None)
    keep_defaults({key: wanted})  # written at each drawing it would take back what was pressed meanwhile
    at = _bar_at(times, st.session_state[key])

    def go(to: int) -> None:
        st.session_state[key] = times[min(max(to, 0), len(times) - 1)].to_pydatetime()

    left, right = columns([5, 4])
    if last > first:
        step = series.timeframe.delta.to_pytimedelta()
        left.slider("As seen at", first, last, key=key, step=step, format="ddd D MMM YYYY HH:mm")
    with right, st.container(horizontal=True, height="stretch", vertical_alignment="bottom", gap="xsmall"):
        made = None if setup is None else int(times.searchsorted(setup["known_at"], side="right")) - 1
        for label, icon, to in (
            ("When made", "flag", made if made is not None and made >= 0 else None),
            ("Bar before", "chevron_left", at - 1 if at else None),
            ("Next bar", "chevron_right", at + 1 if at + 1 < len(times) else None),
            ("Last bar", "last_page", len(times) - 1 if at + 1 < len(times) else None),
        ):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"scanner.{icon}",
                disabled=to is None,
                on_click=partial(go, at if to is None else to),
            )
    if at + 1 < len(times):
        st.query_params[AT] = f"{times[at]:%Y-%m-%dT%H:%M}"
    else:
        st.query_params.pop(AT, None)
    return times[at]


def moment_key(series: ScannedSeries) -> str:
    """Where the session keeps the slider's time; a newer scan begins at its own last bar."""
    return f"scanner.at.{series.key}.{series.until:%Y%m%d%H%M}"


def show_timeframes(series: ScannedSeries, every: Sequence[ScannedSeries]) -> None:
    """Every timeframe of the symbol at the same moment: a chart each, and what they say in a table."""
    own = layer_shown(series)
    relatives = family(series, every)
    with card(f"{series.symbol}, {len(relatives)} timeframes at one moment", "only bars that were closed then · UTC"):
        at = ask_moment(series, own.bars.iloc[-5 * _SIDE_BY_SIDE :])
        moment = bar_end(pd.DatetimeIndex([at]), series.timeframe, series.about.asset_class).as_unit("us").asi8[0]
        rows, charts = [], []
        for each in relatives:
            layer = layer_shown(each)
            place = int(np.searchsorted(layer.ends, moment, side="right")) - 1
            if place < 1:
                continue
            rows.append(_standing(each, layer, place))
            charts.append((each, layer, place))
        if not charts:
            st.markdown("No timeframe had two closed bars then. Move the slider to the right.")
            return
        show_table(
            pd.DataFrame(rows),
            key="scanner.timeframes.table",
            formats={"Place in range, %": number, "Gaps": number, "Blocks": number, "Findings": number},
            help_texts={
                "Place in range, %": "Between the last known swing low (0) and high (100): below 50 discount, above "
                "premium.",
                "Gaps": "Fair value gaps that last.",
            },
        )
    for begin in range(0, len(charts), 2):
        for column, (each, layer, place) in zip(st.columns(2, gap="xsmall"), charts[begin : begin + 2], strict=False):
            with column:
                _show_small(each, layer, place)


def _show_small(series: ScannedSeries, layer: Layer, place: int) -> None:
    window = layer.bars.iloc[max(0, place + 1 - _SIDE_BY_SIDE) : place + 1]
    with card(
        f"{series.symbol} {series.timeframe}",
        f"{len(window)} closed bars to {stamp(layer.times[place].to_pydatetime())}",
    ):
        found = strongest(_seen(layer, place, window.index[0]), 40)
        figure = timeframe_figure(window, found, digits=series.about.digits)
        show_still(figure, f"scanner.small.{series.timeframe}", f"{series.key}_{layer.times[place]:%Y%m%dT%H%M}")


def _standing(series: ScannedSeries, layer: Layer, place: int) -> dict[str, object]:
    """What one timeframe says at a moment."""
    known = layer.findings.as_known(place)
    lasting = known.where(known.ended < 0)
    breaks = known.of(Kind.BOS, Kind.CHOCH)
    position = 100 * float(range_position(layer.bars, layer.findings)[place])
    return {
        "Timeframe": str(series.timeframe),
        "Structure": _last_words(breaks, layer),
        "Place in range, %": position,
        "Range": DASH if np.isnan(position) else ("discount" if position < 50 else "premium"),
        "Gaps": len(lasting.of(Kind.FVG)),
        "Blocks": len(lasting.of(Kind.ORDER_BLOCK)),
        "Last sweep": _last_words(known.of(Kind.LIQUIDITY_SWEEP), layer),
        "Findings": len(known),
    }


def _last_words(found: Findings, layer: Layer) -> str:
    if not len(found):
        return DASH
    side = SIDES["bullish" if found.direction[-1] > 0 else "bearish"]
    name = {Kind.BOS: "BOS ", Kind.CHOCH: "CHoCH "}.get(Kind(found.kind[-1]), "")
    return f"{name}{side}, {layer.times[int(found.known[-1])]:%d %b %H:%M}"


def _cut(bars: pd.DataFrame, span: Span) -> pd.DataFrame:
    times = pd.DatetimeIndex(bars.index)
    if span.box is not None:
        return bars.iloc[stretch(times, *span.box)]
    since = span.start(times[-1])
    cut = bars if since is None else bars.loc[since:]
    return cut if len(cut) > 1 else bars.iloc[-2:]


def _seen(layer: Layer, place: int, first: pd.Timestamp) -> pd.DataFrame:
    """What was known at a bar and touches the time from `first` on."""
    found = layer.findings.as_known(place).frame(layer.times)
    return found[found["ended_at"].isna() | (found["ended_at"] >= first) | (found["known_at"] >= first)]


def _lines(setup: pd.Series | None, view: _View) -> DrawnSetup | None:
    """The chosen setup's lines, once it was known."""
    if setup is None or not view.window.index[0] <= setup["known_at"] <= view.at:
        return None
    ended = setup["ended_at"]
    end = view.at if pd.isna(ended) else min(view.at, ended)
    entry, stop, target = (math.nan if pd.isna(setup[name]) else float(setup[name]) for name in _PRICES)
    words = f"{setup['symbol']} {SIDES[setup['direction']]}"
    return DrawnSetup(words, setup["known_at"], end, entry, stop, target)


def _tell(view: _View) -> None:
    """What there was at this close, and how much of it is drawn."""
    layer, seen = view.picture.layer, view.picture.candidates.as_seen(view.place)
    live = seen.where(seen.passed & (seen.status == 0))
    short = seen.where(~seen.passed & (seen.bar == view.place)).setups()
    scores = ", ".join(f"{SIDES[each.direction]} {number(each.score, 2)}" for each in live.setups()[-3:])
    words = (
        f"At the close of {stamp(view.at.to_pydatetime())} UTC: {number(len(layer.findings.as_known(view.place)))} "
        f"findings since the first bar, {number(len(live))} live setup{'' if len(live) == 1 else 's'}"
        f"{f' ({scores})' if scores else ''}"
    )
    if short:
        words += f". Why not {SIDES[short[-1].direction]}: {short[-1].why_not_line()}"
    fewer = f", the strongest {number(_MOST)} of each kind" if len(view.drawn) < len(view.found) else ""
    points = current_settings().display.chart_points
    drawn = f"{drawn_words(len(view.window), len(layer.bars), points)}, {number(len(view.drawn))} findings{fewer}"
    st.caption(verbatim(f"{words}. {drawn[0].upper()}{drawn[1:]}."))


def _bar_at(times: pd.DatetimeIndex, moment: datetime) -> int:
    return max(0, int(times.searchsorted(pd.Timestamp(moment), side="right")) - 1)


def _asked(series: ScannedSeries) -> datetime | None:
    """The time that the address names."""
    text = st.query_params.get(AT)
    try:
        return pd.Timestamp(text, tz="UTC").to_pydatetime() if text else None
    except ValueError:
        return None
