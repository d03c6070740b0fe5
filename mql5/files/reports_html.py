"""The rows of a report's table, from MetaTrader's HTML or from the CSV that a spreadsheet makes of it.

The HTML is not built into a document: its cells are found by a pattern that reads the text once, so that no nesting
and no unclosed tag makes it slow, and nothing in it is run or fetched. A cell over several columns is
followed by empty ones, which keeps every row below its header. Hidden cells (the comment of a position, which the
header does not have) are left out.
"""

from __future__ import annotations

import csv
import html
import io
import re

from core.errors import InputError
from mql5.files.report_content import CELL_LIMIT, ROWS_LIMIT

_TAG = re.compile(r"<(/?)(td|th|tr)\b([^<>]*)>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^<>]*>")
_SPAN = re.compile(r"colspan\s*=\s*[\"']?(\d{1,2})\b", re.IGNORECASE)
_HIDDEN = re.compile(r"class\s*=\s*[\"']?hidden\b", re.IGNORECASE)
_TITLE = re.compile(r"<title>([^<>]{0,500})</title>", re.IGNORECASE)
_END = re.compile(r"</html>\s*$", re.IGNORECASE)
_CELLS_LIMIT = 64  # in a row
_DELIMITERS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"([+-]?\d[\d \u00a0]{0,30}),(\d{1,20})")


def html_title(text: str) -> str:
    """The title of a page, empty where it has none."""
    found = _TITLE.search(text)
    return html.unescape(found[1]).strip() if found else ""


def html_rows(text: str) -> list[list[str]]:
    """The cells of every row of every table. Raises InputError when the page is cut off or a cell is too long."""
    if not _END.search(text[-200:]):
        raise InputError("The report does not end with </html>.", "It was cut off; save it from MetaTrader again.")
    rows: list[list[str]] = []
    begun: tuple[int, str] | None = None  # where the open cell's text begins, and its attributes
    for tag in _TAG.finditer(text):
        if begun is not None:
            _add_cell(rows, text[begun[0] : tag.start()], begun[1])
            begun = None
        is_end, name = bool(tag[1]), tag[2].casefold()
        if name == "tr":
            if not is_end:
                _refuse_many(len(rows), "rows", ROWS_LIMIT)
                rows.append([])
        elif not is_end:
            begun = (tag.end(), tag[3])
    return rows


def csv_rows(text: str) -> list[list[str]]:
    """The cells of every row of a CSV with commas, semicolons or tabs. Raises InputError when it is none."""
    first = max(text[:20_000].splitlines() or [""], key=lambda line: max(line.count(mark) for mark in _DELIMITERS))
    delimiter = max(_DELIMITERS, key=first.count)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            _refuse_many(len(rows), "rows", ROWS_LIMIT)
            _refuse_many(len(row), "cells in a row", _CELLS_LIMIT)
            for cell in row:
                _refuse_long(cell)
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"The file is no CSV ({error}).", "It was cut or edited; save it again.") from error
    cells = [[cell.replace("\u00a0", " ").strip() for cell in row] for row in rows]
    if delimiter != ";":
        return cells
    # A spreadsheet of a country with decimal commas saved it.
    return [
        [f"{found[1]}.{found[2]}" if (found := _DECIMAL_COMMA.fullmatch(cell)) else cell for cell in row]
        for row in cells
    ]


def _add_cell(rows: list[list[str]], raw: str, attributes: str) -> None:
    if not rows or _HIDDEN.search(attributes):
        return
    # The last cell of a page that closes none runs to the end of it.
    _refuse_long(raw)
    words = html.unescape(_ANY_TAG.sub("", raw)).replace("\u00a0", " ").strip()
    span = _SPAN.search(attributes)
    _refuse_many(len(rows[-1]), "cells in a row", _CELLS_LIMIT)
    rows[-1] += [words, *[""] * ((int(span[1]) if span else 1) - 1)]


def _refuse_many(count: int, what: str, limit: int) -> None:
    if count >= limit:
        raise InputError(f"The file has more than {limit:,} {what}.", "Save a shorter range of time.")


def _refuse_long(cell: str) -> None:
    if len(cell) > CELL_LIMIT:
        raise InputError(
            f"A cell of {len(cell):,} characters begins with {cell[:40]!r}.",
            "No report of MetaTrader has such; save it again.",
        )
