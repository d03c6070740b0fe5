"""The ticks of `mql5_data.db`: entered many groups a transaction, read from their end, dropped when they are old."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.store import Store
from market.symbols import canonical_symbol
from mql5.tables import MQL5_DATA

# Python gives other threads their turn at every step of SQLite. Rows go in many a step, for under load that turn costs
# more than the row.
_ROWS_A_STEP = (64, 32, 16, 8, 4, 2, 1)
_INTO = (
    "INSERT INTO live_ticks (source, symbol, broker_ms, sequence, time_ms, bid, ask, last, volume, flags, stale,"
    " received_ms) VALUES "
)
_ONE_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UNLESS_THERE = " ON CONFLICT (source, symbol, broker_ms, sequence) DO NOTHING"
_INSERTS = {rows: _INTO + ", ".join([_ONE_ROW] * rows) + _UNLESS_THERE for rows in _ROWS_A_STEP}
_INSERT_GAP = (
    "INSERT INTO tick_gaps (source, symbol, after_sequence, before_sequence, missing, time_ms, received_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = "id, source, symbol, time_ms, broker_ms, sequence, bid, ask, last, volume, flags, stale, received_ms"
# So many rows are deleted a transaction, that ticks never wait long for it.
_DELETED_AT_ONCE = 5_000
_OF_STREAM = "source = :source AND symbol = :symbol"
_HOLES = f"SELECT after_sequence, before_sequence, missing, time_ms FROM tick_gaps WHERE {_OF_STREAM}"  # noqa: S608  # our own words
# What is delivered late was quoted about then; numbers alone are not indexed.
_CAME_LATE = (
    f"SELECT count(*) AS came FROM live_ticks WHERE {_OF_STREAM} AND time_ms BETWEEN :from AND :until"  # noqa: S608
    " AND sequence > :after_sequence AND sequence < :before_sequence"
)
_LATE_MS = 600_000
# Each symbol is found by one step into the index; a DISTINCT would read all of it.
_SYMBOLS = (
    "WITH RECURSIVE s(symbol) AS (SELECT min(symbol) FROM live_ticks UNION ALL"
    " SELECT (SELECT min(symbol) FROM live_ticks WHERE symbol > s.symbol) FROM s WHERE s.symbol IS NOT NULL)"
    " SELECT symbol FROM s WHERE symbol IS NOT NULL"
)
# A comparison of the pair (source, symbol) would read every row of the source: SQLite looks up its first half only.
_STREAMS = (
    "WITH RECURSIVE s(source, symbol) AS (SELECT * FROM (SELECT source, symbol FROM live_ticks ORDER BY source, symbol"
    " LIMIT 1) UNION ALL SELECT next.source, next.symbol FROM s JOIN live_ticks AS next ON next.id = coalesce("
    "(SELECT id FROM live_ticks WHERE source = s.source AND symbol > s.symbol ORDER BY symbol LIMIT 1),"
    " (SELECT id FROM live_ticks WHERE source > s.source ORDER BY source, symbol LIMIT 1)))"
    " SELECT source, symbol FROM s"
)


class TickRow(NamedTuple):
    """A tick as it is stored; `broker_ms` as it came, `time_ms` in UTC; without a number `sequence` is negative."""

    source: str
    symbol: str
    broker_ms: int
    sequence: int
    time_ms: int
    bid: float
    ask: float
    last: float | None
    volume: float
    flags: int
    stale: int
    received_ms: int


class Gap(NamedTuple):
    """Numbers that never came between two ticks of one source and symbol."""

    source: str
    symbol: str
    after_sequence: int
    before_sequence: int
    missing: int
    time_ms: int
    received_ms: int


@dataclass
class Entered:
    """What became of one group of ticks: how many are new, and which numbers are missing before them."""

    stored: int = 0
    duplicates: int = 0
    gaps: list[Gap] = field(default_factory=list)


class TickStore:
    """The ticks that were received; `enter` is called by one thread, the others by any."""

    def __init__(self) -> None:
        self.store = Store(MQL5_DATA)
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}  # (sequence, broker_ms) of the newest numbered tick

    def enter(self, groups: list[list[TickRow]]) -> list[Entered]:
        """Store several groups in one transaction; when this returns they are on the disk."""
        newest = dict(self._newest)
        with self.store.write() as connection:
            cursor = _cursor(connection)
            gaps = [_gaps(cursor, rows, newest) for rows in groups]
            if any(gaps):
                cursor.executemany(_INSERT_GAP, [gap for found in gaps for gap in found])
            stored = _insert(cursor, groups)
        self._newest = newest
        return [
            Entered(count, len(rows) - count, found) for count, rows, found in zip(stored, groups, gaps, strict=True)
        ]

    def newest(self, symbol: str, limit: int = 100, since_ms: int | None = None) -> list[dict[str, Any]]:
        """The last `limit` ticks of a symbol, or the first from `since_ms` (UTC) on; oldest first either way."""
        where, order = ("AND time_ms >= :since", "ASC") if since_ms is not None else ("", "DESC")
        query = (
            f"SELECT {_COLUMNS} FROM live_ticks WHERE symbol = :symbol {where} "  # noqa: S608  # our own names
            f"ORDER BY time_ms {order}, id {order} LIMIT :limit"
        )
        found = self._rows(query, symbol=canonical_symbol(symbol), limit=limit, since=since_ms)
        return found if since_ms is not None else found[::-1]

    def after(self, identity: int, limit: int = 50_000) -> list[dict[str, Any]]:
        """Ticks in the order in which they were committed, beyond the one of that id."""
        query = f"SELECT {_COLUMNS} FROM live_ticks WHERE id > :id ORDER BY id LIMIT :limit"  # noqa: S608  # likewise
        return self._rows(query, id=identity, limit=limit)

    def between(self, source: str, symbol: str, first_ms: int, after_ms: int) -> list[dict[str, Any]]:
        """The ticks of one source whose UTC time lies in [first_ms, after_ms), by time and number."""
        query = (
            f"SELECT {_COLUMNS} FROM live_ticks WHERE symbol = :symbol AND time_ms >= :first AND time_ms < :after "  # noqa: S608
            "AND source = :source ORDER BY time_ms, sequence, id"
        )
        return self._rows(query, symbol=symbol, source=source, first=first_ms, after=after_ms)

    def first_id_from(self, source: str, symbol: str, time_ms: int) -> int | None:
        """The lowest id among the ticks of one source and symbol from that time (UTC) on."""
        query = "SELECT min(id) AS id FROM live_ticks WHERE symbol = :symbol AND time_ms >= :first AND source = :source"
        return self._rows(query, symbol=symbol, source=source, first=time_ms)[0]["id"]  # type: ignore[no-any-return]

    def last_id(self) -> int:
        """The id of the tick committed last; 0 when there is none."""
        return int(self._rows("SELECT coalesce(max(id), 0) AS id FROM live_ticks")[0]["id"])

    def last_before(self, source: str, symbol: str, time_ms: int) -> dict[str, Any] | None:
        """The newest tick of one source and symbol that is older than that time (UTC), None where there is none."""
        return self._nearest("time_ms < :time", "time_ms DESC, id DESC", source, symbol, time_ms)

    def first_from(self, source: str, symbol: str, time_ms: int) -> dict[str, Any] | None:
        """The oldest tick of one source and symbol from that time (UTC) on, None where there is none."""
        return self._nearest("time_ms >= :time", "time_ms, id", source, symbol, time_ms)

    def _nearest(self, which: str, order: str, source: str, symbol: str, time_ms: int) -> dict[str, Any] | None:
        """The first tick of one source and symbol on a side of that time, in an order; both in SQL of our own."""
        query = (
            f"SELECT {_COLUMNS} FROM live_ticks WHERE symbol = :symbol AND {which} AND source = :source"  # noqa: S608
            f" ORDER BY {order} LIMIT 1"
        )
        found = self._rows(query, symbol=symbol, source=source, time=time_ms)
        return found[0] if found else None

    def gaps_between(self, source: str, symbol: str, first_ms: int, after_ms: int) -> int:
        """How many numbers are missing of one source and symbol in [first_ms, after_ms) (UTC).

        Those delivered later, out of order, are not. A hole counts where the tick behind it lies, and where it begins
        before `after_ms` and ends later: nobody knows to which side of that time its ticks belonged.
        """
        values = {"source": source, "symbol": symbol, "first": first_ms, "after": after_ms}
        holes = self._rows(f"{_HOLES} AND time_ms >= :first AND time_ms < :after", **values)
        for hole in self._rows(f"{_HOLES} AND time_ms >= :after ORDER BY time_ms LIMIT 1", **values):
            before = self.last_before(source, symbol, hole["time_ms"])
            if before is None or before["time_ms"] < after_ms:
                holes.append(hole)
        return sum(self._still_missing(source, symbol, hole) for hole in holes)

    def _still_missing(self, source: str, symbol: str, hole: dict[str, Any]) -> int:
        """How many numbers of a hole have not come since it was noted: ticks may be delivered out of order."""
        around = {"from": hole["time_ms"] - _LATE_MS, "until": hole["time_ms"] + _LATE_MS}
        numbers = {name: hole[name] for name in ("after_sequence", "before_sequence")}
        came = self._rows(_CAME_LATE, source=source, symbol=symbol, **around, **numbers)[0]["came"]
        return max(0, int(hole["missing"]) - int(came))

    def streams(self) -> list[tuple[str, str]]:
        """Which source sent which symbol, by one step into the index each."""
        return [(row["source"], row["symbol"]) for row in self._rows(_STREAMS)]

    def symbols(self) -> list[str]:
        """The symbols of which there are ticks."""
        return [row["symbol"] for row in self._rows(_SYMBOLS)]

    def knows(self, symbol: str) -> bool:
        """Whether any tick of this symbol was received."""
        return bool(self._rows("SELECT id FROM live_ticks WHERE symbol = :symbol LIMIT 1", symbol=symbol))

    def gaps(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest holes in the numbering, newest first."""
        return self._rows("SELECT * FROM tick_gaps ORDER BY id DESC LIMIT :limit", limit=limit)

    def drop_before(self, time_ms: int) -> int:
        """Delete a first few thousand ticks and gaps that are older; 0 when none is left."""
        return self._delete("time_ms < :before", time_ms)

    def thin_before(self, time_ms: int) -> int:
        """Of older seconds keep the last tick of each source; deletes a few thousand, 0 when none is left."""
        later = (
            "time_ms < :before AND EXISTS (SELECT 1 FROM live_ticks AS later WHERE later.symbol = live_ticks.symbol"
            " AND later.time_ms >= live_ticks.time_ms AND later.time_ms < (live_ticks.time_ms / 1000 + 1) * 1000"
            " AND later.source = live_ticks.source"
            " AND (later.time_ms, later.id) > (live_ticks.time_ms, live_ticks.id))"
        )
        return self._delete(later, time_ms)

    def _delete(self, which: str, time_ms: int) -> int:
        symbols = self.symbols()
        statement = sa.text(
            f"DELETE FROM live_ticks WHERE id IN (SELECT id FROM live_ticks WHERE symbol = :symbol AND {which}"  # noqa: S608
            " ORDER BY time_ms LIMIT :limit)"
        )
        for symbol in symbols:
            with self.store.write() as connection:
                values = {"symbol": symbol, "before": time_ms, "limit": _DELETED_AT_ONCE}
                if deleted := connection.execute(statement, values).rowcount:
                    return int(deleted)
        return 0

    def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self.store.read() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]


