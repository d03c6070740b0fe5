"""Bridges for tests: in this process with a client that speaks JSON and has the key, or in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import workbench
from mql5.api_server import create_app
from mql5.bridge.keys import key_file

ROOT = Path(workbench.__file__).parent


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


class Server:
    """A bridge in a process of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mql5.api_server"],
            cwd=ROOT,
            env={**os.environ, **variables, "SEQUENCE_BRIDGE_PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/health", timeout=1):
                    return
            except (OSError, HTTPException):
                time.sleep(0.02)
        raise AssertionError("the bridge did not start")

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        self.process.wait()

    @property
    def key(self) -> str:
        return (self.home / "output_central" / "bridge.key").read_text(encoding="ascii").strip()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self.key},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        return self.ask("/live_data/tick", body)
