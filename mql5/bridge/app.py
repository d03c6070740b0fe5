"""The Flask application of the bridge: who may speak to it, how it refuses, and where its documentation stands."""

from __future__ import annotations

import platform
import sqlite3
import time
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Request, Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from flask_openapi3_swagger.templates import swagger_html_string
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date

from core.clock import is_replayed, utc_now
from core.errors import (
    DiskError,
    InputError,
    InterventionError,
    NameTakenError,
    SequenceError,
    TryAgainError,
    UnknownNameError,
)
from core.kill_switch import is_killed
from core.log import get_logger
from core.schema import refusal_of
from core.settings import BridgeSettings
from core.version import __version__
from mql5.bridge import routes_backtests, routes_signals, routes_terminals, routes_ticks
from mql5.bridge.answers import answered, refusal
from mql5.bridge.intake import parsed_json
from mql5.bridge.messages import Message
from mql5.bridge.state import Bridge, OurRuns, TooManyTicksError, no_runs
from mql5.bridge.writer import WriterBusyError

PREFIX = "/api/v1"
DOCS = f"{PREFIX}/docs"
KEY_HEADER = "X-API-Key"
_OPEN_TO_ALL = (f"{PREFIX}/health", DOCS)
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
# The first that fits says the status; a subclass stands before its base.
_STATUS: tuple[tuple[type[SequenceError], HTTPStatus], ...] = (
    (TooManyTicksError, HTTPStatus.TOO_MANY_REQUESTS),
    (UnknownNameError, HTTPStatus.NOT_FOUND),
    (NameTakenError, HTTPStatus.CONFLICT),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TryAgainError, HTTPStatus.SERVICE_UNAVAILABLE),
    (DiskError, HTTPStatus.INSUFFICIENT_STORAGE),
    (InterventionError, HTTPStatus.SERVICE_UNAVAILABLE),
)


class _Request(Request):
    """Reads JSON whatever the Content-Type says: MQL5's WebRequest names none."""

    def get_json(self, *_args: Any, **_options: Any) -> Any:
        given = parsed_json(self.get_data())
        if not isinstance(given, dict):
            raise InputError(f"A JSON object was expected, not {type(given).__name__}.", "Send {…}.")
        return given


class _Application(OpenAPI):
    request_class = _Request


def build_app(settings: BridgeSettings, our_runs: OurRuns = no_runs) -> _Application:
    """A bridge of its own with its writer thread running; `close_app` ends it."""
    app = _Application(
        "mql5.bridge",
        info=Info(
            title="Sequence: the MetaTrader bridge",
            version=__version__,
            description=f"Ticks in, signals out. Every request but health and this page carries {KEY_HEADER}.",
        ),
        security_schemes={"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}},
        doc_prefix=DOCS,
        validation_error_callback=_refuse_invalid,
    )
    app.url_map.merge_slashes = False  # an address that is not quite right is unknown, and not sent elsewhere
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_body_mib * 2**20)
    # The page itself stands at /api/v1/docs; its scripts and styles come from the package, not from the network.
    app.config["OPENAPI_HTML_STRING"] = swagger_html_string.replace("{{doc_url}}", "openapi.json").replace(
        "{{ oauth_config|tojson }}", "null"
    )
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    bridge = Bridge(settings, our_runs)
    app.extensions["bridge"] = bridge
    for source, seconds in bridge.terminals.offsets().items():
        bridge.offsets.learn(source, seconds)
    _guard(app, bridge)
    _explain(app)
    _add_health(app, bridge)
    routes_ticks.add(app, bridge, PREFIX)
    routes_terminals.add(app, bridge, PREFIX)
    routes_signals.add(app, bridge, PREFIX)
    routes_backtests.add(app, bridge, PREFIX)
    return app


def bridge_of(app: OpenAPI) -> Bridge:
    """The parts of an application."""
    bridge: Bridge = app.extensions["bridge"]
    return bridge


