"""A table of trades as one CSV file that scripts of MetaTrader, spreadsheets and Sequence itself read.

The file is the same whatever the display settings are: UTF-8 with a byte-order mark, commas, decimal points, CRLF.
Times are UTC, `YYYY-MM-DD HH:MM:SS` with `(UTC)` in the header and a fraction only where there is one; MetaTrader's own
times are the broker's, so a script that draws these trades must add its offset. Sizes stand twice: `size` in
units (negative: short), which is what counts when the file is read, and `lots` for the reader. Numbers are written
so that they read back to the same bits; an empty cell is a missing one. Text that a spreadsheet would run as a
formula carries an apostrophe in front, which reading takes off again.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from core.errors import InputError

NEEDED = ("side", "size", "entry_time", "exit_time", "entry_price", "exit_price", "pnl")
_MARK = b"\xef\xbb\xbf"
_ZONE = " (UTC)"
_LOTS = "lots"
# Apostrophes that stand there already get one more, so that exactly one is to be taken off.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_APOSTROPHES = re.compile(r"'+[=+\-@\t\r]")


def write_trades(trades: pd.DataFrame, *, symbol: str, contract_size: float) -> bytes:
    """`trades` as the content of a file, a row each; `contract_size` are the units in one lot.

    Raises InputError when a column is missing that every trade needs, or is not one of a trade.
    """
    _check_columns(list(trades.columns), "The trades")
    unknown = [name for name in trades.columns if name not in _KINDS]
    if unknown:
        raise InputError(f"Trades have no column {unknown[0]!r}.", f"They have {', '.join(_KINDS)}.")
    columns = {
        "symbol": pd.Series([symbol] * len(trades), dtype=object),
        **{str(name): trades[name] for name in trades.columns},
        _LOTS: trades["size"].abs() / contract_size,
    }
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_header(name) for name in columns])
    cells = [[_KINDS[name][0](value) for value in values] for name, values in columns.items()]
    writer.writerows(zip(*cells, strict=True))
    return _MARK + out.getvalue().encode()


def read_trades(content: bytes) -> pd.DataFrame:
    """The trades of a file in its order: the columns that were written, with `symbol`, without `lots`.

    Times are aware UTC. A file with semicolons and decimal commas, as a spreadsheet may save it, is read as well;
    columns that no trade has are left out. Raises InputError naming row and column of what cannot be read.
    """
    header, rows, has_commas = _cells_of(content)
    names = [name.removesuffix(_ZONE) for name in header]
    _check_columns(names, "The file")
    without_zone = next((name for name in header if _KINDS.get(name, (None, None))[1] is _time), None)
    if without_zone is not None:
        raise InputError(
            f"The header does not say in which zone {without_zone} is.",
            f"Convert it to UTC and name it '{without_zone}{_ZONE}'.",
        )
    columns: dict[str, list[Any]] = {}
    for at, name in enumerate(names):
        if name in _KINDS and name != _LOTS:
            read = _KINDS[name][1]
            comma = has_commas and read in {_decimal, _whole}
            columns[name] = [_read(read, row[at], line, name, comma=comma) for line, row in enumerate(rows, 2)]
    trades = pd.DataFrame({name: _typed(name, values) for name, values in columns.items()})
    _check_trades(trades)
    return trades


def _cells_of(content: bytes) -> tuple[list[str], list[list[str]], bool]:
    """Header, rows, and whether decimals carry commas."""
    try:
        text = content.removeprefix(_MARK).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"The file is no UTF-8 text ({error.reason}).", "Choose a trades CSV of Sequence.") from error
    first_line = text.partition("\n")[0]
    has_commas = first_line.count(";") > first_line.count(",")
    try:
        found = list(csv.reader(io.StringIO(text, newline=""), delimiter=";" if has_commas else ",", strict=True))
    except csv.Error as error:
        raise InputError(f"The file is no CSV ({error}).", "Choose a trades CSV of Sequence.") from error
    header = [name.strip() for name in found[0]] if found else []
    rows = found[1:]
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(
                f"Row {line} has {len(row)} cells, the header has {len(header)}.", "The file was cut or edited."
            )
    return header, rows, has_commas


def _check_columns(names: Sequence[str], what: str) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise InputError(f"{what} have no column {missing[0]!r}.".replace("file have", "file has"), _needs())
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"The column {twice!r} stands there twice.", "Keep one of them.")


def _needs() -> str:
    return f"Every trade needs {', '.join(NEEDED)}."


def _check_trades(trades: pd.DataFrame) -> None:
    """Refuse rows that contradict themselves, naming the first."""
    signs = {"long": 1.0, "short": -1.0}
    for line, row in enumerate(trades[[*NEEDED]].itertuples(index=False), 2):
        side, size, entry, end, *_figures = row
        if side not in signs or not size * signs[side] > 0:
            raise InputError(
                f"Row {line}: a trade of side {side!r} cannot have size {size:g}.", "Longs are above 0, shorts below."
            )
        if not entry <= end:
            raise InputError(f"Row {line}: the trade ends at {end}, before it begins at {entry}.", "Correct the times.")


def _header(name: str) -> str:
    return f"{name}{_ZONE}" if _KINDS[name][1] is _time else name


def _read(read: Callable[[str], Any], cell: str, line: int, name: str, *, comma: bool) -> Any:
    try:
        value = read(cell.replace(",", ".") if comma else cell)
    except (ValueError, OverflowError):
        raise InputError(f"Row {line}: {name} {cell[:40]!r} cannot be read.", "Correct the cell.") from None
    if name in NEEDED and (value is None or value != value):  # noqa: PLR0124  # NaN
        raise InputError(f"Row {line} has no {name}.", _needs())
    return value


def _typed(name: str, values: list[Any]) -> Any:
    kind = _KINDS[name][1]
    if kind is _time:
        return pd.DatetimeIndex(values, tz="UTC")
    dtype: Any = "float64" if kind is _decimal else "int64" if kind is _whole else object
    return pd.Series(values, dtype=dtype)


def _time_cell(moment: pd.Timestamp) -> str:
    if moment.tzinfo is None:
        raise InputError(f"{moment} has no time zone.", "Give the trades with aware UTC times.")
    moment = moment.tz_convert("UTC")
    fraction = moment.microsecond * 1000 + moment.nanosecond
    return f"{moment:%Y-%m-%d %H:%M:%S}" + (f".{fraction:09d}".rstrip("0") if fraction else "")


def _time(cell: str) -> pd.Timestamp:
    moment = pd.Timestamp(cell)
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


def _decimal_cell(value: Any) -> str:
    number = math.nan if value is None else float(value)
    return "" if math.isnan(number) else repr(number)


def _decimal(cell: str) -> float:
    return float(cell) if cell else math.nan


def _whole_cell(value: Any) -> str:
    return str(int(value))


def _whole(cell: str) -> int:
    return int(cell)


def _text_cell(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return f"'{text}" if _FORMULA.match(text) else text


def _text(cell: str) -> str | None:
    return (cell[1:] if _APOSTROPHES.match(cell) else cell) or None


# How a cell of each column is written and read.
_Kind = tuple[Callable[[Any], str], Callable[[str], Any]]
_TIME, _DECIMAL = (_time_cell, _time), (_decimal_cell, _decimal)
_WHOLE, _TEXT = (_whole_cell, _whole), (_text_cell, _text)
_KINDS: dict[str, _Kind] = {
    "symbol": _TEXT,
    "side": _TEXT,
    "size": _DECIMAL,
    "entry_time": _TIME,
    "exit_time": _TIME,
    "entry_price": _DECIMAL,
    "exit_price": _DECIMAL,
    "pnl": _DECIMAL,
    "commission": _DECIMAL,
    "return_pct": _DECIMAL,
    "pips": _DECIMAL,
    "stop": _DECIMAL,
    "target": _DECIMAL,
    "exit_reason": _TEXT,
    "entry_bar": _WHOLE,
    "exit_bar": _WHOLE,
    "tag": _TEXT,
    "swap": _DECIMAL,
    "spread_pips": _DECIMAL,
    "slippage_pips": _DECIMAL,
    _LOTS: _DECIMAL,
}
