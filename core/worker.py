"""The worker: claims jobs, runs each in a process of its own, and keeps their rows true.

Several workers may run. One leads: it claims, fires schedules and gives back what a dead worker left; the
others stand by and take over within seconds. Whether a job is running is read from rows, never from memory,
so that the limits hold over a change of leader.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.child import start_child, stop_child
from core.errors import SequenceError
from core.heartbeats import Heart
from core.job_process import log_name
from core.jobs import Job, JobRegistry, JobStatus, Kind
from core.log import drop_old_logs, get_logger
from core.schedules import fire_due
from core.settings import CHECKOUT, current_settings

ROLE = "worker"
_TURN_SECONDS = 0.2
_BEAT_SECONDS = 2.0
# A job asked to cancel ends within a second, or is killed.
_CANCEL_GRACE_SECONDS = 0.7


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]


class Worker:
    """One worker; `turn` does everything that is due now and returns at once."""

    def __init__(self, registry: JobRegistry, folder: Path = CHECKOUT) -> None:
        self._registry = registry
        self._folder = folder
        self._heart = Heart(ROLE)
        self._running: list[_Running] = []
        self._last_beat = -_BEAT_SECONDS
        self._last_renewal = 0.0
        self._leads = False
        self._log = get_logger(__name__)

    def run(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Work until interrupted; then stop the jobs' processes and queue their jobs again."""
        try:
            while True:
                try:
                    self.turn()
                except SequenceError as error:  # a locked or damaged database: the others go on, this is tried again
                    self._log.warning("worker held up", what=error.what)
                    wait(_BEAT_SECONDS)
                wait(_TURN_SECONDS)
        finally:
            self.stop()

    def turn(self) -> None:
        """Beat, lead if possible, look after what runs, and begin what may begin."""
        if time.monotonic() - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = time.monotonic()
            was_leading, self._leads = self._leads, self._heart.leads(_lead_seconds())
            if self._leads and not was_leading:
                self._log.info("worker leads")
            leading = f"{len(self._running)} running" if self._running else "ready"
            self._heart.beat(leading if self._leads else "standing by")
            if self._leads:
                fire_due(self._registry)
        self._reap()
        self._hold()
        if self._leads:
            self._begin()

    def stop(self) -> None:
        """End the jobs' processes, queue their jobs again, and say goodbye."""
        for running in self._running:
            if running.process.stdin:
                running.process.stdin.close()  # all of them at once; each then has its grace
        for running in self._running:
            stop_child(running.process)
            self._settle(running, blameless=True)
        self._running = []
        self._heart.end()

    def _reap(self) -> None:
        """See which processes have ended; the row says how, or nothing, and then the process was killed."""
        for running in [each for each in self._running if each.process.poll() is not None]:
            self._settle(running, blameless=False)
            self._running.remove(running)

    def _settle(self, running: _Running, *, blameless: bool) -> None:
        if running.process.stdin:
            running.process.stdin.close()
        queue = self._registry.queues[running.job.queue]
        now = queue.job(running.job.id)
        if now.status is not JobStatus.RUNNING or now.attempt != running.job.attempt:
            return
        if now.cancel_asked:
            queue.mark_cancelled(now)
        else:
            self._log.warning("job ended without a word", job=now.id, status=running.process.returncode)
            queue.give_back(now, blameless=blameless)

    def _hold(self) -> None:
        """Renew leases in time, end what was cancelled, and what another worker has taken over."""
        due = time.monotonic() - self._last_renewal >= min(_BEAT_SECONDS, current_settings().jobs.lease_seconds / 3)
        if due:
            self._last_renewal = time.monotonic()
        for name, queue in self._registry.queues.items():
            mine = [running for running in self._running if running.job.queue == name]
            if not mine:
                continue
            jobs = [running.job for running in mine]
            held = {job.id: job for job in (queue.renew(jobs) if due else queue.jobs([JobStatus.RUNNING]))}
            for running in mine:
                now = held.get(running.job.id)
                if now is None or now.attempt != running.job.attempt or now.cancel_asked:
                    self._end(running)

    def _end(self, running: _Running) -> None:
        """Stop a process that has been cancelled or lost; one that has just ended by itself is reaped next turn."""
        stop_child(running.process, grace_seconds=_CANCEL_GRACE_SECONDS)

    def _begin(self) -> None:
        """Give back what dead workers left, then claim as much as may run at once."""
        for queue in self._registry.queues.values():
            own = {running.job.id for running in self._running if running.job.queue == queue.name}
            for job in queue.give_back_expired():
                self._log.warning("lease ran out", job=job.id, own=job.id in own)
        free = current_settings().jobs.running
        for queue in self._registry.queues.values():
            lasting, passing = self._kinds(queue.name, lasting=True), self._kinds(queue.name, lasting=False)
            while lasting and (claimed := queue.claim(lasting, self._heart.name)):
                self._start(claimed)
            free -= sum(job.kind in passing for job in queue.jobs([JobStatus.RUNNING]))
        for queue in self._registry.queues.values():
            passing = self._kinds(queue.name, lasting=False)
            while free > 0 and passing and (claimed := queue.claim(passing, self._heart.name)):
                self._start(claimed)
                free -= 1

    def _kinds(self, queue: str, *, lasting: bool) -> dict[str, Kind]:
        return {name: kind for name, kind in self._registry.kinds[queue].items() if kind.lasting is lasting}

    def _start(self, job: Job) -> None:
        arguments = (self._registry.path, job.queue, job.kind, str(job.id), str(job.attempt))
        process = start_child("core.job_process", *arguments, folder=self._folder)
        self._running.append(_Running(job, process))
        self._log.info("job begins", job=job.id, queue=job.queue, kind=job.kind, attempt=job.attempt, pid=process.pid)
        in_use = {log_name(each.queue, each.id) for each in self._registry.open_jobs()}
        drop_old_logs("jobs", current_settings().log.keep_jobs, spared=in_use)


def _lead_seconds() -> float:
    """How long a leader may be silent before another takes over: as long as its jobs' leases hold."""
    return max(current_settings().jobs.lease_seconds, 2 * _BEAT_SECONDS)
