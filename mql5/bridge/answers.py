"""How the bridge answers: one JSON object, always with the time by its own clock."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Response

from core.clock import utc_text


def answered(**members: Any) -> Response:
    """An answer with the time of the bridge."""
    return Response(json.dumps({**members, "timestamp": utc_text()}), mimetype="application/json")


def refusal(status: HTTPStatus, what: str, cure: str = "", **further: Any) -> Response:
    """An answer that says what is wrong and what to do."""
    body = {"success": False, "error": what, "cure": cure, **further, "timestamp": utc_text()}
    return Response(json.dumps(body), status=int(status), mimetype="application/json")
