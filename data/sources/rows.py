"""The rows of a text file of prices, read as its shape says, each known by the line it begins on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.errors import DataRequestError
from data.sources.columns import QUOTES
from data.sources.numbers import is_number, parse_numbers
from data.sources.shape import FileShape, lines_of, stamp_of
from data.sources.times import carries_zone, parse_times, to_utc
from market.bars import OPTIONAL_RAW_COLUMNS, RAW_COLUMNS

FIGURES = (*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS, *QUOTES)
_ROWS_AT_ONCE = 5_000  # more are slower: Python's collector walks through them


def read_rows(path: Path, shape: FileShape, limit: int | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """The figures of each row in the file's order, index aware UTC, and the numbers of their lines, from 1.

    A column `symbol` comes along where there is one; a volume that is never filled does not. Raises
    DataRequestError naming the line that cannot be read, or asking for the time zone.
    """
    if shape.timezone is None:
        raise DataRequestError(
            f"The times of {path.name} carry no time zone.",
            "Pass timezone='UTC', or the vendor's: 'America/New_York+7' is the clock of most MetaTrader brokers.",
        )
    walls: list[np.ndarray] = []
    parts: list[pd.DataFrame] = []
    lines: list[np.ndarray] = []
    for numbers, rows in _chunks(path, shape, limit):
        walls.append(_wall_times(path, shape, numbers, rows).to_numpy())
        parts.append(_figures(path, shape, numbers, rows))
        lines.append(np.array(numbers))
    if not lines:
        raise DataRequestError(f"{path.name} holds no row of prices.", "Correct the line at which the data begin.")
    frame = pd.concat(parts, ignore_index=True)
    if "volume" in frame and frame["volume"].isna().all():  # a column that is there and never filled
        frame = frame.drop(columns="volume")
    places = np.concatenate(lines)
    frame.index = _moments(path, shape, pd.DatetimeIndex(np.concatenate(walls)), places)
    return frame, places


def _chunks(path: Path, shape: FileShape, limit: int | None) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Rows by the thousands, each with the number of its line: a large file is never whole in memory as text."""
    rows = islice(numbered_rows(path, shape), limit)
    while chunk := list(islice(rows, _ROWS_AT_ONCE)):
        numbers, cells = zip(*chunk, strict=True)
        yield list(numbers), list(cells)


def numbered_rows(path: Path, shape: FileShape) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank; raises DataRequestError at one with too many or too few fields."""
    needed = max(shape.columns.values()) + 1
    fewest, most = shape.widths if any(shape.widths) else (needed, 10_000)
    number = shape.first_line
    try:
        for number, row in _numbered(path, shape):
            if len(row) != most or not row[0]:
                if not any(map(str.strip, row)):
                    continue
                if len(row) < fewest or any(map(str.strip, row[most:])):
                    raise DataRequestError(
                        f"{path.name}, line {number} has {len(row)} field{'s' if len(row) > 1 else ''}, not {most}: "
                        f"{shape.delimiter.join(row)[:60]!r}.",
                        "Close its quotes." if any("\n" in cell for cell in row) else "Complete or remove the line.",
                    )
                row.extend([""] * (needed - len(row)))
            yield number, row
    except csv.Error as error:
        raise DataRequestError(
            f"{path.name}, line {number + 1} cannot be cut into fields: {error}.", "Close the quotes that are open."
        ) from None


def _numbered(path: Path, shape: FileShape) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row and the line it begins on: a quoted field may go over several."""
    lines = islice(lines_of(path, shape.encoding), shape.first_line, None)
    if shape.delimiter == " ":
        yield from ((number, line.split()) for number, line in enumerate(lines, shape.first_line + 1))
        return
    reader, number = csv.reader(lines, delimiter=shape.delimiter), shape.first_line + 1
    for row in reader:
        yield number, row
        number = shape.first_line + reader.line_num + 1


def _wall_times(path: Path, shape: FileShape, numbers: list[int], rows: list[list[str]]) -> pd.DatetimeIndex:
    """The times as they stand in the file; in UTC where they carry their own offset."""
    stamps = [stamp_of(row, shape.columns, seconds="%S" in shape.time_format) for row in rows]
    try:
        times = parse_times(stamps, shape.time_format)
    except ValueError as error:
        raise DataRequestError(
            f"time_format={shape.time_format!r} cannot be used: {error}.", "Write it as in '%d.%m.%Y %H:%M'."
        ) from None
    if times.hasnans:
        row = int(np.argmax(times.isna()))
        raise DataRequestError(
            f"{path.name}, line {numbers[row]}: the time {stamps[row]!r} does not read as {shape.time_format}.",
            "Write all times alike: correct or remove the line, or pass the time_format that is meant.",
        )
    if not 1900 <= times.year.min() <= times.year.max() < 2200:
        row = int(np.argmax((times.year < 1900) | (times.year >= 2200)))
        raise DataRequestError(
            f"{path.name}, line {numbers[row]}: the time {stamps[row]!r}, read as {shape.time_format}, "
            "lies outside the years 1900 to 2199.",
            "Correct or remove the line, or pass the time_format that is meant.",
        )
    return times


def _figures(path: Path, shape: FileShape, numbers: list[int], rows: list[list[str]]) -> pd.DataFrame:
    """The columns of numbers, and the symbols where there are any."""
    found: dict[str, Any] = {}
    for name, place in shape.columns.items():
        cells = [row[place] for row in rows]
        if name == "symbol":
            found[name] = [cell.strip() for cell in cells]
        if name not in FIGURES:
            continue
        counts = name == "volume"
        found[name], wrong = parse_numbers(cells, shape.decimal, grouped=shape.thousands or counts, scaled=counts)
        if wrong is not None:
            other = "," if shape.decimal == "." else "."
            hint = f", or pass decimal={other!r} if all are written so" if is_number(cells[wrong]) else ""
            raise DataRequestError(
                f"{path.name}, line {numbers[wrong]} ({stamp_of(rows[wrong], shape.columns)}): "
                f"{name}={cells[wrong].strip()!r} is no number.",
                f"Correct or remove the line{hint}.",
            )
    return pd.DataFrame(found)


def _moments(path: Path, shape: FileShape, wall: pd.DatetimeIndex, lines: np.ndarray) -> pd.DatetimeIndex:
    """The times in UTC. Raises DataRequestError naming one that the clock of the zone leaps over."""
    zone = "UTC" if carries_zone(shape.time_format) else str(shape.timezone)
    steps = np.sign(np.diff(wall.asi8)).sum()
    order = slice(None, None, -1 if steps < 0 else 1)
    moments = to_utc(wall[order], zone, equal_is_later=not shape.holds_ticks)[order]
    if moments.hasnans:
        row = int(np.argmax(moments.isna()))
        raise DataRequestError(
            f"{path.name}, line {lines[row]}: there is no {wall[row]:%Y-%m-%d %H:%M} in {zone}, "
            "whose clock leaps over it in spring.",
            "Choose the zone the vendor really uses.",
        )
    return moments.rename("time")
