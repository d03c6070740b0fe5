"""Who is alive: each long-running process writes a beat into `operations.db`, and one of several may lead."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core import tables
from core.clock import parse_utc, utc_text, wall_now, wall_text
from core.store import Store

STALE_SECONDS = 10.0
_FORGOTTEN_AFTER = timedelta(days=7)

operations = Store(tables.OPERATIONS)


@dataclass(frozen=True)
class Process:
    """A process that beats, or has beaten."""

    role: str
    host: str
    pid: int
    started_at: str
    beat_at: str
    words: str

    @property
    def age_seconds(self) -> float:
        """Since its last beat."""
        return (wall_now() - parse_utc(self.beat_at)).total_seconds()

    @property
    def is_alive(self) -> bool:
        """Whether it has beaten of late."""
        return self.age_seconds < STALE_SECONDS


class Heart:
    """The beats of this process in one role."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.started_at = wall_text()
        self.name = f"{role} {socket.gethostname()} {os.getpid()} {self.started_at}"

    def beat(self, words: str) -> None:
        """Say that this process lives, and what it is about."""
        values = {
            "role": self.role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self.started_at,
            "beat_at": wall_text(),
            "words": words,
        }
        columns = tables.processes.c
        beaten = insert(tables.processes).values(**values)
        beaten = beaten.on_conflict_do_update(
            index_elements=[columns.role, columns.host, columns.pid, columns.started_at],
            set_={"beat_at": values["beat_at"], "words": words},
        )
        with operations.write() as connection:
            connection.execute(beaten)
            forgotten = utc_text(wall_now() - _FORGOTTEN_AFTER)
            connection.execute(tables.processes.delete().where(columns.beat_at < forgotten))

    def end(self) -> None:
        """Say that this process ends; who led leads no more."""
        columns = tables.processes.c
        with operations.write() as connection:
            connection.execute(
                tables.processes.delete().where(
                    columns.role == self.role, columns.pid == os.getpid(), columns.started_at == self.started_at
                )
            )
            connection.execute(tables.leases.delete().where(tables.leases.c.holder == self.name))

    def leads(self, seconds: float) -> bool:
        """Whether this process leads its role for the next `seconds`: it did before, or nobody else does."""
        now, until = wall_text(), utc_text(wall_now() + timedelta(seconds=seconds))
        columns = tables.leases.c
        with operations.write() as connection:
            held = connection.execute(sa.select(tables.leases).where(columns.name == self.role)).mappings().first()
            if held and held["holder"] != self.name and held["until"] > now:
                return False
            taken = insert(tables.leases).values(name=self.role, holder=self.name, until=until)
            connection.execute(
                taken.on_conflict_do_update(index_elements=[columns.name], set_={"holder": self.name, "until": until})
            )
        return True


def processes(role: str | None = None) -> list[Process]:
    """The processes that beat or have beaten in the last days, newest beat first."""
    columns = [column for column in tables.processes.c if column.name != "id"]
    query = sa.select(*columns).order_by(tables.processes.c.beat_at.desc())
    rows = operations.rows(query if role is None else query.where(tables.processes.c.role == role))
    return [Process(**row) for row in rows]
