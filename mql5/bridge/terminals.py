"""The terminals that speak to the bridge: when each was heard last, its account, clock and positions.

A terminal whose own kill switch is set kills here too: `core.kill_switch`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core.clock import now_ms, parse_utc, utc_now, utc_text
from core.kill_switch import write_kill
from core.store import Store
from market.symbols import canonical_symbol
from mql5.bridge.messages import Heartbeat
from mql5.tables import MQL5_DATA, terminals

SILENT_SECONDS = 30.0
_YES_OR_NO = ("trade_allowed", "connected", "kill_switch")
# What a heartbeat does not say of these is not known any more; of the rest the last word stands.
_OF_THE_MOMENT = ("kill_switch", "margin_free", "open_positions")


class TerminalStore:
    """The terminals of this workbench."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)

    def beat(self, heard: Heartbeat) -> int | None:
        """Enter a heartbeat; by how many ms the terminal's clock is ahead of ours, where it told it.

        Its own kill switch switches ours on before anything else is done; raises DiskError where that cannot be.
        """
        if heard.kill_switch:
            write_kill(f"terminal {heard.client}", "its global variable SequenceBridge.stop is set")
        drift = heard.gmt_ms - now_ms() if heard.gmt_ms is not None else None
        said = {
            **dict.fromkeys(_OF_THE_MOMENT),
            **heard.model_dump(exclude={"gmt_ms", "tz_offset_s", "open_positions", "symbol_specs"}, exclude_none=True),
        }
        for name in _YES_OR_NO:
            if said.get(name) is not None:
                said[name] = int(said[name])
        for name, each in (("open_positions", heard.open_positions), ("symbol_specs", heard.symbol_specs)):
            if each is not None:
                said[name] = [{**one.model_dump(), "symbol": canonical_symbol(one.symbol)} for one in each]
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
            for name in _YES_OR_NO:
                row[name] = None if row[name] is None else bool(row[name])
        return found

    def one(self, client: str) -> dict[str, Any] | None:
        """The same of one terminal; None when it was never heard."""
        return next((row for row in self.all() if row["client"] == client), None)

    def offsets(self) -> dict[str, int]:
        """The broker clock of each terminal minus UTC, in seconds, as it reported it last."""
        query = sa.select(terminals.c.client, terminals.c.tz_offset_seconds)
        known = self._store.rows(query.where(terminals.c.tz_offset_seconds.is_not(None)))
        return {row["client"]: row["tz_offset_seconds"] for row in known}
