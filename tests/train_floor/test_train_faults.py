"""Training jobs whose workers and processes are killed at random moments: none lost, none repeated, bit-equal."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

import workbench
from core.jobs import JobStatus
from core.settings import output_folder
from data.pipeline_controller import controller
from train import registry
from train.jobs import queue, sweep_succeeded
from train.training_manager import TrainingJob, manager

Walk = Callable[..., pd.DataFrame]
PATIENCE_SECONDS = 300.0
MAIN = Path(workbench.__file__).with_name("main.py")
EPOCHS = 6
# Name, model, seed: what is trained in peace once, and under fire as often as there are kills to deal.
TRAININGS = [("cnn", "Hybrid CNN-LSTM", 1), ("gru", "GRU", 2), ("lstm", "LSTM", 3), ("boosted", "XGBoost", 4)]


def start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(MAIN), "--mode", "worker"], stdin=subprocess.DEVNULL, cwd=MAIN.parent)


def submit(bars: pd.DataFrame, name: str, model: str, seed: int) -> int:
    version = controller.enter_bars(bars, "EURUSD", "H1")
    asked = TrainingJob(
        job_id=name,
        model_name=model,
        dataset=version.content_hash,
        window_length=16,
        epochs=EPOCHS,
        batch_size=32,
        early_stopping=False,
        parameters={} if model == "XGBoost" else {"hidden_size": 16},
        seed=seed,
        threads=1,
        device="cpu",
    )
    return int(manager.submit_job(asked)["id"])


def weights_of(name: str) -> dict[str, str]:
    """The files of what a job learned, the card aside: it tells times."""
    [model] = registry.list_models(job_id=name)
    return {file: digest for file, digest in model.files.items() if file != "card.json"}


@pytest.fixture(autouse=True)
def hasty_and_stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a second, many attempts, and no waiting for processors that the tests themselves keep busy."""
    monkeypatch.setenv("SEQUENCE_JOBS__LEASE_SECONDS", "1")
    monkeypatch.setenv("SEQUENCE_JOBS__ATTEMPTS", "100")
    monkeypatch.setenv("SEQUENCE_TRAINING__CPU_LIMIT_PCT", "100")


@pytest.fixture
def unkilled(walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The same trainings made in peace, in another workbench."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SEQUENCE_HOME", str(tmp_path / "peace"))
        submitted = [submit(walk(1200), *each) for each in TRAININGS]
        worker = start_worker()
        end = time.monotonic() + PATIENCE_SECONDS
        try:
            while any(queue.job(job).is_open for job in submitted):
                assert time.monotonic() < end, queue.jobs()
                time.sleep(0.1)
        finally:
            worker.kill()
            worker.wait()
        return {name: weights_of(name) for name, *_ in TRAININGS}


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_kills_in_the_middle_of_trainings_lose_nothing(
    walk: Walk, home: Path, unkilled: dict[str, dict[str, str]], kills: int, chance: random.Random
) -> None:
    bars = walk(1200)
    jobs: dict[str, int] = {}
    poison = submit(walk(300, seed=8), "poison", "LSTM", 1)
    controller.delete_version(queue.job(poison).arguments["job"]["dataset"], used_by=lambda _: [])
    workers = [start_worker(), start_worker()]
    dealt, most, end = 0, 0, time.monotonic() + PATIENCE_SECONDS + 30 * kills
    next_kill = time.monotonic() + 3
    try:
        while dealt < kills or any(queue.job(job).is_open for job in jobs.values()):
            assert time.monotonic() < end, queue.jobs()
            if dealt < kills and not any(queue.job(job).is_open for job in jobs.values()):
                more = f"-{len(jobs)}"  # kills are dealt while there is something to lose
                jobs |= {f"{name}{more}": submit(bars, f"{name}{more}", *each) for name, *each in TRAININGS}
            most = max(most, len(queue.jobs([JobStatus.RUNNING])))
            if dealt < kills and time.monotonic() > next_kill:
                dealt += kill_one(workers, chance)
                next_kill = time.monotonic() + chance.uniform(0.3, 6.0)
            workers = [each if each.poll() is None else start_worker() for each in workers]
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert {name: queue.job(job).status for name, job in jobs.items()} == dict.fromkeys(jobs, JobStatus.SUCCEEDED)
    assert {name: weights_of(name) for name in jobs} == {name: unkilled[name.split("-")[0]] for name in jobs}
    print(f"{len(jobs)} jobs, {dealt} kills, {sum(queue.job(job).attempt for job in jobs.values())} attempts")  # noqa: T201
    assert most <= 2
    sweep_succeeded()  # as the next job to succeed does: one may have been killed right after its own success
    for name, job in jobs.items():
        assert [row["epoch"] for row in manager.epochs_of(name)] == [*range(1, EPOCHS + 1)]
        stored = Counter(epochs_logged(job))
        assert set(stored.values()) == {1}, stored  # what was stored once is never trained again
        assert [entry.name for entry in registry.list_models(job_id=name)[0].path.parent.iterdir()] == [
            registry.list_models(job_id=name)[0].path.name
        ]
    assert len(registry.list_models()) == len(jobs)
    assert queue.job(poison).status is JobStatus.FAILED
    assert orphans(home) == []


def epochs_logged(job: int) -> list[int]:
    """The epochs whose rows were committed, by the log that all attempts of a job share; a torn line is none."""
    found = []
    for file in sorted((output_folder() / "logs" / "jobs").glob(f"train-{job}.jsonl*")):
        for line in file.read_text("utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                told = json.loads(line)
                if told.get("event") == "epoch stored":
                    found.append(told["epoch"])
    return found


def orphans(home: Path) -> list[int]:
    """The job processes of this workbench that outlive their workers by more than a few seconds."""
    left: list[int] = []
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = []
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.Error):
                ours = "core.job_process" in (process.info["cmdline"] or [])
                if ours and process.environ().get("SEQUENCE_HOME") == str(home) and process.pid != os.getpid():
                    left.append(process.pid)
        if not left:
            break
        time.sleep(0.2)
    return left


def kill_one(workers: list[subprocess.Popen[bytes]], chance: random.Random) -> int:
    """Kill -9 a worker, or twice as likely the process of a job; how many were dealt."""
    victims: list[psutil.Process] = []
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            alive = psutil.Process(worker.pid)
            victims += [alive, *alive.children(), *alive.children()]
    with suppress(psutil.NoSuchProcess, IndexError):
        chance.choice(victims).kill()
        return 1
    return 0
