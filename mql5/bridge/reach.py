"""Whether a bridge answers, asked of the running server itself and not of what somebody hoped."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

from core.settings import BridgeSettings

_PATIENCE_SECONDS = 0.5
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
_MOST_BYTES = 65_536


@dataclass(frozen=True)
class Reached:
    """What `/health` said. `state` is ok, degraded, silent (nobody listens) or foreign (another program does)."""

    state: str
    address: str
    failing: list[str] = field(default_factory=list)

    @property
    def listens(self) -> bool:
        """Whether it is a bridge."""
        return self.state in {"ok", "degraded"}

    @property
    def url(self) -> str:
        """What a terminal must allow."""
        return f"http://{self.address}"


def ask_health(settings: BridgeSettings) -> Reached:
    """Ask the bridge of these settings for its health; at most half a second, and never through a proxy."""
    host = _EVERYWHERE.get(settings.host, settings.host)
    address = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    connection = http.client.HTTPConnection(host, settings.port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/api/v1/health")
        answer = connection.getresponse()
        said = json.loads(answer.read(_MOST_BYTES)) if answer.status == http.HTTPStatus.OK else None
    except (TimeoutError, ConnectionResetError, http.client.HTTPException, ValueError):
        said = None  # somebody listens, and it is no bridge, or one that hangs
    except OSError:
        return Reached("silent", address)
    finally:
        connection.close()
    return _understood(said, address)


def _understood(said: Any, address: str) -> Reached:
    parts = said.get("components") if isinstance(said, dict) else None
    if not isinstance(parts, dict):
        return Reached("foreign", address)
    failing = [f"{name} {state}" for name, state in parts.items() if state not in {"ok", "starting"}]
    return Reached("degraded" if failing else "ok", address, failing)
