"""The deals that terminals report: each stored once, as it was said first. Times are milliseconds of UTC since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.clock import now_ms
from core.store import Store
from market.symbols import canonical_symbol
from mql5.bridge.messages import Deal
from mql5.tables import MQL5_DATA, deals

# `order` is a word of SQL; outside the database the column has the terminal's name for it.
_COLUMNS = [column.label("order") if column.name == "order_ticket" else column for column in deals.c]
_AT_ONCE = 500  # numbers in one question to SQLite


@dataclass
class Reported:
    """What became of a report: how many deals are new, how many were known, and which were told otherwise before.

    A conflict is `deal field stored offered`; what was said first stands.
    """

    stored: int = 0
    duplicates: int = 0
    conflicts: list[dict[str, Any]] = field(default_factory=list)


class DealStore:
    """The deals of this workbench's terminals."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)

    def enter(self, client: str, reported: Sequence[Deal]) -> Reported:
        """Store what is new in one transaction; the same deal with other content is kept as it is and told."""
        rows = [_row(client, deal) for deal in reported]
        outcome = Reported()
        with self._store.write() as connection:
            known = _known(connection, client, [row["deal"] for row in rows])
            for row in rows:
                held = known.setdefault(row["deal"], row)
                if held is row:
                    connection.execute(deals.insert().values(**row))
                    outcome.stored += 1
                    continue
                outcome.duplicates += 1
                outcome.conflicts += _conflicts(held, row)
        return outcome

    def of(
        self, client: str | None = None, since_ms: int | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Deals by time, oldest first: of one terminal or all, from `since_ms` (UTC) on.

        With `limit` these are the first from `since_ms`, or without it the newest.
        """
        query = sa.select(*_COLUMNS)
        if client is not None:
            query = query.where(deals.c.client == client)
        if since_ms is not None:
            query = query.where(deals.c.time_ms >= since_ms)
        backwards = limit is not None and since_ms is None
        order = (deals.c.time_ms, deals.c.deal)
        found = self._store.rows(query.order_by(*(each.desc() if backwards else each for each in order)).limit(limit))
        return found[::-1] if backwards else found

    def by_position(self, client: str, position: int) -> list[dict[str, Any]]:
        """The deals that opened, changed and closed one position, by time."""
        which = sa.and_(deals.c.client == client, deals.c.position == position)
        return self._store.rows(sa.select(*_COLUMNS).where(which).order_by(deals.c.time_ms, deals.c.deal))


def _row(client: str, deal: Deal) -> dict[str, Any]:
    said = deal.model_dump()
    said["order_ticket"] = said.pop("order")
    return {**said, "client": client, "symbol": canonical_symbol(deal.symbol), "received_ms": now_ms()}


def _known(connection: sa.Connection, client: str, numbers: list[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for first in range(0, len(numbers), _AT_ONCE):
        which = sa.and_(deals.c.client == client, deals.c.deal.in_(numbers[first : first + _AT_ONCE]))
        for row in connection.execute(sa.select(deals).where(which)).mappings():
            found[row["deal"]] = dict(row)
    return found


def _conflicts(held: dict[str, Any], said: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "deal": said["deal"],
            "field": "order" if name == "order_ticket" else name,
            "stored": held[name],
            "offered": said[name],
        }
        for name in said
        if name not in {"client", "received_ms"} and held[name] != said[name]
    ]
