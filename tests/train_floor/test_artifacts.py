from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import DiskError, InterventionError
from train import artifacts
from train.artifacts import load_model, save_model
from train.models import MODELS, TrainSettings, make_trainer, model_named
from train.splits import Scaler, Split
from train.windows import Samples

Parts = tuple[Samples, Split, Scaler]
Learnable = Callable[..., Parts]

FILES = {"network": "weights.safetensors", "forest": "model.skops", "boosting": "model.json"}


def trained(parts: Parts, name: str, seed: int = 1) -> Any:
    kind = model_named(name)
    small = {"hidden_size": 6} if kind.family == "network" else {"trees_per_epoch": 3, "max_depth": 4}
    settings = TrainSettings(epochs=1, threads=1, seed=seed, device="cpu", parameters=small)
    trainer = make_trainer(kind, settings, *parts)
    list(trainer.epochs(None, resume=False))
    return trainer


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["direction", "return"])
def test_a_model_from_its_files_answers_as_the_one_that_was_saved(
    learnable: Learnable, tmp_path: Path, name: str, kind: str
) -> None:
    samples, split, scaler = parts = learnable(kind)
    trainer = trained(parts, name)
    digests = save_model(tmp_path / "model", trainer, {"note": "first"})
    file = FILES[model_named(name).family]
    assert set(digests) == {file, "card.json"} == {entry.name for entry in (tmp_path / "model").iterdir()}
    for entry, digest in digests.items():
        assert hashlib.sha256((tmp_path / "model" / entry).read_bytes()).hexdigest() == digest
    loaded = load_model(tmp_path / "model", digests)
    scaled = scaler.apply(samples.features)
    assert (loaded.predict(scaled, split.test) == trainer.predict(scaled, split.test)).all()
    assert loaded.card["note"] == "first"
    assert loaded.card["model"] == json.loads(json.dumps(trainer.description()))


@pytest.mark.parametrize("name", ["GRU", "Random Forest", "XGBoost"])
def test_a_damaged_or_swapped_file_is_refused_by_name(learnable: Learnable, tmp_path: Path, name: str) -> None:
    parts = learnable()
    digests = save_model(tmp_path / "one", trained(parts, name), {})
    save_model(tmp_path / "two", trained(parts, name, seed=2), {})
    file = FILES[model_named(name).family]
    content = bytearray((tmp_path / "one" / file).read_bytes())
    (tmp_path / "one" / file).write_bytes((tmp_path / "two" / file).read_bytes())
    with pytest.raises(InterventionError, match=rf"{file} is not the one that was saved"):
        load_model(tmp_path / "one", digests)
    content[len(content) // 2] ^= 1
    (tmp_path / "one" / file).write_bytes(content)
    with pytest.raises(InterventionError, match=rf"{file} is not the one that was saved"):
        load_model(tmp_path / "one", digests)
    (tmp_path / "one" / file).unlink()
    with pytest.raises(InterventionError, match=rf"{file} cannot be read"):
        load_model(tmp_path / "one", digests)


def test_a_file_that_nobody_registered_is_not_loaded(learnable: Learnable, tmp_path: Path) -> None:
    digests = save_model(tmp_path / "model", trained(learnable(), "GRU"), {})
    with pytest.raises(InterventionError, match=r"No SHA-256 is registered for .*weights\.safetensors"):
        load_model(tmp_path / "model", {"card.json": digests["card.json"]})


def test_what_a_killed_attempt_left_is_replaced_and_nothing_stays_beside(learnable: Learnable, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "model"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"half")
    digests = save_model(folder, trained(learnable(), "GRU"), {})
    assert load_model(folder, digests)
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_a_model_that_cannot_be_written_leaves_nothing(
    learnable: Learnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained(learnable(), "GRU")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(artifacts, "place", full)
    with pytest.raises(DiskError, match="The disk is full"):
        save_model(tmp_path / "models" / "model", trainer, {})
    assert list((tmp_path / "models").iterdir()) == []


def test_no_model_is_a_pickle(learnable: Learnable, tmp_path: Path) -> None:
    for number, name in enumerate(("LSTM", "Random Forest", "XGBoost")):
        digests = save_model(tmp_path / str(number), trained(learnable(), name), {})
        for file in digests:
            content = (tmp_path / str(number) / file).read_bytes()
            assert not content.startswith(b"\x80")
            assert b".pkl" not in content
