"""What a text file of prices looks like: delimiter, header, columns, date format, zone; each guess can be corrected.

The last lines of a file decide, because preambles stand at its beginning; then the first line that
looks like them is where the data begin.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from core.errors import DataRequestError, InputError
from core.settings import current_settings

# Field → names vendors give it, in order of preference, lower case, without < >, brackets and signs between words.
_NAMES: dict[str, tuple[str, ...]] = {
    "time": ("time utc", "gmt time", "local time", "datetime", "date time", "timestamp", "open time", "date", "time"),
    "clock": ("time", "hour"),
    "open": ("open", "o", "bid open", "open bid", "openbid", "1 open", "price open"),
    "high": ("high", "h", "bid high", "high bid", "highbid", "2 high", "max"),
    "low": ("low", "l", "bid low", "low bid", "lowbid", "3 low", "min"),
    "close": ("close", "c", "bid close", "close bid", "closebid", "4 close", "close last", "price", "last"),
    "volume": ("tickvol", "tick volume", "tickvolume", "volume", "vol", "v", "5 volume", "up volume"),
    "spread_points": ("spread", "spread points"),
    "bid": ("bid", "bid price", "bidprice"),
    "ask": ("ask", "ask price", "askprice", "offer"),
}
PRICES = ("open", "high", "low", "close")
_DELIMITERS = ("\t", ";", ",", "|", " ")
_DATES = (
    "%Y-%m-%d",
    "%Y.%m.%d",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
)
_CLOCKS = (
    "",
    "%H:%M",
    "%H:%M:%S",
    "%H:%M:%S.%f",
    "%H%M",
    "%H%M%S",
    "%H%M%S%f",
    "%I:%M %p",
    "%I:%M:%S %p",
)
_ZONES = ("", "Z", "%z", " %z", " UTC", " GMT", " GMT%z")
EPOCHS = ("epoch seconds", "epoch milliseconds")
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")
_MAGIC = {
    b"PK\x03\x04": "a spreadsheet or zip archive, whatever its ending says",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, whatever its ending says",
    b"\x1f\x8b": "a gzip archive",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file; give it the ending .parquet",
}
_TAIL_BYTES = 65_536
_SAMPLE_LINES = 200


@dataclass(frozen=True)
class FileShape:
    """How to read a file. `columns` maps a field (`time`, `clock`, `open` …) to its position, from 0.

    `first_line` is the line number (from 0) of the first row of data. `timezone` is None while nobody knows
    it. `doubts` are sentences about guesses that could as well be otherwise.
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

    @property
    def holds_ticks(self) -> bool:
        """Whether the rows are quotes and not bars."""
        return "bid" in self.columns and not all(name in self.columns for name in PRICES)


def guess_shape(path: Path, corrections: Mapping[str, Any] | None = None) -> FileShape:
    """What the file looks like, with `corrections` (fields of FileShape) taken as given.

    Raises DataRequestError, naming the file, when it is missing, empty, too large, no text, or no prices.
    """
    given = {name: value for name, value in (corrections or {}).items() if value not in (None, "", {})}
    _refuse_unreadable(path)
    encoding = given.get("encoding") or _encoding(path)
    tail = _tail(path, encoding)
    delimiter = given.get("delimiter") or _delimiter(tail, path)
    rows = [split(line, delimiter) for line in tail]
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    rows = [row for row in rows if _looks_like_data(row, width)]
    first_line, header, head = _beginning(path, encoding, delimiter, width)
    samples = (head + rows)[:_SAMPLE_LINES]
    columns = dict(given.get("columns") or _columns(header, samples[-1], path))
    decimal = given.get("decimal") or _decimal(delimiter, samples, columns)
    stamps = tuple([_stamp(row, columns) for row in part] for part in (head, rows))
    time_format, doubts = (given["time_format"], ()) if "time_format" in given else _time_format(stamps, path)
    zone = given.get("timezone") or _zone(time_format, header, path)
    return FileShape(encoding, delimiter, decimal, first_line, tuple(header), columns, time_format, zone, doubts)


def split(line: str, delimiter: str) -> list[str]:
    """The fields of one line, quotes removed."""
    if delimiter == " ":
        return line.split()
    return [value.strip() for value in next(csv.reader([line], delimiter=delimiter))]


