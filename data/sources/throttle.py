"""Turns at a vendor's server, shared by all processes of one workbench.

Each request reserves the next free moment in `data_pipeline.db`, in one short transaction, and then waits for
it outside: no process holds the database while it waits, and no two get the same moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from core.clock import parse_utc, utc_now, utc_text
from core.store import Store
from data.tables import source_throttle


class Throttle:
    """The turns at the server of one `source`.

    `wait` gets seconds and may end the wait by raising, as a job that is cancelled does; its turn then passes
    unused. `clock` is the time of day, which all processes share.
    """

    def __init__(
        self,
        store: Store,
        source: str,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._source = source
        self._wait = wait
        self._clock = clock

    def take_turn(self, pause_seconds: float) -> None:
        """Return when it is this request's turn; the next one comes `pause_seconds` later, whoever asks."""
        if not pause_seconds:
            return
        with self._store.write() as connection:
            now = self._clock()
            turn = now + self._queue(connection, now)
            self._reserve(connection, now, turn + timedelta(seconds=pause_seconds))
        if turn > now:
            self._wait((turn - now).total_seconds())

    def hold_off(self, seconds: float) -> None:
        """Give nobody a turn for so long: the server said that it is asked too often."""
        if not seconds:
            return
        with self._store.write() as connection:
            now = self._clock()
            self._reserve(connection, now, now + max(self._queue(connection, now), timedelta(seconds=seconds)))

    def _queue(self, connection: sa.Connection, now: datetime) -> timedelta:
        """How long the turns given out so far last from now."""
        found = connection.execute(sa.select(source_throttle).where(source_throttle.c.source == self._source)).first()
        if found is None:
            return timedelta(0)
        next_allowed, reserved = parse_utc(found.next_allowed_at), parse_utc(found.reserved_at)
        # A clock set back since the last reservation would make everybody wait until it has caught up, hours
        # perhaps. The turns that were given out cannot last longer than they did at that moment.
        return max(next_allowed - max(now, reserved), timedelta(0))

    def _reserve(self, connection: sa.Connection, now: datetime, next_allowed: datetime) -> None:
        values = {"next_allowed_at": utc_text(next_allowed), "reserved_at": utc_text(now)}
        connection.execute(
            sqlite.insert(source_throttle)
            .values(source=self._source, **values)
            .on_conflict_do_update(index_elements=["source"], set_=values)
        )
