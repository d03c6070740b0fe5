"""Signals and what became of them: pending → leased → sent → executed | rejected | expired | cancelled.

Each step is one transaction and leaves a line in the signal's history. The same step twice changes nothing; what
happened at the broker is a fact and is entered even when the signal had expired or was cancelled meanwhile. While the
kill switch is on entries (BUY, SELL) are neither created, given out nor begun, and those that wait are cancelled.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from core.clock import now_ms, utc_text
from core.errors import InputError, NameTakenError, UnknownNameError
from core.kill_switch import is_killed, killed_by
from core.names import nearest
from core.settings import current_settings
from core.store import Store, inserted_id
from market.symbols import AssetClass, canonical_symbol, symbol_of
from mql5.bridge.messages import Acknowledgement, NewSignal, SignalType, epoch_ms
from mql5.bridge.ticks import TickStore
from mql5.tables import MQL5_DATA, events, signals

OPEN = ("pending", "leased")
FINAL = ("executed", "rejected", "expired", "cancelled")
_MAJORS = ("EURUSD", "GBPUSD", "USDJPY", "USDCHF", "AUDUSD", "NZDUSD", "USDCAD", "EURGBP", "EURJPY", "GBPJPY", "XAUUSD")
# In words of their own, that SQLite sees the partial index of what is open.
_IS_OPEN = sa.text("status IN ('pending', 'leased')")
# What makes two posts with one key the same signal.
_CONTENT = (
    "symbol", "signal_type", "confidence", "entry_price", "stop_loss", "take_profit", "volume", "comment",
    "strategy_name", "target",
)  # fmt: skip
_RESULT = {
    "retcode": "retcode", "order": "order_ticket", "deal": "deal_ticket", "price": "executed_price",
    "volume": "executed_volume", "comment": "broker_comment",
}  # fmt: skip


class SignalConflictError(NameTakenError):
    """What is said of a signal contradicts what is known of it."""


class KilledError(NameTakenError):
    """The kill switch is on: nothing is entered."""


class SignalStore:
    """The signals of this workbench."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)
        self._ticks = TickStore()

    def create(self, asked: NewSignal) -> tuple[dict[str, Any], bool]:
        """Enter a signal, pending at once; (its row, whether it is new).

        The same idempotency key with the same content is the signal that is there. Raises InputError with
        the reason, SignalConflictError for a key that stands for another signal, KilledError for an entry while the
        kill switch is on.
        """
        values = self._checked(asked)
        with self._store.write() as connection:
            if asked.idempotency_key:
                query = sa.select(signals).where(signals.c.idempotency_key == asked.idempotency_key)
                if held := connection.execute(query).mappings().first():
                    return _same_or_refused(dict(held), values), False
            if asked.signal_type is not SignalType.CLOSE and is_killed():
                raise _killed(f"A {asked.signal_type} of {values['symbol']} is not taken")
            key = inserted_id(connection, signals, values)
            _note(connection, key, "pending", "created")
        return {**dict.fromkeys(signals.c.keys()), **values, "id": key}, True

    def by_key(self, key: str) -> dict[str, Any] | None:
        """The signal that was posted under an idempotency key, whatever became of it; None where none was."""
        found = self._store.rows(sa.select(signals).where(signals.c.idempotency_key == key))
        return found[0] if found else None

    def pending(self, limit: int = 100) -> list[dict[str, Any]]:
        """The signals that wait and are still valid, oldest first; nothing is changed."""
        now = now_ms()
        query = (
            sa.select(signals)
            .where(_IS_OPEN, _is_free(now), signals.c.valid_until_ms > now, _is_permitted())
            .order_by(signals.c.id)
            .limit(limit)
        )
        return self._store.rows(query)

    def lease(self, client: str, limit: int, seconds: float) -> list[dict[str, Any]]:
        """Give waiting signals to a terminal for so many seconds, oldest first; its own leases are renewed.

        Nobody else is given them meanwhile; afterwards they wait again, unless the terminal said `sent`. A signal
        with a target is given to that terminal alone.
        """
        now = now_ms()
        mine = sa.and_(signals.c.status == "leased", signals.c.client == client)
        meant = sa.or_(signals.c.target.is_(None), signals.c.target == client)
        query = (
            sa.select(signals)
            .where(_IS_OPEN, sa.or_(_is_free(now), mine), meant, signals.c.valid_until_ms > now, _is_permitted())
            .order_by(signals.c.id)
            .limit(limit)
        )
        if not self._store.rows(query.limit(1)):
            return []  # the usual answer takes no lock
        until = now + int(seconds * 1000)
        with self._store.write() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
            for row in found:
                if (row["status"], row["client"]) != ("leased", client):
                    _note(connection, row["id"], "leased", f"for {seconds:g} s", (client, None))
                row.update(status="leased", client=client, lease_until_ms=until)
            if found:
                changes = {"status": "leased", "client": client, "lease_until_ms": until}
                chosen = signals.c.id.in_([row["id"] for row in found])
                connection.execute(signals.update().where(chosen).values(**changes))
        return found

    def sent(self, signal_id: int, word: Acknowledgement) -> tuple[dict[str, Any], bool]:
        """A terminal begins to execute: (the row, whether this changed it). Without a lease it is accepted too.

        Raises SignalConflictError when the signal has expired, was cancelled, or another terminal holds it, and
        KilledError for an entry while the kill switch is on, which cancels it: then it must not be executed.
        """
        if is_killed() and self._is_stopped(signal_id, word):
            raise _killed(f"Signal {signal_id} is cancelled")
        with self._store.write() as connection:
            row = _one(connection, signal_id)
            if row["target"] and word.client != row["target"]:
                raise SignalConflictError(
                    f"Signal {signal_id} is meant for {row['target']!r} alone.",
                    "Do not execute it; name the client that asks.",
                )
            status, now = row["status"], now_ms()
            if status in {"sent", "executed", "rejected"}:
                if word.client and row["client"] and word.client != row["client"]:
                    raise SignalConflictError(
                        f"Signal {signal_id} was sent to {row['client']!r}.", "Do not execute it a second time."
                    )
                return row, False
            if status in FINAL or row["valid_until_ms"] <= now:
                was = status if status in FINAL else "expired"
                raise SignalConflictError(f"Signal {signal_id} is {was}.", "Do not execute it.")
            held = status == "leased" and row["lease_until_ms"] > now
            if held and word.client and word.client != row["client"]:
                raise SignalConflictError(
                    f"Signal {signal_id} is leased to {row['client']!r}.", "Do not execute it; ask for signals again."
                )
            changes = {"status": "sent", "sent_at": utc_text(), "client": word.client or row["client"]}
            return _change(connection, row, changes, word, "sent to the broker"), True

    def finish(self, signal_id: int, status: str, word: Acknowledgement) -> tuple[dict[str, Any], bool]:
        """The broker executed or rejected a signal: (the row, whether this changed it).

        Raises SignalConflictError when something else was said before, UnknownNameError for an id that is not there.
        """
        said = word.model_dump(include=set(_RESULT), exclude_none=True)
        result = {_RESULT[name]: value for name, value in said.items()}
        with self._store.write() as connection:
            row = _one(connection, signal_id)
            if row["status"] in {"executed", "rejected"}:
                other = [name for name, value in result.items() if row[name] not in {None, value}]
                if row["status"] != status or other:
                    differs = f"; {other[0]}={result[other[0]]!r} differs from {row[other[0]]!r}" if other else ""
                    raise SignalConflictError(
                        f"Signal {signal_id} is {row['status']} already, not {status}{differs}.",
                        "What was said first stands; look at the order at the broker.",
                    )
                return row, False
            if row["status"] in FINAL and status == "rejected":
                _note(connection, signal_id, row["status"], "rejected at the broker", (word.client, said))
                return row, False
            late = f" after it was {row['status']}" if row["status"] in FINAL else ""
            changes = {"status": status, "finished_at": utc_text(), "client": word.client or row["client"], **result}
            return _change(connection, row, changes, word, f"{status} at the broker{late}"), True

    def cancel(self, signal_id: int) -> tuple[dict[str, Any], bool]:
        """Take a signal back: (the row, whether this changed it). One that a terminal holds is refused."""
        with self._store.write() as connection:
            row = _one(connection, signal_id)
            if row["status"] == "cancelled":
                return row, False
            if row["status"] == "leased" and row["lease_until_ms"] > now_ms():
                raise SignalConflictError(
                    f"Signal {signal_id} is leased to {row['client']!r} and may be executed right now.",
                    "Wait until its lease has passed, then cancel it again.",
                )
            if row["status"] not in OPEN:
                raise SignalConflictError(f"Signal {signal_id} is {row['status']}.", "It cannot be taken back.")
            changes = {"status": "cancelled", "finished_at": utc_text()}
            return _change(connection, row, changes, Acknowledgement(), "cancelled"), True

    def take_back_entries(self) -> int:
        """Cancel the entries that no terminal has begun yet, leased ones too, while the kill switch is on; how many.

        Else they would be executed when it is armed again.
        """
        entries = sa.and_(_IS_OPEN, signals.c.signal_type != SignalType.CLOSE.value)
        if not is_killed() or not self._store.rows(sa.select(signals.c.id).where(entries).limit(1)):
            return 0
        with self._store.write() as connection:
            rows = [dict(row) for row in connection.execute(sa.select(signals).where(entries)).mappings()]
            for row in rows:
                _stop(connection, row, Acknowledgement())
        return len(rows)

    def expire(self) -> int:
        """End the signals whose time is over and that no terminal holds, and what the kill switch stops; how many."""
        return self.take_back_entries() + self._expire()

    def _expire(self) -> int:
        now = now_ms()
        over = sa.and_(_IS_OPEN, signals.c.valid_until_ms <= now, _is_free(now))
        if not self._store.rows(sa.select(signals.c.id).where(over).limit(1)):
            return 0
        with self._store.write() as connection:
            ids = list(connection.scalars(sa.select(signals.c.id).where(over).limit(1_000)))
            changes = {"status": "expired", "finished_at": utc_text()}
            connection.execute(signals.update().where(signals.c.id.in_(ids)).values(**changes))
            for key in ids:
                _note(connection, key, "expired", "nobody executed it in time")
        return len(ids)

    def one(self, signal_id: int) -> dict[str, Any]:
        """A signal with its `history`; raises UnknownNameError."""
        with self._store.read() as connection:
            row = _one(connection, signal_id)
            history = sa.select(events).where(events.c.signal_id == signal_id).order_by(events.c.id)
            row["history"] = [dict(each) for each in connection.execute(history).mappings()]
        return row

    def all(self, limit: int = 100, *, status: str | None = None, symbol: str | None = None) -> list[dict[str, Any]]:
        """Signals, newest first."""
        query = sa.select(signals).order_by(signals.c.id.desc()).limit(limit)
        if status:
            query = query.where(signals.c.status == status)
        if symbol:
            query = query.where(signals.c.symbol == canonical_symbol(symbol))
        return self._store.rows(query)

    def counts(self) -> dict[str, int]:
        """How many signals wait and are leased."""
        query = sa.select(signals.c.status, sa.func.count().label("count")).where(_IS_OPEN).group_by(signals.c.status)
        found = {row["status"]: row["count"] for row in self._store.rows(query)}
        return {status: found.get(status, 0) for status in OPEN}

    def _is_stopped(self, signal_id: int, word: Acknowledgement) -> bool:
        """Cancel an entry that a terminal is about to begin, now that nothing may be entered; whether it was one.

        A terminal says `sent` before it does anything, so what it says again was not executed either.
        """
        with self._store.write() as connection:
            row = _one(connection, signal_id)
            if row["signal_type"] == SignalType.CLOSE or row["status"] not in {*OPEN, "sent"}:
                return False
            _stop(connection, row, word)
        return True

    def _checked(self, asked: NewSignal) -> dict[str, Any]:
        symbol = self._known(asked.symbol)
        _refuse_wrong_sides(asked)
        now = now_ms()
        until = epoch_ms(asked.valid_until) if asked.valid_until else None
        if until is not None and until <= now:
            raise InputError(
                f"valid_until={asked.valid_until!s} is over.", "Give a time to come, in UTC, or leave it out."
            )
        return {
            **asked.model_dump(exclude={"valid_until"}),
            "symbol": symbol,
            "signal_type": asked.signal_type.value,
            "created_at": utc_text(),
            "valid_until_ms": until or now + int(current_settings().bridge.signal_seconds * 1000),
            "status": "pending",
        }

    def _known(self, text: str) -> str:
        symbol = symbol_of(text)
        if symbol.asset_class in {AssetClass.FX, AssetClass.CRYPTO} or self._ticks.knows(symbol.name):
            return symbol.name
        meant = nearest(symbol.name, {*_MAJORS, *self._ticks.symbols()})
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise InputError(
            f"symbol={text!r} is unknown: no pair, metal or coin, and no terminal has sent ticks of it.",
            f"{hint}Write it as EURUSD, or let the terminal stream it first.",
        )


