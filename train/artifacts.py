"""Trained models as files: safetensors, skops or JSON beside a card, never a pickle; no file is read unproven.

digests = save_model(folder, trainer, card)      # kept by whoever registers the model
predictor = load_model(folder, digests)          # refuses by name what is damaged or another's
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.folders import place, private_name, staged_folder
from core.plain import plain
from train.models import Array, Predictor, Trainer, model_named
from train.progress import AnswerScale

CARD = "card.json"
_FILES = {"network": "weights.safetensors", "forest": "model.skops", "boosting": "model.json"}


def save_model(folder: Path, trainer: Trainer, card: Mapping[str, Any]) -> dict[str, str]:
    """Write the model and its card into `folder`, which appears whole or not at all; the SHA-256 of each file.

    What a killed attempt left under that name is replaced. Raises DiskError.
    """
    with staged_folder(folder.parent) as staged:
        digests = write_model(staged, trainer, card)
        if folder.exists():
            aside = folder.with_name(private_name())
            folder.rename(aside)
            place(staged, folder)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            place(staged, folder)
    return digests


def write_model(staged: Path, trainer: Trainer, card: Mapping[str, Any]) -> dict[str, str]:
    """Write the files into a folder of the caller's, who places it (`core.folders.keep`); their SHA-256.

    The card gets what a loader must know as `model`.
    """
    name, content = trainer.model_file()
    told = {**card, "model": trainer.description(), "remarks": trainer.remarks}
    files = {name: content, CARD: json.dumps(plain(told), indent=2, allow_nan=False).encode()}
    for file, written in files.items():
        (staged / file).write_bytes(written)
    return {file: hashlib.sha256(written).hexdigest() for file, written in files.items()}


def load_model(folder: Path, digests: Mapping[str, str]) -> LoadedModel:
    """The model in `folder`, proven to be the one whose files had `digests`.

    Raises ModelError naming the file that is gone, damaged, another model's, or not accounted for. What is
    loaded are the bytes that were compared, so that a file swapped in between does no harm.
    """
    contents = {name: _proven(folder / name, digest) for name, digest in digests.items()}
    card = json.loads(_needed(contents, CARD, folder))
    told = card["model"]
    content = _needed(contents, _FILES[model_named(told["kind"]).family], folder)
    scale = AnswerScale(tuple(told["classes"]), told["target_mean"], told["target_deviation"])
    return LoadedModel(card, _loaders()[model_named(told["kind"]).family](told, scale, content))


@dataclass(frozen=True)
class LoadedModel:
    """A model from its files: it answers as the trainer did that saved it."""

    card: dict[str, Any]
    predictor: Predictor

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        """Probabilities (n, classes) or values (n,); see `train.models.Predictor.predict`."""
        return self.predictor.predict(features_scaled, ends)


def _proven(file: Path, digest: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The model file {file} cannot be read: {error.strerror or error}.",
            "Restore it from a backup, roll back to an earlier model, or train again.",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ModelError(
            f"The model file {file} is not the one that was saved: its SHA-256 is {found[:12]}…, not {digest[:12]}….",
            "Restore it from a backup, roll back to an earlier model, or train again.",
        )
    return content


def _needed(contents: Mapping[str, bytes], name: str, folder: Path) -> bytes:
    if name not in contents:
        raise ModelError(
            f"No SHA-256 is registered for {folder / name}, so it is not loaded.", "Register the model again."
        )
    return contents[name]


def _loaders() -> dict[str, Any]:
    return {"network": _Network, "forest": _Forest, "boosting": _Boosting}


class _Network:
    """A network on the processor: a few bars at a time, it answers there as fast as on a device."""

    def __init__(self, told: Mapping[str, Any], scale: AnswerScale, content: bytes) -> None:
        from safetensors.torch import load

        from train.networks import build_network

        self._network = build_network(told["kind"], told["values"], len(told["columns"]), scale.outputs)
        self._network.load_state_dict(load(content))
        self._scale, self._length = scale, int(told["length"])

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        from train.loop import network_answers

        return network_answers(self._network, self._scale, features_scaled, ends, self._length)


class _Forest:
    def __init__(self, told: Mapping[str, Any], scale: AnswerScale, content: bytes) -> None:
        from train.estimators import load_forest

        self._forest, self._scale, self._told = load_forest(content), scale, told

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        from train.estimators import answers_of_forest

        form, length = str(self._told["values"]["window_form"]), int(self._told["length"])
        return answers_of_forest(self._forest, self._scale, features_scaled, ends, length, form=form)


class _Boosting:
    def __init__(self, told: Mapping[str, Any], scale: AnswerScale, content: bytes) -> None:
        from train.estimators import booster_of

        self._booster, self._scale, self._told = booster_of(content), scale, told

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        from train.estimators import answers_of_booster

        form, length = str(self._told["values"]["window_form"]), int(self._told["length"])
        return answers_of_booster(self._booster, self._scale, features_scaled, ends, length, form=form)
