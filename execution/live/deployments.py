"""Deployments kept: what was put to work, how it may trade, and in which state it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from core.clock import parse_utc, utc_text, wall_now, wall_text
from core.errors import InputError, NameTakenError
from core.names import checked_name, unknown_name
from core.store import Store, inserted_id
from execution.live import tables
from execution.live.terms import Limits, Sizing

RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"
ORIGINS = ("run", "model", "setup")
# A deployment at work beats every second or so; one that has not for this long has no process.
SILENT_SECONDS = 15.0

store = Store(tables.TRADING)

# Asked within a write: raises when another process has taken over, so that nothing is written.
Fence = Callable[[sa.Connection], None]


@dataclass(frozen=True)
class Deployment:
    """One row of `deployments`. `origin` is what it came from: a stored run, a model or a setup definition.

    `client` is the terminal that trades it. Bars from `history_from` on are read (fixed at its first decision, so
    that what depends on the past stays the same); it trades from the bar `trades_from` on. `paused` decides on and
    sends no entries; exits go on. `state_words` say what it does or waits for.
    """

    id: int
    created_at: str
    name: str
    origin: str
    origin_id: str
    strategy_name: str
    strategy_version: int
    parameters: dict[str, Any]
    model_id: int | None
    symbol: str
    timeframe: str
    client: str
    dataset_hash: str | None
    sizing: Sizing
    limits: Limits
    real_confirmation: str | None
    history_from: str | None
    trades_from: str | None
    state: str
    state_words: str
    beat_at: str | None
    job_id: int | None

    @property
    def is_open(self) -> bool:
        """Whether it was not stopped."""
        return self.state != STOPPED

    @property
    def is_alive(self) -> bool:
        """Whether its process has beaten of late."""
        return self.beat_at is not None and (wall_now() - parse_utc(self.beat_at)).total_seconds() < SILENT_SECONDS


def enter_deployment(**values: Any) -> Deployment:
    """Store a new deployment, running, and return it.

    Raises NameTakenError for a name that is there, and InputError where another deployment trades the same symbol on
    the same terminal: a CLOSE of the one would close the other's position.
    """
    checked_name(values["name"], "name")
    row = {
        **values,
        "created_at": utc_text(),
        "sizing": values["sizing"].model_dump(),
        "limits": values["limits"].model_dump(),
        "state": RUNNING,
        "state_words": "waits for a worker",
    }
    columns = tables.deployments.c
    with store.write() as connection:
        if connection.execute(sa.select(columns.id).where(columns.name == values["name"])).first():
            raise NameTakenError(f"There is a deployment {values['name']!r} already.", "Give it another name.")
        beside = sa.select(columns.name).where(
            columns.state != STOPPED, columns.symbol == values["symbol"], columns.client == values["client"]
        )
        if (other := connection.scalar(beside)) is not None:
            raise InputError(
                f"{other!r} trades {values['symbol']} on {values['client']}, and a CLOSE closes all of a symbol.",
                "Stop it first, or deploy on another symbol or terminal.",
            )
        key = inserted_id(connection, tables.deployments, row)
    return find_deployment(key)


def list_deployments(states: Iterable[str] | None = None) -> list[Deployment]:
    """Deployments, newest first; of these states only, where some are named."""
    query = sa.select(tables.deployments).order_by(tables.deployments.c.id.desc())
    if states is not None:
        query = query.where(tables.deployments.c.state.in_(list(states)))
    return [_deployment(row) for row in store.rows(query)]


def find_deployment(reference: int | str) -> Deployment:
    """The deployment of that id or name. Raises UnknownNameError offering the nearest."""
    column = tables.deployments.c.id if isinstance(reference, int) else tables.deployments.c.name
    found = store.rows(sa.select(tables.deployments).where(column == reference))
    if not found:
        raise unknown_name("deployment", str(reference), [each.name for each in list_deployments()])
    return _deployment(found[0])


def set_state(deployment_id: int, state: str, words: str) -> Deployment:
    """Pause, resume or stop a deployment. Raises InputError for one that was stopped: deploy it anew instead."""
    which = sa.and_(tables.deployments.c.id == deployment_id, tables.deployments.c.state != STOPPED)
    with store.write() as connection:
        changed = connection.execute(
            tables.deployments.update().where(which).values(state=state, state_words=words)
        ).rowcount
    if not changed and state != STOPPED:
        raise InputError(f"Deployment {deployment_id} was stopped.", "Deploy it anew.")
    return find_deployment(deployment_id)


def change_deployment(deployment_id: int, fence: Fence = lambda connection: None, **values: Any) -> None:
    """Write columns of a deployment; `fence` is asked first, within the same transaction."""
    which = tables.deployments.c.id == deployment_id
    with store.write() as connection:
        fence(connection)
        connection.execute(tables.deployments.update().where(which).values(**values))


def beat(deployment_id: int, words: str, fence: Fence) -> None:
    """Say that the process of a deployment lives, and what it waits for; a paused one keeps its own words."""
    table = tables.deployments
    with store.write() as connection:
        fence(connection)
        which = table.c.id == deployment_id
        connection.execute(table.update().where(which).values(beat_at=wall_text()))
        connection.execute(table.update().where(which, table.c.state == RUNNING).values(state_words=words))


def _deployment(row: dict[str, Any]) -> Deployment:
    known = {field.name: row[field.name] for field in fields(Deployment)}
    return Deployment(**{**known, "sizing": Sizing(**row["sizing"]), "limits": Limits(**row["limits"])})