def _cursor(connection: sa.Connection) -> sqlite3.Cursor:
    driver: sqlite3.Connection | None = connection.connection.driver_connection
    if driver is None:
        raise ValueError("this transaction's connection is closed")
    return driver.cursor()


def _insert(cursor: sqlite3.Cursor, groups: list[list[TickRow]]) -> list[int]:
    """Enter the ticks of all groups; how many of each are new. Of the same tick in two groups the first is."""
    rows = [row for group in groups for row in group]
    begin = stored = 0
    for size in _ROWS_A_STEP:
        while len(rows) - begin >= size:
            values = list(chain.from_iterable(rows[begin : begin + size]))
            stored += cursor.execute(_INSERTS[size], values).rowcount
            begin += size
    if stored == len(rows):
        return [len(group) for group in groups]
    query = "SELECT source, symbol, broker_ms, sequence FROM live_ticks ORDER BY id DESC LIMIT ?"
    new = set(cursor.execute(query, (stored,)))  # the highest ids are those just given
    counts = []
    for group in groups:
        mine = {row[:4] for row in group} & new
        new -= mine
        counts.append(len(mine))
    return counts


def _gaps(cursor: sqlite3.Cursor, rows: list[TickRow], newest: dict[tuple[str, str], tuple[int, int]]) -> list[Gap]:
    """Numbers left out before these ticks; a number that falls while time goes on is a sender that began anew."""
    gaps = []
    for row in rows:
        if row.sequence < 0:
            continue
        key = (row.source, row.symbol)
        known = newest.get(key) or _stored_newest(cursor, key)
        if known is None or row.sequence == known[0] + 1 or (row.sequence <= known[0] and row.broker_ms > known[1]):
            newest[key] = (row.sequence, row.broker_ms)
        elif row.sequence > known[0]:
            missing = row.sequence - known[0] - 1
            gaps.append(Gap(*key, known[0], row.sequence, missing, row.time_ms, row.received_ms))
            newest[key] = (row.sequence, row.broker_ms)
        else:
            newest[key] = known
    return gaps


def _stored_newest(cursor: sqlite3.Cursor, key: tuple[str, str]) -> tuple[int, int] | None:
    found: tuple[int, int] | None = cursor.execute(
        "SELECT sequence, broker_ms FROM live_ticks WHERE source = ? AND symbol = ? AND sequence >= 0"
        " ORDER BY broker_ms DESC, sequence DESC LIMIT 1",
        key,
    ).fetchone()
    return found
