"""The rows of a queue: who may do what to a job in which state, without any process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import errands
import pytest
from errands import REGISTRY, parcels_delivered, queue

from core import jobs
from core.errors import InputError, UnknownNameError
from core.job_process import run_job
from core.jobs import Job, JobLostError, JobStatus

KINDS = REGISTRY.kinds["errands"]


def submit(kind: str = "deliver", priority: int = 0, **arguments: object) -> Job:
    return REGISTRY.submit("errands", kind, {"words": "milk", **arguments}, f"{kind} it", priority)


def claim() -> Job:
    job = queue.claim(KINDS, "test")
    assert job
    return job


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass."""
    passed = 0.0

    def now() -> datetime:
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=passed)

    def later(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr("core.clock.wall_now", now)
    monkeypatch.setattr(jobs, "wall_now", now)
    return later


def test_an_absent_database_holds_no_jobs_and_is_not_made_by_looking() -> None:
    assert queue.jobs() == []
    assert REGISTRY.open_jobs() == []
    assert queue.claim(KINDS, "test") is None
    assert not errands.store.path.exists()


def test_a_submitted_job_waits_as_it_was_asked() -> None:
    job = submit(words="bread")
    assert (job.status, job.attempt, job.arguments) == (JobStatus.QUEUED, 0, {"words": "bread"})
    assert queue.job(job.id) == job
    assert job.is_open
    assert job.elapsed_seconds == 0


def test_an_unknown_kind_or_job_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match=r"errands/delver.*Did you mean 'errands/deliver'"):
        submit("delver")
    with pytest.raises(UnknownNameError, match="'7'"):
        queue.job(7)


def test_higher_priority_first_then_the_older() -> None:
    first, second, urgent = submit(), submit(), submit(priority=5)
    assert [job.id for job in queue.waiting()] == [urgent.id, first.id, second.id]
    queue.set_priority(second.id, 9)
    assert [claim().id for _ in range(3)] == [second.id, urgent.id, first.id]


def test_of_a_kind_only_so_many_run_at_once_and_others_pass_by() -> None:
    waiting, also_waiting, other = submit("wait"), submit("wait"), submit("deliver")
    assert [claim().id, claim().id] == [waiting.id, other.id]
    assert queue.claim(KINDS, "test") is None
    queue.mark_cancelled(queue.job(waiting.id))
    assert claim().id == also_waiting.id


def test_a_kind_that_this_version_does_not_know_waits_and_blocks_nobody() -> None:
    queue.submit("from the future", {}, "?")
    known = submit()
    assert claim().id == known.id


def test_a_job_commits_its_success_with_its_result() -> None:
    submit(words="eggs")
    job = claim()
    run_job(errands.deliver, queue.begin(job.id, job.attempt))
    ended = queue.job(job.id)
    assert (ended.status, ended.result, ended.words, ended.progress) == (
        JobStatus.SUCCEEDED,
        {"words": "eggs"},
        "delivered",
        1.0,
    )
    assert parcels_delivered() == ["eggs"]


def test_an_attempt_that_was_given_up_writes_nothing_any_more(clock: Callable[[float], None]) -> None:
    submit(words="late")
    first = claim()
    zombie = queue.begin(first.id, first.attempt)
    clock(3600)
    assert [job.id for job in queue.give_back_expired()] == [first.id]
    second = claim()
    assert second.attempt == first.attempt + 1
    with pytest.raises(JobLostError):
        zombie.save(counted=3)
    run_job(errands.deliver, zombie)
    assert parcels_delivered() == []
    assert queue.job(first.id).status is JobStatus.RUNNING
    run_job(errands.deliver, queue.begin(second.id, second.attempt))
    assert parcels_delivered() == ["late"]


def test_a_renewed_lease_does_not_run_out(clock: Callable[[float], None]) -> None:
    submit()
    job = claim()
    for _ in range(5):
        clock(10)
        assert [each.id for each in queue.renew([job])] == [job.id]
        assert queue.give_back_expired() == []
    clock(16)
    assert len(queue.give_back_expired()) == 1
    assert queue.renew([job]) == []


