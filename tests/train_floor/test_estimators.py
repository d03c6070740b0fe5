from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, InterventionError
from train.estimators import ForestTrainer, load_forest, window_matrix
from train.models import TrainSettings, make_trainer, model_named
from train.progress import auc
from train.splits import Scaler, Split
from train.windows import Samples

Parts = tuple[Samples, Split, Scaler]
Learnable = Callable[..., Parts]

TREES = ["Random Forest", "XGBoost"]


def trainer_of(parts: Parts, name: str, **settings: Any) -> Any:
    small = {"trees_per_epoch": 5, "max_depth": 5, **settings.pop("parameters", {})}
    given = {"epochs": 4, "threads": 1, "parameters": small, **settings}
    return make_trainer(model_named(name), TrainSettings(**given), *parts)


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("kind", ["direction", "triple_barrier", "return"])
def test_trees_learn_what_can_be_learned(learnable: Learnable, name: str, kind: str) -> None:
    samples, split, scaler = parts = learnable(kind)
    trainer = trainer_of(parts, name, epochs=8, parameters={"window_form": "flat", "trees_per_epoch": 10})
    records = list(trainer.epochs())
    assert records[-1].validation_loss < (0.95 if kind == "return" else 0.65 if kind == "direction" else 1.0)
    answers = trainer.predict(scaler.apply(samples.features), split.test)
    known = samples.target[split.test]
    if kind == "return":
        assert answers.shape == (len(split.test),)
        assert np.corrcoef(answers, known)[0, 1] > 0.5
    else:
        assert answers.sum(axis=1) == pytest.approx(1)
        assert auc(known == samples.spec.classes[-1], answers[:, -1]) > 0.75


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_run_that_was_killed_goes_on_to_the_same_trees(
    learnable: Learnable, tmp_path: Path, name: str, killed_after: int
) -> None:
    samples, split, scaler = parts = learnable()
    whole = trainer_of(parts, name)
    expected = list(whole.epochs(tmp_path / "whole"))
    killed = trainer_of(parts, name).epochs(tmp_path / "killed", resume=True)
    for _ in range(killed_after):
        next(killed)
    resumed = trainer_of(parts, name)
    found = list(resumed.epochs(tmp_path / "killed", resume=True))
    assert [each.epoch for each in found] == list(range(killed_after, 5))
    assert [(each.train_loss, each.validation_loss, each.metric) for each in resumed.records] == [
        (each.train_loss, each.validation_loss, each.metric) for each in expected
    ]
    scaled = scaler.apply(samples.features)
    assert (resumed.predict(scaled, split.test) == whole.predict(scaled, split.test)).all()
    if name == "XGBoost":
        assert resumed.model_file() == whole.model_file()
    else:
        theirs = load_forest(whole.model_file()[1]).estimators_
        ours = load_forest(resumed.model_file()[1]).estimators_
        assert len(ours) == len(theirs) == resumed.description()["trees"]
        for one, two in zip(ours, theirs, strict=True):
            assert one.tree_.__getstate__()["nodes"].tobytes() == two.tree_.__getstate__()["nodes"].tobytes()


@pytest.mark.parametrize("name", TREES)
def test_trees_beyond_the_best_epoch_are_left_out(learnable: Learnable, name: str) -> None:
    # Of noise each further tree knows less.
    samples, split, scaler = learnable(rows=500)
    target = np.random.default_rng(2).integers(0, 2, len(samples.target)).astype("float64")
    parts = replace(samples, target=target), split, scaler
    forms = {"window_form": "flat", "trees_per_epoch": 3}
    if name == "XGBoost":
        forms["shrinkage"] = 0.5
    trainer = trainer_of(parts, name, epochs=30, patience=3, parameters=forms)
    records = list(trainer.epochs())
    best = min(records, key=lambda each: each.validation_loss).epoch
    assert len(records) in (best + 3, 30)
    assert trainer.description()["best_epoch"] == best
    assert trainer.description()["trees"] == 3 * best


def test_a_window_is_seen_as_its_summary_or_bar_by_bar(learnable: Learnable) -> None:
    samples, split, scaler = learnable()
    scaled = scaler.apply(samples.features)
    end = split.train[7]
    window = scaled[end - 7 : end + 1]
    parts = (window[-1], window.mean(0), window.std(0), window.min(0), window.max(0), window[-1] - window[0])
    found = window_matrix(samples.features, split.train[7:8], 8, "summary", scaler)
    assert found[0] == pytest.approx(np.concatenate(parts), rel=1e-5, abs=1e-6)
    assert (window_matrix(scaled, split.train[7:8], 8, "flat") == window.ravel()).all()


