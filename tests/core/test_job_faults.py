"""Workers and job processes killed at random moments: nothing lost, nothing done twice, never too many at once."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from errands import REGISTRY, parcels_delivered, queue

from core.jobs import JobStatus

JOBS = 12
STEPS = 8
PATIENCE_SECONDS = 100.0
WORKER = "from errands import REGISTRY\nfrom core.worker import Worker\nWorker(REGISTRY).run()"


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_kills_of_workers_and_jobs_lose_nothing(
    start: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    kills: int,
    chance: random.Random,
) -> None:
    monkeypatch.setenv("SEQUENCE_JOBS__LEASE_SECONDS", "1")
    monkeypatch.setenv("SEQUENCE_JOBS__ATTEMPTS", "100")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "notebook_module"))
    most, dealt = 0, 0
    submitted = [submit() for _ in range(JOBS)]
    workers = [start(WORKER), start(WORKER)]
    next_kill, end = time.monotonic() + 2, time.monotonic() + PATIENCE_SECONDS + 10 * kills
    while dealt < kills or any(queue.job(job).is_open for job in submitted):
        assert time.monotonic() < end, queue.jobs()
        most = max(most, len(queue.jobs([JobStatus.RUNNING])))
        if dealt < kills and time.monotonic() > next_kill:
            if not any(queue.job(job).is_open for job in submitted):
                submitted.append(submit())  # kills are dealt while there is something to lose
            dealt += kill_one(workers, chance)
            next_kill = time.monotonic() + chance.uniform(0.05, 1.5)
        workers = [each if each.poll() is None else start(WORKER) for each in workers]
        time.sleep(0.02)
    assert [queue.job(job).status for job in submitted] == [JobStatus.SUCCEEDED] * len(submitted)
    assert parcels_delivered() == [",".join(map(str, range(STEPS)))] * len(submitted)
    assert most <= 2


def submit() -> int:
    return REGISTRY.submit("errands", "count", {"steps": STEPS, "seconds": 0.05}, "count").id


def kill_one(workers: list[subprocess.Popen[str]], chance: random.Random) -> int:
    """Kill -9 a worker or the process of a job; how many were dealt."""
    children = []
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            children += psutil.Process(worker.pid).children()
    victims = [psutil.Process(worker.pid) for worker in workers if worker.poll() is None] + 2 * children
    with suppress(psutil.NoSuchProcess, IndexError):
        chance.choice(victims).kill()
        return 1
    return 0
