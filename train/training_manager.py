"""The door of the training floor.

    from train.training_manager import manager, TrainingJob

    manager.submit_job(TrainingJob(job_id="lstm_1", model_name="LSTM", dataset=version.content_hash))
    status = manager.get_job_status("lstm_1")

Jobs wait in `training_jobs.db` and are trained by the worker, `python main.py --mode worker`. Importing this touches
no disk and imports no torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from core.errors import InputError, NameTakenError, SequenceError
from core.heartbeats import processes
from core.jobs import OPEN, JobStatus
from core.names import unknown_name
from core.settings import current_settings
from core.worker import ROLE
from data.versions import DatasetVersion
from train import registry, tables
from train.jobs import content_of, job_folder, queue, training_arguments, training_title
from train.monitor import GpuMonitor
from train.training_job import TrainingJob

__all__ = ["Comparison", "TrainingJob", "TrainingManager", "manager"]

_LISTED = 1_000  # open jobs that are listed at once
NO_WORKER = "a worker; start one with `python main.py --mode worker`"


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: only the settings that differ, the figures of each, and the curve of every epoch.

    `settings` is setting → job_id → value; `metrics` job_id → figure → value, those of the best epoch and, once
    judged, of the test part beside the baseline; `epochs` the rows of `training_epochs` by job_id.
    """

    job_ids: list[str]
    settings: dict[str, dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    epochs: dict[str, list[dict[str, Any]]]


class TrainingManager:
    """Submits training jobs, tells where they stand, and compares what came out."""

    def __init__(self) -> None:
        self.gpu_monitor = GpuMonitor()

    def submit_job(self, job: TrainingJob) -> dict[str, Any]:
        """Queue a job and return its status; without a worker it waits, and says so.

        A job that was submitted before under the same job_id with the same content is returned as it stands. Raises
        NameTakenError, naming a free job_id, where the content differs, and InputError for what can never be trained.
        """
        if not isinstance(job, TrainingJob):
            raise InputError(f"submit_job was given {type(job).__name__}.", "Give it a TrainingJob.")
        arguments = training_arguments(job)
        stored = self._find(job.job_id)
        if stored is None:
            try:
                queue.submit("train", arguments, training_title(job), priority=job.priority)
            except NameTakenError:
                stored = self._find(job.job_id)
        if stored is not None and content_of(stored["arguments"]) != content_of(arguments):
            raise NameTakenError(
                f"job_id={job.job_id!r} already stands for another training.",
                f"{self._free_job_id(job.job_id)!r} is free.",
            )
        return self.get_job_status(job.job_id)

    def get_job_status(self, job_id: str) -> dict[str, Any]:
        """The row of `training_jobs` with `waiting_reason` (None unless it waits) and `seconds_left`.

        `seconds_left` is reckoned from the epochs so far, all of them to come; None before the first. Raises
        UnknownNameError with the nearest job_id.
        """
        return self._told([self._row(job_id)])[0]

    def get_queue_status(self, limit: int | None = _LISTED) -> dict[str, Any]:
        """How many jobs there are in each state, whether a worker runs, and the open `jobs`: running, then in turn.

        At most `limit` of them are listed; the counts are of all.
        """
        count = sa.func.count().label("count")
        query = sa.select(tables.jobs.c.status, count).group_by(tables.jobs.c.status)
        found = {row["status"]: row["count"] for row in queue.store.rows(query)}
        return {
            **{status.value.lower(): found.get(status, 0) for status in JobStatus},
            "total": sum(found.values()),
            "worker_running": _worker_runs(),
            "most_at_once": current_settings().training.running,
            "jobs": self._told([*self._rows([JobStatus.RUNNING]), *self._waiting(limit)]),
        }

    def get_running_jobs(self) -> list[dict[str, Any]]:
        """The status of every job that is being trained."""
        return self._told(self._rows([JobStatus.RUNNING]))

    def cancel_job(self, *job_ids: str) -> list[dict[str, Any]]:
        """End jobs: waiting ones at once, running ones within a second. What has ended stays as it is."""
        rows = [self._row(job_id) for job_id in job_ids]
        for row in rows:
            queue.cancel(row["id"])
        return [self.get_job_status(job_id) for job_id in job_ids]

    def resume(self, *job_ids: str) -> list[dict[str, Any]]:
        """Queue failed, cancelled or interrupted jobs again; they go on after the last epoch that was stored.

        Raises InputError for a job that waits, runs or has succeeded.
        """
        rows = [self._row(job_id) for job_id in job_ids]
        for row in rows:
            queue.retry(row["id"])
        return [self.get_job_status(job_id) for job_id in job_ids]

    def retry(self, *job_ids: str) -> list[dict[str, Any]]:
        """Queue failed, cancelled or interrupted jobs again from their first epoch. Raises InputError like `resume`."""
        for job_id in job_ids:
            row = self._row(job_id)
            if row["status"] in {*OPEN, JobStatus.SUCCEEDED}:
                queue.retry(row["id"])  # refuses it in its own words
            shutil.rmtree(job_folder(job_id), ignore_errors=True)
            fresh = {"checkpoint": None, "progress": 0.0, "current_epoch": 0, "seconds": 0.0}
            with queue.store.write() as connection:
                ended = (tables.jobs.c.id == row["id"]) & tables.jobs.c.status.not_in(list(OPEN))
                changed = queue.update(connection, [ended], **fresh, best_epoch=None, best_metric=None)
                if changed:
                    connection.execute(tables.epochs.delete().where(tables.epochs.c.training_id == row["id"]))
            queue.retry(row["id"])
        return [self.get_job_status(job_id) for job_id in job_ids]

    def set_priority(self, job_id: str, priority: int) -> dict[str, Any]:
        """Let a waiting job come earlier (higher) or later (lower)."""
        queue.set_priority(self._row(job_id)["id"], priority)
        return self.get_job_status(job_id)

    def reorder(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Let the waiting jobs come in this order, those not named after them; the first 1,000 as they stand then.

        Priorities are raised as far as the order needs. Names of jobs that wait no more are passed over.
        """
        columns = tables.jobs.c
        wanted = [self._row(job_id)["id"] for job_id in dict.fromkeys(job_ids)]
        with queue.store.write() as connection:
            query = sa.select(columns.id, columns.priority).where(columns.status == JobStatus.QUEUED)
            turn = connection.execute(query.order_by(columns.priority.desc(), columns.id)).all()
            priorities = {int(key): int(priority) for key, priority in turn}
            named = [key for key in wanted if key in priorities]
            order = [*named, *(key for key in priorities if key not in named)]
            for key, after in reversed(list(pairwise(order))):
                least = priorities[after] + (key > after)  # of equal priority the older one comes first
                if priorities[key] < least:
                    priorities[key] = least
                    queue.update(connection, [columns.id == key], priority=least)
        return self._told(self._waiting(_LISTED))

    def remove(self, *job_ids: str) -> None:
        """Delete ended jobs with epochs and checkpoints. Raises InputError for an open one, or one with a model."""
        for job_id in job_ids:
            row = self._row(job_id)
            made = registry.list_models(job_id=job_id)
            if made:
                raise InputError(f"{job_id} made {made[0].label}; it was not removed.", "Delete that model first.")
            with queue.store.write() as connection:
                ended = (tables.jobs.c.id == row["id"]) & tables.jobs.c.status.not_in(list(OPEN))
                gone = connection.execute(tables.jobs.delete().where(ended)).rowcount
            if not gone:
                raise InputError(f"{job_id} waits or runs; it was not removed.", "Cancel it first.")
            shutil.rmtree(job_folder(job_id), ignore_errors=True)

    def history(
        self,
        limit: int | None = 100,
        *,
        text: str = "",
        model_name: str | None = None,
        symbol: str | None = None,
        status: str | None = None,
    ) -> list[dict[str, Any]]:
        """Jobs of every state, newest first; what is empty or None asks nothing. `text` is looked for in names."""
        columns = tables.jobs.c
        query = sa.select(tables.jobs).order_by(columns.id.desc()).limit(limit)
        for name, value in (("model_name", model_name), ("symbol", symbol), ("status", status)):
            if value is not None:
                query = query.where(columns[name] == value)
        if text.strip():
            query = query.where(
                sa.or_(*(each.icontains(text.strip(), autoescape=True) for each in (columns.job_id, columns.title)))
            )
        return self._told(queue.store.rows(query))

    def epochs_of(self, job_id: str, fold: int | None = 0) -> list[dict[str, Any]]:
        """The rows of `training_epochs` of a job in order; fold 0 is the model, others its folds, None all."""
        columns = tables.epochs.c
        query = sa.select(tables.epochs).where(columns.training_id == self._row(job_id)["id"])
        query = query if fold is None else query.where(columns.fold == fold)
        return queue.store.rows(query.order_by(columns.fold, columns.epoch))

    def compare(self, job_ids: Sequence[str]) -> Comparison:
        """Runs side by side. Raises UnknownNameError, and InputError for fewer than two."""
        names = list(dict.fromkeys(job_ids))
        if len(names) < 2:
            raise InputError(f"{len(names)} run cannot be compared.", "Name two or more.")
        rows = {name: self._row(name) for name in names}
        asked = {name: _flat(content_of(row["arguments"])) for name, row in rows.items()}
        every = sorted({key for each in asked.values() for key in each})
        settings = {key: {name: asked[name].get(key) for name in names} for key in every}
        differing = {key: values for key, values in settings.items() if len({repr(v) for v in values.values()}) > 1}
        return Comparison(
            names,
            differing,
            {name: self._figures(row) for name, row in rows.items()},
            {name: self.epochs_of(name) for name in names},
        )

    def users_of(self, version: DatasetVersion) -> list[str]:
        """What stands or falls with a dataset version: models made of it, and jobs that wait for it or train on it."""
        made = [f"model {each.label}" for each in registry.list_models() if each.dataset_hash == version.content_hash]
        columns = tables.jobs.c
        query = sa.select(columns.job_id).where(
            columns.dataset_hash == version.content_hash, columns.status.in_(list(OPEN))
        )
        return [*made, *(f"training job {row['job_id']}" for row in queue.store.rows(query))]

    def _figures(self, row: dict[str, Any]) -> dict[str, Any]:
        epochs = self.epochs_of(row["job_id"])
        best = next((each for each in reversed(epochs) if each["is_best"]), None)
        found: dict[str, Any] = {
            "status": row["status"],
            "epochs": row["current_epoch"],
            "best_epoch": row["best_epoch"],
            "metric_name": row["metric_name"],
            "validation_metric": row["best_metric"],
            "validation_loss": None if best is None else best["validation_loss"],
            "seconds": row["seconds"],
        }
        made = registry.list_models(job_id=row["job_id"])
        if made:
            test, naive = made[0].card["metrics"]["test"], made[0].card["metrics"]["baseline"]
            for name, value in test.items():
                if isinstance(value, (int, float)) and name not in {"samples", "threshold"}:
                    found[f"test_{name}"] = value
                    found[f"baseline_{name}"] = naive.get(name)
            found["model"] = made[0].label
        return found

    def _told(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows with what a reader asks of them: why they wait, and for how long they will train."""
        waiting = [row["id"] for row in rows if row["status"] == JobStatus.QUEUED]
        reasons = self._waiting_reasons(waiting) if waiting else {}
        return [{**row, "waiting_reason": reasons.get(row["id"]), "seconds_left": _seconds_left(row)} for row in rows]

    def _waiting_reasons(self, waiting: Sequence[int]) -> dict[int, str]:
        """Why each of these jobs waits: for a worker, for room, or for those before it."""
        if not _worker_runs():
            return dict.fromkeys(waiting, f"waits for {NO_WORKER}")
        columns = tables.jobs.c
        before = sa.func.row_number().over(order_by=(columns.priority.desc(), columns.id)) - 1
        turn = sa.select(columns.id, before.label("before")).where(columns.status == JobStatus.QUEUED).subquery()
        asked = sa.select(turn).where(turn.c.id.in_(waiting) | (turn.c.before == 0))
        found = {row["id"]: row["before"] for row in queue.store.rows(asked)}
        after = {key: f"waits for {at} job{'' if at == 1 else 's'} before it" for key, at in found.items() if at}
        first = next((key for key, at in found.items() if not at), None)
        return after if first is None or first not in waiting else {**after, first: self._reason_of_first(first)}

    def _reason_of_first(self, first: int) -> str:
        """What the job whose turn it is waits for."""
        try:
            reason = queue.waits_for(queue.job(first), queue.jobs([JobStatus.RUNNING]))
        except SequenceError as error:
            return f"{error.what} {error.cure}"
        return f"waits for {reason or _place_of_all()}"

    def _waiting(self, limit: int | None) -> list[dict[str, Any]]:
        query = sa.select(tables.jobs).where(tables.jobs.c.status == JobStatus.QUEUED)
        return queue.store.rows(query.order_by(tables.jobs.c.priority.desc(), tables.jobs.c.id).limit(limit))

    def _rows(self, statuses: Sequence[JobStatus]) -> list[dict[str, Any]]:
        query = sa.select(tables.jobs).where(tables.jobs.c.status.in_(list(statuses)))
        return queue.store.rows(query.order_by(tables.jobs.c.id))

    def _find(self, job_id: str) -> dict[str, Any] | None:
        found = queue.store.rows(sa.select(tables.jobs).where(tables.jobs.c.job_id == str(job_id)))
        return found[0] if found else None

    def _row(self, job_id: str) -> dict[str, Any]:
        found = self._find(job_id)
        if found is None:
            known = sa.select(tables.jobs.c.job_id).order_by(tables.jobs.c.id.desc()).limit(50)
            raise unknown_name("training job", str(job_id), [row["job_id"] for row in queue.store.rows(known)])
        return found

    def _free_job_id(self, wanted: str) -> str:
        number = 2
        while self._find(f"{wanted[:58]}_{number}") is not None:
            number += 1
        return f"{wanted[:58]}_{number}"


def _worker_runs() -> bool:
    return any(each.is_alive for each in processes(ROLE))


def _place_of_all() -> str:
    """What a job waits for that the training queue itself would let begin."""
    return f"one of {current_settings().jobs.running} places for jobs of every kind, or the worker's next look"


def _seconds_left(row: dict[str, Any]) -> float | None:
    done = row["progress"]
    if row["status"] not in OPEN or not row["current_epoch"] or not 0 < done < 1:
        return None
    return float(row["seconds"] * (1 - done) / done)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """`parameters.hidden_size` beside `epochs`: settings of every level as one row."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name == "parameters":
            flat.update({f"parameters.{each}": inner for each, inner in value.items()})
        else:
            flat[name] = value
    return flat


manager = TrainingManager()
