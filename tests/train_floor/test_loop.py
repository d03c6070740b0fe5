from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import DiskError, InputError, InterventionError
from train import checkpoints
from train.loop import AdamW, NetworkTrainer
from train.models import MODELS, EpochRecord, TrainSettings, make_trainer, model_named
from train.progress import Goal, auc, best_record, is_over, learning_rate
from train.splits import Scaler, Split
from train.windows import Samples

Parts = tuple[Samples, Split, Scaler]
Learnable = Callable[..., Parts]

NETWORKS = [name for name, kind in MODELS.items() if kind.family == "network"]
SMALL = {"hidden_size": 8, "dropout": 0.3}


def trainer_of(parts: Parts, name: str = "GRU", **settings: Any) -> NetworkTrainer:
    given = {"epochs": 3, "batch_size": 64, "learning_rate": 0.02, "threads": 1, "device": "cpu", "parameters": SMALL}
    trainer = make_trainer(model_named(name), TrainSettings(**{**given, **settings}), *parts)
    assert isinstance(trainer, NetworkTrainer)
    return trainer


def record(epoch: int, loss: float, *, best: bool) -> EpochRecord:
    return EpochRecord(epoch, loss, loss, 0.5, "AUC", 0.1, 1.0, 10.0, best)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["direction", "triple_barrier", "volatility"])
def test_every_network_learns_what_can_be_learned(learnable: Learnable, name: str, kind: str) -> None:
    samples, split, scaler = parts = learnable(kind)
    trainer = trainer_of(parts, name, epochs=4)
    records = list(trainer.epochs())
    assert [each.epoch for each in records] == [1, 2, 3, 4]
    assert records[-1].validation_loss < 0.85 * records[0].validation_loss
    answers = trainer.predict(scaler.apply(samples.features), split.test)
    known = samples.target[split.test]
    if kind == "volatility":
        assert answers.shape == (len(split.test),)
        assert np.corrcoef(answers, known)[0, 1] > 0.8
        assert records[-1].metric_name == "-MAE"
    else:
        assert answers.shape == (len(split.test), len(samples.spec.classes))
        assert answers.sum(axis=1) == pytest.approx(1)
        assert (np.take(samples.spec.classes, answers.argmax(axis=1)) == known).mean() > 0.7
        assert records[-1].metric > 0.85


def test_the_same_seed_gives_the_same_weights_whatever_else_happens_and_another_seed_others(
    learnable: Learnable,
) -> None:
    parts = learnable()
    first, second, other = trainer_of(parts), trainer_of(parts), trainer_of(parts, seed=2)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    turns = zip(first.epochs(), second.epochs(), strict=True)  # in turn, each drawing chance between the other's epochs
    assert all(one.validation_loss == two.validation_loss for one, two in turns)
    assert torch.equal(torch.get_rng_state(), before)
    list(other.epochs())
    assert first.model_file() == second.model_file()
    assert first.model_file() != other.model_file()


@pytest.mark.parametrize("killed_after", [1, 2, 4])
@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    learnable: Learnable, tmp_path: Path, killed_after: int, schedule: str
) -> None:
    parts = learnable()
    settings = {"epochs": 4, "schedule": schedule, "patience": 2, "parameters": {**SMALL, "layers": 2}}
    whole = trainer_of(parts, **settings)
    expected = list(whole.epochs(tmp_path / "whole"))
    killed = trainer_of(parts, **settings).epochs(tmp_path / "killed", resume=True)
    for _ in range(killed_after):
        next(killed)
    resumed = trainer_of(parts, **settings)
    found = list(resumed.epochs(tmp_path / "killed", resume=True))
    assert [each.epoch for each in found] == list(range(killed_after, 5))
    assert resumed.model_file() == whole.model_file()
    told = [(each.train_loss, each.validation_loss, each.metric, each.learning_rate) for each in resumed.records]
    assert told == [(each.train_loss, each.validation_loss, each.metric, each.learning_rate) for each in expected]
    assert resumed.description() == whole.description()


