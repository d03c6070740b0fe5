"""The endpoints of ticks."""

from __future__ import annotations

import time
from typing import Any

from flask import Response, g, request
from flask_openapi3.openapi import OpenAPI
from pydantic_core import to_json

from core.clock import now_ms, utc_text
from market.symbols import canonical_symbol
from mql5.bridge.answers import answered
from mql5.bridge.intake import read_ticks
from mql5.bridge.messages import LimitQuery, SymbolPath, Tick, TickBatch, TicksQuery
from mql5.bridge.state import Bridge

_KEY: list[dict[str, list[str]]] = [{"key": []}]


def _tick_bodies() -> dict[str, Any]:
    """What may be posted as ticks; the body is read by the route itself, once and fast."""
    tick = Tick.model_json_schema(by_alias=False)
    batch = TickBatch.model_json_schema(by_alias=False)
    batch.pop("$defs", None)
    batch["properties"]["ticks"]["items"] = tick
    content = {
        "application/json": {"schema": {"anyOf": [tick, batch]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one tick a line"}},
    }
    return {"requestBody": {"required": True, "content": content}}


def add(app: OpenAPI, bridge: Bridge, prefix: str) -> None:
    """Give the application these endpoints."""
    stale_ms = bridge.settings.stale_seconds * 1000
    drift_limit_ms = bridge.settings.drift_seconds * 1000

    @app.post(
        f"{prefix}/live_data/tick",
        summary="One tick, {ticks: […]}, or one tick a line; answered when they are on the disk",
        security=_KEY,
        openapi_extensions=_tick_bodies(),
    )
    def post_tick() -> Response:
        began, received = time.perf_counter(), now_ms()
        batch = read_ticks(request.get_data(cache=False), bridge.offsets, received, stale_ms)
        bridge.allowance.take(g.key_id, len(batch.rows))
        entered = bridge.writer.submit(batch.rows)
        answer: dict[str, Any] = {
            "success": True,
            "timestamp": utc_text(),
            "stored": entered.stored,
            "duplicates": entered.duplicates,
            "stale": sum(row.stale for row in batch.rows),
            "server_time_ms": now_ms(),
        }
        if batch.refused:
            answer["refused"] = batch.refused
        if entered.gaps:
            answer["gaps"] = [gap._asdict() for gap in entered.gaps]
        if batch.drift_ms is not None:
            answer["clock_drift_ms"] = batch.drift_ms
            answer["clock_is_off"] = abs(batch.drift_ms) > drift_limit_ms
        missing = sum(gap.missing for gap in entered.gaps)
        bridge.metrics.took(entered.stored, entered.duplicates, missing, time.perf_counter() - began)
        return Response(to_json(answer), mimetype="application/json")

    @app.get(f"{prefix}/live_data/<symbol>", summary="The last ticks of a symbol, oldest first", security=_KEY)
    def get_ticks(path: SymbolPath, query: TicksQuery) -> Response:
        since = round(query.since * 1000) if query.since is not None else None
        rows = bridge.ticks.newest(path.symbol, query.limit, since)
        for row in rows:
            row["timestamp"] = row["time_ms"] / 1000
            row["stale"] = bool(row["stale"])
            row["sequence"] = row["sequence"] if row["sequence"] >= 0 else None
        return answered(symbol=canonical_symbol(path.symbol), data=rows, count=len(rows))

    @app.get(f"{prefix}/ticks/gaps", summary="Numbers of ticks that never came, newest first", security=_KEY)
    def get_gaps(query: LimitQuery) -> Response:
        rows = bridge.ticks.gaps(query.limit)
        return answered(gaps=rows, count=len(rows))
