"""A small HTTP server on 127.0.0.1 that speaks one vendor's protocol, so that tests run the real clients.

One more protocol is a file beside this one and a fixture. The file answers what a well server answers:

    class GdeltServer(LoopbackServer):
        variable = "SEQUENCE_GDELT_BASE_URL"

        def answer(self, request: Request) -> Answer:
            if request.path == "/api/v2/doc/doc":
                return Answer.of_json({"articles": [...]})
            return Answer(404, b"not here", "text/plain")

The fixture in `tests/conftest.py` is one line, `yield from served(GdeltServer, monkeypatch)`: it points the
setting at the server and ends it with the test. Tests then make the server sick, and read what it was asked:

    gdelt_server.fall_sick(Sickness.BUSY)             # the next question, then well again
    gdelt_server.fall_sick(Sickness.SILENT, times=3)  # the next three
    gdelt_server.fall_sick(Sickness.BROKEN, times=FOR_EVER)
    gdelt_server.questions                            # the requests met so far, oldest first

Where only some requests carry the answer (others fetch a cookie, say), override `is_question`: the rest are
never sick and are not among the questions; `requests` holds them all. A sickness of one vendor's own (an
empty list, an error in JSON) is a plain attribute of its server that `answer` looks at.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest

FOR_EVER = sys.maxsize


class Sickness(Enum):
    """What may befall an answer."""

    BUSY = auto()  # 429
    BROKEN = auto()  # 500
    WEB_PAGE = auto()  # 200, and HTML where something else was asked for
    EMPTY = auto()  # 200, and nothing
    TRUNCATED = auto()  # 200, and the first half as if it were the whole
    HALF = auto()  # the first half of what was promised, then the connection breaks off
    SILENT = auto()  # nothing at all, until the client goes away


@dataclass(frozen=True)
class Request:
    """One request as it came in. `form` are the fields of a POST; of fields given twice the last counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, content: Any, status: int = 200) -> Self:
        """An answer in JSON."""
        return cls(status, json.dumps(content).encode(), "application/json;charset=utf-8")

    @classmethod
    def of_html(cls, content: str, status: int = 200) -> Self:
        """A web page."""
        return cls(status, content.encode(), "text/html; charset=UTF-8")


_INSTEAD = {
    Sickness.BUSY: Answer(429, b"Too Many Requests\r\n", "text/plain"),
    Sickness.BROKEN: Answer(500, b"Internal Server Error\r\n", "text/plain"),
    Sickness.WEB_PAGE: Answer.of_html("<!DOCTYPE html><html><body>We will be right back.</body></html>"),
    Sickness.EMPTY: Answer(200, b"", "text/html"),
}


class LoopbackServer:
    """A server to derive from; `url` is its address while it runs as a context."""

    variable: ClassVar[str] = ""  # the SEQUENCE_ variable that points its client here

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.questions: list[Request] = []
        self._sick: Iterator[Sickness | None] = iter(())
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a silent answer waits for the end
        self._server.loopback = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Answer:
        """What a well server says."""
        raise NotImplementedError

    def is_question(self, request: Request) -> bool:
        """Whether a request asks for data, and may fall sick."""
        return True

    def fall_sick(self, sickness: Sickness, times: int = 1, after: int = 0) -> None:
        """Answer so many questions sickly, beginning when `after` more were answered well."""
        with self._lock:
            self._sick = chain(repeat(None, after), repeat(sickness, times))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _meet(self, request: Request) -> tuple[Answer, Sickness | None]:
        with self._lock:
            self.requests.append(request)
            if not self.is_question(request):
                return self.answer(request), None
            self.questions.append(request)
            sickness = next(self._sick, None)
            return (_INSTEAD[sickness] if sickness in _INSTEAD else self.answer(request)), sickness


Server = TypeVar("Server", bound=LoopbackServer)


def served(kind: type[Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server of that kind, to which its client is pointed: the body of a fixture."""
    with kind() as server:
        monkeypatch.setenv(kind.variable, server.url)
        yield server


class _Server(ThreadingHTTPServer):
    """Clients that are killed in the middle of a question are nothing to report."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self._serve(dict(parse_qsl(body, keep_blank_values=True)))

    def _serve(self, form: dict[str, str]) -> None:
        server: LoopbackServer = self.server.loopback  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        answer, sickness = server._meet(Request(self.command, url.path, query, dict(self.headers), form))
        if sickness is Sickness.SILENT:
            server._ended.wait()
            self.close_connection = True
            return
        half = answer.body[: len(answer.body) // 2]
        body = half if sickness in {Sickness.TRUNCATED, Sickness.HALF} else answer.body
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body if sickness is Sickness.HALF else body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = sickness is Sickness.HALF or self.close_connection

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""
