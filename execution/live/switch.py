"""The kill switch's work and history: who stopped trading, why, and how it was let go on again, in two steps.

The file `output_central/KILL` is the truth (`core.kill_switch`); the rows of `switch_events` tell its history. To kill
takes one step and needs no database. To arm takes two, `ask_to_arm` and `arm` with the code that it gave, and both are
recorded first: where nothing can be recorded nothing is armed. A file that was removed by hand is put back.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa

from core.clock import parse_utc, utc_now, utc_text
from core.errors import InputError, SequenceError
from core.kill_switch import is_killed, killed_by, remove_kill, write_kill
from core.log import get_logger
from core.store import Store, inserted_id
from execution.live import tables
from mql5.bridge.messages import NewSignal, SignalType
from mql5.bridge.signals import FINAL, SignalStore
from mql5.bridge.terminals import TerminalStore

KILLED, ARMING, ARMED = "killed", "arming", "armed"
CODE_SECONDS = 600
# Letters that are not mistaken for one another; 24⁶ codes, of which one holds for ten minutes.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_LENGTH = 6
# What the reason begins with of the event that asked the terminals to close what is open.
_CLOSING = "positions are closed: "
# A CLOSE that expired is asked for again under another key, so often.
_TRIES = 100
# A position must not be left because its terminal was away for some minutes.
_CLOSE_SECONDS = 3_600
_LONGEST = 400  # letters of a name or a reason

_store = Store(tables.TRADING)
_events = tables.switch_events
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Killed:
    """What a kill has done: entries taken back, symbols that are to be closed, and what did not succeed, in words."""

    cancelled: int
    closing: tuple[str, ...]
    failed: tuple[str, ...]

    def sentence(self) -> str:
        """The same in words."""
        said = ["The kill switch is on: no entry is decided, sent or executed."]
        if self.cancelled:
            said.append(f"Entries that waited were taken back: {self.cancelled}.")
        if self.closing:
            said.append(f"The terminals are asked to close {', '.join(self.closing)}.")
        return " ".join([*said, *self.failed])


def kill(by: str, reason: str, close_positions: bool = False) -> Killed:
    """Stop all entries now, whatever else fails: the file is written first.

    Entries that wait are taken back, and with `close_positions` the terminals are asked to close what is open. What a
    locked or damaged database does not let be done is told in `failed`; `notice_kill` does it later. Raises DiskError
    only where the file itself cannot be made, and even then after the rest was tried.
    """
    by, reason = _plain(by, "somebody"), _plain(reason, "no reason given")
    failed: list[str] = []
    unwritten, told = None, None
    try:
        told = write_kill(by, reason, close_positions)
    except SequenceError as error:
        unwritten = error
    is_first = told is not None and (told["by"], told["reason"]) == (by, reason)
    at = told["at"] if told is not None and is_first else utc_text()
    _tried(failed, "It could not be recorded", lambda: _record_kill(by, reason, at, told is not None))
    cancelled = _tried(failed, "Waiting entries could not be taken back", SignalStore().take_back_entries)
    closing: tuple[str, ...] | None = ()
    if close_positions:
        since = told["at"] if told else at
        closing = _tried(failed, "Positions are not being closed", lambda: _close_all(since, failed, again=True))
        if closing is not None:
            _tried(failed, "It could not be recorded", lambda: _record(KILLED, by, _CLOSING + reason, utc_text()))
    if unwritten and not is_killed():
        raise unwritten
    return Killed(cancelled or 0, closing or (), tuple([unwritten.what] if unwritten else []) + tuple(failed))


def notice_kill() -> dict[str, Any] | None:
    """Record a kill that came by the file alone and do what it asks; who killed, None while the switch is off.

    For a runner, as often as it likes. A file that went without being armed is put back. Raises no SequenceError.
    """
    try:
        _notice()
    except SequenceError as error:
        _say_once(str(error))
    return killed_by()


def is_unarmed() -> bool:
    """Whether nothing may be entered: the file is there, or it went without the two steps that arm."""
    return is_killed() or bool(_store.rows(_kills()))


def ask_to_arm(by: str) -> str:
    """The first of two steps: record the wish and return the code that `arm` takes within ten minutes.

    Raises InputError where the switch is off, or names the terminal whose own switch is on.
    """
    _refuse_to_arm()
    code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))
    _record(ARMING, _plain(by, "somebody"), _digest(code), utc_text())
    return code


def arm(by: str, code: str) -> None:
    """The second step: trading may go on. Entries that waited are taken back first, so that none of them is executed.

    Raises InputError for a code that is wrong, too old, or older than the last kill; then nothing is armed.
    """
    _refuse_to_arm()
    SignalStore().take_back_entries()
    with _store.write() as connection:
        _refuse_code(connection, code)
        _enter(connection, ARMED, _plain(by, "somebody"), "the code was given", utc_text())
        # Under the lock in which `notice_kill` holds the file against its history. A crash between here and the
        # commit leaves no file and a history that says killed: the file is put back.
        remove_kill()


def history(limit: int = 100) -> list[dict[str, Any]]:
    """Events, newest first: `id at event by reason`. Of a code not even the hash is shown."""
    found = _store.rows(sa.select(_events).order_by(_events.c.id.desc()).limit(limit))
    return [{**row, "reason": "a code was given"} if row["event"] == ARMING else row for row in found]


def _notice() -> None:
    told = killed_by()
    if _is_in_order(told, _store.rows(_kills())):
        return
    with _store.write() as connection:  # looked at again, alone: another process may be killing or arming
        told, kills = killed_by(), [dict(row) for row in connection.execute(_kills()).mappings()]
        if told is None and kills:
            told = write_kill(kills[0]["by"], f"the file went, and nobody had armed: {kills[0]['reason']}"[:_LONGEST])
        elif told is not None and not kills:
            _enter(connection, KILLED, told["by"], _plain(told["reason"], "no reason given"), told["at"])
        closes = told is not None and told["close_positions"] and not _has_closed(kills)
    SignalStore().take_back_entries()
    failed: list[str] = []
    if told is not None and closes:
        _close_all(told["at"], failed, again=False)
        if not failed:
            _record(KILLED, told["by"], _CLOSING + told["reason"], utc_text())
    for words in failed:
        _say_once(words)


def _is_in_order(told: dict[str, Any] | None, kills: list[dict[str, Any]]) -> bool:
    """Whether the history says what the file says."""
    if told is None or not kills:
        return told is None and not kills
    return not told["close_positions"] or _has_closed(kills)


def _has_closed(kills: list[dict[str, Any]]) -> bool:
    return any(row["reason"].startswith(_CLOSING) for row in kills)


def _close_all(at: str, failed: list[str], *, again: bool) -> tuple[str, ...]:
    """Ask for one CLOSE for every symbol that an open deployment trades or a terminal reports open; the symbols.

    Its key carries the time of the kill, so that the same kill asks once; `again` asks once more where the CLOSE of
    before has ended.
    """
    traded = _tried(failed, "Which deployments are open could not be read", _traded) or set()
    held = _tried(failed, "Which positions are open could not be read", _held) or set()
    for client, symbol in sorted(traded | held):
        _close(at, client, symbol, again=again)
    return tuple(sorted({symbol for _, symbol in traded | held}))


def _close(at: str, client: str, symbol: str, *, again: bool) -> None:
    place = hashlib.sha256(f"{client}|{symbol}".encode("utf-8", "replace")).hexdigest()[:12]
    key = f"kill-{int(_time_of(at).timestamp() * 1000)}-{place}"
    for number in range(1, _TRIES if again else 2):
        asked = NewSignal(
            symbol=symbol,
            signal_type=SignalType.CLOSE,
            valid_until=utc_now() + timedelta(seconds=_CLOSE_SECONDS),
            comment="kill switch",
            target=client,
            idempotency_key=key if number == 1 else f"{key}-{number}",
        )
        row, _ = SignalStore().create(asked)
        if row["status"] not in FINAL:
            return


def _traded() -> set[tuple[str, str]]:
    columns = tables.deployments.c
    query = sa.select(columns.client, columns.symbol).where(columns.state != "stopped")
    return {(row["client"], row["symbol"]) for row in _store.rows(query)}


def _held() -> set[tuple[str, str]]:
    terminals = TerminalStore().all()
    return {(row["client"], each["symbol"]) for row in terminals for each in row["open_positions"] or []}


def _refuse_to_arm() -> None:
    if not is_unarmed():
        raise InputError("The kill switch is off.", "There is nothing to arm.")
    stopped = [row["client"] for row in TerminalStore().all() if row["kill_switch"] and row["is_alive"]]
    if stopped:
        raise InputError(
            f"The kill switch of the terminal itself is on: {', '.join(stopped)}.",
            "Delete its global variable SequenceBridge.stop (F3 in MetaTrader), await a heartbeat, and ask again.",
        )


def _refuse_code(connection: sa.Connection, code: str) -> None:
    """Refuse a code that was not given since the last kill, or not within the last ten minutes."""
    asked = _digest(code.strip().upper())
    since = sa.select(sa.func.coalesce(sa.func.max(_events.c.id), 0)).where(_events.c.event != ARMING)
    given = sa.select(_events.c.at, _events.c.reason).where(
        _events.c.event == ARMING, _events.c.id > since.scalar_subquery()
    )
    at = [row.at for row in connection.execute(given) if hmac.compare_digest(row.reason, asked)]
    cure = "Ask for another one: python main.py --mode arm, or the page Live."
    if not at:
        raise InputError(f"{code!r} is not the code that was given after the last kill.", cure)
    if not 0 <= (utc_now() - parse_utc(at[-1])).total_seconds() <= CODE_SECONDS:
        raise InputError(f"The code was given at {at[-1]}, and holds for {CODE_SECONDS // 60} minutes.", cure)


def _kills() -> sa.Select[Any]:
    """The kills that nobody has armed since, newest first."""
    armed = sa.select(sa.func.coalesce(sa.func.max(_events.c.id), 0)).where(_events.c.event == ARMED)
    return (
        sa.select(_events)
        .where(_events.c.event == KILLED, _events.c.id > armed.scalar_subquery())
        .order_by(_events.c.id.desc())
    )


def _record_kill(by: str, reason: str, at: str, was_written: bool) -> None:
    with _store.write() as connection:
        _enter(connection, KILLED, by, reason, at)
        if was_written and not is_killed():  # who armed in this very moment took our file for the one before
            write_kill(by, reason)


def _record(event: str, by: str, reason: str, at: str) -> None:
    with _store.write() as connection:
        _enter(connection, event, by, reason, at)


def _enter(connection: sa.Connection, event: str, by: str, reason: str, at: str) -> None:
    """Enter an event once: a runner may have noticed a kill before the one who kills came to record it."""
    values = {"event": event, "by": by, "reason": reason, "at": at}
    same = sa.and_(*(_events.c[name] == value for name, value in values.items()))
    if connection.execute(sa.select(_events.c.id).where(same)).first() is None:
        inserted_id(connection, _events, values)


def _tried(failed: list[str], what: str, work: Callable[[], Outcome]) -> Outcome | None:
    """Do a part of a kill; what does not succeed is said and hinders no other part."""
    try:
        return work()
    except Exception as error:  # a kill does all that can be done
        get_logger(__name__).exception("a part of the kill did not succeed", part=what)
        failed.append(f"{what}: {error}")
        return None


@lru_cache(maxsize=64)
def _say_once(words: str) -> None:
    get_logger(__name__).warning("the kill switch and its history", error=words)


def _digest(code: str) -> str:
    # Against slips, not against attackers: who reads the database may remove the file as well.
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()


def _plain(text: str, otherwise: str) -> str:
    """One line of text that a database and a log can hold."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:_LONGEST] or otherwise


def _time_of(text: str) -> datetime:
    """The time that a kill file tells, which anybody may have written; the beginning of time where it tells none."""
    try:
        return parse_utc(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