def test_a_finished_run_that_is_resumed_tells_its_last_epoch_and_trains_no_more(
    learnable: Learnable, tmp_path: Path
) -> None:
    parts = learnable()
    done = trainer_of(parts)
    records = list(done.epochs(tmp_path))
    again = trainer_of(parts)
    assert list(again.epochs(tmp_path, resume=True)) == records[-1:]
    assert again.model_file() == done.model_file()
    anew = trainer_of(parts)
    assert [each.epoch for each in anew.epochs(tmp_path, resume=False)] == [1, 2, 3]


def test_a_checkpoint_of_other_settings_or_data_is_refused_by_what_differs(
    learnable: Learnable, tmp_path: Path
) -> None:
    samples, split, scaler = parts = learnable()
    list(trainer_of(parts, epochs=1).epochs(tmp_path))
    with pytest.raises(InputError, match=r"made with learning_rate=0\.02, not 0\.5"):
        list(trainer_of(parts, epochs=1, learning_rate=0.5).epochs(tmp_path, resume=True))
    target = samples.target.copy()
    target[split.train[0]] = 1 - target[split.train[0]]
    with pytest.raises(InputError, match="made with data="):
        list(trainer_of((replace(samples, target=target), split, scaler), epochs=1).epochs(tmp_path, resume=True))
    # Threads decide how fast, not what.
    assert len(list(trainer_of(parts, epochs=1, threads=2).epochs(tmp_path, resume=True))) == 1


@pytest.mark.parametrize("at", [0.001, 0.5, 0.999])
def test_a_damaged_checkpoint_is_refused(learnable: Learnable, tmp_path: Path, at: float) -> None:
    parts = learnable()
    list(trainer_of(parts, epochs=1).epochs(tmp_path / "checkpoint"))
    [file] = (tmp_path / "checkpoint").iterdir()
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(InterventionError, match="is damaged"):
        list(trainer_of(parts, epochs=1).epochs(file.parent, resume=True))
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InterventionError, match="is damaged"):
        list(trainer_of(parts, epochs=1).epochs(file.parent, resume=True))


def test_a_full_disk_is_said_and_the_last_checkpoint_stays(
    learnable: Learnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = learnable()
    running = trainer_of(parts).epochs(tmp_path)
    next(running)

    def full(*_: object) -> None:
        raise DiskError("The disk is full.", "Free some space.")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "write_file", full)
        with pytest.raises(DiskError, match="disk is full"):
            next(running)
    resumed = trainer_of(parts)
    assert [each.epoch for each in resumed.epochs(tmp_path, resume=True)] == [1, 2, 3]
    unhindered = trainer_of(parts)
    list(unhindered.epochs())
    assert resumed.model_file() == unhindered.model_file()


def test_training_stops_when_patience_is_used_up_and_answers_as_at_its_best(learnable: Learnable) -> None:
    samples, split, scaler = parts = learnable(rows=300)
    trainer = trainer_of(
        parts, epochs=40, learning_rate=0.3, patience=2, schedule="none", parameters={"hidden_size": 8}
    )
    records = list(trainer.epochs())
    best = min(records, key=lambda each: each.validation_loss)
    assert len(records) < 40
    assert records[-1].epoch - best.epoch == 2
    assert best_record(records) == best
    goal = Goal(samples, split, class_weights=False)
    answers = trainer.predict(scaler.apply(samples.features), split.validation)
    assert goal.loss(answers, split.validation) == best.validation_loss
    assert trainer.description()["best_epoch"] == best.epoch


