"""The door of the training floor: what is submitted, refused, reordered and compared, without training anything."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pandas as pd
import pytest
from sqlalchemy.dialects import sqlite

from core.clock import utc_now
from core.errors import InputError, NameTakenError, UnknownNameError
from core.heartbeats import Heart
from core.jobs import JobStatus
from core.parameters import Parameter
from core.schedules import add_schedule, fire_due
from core.settings import output_folder
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from train import monitor, tables
from train.jobs import queue, training_arguments, training_title
from train.models import SETTINGS
from train.training_manager import TrainingJob, manager
from workbench import JOBS, users_of

Walk = Callable[..., pd.DataFrame]
Submit = Callable[..., dict[str, object]]


@pytest.fixture(autouse=True)
def idle_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests keep the processors busy; what that does to a queue is one test of its own."""
    monkeypatch.setattr(monitor, "cpu_percent", lambda: 10.0)


@pytest.fixture
def version(walk: Walk) -> DatasetVersion:
    return controller.enter_bars(walk(400), "EURUSD", "H1")


@pytest.fixture
def submit(version: DatasetVersion) -> Submit:
    def make(job_id: str, **fields: object) -> dict[str, object]:
        return manager.submit_job(TrainingJob(**{**asked(version), "job_id": job_id, **fields}))

    return make


def asked(version: DatasetVersion) -> dict[str, object]:
    return {"job_id": "job", "model_name": "LSTM", "dataset": version.content_hash, "window_length": 8, "epochs": 2}


def in_turn() -> list[str]:
    return [job["job_id"] for job in manager.get_queue_status()["jobs"]]


def test_the_snippet_of_the_specification_runs_as_printed(walk: Walk) -> None:
    controller.publish(walk(400).assign(symbol="GBPUSD", source="test"), csv=True)
    job = TrainingJob(
        job_id="train_hybrid_20251206",
        model_name="Hybrid CNN-LSTM",
        dataset_path="output_central/gbpusd_dataset.csv",
        epochs=100,
        batch_size=32,
        learning_rate=0.001,
        validation_split=0.2,
        early_stopping=True,
        patience=10,
        priority=2,
    )
    manager.submit_job(job)
    status = manager.get_job_status(job.job_id)
    assert status["status"] == "QUEUED"
    assert status["current_epoch"] == 0
    assert (status["epochs"], status["priority"], status["symbol"]) == (100, 2, "GBPUSD")
    assert manager.get_running_jobs() == []
    gpu_status = manager.gpu_monitor.get_status()
    assert {"has_gpu", "device_count", "devices", "cpu_percent", "memory_percent"} <= set(gpu_status)
    [version] = controller.versions()  # the file was recognised as the version that wrote it
    assert status["dataset_hash"] == version.content_hash


def test_the_queries_of_the_specification_answer(submit: Submit) -> None:
    submit("a")
    claimed = queue.claim(JOBS.kinds["train"], "test")
    assert claimed
    monitor.store.insert(monitor.tables.gpu_stats, **monitor.sample(claimed.id)[0])
    with closing(sqlite3.connect(output_folder() / "training_jobs.db")) as database:
        database.row_factory = sqlite3.Row
        [running] = database.execute("SELECT * FROM training_jobs \nWHERE status = 'RUNNING';").fetchall()
        assert (running["job_id"], running["model_name"], running["current_epoch"]) == ("a", "LSTM", 0)
        [sampled] = database.execute("SELECT * FROM gpu_stats \nORDER BY timestamp DESC \nLIMIT 1000;").fetchall()
        assert sampled["memory_percent"] > 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_name": "LTSM"}, "Did you mean 'LSTM'?"),
        ({"parameters": {"hiden_size": 8}}, "Did you mean 'hidden_size'?"),
        ({"job_id": "../escape"}, "cannot be used as a name"),
        ({"dataset_path": "x.csv"}, "either dataset_path"),
        ({"dataset": None}, "either dataset_path"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"target": "directon"}, "'direction'"),
        ({"validation_split": 0.6, "test_split": 0.4}, "leave too little"),
        ({"epoch": 3}, "Did you mean 'epochs'?"),
    ],
)
def test_what_cannot_be_trained_is_refused_where_it_is_written(
    version: DatasetVersion, fields: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError) as refusal:
        TrainingJob(**{**asked(version), **fields})
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"dataset": "0123456789"}, "There is no dataset version"),
        ({"symbol": "GBPUSD"}, "It holds EURUSD"),
        ({"overrides": ["looks"], "override_reason": "a trial"}, "Did you mean 'looks_ahead'?"),
    ],
)
def test_what_the_dataset_cannot_give_is_refused_before_it_is_queued(
    submit: Submit, fields: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError) as refusal:
        submit("a", **fields)
    assert told in str(refusal.value)
    assert manager.history() == []


