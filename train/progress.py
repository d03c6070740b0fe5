"""What happened so far and what follows from it: the best epoch, the next learning rate, whether training is over.

All of it is a function of the records alone, so that a resumed run decides as an unkilled one would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InputError
from train.models import EpochRecord, ModelKind, TrainSettings, Values
from train.splits import Split
from train.targets import TargetSpec
from train.windows import Samples

Array = np.ndarray[Any, Any]
Floats = np.ndarray[Any, np.dtype[np.float64]]
_PLATEAU_FACTOR = 0.5
_SMALLEST_SHARE = 1e-3  # of the first learning rate
_CERTAIN = 1e-7  # a probability of 0 would make the log loss infinite


def best_record(records: Sequence[EpochRecord]) -> EpochRecord | None:
    """The last record that was the best when it was made."""
    return next((record for record in reversed(records) if record.is_best), None)


def is_over(settings: TrainSettings, records: Sequence[EpochRecord]) -> bool:
    """Whether the epochs are used up, or none of the last `patience` brought a lower validation loss."""
    best = best_record(records)
    if len(records) >= settings.epochs:
        return True
    return bool(settings.early_stopping and best and len(records) - best.epoch >= settings.patience)


def learning_rate(settings: TrainSettings, records: Sequence[EpochRecord]) -> float:
    """The rate of the epoch that follows `records`.

    `cosine` falls from the first rate towards 0 over all epochs. `plateau` halves it whenever half the patience
    has passed since the best epoch or the last halving, down to a thousandth of the first.
    """
    first = settings.learning_rate
    if settings.schedule == "cosine":
        return first * (1 + math.cos(math.pi * len(records) / settings.epochs)) / 2
    if settings.schedule == "none":
        return first
    waited, rate = 0, first
    for record in records:
        waited = 0 if record.is_best else waited + 1
        if waited >= max(1, settings.patience // 2):
            waited, rate = 0, max(rate * _PLATEAU_FACTOR, first * _SMALLEST_SHARE)
    return rate


def next_record(
    records: Sequence[EpochRecord],
    losses: tuple[float, float],
    score: tuple[float, str],
    *,
    rate: float,
    seconds: float,
    samples: int,
) -> EpochRecord:
    """The record after `records`, from its training and validation loss, and the metric with its name.

    Raises InputError when the training loss is no number: what follows would be none either.
    """
    trained, validated = losses
    epoch = len(records) + 1
    if not math.isfinite(trained):
        raise InputError(
            f"The training loss of epoch {epoch} is {trained}.",
            "Lower learning_rate, set clip_norm to 1, and look for extreme values among the features.",
        )
    best = best_record(records)
    # Without a validation part the last epoch is as good a choice as any.
    is_best = best is None or math.isnan(validated) or validated < best.validation_loss
    speed = samples / seconds if seconds > 0 else math.nan
    return EpochRecord(epoch, trained, validated, *score, rate, seconds, speed, is_best)


@dataclass(frozen=True)
class AnswerScale:
    """What raw outputs mean: logits of `classes`, or values in deviations of the training targets from their mean."""

    classes: tuple[int, ...]
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def outputs(self) -> int:
        """How many numbers a model answers with: one a class, or the value."""
        return len(self.classes) or 1

    def answers(self, raw: Floats) -> Floats:
        """Of `raw` (n, outputs) the probabilities (n, classes), or the values (n,) in the target's unit."""
        if self.classes:
            return softmax(raw)
        values: Floats = raw[:, 0] * self.deviation + self.mean
        return values


class Goal:
    """What answers are held against: targets as losses take them, weights of the classes, losses and metric."""

    def __init__(self, samples: Samples, split: Split, *, class_weights: bool) -> None:
        self.spec: TargetSpec = samples.spec
        self.classes = samples.spec.classes
        self.scale = AnswerScale(self.classes)
        self.weights: Floats = np.ones(max(1, len(self.classes)))
        if self.classes:
            # A byte a row: there may be fewer bytes of features than eight. Where nothing is known any class will do.
            self.targets: Array = np.zeros(len(samples.target), dtype=np.int8)
            for place, value in enumerate(self.classes):
                self.targets[samples.target == value] = place
            counts = np.bincount(self.targets[split.train], minlength=len(self.classes))
            if (counts > 0).sum() < 2:
                only = self.classes[int(counts.argmax())]
                raise InputError(
                    f"Every target of the training part ({self.spec.words}) is {only}.",
                    "Give more bars, or another target.",
                )
            if class_weights:
                self.weights = np.where(counts > 0, counts.sum() / np.maximum(counts, 1) / (counts > 0).sum(), 0.0)
        else:
            known = samples.target[split.train]
            if known.min() == known.max():
                raise InputError(
                    f"Every target of the training part ({self.spec.words}) is {known[0]:g}.",
                    "Give more bars, or another target.",
                )
            self.scale = AnswerScale((), float(known.mean()), float(known.std()))
            self.targets = ((samples.target - self.scale.mean) / self.scale.deviation).astype(np.float32)

    def loss(self, answers: Floats, ends: Array) -> float:
        """The weighted log loss, or the squared error in variances of the training targets; NaN of no answers."""
        if not len(ends):
            return math.nan
        if not self.classes:
            standard = (answers - self.scale.mean) / self.scale.deviation
            return float(np.mean((standard - self.targets[ends]) ** 2))
        right = self.targets[ends]
        weights = self.weights[right]
        costs = -np.log(np.clip(answers[np.arange(len(right)), right], _CERTAIN, 1))
        return float((weights * costs).sum() / weights.sum()) if weights.sum() > 0 else math.nan

    def score(self, answers: Floats, ends: Array) -> tuple[float, str]:
        """AUC (of three classes the mean of each against the others), or the negative mean absolute error."""
        if not self.classes:
            missed = answers - (self.targets[ends] * self.scale.deviation + self.scale.mean)
            return (-float(np.abs(missed).mean()) if len(ends) else math.nan), "-MAE"
        right = self.targets[ends]
        if len(self.classes) == 2:
            return auc(right == 1, answers[:, 1]), "AUC"
        each = [auc(right == place, answers[:, place]) for place in range(len(self.classes))]
        known = [value for value in each if not math.isnan(value)]
        return (float(np.mean(known)) if known else math.nan), "AUC"


def described(
    kind: ModelKind, values: Values, samples: Samples, scale: AnswerScale, records: Sequence[EpochRecord]
) -> dict[str, Any]:
    """What a loader must know of a model, as JSON holds it."""
    best = best_record(records)
    return {
        "kind": kind.name,
        "values": dict(values),
        "columns": list(samples.columns),
        "length": samples.length,
        "classes": list(scale.classes),
        "target_mean": scale.mean,
        "target_deviation": scale.deviation,
        "best_epoch": best.epoch if best else 0,
    }


def softmax(raw: Floats) -> Floats:
    """Probabilities (n, classes) from logits."""
    powers = np.exp(raw - raw.max(axis=1, keepdims=True)) if len(raw) else raw
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def auc(is_positive: Array, scores: Floats) -> float:
    """How likely a positive scores above a negative, ties counting half; NaN where one of them is missing."""
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # of equal scores, the mean of their ranks
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