def test_more_windows_than_memory_allows_are_thinned_evenly_and_said(learnable: Learnable) -> None:
    parts = learnable(rows=9_000, length=256)
    flat = {"window_form": "flat", "matrix_mib": 1}
    trainer = trainer_of(parts, "Random Forest", epochs=1, parameters=flat)
    kept = trainer._ends
    assert len(kept) == 2**20 // (4 * 256 * 3)
    assert kept[0] == parts[1].train[0]
    assert kept[-1] == parts[1].train[-1]
    assert np.ptp(np.diff(kept)) <= 1
    [remark] = trainer.remarks
    assert f"{len(kept):,} of {len(parts[1].train):,} windows" in remark
    assert len(list(trainer.epochs())) == 1


def test_validation_a_chunk_at_a_time_gives_the_same_figures(learnable: Learnable) -> None:
    parts = learnable(rows=9_000)
    kept, chunked = (trainer_of(parts, "Random Forest", epochs=2) for _ in range(2))
    chunked.values["matrix_mib"] = 0
    assert [each.validation_loss for each in kept.epochs()] == [each.validation_loss for each in chunked.epochs()]
    assert chunked._kept is None
    assert kept._kept is not None


def test_boosting_never_holds_the_windows_as_floats(learnable: Learnable) -> None:
    parts = learnable(rows=60_000, length=64)
    trainer = trainer_of(parts, "XGBoost", epochs=1, parameters={"window_form": "flat", "trees_per_epoch": 1})
    as_floats = len(parts[1].train) * 64 * 3 * 4
    trainer._kept = trainer._matrix(parts[1].validation)
    tracemalloc.start()
    list(trainer.epochs())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < as_floats / 2


def test_a_group_of_trees_that_is_gone_or_swapped_is_refused_by_name(learnable: Learnable, tmp_path: Path) -> None:
    parts = learnable()
    running = trainer_of(parts, "Random Forest").epochs(tmp_path)
    next(running), next(running)
    first, second = tmp_path / "trees-0001.skops", tmp_path / "trees-0002.skops"
    content = second.read_bytes()
    second.write_bytes(first.read_bytes())
    with pytest.raises(InterventionError, match=r"trees-0002\.skops is damaged"):
        list(trainer_of(parts, "Random Forest").epochs(tmp_path, resume=True))
    second.unlink()
    with pytest.raises(InterventionError, match=r"trees-0002\.skops is gone"):
        list(trainer_of(parts, "Random Forest").epochs(tmp_path, resume=True))
    second.write_bytes(content)
    assert len(list(trainer_of(parts, "Random Forest").epochs(tmp_path, resume=True))) == 3


def test_a_class_that_training_never_saw_gets_probability_0(learnable: Learnable) -> None:
    samples, split, scaler = learnable("triple_barrier")
    target = samples.target.copy()
    target[: split.train[-1] + 1][target[: split.train[-1] + 1] == 0] = 1.0
    parts = replace(samples, target=target), split, scaler
    trainer = trainer_of(parts, "Random Forest", class_weights=True)
    assert isinstance(trainer, ForestTrainer)
    records = list(trainer.epochs())
    assert np.isfinite(records[-1].validation_loss)
    assert (trainer.predict(scaler.apply(samples.features), split.test)[:, 1] == 0).all()


def test_a_forest_whose_trees_point_outside_is_refused(learnable: Learnable) -> None:
    from skops.io import dumps

    trainer = trainer_of(learnable(), "Random Forest", epochs=1)
    list(trainer.epochs())
    forest = trainer._forest()
    forest.n_features_in_ = 1
    with pytest.raises(InterventionError, match="points outside of itself"):
        load_forest(dumps(forest))


def test_parameters_of_another_model_are_refused(learnable: Learnable) -> None:
    with pytest.raises(InputError, match="XGBoost has no parameter 'min_samples_leaf'"):
        trainer_of(learnable(), "XGBoost", parameters={"min_samples_leaf": 5})


def test_each_group_of_boosted_trees_draws_other_windows_and_columns(learnable: Learnable) -> None:
    # Steps so short that every tree is held against the same errors: only what is drawn tells them apart.
    drawn = {"trees_per_epoch": 1, "shrinkage": 0.0001, "row_fraction": 0.5, "column_fraction": 0.5}
    trainer = trainer_of(learnable(), "XGBoost", epochs=3, parameters=drawn)
    list(trainer.epochs())
    trees = json.loads(trainer.model_file()[1])["learner"]["gradient_booster"]["model"]["trees"]
    splits = [json.dumps([tree["split_indices"], tree["left_children"]]) for tree in trees]
    assert len(set(splits)) == 3


def test_no_two_groups_of_a_forest_grow_the_same_trees(learnable: Learnable) -> None:
    trainer = trainer_of(learnable(), "Random Forest", epochs=3)
    list(trainer.epochs())
    grown = [tree.tree_.__getstate__()["nodes"].tobytes() for tree in trainer._forest().estimators_]
    assert len(set(grown)) == len(grown)