def test_what_was_left_open_is_settled_when_the_job_is_submitted(submit: Submit) -> None:
    settled = submit("a")["arguments"]["job"]  # type: ignore[index]
    assert "return_1" in settled["features"]
    assert (settled["symbol"], settled["dataset_path"]) == ("EURUSD", None)
    assert settled["threads"] >= 1


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_job_from_python_and_one_from_the_page_begin_with_the_same_settings(setting: Parameter) -> None:
    assert TrainingJob.model_fields[setting.name].default == setting.default


def test_a_dataset_that_failed_validation_is_refused_unless_overridden_by_name(walk: Walk) -> None:
    few = walk(60).assign(symbol="EURUSD", source="test")
    version = controller.publish(few, validation_id=controller.validate(few)[1])
    assert version.verdict == "FAIL"
    job = TrainingJob(**asked(version))
    with pytest.raises(InputError, match="marked FAIL"):
        manager.submit_job(job)
    with pytest.raises(InputError, match="override_reason"):
        TrainingJob(**asked(version), overrides=("FAIL",))
    accepted = TrainingJob(**asked(version), overrides=("FAIL",), override_reason="sixty bars are enough here")
    assert manager.submit_job(accepted)["arguments"]["job"]["override_reason"] == "sixty bars are enough here"


def test_a_job_without_a_worker_waits_and_says_so(submit: Submit) -> None:
    assert "worker" in str(submit("a")["waiting_reason"])
    status = manager.get_queue_status()
    assert (status["queued"], status["worker_running"]) == (1, False)


def test_with_a_worker_each_job_says_what_it_waits_for(submit: Submit) -> None:
    Heart("worker").beat("ready")
    for name in "abcd":
        submit(name)
    for _ in range(2):
        assert queue.claim(JOBS.kinds["train"], "test")
    told = {job["job_id"]: job["waiting_reason"] for job in manager.get_queue_status()["jobs"]}
    assert (told["a"], told["b"]) == (None, None)
    assert "one of" in told["c"]
    assert told["d"] == "waits for 1 job before it"


def test_the_same_job_again_is_the_one_that_is_stored(submit: Submit) -> None:
    assert submit("a")["id"] == submit("a", priority=5)["id"]
    with pytest.raises(NameTakenError, match="'a_2' is free"):
        submit("a", epochs=3)
    submit("a_2")
    with pytest.raises(NameTakenError, match="'a_3' is free"):
        submit("a", epochs=3)


def test_a_job_id_that_another_process_took_first_is_refused(version: DatasetVersion) -> None:
    job = TrainingJob(**asked(version))
    arguments = training_arguments(job)
    queue.submit("train", arguments, training_title(job))
    with pytest.raises(NameTakenError):
        queue.submit("train", arguments, training_title(job))


def test_an_unknown_job_id_offers_the_nearest(submit: Submit) -> None:
    submit("train_lstm_1")
    with pytest.raises(UnknownNameError, match="'train_lstm_1'"):
        manager.get_job_status("train_lstm_2")


