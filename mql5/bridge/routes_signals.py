"""The endpoints of signals."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_openapi3.openapi import OpenAPI

from core.kill_switch import is_killed
from mql5.bridge.answers import answered
from mql5.bridge.intake import stripped
from mql5.bridge.messages import Acknowledgement, NewSignal, PendingQuery, SignalPath, SignalsQuery
from mql5.bridge.signals import as_line, shown
from mql5.bridge.state import Bridge

_KEY: list[dict[str, list[str]]] = [{"key": []}]


def _acknowledgement() -> Acknowledgement:
    """The body, which may be left out."""
    return Acknowledgement.model_validate(request.get_json() if stripped(request.get_data()) else {})


def _body_left_out() -> dict[str, Any]:
    schema = Acknowledgement.model_json_schema()
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema}}}}


def add(app: OpenAPI, bridge: Bridge, prefix: str) -> None:
    """Give the application these endpoints."""
    signals = bridge.signals

    @app.post(f"{prefix}/signals/create", summary="A signal, pending at once", security=_KEY)
    def create(body: NewSignal) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key and not body.idempotency_key:
            body = NewSignal.model_validate({**body.model_dump(), "idempotency_key": key})
        row, is_new = signals.create(body)
        return answered(success=True, signal_id=row["id"], duplicate=not is_new, signal=shown(row))

    @app.get(f"{prefix}/signals/pending", summary="What waits, oldest first; with client= it is leased", security=_KEY)
    def pending(query: PendingQuery) -> Response:
        limit = query.limit or query.max
        if query.client is None:
            rows = signals.pending(limit)
        else:
            rows = signals.lease(query.client, limit, query.lease_s or bridge.settings.lease_seconds)
        if query.format == "lines":
            lines = ["#kill"] if is_killed() else []
            return Response("".join(f"{line}\n" for line in [*lines, *map(as_line, rows)]), mimetype="text/plain")
        return answered(pending_signals=[shown(row) for row in rows], count=len(rows))

    @app.get(f"{prefix}/signals", summary="Signals of any state, newest first", security=_KEY)
    def listed(query: SignalsQuery) -> Response:
        rows = signals.all(query.limit, status=query.status, symbol=query.symbol)
        return answered(signals=[shown(row) for row in rows], count=len(rows))

    @app.get(f"{prefix}/signals/<int:signal_id>", summary="A signal with its history", security=_KEY)
    def one(path: SignalPath) -> Response:
        row = signals.one(path.signal_id)
        return answered(signal=shown(row))

    @app.post(
        f"{prefix}/signals/<int:signal_id>/sent",
        summary="A terminal begins to execute it",
        security=_KEY,
        openapi_extensions=_body_left_out(),
    )
    def sent(path: SignalPath) -> Response:
        row, changed = signals.sent(path.signal_id, _acknowledgement())
        return answered(success=True, signal_id=row["id"], status=row["status"], duplicate=not changed)

    @app.post(
        f"{prefix}/signals/<int:signal_id>/executed",
        summary="The broker executed it",
        security=_KEY,
        openapi_extensions=_body_left_out(),
    )
    def executed(path: SignalPath) -> Response:
        return _finished(path.signal_id, "executed")

    @app.post(
        f"{prefix}/signals/<int:signal_id>/rejected",
        summary="The broker, or the Expert Advisor, refused it",
        security=_KEY,
        openapi_extensions=_body_left_out(),
    )
    def rejected(path: SignalPath) -> Response:
        return _finished(path.signal_id, "rejected")

    @app.post(
        f"{prefix}/signals/<int:signal_id>/cancel", summary="Take it back while no terminal has it", security=_KEY
    )
    def cancel(path: SignalPath) -> Response:
        row, changed = signals.cancel(path.signal_id)
        return answered(success=True, signal_id=row["id"], status=row["status"], duplicate=not changed)

    def _finished(signal_id: int, status: str) -> Response:
        row, changed = signals.finish(signal_id, status, _acknowledgement())
        return answered(success=True, signal_id=row["id"], status=row["status"], duplicate=not changed)
