"""What predictions are worth: figures beside a naive baseline and beside the same figures under permuted labels.

All is reckoned in numpy. The threshold is chosen on validation and handed in; nothing here chooses on the data it
judges. A figure that cannot be told, such as the AUC of one class, is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import InputError
from core.names import unknown_name
from train.splits import Split
from train.windows import Features, Floats, Rows, Samples

CALIBRATION_BINS = 10
IMPORTANCE_ROUNDS = 3
_EPSILON = float(np.finfo(np.float64).eps)
# Takes features of the shape of `samples.features` (unscaled) and ends; gives probabilities or values at the ends.
Predict = Callable[[Features, Rows], Floats]


def evaluate_classes(
    y_true: Floats, probabilities: Floats, classes: Sequence[int], threshold: float | None = None
) -> dict[str, Any]:
    """Figures of probabilities (n, classes), whose columns are in the order of `classes`.

    `auc`: the chance that one of the higher class is ranked above one of the lower; of three classes the mean of
    each against the rest. `log_loss` (nats) and `brier` (of two classes the mean square of p − y, else the sum over
    classes, 0 to 2) are better when lower. `accuracy`, `balanced_accuracy` and `confusion` (rows: true, columns:
    predicted) follow from `threshold` on the probability of the second of two classes (0.5 without one), of more
    from the likeliest class. `calibration` says, in bins of equally many samples, what was predicted and what
    came, of each class or of the second of two; `calibration_error` is the mean distance of the two.
    """
    known = np.asarray(classes)
    given = _checked(y_true, probabilities, len(known))
    places = np.searchsorted(known, y_true)
    if not np.isin(y_true, known).all():
        wrong = np.asarray(y_true)[~np.isin(y_true, known)][0]
        raise InputError(f"{wrong!r} is none of the classes {list(classes)}.", "Evaluate on known targets only.")
    at = 0.5 if threshold is None else float(threshold)
    chosen = (given[:, 1] >= at).astype("int64") if len(known) == 2 else given.argmax(axis=1)
    confusion = np.zeros((len(known), len(known)), dtype=np.int64)
    np.add.at(confusion, (places, chosen), 1)
    counts = confusion.sum(axis=1)
    recalls = np.diag(confusion)[counts > 0] / counts[counts > 0]
    curves = {int(known[place]): _calibration(places == place, given[:, place]) for place in _told(len(known))}
    gaps = [
        abs(point["predicted"] - point["observed"]) * point["count"] for curve in curves.values() for point in curve
    ]
    return {
        "samples": len(places),
        "classes": [int(each) for each in known],
        "class_counts": [int(count) for count in counts],
        "auc": _auc_of_classes(given)(places),
        "log_loss": _log_loss_of(given)(places),
        "brier": _brier(places, given),
        "threshold": at if len(known) == 2 else None,
        "accuracy": float((places == chosen).mean()),
        "balanced_accuracy": float(recalls.mean()),
        "confusion": confusion.tolist(),
        "calibration": {str(each): curve for each, curve in curves.items()},
        "calibration_error": float(sum(gaps) / (len(places) * len(curves))),
    }


def evaluate_values(y_true: Floats, predicted: Floats) -> dict[str, Any]:
    """Figures of predicted numbers: `mae` and `rmse` in the target's unit, `r2` against the mean of `y_true`.

    `directional_accuracy` is the share of targets other than 0 whose sign was foreseen (a prediction of 0 foresees
    none); None where all targets have the same sign, as volatility has.
    """
    truth = np.asarray(y_true, dtype="float64")
    given = _checked(truth, predicted, None)
    errors = given - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    return {
        "samples": len(truth),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": 1.0 - float((errors**2).sum()) / spread if spread > 0 else None,
        "directional_accuracy": _directional_accuracy_of(given)(truth),
    }


def choose_threshold(y_true: Floats, probabilities: Floats) -> float:
    """The probability from which the second class is called, so that balanced accuracy is highest.

    Give validation samples, never those that are judged. `probabilities` are (n, 2), or (n,) of the second class;
    the threshold lies halfway between two of them, of equally good ones nearest to 0.5. With one class only it is 0.5.
    Source: W. J. Youden, Index for rating diagnostic tests, Cancer 3, 1950.
    """
    truth = np.asarray(y_true) == np.max(y_true, initial=-np.inf)
    given = np.asarray(probabilities, dtype="float64")
    scores = _checked(truth, given[:, 1] if given.ndim == 2 else given, None)
    if truth.all() or not truth.any():
        return 0.5
    order = np.argsort(scores, kind="stable")
    scores, truth = scores[order], truth[order]
    cuts = np.flatnonzero(np.diff(scores) > 0) + 1  # so many are below the threshold
    if not len(cuts):
        return 0.5
    missed = np.cumsum(truth)[cuts - 1]
    spared = cuts - missed
    gained = spared / (~truth).sum() - missed / truth.sum()
    thresholds = (scores[cuts - 1] + scores[cuts]) / 2
    best = thresholds[gained >= gained.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def permuted_null(
    y_true: Floats, scores: Floats, metric: str, rounds: int = 1000, seed: int = 0, *, block: int = 1
) -> dict[str, Any]:
    """What `metric` (one of `METRICS`) comes to when labels are permuted, so that scores can know nothing of them.

    Labels are permuted in blocks of `block` neighbours. Targets that overlap, and windows that do, are alike from
    bar to bar: permuted one by one they would make the null too narrow. Give about the window plus the horizon.
    `scores` are (n, classes), (n,) of the second of two classes 0 and 1, or (n,) predicted numbers.

    `mean` and `quantile_95` (the better end) describe the null, `observed` is the figure itself, `p_value` the share
    of rounds, itself counted among them, that came out as well. Source: P. Good, Permutation, Parametric and
    Bootstrap Tests of Hypotheses, 2005.
    """
    if rounds < 1 or block < 1:
        raise InputError(f"rounds={rounds!r} and block={block!r} cannot be used.", "Give 1 or more of each.")
    given = np.asarray(scores, dtype="float64")
    if metric not in _OF_VALUES and given.ndim == 1:
        given = np.column_stack([1 - given, given])
    measure, sign = _measure(metric, given)
    labels = _labels(np.asarray(y_true), metric, given)
    observed = measure(labels)
    rng = np.random.default_rng(seed)
    made = [measure(_permuted(labels, block, rng)) for _ in range(rounds)]
    null = np.array([value for value in made if value is not None])
    told = {"metric": metric, "rounds": rounds, "block": block, "seed": seed}
    if observed is None or not len(null):
        return {**told, "observed": None, "mean": None, "quantile_95": None, "p_value": None}
    return {
        **told,
        "observed": observed,
        "mean": float(null.mean()),
        "quantile_95": float(np.quantile(null, 0.95 if sign > 0 else 0.05)),
        "p_value": float((1 + (sign * null >= sign * observed - 1e-12).sum()) / (1 + len(null))),
    }


@dataclass(frozen=True)
class Baseline:
    """A naive prediction for every sample: `words` say which, `predict` gives it at some ends.

    Of classes, probabilities (n, classes): their shares in the training part. Of numbers, values (n,).
    """

    words: str
    constant: tuple[float, ...]
    last: Floats | None = field(default=None, repr=False)

    def predict(self, ends: Rows) -> Floats:
        """The prediction for the samples that end at `ends`."""
        if self.last is not None:
            known: Floats = self.last[ends]
            return np.where(np.isnan(known), self.constant[0], known)
        if len(self.constant) == 1:
            return np.full(len(ends), self.constant[0])
        return np.tile(np.array(self.constant), (len(ends), 1))


def baseline(samples: Samples, split: Split) -> Baseline:
    """What a model has to better: the share of each class in the training part, or the last value known.

    The last value of a return is 0, since the price stays where it is; that of volatility is the volatility of the
    horizon that has just ended, and where that is missing the mean of the training part.
    """
    trained = samples.target[split.train]
    if samples.spec.is_classification:
        shares = tuple(float((trained == each).mean()) for each in samples.spec.classes)
        return Baseline("class shares of the training part", shares)
    if samples.spec.kind == "return":
        return Baseline("the price stays where it is", (0.0,))
    last = np.full(len(samples.target), np.nan)
    last[samples.spec.horizon :] = samples.target[: -samples.spec.horizon]
    return Baseline(f"the {samples.spec.kind} of the horizon that has just ended", (float(trained.mean()),), last)


def permutation_importance(
    predict: Predict, samples: Samples, ends: Rows, metric: str, seed: int = 0, *, rounds: int = IMPORTANCE_ROUNDS
) -> dict[str, float]:
    """How much worse `metric` becomes when a column tells nothing any more, mean of `rounds`; the largest first.

    The column is turned round in time by a random number of bars, at least a window and a horizon: its values and
    their course from bar to bar stay what they were, only their place in time does not. `predict` takes features as
    those of `samples`, unscaled, and ends. Below 0 the model did better without. Source: L. Breiman, Random Forests,
    Machine Learning 45, 2001.
    """
    first = int(ends.min()) - samples.length + 1
    features = samples.features[first : int(ends.max()) + 1].copy()
    moved_ends = ends - first
    truth = samples.target[ends]
    rng = np.random.default_rng(seed)
    least = min(samples.length + samples.spec.horizon, len(features) // 3)

    def figure() -> float:
        scores = np.asarray(predict(features, moved_ends), dtype="float64")
        measure, sign = _measure(metric, scores)
        value = measure(_labels(truth, metric, scores))
        if value is None:
            raise InputError(
                f"The {metric} of these {len(ends)} samples cannot be told.", "Take a part that holds every class."
            )
        return sign * value

    whole = figure()
    lost: dict[str, float] = {}
    for place, name in enumerate(samples.columns):
        kept = features[:, place].copy()
        known = ~np.isnan(kept)
        count = int(known.sum())
        figures = []
        for _ in range(rounds):
            turned = int(rng.integers(least, max(least + 1, count - least + 1)))
            features[known, place] = np.roll(kept[known], turned)  # what is missing stays where it is missing
            figures.append(figure())
        features[:, place] = kept
        lost[name] = whole - float(np.mean(figures))
    return dict(sorted(lost.items(), key=lambda each: -each[1]))


Measure = Callable[[Any], float | None]


def _auc_of_classes(probabilities: Floats) -> Measure:
    """The AUC of places of classes; ranks are taken once, for labels that are permuted a thousand times."""
    ranks = {place: _ranks(probabilities[:, place]) for place in _told(probabilities.shape[1])}

    def measure(places: Rows) -> float | None:
        areas = [_area(ranks[place], places == place) for place in ranks]
        told = [area for area in areas if area is not None]
        return float(np.mean(told)) if len(told) == len(areas) else None

    return measure


def _log_loss_of(probabilities: Floats) -> Measure:
    logs = -np.log(np.clip(probabilities, _EPSILON, 1 - _EPSILON))
    return lambda places: float(logs[np.arange(len(places)), places].mean())


def _accuracy_of(probabilities: Floats) -> Measure:
    chosen = probabilities.argmax(axis=1)
    return lambda places: float((chosen == places).mean())


def _mae_of(predicted: Floats) -> Measure:
    return lambda truth: float(np.abs(predicted - truth).mean())


def _directional_accuracy_of(predicted: Floats) -> Measure:
    signs = np.sign(predicted)

    def measure(truth: Floats) -> float | None:
        moved = truth != 0
        if not (truth > 0).any() or not (truth < 0).any():
            return None
        return float((signs[moved] == np.sign(truth[moved])).mean())

    return measure


# Metric → how it is measured on given scores, and whether more (1) or less (−1) of it is better.
METRICS: dict[str, tuple[Callable[[Floats], Measure], int]] = {
    "auc": (_auc_of_classes, 1),
    "accuracy": (_accuracy_of, 1),
    "log_loss": (_log_loss_of, -1),
    "mae": (_mae_of, -1),
    "directional_accuracy": (_directional_accuracy_of, 1),
}
_OF_VALUES = {"mae", "directional_accuracy"}
# The classes that columns of probabilities stand for, by their number.
_CLASSES = {2: (0, 1), 3: (-1, 0, 1)}


def _measure(metric: str, scores: Floats) -> tuple[Measure, int]:
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    if (metric in _OF_VALUES) is not (scores.ndim == 1):
        kind = "predicted numbers (n,)" if metric in _OF_VALUES else "probabilities (n, classes)"
        raise InputError(f"{metric} cannot be told from scores of shape {scores.shape}.", f"Give {kind}.")
    make, sign = METRICS[metric]
    return make(scores), sign


def _labels(y_true: Floats, metric: str, scores: Floats) -> Any:
    """What a measure takes: numbers as they are, classes as their places."""
    if metric in _OF_VALUES:
        _checked(y_true, scores, None)
        return y_true
    _checked(y_true, scores, scores.shape[1])
    return np.searchsorted(np.asarray(_CLASSES.get(scores.shape[1], range(scores.shape[1]))), y_true)


def _permuted(labels: Any, block: int, rng: np.random.Generator) -> Any:
    """Blocks of neighbours in another order; where the blocks begin is chance too, round the end to the beginning."""
    turned = np.roll(labels, int(rng.integers(len(labels))))
    whole = len(labels) // block * block
    blocks = turned[:whole].reshape(-1, block)
    return np.concatenate([blocks[rng.permutation(len(blocks))].ravel(), turned[whole:]])


def _told(classes: int) -> Sequence[int]:
    """The columns worth telling: of two classes the second says what the first would."""
    return [1] if classes == 2 else range(classes)


def _ranks(scores: Floats) -> Floats:
    """Ranks from 1, equal scores sharing the mean of theirs."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: Floats = np.cumsum(counts) - (counts - 1) / 2
    return ranks[place]


