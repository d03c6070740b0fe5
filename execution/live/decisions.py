"""Decisions kept: one a deployment and bar, with what it was made of, what the guards said, and its signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from core.store import inserted_id
from execution.live import tables
from execution.live.deployments import Fence, store
from execution.live.guards import Verdict

PROPOSED, APPROVED, REFUSED, EXPIRED = "proposed", "approved", "refused", "expired"
NONE, ENTER, EXIT, REVERSE = "none", "enter", "exit", "reverse"
ENTRIES = (ENTER, REVERSE)


@dataclass(frozen=True)
class Decision:
    """One row of `decisions`: what was decided at the close of the bar that opened at `bar_time` (UTC text).

    `action` is what the wish asked for: nothing, an entry, an exit, or an exit with an entry the other way. `state`
    is that of the decision: `proposed` while an entry waits for the position before it to be closed, `approved`
    when it stands, `refused` with its `reason` when a guard or the data said no, `expired` when its time was over.
    `wanted`, `wanted_before` and `held` are −1, 0 or 1; None where nothing could be computed. `inputs` is what it
    was made of, `inputs_hash` its SHA-256. Distances are price units from `close`; `entry_order` is the signal as
    it was asked for (`stop_loss`, `take_profit`, `volume` …); the signals are those of `mql5_data.db`.
    """

    id: int
    deployment_id: int
    bar_time: str
    decided_at: str
    state: str
    action: str
    wanted: int | None
    wanted_before: int | None
    held: int | None
    reason: str
    inputs: dict[str, Any]
    inputs_hash: str
    guards: list[Verdict]
    close: float | None
    stop_distance: float | None
    target_distance: float | None
    confidence: float | None
    valid_until: str | None
    entry_order: dict[str, Any] | None
    close_signal_id: int | None
    entry_signal_id: int | None

    @property
    def signal_ids(self) -> tuple[int, ...]:
        """The signals it led to, in their order."""
        return tuple(each for each in (self.close_signal_id, self.entry_signal_id) if each is not None)

    @property
    def asks_to_exit(self) -> bool:
        """Whether the position that was held is to be closed, be it for another one."""
        return self.action in {EXIT, REVERSE} and self.state in {PROPOSED, APPROVED}

    @property
    def refused_by(self) -> list[Verdict]:
        """The guards that said no."""
        return [verdict for verdict in self.guards if not verdict.passed]


def list_decisions(
    deployment_id: int | None = None,
    *,
    limit: int | None = None,
    since: str | None = None,
    until: str | None = None,
    states: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
) -> list[Decision]:
    """Decisions, newest bar first; `since` and `until` (UTC text) bound the bars' opens, the latter excluded."""
    columns = tables.decisions.c
    query = sa.select(tables.decisions).order_by(columns.bar_time.desc(), columns.id.desc()).limit(limit)
    if deployment_id is not None:
        query = query.where(columns.deployment_id == deployment_id)
    if since is not None:
        query = query.where(columns.bar_time >= since)
    if until is not None:
        query = query.where(columns.bar_time < until)
    if states is not None:
        query = query.where(columns.state.in_(list(states)))
    if actions is not None:
        query = query.where(columns.action.in_(list(actions)))
    return [_decision(row) for row in store.rows(query)]


def find_decision(decision_id: int) -> Decision | None:
    """The decision of that id; None where there is none."""
    found = store.rows(sa.select(tables.decisions).where(tables.decisions.c.id == decision_id))
    return _decision(found[0]) if found else None


def enter_decision(values: dict[str, Any], fence: Fence) -> bool:
    """Store a new decision; False when there is one on that bar already, which then stays as it is."""
    columns = tables.decisions.c
    same = (columns.deployment_id == values["deployment_id"], columns.bar_time == values["bar_time"])
    with store.write() as connection:
        fence(connection)
        if connection.execute(sa.select(columns.id).where(*same)).first():
            return False
        inserted_id(connection, tables.decisions, values)
    return True


def change_decision(decision_id: int, fence: Fence, **values: Any) -> None:
    """Write columns of a decision."""
    with store.write() as connection:
        fence(connection)
        connection.execute(tables.decisions.update().where(tables.decisions.c.id == decision_id).values(**values))


def last_signals(deployment_id: int, of_decisions: int = 3) -> list[int]:
    """The signals of the newest decisions that sent any, in the order in which they were sent."""
    columns = tables.decisions.c
    sent = sa.or_(columns.close_signal_id.is_not(None), columns.entry_signal_id.is_not(None))
    query = (
        sa.select(columns.close_signal_id, columns.entry_signal_id)
        .where(columns.deployment_id == deployment_id, sent)
        .order_by(columns.bar_time.desc())
        .limit(of_decisions)
    )
    return sorted(key for row in store.rows(query) for key in row.values() if key is not None)


def _decision(row: dict[str, Any]) -> Decision:
    known = {field.name: row[field.name] for field in fields(Decision)}
    return Decision(**{**known, "guards": [Verdict(**each) for each in row["guards"]]})
