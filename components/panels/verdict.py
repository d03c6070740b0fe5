"""The verdict of a version on the Data Pipeline page: every rule in words and units, and the rows that break it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import streamlit as st

from components.numbers import number, stamp
from components.panels.page import card, columns
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from data.versions import DatasetVersion


@dataclass(frozen=True)
class RuleWords:
    """How a rule is told: its title, what its figures are counted in, and what its limit says."""

    title: str
    unit: str = ""
    bound: Literal["least", "most", "below"] = "most"

    def found(self, value: Any) -> str:
        """What was found, in its unit; lowest and highest where it is a range."""
        if isinstance(value, list):
            return " … ".join(_short(each) for each in value)
        return self._with_unit(value)

    def limit(self, limit: Any) -> str:
        """What may be found: a bound, a range, or the figures beyond which the rule warns and fails."""
        if isinstance(limit, list):
            low, high = limit
            return f"warn > {_short(low)}, fail > {self._with_unit(high)}" if self.unit else self.found(limit)
        sign = {"least": "≥", "most": "≤", "below": "<"}[self.bound]
        return f"{sign} {self._with_unit(limit)}"

    def _with_unit(self, value: float | None) -> str:
        return f"{_short(value, 2)} {self.unit}" if self.unit and value is not None else _short(value)


_WEIGHT = {"FAIL": 0, "WARN": 1, "PASS": 2}
_RULES = {
    "minimum_rows": RuleWords("Enough rows", bound="least"),
    "missing_values": RuleWords("Missing values", "%"),
    "price_bounds": RuleWords("Price bounds"),
    "volume_bounds": RuleWords("Volume bounds"),
    "outliers_3_sigma": RuleWords("Returns beyond 3 sigma", "%"),
    "duplicate_times": RuleWords("Duplicate times"),
    "unsorted_times": RuleWords("Times out of order"),
    "ohlc_sanity": RuleWords("High and low hold all"),
    "gaps": RuleWords("Gaps in market hours", "%"),
    "weekend_bars": RuleWords("Bars at the weekend", "%"),
    "weekly_open": RuleWords("Weeks on a shifted clock", "%"),
    "stale_prices": RuleWords("Longest frozen price", "min", bound="below"),
    "spikes": RuleWords("Furthest spike", "ATR"),
    "zero_volume": RuleWords("Longest without volume", "min", bound="below"),
    "source_disagreement": RuleWords("Sources that disagree", "%"),
}


def show_validation(version: DatasetVersion, validation: dict[str, Any] | None) -> None:
    """Every rule with what was found, its limit and, for the chosen one, the rows that broke it."""
    left, right = columns([5, 3])
    if validation is None:
        with left, card("Validation"):
            st.markdown("This version was published unchecked, so there is no verdict.")
        return
    rules = validation["rules"]
    table = pd.DataFrame(
        {
            "Rule": [_words_of(rule).title for rule in rules],
            "Verdict": [rule["status"] for rule in rules],
            "Found": [_words_of(rule).found(rule["value"]) for rule in rules],
            "Limit": [_words_of(rule).limit(rule["limit"]) for rule in rules],
            "Count": [rule["count"] for rule in rules],
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
            formats={"Count": number},
            widths={"Rule": 190, "Verdict": 72, "Found": 150, "Limit": 176, "Count": 66},
            select="one",
            rows=len(rules),
        )
        csv_button("CSV", lambda: table, f"validation_{version.short_hash}.csv", key="data.rules.csv")
    # Until one is selected, the one that weighs most: FAIL before WARN before what was merely counted.
    broken = [row for row, rule in enumerate(rules) if rule["count"]]
    chosen = selected[0] if selected else min(broken, key=lambda row: _WEIGHT[rules[row]["status"]], default=None)
    with right:
        _show_rows(version, rules[chosen] if chosen is not None else None)


def _show_rows(version: DatasetVersion, rule: dict[str, Any] | None) -> None:
    if rule is None or not rule["rows"]:
        with card("Rows"):
            st.markdown("No row breaks this rule." if rule else "No row breaks any rule.")
            if rule and rule["note"]:
                st.caption(verbatim(rule["note"]))
        return
    rows = pd.DataFrame(rule["rows"])
    name = _words_of(rule).title
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
            formats={"Value": _short},
            widths={"Time, UTC": 140, "Symbol": 72, "Column": 82},
        )
        if rule["note"]:
            st.caption(verbatim(rule["note"]))
        csv_button("CSV of these rows", lambda: shown, f"{rule['rule']}_{version.short_hash}.csv", key="data.rows.csv")


def _words_of(rule: dict[str, Any]) -> RuleWords:
    return _RULES.get(rule["rule"], RuleWords(rule["rule"]))


def _short(value: float | None, digits: int = 5) -> str:
    """A figure with as many digits as it needs, at most so many."""
    if value is None or float(value).is_integer():
        return number(value)
    return number(value, digits).rstrip("0").rstrip(".")
