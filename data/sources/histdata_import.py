"""HistData's zips of a user's own, entered into the store of bars as if HistData had been asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from core.errors import DataRequestError, SequenceError
from core.settings import input_file
from data.bar_store import BarStore
from data.sources.histdata_files import HistDataFile, pair_in, read_file
from market.calendar import market_minutes
from market.symbols import symbol_of
from market.timeframes import Timeframe

SOURCE = "HistData"
_ENDINGS = {".zip", ".csv"}
_MINUTE = pd.Timedelta(minutes=1)
# A file is whole when the market was open for no longer between its last bar and the end of its month or year.
_QUIET_MINUTES = 60


@dataclass
class Entered:
    """What became of some files: the range [start, end) that those of a pair hold, and which could not be used."""

    ranges: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = field(default_factory=dict)
    failures: dict[Path, SequenceError] = field(default_factory=dict)


def enter_files(
    store: BarStore,
    files: Sequence[Path],
    symbols: Iterable[str],
    tell: Callable[[str, float], None] = lambda words, done: None,
) -> Entered:
    """Enter the bars of each file with what it covers; one that cannot be used does not keep the others.

    Covered is the whole month or year that a file's name says, or less where the file ends before the market did.
    Files of other pairs than `symbols` are not entered.
    """
    entered, wanted = Entered(), set(symbols)
    for done, path in enumerate(files, 1):
        try:
            file = read_file(path)
            if file.pair not in wanted:
                raise DataRequestError(
                    f"{path.name} holds {file.pair}, which was not asked for.", f"Add {file.pair} to the symbols."
                )
            start, end = _covered(file, path)
            added = store.add(file.pair, Timeframe.M1, SOURCE, file.bars, covered=(start, end))
        except SequenceError as error:
            entered.failures[path] = error
            tell(f"{path.name} cannot be used", done / len(files))
            continue
        before = entered.ranges.get(file.pair, (start, end))
        entered.ranges[file.pair] = min(start, before[0]), max(end, before[1])
        tell(f"{path.name}: {added.new:,} new bars of {file.pair}", done / len(files))
    return entered


def files_in(folder: str) -> list[Path]:
    """The zips and CSV files of a folder on this machine, by name. Raises DataRequestError when there are none."""
    place = input_file(folder)
    if not place.is_dir():
        raise DataRequestError(f"{folder} is no folder on this machine.", "Write the path of a folder with zips.")
    found = sorted(path for path in place.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())
    if not found:
        raise DataRequestError(f"{folder} holds no zip and no CSV.", "Name the folder the zips were downloaded to.")
    return found


def pairs_of(files: Iterable[Path]) -> tuple[dict[Path, str], dict[Path, SequenceError]]:
    """The pair of each file by its name, and why some do not say one; nothing is read but names."""
    pairs: dict[Path, str] = {}
    refused: dict[Path, SequenceError] = {}
    for path in files:
        try:
            pairs[path] = pair_in(path)
        except SequenceError as error:
            refused[path] = error
    return pairs, refused


def _covered(file: HistDataFile, path: Path) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The range [start, end) a file answers for. Raises DataRequestError for one without bars."""
    if file.bars.empty:
        raise DataRequestError(f"{path.name} holds no bars.", "Download it again.")
    first = pd.Timestamp(int(file.period[:4]), int(file.period[4:] or 1), 1)
    after = first + (pd.DateOffset(months=1) if file.period[4:] else pd.DateOffset(years=1))
    start, end = (moment.tz_localize(file.zone).tz_convert("UTC") for moment in (first, after))
    last = file.bars.index[-1] + _MINUTE
    if file.bars.index[0] < start or last > end:
        raise DataRequestError(
            f"{path.name} says {file.period} and holds bars from {file.bars.index[0]:%Y-%m-%d} to {last:%Y-%m-%d}.",
            "Give it the name it was downloaded with.",
        )
    open_from, open_until = market_minutes(pd.DatetimeIndex([last, end]), symbol_of(file.pair).asset_class)
    return start, end if open_until - open_from <= _QUIET_MINUTES else last
