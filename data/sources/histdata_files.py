"""HistData's files: zips and CSV of one-minute bars (ASCII, NinjaTrader, MetaTrader) and of ticks (ASCII).

Prices are bids, volume is always 0. The clock is told from each file: see `histdata_clock.py`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.errors import BarsError, DataRequestError, SequenceError
from core.settings import current_settings
from data.sources.files import ticks_to_bars
from data.sources.histdata_clock import AS_DOCUMENTED, clock_of, to_utc
from data.sources.shape import refuse_unreadable
from market.bars import RAW_COLUMNS, check_bars
from market.symbols import canonical_symbol, symbol_of

_NAME = re.compile(
    r"(?:DAT|HISTDATA_COM)_(ASCII|MT|NT|XLSX|MS)_([A-Z]{6})_(M1|T)(?:_(?:BID|ASK|LAST))?_?(\d{4})(\d{2})?", re.I
)
_BLOCK = 1 << 22  # bytes that one thread of pyarrow reads at once: as fast as it gets
_PIECE = 1 << 25  # bytes that are in memory as cells: a file of ten years would else be there a second time
_DAY_MS = 86_400_000
_INK = re.compile(rb"\S")


@dataclass(frozen=True)
class _Layout:
    """How a kind of file is written. `stamps` are the columns of time, `digits` the places of YYYYMMDDHHMM[SS[mmm]]."""

    words: str
    line: re.Pattern[bytes]
    delimiter: str
    stamps: tuple[str, ...]
    stamp: bytes
    numbers: tuple[str, ...]

    @property
    def digits(self) -> list[int]:
        """Where the digits of a stamp stand."""
        return [place for place, sign in enumerate(self.stamp) if sign == ord("0")]


_N = rb"[-+]?\d+(?:\.\d*)?"
_LAYOUTS = (
    _Layout(
        "one-minute bars as in '20240102 170000;1.10427;1.10429;1.10425;1.10429;0'",
        re.compile(rb"\d{8} \d{6};" + rb";".join([_N] * 5)),
        ";",
        ("time",),
        b"00000000 000000",
        RAW_COLUMNS,
    ),
    _Layout(
        "MetaTrader bars as in '2024.01.02,17:00,1.10427,1.10429,1.10425,1.10429,0'",
        re.compile(rb"\d{4}\.\d{2}\.\d{2},\d{2}:\d{2}," + rb",".join([_N] * 5)),
        ",",
        ("date", "clock"),
        b"0000.00.0000:00",
        RAW_COLUMNS,
    ),
    _Layout(
        "ticks as in '20240102 170000123,1.10427,1.10429,0'",
        re.compile(rb"\d{8} \d{9}," + rb",".join([_N] * 3)),
        ",",
        ("time",),
        b"00000000 000000000",
        ("bid", "ask", "volume"),
    ),
)


@dataclass(frozen=True)
class Imported:
    """What became of one file: the bars of a pair, or the error that says why there are none."""

    path: Path
    pair: str = ""
    bars: pd.DataFrame | None = None
    error: SequenceError | None = None


@dataclass(frozen=True)
class HistDataFile:
    """A file that was read, by the clock of `zone`: the one that was told, or else the documented one.

    `period` is the year (`2024`) or month (`202407`) that its name says.
    """

    pair: str
    bars: pd.DataFrame
    zone: str
    is_told: bool
    period: str


def import_zips(paths: Iterable[Path]) -> Iterator[Imported]:
    """Each file in turn, read or refused; a refused one does not keep the others."""
    for path in paths:
        try:
            pair, bars = read_histdata(path)
        except SequenceError as error:
            yield Imported(path, error=error)
        else:
            yield Imported(path, pair, bars)


def read_histdata(source: Path | bytes, name: str = "") -> tuple[str, pd.DataFrame]:
    """The pair and its bars out of a zip or CSV of HistData's; `name` is that of a CSV given as bytes.

    Ticks become M1 bars of the bid with `spread_points`. A line that is there twice is taken once. Raises
    DataRequestError or BarsError naming the file, the line, its value and the cure.
    """
    read = read_file(source, name)
    return read.pair, read.bars


def read_file(source: Path | bytes, name: str = "") -> HistDataFile:
    """The same, with the clock and the period of the file."""
    if isinstance(source, Path):
        refuse_unreadable(source)
        name, source = source.name, source.read_bytes()
    try:
        name, content = csv_in(source, name) if source.startswith(b"PK") else (name, source)
    except zipfile.BadZipFile as error:
        raise DataRequestError(f"{name or 'The zip'} is damaged ({error}).", "Download it again.") from None
    return read_csv(content, name)


def pair_in(path: Path) -> str:
    """The pair that a file's name says, or that of the CSV in it. Raises DataRequestError when neither does."""
    found = _NAME.search(path.name)
    if found is None and path.suffix.lower() == ".zip":
        refuse_unreadable(path)
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        except zipfile.BadZipFile as error:
            raise DataRequestError(f"{path.name} is damaged ({error}).", "Download it again.") from None
        found = next(filter(None, map(_NAME.search, names)), None)
    if found is None:
        raise _unnamed(path.name)
    return canonical_symbol(found[2])


