"""Work in other processes: each result once, whatever is killed, on this machine and on a scheduler's workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parallel_work import functions
from parallel_work.cluster import two_workers

from core import parallel
from core.errors import InterventionError, SettingsError, StrategyError, TryAgainError
from core.parallel import run_all, workers


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_PARALLEL__WORKERS", "2")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A scheduler on TCP that the settings name, and its two workers, each a process of one thread."""
    yield from two_workers(tmp_path, monkeypatch)


def results_of(function: Callable[..., object], items: list[int], shared: object = None) -> list[tuple[int, object]]:
    return sorted(run_all(function, items, shared=shared, describe=lambda item: f"item {item}"))


def test_every_item_is_done_once_with_what_is_shared() -> None:
    assert results_of(functions.times, [5, 6, 7, 8], 3) == [(0, 15), (1, 18), (2, 21), (3, 24)]
    assert results_of(functions.times, []) == []


def test_two_processes_work_at_once() -> None:
    assert len({pid for _, (_, pid) in run_all(functions.slow, list(range(20)))}) == 2  # type: ignore[misc]


def test_an_error_of_ours_comes_as_it_is() -> None:
    with pytest.raises(StrategyError) as caught:
        results_of(functions.refused, [1, 2, 3])
    assert (caught.value.what, caught.value.cure) == ("The second is refused.", "Leave it out.")


def test_any_other_error_names_the_item() -> None:
    with pytest.raises(InterventionError, match="item 9 stopped with UnpicklableError: number 9"):
        results_of(functions.foreign, [9])


def test_a_killed_process_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    assert results_of(functions.killed_once, list(range(8)), str(tmp_path / "mark")) == [(n, n) for n in range(8)]


def test_what_kills_its_process_every_time_is_given_up() -> None:
    with pytest.raises(TryAgainError, match=r"Processes were killed 3 times; \d of 4 parts are not done"):
        results_of(functions.killed_always, [1, 2, 3, 4])


def test_without_a_number_all_processors_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers() == 2
    monkeypatch.delenv("SEQUENCE_PARALLEL__WORKERS")
    assert workers() == os.cpu_count()


def test_a_scheduler_without_the_package_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_PARALLEL__SCHEDULER", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"sequence-workbench\[distributed\]"):
        results_of(functions.times, [1], 1)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setenv("SEQUENCE_PARALLEL__SCHEDULER", "tcp://127.0.0.1:1")
    monkeypatch.setattr(parallel, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(TryAgainError, match=r"No scheduler answers at parallel.scheduler='tcp://127.0.0.1:1'"):
        results_of(functions.times, [1], 1)


@pytest.mark.usefixtures("cluster")
def test_on_a_scheduler_errors_come_as_they_do_here() -> None:
    assert results_of(functions.times, [5, 6], 3) == [(0, 15), (1, 18)]
    with pytest.raises(StrategyError, match="The second is refused"):
        results_of(functions.refused, [1, 2, 3])
    with pytest.raises(InterventionError, match="item 9 stopped with UnpicklableError"):
        results_of(functions.foreign, [9])


def test_a_worker_killed_midway_loses_nothing_and_repeats_nothing(cluster: list[subprocess.Popen[bytes]]) -> None:
    seen: list[tuple[int, int]] = []
    pids = set()
    for number, (item, pid) in run_all(functions.slow, list(range(60))):  # type: ignore[misc]
        seen.append((number, item))
        pids.add(pid)
        if len(seen) == 10:
            cluster[0].kill()
    assert sorted(seen) == [(n, n) for n in range(60)]
    assert cluster[1].pid in pids
