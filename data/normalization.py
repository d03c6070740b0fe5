"""Raw columns brought to a common scale, and back: what is fitted, applied and undone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from core.errors import DataRequestError
from data.config import PreprocessingConfig
from market.bars import RAW_COLUMNS, symbols_in

METHODS = ("zscore", "minmax")
# Column → mean, std, min, max.
Figures = Mapping[str, Mapping[str, float]]


def fit_normalization(bars: pd.DataFrame, settings: PreprocessingConfig) -> dict[str, dict[str, float]]:
    """Mean and deviation (ddof 0), minimum and maximum of each raw column over the rows that may be seen.

    They are the first `train_fraction` of the rows (rounded down, at least one), or all with `fit_on="all"`.
    """
    rows = len(bars) if settings.fit_on == "all" else max(1, int(len(bars) * settings.train_fraction))
    train = bars.iloc[:rows]
    return {
        name: {
            "mean": float(train[name].mean()),
            "std": float(train[name].std(ddof=0)),
            "min": float(train[name].min()),
            "max": float(train[name].max()),
        }
        for name in RAW_COLUMNS
    }


def normalized(bars: pd.DataFrame, fitted: Figures, method: str) -> pd.DataFrame:
    """Each raw column centred and scaled by fitted figures; a column that was constant becomes 0."""
    columns = {}
    for name, figures in fitted.items():
        centre, scale = _centre_and_scale(figures, method)
        columns[f"{name}_{method}"] = (bars[name] - centre) / (scale if scale > 0 else np.inf)
    return pd.DataFrame(columns, copy=False)


def invert(frame: pd.DataFrame, fitted: Mapping[str, Figures]) -> pd.DataFrame:
    """The raw columns that the normalised ones of `frame` came from, on its index, by the figures of each symbol.

    A column that was constant where it was fitted comes back as that constant: its scaled copy keeps nothing
    else. Raises DataRequestError for a symbol without figures, and when no column is normalised.
    """
    sources = {f"{name}_{method}": name for method in METHODS for name in RAW_COLUMNS}
    found = {source: column for column, source in sources.items() if column in frame}
    if not found:
        raise DataRequestError(
            "The frame holds no normalised column.", f"Give one with open_{METHODS[0]} or the like, as preprocess adds."
        )
    restored = {name: np.full(len(frame), np.nan) for name in RAW_COLUMNS if name in found}
    for symbol in symbols_in(frame) or [""]:
        rows = (frame["symbol"] == symbol).to_numpy() if symbol else np.ones(len(frame), dtype=bool)
        figures = figures_of(fitted, symbol)
        for name, values in restored.items():
            centre, scale = _centre_and_scale(figures[name], found[name].rpartition("_")[2])
            values[rows] = frame[found[name]].to_numpy()[rows] * scale + centre
    return pd.DataFrame(restored, index=frame.index)


def figures_of(fitted: Mapping[str, Figures], symbol: str) -> Figures:
    """What was fitted for a symbol; bars without one take the only figures there are.

    Raises DataRequestError naming the symbols that were fitted.
    """
    if symbol in fitted:
        return fitted[symbol]
    if not symbol and len(fitted) == 1:
        return next(iter(fitted.values()))
    raise DataRequestError(
        f"Nothing was fitted for {symbol or 'bars without a symbol'}.",
        f"Fitted: {', '.join(name or 'bars without a symbol' for name in fitted) or 'nothing'}.",
    )


def _centre_and_scale(figures: Mapping[str, float], method: str) -> tuple[float, float]:
    if method == "zscore":
        return figures["mean"], figures["std"]
    return figures["min"], figures["max"] - figures["min"]
