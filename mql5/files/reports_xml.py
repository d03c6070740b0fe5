"""The Strategy Tester's optimisation reports: SpreadsheetML, a row a pass, with results and the inputs tried.

The XML is read by expat as it comes, without a tree. A document type is refused where it begins, so that no entity
can be defined; such a file is none that MetaTrader wrote.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np
import pandas as pd

from core.errors import InputError
from mql5.files.report_content import CELL_LIMIT, ROWS_LIMIT, Content, ReportKind
from mql5.files.report_tables import snake

_SPREADSHEET = "urn:schemas-microsoft-com:office:spreadsheet"
_OFFICE = "urn:schemas-microsoft-com:office:office"
_DECLARATION = re.compile(r"^\s*<\?xml[^?>]*\?>")
_TITLE = re.compile(r"(?P<expert>.*\S)\s+(?P<symbol>\S+),(?P<timeframe>\w+)\s+(?P<first>[\d.]+)-(?P<last>[\d.]+)")
_TITLE_LIMIT = 200  # characters
_DEPTH_LIMIT = 32
_COLUMNS_LIMIT = 128
# Columns that every pass has; those after Trades are the inputs. A forward report has two results.
_RESULTS = {
    "pass",
    "result",
    "forward_result",
    "back_result",
    "profit",
    "expected_payoff",
    "profit_factor",
    "recovery_factor",
    "sharpe_ratio",
    "custom",
    "equity_dd_pct",
    "trades",
}
_NEEDED = ("pass", "profit", "trades")
# As the single test's report and the Expert Advisor's export call the same figures.
_STATISTICS = {
    "profit": "total_net_profit",
    "trades": "total_trades",
    "equity_dd_pct": "equity_drawdown_relative_pct",
    "custom": "ontester_result",
}
Cell = float | str | bool | None


@dataclass
class _Sheet:
    """What the parser has met: rows of cells, the document's properties, and where it stands."""

    rows: list[list[Cell]] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    length: int = 0
    column: int = 0
    kind: str = "String"

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name)
        if len(self.path) > _DEPTH_LIMIT:
            raise _damaged(f"The file nests more than {_DEPTH_LIMIT} elements")
        self.text, self.length = [], 0
        if name == f"{_SPREADSHEET} Row":
            if len(self.rows) > ROWS_LIMIT:
                raise _damaged(f"The table has more than {ROWS_LIMIT:,} rows")
            self.rows.append([])
            self.column = 0
        elif name == f"{_SPREADSHEET} Cell":
            # Empty cells before this one are left out and its column is told instead, counted from 1.
            told = attributes.get(f"{_SPREADSHEET} Index", "")
            self.column = int(told) if told.isascii() and told.isdigit() and len(told) < 6 else self.column + 1
            # The first row is the header, and no other is longer.
            widest = len(self.rows[0]) if len(self.rows) > 1 else _COLUMNS_LIMIT
            if not (self.rows and 0 < self.column <= widest):
                raise _damaged(f"A cell stands in column {self.column}")
        elif name == f"{_SPREADSHEET} Data":
            self.kind = attributes.get(f"{_SPREADSHEET} Type", "String")

    def characters(self, text: str) -> None:
        self.length += len(text)
        if self.length > CELL_LIMIT:
            raise _damaged(f"A cell has more than {CELL_LIMIT} characters")
        self.text.append(text)

    def end(self, name: str) -> None:
        self.path.pop()
        words = "".join(self.text).strip()
        if name == f"{_SPREADSHEET} Data" and self.rows and self.column:
            row = self.rows[-1]
            row += [None] * (self.column - len(row))
            row[self.column - 1] = _value(words, self.kind)
        elif name.startswith(f"{_OFFICE} ") and words:
            self.properties[name.removeprefix(f"{_OFFICE} ").casefold()] = words
        self.text, self.length = [], 0


def read_xml(text: str) -> Content:
    """An optimisation report or its forward part; `passes` has a row a pass in the file's order.

    The figures and inputs are those of the first row, which is the best. Raises InputError when the XML is damaged,
    declares a document type, is another workbook, or has no pass.
    """
    sheet = _parsed(text)
    if not sheet.rows:
        raise InputError("The XML holds no table.", "Choose an optimisation report of MetaTrader 5's Strategy Tester.")
    labels = [str(cell) if cell is not None else "" for cell in sheet.rows[0]]
    names = [found if (found := snake(label)) in _RESULTS else label for label in labels]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(
            f"The table has no column {', '.join(missing)}; it has {', '.join(labels)[:120]}.",
            "Choose an optimisation report of MetaTrader 5, saved by an English terminal.",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _damaged(f"The column {twice!r} stands there twice")
    if len(sheet.rows) == 1:
        raise InputError(
            "The report lists no pass.", "Where all symbols were tried the results stand in the tester's cache only."
        )
    passes = _passes(names, sheet.rows[1:])
    return _content(passes, sheet.properties)


def _parsed(text: str) -> _Sheet:
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator=" ")
    parser.buffer_text = True
    sheet = _Sheet()
    parser.StartElementHandler, parser.EndElementHandler = sheet.start, sheet.end
    parser.CharacterDataHandler = sheet.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        # The text is decoded already, whatever its declaration says.
        parser.Parse(_DECLARATION.sub("", text, count=1).lstrip().encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise _damaged(f"The XML ends or breaks in line {error.lineno} ({expat.ErrorString(error.code)})") from error
    return sheet


def _refuse_doctype(*_declared: object) -> None:
    raise InputError("The XML declares a document type.", "MetaTrader writes none; do not trust this file.")


def _damaged(what: str) -> InputError:
    return InputError(f"{what}.", "The report was cut or edited; save it from MetaTrader again.")


def _value(words: str, kind: str) -> Cell:
    if kind == "Number":
        try:
            found = float(words)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise _damaged(f"A cell holds {words[:40]!r} where a number is told")
        return found
    return {"true": True, "false": False}.get(words, words)


def _passes(names: list[str], rows: list[list[Cell]]) -> pd.DataFrame:
    filled = [[*row, *[None] * (len(names) - len(row))] for row in rows]
    passes = pd.DataFrame(filled, columns=names)
    for name in names:
        if name in _RESULTS:
            numbers = [isinstance(value, float) for value in passes[name]]
            if not all(numbers):
                line = numbers.index(False) + 1
                raise _damaged(f"{name} of row {line} is {filled[line - 1][names.index(name)]!r}, no number")
            passes[name] = passes[name].astype("float64")
    for name in ("pass", "trades"):
        passes[name] = passes[name].astype("int64")
    return passes


def _content(passes: pd.DataFrame, properties: dict[str, str]) -> Content:
    is_forward = "forward_result" in passes.columns
    best = passes.iloc[0]
    settings: dict[str, str] = {name: properties[name] for name in ("server", "leverage") if name in properties}
    if found := _TITLE.fullmatch(properties.get("title", "")[:_TITLE_LIMIT]):
        settings |= found.groupdict()
    amount, _, currency = properties.get("deposit", "").rpartition(" ")
    settings |= {name: value for name, value in (("deposit", amount), ("currency", currency)) if value}
    statistics: dict[str, float | str] = {
        _STATISTICS.get(name, name): float(best[name]) for name in passes.columns if name in _RESULTS
    }
    return Content(
        ReportKind.FORWARD if is_forward else ReportKind.OPTIMIZATION,
        settings=settings,
        statistics={**statistics, "passes": float(len(passes))},
        inputs={name: _text(best[name]) for name in passes.columns if name not in _RESULTS and name},
        passes=passes,
    )


def _text(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else "" if value is None else str(value)
