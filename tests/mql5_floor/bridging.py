"""A bridge for tests: its client speaks with the key, and says JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mql5.api_server import create_app
from mql5.bridge.keys import key_file


class Client:
    """Flask's test client, with the key in every request."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.bridge = app.extensions["bridge"]
        self.headers = {"X-API-Key": key_file().read_text(encoding="ascii").strip()}
        self._client = app.test_client()

    def get(self, path: str, **options: Any) -> Any:
        return self._client.get(f"/api/v1{path}", headers=self.headers, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        given = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        headers = {**self.headers, **options.pop("headers", {})}
        return self._client.post(f"/api/v1{path}", headers=headers, **given, **options)

    @property
    def bare(self) -> Any:
        """Without a key."""
        return self._client


@contextmanager
def bridge() -> Iterator[Client]:
    app = create_app()
    try:
        yield Client(app)
    finally:
        app.extensions["bridge"].close()


def tick(sequence: int | None = None, **other: Any) -> dict[str, Any]:
    """A tick of now."""
    given = {"symbol": "EURUSD", "bid": 1.1, "ask": 1.1002, "time_msc": int(time.time() * 1000), **other}
    return given if sequence is None else {**given, "sequence": sequence}
