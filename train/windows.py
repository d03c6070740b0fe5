"""Samples: a matrix of features, the target of every row, and windows that are views into the matrix.

A sample is named by the row at which its window ends. Nothing is materialised but the batch at hand: a window of
500 bars costs no more memory than one of 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.names import unknown_name
from data.features import FEATURES, engineered_features
from data.versions import DatasetVersion
from market.bars import OPTIONAL_RAW_COLUMNS, RAW_COLUMNS, bars_of, check_bars
from market.calendar import DayCut, bar_end
from market.symbols import AssetClass, canonical_symbol, symbol_of
from market.timeframes import infer_timeframe, parse_timeframe
from train.targets import TargetSpec, make_target, refuse_uncountable

Features = np.ndarray[Any, np.dtype[np.float32]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Samples:
    """The rows of one symbol, as a model reads them.

    `features` are float32 (rows, columns), unscaled, in one piece; `target` float64 (rows,), NaN where unknown.
    `times` are the opens of the rows, `known_at` the moments at which their features are known: their closes.
    `ends` are the rows, ascending, at which a window of `length` rows without a missing feature ends whose
    target is known.
    """

    features: Features
    columns: tuple[str, ...]
    target: Floats
    times: pd.DatetimeIndex
    known_at: pd.DatetimeIndex
    length: int
    spec: TargetSpec
    ends: Rows
    symbol: str
    timeframe: str


def make_samples(
    version_or_bars: DatasetVersion | pd.DataFrame,
    symbol: str | None,
    features: Sequence[str],
    spec: TargetSpec,
    length: int,
) -> Samples:
    """The samples of one symbol: `features` are columns of the dataset, or names of `data.features` made here.

    Raises UnknownNameError for a feature that is neither, InputError when no complete window with a known target
    is left, naming the feature that misses most.
    """
    refuse_uncountable("length", length, 1, "Give a window of a whole number of bars, 1 or more.")
    bars, symbol, timeframe, cut = _bars(version_or_bars, symbol, features)
    asset_class = asset_class_of(symbol)
    matrix = feature_matrix(bars, features, asset_class)
    target = make_target(bars, spec)
    times = pd.DatetimeIndex(bars.index)
    ends = complete_ends(matrix, length)
    ends = ends[np.isfinite(target[ends])]
    if not len(ends):
        raise _no_sample(matrix, features, spec, length)
    known_at = bar_end(times, parse_timeframe(timeframe), asset_class, cut)
    return Samples(
        matrix,
        tuple(features),
        target,
        times,
        known_at,
        int(length),
        spec,
        ends,
        symbol,
        str(parse_timeframe(timeframe)),
    )


def feature_matrix(bars: pd.DataFrame, features: Sequence[str], asset_class: AssetClass = AssetClass.FX) -> Features:
    """Columns of `bars`, or features made of them by their names, as float32 (rows, columns); infinite is missing.

    Raises UnknownNameError for a name that is neither, InputError for one that is there twice, that holds no
    numbers, or when none is given.
    """
    wanted = [str(name) for name in features]
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if not wanted or twice:
        raise InputError(
            f"The feature {twice!r} is named twice." if twice else "A model needs at least one feature.",
            "Name each feature once.",
        )
    made = engineered_features(bars, [name for name in wanted if name not in bars and name in FEATURES], asset_class)
    matrix: Features = np.empty((len(bars), len(wanted)), dtype=np.float32)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and missing like that
        for place, name in enumerate(wanted):
            matrix[:, place] = _numbers(made if name in made else bars, name)
            matrix[~np.isfinite(matrix[:, place]), place] = np.nan
    return matrix


def asset_class_of(symbol: str) -> AssetClass:
    """How the market of a symbol keeps time; FX where none is named."""
    return symbol_of(symbol).asset_class if symbol else AssetClass.FX


def complete_ends(features: Features, length: int) -> Rows:
    """The rows at which a window of `length` rows ends in which no feature is missing."""
    missing = np.zeros(len(features), dtype=bool)
    for place in range(features.shape[1]):
        missing |= np.isnan(features[:, place])
    rows = np.arange(len(features))
    last_missing = np.maximum.accumulate(np.where(missing, rows, -1))
    return np.flatnonzero(rows - last_missing >= length)


def windows(features: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """Every window of `length` rows: a view (rows − length + 1, length, columns) that cannot be written to.

    The window that ends at row t is number t − `length` + 1. Raises InputError when there are fewer rows.
    """
    if len(features) < length:
        raise InputError(f"{len(features)} rows hold no window of {length}.", "Take a shorter window or more rows.")
    return np.lib.stride_tricks.sliding_window_view(features, length, axis=0).swapaxes(1, 2)


def batches(  # noqa: PLR0917  # what samples are made of, in their order
    features: np.ndarray[Any, Any],
    target: Floats,
    ends: Rows,
    length: int,
    batch_size: int,
    rng: np.random.Generator | None,
) -> Iterator[tuple[np.ndarray[Any, Any], Floats]]:
    """The windows that end at `ends` and their targets, `batch_size` at a time: ((b, length, columns), (b,)).

    In the order of `ends`, or shuffled by `rng`; the last batch may be smaller. Each window array is one piece and
    the caller's own.
    """
    views = windows(features, length)
    order = np.asarray(ends)
    if rng is not None:
        # Half the width where it suffices: of few features, row numbers are no small part of the memory.
        order = order.astype(np.int32 if len(features) <= np.iinfo(np.int32).max else np.int64)
        rng.shuffle(order)
    for begin in range(0, len(order), batch_size):
        at = order[begin : begin + batch_size]
        yield np.ascontiguousarray(views[at - (length - 1)]), target[at]


def _bars(
    given: DatasetVersion | pd.DataFrame, symbol: str | None, features: Sequence[str]
) -> tuple[pd.DataFrame, str, str, DayCut | None]:
    """The columns that are needed, of which symbol and timeframe, and where a vendor cut its days."""
    if isinstance(given, DatasetVersion):
        bars = given.bars(symbol, columns=[*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS, *features])
        named = canonical_symbol(symbol) if symbol else next(iter(given.symbols), "")
        return check_bars(bars, allow_missing=True), named, given.timeframe, cut_of(given.day_cut, named)
    bars = check_bars(bars_of(given, symbol) if symbol else given, allow_missing=True)
    return bars, canonical_symbol(symbol) if symbol else "", str(infer_timeframe(pd.DatetimeIndex(bars.index))), None


def cut_of(words: str | None, symbol: str) -> DayCut | None:
    """`17:00 America/New_York`, as versions tell it."""
    if words is None:
        return None
    clock, zone = words.split(" ", 1)
    return DayCut(zone, int(clock.split(":")[0]), skips_weekend=asset_class_of(symbol) is AssetClass.FX)


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame:
        raise unknown_name("feature", name, {*map(str, frame.columns), *FEATURES})
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise InputError(f"The column {name!r} holds {column.dtype}, no numbers.", "Leave it out of the features.")
    numbers: Floats = column.to_numpy(dtype="float64", na_value=np.nan)
    return numbers


def _no_sample(matrix: Features, features: Sequence[str], spec: TargetSpec, length: int) -> InputError:
    holes = np.isnan(matrix).mean(axis=0)
    worst = int(np.argmax(holes)) if len(matrix) else 0
    share = float(holes[worst]) if len(matrix) else 0.0
    lacking = f"; {features[worst]!r} is missing in {share:.0%} of them" if share else ""
    return InputError(
        f"{len(matrix):,} bars hold no whole window of {length} with a known {spec.words}{lacking}.",
        f"Leave {features[worst]!r} out, or take a shorter window." if share else "Take a shorter window or more bars.",
    )
