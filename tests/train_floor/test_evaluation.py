"""Figures against scikit-learn, nulls that hold what they promise, and models that learn nothing from noise."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from core.errors import InputError, UnknownNameError
from train.evaluation import (
    baseline,
    choose_threshold,
    evaluate_classes,
    evaluate_values,
    permutation_importance,
    permuted_null,
)
from train.splits import fit_scaler, split_in_time
from train.targets import TargetSpec
from train.windows import Samples, make_samples, windows

Walk = Callable[..., pd.DataFrame]
Sampled = Callable[..., Samples]


def guesses(classes: int, rows: int = 500, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that know something of them; some probabilities are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    raw = np.round(rng.random((rows, classes)) + 0.5 * np.eye(classes)[labels], 1) + 0.05
    return labels.astype("float64"), raw / raw.sum(axis=1, keepdims=True)


def test_figures_of_two_classes_are_those_of_scikit_learn() -> None:
    truth, given = guesses(2)
    found = evaluate_classes(truth, given, (0, 1), threshold=0.6)
    called = given[:, 1] >= 0.6
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, given[:, 1]), abs=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, given), abs=1e-12)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth, given[:, 1]), abs=1e-12)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, called), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, called), abs=1e-12)
    assert found["confusion"] == metrics.confusion_matrix(truth, called).tolist()
    assert found["threshold"] == 0.6
    json.dumps(found, allow_nan=False)


def test_figures_of_three_classes_are_those_of_scikit_learn() -> None:
    truth, given = guesses(3)
    truth -= 1
    found = evaluate_classes(truth, given, (-1, 0, 1))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, given, multi_class="ovr"), abs=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, given), abs=1e-12)
    assert found["brier"] == pytest.approx(((given - np.eye(3)[truth.astype(int) + 1]) ** 2).sum(axis=1).mean())
    assert found["confusion"] == metrics.confusion_matrix(truth, given.argmax(axis=1) - 1).tolist()
    assert list(found["calibration"]) == ["-1", "0", "1"]
    json.dumps(found, allow_nan=False)


def test_a_calibration_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    chance = rng.random(1000)
    truth = (rng.random(1000) < chance**2).astype("float64")
    found = evaluate_classes(truth, np.column_stack([1 - chance, chance]), (0, 1))
    observed, predicted = calibration_curve(truth, chance, n_bins=10, strategy="quantile")
    curve = found["calibration"]["1"]
    assert [point["count"] for point in curve] == [100] * 10
    np.testing.assert_allclose([point["observed"] for point in curve], observed)
    np.testing.assert_allclose([point["predicted"] for point in curve], predicted)
    assert found["calibration_error"] == pytest.approx(np.abs(observed - predicted).mean())
    honest = evaluate_classes(truth, np.column_stack([1 - chance**2, chance**2]), (0, 1))
    assert honest["calibration_error"] < found["calibration_error"] / 2


def test_a_certain_mistake_costs_much_and_not_everything() -> None:
    truth, given = np.array([0.0, 1.0]), np.array([[0.0, 1.0], [0.0, 1.0]])
    assert evaluate_classes(truth, given, (0, 1))["log_loss"] == pytest.approx(metrics.log_loss(truth, given))


def test_what_one_class_cannot_tell_is_none() -> None:
    found = evaluate_classes(np.ones(4), np.full((4, 2), 0.5), (0, 1))
    assert found["auc"] is None
    assert found["accuracy"] == 1.0
    null = permuted_null(np.ones(4), np.full(4, 0.5), "auc", rounds=5)
    assert (null["observed"], null["p_value"]) == (None, None)


def test_figures_of_values_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(0, 1, 300)
    truth[:20] = 0
    given = truth * 0.3 + rng.normal(0, 1, 300)
    found = evaluate_values(truth, given)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, given))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, given))
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, given))
    assert found["directional_accuracy"] == pytest.approx((np.sign(given[20:]) == np.sign(truth[20:])).mean())
    assert evaluate_values(np.abs(truth), given)["directional_accuracy"] is None
    assert evaluate_values(np.ones(3), np.ones(3))["r2"] is None


def test_predictions_that_are_no_numbers_or_too_few_are_refused() -> None:
    truth, given = guesses(2, 10)
    with pytest.raises(InputError, match="1 of 10 predictions are no numbers"):
        evaluate_classes(truth, np.where(np.arange(20).reshape(10, 2) == 7, np.nan, given), (0, 1))
    with pytest.raises(InputError, match=r"shape \(9, 2\) do not fit 10"):
        evaluate_classes(truth, given[:9], (0, 1))
    with pytest.raises(InputError, match="at least one row"):
        evaluate_values(np.array([]), np.array([]))
    with pytest.raises(InputError, match="none of the classes"):
        evaluate_classes(truth + 1, given, (0, 1))
    with pytest.raises(UnknownNameError, match="Did you mean 'auc'"):
        permuted_null(truth, given, "acu")
    with pytest.raises(InputError, match="mae cannot be told"):
        permuted_null(truth, given, "mae")


def test_a_threshold_parts_the_classes_best_on_what_it_is_given() -> None:
    truth, scores = np.array([0, 0, 0, 1, 0, 1, 1.0]), np.array([0.1, 0.2, 0.3, 0.35, 0.4, 0.6, 0.9])
    # From 0.325 on three of four and three of three are right, from 0.5 on all of four and two of three.
    assert choose_threshold(truth, scores) == pytest.approx(0.325)
    assert choose_threshold(truth, np.column_stack([1 - scores, scores])) == pytest.approx(0.325)
    assert choose_threshold(np.array([0, 0, 0, 1.0]), np.array([0.01, 0.02, 0.03, 0.07])) == pytest.approx(0.05)
    assert choose_threshold(np.ones(3), np.array([0.2, 0.3, 0.4])) == 0.5
    assert choose_threshold(np.array([0, 1.0]), np.array([0.3, 0.3])) == 0.5


def test_no_other_threshold_has_a_higher_balanced_accuracy() -> None:
    truth, given = guesses(2, 300)
    tried = np.unique(given[:, 1]) + 1e-9
    best = max(metrics.balanced_accuracy_score(truth, given[:, 1] >= each) for each in tried[:-1])
    chosen = choose_threshold(truth, given)
    assert metrics.balanced_accuracy_score(truth, given[:, 1] >= chosen) == pytest.approx(best)


def test_a_null_lies_around_a_half_and_knows_what_stands_out() -> None:
    truth, given = guesses(2)
    knowing = permuted_null(truth, given, "auc", rounds=200, seed=1)
    assert knowing["observed"] == pytest.approx(metrics.roc_auc_score(truth, given[:, 1]))
    assert knowing["mean"] == pytest.approx(0.5, abs=0.01)
    assert knowing["quantile_95"] == pytest.approx(0.543, abs=0.01)  # 1.645 deviations of √(1/(12·250))·√2
    assert knowing["p_value"] == pytest.approx(1 / 201)
    chance = np.random.default_rng(1).random(500)
    assert permuted_null(truth, chance, "auc", rounds=200, seed=1)["p_value"] > 0.05
    assert permuted_null(truth, given, "auc", rounds=200, seed=1) == knowing
    losses = permuted_null(truth, given, "log_loss", rounds=200, seed=1)
    assert losses["observed"] < losses["quantile_95"] < losses["mean"]
    assert losses["p_value"] == pytest.approx(1 / 201)


def test_blocks_keep_the_null_honest_where_neighbours_are_alike() -> None:
    taken_for_able = {1: 0, 50: 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        slow = [np.convolve(rng.normal(0, 1, 1049), np.ones(50), "valid") for _ in range(2)]
        truth = (slow[0] > 0).astype("float64")
        for block in taken_for_able:
            null = permuted_null(truth, slow[1], "auc", rounds=100, seed=seed, block=block)
            taken_for_able[block] += null["p_value"] <= 0.05
    assert taken_for_able[1] > 20  # of scores that know nothing
    assert taken_for_able[50] <= 9


def fitted_auc(samples: Samples, target: np.ndarray) -> float:
    """The AUC on the test part of a logistic regression on windows, trained on `target` and judged by it."""
    split = split_in_time(samples)
    scaled = windows(fit_scaler(samples, split).apply(samples.features), samples.length)

    def flat(ends: np.ndarray) -> np.ndarray:
        return scaled[ends - samples.length + 1].reshape(len(ends), -1)

    model = LogisticRegression(C=0.1).fit(flat(split.train), target[split.train])
    found = evaluate_classes(target[split.test], model.predict_proba(flat(split.test)), (0, 1))
    area: float = found["auc"]
    return area


def test_shuffled_labels_teach_nothing(walk: Walk) -> None:
    bars = walk(4000)
    # Something to learn: the bar after a rise rises.
    close = 1.1 * np.exp(np.convolve(np.diff(np.log(bars["close"]), prepend=0), [1.0, 0.8])[:4000].cumsum())
    bars = bars.assign(open=close, high=close * 1.001, low=close * 0.999, close=close)
    samples = make_samples(bars, "EURUSD", ("return_1", "rsi_14"), TargetSpec("direction", 1), 4)
    assert fitted_auc(samples, samples.target) > 0.65
    shuffled = samples.target.copy()
    areas = []
    for seed in range(5):
        shuffled[samples.ends] = np.random.default_rng(seed).permutation(samples.target[samples.ends])
        areas.append(fitted_auc(samples, shuffled))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)
    assert max(areas) < 0.56


def test_a_walk_that_knows_nothing_is_not_foreseen(sampled: Sampled) -> None:
    areas = [fitted_auc(samples, samples.target) for samples in (sampled(3000, seed=seed) for seed in range(6))]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


def test_the_baseline_of_classes_are_their_shares_in_training(sampled: Sampled) -> None:
    samples = sampled(kind="triple_barrier")
    split = split_in_time(samples)
    naive = baseline(samples, split)
    made = naive.predict(split.test)
    assert made.shape == (len(split.test), 3)
    trained = samples.target[split.train]
    np.testing.assert_allclose(made[0], [(trained == each).mean() for each in (-1, 0, 1)])
    assert (made == made[0]).all()
    assert evaluate_classes(samples.target[split.test], made, (-1, 0, 1))["auc"] == 0.5


def test_the_baseline_of_a_return_is_that_the_price_stays(sampled: Sampled) -> None:
    samples = sampled(kind="return")
    split = split_in_time(samples)
    assert baseline(samples, split).predict(split.test).tolist() == [0.0] * len(split.test)


def test_the_baseline_of_volatility_is_the_last_that_was_known(sampled: Sampled) -> None:
    samples = sampled(kind="volatility", horizon=7)
    split = split_in_time(samples)
    naive = baseline(samples, split)
    np.testing.assert_array_equal(naive.predict(split.test), samples.target[split.test - 7])
    assert naive.predict(np.array([3]))[0] == pytest.approx(samples.target[split.train].mean())


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_the_column_that_tells_is_the_important_one(sampled: Sampled, metric: str) -> None:
    samples = sampled(1500, horizon=1)
    samples.features[:, 1] = np.nan_to_num(samples.target, nan=0.0) + 0.1  # foreknowledge in the last row of a window
    split = split_in_time(samples)
    before = samples.features.copy()

    def predict(features: np.ndarray, ends: np.ndarray) -> np.ndarray:
        told = 0.2 + 0.6 * (windows(features, samples.length)[ends - samples.length + 1, -1, 1] > 0.5)
        return np.column_stack([1 - told, told])

    lost = permutation_importance(predict, samples, split.test, metric, seed=1)
    assert next(iter(lost)) == "return_5"
    assert lost["return_5"] > 0.3
    assert lost["return_1"] == lost["candle_body"] == 0.0
    assert samples.features.tobytes() == before.tobytes()
    assert permutation_importance(predict, samples, split.test, metric, seed=1) == lost


def test_the_importance_of_values_is_told_by_their_error(sampled: Sampled) -> None:
    samples = sampled(800, kind="return", horizon=1)
    split = split_in_time(samples)

    def predict(features: np.ndarray, ends: np.ndarray) -> np.ndarray:
        return np.asarray(features[ends, 0], dtype="float64")

    truth = samples.target[split.test]
    lost = permutation_importance(predict, samples, split.test, "mae")
    assert set(lost) == set(samples.columns)
    assert abs(lost["return_1"]) < np.abs(truth).mean()
    assert lost["candle_body"] == 0.0
