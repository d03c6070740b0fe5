"""What a text file of prices looks like: delimiter, header, columns, date format, zone; each guess can be corrected.

The last lines of a file decide, because preambles stand at its beginning; then the first line that
looks like them is where the data begin.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from core.errors import DataRequestError
from core.settings import current_settings
from data.sources.columns import PRICES, QUOTES, columns_of, is_header, padded_clock, plain_name, time_column
from data.sources.numbers import guess_signs, is_number
from data.sources.times import EPOCHS, carries_zone, checked_zone, guess_format, looks_like_a_time, zone_in

__all__ = ["FileShape", "checked_zone", "guess_shape", "lines_of", "refuse_unreadable", "split", "stamp_of"]

_DELIMITERS = ("\t", ";", ",", "|", " ")
_MAGIC = {
    b"PK\x03\x04": "a spreadsheet or zip archive, whatever its ending says",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, whatever its ending says",
    b"\x1f\x8b": "a gzip archive",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file",
}
_MARKUP = {"<!doctype": "a web page", "<html": "a web page", "<?xml": "an XML document", "{": "JSON", "[": "JSON"}
_BLOCK, _PROBE, _PROBES = 65_536, 4_096, 16  # bytes at the end, bytes of each stretch between, their number
_SMALL = 4 * _BLOCK  # a file up to here is looked at whole
_SAMPLE_LINES = 200


@dataclass(frozen=True)
class FileShape:
    """How to read a file. `columns` maps a field (`time`, `clock`, `open` …) to its position, from 0.

    `first_line` is the line number (from 0) of the first row of data. `timezone` is None while nobody knows
    it. `doubts` are sentences about guesses that could as well be otherwise. `widths` are the fewest and the
    most fields of a row, (0, 0) for any number; `thousands`: a price 1,234 is above a thousand.
    """

    encoding: str
    delimiter: str
    decimal: str
    first_line: int
    header: tuple[str, ...]
    columns: Mapping[str, int]
    time_format: str
    timezone: str | None
    doubts: tuple[str, ...] = field(default=())
    widths: tuple[int, int] = (0, 0)
    thousands: bool = False

    @property
    def holds_ticks(self) -> bool:
        """Whether the rows are quotes and not bars."""
        return "bid" in self.columns and not all(name in self.columns for name in PRICES)


def guess_shape(path: Path, corrections: Mapping[str, Any] | None = None) -> FileShape:
    """What the file looks like, with `corrections` (fields of FileShape) taken as given.

    Of a large file the beginning, the end and some stretches between are read. Raises DataRequestError,
    naming the file, when it is missing, empty, too large, no text, or no prices.
    """
    given = {name: value for name, value in (corrections or {}).items() if value not in (None, "", {})}
    found = _encoding(path)
    encoding = given.get("encoding", found)
    tail = _stretch(path, encoding, path.stat().st_size - _BLOCK, _BLOCK)[-_SAMPLE_LINES:]
    delimiter = _given_delimiter(given["delimiter"], tail, path) if "delimiter" in given else _delimiter(tail, path)
    rows = _data_rows(tail, delimiter)
    first_line, header = _beginning(path, encoding, delimiter, rows)
    first_line = given.get("first_line", first_line)
    parts = _parts(path, encoding, delimiter, first_line, rows)
    samples = list(chain.from_iterable(parts))
    header = _fitted(header, samples, path)
    columns = columns_of(header, samples, given.get("columns") or {}, path)
    doubts: list[str] = []
    time_format = given.get("time_format") or _time_format(parts, columns, path, doubts)
    prices = [row[place] for row in samples for name, place in columns.items() if name in (*PRICES, *QUOTES)]
    decimal, thousands, unclear = guess_signs(prices, given.get("decimal"), delimiter)
    if unclear:
        doubts.append(f"{unclear!r} may have decimals behind its comma or thousands before it; both fit every row.")
    return FileShape(
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        first_line=first_line,
        header=tuple(header),
        columns=columns,
        time_format=time_format,
        timezone=_zone(time_format, header, columns, path, given.get("timezone")),
        doubts=tuple(doubts),
        widths=_widths(samples),
        thousands=thousands,
    )


def split(line: str, delimiter: str) -> list[str]:
    """The fields of one line, quotes removed."""
    if delimiter == " ":
        return line.split()
    try:
        return [value.strip() for value in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:  # a line longer than any row
        return [line]


def stamp_of(row: Sequence[str], columns: Mapping[str, int], *, seconds: bool | None = None) -> str:
    """The time of a row as it is written; with a clock in a column of its own, behind the date."""
    date = row[columns["time"]].strip()
    return f"{date} {padded_clock(row[columns['clock']].strip(), seconds=seconds)}" if "clock" in columns else date


def lines_of(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a text file, whatever ends them, without a byte-order mark."""
    with path.open(encoding=encoding, errors="replace", newline=None) as stream:
        for line in stream:
            yield line.removeprefix("\ufeff")
            break
        yield from stream


