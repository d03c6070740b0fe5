"""A training job from its claim to its model: records, resumption to the bit, failures in words, one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import core.folders
from core.errors import DiskError, InputError
from core.job_process import run_job
from core.jobs import Job, JobLostError, JobStatus
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from train import artifacts, jobs, monitor, registry
from train.jobs import job_folder, queue, train
from train.models import EpochRecord
from train.training_manager import TrainingJob, manager
from workbench import JOBS, users_of

Walk = Callable[..., pd.DataFrame]
EPOCHS = 4
SMALL = {"hidden_size": 4, "filters": 4}


class Killed(BaseException):
    """What a kill −9 leaves undone, inside one process: nothing after it runs, not even an except clause of ours."""


@pytest.fixture(autouse=True)
def idle_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "cpu_percent", lambda: 10.0)


@pytest.fixture
def version(walk: Walk) -> DatasetVersion:
    return controller.enter_bars(walk(400), "EURUSD", "H1")


def submit(version: DatasetVersion, job_id: str = "job", **fields: Any) -> None:
    asked: dict[str, Any] = {
        "model_name": "Hybrid CNN-LSTM",
        "window_length": 8,
        "epochs": EPOCHS,
        "early_stopping": False,
        "batch_size": 64,
        "parameters": SMALL,
        "threads": 1,
        "device": "cpu",
        **fields,
    }
    manager.submit_job(TrainingJob(job_id=job_id, dataset=version.content_hash, **asked))


def claim() -> Job:
    job = queue.claim(JOBS.kinds["train"], "test")
    assert job
    return job


def run() -> dict[str, Any]:
    """Do the next job here; its status."""
    job = claim()
    run_job(train, queue.begin(job.id, job.attempt))
    return manager.history(1, text=job.title.split(": ")[1])[0]


def weights(job_id: str) -> str:
    [model] = registry.list_models(job_id=job_id)
    return model.files["weights.safetensors"]


@pytest.mark.parametrize(
    ("fields", "metric"),
    [
        ({}, "auc"),
        ({"model_name": "XGBoost", "parameters": {}, "target": "triple_barrier", "horizon": 5}, "auc"),
        ({"model_name": "Random Forest", "parameters": {}, "target": "return", "horizon": 3}, "mae"),
    ],
)
def test_a_job_ends_with_a_model_that_tells_what_it_is_worth(
    version: DatasetVersion, fields: dict[str, Any], metric: str
) -> None:
    submit(version, **fields)
    told = run()
    assert told["status"] == JobStatus.SUCCEEDED, told["failure"]
    assert (told["current_epoch"], told["progress"]) == (EPOCHS, 1.0)
    assert [row["epoch"] for row in manager.epochs_of("job")] == [1, 2, 3, 4]
    assert told["best_epoch"] in {1, 2, 3, 4}
    [model] = registry.list_models()
    assert (model.stage, model.version, model.job_id, model.metric_name) == ("candidate", 1, "job", metric)
    metrics = model.card["metrics"]
    assert model.metric == metrics["test"][metric]
    assert metrics["baseline"][metric] == model.baseline_metric
    assert metrics["null"]["observed"] == pytest.approx(metrics["test"][metric])
    assert set(model.card["importance"]) == set(model.card["features"])
    assert json.loads((model.path / "card.json").read_text("utf-8"))["features"] == model.card["features"]
    assert [entry.name for entry in job_folder("job").iterdir()] == ["model-1"]  # checkpoints are gone
    assert monitor.GpuMonitor().history(training_id=told["id"])


def test_walk_forward_folds_are_trained_after_the_model_and_stored(version: DatasetVersion) -> None:
    submit(version, folds=2, epochs=2)
    run()
    [model] = registry.list_models()
    assert [fold["fold"] for fold in model.card["folds"]] == [1, 2]
    assert {(row["fold"], row["epoch"]) for row in manager.epochs_of("job", None)} == {
        (fold, epoch) for fold in range(3) for epoch in (1, 2)
    }


def test_only_test_rows_changed_and_the_model_is_the_same_to_the_bit(walk: Walk) -> None:
    bars = walk(400)
    changed = bars.copy()
    changed.iloc[-40:] = walk(400, seed=9).iloc[-40:].to_numpy()
    for name, each in (("one", bars), ("other", changed)):
        submit(controller.enter_bars(each, "EURUSD", "H1"), name)
        run()
    assert weights("one") == weights("other")
    first, second = (registry.list_models(job_id=name)[0].card for name in ("one", "other"))
    assert first["scaler"] == second["scaler"]
    assert first["metrics"]["validation"] == second["metrics"]["validation"]
    assert first["metrics"]["test"] != second["metrics"]["test"]


def killed_after(epochs: int, monkeypatch: pytest.MonkeyPatch, *, stored: bool, in_fold: int = 0) -> None:
    """Kill the job when so many epochs are in the checkpoint, before or after the last one's row is written."""
    store = jobs._Training._store

    def dying(self: Any, record: EpochRecord, fold: int) -> None:
        if stored or (fold, record.epoch) != (in_fold, epochs):
            store(self, record, fold)
        if (fold, record.epoch) == (in_fold, epochs):
            raise Killed

    monkeypatch.setattr(jobs._Training, "_store", dying)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_killed_job_goes_on_and_ends_equal_to_the_bit(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch, epochs: int, stored: bool
) -> None:
    submit(version, "peace")
    run()
    submit(version, "war")
    killed = claim()
    with monkeypatch.context() as then:
        killed_after(epochs, then, stored=stored)
        with pytest.raises(Killed):
            run_job(train, queue.begin(killed.id, killed.attempt))
    queue.give_back(queue.job(killed.id), blameless=False)
    assert run()["status"] == JobStatus.SUCCEEDED
    assert weights("war") == weights("peace")
    rows = manager.epochs_of("war")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    repeated = [row for row in rows if row["epoch"] <= epochs and row["attempt"] == 2]
    assert [row["epoch"] for row in repeated] == ([] if stored else [epochs])
    for ours, theirs in zip(rows, manager.epochs_of("peace"), strict=True):
        assert (ours["train_loss"], ours["metric"]) == (theirs["train_loss"], theirs["metric"])


