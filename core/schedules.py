"""Jobs on a schedule: the `schedules` table is the truth, APScheduler's cron trigger the clock.

A firing that was missed, because no worker ran, is made up once and counted, however many were missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from core import tables
from core.clock import parse_utc, utc_text, wall_now, wall_text
from core.errors import InputError
from core.heartbeats import operations
from core.jobs import JobRegistry
from core.log import get_logger
from core.names import unknown_name
from core.plain import plain
from core.store import inserted_id

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

# A worker that was busy for less has not missed anything.
_LATE = timedelta(seconds=60)
_COUNTED_MISSES = 10_000


@dataclass(frozen=True)
class Schedule:
    """One row of `schedules`; `cron` has five fields in UTC, `missed` counts firings nobody was there for."""

    id: int
    created_at: str
    title: str
    queue: str
    kind: str
    arguments: dict[str, Any]
    cron: str
    enabled: int
    next_run_at: str
    last_fired_at: str | None
    missed: int


def next_firing(cron: str, after: datetime) -> datetime:
    """The first time after `after` (aware) that five-field `cron` names, in UTC. Raises InputError."""
    found: datetime | None = _clock(cron).get_next_fire_time(None, after + timedelta(microseconds=1))
    if found is None:
        raise InputError(f"cron={cron!r} names no time that ever comes.", "Check its day and month.")
    return found


@lru_cache(maxsize=64)
def _clock(cron: str) -> CronTrigger:
    from apscheduler.triggers.cron import CronTrigger

    cure = "Give minute, hour, day, month and weekday in UTC: '5 22 * * mon-fri' is 22:05 on weekdays."
    # APScheduler counts weekdays from Monday, crontab from Sunday: a number would mean another day to half its readers.
    if any(sign.isdigit() for sign in cron.rpartition(" ")[2]):
        raise InputError(f"cron={cron!r} numbers its weekday.", f"Name it: mon, tue … sun. {cure}")
    try:
        return CronTrigger.from_crontab(cron, timezone=UTC)
    except ValueError as error:
        raise InputError(f"cron={cron!r} cannot be used ({error}).", cure) from None


def add_schedule(
    registry: JobRegistry, queue: str, kind: str, arguments: Mapping[str, Any], *, title: str, cron: str
) -> Schedule:
    """Have a job submitted whenever `cron` says. Raises InputError or UnknownNameError."""
    registry.kind(queue, kind)
    values = {
        "created_at": wall_text(),
        "title": title,
        "queue": queue,
        "kind": kind,
        "arguments": plain(arguments),
        "cron": cron,
        "enabled": 1,
        "next_run_at": utc_text(next_firing(cron, wall_now())),
        "missed": 0,
    }
    with operations.write() as connection:
        schedule_id = inserted_id(connection, tables.schedules, values)
    return schedule(schedule_id)


def schedules() -> list[Schedule]:
    """All schedules, newest first."""
    return [
        Schedule(**row) for row in operations.rows(sa.select(tables.schedules).order_by(tables.schedules.c.id.desc()))
    ]


def schedule(schedule_id: int) -> Schedule:
    """The schedule of that id. Raises UnknownNameError."""
    found = [each for each in schedules() if each.id == schedule_id]
    if not found:
        raise unknown_name("schedule", str(schedule_id), [str(each.id) for each in schedules()])
    return found[0]


def enable_schedule(schedule_id: int, enabled: bool) -> Schedule:
    """Switch a schedule on, from its next time after now, or off."""
    following = utc_text(next_firing(schedule(schedule_id).cron, wall_now()))
    _update(schedule_id, enabled=int(enabled), next_run_at=following)
    return schedule(schedule_id)


def delete_schedule(schedule_id: int) -> None:
    """Forget a schedule; the jobs it has queued stay."""
    schedule(schedule_id)
    with operations.write() as connection:
        connection.execute(tables.schedules.delete().where(tables.schedules.c.id == schedule_id))


def fire_due(registry: JobRegistry, now: datetime | None = None) -> int:
    """Queue the jobs of the schedules that are due at `now`; how many.

    Safe to call from several workers at once, and again after a kill: a firing is queued once, because
    the queue knows it by schedule and time, and only then does the schedule move on.
    """
    now = now or wall_now()
    due = [each for each in schedules() if each.enabled and parse_utc(each.next_run_at) <= now]
    for each in due:
        try:
            _fire(registry, each, now)
        except InputError as error:  # a kind that this version no longer has must not stop the others
            get_logger(__name__).warning("schedule cannot fire", schedule=each.id, what=error.what)
            _update(each.id, enabled=0)
    return len(due)


def _fire(registry: JobRegistry, each: Schedule, now: datetime) -> None:
    registry.kind(each.queue, each.kind)
    planned = parse_utc(each.next_run_at)
    missed = _missed(each.cron, planned, now)
    title = f"{each.title} (made up for {planned:%Y-%m-%d %H:%M} UTC)" if missed else each.title
    registry.queues[each.queue].submit(each.kind, each.arguments, title, firing=(each.id, each.next_run_at))
    _update(
        each.id,
        next_run_at=utc_text(next_firing(each.cron, now)),
        last_fired_at=utc_text(now),
        missed=each.missed + missed,
    )


def _missed(cron: str, planned: datetime, now: datetime) -> int:
    """How many firings nobody was there for at their time."""
    count = 0
    while now - planned > _LATE and count < _COUNTED_MISSES:
        count += 1
        planned = next_firing(cron, planned)
    return count


def _update(schedule_id: int, **values: Any) -> None:
    with operations.write() as connection:
        connection.execute(tables.schedules.update().where(tables.schedules.c.id == schedule_id).values(**values))
