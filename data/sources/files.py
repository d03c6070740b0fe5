"""Bars out of a user's file: CSV of any vendor (bars or ticks, MetaTrader's exports included) and Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.errors import BarsError, DataRequestError
from data.sources.base import FileRequest, Offer
from data.sources.shape import EPOCHS, PRICES, FileShape, checked_zone, guess_shape, split, zone_parts
from market.bars import check_bars
from market.resample import resample_bars
from market.symbols import symbol_of
from market.timeframes import Timeframe, infer_timeframe


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
        bars = self._bars("EURUSD")
        native = infer_timeframe(pd.DatetimeIndex(bars.index))
        longer = tuple(timeframe for timeframe in Timeframe if timeframe.minutes >= native.minutes)
        return Offer((), longer, bars.index[0], bars.index[-1], attribution="")

    def fetch(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Bars opening in [start, end). Raises DataRequestError naming what the files hold."""
        bars = self._bars(symbol)
        native = infer_timeframe(pd.DatetimeIndex(bars.index))
        if timeframe is not native:
            bars = resample_bars(bars, timeframe, symbol_of(symbol).asset_class)
        wanted = bars[(bars.index >= start) & (bars.index < end)]
        if wanted.empty:
            raise DataRequestError(
                f"The files hold no {timeframe} bars from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.",
                f"They hold {native} bars"
                + (
                    f" from {bars.index[0]:%Y-%m-%d %H:%M} to {bars.index[-1]:%Y-%m-%d %H:%M} UTC."
                    if len(bars)
                    else "."
                ),
            )
        return wanted

    def _bars(self, symbol: str) -> pd.DataFrame:
        said = tuple(sorted((name, repr(value)) for name, value in self.request.corrections.items()))
        parts = [_read_once(file, _mark(file), said, self.request, symbol) for file in self.request.files]
        parts.sort(key=lambda part: part.index[0])
        try:
            return check_bars(pd.concat(parts)) if len(parts) > 1 else parts[0]
        except BarsError as error:
            raise BarsError(f"The files overlap: {error.what}", "Give each time once, or collect them apart.") from None


@lru_cache(maxsize=4)
def _read_once(
    path: Path, _mark: tuple[int, int], _said: tuple[tuple[str, str], ...], request: FileRequest, symbol: str
) -> pd.DataFrame:
    """A collection asks what a file offers and then for its bars; it is parsed once while it does not change."""
    return read_file(path, request.corrections, symbol)


def _mark(path: Path) -> tuple[int, int]:
    found = path.stat() if path.is_file() else None
    return (found.st_mtime_ns, found.st_size) if found else (0, 0)


