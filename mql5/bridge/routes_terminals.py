"""The endpoints of terminals, their deals, and the kill switch that they obey."""

from __future__ import annotations

from flask import Response, g
from flask_openapi3.openapi import OpenAPI

from core.clock import now_ms
from core.kill_switch import is_killed, write_kill
from mql5.bridge.answers import answered
from mql5.bridge.messages import DealReport, DealsQuery, Heartbeat, KillOrder
from mql5.bridge.state import Bridge

_KEY: list[dict[str, list[str]]] = [{"key": []}]


def add(app: OpenAPI, bridge: Bridge, prefix: str) -> None:
    """Give the application these endpoints."""
    drift_limit_ms = bridge.settings.drift_seconds * 1000

    @app.post(f"{prefix}/terminals/heartbeat", summary="A terminal says that it lives, and how", security=_KEY)
    def post_heartbeat(body: Heartbeat) -> Response:
        drift = bridge.terminals.beat(body)
        if body.tz_offset_s is not None:
            bridge.offsets.learn(body.client, body.tz_offset_s)
        off = drift is not None and abs(drift) > drift_limit_ms
        return answered(
            success=True,
            server_time_ms=now_ms(),
            clock_drift_ms=drift,
            clock_is_off=off,
            signals=bridge.signals.counts(),
            kill_switch=is_killed(),
        )

    @app.get(f"{prefix}/terminals", summary="The terminals heard, the one heard last first", security=_KEY)
    def get_terminals() -> Response:
        rows = bridge.terminals.all()
        return answered(terminals=rows, count=len(rows))

    @app.post(f"{prefix}/terminals/deals", summary="Deals of a terminal's history, each stored once", security=_KEY)
    def post_deals(body: DealReport) -> Response:
        said = bridge.deals.enter(body.client, body.deals)
        return answered(success=True, stored=said.stored, duplicates=said.duplicates, conflicts=said.conflicts)

    @app.get(f"{prefix}/terminals/deals", summary="The deals that terminals reported, oldest first", security=_KEY)
    def get_deals(query: DealsQuery) -> Response:
        since = round(query.since * 1000) if query.since is not None else None
        rows = bridge.deals.of(query.client, since, query.limit)
        return answered(deals=rows, count=len(rows))

    @app.post(f"{prefix}/kill", summary="Stop all entries now; only the workbench can start them again", security=_KEY)
    def post_kill(body: KillOrder) -> Response:
        killed = write_kill(f"key {bridge.keys.name_of(g.key_id)}", body.reason, body.close_positions)
        taken_back = bridge.signals.take_back_entries()
        return answered(success=True, kill_switch=True, kill=killed, cancelled=taken_back)