def csv_in(content: bytes, name: str = "") -> tuple[str, bytes]:
    """The name and the bytes of the one CSV in a zip. Raises zipfile.BadZipFile when it is damaged."""
    name = name or "The zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = [file for file in archive.infolist() if file.filename.lower().endswith(".csv")]
        if len(files) != 1:
            held = ", ".join(file.filename for file in archive.infolist()[:5]) or "nothing"
            raise DataRequestError(
                f"{name} holds {len(files) or 'no'} CSV file{'s' if len(files) > 1 else ''}: {held}.",
                "Give a zip of HistData's as it was downloaded, in the format Generic ASCII.",
            )
        limit = current_settings().data.csv_max_mib
        if files[0].file_size > limit * 2**20:
            raise DataRequestError(
                f"{name} unpacks to {files[0].file_size / 2**20:.0f} MiB, more than the {limit:g} MiB that are read.",
                "Split it, or raise data.csv_max_mib.",
            )
        if files[0].flag_bits & 1:
            raise DataRequestError(f"{name} asks for a password.", "Unpack it first.")
        # No more than the declared size is unpacked, whatever the archive holds.
        return Path(files[0].filename).name, archive.read(files[0])


def read_csv(content: bytes, name: str) -> HistDataFile:
    """The bars in the bytes of a CSV, whose name says the pair. Raises DataRequestError or BarsError."""
    found = _NAME.search(name)
    if found is None:
        raise _unnamed(name)
    pair = canonical_symbol(found[2])
    first = content[:200].lstrip(b"\xef\xbb\xbf\r\n").splitlines()
    layout = next((each for each in _LAYOUTS if first and each.line.fullmatch(first[0].strip())), None)
    if layout is None:
        raise DataRequestError(
            f"{name} does not begin as HistData's bars or ticks do: {(first or [b''])[0][:60]!r}.",
            "Download the format Generic ASCII (or MetaTrader).",
        )
    rows = _Rows(name, content, layout)
    wall, figures = rows.read()
    told = clock_of(wall, pair)
    zone = told or AS_DOCUMENTED
    if len(layout.numbers) == len(RAW_COLUMNS):
        bars = _bars(rows, to_utc(wall, zone), figures)
    else:
        bars = _bars_of_ticks(rows, to_utc(wall, zone), figures, pair)
    return HistDataFile(pair, bars, zone, told is not None, "".join(filter(None, found.groups()[3:])))


def _unnamed(name: str) -> DataRequestError:
    return DataRequestError(
        f"{name or 'The file'} does not say which pair it holds.",
        "Name it as HistData does: DAT_ASCII_EURUSD_M1_2024.csv.",
    )