def test_a_job_killed_in_a_fold_trains_neither_the_model_nor_the_folds_before_it_again(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(version, "peace", folds=2, epochs=2)
    run()
    submit(version, "war", folds=2, epochs=2)
    killed = claim()
    with monkeypatch.context() as then:
        killed_after(1, then, stored=True, in_fold=2)
        with pytest.raises(Killed):
            run_job(train, queue.begin(killed.id, killed.attempt))
    queue.give_back(queue.job(killed.id), blameless=False)
    assert run()["status"] == JobStatus.SUCCEEDED
    attempts = {(row["fold"], row["epoch"]): row["attempt"] for row in manager.epochs_of("war", None)}
    assert [place for place, attempt in attempts.items() if attempt == 2] == [(2, 2)]
    peace, war = (registry.list_models(job_id=name)[0].card for name in ("peace", "war"))
    assert war["folds"] == peace["folds"]
    assert weights("war") == weights("peace")


def test_a_disk_that_is_full_at_a_checkpoint_fails_the_job_in_words_and_it_resumes(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(version, "peace")
    run()
    submit(version, "war")
    real, written = core.folders._sync, 0

    def full(path: Path) -> None:
        nonlocal written
        written += path.parent.name == "checkpoint-0" and path.suffix == ".safetensors"
        if written == 3:
            raise OSError(28, "No space left on device")
        real(path)

    with monkeypatch.context() as then:
        then.setattr(core.folders, "_sync", full)
        told = run()
    assert told["status"] == JobStatus.FAILED
    assert "The disk is full" in told["failure"]
    assert told["current_epoch"] == 2
    manager.resume("war")
    assert run()["status"] == JobStatus.SUCCEEDED
    assert weights("war") == weights("peace")


def test_a_retried_job_begins_with_its_first_epoch(version: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(version)
    with monkeypatch.context() as then:
        then.setattr(artifacts, "save_model", refuse)
        assert run()["status"] == JobStatus.FAILED
    assert manager.retry("job")[0]["current_epoch"] == 0
    assert manager.epochs_of("job") == []
    assert run()["status"] == JobStatus.SUCCEEDED
    assert {row["attempt"] for row in manager.epochs_of("job")} == {2}


def refuse(*_: object) -> dict[str, str]:
    raise DiskError("The disk is full: the model could not be written.", "Free some space.")


def test_what_a_job_left_that_was_killed_after_its_success_is_swept_by_the_next(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(version, "first")
    with monkeypatch.context() as then:
        then.setattr(jobs, "sweep_succeeded", lambda: None)
        run()
    assert (job_folder("first") / "checkpoint-0").exists()
    submit(version, "waiting", seed=9)
    manager.cancel_job("waiting")
    (job_folder("waiting") / "checkpoint-0").mkdir(parents=True)
    submit(version, "second")
    run()
    assert [entry.name for entry in job_folder("first").iterdir()] == ["model-1"]
    assert (job_folder("waiting") / "checkpoint-0").exists()  # it may be resumed


def test_model_and_success_are_one_transaction(version: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(version)
    job = claim()
    running = queue.begin(job.id, job.attempt)

    def lost(*_: object, **__: object) -> None:
        raise JobLostError("another attempt took over")

    monkeypatch.setattr(running, "succeed", lost)
    with pytest.raises(JobLostError):
        train(running)
    assert registry.list_models() == []
    assert queue.job(job.id).status is JobStatus.RUNNING


def test_a_given_up_attempt_can_write_nothing_more(version: DatasetVersion) -> None:
    submit(version)
    first = claim()
    zombie = queue.begin(first.id, first.attempt)
    queue.give_back(queue.job(first.id), blameless=False)
    claim()
    with pytest.raises(JobLostError):
        train(zombie)
    assert manager.epochs_of("job") == []


def test_a_dataset_that_vanished_is_told(version: DatasetVersion) -> None:
    submit(version)
    controller.delete_version(version, used_by=lambda _: [])
    told = run()
    assert told["status"] == JobStatus.FAILED
    assert "There is no dataset version" in told["failure"]


def test_a_dataset_that_a_model_was_made_of_cannot_be_deleted(version: DatasetVersion) -> None:
    submit(version, model_name="XGBoost", parameters={})
    run()
    with pytest.raises(InputError, match="model EURUSD H1 direction 1 v1"):
        controller.delete_version(version, used_by=users_of)
    with pytest.raises(InputError, match="Delete that model first"):
        manager.remove("job")
    registry.delete_model("job")
    manager.remove("job")
    assert manager.history() == []
    assert not job_folder("job").exists()


def test_a_comparison_tells_the_figures_of_the_test_part_beside_the_baseline(version: DatasetVersion) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        submit(version, name, model_name="XGBoost", parameters={}, seed=seed)
        run()
    found = manager.compare(["a", "b"])
    assert found.settings == {"seed": {"a": 1, "b": 2}}
    for name in "ab":
        [model] = registry.list_models(job_id=name)
        assert found.metrics[name]["test_auc"] == model.metric
        assert found.metrics[name]["baseline_auc"] == pytest.approx(0.5)
        assert len(found.epochs[name]) == EPOCHS


def test_the_weights_file_is_the_one_that_the_registry_knows(version: DatasetVersion) -> None:
    submit(version)
    run()
    [model] = registry.list_models()
    found = hashlib.sha256((model.path / "weights.safetensors").read_bytes()).hexdigest()
    assert model.files["weights.safetensors"] == found


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    """A job sets the threads of its process; here that is the process of all tests."""
    import torch

    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(deterministic)
