"""Gaps, spikes, disagreements and frozen prices of a dataset version, one kind at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.price import price_figure
from components.charts.template import WARNING
from components.numbers import number, stamp
from components.panels.kept import BY_CONTENT
from components.panels.page import card
from components.panels.passport import ask_kept
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.settings import output_folder
from data.collecting import bar_store
from data.passport import MOST_GAPS, Measured
from data.verdicts import LISTED_ROWS
from data.versions import DatasetVersion
from market.bars import PRICES
from market.symbols import symbol_of
from market.timeframes import parse_timeframe

# The rules whose rows are shown here: kind → rule, what its values are, their digits.
_RULES = {
    "spikes": ("Spikes", "spikes", "Price", 5),
    "apart": ("Disagreements", "source_disagreement", "Apart, %", 3),
    "stale": ("Stale", "stale_prices", "Bars", 0),
}
_ROWS = 5
_AROUND = 24  # bars before and after a finding
Place = tuple[str | None, pd.Timestamp]  # symbol and time


def revisions_of(version: DatasetVersion, sources: Sequence[str]) -> pd.DataFrame:
    """Where a source of the version later gave another figure than the one that is in it."""
    found = [bar_store.disagreements(symbol) for symbol in version.symbols]
    table = pd.concat(found) if found else bar_store.disagreements("EURUSD").iloc[:0]
    inside = table["time"].between(pd.Timestamp(version.first_time), pd.Timestamp(version.last_time))
    return table[inside & table["source"].isin(sources)].reset_index(drop=True)


@st.cache_data(
    ttl=3600,
    max_entries=64,
    show_spinner="Reading the bars",
    hash_funcs=BY_CONTENT,
)
def bars_around(home: str, version: DatasetVersion, symbol: str | None, time: pd.Timestamp) -> pd.DataFrame:
    """The bars before and after a moment, kept for an hour, as a version never changes."""
    before = parse_timeframe(version.timeframe).delta * _AROUND + pd.Timedelta(days=4)
    bars = version.bars(symbol, since=time - before, columns=PRICES)
    at = int(pd.DatetimeIndex(bars.index).searchsorted(time))
    return bars.iloc[max(0, at - _AROUND) : at + _AROUND]


def show_findings(
    version: DatasetVersion, found: Measured, rules: Mapping[str, Any], revisions: pd.DataFrame | None
) -> None:
    """One kind of finding at a time, with its rows."""
    counts = {"gaps": found.gaps_count}
    counts |= {kind: rules[rule]["count"] for kind, (_, rule, _, _) in _RULES.items() if rule in rules}
    if revisions is not None and len(revisions):
        counts["revised"] = len(revisions)
    names = {"gaps": "Gaps", "revised": "Revised"} | {kind: words for kind, (words, *_) in _RULES.items()}
    with card("Gaps, spikes, disagreements", "times UTC"):
        kind = ask_kept("Kind", list(counts), "finding", lambda each: f"{names[each]} {number(counts[each])}")
        if kind == "gaps":
            at = _show_gaps(version, found)
        elif kind == "revised" and revisions is not None:
            at = _show_revisions(version, revisions)
        else:
            at = _show_rule(version, kind, rules[_RULES[kind][1]])
        if not rules:
            st.caption("Published unchecked: only gaps are known.")
        if at is not None:
            _show_around(version, *at)


def _show_around(version: DatasetVersion, symbol: str | None, time: pd.Timestamp) -> None:
    """The bars around the chosen row, and a line where it is."""
    bars = bars_around(str(output_folder()), version, symbol, time)
    if bars.empty:
        return
    st.caption(f"{number(len(bars))} bars around {stamp(time)} UTC; select a row to see another.")
    digits = symbol_of(symbol).digits if symbol else 5
    figure = price_figure(bars, digits=digits, points=2 * _AROUND, height=170)
    # Of its own, because plotly's ticks collide where the market pauses, and a line in a pause is drawn elsewhere.
    times = pd.DatetimeIndex(bars.index)
    ticks = times[[len(times) * part // 8 for part in (1, 4, 7)]]
    figure.update_xaxes(tickvals=ticks, ticktext=ticks.strftime("%m-%d %H:%M"), tickangle=0)
    reached = times[min(int(times.searchsorted(time)), len(times) - 1)]
    figure.add_vline(x=reached.isoformat(), line={"width": 1, "dash": "dot", "color": WARNING})
    st.plotly_chart(figure, theme=None, key="passport.around", config={"displayModeBar": False})


def _chosen(selected: Sequence[int], times: Sequence[Any], symbols: Sequence[str | None]) -> Place:
    row = selected[0] if selected else 0
    return symbols[row], pd.Timestamp(times[row])


def _show_gaps(version: DatasetVersion, found: Measured) -> Place | None:
    known = found.by_hour.expected is not None
    if found.gaps.empty:
        st.markdown("No expected bar is missing.")
        return None
    gaps = found.gaps
    lacking = gaps["bars"] > 0
    table = pd.DataFrame(
        {
            "From": [stamp(time) for time in gaps.index],
            "Bars": gaps["bars"].where(lacking, gaps["holiday_bars"]).to_numpy(),
            "Move, pips": gaps["move_pips"].to_numpy(),
            "State": ["open" if known else "unknown hours" if each else "" for each in lacking],
        }
    )
    table.loc[~lacking.to_numpy(), "State"] = "holiday"
    selected = show_table(
        table,
        key="passport.gaps",
        formats={"Bars": number, "Move, pips": lambda value: number(value, 1, sign=True)},
        widths={"From": 136, "Bars": 56, "Move, pips": 92, "State": 104},
        help_texts={
            "From": "When the first missing bar was to open.",
            "Move, pips": "The open after the gap minus the close before it.",
        },
        rows=_ROWS,
        select="one",
    )
    csv_button("CSV", gaps.reset_index, f"{version.short_hash}_gaps.csv", key="passport.gaps.csv")
    longest = f" The {number(MOST_GAPS)} longest are listed." if len(gaps) >= MOST_GAPS else ""
    st.caption(f"A holiday is no gap and does not count.{longest}")
    return _chosen(selected, list(gaps.index), [found.symbol or None] * len(gaps))


def _show_rule(version: DatasetVersion, kind: str, rule: Mapping[str, Any]) -> Place | None:
    _, name, value, digits = _RULES[kind]
    if rule.get("note"):
        st.caption(verbatim(rule["note"]))
    if not rule["rows"]:
        nothing = kind == "apart" and rule["value"] is None
        st.markdown("One source a symbol: there is nothing to compare." if nothing else "Nothing was found.")
        return None
    rows = pd.DataFrame(rule["rows"])
    table = pd.DataFrame(
        {
            "Time": [stamp(text) for text in rows["time"]],
            "Symbol": rows["symbol"],
            "Column": rows["column"],
            value: rows["value"].astype("float64"),
        }
    )
    selected = show_table(
        table,
        key=f"passport.{kind}",
        formats={value: lambda figure: number(figure, digits, sign=kind == "apart")},
        widths={"Time": 132, "Symbol": 76, "Column": 70, value: 86},
        rows=_ROWS,
        select="one",
    )
    csv_button("CSV", lambda: table, f"{version.short_hash}_{name}.csv", key=f"passport.{kind}.csv")
    if rule["count"] > len(rows):
        st.caption(f"The first {number(LISTED_ROWS)} of {number(rule['count'])}, as the validation kept them.")
    return _chosen(selected, list(rows["time"]), [text or None for text in rows["symbol"]])


def _show_revisions(version: DatasetVersion, revisions: pd.DataFrame) -> Place:
    shown = revisions.head(MOST_GAPS)
    table = pd.DataFrame(
        {
            "Time": [stamp(time) for time in shown["time"]],
            "Source": shown["source"],
            "Column": shown["column"],
            "Kept": shown["stored"],
            "Offered": shown["offered"],
        }
    )
    selected = show_table(
        table,
        key="passport.revised",
        formats={name: lambda figure: number(figure, 5) for name in ("Kept", "Offered")},
        widths={"Time": 132, "Source": 84, "Column": 70, "Kept": 76, "Offered": 76},
        rows=_ROWS,
        select="one",
    )
    csv_button("CSV", lambda: revisions, f"{version.short_hash}_revised.csv", key="passport.revised.csv")
    st.caption("What a source answered later and differently; the figure it gave first is in the version.")
    return _chosen(selected, list(shown["time"]), list(shown["symbol"]))