class _Rows:
    """The rows of a CSV, read by pyarrow, and the lines they stand on."""

    def __init__(self, name: str, content: bytes, layout: _Layout) -> None:
        self.name, self.content, self.layout = name, content, layout
        self.kept: np.ndarray | None = None  # places of the rows still there, once some were dropped

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Times as they stand, in milliseconds, and the figures, a row for each column.

        Raises DataRequestError naming the first line that does not read.
        """
        import pyarrow as pa

        shortest = len(self.layout.stamp) + 2 * len(self.layout.numbers) + 1  # a digit a number, no line is shorter
        most = len(self.content) // shortest + 1
        wall, figures = np.empty(most, dtype=np.int64), np.empty((len(self.layout.numbers), most))
        end = 0
        try:
            for piece in self._pieces():
                begin, table = end, self._table(piece)
                end += table.num_rows
                wall[begin:end] = self._times([_cells(table[stamp]) for stamp in self.layout.stamps])
                for place, number in enumerate(self.layout.numbers):
                    figures[place, begin:end] = table[number].to_numpy()
        except (pa.ArrowInvalid, ValueError):
            raise self._refusal() from None
        return wall[:end], figures[:, :end]

    def _pieces(self) -> Iterator[memoryview]:
        """The content in pieces of whole lines, without those that hold no line."""
        whole, begin = memoryview(self.content), 0
        while begin < len(whole):
            end = self.content.find(b"\n", begin + _PIECE) + 1 or len(whole)
            piece = whole[begin:end]
            begin = end
            if _INK.search(piece):
                yield piece

    def _table(self, piece: memoryview) -> Any:
        """The cells of some lines. Raises pyarrow.ArrowInvalid when one does not read."""
        import pyarrow as pa
        from pyarrow import csv

        types: dict[str, Any] = dict.fromkeys(self.layout.stamps, pa.binary())
        types |= dict.fromkeys(self.layout.numbers, pa.float64())
        return csv.read_csv(
            pa.BufferReader(piece),
            read_options=csv.ReadOptions(column_names=list(types), block_size=_BLOCK),
            parse_options=csv.ParseOptions(delimiter=self.layout.delimiter, quote_char=False),
            convert_options=csv.ConvertOptions(column_types=types, null_values=[]),
        )

    def drop(self, unwanted: np.ndarray) -> None:
        """Remember which rows are left, once."""
        self.kept = np.flatnonzero(~unwanted)

    def name_of(self, position: int) -> str:
        """`DAT_ASCII_EURUSD_M1_2024.csv, line 57`."""
        row = position if self.kept is None else int(self.kept[position])
        numbers = (number for number, line in enumerate(io.BytesIO(self.content), 1) if line.strip())
        line = next(number for place, number in enumerate(numbers) if place == row)
        return f"{self.name}, line {line}"

    def _times(self, cells: list[np.ndarray]) -> np.ndarray:
        """Raises ValueError when one is no time."""
        stamps = cells[0] if len(cells) == 1 else np.hstack(cells)
        form, places = self.layout.stamp, self.layout.digits
        if stamps.shape[1] != len(form):
            raise ValueError("stamps of another length")
        if any((stamps[:, place] != form[place]).any() for place in range(len(form)) if place not in places):
            raise ValueError("stamps of another form")
        digits = _at(stamps, places[8:]) - ord("0")
        if digits.max(initial=0) > 9:
            raise ValueError("stamps of something else than digits")
        wall: np.ndarray = _days_ms(_at(stamps, places[:8])) + _clock_ms(digits)
        return wall

    def _refusal(self) -> DataRequestError:
        """The first line that does not read, found in the slow way."""
        for number, line in enumerate(io.BytesIO(self.content), 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
            if text and not (self.layout.line.fullmatch(text) and self._is_time(text)):
                return DataRequestError(
                    f"{self.name}, line {number}: {text[:60].decode(errors='replace')!r} is no line of "
                    f"{self.layout.words}.",
                    "Correct or remove the line, or download the file again.",
                )
        return DataRequestError(f"{self.name} cannot be read.", "Download it again.")

    def _is_time(self, text: bytes) -> bool:
        cell = text.replace(b",", b"", len(self.layout.stamps) - 1)[: len(self.layout.stamp)]
        try:
            self._times([np.frombuffer(cell, dtype=np.uint8)[None, :]])
        except ValueError:
            return False
        return True


def _cells(column: Any) -> np.ndarray:
    """A column of texts that are all as long, as a table of bytes. Raises ValueError when they are not."""
    parts = []
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        width = int(ends[1] - ends[0]) if len(chunk) else 0
        if width == 0 or (np.diff(ends) != width).any():
            raise ValueError("cells of different lengths")
        parts.append(np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]].reshape(-1, width))
    table: np.ndarray = np.concatenate(parts)
    return table


def _at(stamps: np.ndarray, places: list[int]) -> np.ndarray:
    """Some columns of a table of bytes; a slice, which copies nothing, where they stand together."""
    together = places == list(range(places[0], places[-1] + 1))
    columns: np.ndarray = stamps[:, places[0] : places[-1] + 1] if together else stamps[:, places]
    return columns


def _days_ms(digits: np.ndarray) -> np.ndarray:
    """YYYYMMDD as milliseconds since 1970; each day is read once. Raises ValueError when one is no date."""
    days = np.ascontiguousarray(digits).view(np.uint64).ravel()
    begins = np.r_[0, np.flatnonzero(days[1:] != days[:-1]) + 1] if len(days) else np.zeros(0, dtype=int)
    texts = [bytes(digits[begin]) for begin in begins]
    if not all(map(bytes.isdigit, texts)):
        raise ValueError("dates of something else than digits")
    dates = [date(int(text[:4]), int(text[4:6]), int(text[6:])) for text in texts]
    since = np.array([each.toordinal() for each in dates], dtype=np.int64) - date(1970, 1, 1).toordinal()
    repeated: np.ndarray = np.repeat(since * _DAY_MS, np.diff(np.r_[begins, len(days)]))
    return repeated


def _clock_ms(digits: np.ndarray) -> np.ndarray:
    """HHMM[SS[mmm]] as milliseconds. Raises ValueError when it is no time of day."""
    hours, minutes, seconds = (
        digits[:, at] * 10 + digits[:, at + 1] if at < digits.shape[1] else np.zeros(len(digits), dtype=np.uint8)
        for at in (0, 2, 4)
    )
    if len(digits) and (hours.max() > 23 or minutes.max() > 59 or seconds.max() > 59):
        raise ValueError("no time of day")
    clock: np.ndarray = (hours * np.int32(60) + minutes) * np.int64(60_000) + seconds * np.int32(1_000)
    for at, worth in ((6, 100), (7, 10), (8, 1)):
        if at < digits.shape[1]:
            clock += digits[:, at] * np.int32(worth)
    return clock


def _bars(rows: _Rows, times: pd.DatetimeIndex, figures: np.ndarray) -> pd.DataFrame:
    """Bars as they stand. Raises BarsError when one minute is there twice and differs."""
    twice = np.r_[False, times.asi8[1:] == times.asi8[:-1]]
    if twice.any():
        places = np.flatnonzero(twice)
        differ = places[(figures[:, places] != figures[:, places - 1]).any(axis=0)]
        if len(differ):
            one, other = (", ".join(f"{value:.10g}" for value in figures[:4, differ[0] - back]) for back in (1, 0))
            raise BarsError(
                f"{rows.name_of(differ[0])}: this minute is there twice, with other prices: {one} and {other}.",
                "Remove the wrong line, or download the file again.",
            )
        rows.drop(twice)
        times, figures = times[~twice], figures[:, ~twice]
    # One block of memory, and this one: pandas would else put one together, or copy it.
    bars = pd.DataFrame(figures.T, index=times, columns=list(RAW_COLUMNS), copy=False)
    return check_bars(bars, row_name=rows.name_of)


def _bars_of_ticks(rows: _Rows, times: pd.DatetimeIndex, figures: np.ndarray, pair: str) -> pd.DataFrame:
    """M1 bars of the bid with the mean spread; ticks of one millisecond may be several."""
    late = np.flatnonzero(np.diff(times.asi8) < 0) + 1
    if len(late):
        raise BarsError(
            f"{rows.name_of(late[0])} ({times[late[0]]:%Y-%m-%d %H:%M:%S} UTC) is earlier than the row before it.",
            "Sort the rows by time, or download the file again.",
        )
    bad = np.flatnonzero(~(np.isfinite(figures[:2]) & (figures[:2] > 0)).all(axis=0))
    if len(bad):
        bid, ask = figures[:2, bad[0]]
        raise BarsError(
            f"{rows.name_of(bad[0])}: bid {bid:.10g} and ask {ask:.10g} are no prices.", "Correct or drop the row."
        )
    ticks = pd.DataFrame(figures[:2].T, index=times, columns=["bid", "ask"])
    return check_bars(ticks_to_bars(ticks, symbol_of(pair).point))
