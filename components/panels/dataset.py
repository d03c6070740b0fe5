"""The cards of the Data Pipeline page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.price import price_figure
from components.numbers import number, percent, size, stamp
from components.panels.chart import AVERAGES, drawn_bars, drawn_words, range_choice, range_start, show_figure
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import card, columns, metric, metric_row
from components.panels.table import csv_button, show_table
from core.settings import current_settings, output_folder
from data.versions import DatasetVersion
from market.symbols import symbol_of
from workbench import BACKTESTING

_RULES = {
    "minimum_rows": "Enough rows",
    "missing_values": "Missing values",
    "price_bounds": "Price bounds",
    "volume_bounds": "Volume bounds",
    "outliers_3_sigma": "Returns beyond 3 sigma",
}


def ask_version(versions: Sequence[DatasetVersion]) -> DatasetVersion:
    """The version to look at, kept in the URL; the newest at first."""
    by_hash = {version.short_hash: version for version in reversed(versions)}
    newest_first = [version.short_hash for version in versions if by_hash[version.short_hash] is version]
    words = {short: f"{version.label} · {stamp(version.created_at)}" for short, version in by_hash.items()}
    return by_hash[choose("Version", newest_first, "version", words.__getitem__, show_label=False)]


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
    metric(row, "Validated", version.verdict or "not checked", "see the rules")
    metric(row, "Version", version.short_hash, f"on {stamp(version.created_at)[:10]}")
    metric(row, "Range", f"{number(days)} days", f"to {stamp(version.last_time)[:10]}")
    metric(row, "Size", size(version.size_bytes), "Parquet, zstd")


def show_bars(version: DatasetVersion) -> None:
    """The chart of one symbol, with its averages where they were computed."""
    points = current_settings().display.chart_points
    with card("Bars", f"{', '.join(version.symbols)} {version.timeframe} · UTC"):
        row = st.container(horizontal=True, vertical_alignment="center")
        with row:
            symbol = _ask_symbol(version)
            choice = range_choice("range")
        drawn = drawn_bars(str(output_folder()), version, symbol, choice, points)
        row.caption(drawn_words(drawn.bars, version.rows, points))
        lines = {name.replace("sma_", "SMA "): drawn.candles[name] for name in AVERAGES if name in drawn.candles}
        figure = price_figure(
            drawn.candles,
            digits=symbol_of(symbol).digits if symbol else 5,
            points=points,
            lines=lines,
            closed=drawn.closed,
        )
        show_figure(figure, "data.chart", f"{symbol}_{choice}")
        since = range_start(pd.Timestamp(version.last_time), choice)
        file_name = f"{symbol}_{version.timeframe}_{choice}.csv"
        csv_button("Bars shown as CSV", lambda: version.bars(symbol, since=since), file_name, key="data.chart.csv")


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
            selectable=True,
        )
        csv_button("CSV", lambda: table, f"validation_{version.short_hash}.csv", key="data.rules.csv")
    first_broken = next((row for row, rule in enumerate(rules) if rule["count"]), None)
    chosen = first_broken if selected is None else selected
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


def show_versions(versions: Sequence[DatasetVersion], chosen: DatasetVersion) -> None:
    """All versions, and what can be done with the chosen one."""
    with card("Versions", "immutable, named by their content · newest first · times UTC"):
        table = pd.DataFrame(
            {
                "Made, UTC": [stamp(version.created_at, seconds=True) for version in versions],
                "Version": [version.short_hash for version in versions],
                "Symbols": [", ".join(version.symbols) for version in versions],
                "Timeframe": [version.timeframe for version in versions],
                "Verdict": [version.verdict or "not checked" for version in versions],
                "Rows": [version.rows for version in versions],
                "Columns": [len(version.columns) for version in versions],
                "From, UTC": [stamp(version.first_time) for version in versions],
                "To, UTC": [stamp(version.last_time) for version in versions],
                "Looks ahead": ["yes" if version.looks_ahead else "no" for version in versions],
            }
        )
        show_table(
            table,
            key="data.versions",
            formats={"Rows": number, "Columns": number},
        )
        name = f"{'_'.join(chosen.symbols)}_{chosen.timeframe}_{chosen.short_hash}"
        with st.container(horizontal=True, vertical_alignment="center"), failures_shown():
            st.page_link(
                BACKTESTING.file,
                label=f"Backtest {chosen.short_hash}",
                icon=":material/query_stats:",
                query_params={"dataset": chosen.short_hash},
            )
            csv_button(f"{chosen.short_hash} as CSV", chosen.frame, f"{name}.csv", key="data.version.csv")
            st.download_button(
                f"{chosen.short_hash} as Parquet",
                data=chosen.parquet_file.read_bytes,
                file_name=f"{name}.parquet",
                mime="application/vnd.apache.parquet",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key="data.version.parquet",
            )
            csv_button("This list as CSV", lambda: table, "dataset_versions.csv", key="data.versions.csv")
