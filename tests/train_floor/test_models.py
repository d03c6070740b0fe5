from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from core.errors import InputError, UnknownNameError
from core.parameters import Parameter, checked_values
from train.models import MODELS, SETTINGS, TrainSettings, estimate_memory, make_trainer, model_named
from train.splits import Scaler, Split
from train.windows import Samples

Parts = tuple[Samples, Split, Scaler]
Learnable = Callable[..., Parts]


def test_a_mistyped_model_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'Hybrid CNN-LSTM'"):
        model_named("hybrid cnn lstm")
    assert [model_named(name).name for name in MODELS] == [
        "Hybrid CNN-LSTM",
        "LSTM",
        "GRU",
        "Random Forest",
        "XGBoost",
    ]


def test_declaring_models_imports_nothing_heavy() -> None:
    check = "import sys, train.models; print({'torch', 'sklearn', 'xgboost', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_a_meaning_and_a_default_in_its_own_range(name: str) -> None:
    kind = model_named(name)
    assert kind.values() == {parameter.name: parameter.default for parameter in kind.parameters}
    for parameter in kind.parameters:
        assert parameter.meaning
        bounded = isinstance(parameter.default, str) or None not in (parameter.low, parameter.high)
        assert bounded, parameter.name
    assert set(kind.settings) <= {parameter.name for parameter in SETTINGS}


def test_the_settings_declared_are_the_settings_there_are() -> None:
    defaults = TrainSettings()
    assert {each.name for each in fields(TrainSettings)} == {each.name for each in SETTINGS} | {"parameters"}
    assert all(getattr(defaults, each.name) == each.default for each in SETTINGS)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("hidden_size", 0, "It goes from 1 to 2048"),
        ("hidden_size", 1.5, "is no whole number"),
        ("hidden_size", True, "is no whole number"),
        ("hidden_size", "64", "is no whole number"),
        ("dropout", float("nan"), "is out of range"),
        ("dropout", "much", "is no number"),
        ("hidden_sise", 64, "Did you mean 'hidden_size'"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_cure(name: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model_named("LSTM").values({name: value})  # type: ignore[dict-item]  # as a user may give it


def test_values_come_in_the_declared_type() -> None:
    declared = (Parameter("count", 3, "…", 0, 9), Parameter("share", 0.5, "…", 0, 1), Parameter("on", True, "…"))
    found = checked_values(declared, {"count": np.int64(4), "share": 1, "on": np.bool_(False)}, "Test")
    assert found == {"count": 4, "share": 1.0, "on": False}
    assert [type(value) for value in found.values()] == [int, float, bool]
    with pytest.raises(InputError, match="neither yes nor no"):
        checked_values(declared, {"on": 1}, "Test")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs=0 is out of range"),
        ({"schedule": "linear"}, "Choose one of none, plateau, cosine"),
        ({"learning_rate": -1.0}, "out of range"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainSettings(**settings)  # type: ignore[arg-type]


def test_training_that_cannot_be_is_refused_before_it_begins(learnable: Learnable) -> None:
    samples, split, scaler = learnable()
    none = split.train[:0]
    with pytest.raises(InputError, match="early_stopping=False"):
        make_trainer(model_named("GRU"), TrainSettings(), samples, replace(split, validation=none), scaler)
    with pytest.raises(InputError, match="holds no window"):
        make_trainer(model_named("GRU"), TrainSettings(), samples, replace(split, train=none), scaler)
    same = replace(samples, target=np.zeros_like(samples.target))
    with pytest.raises(InputError, match=r"Every target of the training part .* is 0\."):
        make_trainer(model_named("XGBoost"), TrainSettings(), same, split, scaler)


@pytest.mark.parametrize("name", MODELS)
def test_the_estimate_of_memory_grows_with_what_takes_memory(name: str) -> None:
    kind = model_named(name)
    small = estimate_memory(kind, {}, (10_000, 20, 8), 64)
    assert small > 100 * 2**20
    assert estimate_memory(kind, {}, (1_000_000, 20, 8), 64) > small + 8_000_000 * 4
    if kind.family == "network":
        assert estimate_memory(kind, {"hidden_size": 512}, (10_000, 20, 8), 64) > small
        assert estimate_memory(kind, {}, (10_000, 200, 8), 64) > small
        assert estimate_memory(kind, {}, (10_000, 20, 8), 1024) > small
    else:
        assert estimate_memory(kind, {"window_form": "flat"}, (10_000, 20, 8), 64) > small
        flat, bounded = {"window_form": "flat"}, {"window_form": "flat", "matrix_mib": 16}
        large = (1_000_000, 200, 8)
        assert estimate_memory(kind, bounded, large, 64) < estimate_memory(kind, flat, large, 64) - 900 * 2**20
