"""Samples divided in time: training first, then validation, then test, with nothing shared across a boundary.

A training sample's target reads `horizon` rows after its end, a validation sample's window `length` − 1 rows
before its own. Between the last of one part and the first of the next so many ends are left out that the two
never meet. Source: M. López de Prado, Advances in Financial Machine Learning, 2018, ch. 4 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InputError
from train.targets import refuse_uncountable
from train.windows import Features, Floats, Rows, Samples

_ROWS_SCALED_TOGETHER = 65_536  # float64 of so many rows is what scaling needs beside its result
LEAST_SAMPLES = 2  # fewer train or judge nothing


@dataclass(frozen=True)
class Split:
    """Row numbers at which the windows of each part end, ascending.

    `purge` is the horizon of the target and `embargo` what is kept free beyond it, both in rows: the last target of
    a part ends at least `embargo` + 1 rows before the first window of the next part begins.
    """

    train: Rows
    validation: Rows
    test: Rows
    purge: int
    embargo: int


@dataclass(frozen=True)
class Scaler:
    """Mean and deviation (ddof 0) of each column over `rows` rows; what was constant there becomes 0."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rows: int

    def apply(self, features: np.ndarray[Any, Any], out: Features | None = None) -> Features:
        """`features`, whose last axis are the columns, centred and scaled: float32 of the same shape.

        `out` may be `features` itself, which then holds the scaled values and nothing is allocated. Raises
        InputError when the number of columns is another one.
        """
        if features.shape[-1] != len(self.columns):
            raise InputError(
                f"{features.shape[-1]} columns cannot be scaled as {len(self.columns)}.",
                f"Give the columns that were fitted: {', '.join(self.columns)}.",
            )
        scaled: Features = np.empty(features.shape, dtype=np.float32) if out is None else out
        if not scaled.flags.c_contiguous:
            raise InputError("The array to fill is not in one piece.", "Pass an array as numpy.empty makes it.")
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        divisor = np.where(deviation > 0, deviation, np.inf)
        whole = features.reshape(-1, len(mean))
        into = scaled.reshape(-1, len(mean))
        for begin in range(0, len(whole), _ROWS_SCALED_TOGETHER):
            part = slice(begin, begin + _ROWS_SCALED_TOGETHER)
            into[part] = (whole[part] - mean) / divisor
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, to the last bit."""
        return {
            "columns": list(self.columns),
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "rows": self.rows,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Scaler:
        """What `to_dict` gave."""
        return cls(
            tuple(stored["columns"]),
            tuple(float(value) for value in stored["mean"]),
            tuple(float(value) for value in stored["deviation"]),
            int(stored["rows"]),
        )


def split_in_time(samples: Samples, validation_split: float = 0.2, test_split: float = 0.2, embargo: int = 0) -> Split:
    """The last `test_split` of the samples, the `validation_split` before them, and what comes before that.

    Both are fractions of all samples, and either may be 0. Raises InputError when a part that is asked for
    would be left with fewer than two samples.
    """
    for name, value in (("validation_split", validation_split), ("test_split", test_split)):
        if not 0 <= value < 1:
            raise InputError(f"{name}={value!r} cannot be used.", "Give a fraction from 0 up to, not including, 1.")
    if validation_split + test_split >= 1:
        raise InputError(
            f"validation_split={validation_split:g} and test_split={test_split:g} leave nothing to train on.",
            "Let them add up to less than 1; 0.2 and 0.2 are usual.",
        )
    refuse_uncountable("embargo", embargo, 0, "Keep a whole number of bars free, 0 or more.")
    count = len(samples.ends)
    tested, validated = (_share(count, part) for part in (test_split, validation_split))
    return _split(samples, samples.ends[: count - tested], samples.ends[count - tested :], validated, embargo)


def walk_forward(
    samples: Samples, folds: int, validation_split: float = 0.2, embargo: int = 0, *, rolling: bool = False
) -> list[Split]:
    """`folds` splits whose tests follow one another without overlap and cover all but the first of folds + 1 parts.

    Each trains on everything before its test, or with `rolling` on as many samples before it as the first fold
    had; the last `validation_split` of those validates. Raises InputError when a fold is left without samples.
    """
    refuse_uncountable("folds", folds, 1, "Walk forward over a whole number of folds, 1 or more.")
    if not 0 <= validation_split < 1:
        raise InputError(
            f"validation_split={validation_split!r} cannot be used.", "Give a fraction from 0 up to, not including, 1."
        )
    refuse_uncountable("embargo", embargo, 0, "Keep a whole number of bars free, 0 or more.")
    bounds = np.linspace(0, len(samples.ends), folds + 2).round().astype("int64")
    splits = []
    for fold in range(1, folds + 1):
        first = bounds[fold] - bounds[1] if rolling else 0
        history = samples.ends[first : bounds[fold]]
        test = samples.ends[bounds[fold] : bounds[fold + 1]]
        splits.append(_split(samples, history, test, _share(len(history), validation_split), embargo))
    return splits


def rows_of_windows(ends: Rows, length: int, rows: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of `rows` rows the windows that end at `ends` touch."""
    steps = np.zeros(rows + 1, dtype=np.int64)
    np.add.at(steps, ends - length + 1, 1)
    np.add.at(steps, ends + 1, -1)
    return np.cumsum(steps[:-1]) > 0


