"""Jobs: the one way long work is done. A row is the only truth; a worker runs it in a process of its own.

    job = queue.submit("collect", {"symbols": ["EURUSD"]}, title="Collect EURUSD")
    queue.job(job.id).status            # QUEUED until a worker claims it

A job's function gets a `RunningJob`. What it writes is fenced by its attempt: a process that was given up
for dead and comes back cannot write over its successor. The function itself commits SUCCEEDED, in the
transaction that stores its result, so that no kill can separate the two.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from core.clock import parse_utc, utc_text, wall_now, wall_text
from core.errors import InputError, SequenceError
from core.names import unknown_name
from core.plain import plain
from core.settings import current_settings
from core.store import Store, inserted_id

_SECONDS_BETWEEN_REPORTS = 0.5


class JobStatus(StrEnum):
    """Where a job stands. INTERRUPTED is one whose process was killed more often than it may be begun again."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"


OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)
RETRIABLE = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED)


class JobLostError(Exception):
    """This attempt is no longer the one that counts; whatever it was about to write is not written."""


@dataclass(frozen=True)
class Job:
    """One row of a queue; times are UTC text, `progress` a fraction of 1."""

    id: int
    created_at: str
    kind: str
    title: str
    arguments: dict[str, Any]
    status: JobStatus
    priority: int
    attempt: int
    attempts_allowed: int
    started_at: str | None
    ended_at: str | None
    worker: str | None
    lease_until: str | None
    progress: float
    words: str
    cancel_asked: int
    checkpoint: dict[str, Any] | None
    result: dict[str, Any] | None
    failure: str | None
    cure: str | None
    schedule_id: int | None
    fire_time: str | None
    queue: str

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.status in OPEN

    @property
    def elapsed_seconds(self) -> float:
        """How long its newest attempt has run, or ran; 0 before the first."""
        if self.started_at is None:
            return 0.0
        end = parse_utc(self.ended_at) if self.ended_at else wall_now()
        return max(0.0, (end - parse_utc(self.started_at)).total_seconds())


@dataclass(frozen=True)
class Kind:
    """A kind of work: the function that does it (`module:function`, imported in the job's own process only).

    `at_once` is how many of the kind may run at the same time. A `lasting` one works until it is stopped and mostly
    waits: it takes none of the places that `jobs.running` gives.
    """

    name: str
    target: str
    at_once: int = 2
    lasting: bool = False


