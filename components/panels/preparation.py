"""What to add to raw bars, as a part of every form that collects: features, scaled copies, fills."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from components.panels.defaults import keep_defaults
from core.errors import DataRequestError
from core.settings import current_settings
from data.config import PreprocessingConfig
from data.features import FEATURES, GROUPS, STANDARD
from market.bars import RAW_COLUMNS

STANDARD_PILL = "standard"
FILLS = {"leave them": "none", "forward": "forward", "backward (looks ahead)": "backward"}
FITS = {"the training part": "train", "all rows (looks ahead)": "all"}
_MADE = {
    "lags": "what other columns were some bars before",
    "news": "tone of the currencies as it was known at each close; collect it with GDELT first",
}


def widget_values(settings: PreprocessingConfig) -> dict[str, Any]:
    """What the widgets hold when they ask for `settings`, by their keys."""
    lags = "lags" in settings.features
    return {
        "data.features": [STANDARD_PILL] * settings.engineer_features + settings.features,
        "data.normalise": settings.normalization_method if settings.normalize else "none",
        "data.fill": next(words for words, fill in FILLS.items() if fill == settings.fill_missing),
        "data.fit": next(words for words, fit in FITS.items() if fit == settings.fit_on),
        "data.train_pct": round(100 * settings.train_fraction),
        **({"data.lags": ", ".join(map(str, settings.lags)), "data.lag_columns": settings.lag_columns} if lags else {}),
    }


def ask_preprocessing(before: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the preprocessing; `before` are values to start with, by the keys of the widgets.

    Raises DataRequestError for lags that are no numbers.
    """
    usual = {
        "data.features": [STANDARD_PILL],
        "data.normalise": "zscore",
        "data.fill": "leave them",
        "data.fit": next(iter(FITS)),
        "data.train_pct": round(100 * current_settings().data.train_fraction),
        "data.lags": "1, 2, 5",
        "data.lag_columns": ["return_1"],
    }
    keep_defaults({**usual, **before})
    chosen = st.pills(
        "Features", [STANDARD_PILL, *GROUPS], selection_mode="multi", key="data.features", help=_features_help()
    )
    settings: dict[str, Any] = {
        "engineer_features": STANDARD_PILL in chosen,
        "features": [group for group in chosen if group != STANDARD_PILL],
    }
    if "lags" in chosen:
        written = st.text_input("Lags, bars", key="data.lags", help="How many bars before, separated by commas.")
        columns = st.multiselect("Columns to lag", [*FEATURES, *RAW_COLUMNS], key="data.lag_columns")
        settings |= {"lags": _lags_said(written), "lag_columns": columns}
    with st.expander("Scaling and missing prices"):
        settings |= _ask_scaling()
    return settings


def _ask_scaling() -> dict[str, Any]:
    method = st.segmented_control(
        "Normalise",
        ["none", "zscore", "minmax"],
        required=True,
        key="data.normalise",
        help="Adds a scaled copy of each raw column.",
    )
    fit = st.selectbox(
        "Fitted on",
        list(FITS),
        key="data.fit",
        disabled=method == "none",
        help="Fitted on all rows, the scaled columns of a bar know later bars; the version is marked.",
    )
    train_pct = st.number_input(
        "Training part, %",
        10,
        100,
        key="data.train_pct",
        help="Fitted figures (means, deviations) see this share of the rows, from the first on.",
    )
    fill = st.selectbox(
        "Missing prices",
        list(FILLS),
        key="data.fill",
        help="Adds filled copies of prices that have holes; raw columns stay as they are.",
    )
    return {
        "normalize": method != "none",
        "normalization_method": "minmax" if method == "minmax" else "zscore",
        "fill_missing": FILLS[fill],
        "train_fraction": train_pct / 100,
        "fit_on": FITS[fit] if method != "none" else "train",
    }


def _features_help() -> str:
    lines = [f"**{STANDARD_PILL}**: {', '.join(STANDARD)}"]
    lines += [f"**{group}**: {', '.join(columns) or _MADE[group]}" for group, columns in GROUPS.items()]
    return "Columns to add. None of them looks ahead; raw columns stay as they are.\n\n" + "\n\n".join(lines)


def _lags_said(text: str) -> list[int]:
    if not re.fullmatch(r"\s*\d+(\s*[,; ]\s*\d+)*\s*", text):
        raise DataRequestError(f"Lags {text!r} are no numbers of bars.", "Write them as 1, 2, 5.")
    return [int(each) for each in re.findall(r"\d+", text)]