def read_file(path: Path, corrections: Mapping[str, Any], symbol: str) -> pd.DataFrame:
    """The bars of one file, through the door of the bars contract.

    Ticks become M1 bars of the bid, `volume` counting them. A file in falling order of time is turned
    round. Raises DataRequestError or BarsError naming the file, the row, the value and the cure.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return check_bars(_contract_frame(pd.read_parquet(path), path))
        shape = guess_shape(path, corrections)
        frame = read_shaped(path, shape)
        if shape.holds_ticks:
            return check_bars(ticks_to_bars(frame, symbol_of(symbol).point))
        rising = frame if frame.index.is_monotonic_increasing else frame.iloc[::-1]
        # Newest first is a habit of vendors; any other disorder is refused at the door.
        return check_bars(rising if rising.index.is_monotonic_increasing else frame)
    except BarsError as error:
        raise BarsError(f"{path.name}: {error.what}", error.cure) from None


def read_shaped(path: Path, shape: FileShape, rows: int | None = None) -> pd.DataFrame:
    """The rows of a file as its shape says, index aware UTC, in the file's order; at most `rows`.

    Raises DataRequestError naming the line of the file that cannot be read, or asking for the time zone.
    """
    if shape.timezone is None:
        raise DataRequestError(
            f"The times of {path.name} carry no time zone.",
            "Pass timezone='UTC', or the vendor's: 'America/New_York+7' is the clock of most MetaTrader brokers.",
        )
    places = dict(sorted(shape.columns.items(), key=lambda item: item[1]))
    try:
        raw = pd.read_csv(
            path,
            sep=r"\s+" if shape.delimiter == " " else shape.delimiter,
            header=None,
            skiprows=shape.first_line,
            usecols=list(places.values()),
            dtype=dict.fromkeys([places[name] for name in ("time", "clock") if name in places], "str"),
            decimal=shape.decimal,
            encoding=shape.encoding,
            nrows=rows,
            skipinitialspace=True,
        )
    except (ValueError, UnicodeError) as error:
        raise DataRequestError(
            f"{path.name} cannot be read as {shape.delimiter!r}-separated rows: {error}.", "Correct the delimiter."
        ) from None
    raw = raw.rename(columns={place: name for name, place in places.items()})
    stamps = raw.pop("time")
    if "clock" in raw:
        stamps = stamps.str.strip() + " " + raw.pop("clock").str.strip()
    raw.index = _times(stamps, shape, path)
    return raw.drop(columns=[name for name in raw if name not in {*PRICES, "volume", "spread_points", "bid", "ask"}])


def ticks_to_bars(ticks: pd.DataFrame, point: float) -> pd.DataFrame:
    """M1 bars of the bid; an empty bid or ask means unchanged, as MetaTrader writes it. Volume counts ticks."""
    quotes = ticks[["bid", "ask"]].ffill() if "ask" in ticks else ticks[["bid"]].ffill()
    minutes = quotes.groupby(pd.DatetimeIndex(quotes.index).floor("min"))
    bars = pd.DataFrame(minutes["bid"].agg(["first", "max", "min", "last", "count"])).dropna()
    bars.columns = pd.Index([*PRICES, "volume"])
    if "ask" in quotes:
        spread = ((quotes["ask"] - quotes["bid"]) / point).groupby(pd.DatetimeIndex(quotes.index).floor("min")).mean()
        bars["spread_points"] = spread.reindex(bars.index)
    bars.index.name = "time"
    return bars


def _times(stamps: pd.Series, shape: FileShape, path: Path) -> pd.DatetimeIndex:
    if shape.time_format in EPOCHS:
        unit: Literal["s", "ms"] = "s" if shape.time_format == EPOCHS[0] else "ms"
        return pd.DatetimeIndex(pd.to_datetime(pd.to_numeric(stamps), unit=unit, utc=True), name="time")
    own_zone = "%z" in shape.time_format
    times = pd.to_datetime(pd.Index(stamps.str.strip()), format=shape.time_format, errors="coerce", utc=own_zone)
    if times.hasnans:
        row = int(np.argmax(times.isna()))
        raise DataRequestError(
            f"{path.name}, row {row + 1} of the data (line {shape.first_line + row + 1}): the time "
            f"{stamps.iloc[row]!r} does not read as {shape.time_format}.",
            "Correct or remove the line, or name the format.",
        )
    index = pd.DatetimeIndex(times, name="time")
    return index.tz_convert("UTC") if own_zone else _to_utc(index, str(shape.timezone), path)


def _to_utc(wall: pd.DatetimeIndex, zone: str, path: Path) -> pd.DatetimeIndex:
    base, ahead = zone_parts(checked_zone(zone))
    clock = wall - pd.Timedelta(hours=ahead)
    try:
        # An hour that autumn repeats is told apart by the order of the rows where they show it.
        return clock.tz_localize(base, ambiguous="infer", nonexistent="raise").tz_convert("UTC")
    except ValueError:
        pass
    try:
        return clock.tz_localize(base, ambiguous=np.zeros(len(clock), dtype=bool), nonexistent="raise").tz_convert(
            "UTC"
        )
    except ValueError as error:
        raise DataRequestError(
            f"{path.name}: its times do not exist in {zone} ({error}).", "Choose the zone the vendor really uses."
        ) from None


def _contract_frame(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A Parquet frame with its times as index: the index itself, or the first column that holds times."""
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame
    for name in frame.columns:
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype):
            return frame.set_index(name)
    raise DataRequestError(f"{path.name} has no column of times.", "Write it with a datetime column or index.")


def preview(path: Path, shape: FileShape, rows: int = 5) -> tuple[Sequence[str], pd.DataFrame]:
    """The first lines of data as they stand in the file, and as they are understood."""
    with path.open(encoding=shape.encoding, errors="replace") as stream:
        lines = [
            line.rstrip("\n")
            for number, line in enumerate(stream)
            if shape.first_line <= number < shape.first_line + rows
        ]
    return [" | ".join(split(line, shape.delimiter)) for line in lines if line.strip()], read_shaped(path, shape, rows)