class JobQueue:
    """The jobs of one module, kept in its own database."""

    def __init__(self, name: str, store: Store, table: sa.Table) -> None:
        self.name = name
        self.store = store
        self._table = table

    def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        title: str,
        *,
        priority: int = 0,
        firing: tuple[int, str] | None = None,
    ) -> Job | None:
        """Queue a job and return it; of higher `priority` comes first. It waits where no worker runs.

        `firing` is (schedule, time): the same one is queued once however often it is submitted; then None.
        """
        schedule_id, fire_time = firing or (None, None)
        values = {
            "created_at": wall_text(),
            "kind": kind,
            "title": title,
            "arguments": plain(arguments),
            "status": JobStatus.QUEUED,
            "priority": priority,
            "attempt": 0,
            "attempts_allowed": current_settings().jobs.attempts,
            "progress": 0.0,
            "words": "",
            "cancel_asked": 0,
            "schedule_id": schedule_id,
            "fire_time": fire_time,
        }
        values = {**values, **self.own_columns(values)}
        with self.store.write() as connection:
            if firing and connection.execute(self._where(schedule_id=schedule_id, fire_time=fire_time)).first():
                return None
            job_id = inserted_id(connection, self._table, values)
        return self.job(job_id)

    def job(self, job_id: int) -> Job:
        """The job of that id; raises UnknownNameError."""
        found = self.store.rows(self._where(id=job_id))
        if not found:
            raise unknown_name(f"{self.name} job", str(job_id), [])
        return self._job(found[0])

    def jobs(self, statuses: Iterable[JobStatus] | None = None, limit: int | None = None) -> list[Job]:
        """The jobs of these statuses (all of them without any), newest first."""
        query = sa.select(self._table).order_by(self._table.c.id.desc()).limit(limit)
        if statuses is not None:
            query = query.where(self._table.c.status.in_(list(statuses)))
        return [self._job(row) for row in self.store.rows(query)]

    def waiting(self) -> list[Job]:
        """The queued jobs in the order in which they will be claimed."""
        return [self._job(row) for row in self.store.rows(self._claimable())]

    def cancel(self, job_id: int) -> Job:
        """End a job: at once while it waits; a running one is told, and ends within a second.

        What has ended stays as it is. Raises UnknownNameError.
        """
        self.job(job_id)
        self._update(
            [self._table.c.id == job_id, self._table.c.status == JobStatus.QUEUED],
            status=JobStatus.CANCELLED,
            ended_at=wall_text(),
            words="cancelled before it began",
        )
        self._update([self._table.c.id == job_id, self._table.c.status == JobStatus.RUNNING], cancel_asked=1)
        return self.job(job_id)

    def retry(self, job_id: int) -> Job:
        """Queue a failed, cancelled or interrupted job again; it goes on from its checkpoint.

        Raises InputError for a job that waits, runs or has succeeded.
        """
        job = self.job(job_id)
        changed = self._update(
            [self._table.c.id == job_id, self._table.c.status.in_(list(RETRIABLE))],
            status=JobStatus.QUEUED,
            attempts_allowed=job.attempt + current_settings().jobs.attempts,
            cancel_asked=0,
            ended_at=None,
            failure=None,
            cure=None,
            words="",
        )
        if not changed:
            raise InputError(f"Job {job_id} is {job.status} and cannot be retried.", "Submit it again instead.")
        return self.job(job_id)

    def set_priority(self, job_id: int, priority: int) -> Job:
        """Let a waiting job come earlier (higher) or later (lower)."""
        self.job(job_id)
        self._update([self._table.c.id == job_id, self._table.c.status == JobStatus.QUEUED], priority=priority)
        return self.job(job_id)

    # Hooks for a queue whose table has columns of its own, or whose jobs need more than a free place.

    def own_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in the columns that the queue's table adds, for a job about to be queued with `values`."""
        return {}

    def waits_for(self, job: Job, running: Sequence[Job]) -> str | None:
        """Why `job` may not begin beside those that run, None when it may; asked with the database held.

        Nothing overtakes a job that waits so, or a large one would wait for ever. Raises SequenceError for one
        that can never begin: it fails with that sentence.
        """
        return None

    # What follows is for the worker alone.

    def claim(self, kinds: Mapping[str, Kind], worker: str) -> Job | None:
        """Make the next waiting job RUNNING under a lease, alone in the database; None where none may begin."""
        if not self.store.rows(self._claimable().limit(1)):  # most turns: nobody is kept from writing
            return None
        lease = _lease_end()
        with self.store.write() as connection:
            rows = connection.execute(self._where(status=JobStatus.RUNNING)).mappings().all()
            beside = [self._job(dict(row)) for row in rows]
            running = Counter(job.kind for job in beside)
            for row in connection.execute(self._claimable()).mappings():
                kind = kinds.get(row["kind"])
                if kind is None or running[kind.name] >= kind.at_once:
                    continue
                try:
                    if self.waits_for(self._job(dict(row)), beside):
                        return None
                except SequenceError as error:
                    self._refuse(connection, row["id"], error)
                    continue
                connection.execute(
                    self._table.update()
                    .where(self._table.c.id == row["id"])
                    .values(
                        status=JobStatus.RUNNING,
                        attempt=row["attempt"] + 1,
                        worker=worker,
                        lease_until=lease,
                        started_at=wall_text(),
                        words="starting",
                    )
                )
                job_id = row["id"]
                break
            else:
                return None
        return self.job(job_id)

    def _refuse(self, connection: sa.Connection, job_id: int, error: SequenceError) -> None:
        failed = {"status": JobStatus.FAILED, "ended_at": wall_text(), "words": "failed"}
        which = self._table.c.id == job_id
        connection.execute(
            self._table.update().where(which).values(**failed, failure=error.what, cure=error.cure or None)
        )

    def renew(self, jobs: Sequence[Job]) -> list[Job]:
        """Extend the leases of running jobs; the jobs as they are now, without those that were lost or have ended."""
        if not jobs:
            return []
        held = sa.or_(*(self._fence(job) for job in jobs))
        with self.store.write() as connection:
            connection.execute(self._table.update().where(held).values(lease_until=_lease_end()))
            rows = connection.execute(sa.select(self._table).where(held)).mappings().all()
        return [self._job(dict(row)) for row in rows]

    def give_back(self, job: Job, *, blameless: bool) -> None:
        """Queue a running job again whose process ended without a word; interrupted when that was once too often.

        A `blameless` end (its worker was stopped) does not count.
        """
        allowed = job.attempts_allowed + blameless
        if job.attempt < allowed:
            self._update(
                [self._fence(job)], status=JobStatus.QUEUED, attempts_allowed=allowed, lease_until=None, words=""
            )
        else:
            self._update(
                [self._fence(job)],
                status=JobStatus.INTERRUPTED,
                ended_at=wall_text(),
                lease_until=None,
                failure=f"Its process was killed {job.attempt} times before it could end.",
                cure="Look for what kills it (memory?), then retry it; it goes on from its checkpoint.",
            )

    def give_back_expired(self) -> list[Job]:
        """Give back the running jobs whose lease ran out: their worker is dead, or as good as dead."""
        expired = [job for job in self.jobs([JobStatus.RUNNING]) if (job.lease_until or "") < wall_text()]
        for job in expired:
            if job.cancel_asked:
                self.mark_cancelled(job)
            else:
                self.give_back(job, blameless=False)
        return expired

    def mark_cancelled(self, job: Job) -> None:
        """Write that a running job was ended on request, unless it has ended otherwise meanwhile."""
        self._update(
            [self._fence(job)], status=JobStatus.CANCELLED, ended_at=wall_text(), lease_until=None, words="cancelled"
        )

    def begin(self, job_id: int, attempt: int) -> RunningJob:
        """The job as its own process sees it."""
        return RunningJob(self, self.job(job_id), attempt)

    def _claimable(self) -> sa.Select[Any]:
        return (
            sa.select(self._table)
            .where(self._table.c.status == JobStatus.QUEUED)
            .order_by(self._table.c.priority.desc(), self._table.c.id)
        )

    def _where(self, **values: Any) -> sa.Select[Any]:
        return sa.select(self._table).filter_by(**values)

    def _fence(self, job: Job) -> sa.ColumnElement[bool]:
        return self.fence(job.id, job.attempt)

    def fence(self, job_id: int, attempt: int) -> sa.ColumnElement[bool]:
        """True for the row of a running job as long as `attempt` is the one that counts."""
        columns = self._table.c
        return sa.and_(columns.id == job_id, columns.attempt == attempt, columns.status == JobStatus.RUNNING)

    def update(self, connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], **values: Any) -> int:
        """Change rows inside an open write transaction; how many."""
        return connection.execute(self._table.update().where(*conditions).values(**values)).rowcount

    def _update(self, conditions: Sequence[sa.ColumnElement[bool]], **values: Any) -> int:
        with self.store.write() as connection:
            return self.update(connection, conditions, **values)

    def _job(self, row: Mapping[str, Any]) -> Job:
        names = {field.name for field in fields(Job)}
        known = {name: value for name, value in row.items() if name in names}
        return Job(**{**known, "status": JobStatus(row["status"])}, queue=self.name)