def refuse_unreadable(path: Path) -> bytes:
    """The first bytes of a file. Raises DataRequestError when it is missing, a folder, empty, too large or locked."""
    if path.is_dir():
        raise DataRequestError(f"{path} is a folder, not a file.", "Name the files in it.")
    if not path.is_file():
        raise DataRequestError(f"There is no file {path}.", "Check the path; relative ones start at SEQUENCE_HOME.")
    size, limit = path.stat().st_size, current_settings().data.csv_max_mib
    if size == 0:
        raise DataRequestError(f"{path.name} is empty (0 bytes).", "Export it again.")
    if size > limit * 2**20:
        raise DataRequestError(
            f"{path.name} has {size / 2**20:.0f} MiB, more than the {limit:g} MiB that are read at once.",
            "Split it by years, or raise data.csv_max_mib.",
        )
    try:
        with path.open("rb") as stream:
            return stream.read(_BLOCK)
    except OSError as error:
        raise DataRequestError(f"{path} cannot be read: {error.strerror}.", "Allow it to be read.") from None


def _encoding(path: Path) -> str:
    """How the text is written. Raises DataRequestError saying what the file is when it is no text."""
    head = refuse_unreadable(path)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    encoding = _text_encoding(head)
    if not kind and encoding:
        begin = head[:64].decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n").lower()
        kind = next((kind for mark, kind in _MARKUP.items() if begin.startswith(mark)), "")
    if kind or not encoding:
        cure = "Give it the ending .parquet." if "Parquet" in kind else "Export the prices as CSV text."
        raise DataRequestError(f"{path.name} is {kind or 'a binary file, not text'}.", cure)
    return encoding


def _text_encoding(head: bytes) -> str | None:
    """None when the bytes are no text; UTF-16 is known by its mark, or by every other byte being zero."""
    pairs = len(head) // 2
    for encoding, mark, zeros in (("utf-16-le", codecs.BOM_UTF16_LE, 1), ("utf-16-be", codecs.BOM_UTF16_BE, 0)):
        if head.startswith(mark) or head[zeros::2].count(0) > 0.9 * pairs > head[1 - zeros :: 2].count(0):
            return encoding
    if b"\x00" in head[:4096]:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _stretch(path: Path, encoding: str, start: int, length: int) -> list[str]:
    """The whole lines, blank ones left out, of a stretch of bytes; the first line is whole where it begins the file."""
    start = max(0, start) & ~1  # even, for UTF-16
    with path.open("rb") as stream:
        stream.seek(start)
        content = stream.read(length)
        ends = not stream.read(1)
    lines = re.split("\r\n|\r|\n", content.decode(encoding, errors="replace").removeprefix("\ufeff"))
    return [line for line in lines[start > 0 : None if ends else -1] if line.strip()]


def _given_delimiter(delimiter: str, lines: Sequence[str], path: Path) -> str:
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataRequestError(f"delimiter={delimiter!r} cannot be used.", "Write one sign: ',' ';' '|' ' ' or '\\t'.")
    if _quality(lines, delimiter) == (0, 0):
        found = max(_DELIMITERS, key=lambda each: _quality(lines, each))
        cure = f"Its rows look separated by {found!r}." if _quality(lines, found)[1] else "Leave the delimiter out."
        raise DataRequestError(f"{path.name} is not separated by {delimiter!r}: {_last(lines)}.", cure)
    return delimiter


def _delimiter(lines: Sequence[str], path: Path) -> str:
    """The delimiter that cuts most lines into the same number of fields: a time and at least two numbers."""
    best = max(_DELIMITERS, key=lambda delimiter: _quality(lines, delimiter))
    if _quality(lines, best) == (0, 0):
        raise DataRequestError(
            f"{path.name} holds no rows of prices that could be told apart: {_last(lines)}.",
            "A row needs a time and open, high, low and close; name the delimiter if it is an unusual one.",
        )
    return best


def _quality(lines: Sequence[str], delimiter: str) -> tuple[int, int]:
    """How many lines look like rows with a time, and how many have numbers enough at all."""
    rows = _data_rows(lines, delimiter)
    return sum(any(map(looks_like_a_time, row)) for row in rows), len(rows)


