"""Tables as the whole workbench shows them: numbers to the right, "–" for the unknown, CSV below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.csv_export import csv_bytes

Format = Callable[[Any], str]
_STATE_COLOURS = {
    "PASS": "#2fe08a",
    "WARN": "#ffcf6b",
    "FAIL": "#ff7a8e",
    "SUCCEEDED": "#2fe08a",
    "RUNNING": "#4cc3ff",
    "FAILED": "#ff7a8e",
    "INTERRUPTED": "#ff9838",
    "PARTIAL": "#ffcf6b",
    "alive": "#2fe08a",
    "gone": "#ff7a8e",
    "long": "#2fe08a",
    "short": "#ff7a8e",
}


def show_table(
    table: pd.DataFrame,
    *,
    key: str,
    formats: Mapping[str, Format] | None = None,
    widths: Mapping[str, int] | None = None,
    signed: Sequence[str] = (),
    right: Sequence[str] = (),
    help_texts: Mapping[str, str] | None = None,
    select: Literal["one", "many"] | None = None,
    rows: int = 12,
    colours: Mapping[str, Callable[[Any], str]] | None = None,
    config: Mapping[str, Any] | None = None,
) -> list[int]:
    """Show `table` by its column names; returns the positions of the selected rows, if rows can be selected.

    `formats` turn values into text (the values stay numbers), `signed` columns are coloured by their sign,
    `right` are texts that stand like numbers, `widths` in pixels, `colours` say a value's colour (#rrggbb, or
    nothing), `config` replaces a column's whole setting; beyond `rows` rows the table scrolls.
    """
    styled = table.style.format(dict(formats or {}), na_rep="–")
    styled = styled.map(_state_colour, subset=[name for name in table.columns if table[name].dtype.kind not in "fiubM"])
    if signed:
        styled = styled.map(_sign_colour, subset=list(signed))
    for name, colour in (colours or {}).items():
        styled = styled.map(partial(_coloured, colour), subset=[name])
    numeric = {name for name in table.columns if table[name].dtype.kind in "fiu"} | set(right)
    config = {
        name: st.column_config.Column(
            width=(widths or {}).get(name),
            alignment="right" if name in numeric else "left",
            help=(help_texts or {}).get(name),
        )
        for name in table.columns
    } | dict(config or {})
    shown = st.dataframe(
        styled,
        hide_index=True,
        row_height=28,
        placeholder="–",
        height="content" if len(table) <= rows else 36 + 28 * rows,
        column_config=config,
        key=key,
        on_select="rerun" if select else "ignore",
        selection_mode="multi-row" if select == "many" else "single-row",
    )
    if not select or isinstance(shown, DeltaGenerator):
        return []
    return [int(row) for row in shown["selection"]["rows"] if row < len(table)]


def csv_button(label: str, table: Callable[[], pd.DataFrame], file_name: str, key: str) -> None:
    """A download of `table` as CSV for Excel; the table is made when the button is pressed."""
    st.download_button(
        label,
        data=lambda: csv_bytes(table()),
        file_name=file_name,
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=key,
    )


def _coloured(colour: Callable[[Any], str], value: Any) -> str:
    return f"color: {found}" if (found := colour(value)) else ""


def _state_colour(value: Any) -> str:
    return f"color: {_STATE_COLOURS[value]}" if isinstance(value, str) and value in _STATE_COLOURS else ""


def _sign_colour(value: Any) -> str:
    if not isinstance(value, (int, float)) or not value or value != value:  # noqa: PLR0124  # NaN
        return ""
    return "color: #2fe08a" if value > 0 else "color: #ff7a8e"
