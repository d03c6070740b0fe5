"""Columns added to raw bars: fills, features, news and normalised values. Pure; raw columns are never touched.

Every feature of bar *t* uses bars up to *t*, and news published before it closed. What is fitted (means,
deviations, extremes) is fitted on the first `train_fraction` of each symbol's rows and returned, so that
`apply_prepared` can bring new bars to the same scale and `invert` can bring them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from core.errors import DataRequestError
from core.names import nearest
from data.config import PreprocessingConfig
from data.features import FEATURES, STANDARD, columns_of, engineered_features, lagged
from data.normalization import Figures, figures_of, fit_normalization, invert, normalized
from market.bars import PRICES, RAW_COLUMNS, bars_of, symbols_in
from market.calendar import bar_end
from market.symbols import AssetClass, symbol_of
from market.timeframes import Timeframe, infer_timeframe

__all__ = ["CODE_VERSION", "News", "Prepared", "apply_prepared", "invert", "preprocess_frame"]

# Raise when a formula below, or one of data.features, changes: derived columns are identified by settings and
# this number. Columns that came later do not raise it.
CODE_VERSION = 1

_ROWS_LOOKED_AT = 4096

# What was known of a symbol at some moments (aware UTC, when its bars close): a frame of numbers on that index.
News = Callable[[pd.DatetimeIndex, str], pd.DataFrame]


@dataclass(frozen=True)
class Prepared:
    """A frame with its added columns, and what was fitted: symbol → column → figure → value.

    `warmup_rows` are the first rows of a symbol in which some feature has no value yet; news do not count.
    `joined` are the added columns that news brought: settings do not say what they hold.
    """

    frame: pd.DataFrame
    columns_added: list[str]
    fitted: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    warmup_rows: int = 0
    looks_ahead: bool = False
    joined: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Order:
    """What is to be done with the bars of every symbol."""

    settings: PreprocessingConfig
    holes: list[str]
    given: Mapping[str, Figures] | None = None
    news: News | None = None
    timeframe: Timeframe | None = None


@dataclass(frozen=True)
class _Part:
    """What came of the bars of one symbol."""

    added: pd.DataFrame
    figures: dict[str, dict[str, float]]
    warmup_rows: int
    joined: list[str]


def preprocess_frame(
    frame: pd.DataFrame,
    settings: PreprocessingConfig,
    news: News | None = None,
    timeframe: Timeframe | None = None,
) -> Prepared:
    """`frame` (one symbol, or long with a column `symbol`) with the columns that `settings` ask for.

    `news` is asked once a symbol for what was known as its bars closed, when the group `news` is asked for;
    `timeframe` says when they closed (without it, the usual distance of the bars). Raises DataRequestError when
    the frame has one of the columns already, and when news are asked for and none are given.
    """
    return _prepared(frame, _Order(settings, _holes(frame, settings), None, news, timeframe))


def apply_prepared(
    bars: pd.DataFrame,
    settings: PreprocessingConfig,
    fitted: Mapping[str, Figures],
    *,
    columns: Sequence[str] = (),
    news: News | None = None,
    timeframe: Timeframe | None = None,
) -> Prepared:
    """New bars with the same columns, scaled by what was `fitted` before; nothing is fitted on them.

    Put earlier bars in front: features begin anew with the first row, and Wilder's and exponential averages
    forget their beginning only by and by. `columns`, those the version has, tell which fills are among them
    whether or not the new bars have holes. Raises DataRequestError for a symbol that was not fitted.
    """
    told = [name for name in PRICES if f"{name}_filled" in columns]
    return _prepared(bars, _Order(settings, told or _holes(bars, settings), fitted, news, timeframe))


def _prepared(frame: pd.DataFrame, order: _Order) -> Prepared:
    symbols = symbols_in(frame) or [""]
    parts: dict[str, _Part] = {}
    if len(symbols) == 1:  # the usual case, and the one of many rows: nothing is copied
        parts[symbols[0]] = _part(frame.drop(columns=["symbol", "source"], errors="ignore"), symbols[0], order)
        added = parts[symbols[0]].added
    else:
        parts = {symbol: _part(bars_of(frame, symbol), symbol, order) for symbol in symbols}
        added = _in_places(frame, {symbol: part.added for symbol, part in parts.items()})
    columns = [str(name) for name in added.columns]
    _refuse_present(columns, frame)
    prepared = pd.concat([frame, added], axis=1)
    times = pd.DatetimeIndex(prepared.index).copy()
    times.freq = None  # type: ignore[misc]  # a frame that was stored and read again has none either
    prepared.index = times
    return Prepared(
        prepared,
        columns,
        {symbol: part.figures for symbol, part in parts.items() if part.figures},
        max(part.warmup_rows for part in parts.values()),
        looks_ahead=bool(order.settings.looks_ahead),
        joined=next(iter(parts.values())).joined,
    )


def _part(bars: pd.DataFrame, symbol: str, order: _Order) -> _Part:
    settings = order.settings
    asset_class = symbol_of(symbol).asset_class if symbol else AssetClass.FX
    filled = _filled(bars, order)
    inputs = _inputs(bars, filled)
    features = engineered_features(inputs, _feature_names(settings), asset_class)
    joined = _joined(bars, symbol, asset_class, order)
    lags = _lags([inputs, features, joined], settings, asset_class)
    added = [filled, features, joined, lags]
    figures: dict[str, dict[str, float]] = {}
    if settings.normalize:
        found = fit_normalization(inputs, settings) if order.given is None else figures_of(order.given, symbol)
        figures = {name: dict(values) for name, values in found.items()}
        added.append(normalized(inputs, figures, settings.normalization_method))
    of_news = [name for name in lags.columns if name.rpartition("_lag_")[0] in joined]
    warmup_rows = _rows_before_whole([features, lags.drop(columns=of_news)])
    return _Part(pd.concat(added, axis=1), figures, warmup_rows, [str(name) for name in joined.columns] + of_news)


def _feature_names(settings: PreprocessingConfig) -> list[str]:
    standard = STANDARD if settings.engineer_features else ()
    return list(dict.fromkeys((*standard, *columns_of(settings.features))))


def _joined(bars: pd.DataFrame, symbol: str, asset_class: AssetClass, order: _Order) -> pd.DataFrame:
    """What was known as each bar closed, on the index of the bars."""
    if "news" not in order.settings.features:
        return pd.DataFrame(index=bars.index)
    if order.news is None:
        raise DataRequestError(
            "The features 'news' are asked for, and no news were given.", "Collect news first, or leave 'news' out."
        )
    times = pd.DatetimeIndex(bars.index)
    closes = bar_end(times, order.timeframe or infer_timeframe(times), asset_class)
    known = order.news(closes, symbol)
    if not known.index.equals(closes):
        raise DataRequestError(
            f"News of {symbol or 'the bars'} came for {len(known)} moments; asked for were {len(closes)}.",
            "Answer with a frame on the index that was asked with.",
        )
    return known.astype("float64").set_axis(bars.index, axis=0)


def _lags(frames: list[pd.DataFrame], settings: PreprocessingConfig, asset_class: AssetClass) -> pd.DataFrame:
    """`<column>_lag_<bars>` for each column to lag: one of the frames (raw columns first), or any other feature."""
    inputs = frames[0]
    if "lags" not in settings.features:
        return pd.DataFrame(index=inputs.index)
    known = {str(name): each[name] for each in frames for name in each}
    unknown = [name for name in settings.lag_columns if name not in known and name not in FEATURES]
    if unknown:
        meant = nearest(unknown[0], known)
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise DataRequestError(f"There is no column {unknown[0]!r} to lag.", f"{hint}Known: {', '.join(known)}.")
    made = engineered_features(inputs, [name for name in settings.lag_columns if name not in known], asset_class)
    known |= {str(name): made[name] for name in made}
    lags = {
        f"{name}_lag_{bars}": lagged(known[name].to_numpy(), bars)
        for name in settings.lag_columns
        for bars in settings.lags
    }
    return pd.DataFrame(lags, index=inputs.index, copy=False)


def _in_places(frame: pd.DataFrame, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of each symbol where `frame` has them: symbols may alternate, and share times."""
    columns = {str(name): np.empty(len(frame)) for name in next(iter(parts.values()))}
    for symbol, part in parts.items():
        rows = (frame["symbol"] == symbol).to_numpy()
        for name, values in columns.items():
            values[rows] = part[name]
    return pd.DataFrame(columns, index=frame.index, copy=False)


