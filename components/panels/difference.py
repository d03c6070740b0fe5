"""The difference between the open dataset version and another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, stamp
from components.panels.choice import choose
from components.panels.kept import BY_CONTENT
from components.panels.page import card, columns
from components.panels.passport import ask_kept
from components.panels.table import csv_button, show_table
from components.panels.versions import named_versions, version_words
from core.settings import output_folder
from data.pipeline_controller import controller
from data.version_differences import FIRST_ROWS, RAW, Difference, diff_versions, settings_that_differ
from data.versions import UNCHECKED, DatasetVersion

_AGAINST = "against"
_KINDS = {"added": "Added", "removed": "Removed", "changed": "Changed"}


@st.cache_data(
    ttl=3600,
    max_entries=16,
    show_spinner="Comparing the versions",
    hash_funcs=BY_CONTENT,
)
def difference(home: str, here: DatasetVersion, there: DatasetVersion) -> Difference:
    """`diff_versions`, kept for an hour, as versions never change; `home` tells workbenches apart."""
    return diff_versions(here, there)


def show_difference(versions: Sequence[DatasetVersion], name: str, version: DatasetVersion) -> None:
    """What the open version has that another one has not, and the other way round."""
    if len(versions) < 2:
        with card("Difference"):
            st.markdown("There is no other version to compare with. Collect again, with other settings or later.")
        return
    left, right = columns([1, 1])
    with left, card("Difference", "from another version to this one"):
        other = _ask_other(versions, name, version)
        found = difference(str(output_folder()), other, version)
        if other.content_hash == version.content_hash:
            st.markdown("Equal content: the same rows, figures and columns.")
        if other.timeframe != version.timeframe:
            st.caption(f"{other.timeframe} against {version.timeframe}: rows are compared by the time they open.")
        table = _table(found, settings_that_differ(*_settings_of(other, version)))
        widths = {"What": 180, "Change": 70, "Detail": 270}
        show_table(table, key="passport.difference", widths=widths, right=["Change"])
        file_name = f"{other.short_hash}_to_{version.short_hash}.csv"
        csv_button("CSV", lambda: table, file_name, key="passport.difference.csv")
    with right, card("Rows that differ", "by symbol and the time they open, UTC"):
        _show_rows(found)


def _ask_other(versions: Sequence[DatasetVersion], name: str, version: DatasetVersion) -> DatasetVersion:
    """The version to compare with, kept in the URL; at first the newest other one of the same symbols."""
    named = {each: kept for each, kept in named_versions(versions).items() if each != name}
    if name in {st.session_state.get(_AGAINST), st.query_params.get(_AGAINST)}:  # it was opened meanwhile
        st.session_state.pop(_AGAINST, None)
        st.query_params.pop(_AGAINST, None)

    def strangeness(each: str) -> tuple[bool, bool]:
        return named[each].symbols != version.symbols, named[each].timeframe != version.timeframe

    options = sorted(named, key=strangeness)
    words = {each: version_words(each, kept) for each, kept in named.items()}
    return named[choose("Compared with", options, _AGAINST, words.__getitem__, show_label=False)]


def _settings_of(here: DatasetVersion, there: DatasetVersion) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each of two versions was made with; a step that only one of them went through counts as one setting."""
    settings: list[dict[str, Any]] = []
    rows = [(controller.collection_of(version), controller.preprocessing_of(version)) for version in (here, there)]
    both = [all(row is not None for row in step) for step in zip(*rows, strict=True)]
    for version, (collection, preprocessing) in zip((here, there), rows, strict=True):
        asked = {name: value for name, value in (collection or {}).get("config", {}).items() if name != "preprocessing"}
        steps = {
            "collection": asked
            if both[0]
            else collection and f"{collection['id']}, {', '.join(collection['sources'])}",
            "preprocessing": (
                {**preprocessing["settings"], "code": preprocessing["code_version"]}
                if preprocessing and both[1]
                else preprocessing and f"{preprocessing['id']}"
            ),
        }
        settings.append({"timeframe": version.timeframe, "day cut": version.day_cut, **steps})
        settings[-1]["verdict"] = version.verdict or UNCHECKED
    return settings[0], settings[1]


def _table(found: Difference, changes: Sequence[tuple[str, Any, Any]]) -> pd.DataFrame:
    raw = {name: count for name, count in found.cells_changed.items() if name in RAW}
    added = {name: count for name, count in found.cells_changed.items() if name not in RAW}
    rows = [
        ("Rows added", number(found.added), ""),
        ("Rows removed", number(found.removed), ""),
        ("Rows changed", number(found.changed), _cells(raw)),
        ("Columns added", number(len(found.columns_added)), ", ".join(found.columns_added)),
        ("Columns removed", number(len(found.columns_removed)), ", ".join(found.columns_removed)),
        ("Columns computed anew", number(len(added)), _cells(added)),
        *(
            (name.replace(".", " · ").replace("_", " "), "differs", f"{_value(a)} → {_value(b)}")
            for name, a, b in changes
        ),
    ]
    return pd.DataFrame(rows, columns=["What", "Change", "Detail"])


def _cells(cells: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number(count)}" for name, count in cells.items())


def _value(value: Any) -> str:
    if value is None or value == []:
        return DASH
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _show_rows(found: Difference) -> None:
    rows = {"added": found.first_added, "removed": found.first_removed, "changed": found.first_changed}
    counts = {"added": found.added, "removed": found.removed, "changed": found.changed}
    there = [kind for kind in rows if counts[kind]]
    if not there:
        st.markdown("Every bar is the same in both.")
        return
    kind = ask_kept("Rows", there, "rows", lambda each: f"{_KINDS[each]} {number(counts[each])}")
    table = rows[kind].assign(time=[stamp(time) for time in rows[kind]["time"]])
    words = {"here": "Before", "there": "Now", "time": "Time, UTC"}
    table = table.rename(columns=lambda name: words.get(name, name.capitalize()))
    figures = {str(name): lambda value: number(value, 5) for name in table if table[name].dtype.kind == "f"}
    show_table(table, key=f"passport.rows.{kind}", formats=figures, widths={"Time, UTC": 132}, rows=6)
    st.caption(f"The first {number(min(FIRST_ROWS, counts[kind]))} of {number(counts[kind])}.")