class RunningJob:
    """A job in its own process: what it was asked, and how it reports. Every write is fenced by the attempt.

    Each method raises JobLostError when another attempt has taken over, or the job was ended.
    """

    def __init__(self, queue: JobQueue, job: Job, attempt: int) -> None:
        self.id = job.id
        self.attempt = attempt
        self.title = job.title
        self.arguments = job.arguments
        self.checkpoint: dict[str, Any] = job.checkpoint or {}
        self.succeeded = False
        self._queue = queue
        self._fence = queue.fence(job.id, attempt)
        self._last_report = 0.0

    def tell(self, progress: float, words: str) -> None:
        """Report how far the work is (a fraction of 1) and what is being done; written at most twice a second."""
        if time.monotonic() - self._last_report < _SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = time.monotonic()
        with self._queue.store.write() as connection:
            self._fenced(connection, progress=min(1.0, max(0.0, progress)), words=words)

    def save(self, **checkpoint: Any) -> None:
        """Remember, beside what was remembered before, what need not be done again after a kill."""
        with self._queue.store.write() as connection:
            self.note(connection, **checkpoint)

    def note(self, connection: sa.Connection, **checkpoint: Any) -> None:
        """The same within the caller's transaction, which stores what need not be done again."""
        self.checkpoint = {**self.checkpoint, **plain(checkpoint)}
        self._fenced(connection, checkpoint=self.checkpoint)

    def enter(self, connection: sa.Connection, **columns: Any) -> None:
        """Write columns that the queue's own table adds, within the caller's transaction."""
        self._fenced(connection, **columns)

    def succeed(self, connection: sa.Connection, result: Mapping[str, Any], words: str = "") -> None:
        """Commit success with the caller's transaction, which stores the result of the work."""
        self._end(connection, status=JobStatus.SUCCEEDED, progress=1.0, result=plain(result), words=words)
        self.succeeded = True

    def succeed_alone(self, result: Mapping[str, Any], words: str = "") -> None:
        """Commit success of work whose result is stored elsewhere, or nowhere."""
        with self._queue.store.write() as connection:
            self.succeed(connection, result, words)

    def fail(self, what: str, cure: str) -> None:
        """Commit failure, in words."""
        with self._queue.store.write() as connection:
            self._end(connection, status=JobStatus.FAILED, failure=what, cure=cure, words="failed")

    def _end(self, connection: sa.Connection, **values: Any) -> None:
        self._fenced(connection, ended_at=wall_text(), lease_until=None, **values)

    def _fenced(self, connection: sa.Connection, **values: Any) -> None:
        if not self._queue.update(connection, [self._fence], **values):
            raise JobLostError(f"job {self.id} of {self._queue.name} is another attempt's now")


