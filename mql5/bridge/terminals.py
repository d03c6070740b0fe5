"""The terminals that speak to the bridge: when each was heard last, its account, its clock, whether it may trade."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core.clock import parse_utc, utc_now, utc_text
from core.store import Store
from mql5.bridge.messages import Heartbeat
from mql5.bridge.ticks import now_ms
from mql5.tables import MQL5_DATA, terminals

SILENT_SECONDS = 30.0


class TerminalStore:
    """The terminals of this workbench."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)

    def beat(self, heard: Heartbeat) -> int | None:
        """Enter a heartbeat; by how many ms the terminal's clock is ahead of ours, where it told it."""
        drift = heard.gmt_ms - now_ms() if heard.gmt_ms is not None else None
        said = heard.model_dump(exclude={"gmt_ms", "tz_offset_s"}, exclude_none=True)
        for name in ("trade_allowed", "connected"):
            if name in said:
                said[name] = int(said[name])
        if heard.tz_offset_s is not None:
            said["tz_offset_seconds"] = heard.tz_offset_s
        if drift is not None:
            said["clock_drift_ms"] = drift
        now = utc_text()
        statement = insert(terminals).values(first_seen_at=now, beat_at=now, **said)
        changes = {"beat_at": now, **{name: value for name, value in said.items() if name != "client"}}
        with self._store.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=[terminals.c.client], set_=changes))
        return drift

    def all(self) -> list[dict[str, Any]]:
        """Every terminal ever heard, the one heard last first, with `age_seconds` and `is_alive`."""
        found = self._store.rows(sa.select(terminals).order_by(terminals.c.beat_at.desc()))
        for row in found:
            row["age_seconds"] = (utc_now() - parse_utc(row["beat_at"])).total_seconds()
            row["is_alive"] = row["age_seconds"] < SILENT_SECONDS
            for name in ("trade_allowed", "connected"):
                row[name] = None if row[name] is None else bool(row[name])
        return found

    def offsets(self) -> dict[str, int]:
        """The broker clock of each terminal minus UTC, in seconds, as it reported it last."""
        query = sa.select(terminals.c.client, terminals.c.tz_offset_seconds)
        known = self._store.rows(query.where(terminals.c.tz_offset_seconds.is_not(None)))
        return {row["client"]: row["tz_offset_seconds"] for row in known}
