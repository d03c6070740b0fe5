"""Collections whose workers and processes are killed at random moments: nothing lost, nothing half, bit-equal."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from loopback.base import served
from loopback.yahoo import YahooServer

import workbench
from core.folders import maker_is_dead
from core.jobs import JobStatus
from data.jobs import collection_arguments, collection_title, queue
from data.pipeline_controller import DataConfig, controller
from data.versions import datasets_folder

PATIENCE_SECONDS = 200.0
MAIN = Path(workbench.__file__).with_name("main.py")
ASKED = [
    DataConfig(
        data_sources=["YFinance"],
        symbols=[symbol],
        timeframe=timeframe,
        start_date=start,
        end_date="2026-10-30",
        preprocessing={"normalize": True, "engineer_features": True},
    )
    for symbol in ("EURUSD", "USDJPY")
    for timeframe, start in (("H1", "2026-08-03"), ("H4", "2026-02-02"), ("D1", "2020-01-02"))
]


@pytest.fixture
def yahoo_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    yield from served(YahooServer, monkeypatch)


@pytest.fixture
def unkilled(yahoo_server: YahooServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The content hashes of the same collections, made in peace in another workbench."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SEQUENCE_HOME", str(tmp_path / "peace"))
        return [controller.prepare(config).content_hash for config in ASKED]


def start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(MAIN), "--mode", "worker"], stdin=subprocess.DEVNULL, cwd=MAIN.parent)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_kills_in_the_middle_of_collections_lose_nothing(
    unkilled: list[str], monkeypatch: pytest.MonkeyPatch, kills: int, chance: random.Random
) -> None:
    monkeypatch.setenv("SEQUENCE_JOBS__LEASE_SECONDS", "1")
    monkeypatch.setenv("SEQUENCE_JOBS__ATTEMPTS", "100")
    jobs = [submit(config) for config in ASKED]
    workers = [start_worker(), start_worker()]
    dealt, most, end = 0, 0, time.monotonic() + PATIENCE_SECONDS + 20 * kills
    next_kill = time.monotonic() + 3
    try:
        while dealt < kills or any(queue.job(job).is_open for job in jobs):
            assert time.monotonic() < end, queue.jobs()
            most = max(most, len(queue.jobs([JobStatus.RUNNING])))
            if dealt < kills and time.monotonic() > next_kill:
                if not any(queue.job(job).is_open for job in jobs):
                    jobs += [submit(config) for config in ASKED]  # kills are dealt while there is something to lose
                dealt += kill_one(workers, chance)
                next_kill = time.monotonic() + chance.uniform(0.2, 3.0)
            workers = [each if each.poll() is None else start_worker() for each in workers]
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    made = [queue.job(job) for job in jobs]
    assert [job.status for job in made] == [JobStatus.SUCCEEDED] * len(jobs)
    assert [(job.result or {})["version"] for job in made] == unkilled * (len(jobs) // len(ASKED))
    assert len(controller.versions()) == len(jobs)  # each job entered its version once, with its success
    assert most <= 2
    controller.prepare(ASKED[0])  # the next to publish sweeps what the killed ones left
    names = {entry.name for entry in datasets_folder().iterdir()}
    assert {name for name in names if maker_is_dead(name)} == set()
    assert names == set(unkilled)


def submit(config: DataConfig) -> int:
    job = queue.submit("collect", collection_arguments(config), collection_title(config))
    assert job
    return job.id


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