@dataclass(frozen=True)
class JobRegistry:
    """The queues and kinds of a product, as its composition root registers them.

    `path` is where the registry itself stands (`module:name`), so that a job's process can find it again.
    """

    path: str
    queues: Mapping[str, JobQueue]
    kinds: Mapping[str, Mapping[str, Kind]]

    def submit(self, queue: str, kind: str, arguments: Mapping[str, Any], title: str, priority: int = 0) -> Job:
        """Queue a job of a registered kind. Raises UnknownNameError."""
        self.kind(queue, kind)
        job = self.queues[queue].submit(kind, arguments, title, priority=priority)
        if job is None:
            raise InputError(f"{title} could not be queued.", "Try again.")
        return job

    def kind(self, queue: str, kind: str) -> Kind:
        """The registered kind of that name. Raises UnknownNameError."""
        if kind not in self.kinds.get(queue, {}):
            known = [f"{each}/{one}" for each, kinds in self.kinds.items() for one in kinds]
            raise unknown_name("kind of job", f"{queue}/{kind}", known)
        return self.kinds[queue][kind]

    def is_lasting(self, job: Job) -> bool:
        """Whether a job works until it is stopped, so that it has no progress to tell."""
        kind = self.kinds.get(job.queue, {}).get(job.kind)
        return kind is not None and kind.lasting

    def open_jobs(self) -> list[Job]:
        """Running jobs first, then waiting ones in their order."""
        queues = self.queues.values()
        running = [job for queue in queues for job in queue.jobs([JobStatus.RUNNING])]
        waiting = [job for queue in queues for job in queue.waiting()]
        return [*sorted(running, key=lambda job: job.started_at or ""), *waiting]

    def recent(self, limit: int) -> list[Job]:
        """The newest jobs of all queues, newest first."""
        found = [job for queue in self.queues.values() for job in queue.jobs(limit=limit)]
        return sorted(found, key=lambda job: job.created_at, reverse=True)[:limit]


JobFunction = Callable[[RunningJob], None]


def _lease_end() -> str:
    return utc_text(wall_now() + timedelta(seconds=current_settings().jobs.lease_seconds))
