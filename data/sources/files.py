"""Bars out of a user's file: CSV of any vendor (bars or ticks, MetaTrader's exports included) and Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.errors import BarsError, DataRequestError, InputError
from data.sources.base import FileRequest, Offer
from data.sources.columns import PRICES, QUOTES
from data.sources.rows import FIGURES, numbered_rows, read_rows
from data.sources.shape import FileShape, guess_shape, refuse_unreadable
from market.bars import RowName, check_bars
from market.resample import resample_bars
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import Timeframe, infer_timeframe


@dataclass(frozen=True)
class _Table:
    """The rows of one file as they stand in it, index aware UTC, and what a reader calls each of them."""

    path: Path
    rows: pd.DataFrame
    lines: np.ndarray | None = None

    def name_of(self, position: int) -> str:
        """`bars.csv, line 57`; in a file without lines the row, counted from 0."""
        return f"{self.path.name}, " + (f"row {position}" if self.lines is None else f"line {self.lines[position]}")

    def only(self, wanted: np.ndarray | slice) -> _Table:
        """Some of the rows, or all of them in another order."""
        return _Table(self.path, self.rows[wanted], None if self.lines is None else self.lines[wanted])


@dataclass(frozen=True)
class FileSource:
    """The files of one collection, one symbol: read, joined in order of time, resampled upward when asked.

    Their shape is guessed where the request does not say it.
    """

    request: FileRequest
    name: str = "CSV"

    @classmethod
    def for_request(cls, request: FileRequest) -> FileSource:
        """The files, which are looked at when something is asked of them."""
        if not request.files:
            raise DataRequestError("The source CSV reads files, and none was named.", "Pass files=['bars.csv'].")
        return cls(request)

    def offer(self) -> Offer:
        """What the files hold; the symbol is for the user to name."""
        bars = self._bars(None)
        native = _native(bars)
        longer = tuple(each for each in Timeframe if native is None or each.minutes >= native.minutes)
        return Offer((), longer, bars.index[0], bars.index[-1], attribution="")

    def fetch(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Bars opening in [start, end). Raises DataRequestError naming what the files hold."""
        held = self._bars(symbol)
        native = _native(held)
        same = native is None or timeframe is native
        bars = held if same else resample_bars(held, timeframe, symbol_of(symbol).asset_class)
        wanted = bars[(bars.index >= start) & (bars.index < end)]
        if wanted.empty:
            raise DataRequestError(
                f"The files hold no whole {timeframe} bar from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.",
                f"They hold {len(held)} {native or timeframe} bars from {held.index[0]:%Y-%m-%d %H:%M} to "
                f"{held.index[-1]:%Y-%m-%d %H:%M} UTC.",
            )
        return wanted

    @cached_property
    def _tables(self) -> list[_Table]:
        """A collection asks what the files offer and then for their bars; they are parsed once."""
        return [_table(file, self.request.corrections) for file in self.request.files]

    def _bars(self, symbol: str | None) -> pd.DataFrame:
        parts = [(table.path.name, _bars_of(table, symbol)) for table in self._tables]
        parts.sort(key=lambda part: part[1].index[0])
        for (earlier, before), (later, after) in pairwise(parts):
            if after.index[0] <= before.index[-1]:
                raise BarsError(
                    f"The files overlap: {later} begins at {after.index[0]:%Y-%m-%d %H:%M} UTC, before {earlier} ends "
                    f"({before.index[-1]:%Y-%m-%d %H:%M}).",
                    "Give each time once, or collect them apart.",
                )
        _refuse_different_lengths(parts)
        return pd.concat([bars for _, bars in parts]) if len(parts) > 1 else parts[0][1]


def read_file(path: Path, corrections: Mapping[str, Any], symbol: str) -> pd.DataFrame:
    """The bars of one file, through the door of the bars contract.

    Ticks become M1 bars of the bid, `volume` counting them. A file in falling order of time is turned
    round; of a file of several symbols, those of `symbol` are read. Raises DataRequestError or BarsError naming
    the file, the line, the value and the cure.
    """
    return _bars_of(_table(path, corrections), symbol)


def read_shaped(path: Path, shape: FileShape, rows: int | None = None) -> pd.DataFrame:
    """The rows of a file as its shape says, index aware UTC, in the file's order; at most `rows`.

    Raises DataRequestError naming the line of the file that cannot be read, or asking for the time zone.
    """
    return read_rows(path, shape, rows)[0].drop(columns="symbol", errors="ignore")


def preview(path: Path, shape: FileShape, rows: int = 5) -> tuple[Sequence[str], pd.DataFrame]:
    """The first lines of data as they stand in the file, and as they are understood."""
    bars = read_shaped(path, shape, rows)
    return [" | ".join(row) for _, row in islice(numbered_rows(path, shape), rows)], bars