def test_without_a_validation_part_the_last_epoch_is_the_model(learnable: Learnable, tmp_path: Path) -> None:
    samples, split, scaler = learnable()
    parts = samples, replace(split, validation=split.validation[:0]), scaler
    trainer = trainer_of(parts, early_stopping=False)
    records = list(trainer.epochs(tmp_path))
    assert [math.isnan(each.validation_loss) and each.is_best for each in records] == [True] * 3
    [again] = trainer_of(parts, early_stopping=False).epochs(tmp_path, resume=True)
    assert math.isnan(again.metric)
    assert trainer.description()["best_epoch"] == 3


def test_features_that_no_window_can_learn_from_end_the_run_with_the_cure(learnable: Learnable) -> None:
    samples, split, scaler = learnable()
    features = samples.features.copy()
    features[split.train[5]] = np.inf
    with pytest.raises(InputError, match=r"The training loss of epoch 1 is nan\. Lower learning_rate"):
        list(trainer_of((replace(samples, features=features), split, scaler)).epochs())


def test_class_weights_make_a_rare_class_count_as_much(learnable: Learnable) -> None:
    samples, split, _ = learnable()
    target = np.zeros_like(samples.target)
    target[::10] = 1.0
    target[-2:] = np.nan
    goal = Goal(replace(samples, target=target), split, class_weights=True)
    shares = np.bincount(goal.targets[split.train]) * goal.weights
    assert shares[0] == pytest.approx(shares[1])
    assert goal.weights[1] / goal.weights[0] == pytest.approx(9, rel=0.1)


def test_the_optimizer_steps_as_torchs_own_to_the_last_bit() -> None:
    chance = torch.Generator().manual_seed(4)
    start = [torch.randn(5, 3, generator=chance), torch.randn(3, generator=chance)]
    ours = [torch.nn.Parameter(each.clone()) for each in start]
    theirs = [torch.nn.Parameter(each.clone()) for each in start]
    own, library = AdamW(ours, 0.01), torch.optim.AdamW(theirs, 0.1, weight_decay=0.01)
    for step in range(20):
        rate = 0.1 / (1 + step)
        library.param_groups[0]["lr"] = rate
        for one, two in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=chance)
            two.grad = one.grad.clone()
        own.step(rate)
        library.step()
        assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))


def test_a_network_does_not_look_beyond_its_window(learnable: Learnable) -> None:
    samples, split, scaler = parts = learnable()
    trainer = trainer_of(parts, "Hybrid CNN-LSTM", epochs=1)
    list(trainer.epochs())
    scaled = scaler.apply(samples.features)
    end = int(split.test[0])
    changed = scaled.copy()
    changed[end + 1 :] += 5
    changed[: end - samples.length + 1] += 5
    asked = split.test[:1]
    assert (trainer.predict(scaled, asked) == trainer.predict(changed, asked)).all()
    changed[end - samples.length + 1] += 5
    assert (trainer.predict(scaled, asked) != trainer.predict(changed, asked)).any()


def test_the_learning_rate_follows_from_the_records_alone() -> None:
    records = [record(1, 1.0, best=True), *(record(epoch, 2.0, best=False) for epoch in range(2, 8))]
    plateau = TrainSettings(learning_rate=0.1, schedule="plateau", patience=4)
    assert [learning_rate(plateau, records[:count]) for count in range(8)] == [
        0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125,
    ]  # fmt: skip
    cosine = TrainSettings(learning_rate=0.1, schedule="cosine", epochs=4)
    assert [learning_rate(cosine, records[:count]) for count in (0, 2, 4)] == pytest.approx([0.1, 0.05, 0.0])
    assert learning_rate(TrainSettings(learning_rate=0.1, schedule="none"), records) == 0.1
    assert [is_over(plateau, records[:count]) for count in (0, 4, 5)] == [False, False, True]
    assert not is_over(replace(plateau, early_stopping=False), records)


def test_the_auc_counts_ties_half_and_needs_both_classes() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    positive, scores = rng.random(500) > 0.6, rng.integers(0, 20, 500) / 20
    assert auc(positive, scores) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
    assert math.isnan(auc(np.ones(3, dtype=bool), np.arange(3.0)))
