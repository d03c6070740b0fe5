"""The cards of one version on the Data Pipeline page: its figures and its chart."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from components.charts.price import price_figure
from components.numbers import number, size, stamp
from components.panels.chart import AVERAGES, BOX_HINT, ask_span, drawn_bars, drawn_words, show_figure
from components.panels.page import card, metric, metric_row
from components.panels.table import csv_button
from core.settings import current_settings, output_folder
from data.versions import UNCHECKED, DatasetVersion
from market.symbols import symbol_of


def show_metrics(version: DatasetVersion, preprocessing: dict[str, Any] | None) -> None:
    """The version in six figures."""
    row = metric_row()
    added = len(preprocessing["columns_added"]) if preprocessing else 0
    warmup = preprocessing["warmup_rows"] if preprocessing else 0
    days = (pd.Timestamp(version.last_time) - pd.Timestamp(version.first_time)).days
    metric(row, "Bars", number(version.rows), f"{', '.join(version.symbols)} {version.timeframe}"[:18])
    metric(
        row,
        "Columns added",
        f"+{added}",
        f"{number(warmup)} warm-up rows",
        "Columns added to the raw ones. The first rows, in which an average has too few bars, are no missing data.",
    )
    metric(row, "Validated", version.verdict or UNCHECKED, "see the rules")
    metric(row, "Version", version.short_hash, f"on {stamp(version.created_at)[:10]}")
    metric(row, "Range", f"{number(days)} days", f"to {stamp(version.last_time)[:10]}")
    metric(row, "Size", size(version.size_bytes), "Parquet, zstd")


def show_bars(version: DatasetVersion) -> None:
    """The chart of one symbol, with its averages where they were computed."""
    points = current_settings().display.chart_points
    with card("Bars", f"{', '.join(version.symbols)} {version.timeframe} · UTC · {BOX_HINT}"):
        row = st.container(horizontal=True, vertical_alignment="center")
        with row:
            symbol = _ask_symbol(version)
            span = ask_span("data.chart", of=f"{version.content_hash} {symbol}")
        drawn = drawn_bars(str(output_folder()), version, symbol, span, points)
        row.caption(drawn_words(drawn.bars, version.rows, points))
        lines = {name.replace("sma_", "SMA "): drawn.candles[name] for name in AVERAGES if name in drawn.candles}
        figure = price_figure(
            drawn.candles,
            digits=symbol_of(symbol).digits if symbol else 5,
            points=points,
            lines=lines,
            closed=drawn.closed,
        )
        show_figure(figure, "data.chart", f"{symbol}_{span}", of=f"{version.content_hash} {symbol}")
        file_name = f"{symbol}_{version.timeframe}_{span}.csv"
        csv_button("Bars shown as CSV", lambda: span.cut(version, symbol), file_name, key="data.chart.csv")


def _ask_symbol(version: DatasetVersion) -> str | None:
    """Which symbol to draw; None for bars that were published without one."""
    if len(version.symbols) < 2:
        return version.symbols[0] if version.symbols else None
    return st.segmented_control("Symbol", version.symbols, default=version.symbols[0], required=True, key="data.shown")
