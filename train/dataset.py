"""The door of the training floor for data: which dataset is meant, whether it is fit, which columns it offers.

A CSV file becomes a version on entry. The one that `controller.publish(csv=True)` wrote is recognised by its
content, so that its version's verdict and marks hold for the file too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.clock import utc_text
from core.errors import BarsError, DataRequestError, InputError, SequenceError
from core.names import unknown_name
from core.settings import input_file, output_folder
from data.pipeline_controller import controller
from data.sources.files import read_file
from data.versions import DatasetVersion, digest
from market.bars import OPTIONAL_RAW_COLUMNS, PRICES, RAW_COLUMNS, bars_of, check_bars
from market.symbols import canonical_symbol

# What may be wrong with a dataset, by the name that overrides it.
OVERRIDES: dict[str, str] = {
    "looks_ahead": "columns of a bar know later bars, so that what is measured on it cannot be had in trading",
    "FAIL": "it failed validation, so that a model would learn its faults",
}
# Made here of bars that bring no columns of their own: all without the level of the price.
DEFAULT_FEATURES = (
    "return_1",
    "return_5",
    "return_20",
    "volatility_20",
    "rsi_14",
    "bollinger_position",
    "bollinger_width",
    "high_distance_20",
    "low_distance_20",
    "candle_body",
    "candle_upper_shadow",
    "candle_lower_shadow",
    "candle_range",
    "hour_sin",
    "hour_cos",
)
# Columns that move with the level of the price: of noise they make a forest look able one time in four.
_LEVELS = re.compile(r"(sma|ema)_\d+(_lag_\d+)?|(open|high|low|close)(_filled|_zscore|_minmax|_lag_\d+)+")
_FILE_NAME = re.compile(r"[_-]?dataset$", re.IGNORECASE)


def version_of(dataset: DatasetVersion | int | str | Path, symbol: str | None = None) -> DatasetVersion:
    """The version meant by an id, by the beginning of a hash, or by a file, which is entered now if it is new.

    `symbol` is what a file holds; without it the file's name says so (`gbpusd_dataset.csv`). A file that is new is
    validated on entry. Raises UnknownNameError when there is neither version nor file, BarsError or DataRequestError
    for a file that cannot be read as bars.
    """
    if isinstance(dataset, (DatasetVersion, int)):
        return controller.version(dataset)
    file = input_file(dataset)
    if not file.is_file():
        if isinstance(dataset, str) and re.fullmatch(r"[0-9a-f]{6,64}", dataset):
            return controller.version(dataset)
        central = output_folder()
        known = [each.relative_to(central.parent).as_posix() for each in central.glob("*_dataset.csv")]
        raise unknown_name("dataset file", str(dataset), known)
    symbol = canonical_symbol(symbol or _FILE_NAME.sub("", file.stem))
    bars = _read(file, symbol)
    return _known(bars, symbol) or _entered(bars, symbol)


def refuse_unfit(version: DatasetVersion, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """Raise InputError for a dataset that looks ahead or failed validation, unless `overrides` names that.

    Returns the overrides that were needed, for the record of what is trained. Raises UnknownNameError for an
    override that there is not.
    """
    for name in overrides:
        if name not in OVERRIDES:
            raise unknown_name("override", name, OVERRIDES)
    faults = [name for name, has in (("looks_ahead", version.looks_ahead), ("FAIL", version.verdict == "FAIL")) if has]
    for name in faults:
        if name not in overrides:
            marked = "is marked as looking ahead" if name == "looks_ahead" else "is marked FAIL"
            raise InputError(
                f"{version.label} {marked}: {OVERRIDES[name]}.",
                f"Train on another version, or accept it by naming {name!r} among the overrides.",
            )
    return tuple(faults)


def feature_columns(version: DatasetVersion) -> tuple[str, ...]:
    """The features that are taken without being asked for: numeric columns that were added to the raw ones.

    Raw columns are left out, and so is what moves with the level of the price (moving averages, filled and
    normalised prices): both must be asked for by name. A version that has nothing else gets `DEFAULT_FEATURES`.
    """
    raw = {*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS, "symbol", "source"}
    added = [name for name in version.columns if name not in raw and not _LEVELS.fullmatch(name)]
    if added:
        several = len(version.symbols) > 1  # of one symbol the last bar is enough to tell kinds of columns
        since = None if several else pd.Timestamp(version.last_time)
        sample = version.bars(next(iter(version.symbols), None), since=since, columns=added)
        added = [name for name in added if pd.api.types.is_numeric_dtype(sample[name].dtype)]
    return tuple(added) or default_features(version)


def default_features(version: DatasetVersion) -> tuple[str, ...]:
    """`DEFAULT_FEATURES`, without the hour of the day where bars last a day or longer."""
    is_daily = version.timeframe in {"D1", "W1", "MN1"}
    return tuple(name for name in DEFAULT_FEATURES if not (is_daily and name.startswith("hour_")))


def _read(file: Path, symbol: str) -> pd.DataFrame:
    """Bars with the columns that were added to them; of a file in another shape the bars alone."""
    added = None if file.suffix.lower() == ".parquet" else _own_csv(file, symbol)
    if added is not None:
        return added
    try:
        return read_file(file, {}, symbol)
    except DataRequestError as error:  # its cure is a setting that a collection takes
        cure = f"Collect it with the Data Pipeline and train on the version. There: {error.cure}"
        raise DataRequestError(error.what, cure) from None


def _own_csv(file: Path, symbol: str) -> pd.DataFrame | None:
    """A file as this workbench writes it, to the bit; None when its header says that it is not."""
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        header = opened.readline().rstrip("\r\n")
    delimiter = ";" if header.count(";") > header.count(",") else ","
    names = [name.strip().strip('"') for name in header.split(delimiter)]
    if names[0] not in {"time", "time (UTC)"} or not set(PRICES) <= set(names):
        return None
    decimal = "," if delimiter == ";" else "."
    try:
        frame = pd.read_csv(file, sep=delimiter, decimal=decimal, index_col=0, encoding="utf-8-sig")
        frame.index = pd.DatetimeIndex(pd.to_datetime(frame.index, utc=True), name="time").as_unit("us")
    except (ValueError, UnicodeDecodeError) as error:
        raise BarsError(f"{file.name} cannot be read ({error}).", "Export it again from the Data Pipeline.") from error
    try:
        return check_bars(
            bars_of(frame, symbol), allow_missing=True, row_name=lambda row: f"{file.name}, line {row + 2}"
        )
    except SequenceError as error:
        raise BarsError(
            f"{file.name}: {error.what}" if file.name not in error.what else error.what, error.cure
        ) from None


def _known(bars: pd.DataFrame, symbol: str) -> DatasetVersion | None:
    """The newest version that holds these very bars and columns of that symbol."""
    content, span = digest(bars), (utc_text(bars.index[0]), utc_text(bars.index[-1]))
    columns = [str(name) for name in bars.columns]
    looked_at: set[str] = set()
    for version in controller.versions():
        added = [name for name in version.columns if name not in {"symbol", "source"}]
        if (version.symbols and symbol not in version.symbols) or added != columns or version.content_hash in looked_at:
            continue
        if len(version.symbols) < 2 and (version.first_time, version.last_time) != span:
            continue
        looked_at.add(version.content_hash)
        if digest(version.bars(symbol)) == content:
            return version
    return None


def _entered(bars: pd.DataFrame, symbol: str) -> DatasetVersion:
    frame = bars.assign(symbol=symbol, source="file")
    return controller.publish(frame, validation_id=controller.validate(frame)[1])
