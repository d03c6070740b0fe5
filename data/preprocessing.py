"""Columns added to raw bars: fills, features and normalised values. Pure; raw columns are never touched.

Every feature of bar *t* uses bars up to *t*. What is fitted (means, deviations, extremes) is fitted on
the first `train_fraction` of each symbol's rows and returned, so that it can be applied to new bars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from core.errors import DataRequestError
from data.config import PreprocessingConfig
from market.bars import PRICES, RAW_COLUMNS, bars_of, symbols_in
from market.smoothing import wilder_mean

# Raise when a formula below changes: derived columns are identified by settings and this number.
CODE_VERSION = 1


@dataclass(frozen=True)
class Prepared:
    """A frame with its added columns, and what was fitted: symbol → column → figure → value.

    `warmup_rows` are the first rows of a symbol in which some feature has no value yet.
    """

    frame: pd.DataFrame
    columns_added: list[str]
    fitted: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    warmup_rows: int = 0
    looks_ahead: bool = False


def preprocess_frame(frame: pd.DataFrame, settings: PreprocessingConfig) -> Prepared:
    """`frame` (one symbol, or long with a column `symbol`) with the columns that `settings` ask for.

    Raises DataRequestError when the frame has one of them already.
    """
    parts: list[pd.DataFrame] = []
    fitted: dict[str, dict[str, dict[str, float]]] = {}
    warmup_rows = 0
    holes = [name for name in PRICES if frame[name].isna().any()]
    places: list[np.ndarray[Any, Any]] = []  # the rows of each symbol, which may alternate
    for symbol in symbols_in(frame) or [""]:
        bars = bars_of(frame, symbol) if symbol else frame
        places.append(np.flatnonzero(frame["symbol"] == symbol) if symbol else np.arange(len(frame)))
        added = _filled(bars, holes, settings)
        inputs = _inputs(bars, added)
        if settings.engineer_features:
            features = engineered_features(inputs)
            incomplete = features.isna().any(axis=1).to_numpy()
            # Up to the first complete row only: a hole further on is missing data.
            warmup_rows = max(warmup_rows, int(np.logical_and.accumulate(incomplete).sum()))
            added = pd.concat([added, features], axis=1)
        if settings.normalize:
            figures = fit_normalization(inputs, settings)
            fitted[symbol] = figures
            added = pd.concat([added, normalized(inputs, figures, settings.normalization_method)], axis=1)
        parts.append(added)
    columns = list(parts[0].columns)
    _refuse_present(columns, frame)
    together = pd.concat(parts).iloc[np.argsort(np.concatenate(places))]
    prepared = pd.concat([frame.reset_index(), together.reset_index(drop=True)], axis=1).set_index(frame.index.name)
    return Prepared(prepared, columns, fitted, warmup_rows, looks_ahead=settings.fill_missing == "backward")


def engineered_features(bars: pd.DataFrame) -> pd.DataFrame:
    """Returns, moving averages, volatility and range of bars.

    `return_1` is the simple return over one bar, `sma_n` the mean close of n bars (price), `volatility_20`
    the standard deviation (ddof 1) of the last 20 returns per bar, `atr_14` the average true range of 14
    bars in price units, smoothed as Wilder does (New Concepts in Technical Trading Systems, 1978).
    """
    close = bars["close"]
    returns = close.pct_change(fill_method=None)
    before = close.shift(1)
    true_range = pd.concat(
        [bars["high"] - bars["low"], (bars["high"] - before).abs(), (bars["low"] - before).abs()], axis=1
    ).max(axis=1)
    return pd.DataFrame(
        {
            "return_1": returns,
            **{f"sma_{length}": close.rolling(length).mean() for length in (10, 20, 50)},
            "volatility_20": returns.rolling(20).std(),
            "atr_14": wilder_mean(true_range, 14),
        }
    )


def fit_normalization(bars: pd.DataFrame, settings: PreprocessingConfig) -> dict[str, dict[str, float]]:
    """Mean and deviation (ddof 0), minimum and maximum of each raw column over the training part."""
    train = bars.iloc[: max(1, int(len(bars) * settings.train_fraction))]
    return {
        name: {
            "mean": float(train[name].mean()),
            "std": float(train[name].std(ddof=0)),
            "min": float(train[name].min()),
            "max": float(train[name].max()),
        }
        for name in RAW_COLUMNS
    }


def normalized(bars: pd.DataFrame, fitted: dict[str, dict[str, float]], method: str) -> pd.DataFrame:
    """Each raw column centred and scaled by fitted figures; a column that was constant becomes 0."""
    columns = {}
    for name, figures in fitted.items():
        centre, scale = (
            (figures["mean"], figures["std"])
            if method == "zscore"
            else (figures["min"], figures["max"] - figures["min"])
        )
        columns[f"{name}_{method}"] = (bars[name] - centre) / (scale if scale > 0 else np.inf)
    return pd.DataFrame(columns)


def _refuse_present(columns: list[str], frame: pd.DataFrame) -> None:
    present = [name for name in columns if name in frame]
    if present:
        raise DataRequestError(
            f"The frame has a column {present[0]!r} already.", "Preprocess the frame that collect_data returned."
        )


def _filled(bars: pd.DataFrame, holes: list[str], settings: PreprocessingConfig) -> pd.DataFrame:
    """A `<column>_filled` for each price column with `holes` in any symbol, when filling is asked for."""
    if settings.fill_missing == "none":
        return pd.DataFrame(index=bars.index)
    fill = bars[holes].ffill() if settings.fill_missing == "forward" else bars[holes].bfill()
    return fill.add_suffix("_filled")


def _inputs(bars: pd.DataFrame, filled: pd.DataFrame) -> pd.DataFrame:
    replaced: dict[str, Any] = {str(name).removesuffix("_filled"): filled[name] for name in filled}
    return bars[list(RAW_COLUMNS)].assign(**replaced)
