"""The model card: what a trained model says about itself, and what it takes to ask it again.

Every figure stands beside the naive baseline and beside the same figure under permuted labels. The threshold is
chosen on the validation part; the test part is judged once, after training has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.plain import plain
from data.versions import DatasetVersion
from train.evaluation import (
    baseline,
    choose_threshold,
    evaluate_classes,
    evaluate_values,
    permutation_importance,
    permuted_null,
)
from train.models import Trainer
from train.splits import Scaler, Split, effective_size
from train.targets import TargetSpec
from train.training_job import TrainingJob
from train.windows import Features, Floats, Rows, Samples

FORMAT = 1
NULL_ROUNDS = 500
_IMPORTANCE_SAMPLES = 4_000  # the newest of the test part; three rounds a column over more would take longer than told


@dataclass(frozen=True)
class Trained:
    """A trainer at its end, and what it was given."""

    trainer: Trainer
    samples: Samples
    split: Split
    scaler: Scaler


def headline_of(spec: TargetSpec) -> str:
    """The one figure by which models of a task are told apart: `auc`, higher is better, or `mae`, lower is."""
    return "auc" if spec.is_classification else "mae"


def describe_training(asked: TrainingJob, version: DatasetVersion, trained: Trained) -> dict[str, Any]:
    """What was trained on what: the part of the card that predictions read, and that makes the training repeatable."""
    samples, split, trainer = trained.samples, trained.split, trained.trainer
    return {
        "format": FORMAT,
        "job": asked.model_dump(mode="json"),
        "dataset": {
            "id": version.id,
            "hash": version.content_hash,
            "label": version.label,
            "rows": version.rows,
            "verdict": version.verdict,
            "attribution": version.attribution,
            "day_cut": version.day_cut,
        },
        "symbol": samples.symbol,
        "timeframe": samples.timeframe,
        "features": list(samples.columns),
        "window_length": samples.length,
        "target": {
            "kind": samples.spec.kind,
            "horizon": samples.spec.horizon,
            "barrier_atr": samples.spec.barrier_atr,
            "classes": list(samples.spec.classes),
            "words": samples.spec.words,
        },
        "scaler": trained.scaler.to_dict(),
        "parts": parts_of(samples, split),
        "purge": split.purge,
        "embargo": split.embargo,
        "seed": asked.seed,
        "epochs": len(trainer.records),
        "best_epoch": next((each.epoch for each in reversed(trainer.records) if each.is_best), None),
        "remarks": list(trainer.remarks),
        "device": _device_of(trainer),
        "model": plain(trainer.description()),
    }


def _device_of(trainer: Trainer) -> dict[str, Any]:
    """What trained it; trees are grown on the processor."""
    device = getattr(trainer, "device", None)
    if device is None:
        return {"device": "cpu"}
    from train.devices import describe_device  # torch is there already

    return describe_device(str(device))


def parts_of(samples: Samples, split: Split) -> dict[str, dict[str, Any]]:
    """Each part: its samples, what they are worth, and from which bar to which it has seen; UTC text.

    A part begins with its first window and ends with the last bar that a target of it reads.
    """
    found = {}
    last = len(samples.times) - 1
    for name in ("train", "validation", "test"):
        ends: Rows = getattr(split, name)
        if len(ends):
            first, until = int(ends[0]) - samples.length + 1, min(int(ends[-1]) + samples.spec.horizon, last)
            found[name] = {
                "samples": len(ends),
                "effective_samples": round(effective_size(samples, ends), 1),
                "from": samples.times[first].isoformat(),
                "first_prediction": samples.times[int(ends[0])].isoformat(),
                "until": samples.times[until].isoformat(),
            }
    return found


def judge(trained: Trained, seed: int) -> dict[str, Any]:
    """Figures on validation and test, of the baseline and of permuted labels, and what each feature is worth."""
    trainer, samples, split, scaler = trained.trainer, trained.samples, trained.split, trained.scaler
    spec, headline = samples.spec, headline_of(samples.spec)
    scaled = scaler.apply(samples.features)
    naive = baseline(samples, split)
    threshold = None
    validated: dict[str, Any] | None = None
    if len(split.validation):
        on_validation = trainer.predict(scaled, split.validation)
        truth = samples.target[split.validation]
        if len(spec.classes) == 2:
            threshold = choose_threshold(truth, on_validation)
        validated = evaluate(spec, truth, on_validation, threshold)
    truth, predicted = samples.target[split.test], trainer.predict(scaled, split.test)

    def predict(features: Features, ends: Rows) -> Floats:
        return trainer.predict(scaler.apply(features), ends)

    newest = split.test[-_IMPORTANCE_SAMPLES:]
    can_be_told = not spec.is_classification or len(np.unique(samples.target[newest])) == len(spec.classes)
    return {
        "threshold": threshold,
        "metrics": {
            "headline": headline,
            "validation": validated,
            "test": evaluate(spec, truth, predicted, threshold),
            "baseline": {"words": naive.words, **evaluate(spec, truth, naive.predict(split.test), None)},
            "null": permuted_null(truth, predicted, headline, NULL_ROUNDS, seed, block=samples.length + spec.horizon),
        },
        "importance": permutation_importance(predict, samples, newest, headline, seed) if can_be_told else {},
    }


def judge_fold(trained: Trained, number: int) -> dict[str, Any]:
    """The figures of one walk-forward fold on its own test, beside its baseline."""
    trainer, samples, split = trained.trainer, trained.samples, trained.split
    scaled, spec = trained.scaler.apply(samples.features), samples.spec
    threshold = None
    if len(split.validation) and len(spec.classes) == 2:
        threshold = choose_threshold(samples.target[split.validation], trainer.predict(scaled, split.validation))
    truth = samples.target[split.test]
    headline = headline_of(spec)
    test = evaluate(spec, truth, trainer.predict(scaled, split.test), threshold)
    naive = evaluate(spec, truth, baseline(samples, split).predict(split.test), None)
    return {
        "fold": number,
        "metric_name": headline,
        "metric": test[headline],
        "baseline": naive[headline],
        "parts": parts_of(samples, split),
        "test": {name: value for name, value in test.items() if isinstance(value, (int, float))},
    }


def evaluate(spec: TargetSpec, truth: Floats, predicted: Floats, threshold: float | None) -> dict[str, Any]:
    """The figures that fit the target."""
    if spec.is_classification:
        return evaluate_classes(truth, predicted, spec.classes, threshold)
    return evaluate_values(truth, predicted)