def ticks_to_bars(ticks: pd.DataFrame, point: float) -> pd.DataFrame:
    """M1 bars of the bid; an empty bid or ask means unchanged, as MetaTrader writes it. Volume counts ticks."""
    quotes = ticks[[name for name in QUOTES if name in ticks]].ffill()
    minutes = quotes.groupby(pd.DatetimeIndex(quotes.index).floor("min"))
    bars = pd.DataFrame(minutes["bid"].agg(["first", "max", "min", "last", "count"])).dropna()
    bars.columns = pd.Index([*PRICES, "volume"])
    if "ask" in quotes:
        spreads = (quotes["ask"] - quotes["bid"]) / point
        bars["spread_points"] = spreads.groupby(pd.DatetimeIndex(quotes.index).floor("min")).mean().reindex(bars.index)
    bars.index.name = "time"
    return bars


def _native(bars: pd.DataFrame) -> Timeframe | None:
    """The timeframe of the bars; None where a single one leaves it open."""
    return infer_timeframe(pd.DatetimeIndex(bars.index)) if len(bars) > 1 else None


def _refuse_different_lengths(parts: Sequence[tuple[str, pd.DataFrame]]) -> None:
    enough = [(name, _native(bars)) for name, bars in parts if len(bars) >= 10]
    for (first, one), (second, other) in pairwise(enough):
        if one is not other:
            raise BarsError(
                f"The files hold different bars: {first} {one}, {second} {other}.", "Collect each timeframe by itself."
            )


def _table(path: Path, corrections: Mapping[str, Any]) -> _Table:
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    shape = guess_shape(path, corrections)
    if shape.doubts:
        raise DataRequestError(
            f"{path.name}: {shape.doubts[0]}", "Say which it is: pass time_format (or decimal) as it is meant."
        )
    table = _Table(path, *read_rows(path, shape))
    # Newest first is a habit of vendors; any other disorder is refused at the door.
    times = table.rows.index
    return table.only(slice(None, None, -1)) if times[0] > times[-1] and times.is_monotonic_decreasing else table


def _bars_of(table: _Table, symbol: str | None) -> pd.DataFrame:
    table = _of_symbol(table, symbol)
    rows = table.rows.drop(columns="symbol", errors="ignore")
    _refuse_disorder(pd.DatetimeIndex(rows.index), table.name_of)
    if "bid" not in rows or all(name in rows for name in PRICES):
        return check_bars(rows, row_name=table.name_of)
    _refuse_bad_quotes(rows, table.name_of)
    bars = check_bars(ticks_to_bars(rows, symbol_of(symbol or "EURUSD").point))
    if bars.empty:
        raise BarsError(f"{table.path.name} holds no bid.", "Export it again.")
    return bars


def _of_symbol(table: _Table, symbol: str | None) -> _Table:
    """The rows of one symbol where the file holds several; without a name those of the first."""
    if "symbol" not in table.rows or table.rows["symbol"].nunique() < 2:
        return table
    names = {name: _canonical(name) for name in table.rows["symbol"].unique()}
    wanted = symbol or next(iter(names.values()))
    if wanted not in names.values():
        held = ", ".join(list(dict.fromkeys(names.values()))[:20])
        raise DataRequestError(f"{table.path.name} holds no bars of {wanted!r}.", f"It holds: {held}.")
    return table.only((table.rows["symbol"].map(names) == wanted).to_numpy())


def _canonical(name: str) -> str:
    try:
        return canonical_symbol(name)
    except InputError:
        return name


def _refuse_disorder(times: pd.DatetimeIndex, row_name: RowName) -> None:
    late = np.flatnonzero(np.diff(times.asi8) < 0) + 1
    if len(late):
        raise BarsError(
            f"{row_name(late[0])} ({times[late[0]]:%Y-%m-%d %H:%M:%S} UTC) is earlier than the row before it.",
            "Sort the rows by time.",
        )


def _refuse_bad_quotes(ticks: pd.DataFrame, row_name: RowName) -> None:
    for name in (name for name in QUOTES if name in ticks):
        quotes = ticks[name].to_numpy()
        bad = np.flatnonzero(~(np.isnan(quotes) | (np.isfinite(quotes) & (quotes > 0))))
        if len(bad):
            raise BarsError(
                f"{row_name(bad[0])} ({ticks.index[bad[0]]:%Y-%m-%d %H:%M:%S} UTC): "
                f"{name}={quotes[bad[0]]:.10g} is no price.",
                "Correct or drop the row.",
            )


def _read_parquet(path: Path) -> _Table:
    """A Parquet file with its times as index: the index itself, or the first column that holds times."""
    refuse_unreadable(path)
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataRequestError(f"{path.name} cannot be read as Parquet ({error}).", "Export it again.") from None
    if not isinstance(frame.index, pd.DatetimeIndex):
        times = [name for name in frame if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)]
        if not times:
            raise DataRequestError(f"{path.name} has no column of times.", "Write it with a datetime column or index.")
        frame = frame.set_index(times[0])
    kept = {name: str(name).lower() for name in frame if str(name).lower() in {*FIGURES, "symbol"}}
    return _Table(path, frame[list(kept)].rename(columns=kept))
