"""The endpoints of backtests that MetaTrader made."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_openapi3.openapi import OpenAPI

from core.plain import plain
from market.symbols import canonical_symbol
from mql5.bridge.answers import answered
from mql5.bridge.imports import comparison
from mql5.bridge.intake import parsed_json, stripped
from mql5.bridge.messages import ExportRequest, LimitQuery, SymbolPath, TesterResult
from mql5.bridge.state import Bridge

_KEY: list[dict[str, list[str]]] = [{"key": []}]


def _import_bodies() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {
        "application/json": {"schema": TesterResult.model_json_schema()},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": binary["schema"]}}},
        "application/octet-stream": binary,
    }
    return {"requestBody": {"required": True, "content": content}}


def add(app: OpenAPI, bridge: Bridge, prefix: str) -> None:
    """Give the application these endpoints."""

    @app.post(
        f"{prefix}/backtest/import",
        summary="Statistics as JSON, or a file that the Strategy Tester or the terminal wrote",
        security=_KEY,
        openapi_extensions=_import_bodies(),
    )
    def import_result() -> Response:
        row, is_new = _entered(bridge)
        return answered(
            success=True,
            result_id=row["id"],
            duplicate=not is_new,
            kind=row["kind"],
            totals_agree=None if row["totals_agree"] is None else bool(row["totals_agree"]),
            problems=row["problems"] or [],
        )

    @app.get(
        f"{prefix}/backtest/comparison/<symbol>", summary="Imported runs of a symbol beside our own", security=_KEY
    )
    def compare(path: SymbolPath, query: LimitQuery) -> Response:
        symbol = canonical_symbol(path.symbol)
        imported = bridge.imports.all(symbol, query.limit)
        ours = plain(bridge.our_runs(symbol, query.limit))
        pairs = comparison(imported, ours)
        return answered(symbol=symbol, comparisons=pairs, sequence_runs=ours, count=len(pairs))

    @app.post(f"{prefix}/backtest/export", summary="Imported runs as CSV under output_central/", security=_KEY)
    def export(body: ExportRequest) -> Response:
        symbol = canonical_symbol(body.symbol) if body.symbol else None
        path, rows = bridge.imports.export(symbol, body.output_path)
        return answered(success=True, output_path=path, rows=rows)


def _entered(bridge: Bridge) -> tuple[dict[str, Any], bool]:
    # To ask for files reads the body as a form, and curl calls by default a form what is none.
    is_form = request.mimetype == "multipart/form-data"
    if is_form and (uploaded := next(iter(request.files.values()), None)):
        return bridge.imports.enter_file(uploaded.read(), uploaded.filename or "")
    body = request.get_data()
    if stripped(body)[:1] == b"{":
        given = parsed_json(body)
        # Our Expert Advisor's export names its schema; everything else is the message of the interface.
        if "schema" not in given:
            return bridge.imports.enter(TesterResult.model_validate(given))
    return bridge.imports.enter_file(body, request.headers.get("X-File-Name", ""))