def _area(ranks: Floats, is_in: np.ndarray[Any, np.dtype[np.bool_]]) -> float | None:
    """The area under the ROC curve: H. Mann and D. Whitney's U over the number of pairs (1947)."""
    inside = int(is_in.sum())
    outside = len(is_in) - inside
    if not inside or not outside:
        return None
    return float((ranks[is_in].sum() - inside * (inside + 1) / 2) / (inside * outside))


def _brier(places: Rows, probabilities: Floats) -> float:
    """G. Brier, Verification of forecasts expressed in terms of probability, 1950; of two classes half of his."""
    came = np.eye(probabilities.shape[1])[places]
    total = float(((probabilities - came) ** 2).sum(axis=1).mean())
    return total / 2 if probabilities.shape[1] == 2 else total


def _calibration(came: np.ndarray[Any, np.dtype[np.bool_]], predicted: Floats) -> list[dict[str, float]]:
    """What was predicted on average and how often it came, in bins of about equally many samples."""
    order = np.argsort(predicted, kind="stable")
    bins = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
    return [
        {"predicted": float(predicted[part].mean()), "observed": float(came[part].mean()), "count": len(part)}
        for part in bins
    ]


def _checked(y_true: Any, predicted: Floats, columns: int | None) -> Floats:
    """`predicted` as float64, when there is one for each target and all are numbers."""
    given: Floats = np.asarray(predicted, dtype="float64")
    shape = (len(y_true),) if columns is None else (len(y_true), columns)
    if given.shape != shape or not len(y_true):
        raise InputError(
            f"Predictions of shape {given.shape} do not fit {len(y_true)} targets.",
            f"Give an array of shape {shape}, with at least one row.",
        )
    wrong = int((~np.isfinite(given)).reshape(len(given), -1).any(axis=1).sum())
    if wrong:
        raise InputError(
            f"{wrong:,} of {len(given):,} predictions are no numbers.",
            "Train again with a lower learning rate: the model has come apart.",
        )
    return given