def effective_size(samples: Samples, ends: Rows) -> float:
    """How many independent samples those at `ends` are worth: the sum of their uniqueness.

    The uniqueness of a sample is the mean, over the rows its target spans, of one over the number of targets that
    span the row too. A barrier is counted with its whole horizon, so that of a triple barrier is a lower bound.
    Source: M. López de Prado, Advances in Financial Machine Learning, 2018, ch. 4.
    """
    horizon = samples.spec.horizon
    steps = np.zeros(len(samples.target) + 2, dtype=np.int64)
    np.add.at(steps, ends + 1, 1)
    np.add.at(steps, ends + horizon + 1, -1)
    spanning = np.cumsum(steps)
    shares = np.concatenate([[0.0], np.cumsum(1.0 / np.maximum(spanning, 1))])
    return float((shares[ends + horizon + 1] - shares[ends + 1]).sum() / horizon)


def fit_scaler(samples: Samples, split: Split) -> Scaler:
    """Mean and deviation of each column over the rows that windows of the training part touch, and no others.

    A row that many windows share counts once.
    """
    touched = rows_of_windows(split.train, samples.length, len(samples.features))
    figures = [_mean_and_deviation(samples.features[touched, place]) for place in range(samples.features.shape[1])]
    means, deviations = zip(*figures, strict=True)
    return Scaler(samples.columns, means, deviations, int(touched.sum()))


def _share(count: int, fraction: float) -> int:
    """So many of `count`, at least one where any are asked for: too few are refused then, and not left out."""
    return max(round(count * fraction), 1 if fraction else 0)


def _split(samples: Samples, history: Rows, test: Rows, validated: int, embargo: int) -> Split:
    """`history` cut before its last `validated` samples, and everything purged that reaches into a later part."""
    train, validation = history[: len(history) - validated], history[len(history) - validated :]
    split = Split(
        _purged(samples, train, (validation, test), embargo),
        _purged(samples, validation, (test,), embargo),
        test,
        samples.spec.horizon,
        embargo,
    )
    asked = {"training": (train, split.train), "validation": (validation, split.validation), "test": (test, test)}
    for part, (before, after) in asked.items():
        if len(after) < LEAST_SAMPLES and (len(before) or part == "training"):
            raise InputError(
                f"The {part} part keeps {len(after)} of its {len(before)} samples: windows of {samples.length} bars, "
                f"a horizon of {samples.spec.horizon} and an embargo of {embargo} must stay apart.",
                "Take more bars, a shorter window or horizon, or larger parts.",
            )
    return split


def _purged(samples: Samples, ends: Rows, later: Sequence[Rows], embargo: int) -> Rows:
    """Those of `ends` whose target, and the embargo after it, is over before any later window begins."""
    first = min((part[0] for part in later if len(part)), default=None)
    if first is None:
        return ends
    begins = first - samples.length + 1
    kept: Rows = ends[ends + samples.spec.horizon + embargo < begins]
    return kept


def _mean_and_deviation(values: Features) -> tuple[float, float]:
    exact: Floats = values.astype("float64")  # in which sums of float32 lose nothing: constants have no deviation
    return float(exact.mean()), float(exact.std())
