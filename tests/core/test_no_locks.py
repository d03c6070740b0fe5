"""Two workers, pages that write and pages that read, all at once: nobody meets a locked database, and no log grows."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from errands import REGISTRY, parcels_delivered, queue

from core.jobs import JobStatus
from core.log import drop_old_logs, log_file
from core.settings import output_folder

Start = Callable[..., subprocess.Popen[str]]
SECONDS_A_KILL = 0.2  # of --kills: 20 seconds with --kills 100, and never less than three
PATIENCE_SECONDS = 90.0
WORKER = """
import sys
from core.log import configure_logging
configure_logging(sys.argv[1])
from errands import REGISTRY
from core.worker import Worker
Worker(REGISTRY).run()
"""
# What pages do as readers press buttons and their strips are drawn again; each tells how often it did.
PRESSES = """
import sys, time
from core.log import configure_logging
configure_logging("presses")
from errands import REGISTRY, queue
end, done = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    job = REGISTRY.submit("errands", "count" if done % 5 else "deliver", {"words": "milk", "steps": 3}, "an errand")
    queue.set_priority(job.id, done % 3)
    if done % 7 == 0:
        queue.cancel(job.id)
    done += 1
    time.sleep(0.02)
print(done)
"""
LOOKS = """
import sys, time
from core.log import configure_logging
configure_logging("looks")
from core.heartbeats import processes
from errands import REGISTRY, parcels_delivered
end, done = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    REGISTRY.open_jobs(), REGISTRY.recent(50), parcels_delivered(), processes()
    done += 1
print(done)
"""


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_two_workers_and_pages_never_meet_a_locked_database(
    start: Start, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "notebook_module"))
    seconds = max(3.0, SECONDS_A_KILL * kills)
    workers = [start(WORKER, f"worker-{number}") for number in range(2)]
    pages = [start(script, seconds) for script in (PRESSES, PRESSES, LOOKS)]
    told = [page.communicate(timeout=seconds + PATIENCE_SECONDS) for page in pages]
    assert [page.returncode for page in pages] == [0, 0, 0], told
    assert min(int(output) for output, _ in told) > seconds  # each came round more than once a second

    submitted = len(queue.jobs())
    for job in queue.waiting()[10:]:  # presses are faster than processes start; the last ones show that work goes on
        queue.cancel(job.id)
    end = time.monotonic() + PATIENCE_SECONDS
    while REGISTRY.open_jobs():
        assert time.monotonic() < end, REGISTRY.open_jobs()
        assert [worker.poll() for worker in workers] == [None, None]
        time.sleep(0.05)
    ended = [job.status for job in queue.jobs()]
    assert submitted == sum(int(output) for output, _ in told[:2])
    assert set(ended) == {JobStatus.SUCCEEDED, JobStatus.CANCELLED}
    assert len(parcels_delivered()) == ended.count(JobStatus.SUCCEEDED) >= 10
    stop(workers)
    logged = {file.name: file.read_text(encoding="utf-8") for file in (output_folder() / "logs").rglob("*.jsonl")}
    assert any(name.startswith("worker-") and "worker leads" in lines for name, lines in logged.items())
    assert [name for name, lines in logged.items() if "locked" in lines or "held up" in lines] == []
    events = [json.loads(line) for lines in logged.values() for line in lines.splitlines()]
    assert [event for event in events if event["level"] in {"error", "critical"}] == []
    assert all("locked" not in worker.communicate()[1] for worker in workers)


def stop(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        psutil.Process(worker.pid).terminate()
        worker.wait()


def test_a_lock_that_is_met_would_be_told(home: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    # The test above looks for words; these are the words.
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.1")
    REGISTRY.submit("errands", "deliver", {"words": "milk"}, "an errand")
    with queue.store.write():
        page = start(PRESSES, 0.5)
        _, errors = page.communicate(timeout=PATIENCE_SECONDS)
    assert page.returncode == 1
    assert "StoreLockedError" in errors
    assert "database is locked" in errors


def test_logs_of_the_jobs_written_to_longest_ago_are_dropped_with_their_rotated_files(home: Path) -> None:
    old = write_logs("jobs/data-1.jsonl", "jobs/data-1.jsonl.1", "jobs/data-10.jsonl", age_seconds=300)
    waiting = write_logs("jobs/data-2.jsonl", age_seconds=200)
    new = write_logs("jobs/data-3.jsonl", "jobs/runs-3.jsonl", age_seconds=100)
    again = write_logs("jobs/data-4.jsonl.2", age_seconds=400) + write_logs("jobs/data-4.jsonl", age_seconds=50)
    others = write_logs("worker.jsonl", age_seconds=1000)
    assert sorted(drop_old_logs("jobs", 3, spared={"jobs/data-2"})) == ["jobs/data-1", "jobs/data-10"]
    assert not any(file.exists() for file in old)
    assert all(file.exists() for file in (*waiting, *new, *again, *others))
    assert drop_old_logs("jobs", 3, spared={"jobs/data-2"}) == []


def test_where_no_job_ever_ran_there_is_nothing_to_drop(home: Path) -> None:
    assert drop_old_logs("jobs", 1) == []


def test_a_worker_keeps_the_logs_of_so_many_jobs(start: Start, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "notebook_module"))
    monkeypatch.setenv("SEQUENCE_LOG__KEEP_JOBS", "2")
    monkeypatch.setenv("SEQUENCE_JOBS__RUNNING", "1")  # so that the first one wrote longest ago
    jobs = [REGISTRY.submit("errands", "deliver", {"words": str(number)}, "an errand") for number in range(5)]
    worker = start(WORKER, "worker")
    end = time.monotonic() + PATIENCE_SECONDS
    while REGISTRY.open_jobs():
        assert time.monotonic() < end, REGISTRY.open_jobs()
        time.sleep(0.05)
    stop([worker])
    left = {job.id for job in jobs if log_file(f"jobs/errands-{job.id}").exists()}
    assert jobs[-1].id in left
    assert jobs[0].id not in left
    assert len(left) <= 3  # two, and the one that ran when the last one began


def write_logs(*names: str, age_seconds: float) -> list[Path]:
    written_at = time.time() - age_seconds
    files = [output_folder() / "logs" / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}\n")
        os.utime(file, (written_at, written_at))
    return files