def test_waiting_jobs_are_reordered_as_asked(submit: Submit) -> None:
    names = list("abcdef")
    for name in names:
        submit(name, priority=ord(name) % 3)
    chance = random.Random(5)  # noqa: S311
    for _ in range(10):
        chance.shuffle(names)
        manager.reorder(names)
        assert in_turn() == names
    manager.reorder(["d", "a"])
    assert in_turn() == ["d", "a", *(name for name in names if name not in "da")]
    manager.set_priority("c", 10_000)
    assert in_turn()[0] == "c"


def test_cancelled_jobs_are_resumed_retried_and_removed(submit: Submit) -> None:
    submit("a")
    submit("b")
    assert [job["status"] for job in manager.cancel_job("a", "b")] == ["CANCELLED", "CANCELLED"]
    assert manager.resume("a")[0]["status"] == "QUEUED"
    with pytest.raises(InputError, match="cannot be retried"):
        manager.resume("a")
    with pytest.raises(InputError, match="cannot be retried"):
        manager.retry("a")
    assert manager.retry("b")[0]["status"] == "QUEUED"
    with pytest.raises(InputError, match="Cancel it first"):
        manager.remove("a")
    manager.cancel_job("a")
    manager.remove("a")
    assert [job["job_id"] for job in manager.history()] == ["b"]


def test_history_finds_by_name_model_and_state(submit: Submit) -> None:
    submit("morning")
    submit("evening", model_name="GRU")
    assert [job["job_id"] for job in manager.history()] == ["evening", "morning"]
    assert [job["job_id"] for job in manager.history(text="MORN")] == ["morning"]
    assert [job["job_id"] for job in manager.history(model_name="GRU")] == ["evening"]
    assert manager.history(status="FAILED") == []
    assert manager.history(text="%") == []


def test_a_comparison_tells_only_the_settings_that_differ(submit: Submit) -> None:
    submit("a", parameters={"hidden_size": 8})
    submit("b", parameters={"hidden_size": 16}, learning_rate=0.01)
    found = manager.compare(["a", "b"])
    assert found.settings == {
        "learning_rate": {"a": 0.001, "b": 0.01},
        "parameters.hidden_size": {"a": 8, "b": 16},
    }
    assert set(found.metrics) == {"a", "b"}
    with pytest.raises(InputError):
        manager.compare(["a", "a"])


def test_a_job_that_no_memory_of_this_machine_can_hold_is_refused_at_the_door(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "read_memory", lambda: room(total=500, free=400))
    with pytest.raises(InputError, match="at most 400 MiB"):
        submit("a")
    assert manager.history() == []


def room(total: float, free: float) -> dict[str, float]:
    return {"memory_percent": 0.0, "available_mb": free, "total_mb": total}


