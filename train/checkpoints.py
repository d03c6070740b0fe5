"""Checkpoints: all that training needs to go on, in one file that is replaced whole; arrays and JSON, no pickle."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError, InterventionError
from core.folders import maker_is_dead, write_file
from train.models import EpochRecord, ModelKind, TrainSettings
from train.splits import Scaler, Split
from train.windows import Samples

Arrays = Mapping[str, np.ndarray[Any, Any]]
_FILE = "state.safetensors"
# They decide where and how fast, not what is trained; the last bits may differ where they change.
_FREE = ("threads", "device")


def identity(
    kind: ModelKind, settings: TrainSettings, samples: Samples, split: Split, scaler: Scaler
) -> dict[str, Any]:
    """What a checkpoint belongs to: the model, its settings, and the data by their hash."""
    data = hashlib.sha256(json.dumps(scaler.to_dict(), sort_keys=True).encode())
    for values in (samples.features, samples.target, split.train, split.validation):
        data.update(np.ascontiguousarray(values).data)
    asked = {**asdict(settings), "parameters": kind.values(settings.parameters)}
    return {
        "model": kind.name,
        **{name: value for name, value in asked.items() if name not in _FREE},
        "length": samples.length,
        "data": data.hexdigest(),
    }


def write_checkpoint(
    folder: Path, identity: Mapping[str, Any], records: Sequence[EpochRecord], state: Mapping[str, Any], arrays: Arrays
) -> None:
    """Replace the checkpoint in `folder`; a reader sees the old or the new one. Raises DiskError."""
    from safetensors.numpy import save

    told = json.dumps(
        {"identity": identity, "records": [_jsoned(record) for record in records], "state": state}, allow_nan=False
    )
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    write_file(folder / _FILE, save(ordered, {"told": told, "digest": _digest(told, ordered)}))


def read_checkpoint(
    folder: Path, identity: Mapping[str, Any]
) -> tuple[list[EpochRecord], dict[str, Any], dict[str, np.ndarray[Any, Any]]] | None:
    """Records, state and arrays of the checkpoint in `folder`; None where there is none.

    Raises InputError when it belongs to something else than `identity`, InterventionError when it is damaged.
    """
    file = folder / _FILE
    with suppress(OSError):
        for entry in folder.iterdir():
            if maker_is_dead(entry.name):  # what a killed process was writing
                entry.unlink(missing_ok=True)
    if not file.is_file():
        return None
    told, arrays = _read(file)
    found = json.loads(told)
    for name, value in found["identity"].items():
        if identity.get(name) != value:
            raise InputError(
                f"The checkpoint {file} was made with {name}={value!r}, not {identity.get(name)!r}.",
                "Begin anew, or give what it was made with.",
            )
    return [_record(record) for record in found["records"]], found["state"], arrays


def _read(file: Path) -> tuple[str, dict[str, np.ndarray[Any, Any]]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = file.read_bytes()
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        told, digest = header["__metadata__"]["told"], header["__metadata__"]["digest"]
        arrays = load(content)
        sound = digest == _digest(told, {name: arrays[name] for name in sorted(arrays)})
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file) from error
    if not sound:
        raise _damaged(file)
    return told, arrays


def _damaged(file: Path) -> InterventionError:
    return InterventionError(f"The checkpoint {file} is damaged.", "Remove it and begin the training anew.")


def _digest(told: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(told.encode())
    for name, values in arrays.items():
        digest.update(f"{name}{values.dtype}{values.shape}".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _jsoned(record: EpochRecord) -> dict[str, Any]:
    """The record with None for what is no number, which JSON does not know."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(record).items()
    }


def _record(stored: Mapping[str, Any]) -> EpochRecord:
    known: dict[str, Any] = {name: math.nan if value is None else value for name, value in stored.items()}
    return EpochRecord(**known)
