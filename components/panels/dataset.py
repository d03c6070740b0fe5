"""The cards of one version on the Data Pipeline page: its figures, its chart, its verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from components.charts.price import price_figure
from components.numbers import number, percent, size, stamp
from components.panels.chart import AVERAGES, BOX_HINT, ask_span, drawn_bars, drawn_words, show_figure
from components.panels.page import card, columns, metric, metric_row
from components.panels.table import csv_button, show_table
from core.settings import current_settings, output_folder
from data.versions import UNCHECKED, DatasetVersion
from market.symbols import symbol_of

_RULES = {
    "minimum_rows": "Enough rows",
    "missing_values": "Missing values",
    "price_bounds": "Price bounds",
    "volume_bounds": "Volume bounds",
    "outliers_3_sigma": "Returns beyond 3 sigma",
}


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


def show_validation(version: DatasetVersion, validation: dict[str, Any] | None) -> None:
    """Every rule with what was found, its limit and, for the chosen one, the rows that broke it."""
    left, right = columns([2, 1])
    if validation is None:
        with left, card("Validation"):
            st.markdown("This version was published unchecked, so there is no verdict.")
        return
    rules = validation["rules"]
    table = pd.DataFrame(
        {
            "Rule": [_RULES.get(rule["rule"], rule["rule"]) for rule in rules],
            "Verdict": [rule["status"] for rule in rules],
            "Found": [_figure(rule, "value") for rule in rules],
            "Limit": [_figure(rule, "limit") for rule in rules],
            "Cells": [rule["count"] for rule in rules],
            "First, UTC": [stamp(rule["rows"][0]["time"]) if rule["rows"] else "–" for rule in rules],
        }
    )
    with (
        left,
        card("Validation", f"verdict {validation['status']} · {number(validation['rows'])} rows · select a rule"),
    ):
        selected = show_table(
            table,
            key="data.rules",
            right=["Found", "Limit"],
            formats={"Cells": number},
            widths={"Rule": 178, "Verdict": 72, "Found": 142, "Limit": 142, "Cells": 58, "First, UTC": 128},
            select="one",
        )
        csv_button("CSV", lambda: table, f"validation_{version.short_hash}.csv", key="data.rules.csv")
    first_broken = next((row for row, rule in enumerate(rules) if rule["count"]), None)
    chosen = selected[0] if selected else first_broken
    with right:
        _show_rows(version, rules[chosen] if chosen is not None else None)


def _show_rows(version: DatasetVersion, rule: dict[str, Any] | None) -> None:
    if rule is None or not rule["rows"]:
        with card("Rows"):
            st.markdown("No row breaks this rule." if rule else "No row breaks any rule.")
        return
    rows = pd.DataFrame(rule["rows"])
    name = _RULES.get(rule["rule"], rule["rule"])
    with card("Rows", f"{name} · first {number(len(rows))} of {number(rule['count'])}"):
        shown = pd.DataFrame(
            {
                "Time, UTC": [stamp(text) for text in rows["time"]],
                "Symbol": rows["symbol"],
                "Column": rows["column"],
                "Value": rows["value"],
            }
        )
        show_table(
            shown,
            key="data.rows",
            formats={"Value": lambda value: number(value, 5, sign=rule["rule"].startswith("outliers"))},
            widths={"Time, UTC": 140, "Symbol": 72, "Column": 82},
            rows=8,
        )
        csv_button("CSV of these rows", lambda: shown, f"{rule['rule']}_{version.short_hash}.csv", key="data.rows.csv")


def _figure(rule: dict[str, Any], which: str) -> str:
    """Found value or limit in the unit of its rule."""
    value = rule[which]
    if rule["rule"] in {"missing_values", "outliers_3_sigma"}:
        return percent(value) if which == "value" else f"≤ {percent(value)}"
    if isinstance(value, list):
        return " … ".join(_bound(part) for part in value)
    return number(value) if which == "value" else f"≥ {number(value)}"


def _bound(value: float | None) -> str:
    """A bound with as many digits as it needs, at most five."""
    return number(value) if value is None or float(value).is_integer() else number(value, 5).rstrip("0")
