"""A bridge that falls sick on demand, for the Expert Advisor: what the real one never does while it is watched.

It keeps ticks by source, symbol, time and sequence, and counts how often each arrived, likewise deals; it serves a
signal until its end is told, and twice where it is told to. `mood` says how it answers now, `killed` whether the kill
switch is on.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-of-the-tests"
SLOW_SECONDS = 1.3  # longer than an expert may wait


class Mood(Enum):
    """How requests are met."""

    WELL = auto()
    BROKEN = auto()  # 500 for everything
    SLOW = auto()  # the right answer, too late
    DEAF_AFTER_WORK = auto()  # does what it was asked, and breaks the connection off without an answer


@dataclass
class StandIn:
    """What the server knows; `port` stays the same over restarts."""

    mood: Mood = Mood.WELL
    key: str = KEY
    port: int = 0
    ticks: Counter[tuple[str, str, int, int]] = field(default_factory=Counter)
    prices: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    signals: dict[int, dict[str, Any]] = field(default_factory=dict)
    served: Counter[int] = field(default_factory=Counter)
    acknowledged: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    deals: dict[int, dict[str, Any]] = field(default_factory=dict)
    told_deals: Counter[int] = field(default_factory=Counter)
    killed: bool = False
    requests: list[tuple[float, str, int]] = field(default_factory=list)
    deaf_to: str = ""  # the address whose answer is lost
    keeps_serving: bool = False  # hands a signal out again although its end was told
    poisoned: float = 0.0  # a bid for which a whole batch is refused
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def add_signal(self, side: str = "BUY", **values: Any) -> int:
        """A new signal for every terminal."""
        with self.lock:
            number = len(self.signals) + 1
            now = int(time.time())
            usual = {"symbol": "EURUSD", "volume": 0.02, "sl": 0, "tp": 0, "until": now + 300, "created": now}
            self.signals[number] = {**usual, **values, "side": side, "status": "pending"}
        return number

    def ends(self, number: int) -> list[tuple[str, dict[str, Any]]]:
        """What was told of a signal's end, in order."""
        return [(verb, body) for told, verb, body in self.acknowledged if told == number and verb != "sent"]

    def answer(self, method: str, path: str, body: bytes, key: str) -> tuple[int, str]:
        """Status and text for a request."""
        if key != self.key:
            return 401, '{"error":"key"}'
        url = urlsplit(path)
        parts = url.path.strip("/").split("/")[2:]
        if parts == ["live_data", "tick"]:
            return self._take(json.loads(body))
        if parts == ["terminals", "heartbeat"]:
            self.heartbeats.append(json.loads(body))
            return 200, json.dumps({"kill_switch": self.killed})
        if parts == ["terminals", "deals"]:
            for deal in json.loads(body)["deals"]:
                self.told_deals[deal["deal"]] += 1
                self.deals.setdefault(deal["deal"], deal)
            return 200, "{}"
        if parts == ["signals", "pending"]:
            assert parse_qs(url.query)["format"] == ["lines"]
            return 200, "\n".join(self._lines())
        return self._acknowledge(int(parts[1]), parts[2], json.loads(body))

    def _take(self, message: dict[str, Any]) -> tuple[int, str]:
        if any(tick["bid"] == self.poisoned for tick in message["ticks"]):
            return 422, '{"error":"a tick"}'
        for tick in message["ticks"]:
            self.ticks[message["source"], tick["symbol"], tick["time_msc"], tick["sequence"]] += 1
            self.prices[tick["symbol"], tick["sequence"]] = (tick["bid"], tick["ask"])
        return 200, "{}"

    def _lines(self) -> Iterator[str]:
        if self.killed:
            yield "#kill"
        for number, signal in self.signals.items():
            if self.killed and signal["side"] != "CLOSE":
                continue
            if signal["status"] == "pending" or (self.keeps_serving and signal["status"] in {"executed", "rejected"}):
                self.served[number] += 1
                names = ("symbol", "side", "volume", "sl", "tp", "until")
                yield "|".join([str(number), *(str(signal[name]) for name in names), "", str(signal["created"])])

    def _acknowledge(self, number: int, verb: str, body: dict[str, Any]) -> tuple[int, str]:
        if number not in self.signals:
            return 404, "{}"
        signal = self.signals[number]
        if signal["status"] == "cancelled":
            return 409, '{"error":"cancelled"}'
        self.acknowledged.append((number, verb, body))
        if verb != "sent" or signal["status"] == "pending":
            signal["status"] = verb
        return 200, "{}"


@contextmanager
def listening(bridge: StandIn) -> Iterator[StandIn]:
    """The server runs inside; entered again it listens at the same port."""
    server = _Server(("127.0.0.1", bridge.port), _Handler)
    server.bridge = bridge
    bridge.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield bridge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    bridge: StandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        bridge = self.server.bridge
        if bridge.mood is Mood.SLOW:
            time.sleep(SLOW_SECONDS)
        with bridge.lock:
            if bridge.mood is Mood.BROKEN:
                status, text = 500, "{}"
            else:
                status, text = bridge.answer(self.command, self.path, body, self.headers.get("X-API-Key", ""))
            bridge.requests.append((time.monotonic(), self.path, status))
        if bridge.mood is Mood.DEAF_AFTER_WORK and bridge.deaf_to in self.path:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""