def _refuse_wrong_sides(asked: NewSignal) -> None:
    """A stop belongs behind the entry and a target before it; without an entry the two are held against each other."""
    entry, stop, target = asked.entry_price, asked.stop_loss, asked.take_profit
    if asked.signal_type is SignalType.CLOSE:
        return
    buy = asked.signal_type is SignalType.BUY
    below, above = ("stop_loss", "take_profit") if buy else ("take_profit", "stop_loss")
    low, high = (stop, target) if buy else (target, stop)
    pairs = ((below, low, "entry_price", entry), ("entry_price", entry, above, high), (below, low, above, high))
    for name, value, other, limit in pairs:
        if value is not None and limit is not None and value >= limit:
            raise InputError(
                f"{name}={value:g} is not below {other}={limit:g}; for a {asked.signal_type} it must be.",
                f"A {asked.signal_type} has its stop {'below' if buy else 'above'} the entry and its target "
                f"{'above' if buy else 'below'} it.",
            )


def _is_free(now: int) -> sa.ColumnElement[bool]:
    return sa.or_(signals.c.status == "pending", signals.c.lease_until_ms <= now)


def _is_permitted() -> sa.ColumnElement[bool]:
    """What may be given out now."""
    return signals.c.signal_type == SignalType.CLOSE.value if is_killed() else sa.true()