def _refuse_unreadable(path: Path) -> None:
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
    with path.open("rb") as stream:
        head = stream.read(4096)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise DataRequestError(f"{path.name} is {kind}.", "Export the prices as CSV text.")
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataRequestError(f"{path.name} is a binary file, not text.", "Export the prices as CSV text.")


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(_TAIL_BYTES)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _tail(path: Path, encoding: str) -> list[str]:
    """The last full lines that are not blank."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES) & ~1)  # even, for UTF-16
        cut = stream.tell() > 0
        text = stream.read().decode("utf-16-le" if encoding == "utf-16" and cut else encoding, errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[1:][-_SAMPLE_LINES:] if cut else lines[-_SAMPLE_LINES:]


def _delimiter(lines: Sequence[str], path: Path) -> str:
    """The delimiter that cuts most lines into the same number of fields, at least four of them numbers."""

    def quality(delimiter: str) -> tuple[int, int]:
        rows = [split(line, delimiter) for line in lines]
        width = Counter(len(row) for row in rows).most_common(1)[0][0]
        numbers = [sum(bool(_NUMBER.fullmatch(value)) for value in row) for row in rows if len(row) == width]
        enough = sum(each >= min(2, width) for each in numbers)
        return (enough if width >= 3 else 0, -_DELIMITERS.index(delimiter))

    best = max(_DELIMITERS, key=quality)
    if quality(best)[0] == 0:
        shown = lines[-1][:60] if lines else ""
        raise DataRequestError(
            f"{path.name} holds no rows of prices that could be told apart (last line: {shown!r}).",
            "A row needs a time and open, high, low and close; name the delimiter if it is an unusual one.",
        )
    return best


def _beginning(path: Path, encoding: str, delimiter: str, width: int) -> tuple[int, list[str], list[list[str]]]:
    """The line number of the first row of data, the header above it, and the first rows."""
    before: list[str] = []
    first, rows = -1, []
    for number, line in enumerate(_lines(path, encoding)):
        row = split(line, delimiter) if line.strip() else []
        if first < 0 and not _looks_like_data(row, width):
            before = row or before
            continue
        if first < 0:
            first = number
        rows.append(row)
        if len(rows) == _SAMPLE_LINES // 2:
            break
    if first < 0:
        raise DataRequestError(f"{path.name} holds no row of prices.", "A row needs a time and four prices.")
    rows = [row for row in rows if _looks_like_data(row, width)]
    return first, before if len(before) == width else [], rows


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open(encoding=encoding, errors="replace", newline=None) as stream:
        yield from stream


def _looks_like_data(row: list[str], width: int) -> bool:
    filled = [value for value in row if value]
    numbers = sum(bool(_NUMBER.fullmatch(value)) for value in filled)
    return len(row) == width and bool(filled) and any(ch.isdigit() for ch in row[0]) and numbers >= min(2, width - 1)


def _columns(header: Sequence[str], row: Sequence[str], path: Path) -> dict[str, int]:
    """Which field stands where: by the header's names, else by the usual order of time, open, high, low, close."""
    if header:
        plain = [re.sub(r"[^a-z0-9]+", " ", name.lower()).strip() for name in header]
        found: dict[str, int] = {}
        for name, known in _NAMES.items():
            place = next((plain.index(word) for word in known if word in plain), None)
            if place is not None and place not in found.values():
                found[name] = place
        if "time" not in found and plain and (not plain[0] or plain[0].startswith(("date", "time", "unix"))):
            found["time"] = 0
        missing = [name for name in ("time", *PRICES) if name not in found]
        if missing and not ("bid" in found and "time" in found):
            raise DataRequestError(
                f"{path.name} has no column for {', '.join(missing)}; its header reads: {', '.join(header)}.",
                f"Say which it is, for example columns={{'{missing[0]}': 1, …}} (positions from 0).",
            )
        if "bid" in found and not all(name in found for name in PRICES):
            return {name: place for name, place in found.items() if name in {"time", "clock", "bid", "ask"}}
        return found
    times = 1 if _NUMBER.fullmatch(row[1]) and not _is_clock(row[1], row[0]) else 2
    fields = (*("time", "clock")[:times], *PRICES, "volume")
    if len(row) < times + 4:
        raise DataRequestError(
            f"{path.name} has {len(row)} columns and no header; time, open, high, low and close need {times + 4}.",
            "Export it with a header, or name the columns.",
        )
    return {name: place for place, name in enumerate(fields) if place < len(row)}