def _rows_before_whole(frames: Sequence[pd.DataFrame]) -> int:
    """How many rows come before the first one without a hole; a hole further on is missing data."""
    columns = [each[name].to_numpy() for each in frames for name in each]
    rows = len(frames[0])
    for first in range(0, rows if columns else 0, _ROWS_LOOKED_AT):
        holed = np.logical_or.reduce([np.isnan(values[first : first + _ROWS_LOOKED_AT]) for values in columns])
        if not holed.all():
            return first + int(np.argmin(holed))
    return rows if columns else 0


def _refuse_present(columns: list[str], frame: pd.DataFrame) -> None:
    twice = [name for name in columns if name in frame or columns.count(name) > 1]
    if twice:
        raise DataRequestError(
            f"The frame has a column {twice[0]!r} already.", "Preprocess the frame that collect_data returned."
        )


def _holes(frame: pd.DataFrame, settings: PreprocessingConfig) -> list[str]:
    """The price columns with holes in any symbol, when they are to be filled."""
    return [name for name in PRICES if settings.fill_missing != "none" and frame[name].isna().any()]


def _filled(bars: pd.DataFrame, order: _Order) -> pd.DataFrame:
    """A `<column>_filled` for each price column with holes."""
    holed = bars[order.holes]
    return (holed.ffill() if order.settings.fill_missing == "forward" else holed.bfill()).add_suffix("_filled")


def _inputs(bars: pd.DataFrame, filled: pd.DataFrame) -> pd.DataFrame:
    replaced: dict[str, Any] = {str(name).removesuffix("_filled"): filled[name] for name in filled}
    return bars[list(RAW_COLUMNS)].assign(**replaced)