def _killed(what: str) -> KilledError:
    told = killed_by() or {"by": "file", "reason": "it is off again"}
    return KilledError(
        f"{what}: the kill switch is on (by {told['by']}: {told['reason']}).",
        "Nothing is entered until it is armed again; a CLOSE goes on working.",
    )


def _stop(connection: sa.Connection, row: dict[str, Any], word: Acknowledgement) -> None:
    changes = {"status": "cancelled", "finished_at": utc_text()}
    _change(connection, row, changes, word, "cancelled by the kill switch")


def _same_or_refused(held: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    other = [name for name in _CONTENT if held[name] != values[name]]
    if other:
        raise SignalConflictError(
            f"The idempotency key {held['idempotency_key']!r} stands for signal {held['id']}, whose {other[0]} is "
            f"{held[other[0]]!r}, not {values[other[0]]!r}.",
            "Send another signal under a key of its own.",
        )
    return held


def _one(connection: sa.Connection, signal_id: int) -> dict[str, Any]:
    row = connection.execute(sa.select(signals).where(signals.c.id == signal_id)).mappings().first()
    if row is None:
        raise UnknownNameError(f"There is no signal {signal_id}.", "Ask for signals again.")
    return dict(row)


def _change(
    connection: sa.Connection, row: dict[str, Any], changes: dict[str, Any], word: Acknowledgement, words: str
) -> dict[str, Any]:
    connection.execute(signals.update().where(signals.c.id == row["id"]).values(**changes))
    said = word.model_dump(exclude_none=True, exclude={"client"})
    _note(connection, row["id"], changes["status"], words, (word.client, said))
    return {**row, **changes}


def _note(
    connection: sa.Connection, signal_id: int, status: str, words: str, said: tuple[str | None, Any] = (None, None)
) -> None:
    """A line of a signal's history; `said` is which client spoke, and its figures."""
    client, details = said
    values = {"signal_id": signal_id, "at": utc_text(), "status": status, "client": client, "words": words}
    connection.execute(events.insert().values(**values, details=details or None))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A signal as the interface answers it: times as ISO text, valid_until in words people read."""
    given = {name: value for name, value in row.items() if not name.endswith("_ms")}
    for name in ("valid_until", "lease_until"):
        stamp = row.get(f"{name}_ms")
        given[name] = utc_text(datetime.fromtimestamp(stamp / 1000, UTC)) if stamp else None
    return given


def as_line(row: dict[str, Any]) -> str:
    """`id|symbol|side|volume|sl|tp|valid_until|comment|created`: absent figures 0, times in epoch seconds (UTC)."""
    figures = [f"{row[name] or 0:.10g}" for name in ("volume", "stop_loss", "take_profit")]
    comment = (row["comment"] or "").replace("|", "/")
    created = int(datetime.fromisoformat(row["created_at"]).timestamp())
    ends = (str(row["valid_until_ms"] // 1000), comment, str(created))
    return "|".join([str(row["id"]), row["symbol"], row["signal_type"], *figures, *ends])