def test_a_job_waits_for_memory_and_says_how_much(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    Heart("worker").beat("ready")
    submit("a")
    submit("b")
    monkeypatch.setattr(monitor, "read_memory", lambda: room(total=4_000, free=1_000))
    assert queue.claim(JOBS.kinds["train"], "test")
    # What the first was promised and has not taken yet is not given twice.
    assert queue.claim(JOBS.kinds["train"], "test") is None
    assert "MiB of memory" in str(manager.get_job_status("b")["waiting_reason"])
    monkeypatch.setattr(monitor, "read_memory", lambda: room(total=4_000, free=3_000))
    assert queue.claim(JOBS.kinds["train"], "test")


def test_a_job_that_outgrew_the_machine_fails_alone_with_the_reason(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("large", parameters={"hidden_size": 2048, "layers": 4})
    submit("small", parameters={"hidden_size": 8})
    monkeypatch.setattr(monitor, "read_memory", lambda: room(total=1_500, free=1_500))
    claimed = queue.claim(JOBS.kinds["train"], "test")
    assert claimed
    assert claimed.title == "Train LSTM: small"
    failed = manager.get_job_status("large")
    assert failed["status"] == JobStatus.FAILED
    assert "this machine gives a job at most 1,200 MiB" in failed["failure"]


def test_nothing_begins_beside_a_job_while_processors_are_busy(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    submit("a")
    submit("b")
    monkeypatch.setattr(monitor, "cpu_percent", lambda: 99.0)
    assert queue.claim(JOBS.kinds["train"], "test")  # alone it may begin
    assert queue.claim(JOBS.kinds["train"], "test") is None


def test_a_gpu_that_is_full_is_waited_for(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    def gpu(used: float) -> list[monitor.Gpu]:
        return [monitor.Gpu(0, "GPU-1", "Test", 8_000, used, None, None, None)]

    submit("network")
    monkeypatch.setattr(monitor, "read_gpus", lambda: gpu(used=7_900))
    assert queue.claim(JOBS.kinds["train"], "test") is None
    manager.cancel_job("network")
    submit("trees", model_name="XGBoost")
    assert queue.claim(JOBS.kinds["train"], "test")  # it does not need one
    submit("again")
    monkeypatch.setattr(monitor, "read_gpus", lambda: gpu(used=100))
    assert queue.claim(JOBS.kinds["train"], "test")


def test_a_schedule_queues_the_same_training_again_and_again_under_names_of_its_own(version: DatasetVersion) -> None:
    arguments = training_arguments(TrainingJob(**asked(version)))
    add_schedule(JOBS, "train", "train", arguments, title="Nightly", cron="5 22 * * *")
    for days in (1, 2):
        fire_due(JOBS, utc_now() + timedelta(days=days))
    names = [str(job["job_id"]) for job in manager.history()]
    assert len(set(names)) == 2
    assert all(name.startswith("job-") for name in names)


def test_a_dataset_with_a_waiting_job_cannot_be_deleted(submit: Submit, version: DatasetVersion) -> None:
    submit("a")
    with pytest.raises(InputError, match="training job a"):
        controller.delete_version(version, used_by=users_of)
    manager.cancel_job("a")
    controller.delete_version(version, used_by=users_of)


def test_the_tables_that_migrations_make_are_those_that_are_declared(submit: Submit) -> None:
    submit("a")
    with closing(sqlite3.connect(output_folder() / "training_jobs.db")) as database:
        for name, table in tables.TRAINING_JOBS.metadata.tables.items():
            found = database.execute(f"PRAGMA table_info({name})").fetchall()
            declared = [(column.name, int(not column.nullable and not column.primary_key)) for column in table.columns]
            assert [(row[1], 0 if row[5] else row[3]) for row in found] == declared
            indexes = {row[1] for row in database.execute(f"PRAGMA index_list({name})")}
            assert {index.name for index in table.indexes} <= indexes


def test_whose_turn_it_is_is_found_without_sorting(submit: Submit) -> None:
    submit("a")
    query = str(queue._claimable().compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with closing(sqlite3.connect(output_folder() / "training_jobs.db")) as database:
        plan = " ".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert "training_jobs_by_turn" in plan
    assert "TEMP B-TREE" not in plan


def test_ten_thousand_waiting_jobs_are_claimed_from_in_milliseconds(submit: Submit) -> None:
    first = submit("job-0")
    row = queue.store.rows(queue._where(id=first["id"]))[0]
    with queue.store.write() as connection:
        rows = [{**row, "id": None, "job_id": f"job-{number}", "priority": number % 7} for number in range(1, 10_001)]
        connection.execute(queue._table.insert(), [{k: v for k, v in each.items() if k != "id"} for each in rows])
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        claimed = queue.claim(JOBS.kinds["train"], "test")
        seconds.append(time.perf_counter() - began)
        assert claimed
        assert claimed.priority == 6
    assert min(seconds) < 0.1  # the benchmark tells the real figure; a table scan would take longer than this
