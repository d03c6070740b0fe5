"""The worker with real processes: what it begins, ends, survives, and hands over."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from errands import REGISTRY, parcels_delivered, queue
from waiting import wait_until

from core.heartbeats import processes
from core.jobs import Job, JobStatus
from core.log import log_file
from core.worker import ROLE, Worker

WORKER = """
import sys
from errands import REGISTRY
from core.worker import Worker
Worker(REGISTRY).run()
"""


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a second, and a path on which the processes of jobs find their registry."""
    monkeypatch.setenv("SEQUENCE_JOBS__LEASE_SECONDS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "notebook_module"))


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker of this process, turned by hand."""
    made = Worker(REGISTRY)
    yield made
    made.stop()


def submit(kind: str, priority: int = 0, **arguments: object) -> Job:
    return REGISTRY.submit("errands", kind, {"words": "milk", **arguments}, f"{kind} it", priority)


def turn_until(worker: Worker, condition: Callable[[], bool]) -> None:
    wait_until(condition, turn=worker.turn)


def status(job: Job) -> JobStatus:
    return queue.job(job.id).status


def pids_of(job: Job) -> list[int]:
    """The processes that run this job, by their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "core.job_process" in words and words[-2] == str(job.id) and "errands:REGISTRY" in words:
            found.append(process.pid)
    return found


def test_a_job_runs_in_a_process_of_its_own_and_ends_with_its_result(worker: Worker) -> None:
    job = submit("deliver")
    turn_until(worker, lambda: not queue.job(job.id).is_open)
    assert status(job) is JobStatus.SUCCEEDED
    assert parcels_delivered() == ["milk"]
    turn_until(worker, lambda: not pids_of(job))
    assert '"job succeeded"' in log_file(f"jobs/errands-{job.id}").read_text()


def test_no_more_jobs_run_at_once_than_the_setting_says(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_JOBS__RUNNING", "2")
    jobs = [submit("count", steps=5, seconds=0.05) for _ in range(5)]
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, len(queue.jobs([JobStatus.RUNNING])))
        return all(not queue.job(job.id).is_open for job in jobs)

    turn_until(worker, all_done)
    assert most == 2
    assert parcels_delivered() == ["0,1,2,3,4"] * 5


def test_what_lasts_takes_nobodys_place(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_JOBS__RUNNING", "1")
    watches = [submit("watch") for _ in range(2)]
    fine = submit("deliver")
    turn_until(worker, lambda: status(fine) is JobStatus.SUCCEEDED)
    turn_until(worker, lambda: all(status(watch) is JobStatus.RUNNING for watch in watches))


@pytest.mark.parametrize("kind", ["wait", "compute"])
def test_a_running_job_is_cancelled_within_a_second_even_a_deaf_one(worker: Worker, kind: str) -> None:
    job = submit(kind)
    turn_until(worker, lambda: queue.job(job.id).progress > 0)
    queue.cancel(job.id)
    turn_until(worker, lambda: status(job) is JobStatus.CANCELLED)
    assert pids_of(job) == []


def test_a_process_that_dies_every_time_leaves_its_job_interrupted_and_harms_no_other(worker: Worker) -> None:
    doomed, fine = submit("die"), submit("deliver")
    turn_until(worker, lambda: not queue.job(doomed.id).is_open and not queue.job(fine.id).is_open)
    assert status(doomed) is JobStatus.INTERRUPTED
    assert queue.job(doomed.id).attempt == 3
    assert status(fine) is JobStatus.SUCCEEDED


def test_a_killed_job_goes_on_from_its_checkpoint(worker: Worker) -> None:
    job = submit("count", steps=12, seconds=0.05)
    turn_until(worker, lambda: (queue.job(job.id).checkpoint or {}).get("counted", 0) >= 3)
    [pid] = pids_of(job)
    os.kill(pid, signal.SIGKILL)
    turn_until(worker, lambda: not queue.job(job.id).is_open)
    assert status(job) is JobStatus.SUCCEEDED
    assert queue.job(job.id).attempt == 2
    assert parcels_delivered() == [",".join(map(str, range(12)))]


def test_a_stopped_worker_queues_its_jobs_again_and_leaves_no_process() -> None:
    stopped = Worker(REGISTRY)
    job = submit("wait")
    turn_until(stopped, lambda: queue.job(job.id).progress > 0)
    stopped.stop()
    after = queue.job(job.id)
    assert (after.status, after.attempts_allowed) == (JobStatus.QUEUED, 4)
    assert pids_of(job) == []
    assert processes(ROLE) == []


def test_one_of_two_workers_leads_and_the_other_takes_over_when_it_is_killed(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    first = start(WORKER)
    wait_until(lambda: len(processes(ROLE)) == 1)
    second = start(WORKER)
    wait_until(lambda: len(processes(ROLE)) == 2)
    assert {each.pid: each.words == "standing by" for each in processes(ROLE)} == {first.pid: False, second.pid: True}
    job = submit("count", steps=60, seconds=0.05)
    wait_until(lambda: (queue.job(job.id).checkpoint or {}).get("counted", 0) >= 3)
    first.kill()
    wait_until(lambda: not queue.job(job.id).is_open)
    assert parcels_delivered() == [",".join(map(str, range(60)))]
    assert queue.job(job.id).attempt == 2
    assert str(second.pid) in (queue.job(job.id).worker or "")


def test_the_processes_of_jobs_end_with_a_killed_worker(start: Callable[..., subprocess.Popen[str]]) -> None:
    alone = start(WORKER)
    job = submit("wait")
    wait_until(lambda: queue.job(job.id).progress > 0)
    assert len(pids_of(job)) == 1
    alone.kill()
    wait_until(lambda: not pids_of(job))


def test_a_locked_database_holds_the_worker_up_and_does_not_end_it(
    start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.1")
    first = submit("deliver")
    living = start(WORKER)
    wait_until(lambda: status(first) is JobStatus.SUCCEEDED)
    job = submit("deliver", words="later")
    with queue.store.write():
        wait_until(lambda: len(processes(ROLE)) == 1)
        time.sleep(1)  # several turns under the lock
    wait_until(lambda: status(job) is JobStatus.SUCCEEDED)
    assert living.poll() is None