def _data_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The lines with at least two numbers, and a time if any has one, that have as many fields as most of them."""
    cut = [row for line in lines if len(row := split(line, delimiter)) >= 3]
    rows = [row for row in cut if sum(map(is_number, row)) >= 2]
    rows = [row for row in rows if any(map(looks_like_a_time, row))] or rows
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    return [row for row in rows if len(row) == width]


def _last(lines: Sequence[str]) -> str:
    return f"its last line reads {lines[-1].strip()[:60]!r}" if lines else "no whole line stands in its last 64 KiB"


def _beginning(path: Path, encoding: str, delimiter: str, rows: Sequence[list[str]]) -> tuple[int, list[str]]:
    """The line number of the first row of data, and the header above it."""
    width, place = len(rows[0]), time_column(rows)
    header: list[str] = []
    above: list[str] = []
    for number, line in enumerate(lines_of(path, encoding)):
        row = split(line, delimiter)
        if is_header(row):
            header = row
            continue
        # A quote that is never closed would hide a row in one field.
        unquoted = split(line.replace('"', ""), delimiter) if '"' in line else row
        if any(_is_data(each, place, width, bool(header) and abs(len(header) - width) < 2) for each in (row, unquoted)):
            unnamed = len(above) == width and not any(is_number(cell) or looks_like_a_time(cell) for cell in above)
            return number, header or (above if unnamed else [])
        above = row if any(row) else above
    raise DataRequestError(f"{path.name} holds no row of prices.", "A row needs a time and four prices.")


def _is_data(row: Sequence[str], place: int | None, width: int, below_header: bool) -> bool:
    """Whether a row is one of data, even a spoilt one: below a header all are, but for units and strokes."""
    timed = place is not None and place < len(row) and looks_like_a_time(row[place])
    numbers = sum(is_number(cell) for at, cell in enumerate(row) if at != place)
    if below_header:
        is_remark = len(row) == width or not re.search(r"\d", "".join(row))
        return timed or numbers > 0 or not is_remark
    is_long = 2 * len(row) >= width
    return (timed and (is_long or numbers > 0)) or (is_long and numbers >= 3)


def _parts(path: Path, encoding: str, delimiter: str, first_line: int, tail: list[list[str]]) -> list[list[list[str]]]:
    """Rows from the beginning, from stretches between and from the end, in their order; all of a small file."""
    size, width = path.stat().st_size, len(tail[0])
    wanted = None if size <= _SMALL else first_line + _SAMPLE_LINES
    stretches = [list(islice(lines_of(path, encoding), first_line, wanted))]
    if wanted is not None:
        places = [size * nth // (_PROBES + 1) for nth in range(1, _PROBES + 1)]
        stretches += [_stretch(path, encoding, place, _PROBE) for place in places]
    parts = [[row for line in lines if len(row := split(line, delimiter)) == width] for lines in stretches]
    parts += [tail] if wanted is not None else []
    return [part for part in parts if part] or [tail]


def _fitted(header: Sequence[str], samples: Sequence[Sequence[str]], path: Path) -> list[str]:
    """The header, a name for each field of a row; raises DataRequestError when it cannot belong to the rows."""
    names = list(header)
    while names and not names[-1]:
        names.pop()
    fewest, most = _widths(samples)
    if not names or fewest <= len(names) <= most:
        return names
    if len(names) == most - 1:  # R leaves out the name of the row numbers
        place = time_column(samples)
        return ["", *names] if place and re.search("time|date", plain_name(names[place - 1])) else names
    raise DataRequestError(
        f"{path.name} has {most} fields in a row, but its header names {len(names)} columns: {', '.join(names[:20])}.",
        "Decimal commas between commas need quotes or another delimiter; correct the header or the rows.",
    )


def _widths(samples: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The fewest fields of a row, columns empty throughout not counted at its end, and the most."""
    most = len(samples[-1])
    fewest = most
    while fewest > 1 and not any(row[fewest - 1] for row in samples):
        fewest -= 1
    return fewest, most


def _time_format(
    parts: Sequence[Sequence[Sequence[str]]], columns: Mapping[str, int], path: Path, doubts: list[str]
) -> str:
    seconds = "clock" in columns and any(len(row[columns["clock"]]) > 4 for part in parts for row in part)
    stamps = [[stamp_of(row, columns, seconds=seconds) for row in part] for part in parts]
    best, rival = guess_format(stamps)
    if not best:
        day_numbers = re.fullmatch(r"\d{5}([.,]\d+)?", stamps[0][0])
        raise DataRequestError(
            f"The times of {path.name} cannot be read; the first is {stamps[0][0]!r}.",
            "These are a spreadsheet's day numbers: format the column as date and time, and export it again."
            if day_numbers
            else "Name their format, for example time_format='%d.%m.%Y %H:%M'.",
        )
    if rival:
        doubts.append(f"{stamps[0][0]!r} may be read as {best} or as {rival}; both fit every row looked at.")
    return best


def _zone(
    time_format: str, header: Sequence[str], columns: Mapping[str, int], path: Path, given: str | None
) -> str | None:
    """The zone of the times: their own, else the one given, else what the file tells; None when nobody knows."""
    if carries_zone(time_format):
        return "UTC"
    if given:
        return checked_zone(given)
    if time_format in EPOCHS:
        # Seconds that MetaTrader's own Python package hands out count on the broker's clock.
        return None if "real volume" in map(plain_name, header) else "UTC"
    if re.match(r"DAT_(ASCII|MT|NT|XLSX|MS)_", path.name, re.I):
        return "Etc/GMT+5"  # HistData: Eastern standard time all year, UTC−5
    names = [header[columns[name]] for name in ("time", "clock") if name in columns and columns[name] < len(header)]
    return next((zone for zone in map(zone_in, names) if zone), None)