def test_a_job_killed_too_often_is_interrupted_and_can_be_retried_from_its_checkpoint() -> None:
    job = submit("count", steps=3)
    for _ in range(3):
        running = claim()
        queue.begin(running.id, running.attempt).save(counted=2, seen=[0, 1])
        queue.give_back(running, blameless=False)
    ended = queue.job(job.id)
    assert ended.status is JobStatus.INTERRUPTED
    assert "killed 3 times" in (ended.failure or "")
    assert not ended.is_open
    queue.retry(job.id)
    again = claim()
    assert again.attempt == 4
    run_job(errands.count, queue.begin(again.id, again.attempt))
    assert parcels_delivered() == ["0,1,2"]


def test_a_stopped_worker_does_not_count_against_its_jobs() -> None:
    job = submit()
    for _ in range(10):
        queue.give_back(claim(), blameless=True)
    assert queue.job(job.id).status is JobStatus.QUEUED


def test_a_waiting_job_is_cancelled_at_once_a_running_one_is_told_an_ended_one_stays() -> None:
    waiting = submit()
    assert queue.cancel(waiting.id).status is JobStatus.CANCELLED
    running = submit()
    claim()
    told = queue.cancel(running.id)
    assert (told.status, told.cancel_asked) == (JobStatus.RUNNING, 1)
    queue.mark_cancelled(told)
    assert queue.job(running.id).status is JobStatus.CANCELLED
    ended = submit()
    run_job(errands.deliver, queue.begin(claim().id, 1))
    assert queue.cancel(ended.id).status is JobStatus.SUCCEEDED


def test_a_cancelled_job_whose_worker_died_is_not_begun_again(clock: Callable[[float], None]) -> None:
    job = submit()
    claim()
    queue.cancel(job.id)
    clock(3600)
    queue.give_back_expired()
    assert queue.job(job.id).status is JobStatus.CANCELLED


def test_what_waits_runs_or_has_succeeded_is_not_retried() -> None:
    job = submit()
    with pytest.raises(InputError, match="QUEUED"):
        queue.retry(job.id)
    run_job(errands.deliver, queue.begin(claim().id, 1))
    with pytest.raises(InputError, match="SUCCEEDED"):
        queue.retry(job.id)


@pytest.mark.parametrize(
    ("kind", "failure", "cure"),
    [
        ("refuse", "milk cannot be delivered.", "Write the address."),
        ("stumble", "ZeroDivisionError", "log file"),
        ("forget", "ended without committing its success", "log file"),
    ],
)
def test_a_failure_is_a_sentence_without_secrets(kind: str, failure: str, cure: str) -> None:
    submit(kind)
    job = claim()
    run_job(getattr(errands, kind), queue.begin(job.id, job.attempt))
    ended = queue.job(job.id)
    assert ended.status is JobStatus.FAILED
    assert failure in (ended.failure or "")
    assert cure in (ended.cure or "")
    assert "password=milk" not in (ended.failure or "")


def test_reports_are_written_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    submit()
    job = claim()
    running = queue.begin(job.id, job.attempt)
    moment = 100.0
    monkeypatch.setattr(jobs.time, "monotonic", lambda: moment)
    running.tell(0.1, "one")
    running.tell(0.2, "two")
    assert queue.job(job.id).words == "one"
    moment = 100.6
    running.tell(3.0, "three")
    assert (queue.job(job.id).words, queue.job(job.id).progress) == ("three", 1.0)


def test_the_same_firing_is_queued_once() -> None:
    firing = (3, "2026-01-05T22:05:00.000Z")
    assert queue.submit("deliver", {"words": "paper"}, "daily", firing=firing)
    assert queue.submit("deliver", {"words": "paper"}, "daily", firing=firing) is None
    assert len(queue.jobs()) == 1


def test_the_registry_shows_running_jobs_first_and_the_newest_of_all() -> None:
    first, second, third = submit("wait"), submit("deliver"), submit("deliver", priority=3)
    claim()  # the third
    claim()  # the first
    assert [job.id for job in REGISTRY.open_jobs()] == [third.id, first.id, second.id]
    assert {job.id for job in REGISTRY.recent(2)} == {second.id, third.id}