def _guard(app: OpenAPI, bridge: Bridge) -> None:
    hosts = _LOCAL_NAMES | {bridge.settings.host.lower()}
    hosts |= {name.strip().lower() for name in bridge.settings.allowed_hosts.split(",") if name.strip()}

    @app.before_request
    def _check() -> Response | None:
        host = _bare_host(request.environ.get("HTTP_HOST") or request.environ.get("SERVER_NAME", ""))
        if host not in hosts:  # a web page that points its own name at 127.0.0.1 stays outside
            return refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"This bridge does not answer under the name {host[:100]!r}.",
                "Ask it as 127.0.0.1, or add the name to bridge.allowed_hosts.",
            )
        path = request.path
        if path == _OPEN_TO_ALL[0] or path == DOCS or path.startswith(f"{DOCS}/"):
            return None
        holder = bridge.keys.holder(request.headers.get(KEY_HEADER, "").strip())
        if holder is None:
            return refusal(
                HTTPStatus.UNAUTHORIZED,
                f"The header {KEY_HEADER} holds no key in force."
                if KEY_HEADER in request.headers
                else f"The header {KEY_HEADER} is missing.",
                "Send the key that stands in output_central/bridge.key.",
            )
        g.key_id = holder
        return None

    @app.after_request
    def _count(answer: Response) -> Response:
        bridge.metrics.requests.labels(str(answer.status_code)).inc()
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers.setdefault("Cache-Control", "no-store")
        if is_replayed():  # a terminal takes the time from here
            answer.headers["Date"] = http_date(utc_now())
        return answer


def _explain(app: OpenAPI) -> None:
    @app.errorhandler(SequenceError)
    def _known(error: SequenceError) -> Response:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        further = {"depth": error.depth} if isinstance(error, WriterBusyError) else {}
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not further:
            get_logger(__name__).warning("refused", path=request.path, error=str(error))
        answer = refusal(status, error.what, error.cure, **further)
        if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
            answer.headers["Retry-After"] = "1"
        return answer

    app.register_error_handler(ValidationError, _refuse_invalid)

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        if error.response is not None and isinstance(error.response, Response):
            return error.response
        return refusal(HTTPStatus(error.code or 500), f"{error.name}.", error.description or "")

    @app.errorhandler(Exception)  # whatever it is, a stranger is not shown it and the log is
    def _unknown(_error: Exception) -> Response:
        get_logger(__name__).exception("a request failed", path=request.path)
        return refusal(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "The bridge failed.",
            "Its log, output_central/logs/bridge.jsonl, says why.",
        )


def _add_health(app: OpenAPI, bridge: Bridge) -> None:
    @app.get(f"{PREFIX}/health", summary="Whether the bridge lives, its versions and the state of each part")
    def health() -> Response:
        parts = {"database": _database_state(bridge), "tick_writer": "ok" if bridge.writer.is_alive else "dead"}
        parts |= {task.name: task.state for task in bridge.upkeep.tasks}
        well = all(state in {"ok", "starting"} for state in parts.values())
        return answered(
            status="ok" if well else "degraded",
            versions={
                "sequence": __version__,
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
                "flask": version("flask"),
            },
            components=parts,
            kill_switch="on" if is_killed() else "off",
            clock="replayed" if is_replayed() else "wall",
            waiting_ticks=bridge.writer.depth,
            uptime_seconds=round(time.monotonic() - bridge.started, 1),
        )

    @app.get("/metrics", summary="Figures for Prometheus", security=[{"key": []}])
    def metrics() -> Response:
        return Response(bridge.metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _database_state(bridge: Bridge) -> str:
    try:
        bridge.ticks.knows("EURUSD")
    except SequenceError as error:
        # Anybody may ask for health: the words, which name paths, stay in the log.
        return "busy" if isinstance(error, TryAgainError) else "unusable"
    return "ok"


def _bare_host(header: str) -> str:
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _refuse_invalid(error: ValidationError) -> Response:
    what, cure = refusal_of(error, Message)
    return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, what[:500], cure[:500])
