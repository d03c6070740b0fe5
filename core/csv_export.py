"""Any table as a CSV file that Excel opens as it is meant: the one writer behind every download."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from core.settings import current_settings

# A text cell that begins like this is run as a formula by spreadsheets; a leading apostrophe makes it text.
_FORMULA = re.compile(r"[=+\-@\t\r]")


def csv_bytes(table: pd.DataFrame, headers: Mapping[str, str] | None = None) -> bytes:
    """`table` as UTF-8 with a byte-order mark, one header row, no index unless it carries time.

    Times become `YYYY-MM-DD HH:MM:SS` in UTC with `(UTC)` in their header; numbers stay numbers; only
    text that a spreadsheet would run as a formula is neutralised. `headers` renames columns. With
    `display.csv_decimal_comma` the separator is `;` and decimals carry a comma.
    """
    flat = table.reset_index() if isinstance(table.index, pd.DatetimeIndex) else table.reset_index(drop=True)
    flat = flat.rename(columns=dict(headers or {}))
    columns: dict[str, pd.Series] = {}
    for name in flat.columns:
        values = flat[name]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            columns[f"{_safe_cell(name)} (UTC)"] = values.dt.tz_convert("UTC").dt.strftime("%Y-%m-%d %H:%M:%S")
        elif pd.api.types.is_numeric_dtype(values.dtype):
            columns[str(_safe_cell(name))] = values
        else:
            columns[str(_safe_cell(name))] = values.map(_safe_cell)
    comma = current_settings().display.csv_decimal_comma
    text = pd.DataFrame(columns).to_csv(
        index=False, sep=";" if comma else ",", decimal="," if comma else ".", lineterminator="\r\n"
    )
    return b"\xef\xbb\xbf" + text.encode("utf-8")


def _safe_cell(value: object) -> object:
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return value