def _is_clock(value: str, date: str) -> bool:
    """Whether a bare number beside a date is a time of day: `20260102,093000`."""
    return bool(re.fullmatch(r"\d{8}", date)) and bool(re.fullmatch(r"\d{4}|\d{6}", value))


def _decimal(delimiter: str, rows: Sequence[Sequence[str]], columns: Mapping[str, int]) -> str:
    place = columns.get("close", columns.get("bid", 0))
    prices = [row[place] for row in rows if place < len(row)]
    with_comma = sum("," in price for price in prices)
    return "," if with_comma > len(prices) / 2 and not any("." in price for price in prices) else "."


def _stamp(row: Sequence[str], columns: Mapping[str, int]) -> str:
    date = row[columns["time"]]
    return f"{date} {row[columns['clock']]}" if "clock" in columns else date


def _time_format(parts: Sequence[Sequence[str]], path: Path) -> tuple[str, tuple[str, ...]]:
    """The format that reads every sample; where several do, the one whose times jump least within each part."""
    stamps = [stamp for part in parts for stamp in part]
    if all(re.fullmatch(r"\d{10}(\.\d+)?", stamp) for stamp in stamps):
        return EPOCHS[0], ()
    if all(re.fullmatch(r"\d{13}", stamp) for stamp in stamps):
        return EPOCHS[1], ()
    jumps: dict[str, float] = {}
    firsts: dict[str, datetime] = {}
    for date, between, clock, zone in product(_DATES, (" ", "T", ", "), _CLOCKS, _ZONES):
        if clock or between == " ":
            form = f"{date}{between if clock else ''}{clock}{zone}"
            read = [_read(part, form) for part in parts]
            if all(read):
                jumps[form], firsts[form] = sum(map(_travelled, read)), read[0][0]
    if not jumps:
        raise DataRequestError(
            f"The times of {path.name} cannot be read; the first is {stamps[0]!r}.",
            "Name their format, for example time_format='%d.%m.%Y %H:%M'.",
        )
    best = min(jumps, key=lambda form: jumps[form])
    rivals = [form for form in jumps if jumps[form] == jumps[best] and firsts[form] != firsts[best]]
    doubts = (
        (f"{stamps[0]!r} may be read as {best} or as {rivals[0]}; both fit every row looked at.",) if rivals else ()
    )
    return best, doubts


def _read(stamps: Sequence[str], form: str) -> list[datetime]:
    try:
        return [datetime.strptime(stamp, form) for stamp in stamps]  # noqa: DTZ007  # the zone is asked for later
    except ValueError:
        return []


def _travelled(times: Sequence[datetime]) -> float:
    """Seconds from each time to the next, ahead or back: a wrong order of day and month goes to and fro."""
    return sum(abs((later - earlier).total_seconds()) for earlier, later in pairwise(times))


def _zone(time_format: str, header: Sequence[str], path: Path) -> str | None:
    """The zone that the file itself tells; None when it says nothing."""
    if time_format in EPOCHS or time_format.endswith(("Z", "%z", " UTC", " GMT")):
        return "UTC"
    if any(re.search(r"\b(utc|gmt)\b", name, re.I) for name in header):
        return "UTC"
    if re.match(r"DAT_(ASCII|MT|NT|XLSX|MS)_", path.name):
        return "Etc/GMT+5"  # HistData: Eastern standard time all year, UTC−5
    return None


def checked_zone(name: str) -> str:
    """`name` if it is a time zone: an IANA name, or one with hours added to its wall clock (`America/New_York+7`).

    The second kind is the clock of most MetaTrader brokers. Raises InputError.
    """
    from zoneinfo import ZoneInfo

    base, _ = zone_parts(name)
    try:
        ZoneInfo(base)
    except (KeyError, ValueError, OSError):
        raise InputError(
            f"timezone={name!r} is no time zone.",
            "Write UTC, an IANA name (Europe/London), or America/New_York+7 for most MetaTrader brokers.",
        ) from None
    return name


def zone_parts(name: str) -> tuple[str, int]:
    """The IANA name and the hours its clock is ahead of it: (`America/New_York`, 7)."""
    match = re.fullmatch(r"([A-Za-z]+/[A-Za-z_]+)([+-]\d{1,2})", name)
    return (match[1], int(match[2])) if match and match[1] != "Etc/GMT" else (name, 0)
