"""The form of the Training Hub: data, target, model and how it is trained, made from the model's own declaration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from components.numbers import number, size
from components.panels.choice import choose
from components.panels.defaults import keep_defaults
from components.panels.parameters import ask_parameter
from core.clock import utc_now
from core.parameters import Parameter, Value
from data.versions import DatasetVersion
from train.dataset import default_features, feature_columns
from train.models import MODELS, SETTINGS, ModelKind, estimate_memory
from train.training_manager import TrainingJob

TARGETS = {
    "direction": "Direction: up or down",
    "return": "Return",
    "volatility": "Volatility",
    "triple_barrier": "Triple barrier: down, neither, up",
}
# What a page asks at once; the rest is in a fold.
_FIRST = ("epochs", "batch_size", "learning_rate", "early_stopping", "patience")
_AT_FIRST = {"epochs": 20}


def ask_training(versions: Sequence[DatasetVersion]) -> TrainingJob:
    """A filled-in form. Raises InputError for what cannot be trained."""
    left, middle, right = st.columns(3, gap="small")
    with left:
        data = _ask_data(versions)
    with middle:
        kind = MODELS[choose("Model", list(MODELS), "model", lambda name: MODELS[name].title)]
        st.caption(f"{kind.meaning}.")
        settings = _ask_values("train", [each for each in SETTINGS if _is_first(kind, each)])
        with st.expander("More settings"):
            settings |= _ask_values("train", [each for each in SETTINGS if _is_further(kind, each)])
    with right:
        parameters = _ask_values(f"train.{kind.name}", kind.parameters)
    version = data.pop("version")
    _show_estimate(kind, parameters, data, version, int(settings.get("batch_size", 256)))
    return TrainingJob(
        job_id=f"{_short(kind.name)}_{utc_now():%Y%m%d_%H%M%S}",
        model_name=kind.name,
        dataset=version.content_hash,
        parameters=parameters,
        **settings,
        **data,
    )


def _ask_data(versions: Sequence[DatasetVersion]) -> dict[str, Any]:
    by_hash = {version.short_hash: version for version in reversed(versions)}
    newest_first = list(dict.fromkeys(version.short_hash for version in versions))
    version = by_hash[choose("Dataset", newest_first, "dataset", lambda short: by_hash[short].label)]
    asked: dict[str, Any] = {"version": version}
    if len(version.symbols) > 1:
        asked["symbol"] = st.selectbox("Symbol", version.symbols, key="train.symbol")
    offered = list(feature_columns(version))
    key = f"train.features.{version.short_hash}"
    keep_defaults(
        {
            key: list(default_features(version)),
            "train.target": "direction",
            "train.horizon": 5,
            "train.length": 24,
            "train.held_out": 20,
            "train.folds": 0,
        }
    )
    asked["features"] = tuple(st.multiselect("Features", offered, key=key, placeholder="Choose columns"))
    asked["target"] = st.selectbox("Target", list(TARGETS), key="train.target", format_func=TARGETS.__getitem__)
    one, other = st.columns(2, gap="xsmall")
    asked["horizon"] = one.number_input("Horizon, bars", 1, 10_000, key="train.horizon", help="How far it foresees.")
    asked["window_length"] = other.number_input(
        "Window, bars", 1, 5_000, key="train.length", help="How many bars the model sees at once."
    )
    held_out = one.number_input(
        "Held out, %",
        5,
        40,
        key="train.held_out",
        help="The last part of the samples is judged once, after training; as much before it watches the training.",
    )
    asked["test_split"] = asked["validation_split"] = held_out / 100
    asked["folds"] = other.number_input(
        "Walk-forward folds", 0, 20, key="train.folds", help="0: none. Each trains the model once more."
    )
    if version.verdict == "FAIL" or version.looks_ahead:
        asked |= _ask_overrides(version)
    return asked


def _ask_overrides(version: DatasetVersion) -> dict[str, Any]:
    """What speaks against the dataset, to be accepted by name and with a reason that is kept."""
    found = [("FAIL", "it failed its validation")] if version.verdict == "FAIL" else []
    found += [("looks_ahead", "some of its columns look ahead")] if version.looks_ahead else []
    st.warning(f"This dataset is not fit to train on: {', and '.join(words for _, words in found)}.")
    accepted = tuple(
        name for name, words in found if st.checkbox(f"Train all the same: {words}", key=f"train.override.{name}")
    )
    if not accepted:
        return {}
    why = st.text_input("Why", key="train.override.reason", max_chars=500, help="Kept with the job and on the card.")
    return {"overrides": accepted, "override_reason": why}


def _is_first(kind: ModelKind, setting: Parameter) -> bool:
    return setting.name in kind.settings and setting.name in _FIRST


def _is_further(kind: ModelKind, setting: Parameter) -> bool:
    return setting.name in kind.settings and setting.name not in _FIRST


def _ask_values(key: str, parameters: Sequence[Parameter]) -> dict[str, Value]:
    return {each.name: ask_parameter(f"{key}.{each.name}", each, first=_AT_FIRST.get(each.name)) for each in parameters}


def _show_estimate(
    kind: ModelKind, parameters: dict[str, Value], data: dict[str, Any], version: DatasetVersion, batch_size: int
) -> None:
    rows = version.rows // max(1, len(version.symbols))
    shape = (rows, int(data["window_length"]), max(1, len(data["features"])))
    needed = size(estimate_memory(kind, parameters, shape, batch_size))
    st.caption(
        f"{number(rows)} bars × {len(data['features'])} features; needs about {needed} of memory while it trains."
    )


def _short(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")
