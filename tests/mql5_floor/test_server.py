"""The bridge as a process: clients that are silent, slow or gone, the watched folder, the commands papers print."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridging import ROOT, Client, Server, bridge, tick

from mql5.api_server import create_app

DOCUMENT = (ROOT / "docs" / "bridge.md").read_text(encoding="utf-8")
# The interface as its specification prints it, each request with the key that the bridge asks for.
SPECIFIED = """
curl -H "X-API-Key: $KEY" $API/health
curl -H "X-API-Key: $KEY" -X POST $API/live_data/tick -d '{
    "symbol": "GBPUSD",
    "bid": 1.2534,
    "ask": 1.2536,
    "volume": 1000000,
    "timestamp": 1701956400.0
}'
curl -H "X-API-Key: $KEY" "$API/live_data/GBPUSD?limit=100"
curl -H "X-API-Key: $KEY" -X POST $API/signals/create -d '{
    "symbol": "GBPUSD",
    "signal_type": "BUY",
    "confidence": 0.85,
    "entry_price": 1.2534,
    "stop_loss": 1.2500,
    "take_profit": 1.2600
}'
curl -H "X-API-Key: $KEY" $API/signals/pending
curl -H "X-API-Key: $KEY" -X POST $API/signals/1/sent
curl -H "X-API-Key: $KEY" -X POST $API/backtest/import -d '{
    "strategy_name": "MA_Crossover",
    "symbol": "GBPUSD",
    "timeframe": "1H",
    "start_date": "2025-01-01",
    "end_date": "2025-12-06",
    "total_return": 15.5,
    "sharpe_ratio": 1.45,
    "win_rate": 65.2,
    "max_drawdown": -8.3,
    "trades_count": 125
}'
curl -H "X-API-Key: $KEY" "$API/backtest/comparison/GBPUSD?limit=10"
curl -H "X-API-Key: $KEY" -X POST $API/backtest/export -d '{
    "symbol": "GBPUSD",
    "output_path": "output_central/backtest_results.csv"
}'
"""


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    started = Server(home)
    started.start()
    yield started
    started.kill()


def connected(server: Server, words: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(words)
    return client


def head(server: Server, length: int) -> bytes:
    lines = ("POST /api/v1/live_data/tick HTTP/1.1", "Host: 127.0.0.1", f"X-API-Key: {server.key}")
    return "\r\n".join((*lines, f"Content-Length: {length}", "", "")).encode()


def test_silent_and_slow_clients_hold_up_nobody(server: Server) -> None:
    began = time.monotonic()
    # More of them than the bridge has threads: a thread for each would end all answers.
    silent = [connected(server) for _ in range(20)]
    slow = [connected(server, head(server, 1_000)) for _ in range(40)]
    taken = []
    for number in range(40):
        slow[number].sendall(b"{")
        asked = time.monotonic()
        assert server.post(tick(number))["stored"] == 1
        taken.append(time.monotonic() - asked)
    assert statistics.median(taken) < 1, taken
    assert time.monotonic() - began < 60
    for client in silent + slow:
        client.close()


def test_clients_that_leave_before_their_answer_harm_nobody(server: Server) -> None:
    for number in range(20):
        body = json.dumps(tick(number, source="leaver")).encode()
        connected(server, head(server, len(body)) + body).close()
        connected(server, head(server, len(body)) + body[: len(body) // 2]).close()
    assert server.post(tick(100))["stored"] == 1
    deadline = time.monotonic() + 30
    while (told := server.ask("/live_data/EURUSD")["count"]) < 21 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told == 21  # what came whole was stored, though nobody waited for the answer
    assert server.ask("/health")["status"] == "ok"


def test_a_report_in_the_watched_folder_is_imported_once(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "common"
    folder.mkdir()
    result = {"schema": "mt5.tester.v1", "ea": "Toy", "build": 5833, "symbol": "EURUSD", "period": "PERIOD_H1",
              "from": 1735689600, "to": 1767139200, "deposit": 10000.0, "currency": "USD", "leverage": 100,
              "inputs": {}, "stats": {"STAT_PROFIT": 9.3, "STAT_TRADES": 1}, "run_id": "1",
              "deals": [[1735812000, 2, "EURUSD", 0, 0, 0.1, 1.03512, -0.35, 0.0, 0.0, 7, ""],
                        [1735815600, 3, "EURUSD", 1, 1, 0.1, 1.03612, -0.35, 0.0, 10.0, 7, ""]]}  # fmt: skip
    (folder / "broken.json").write_text('{"schema": "mt5.tester.v1"}', encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(result), encoding="utf-8")
    server = Server(home)
    for _ in range(2):  # what was imported before a restart is not imported after it
        server.start(SEQUENCE_BRIDGE__WATCHED_FOLDER=str(folder))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = server.ask("/backtest/comparison/EURUSD")["comparisons"]
            if found and server.ask("/health")["components"]["watched_folder"] == "ok":
                break
            time.sleep(0.1)
        server.kill()
        assert [row["mt5"]["trades_count"] for row in found] == [1]


def test_a_name_is_let_in_by_its_setting_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_BRIDGE__ALLOWED_HOSTS", "desk.example, other.example")
    with bridge() as client:
        statuses = {
            name: client.bare.get("/api/v1/health", headers={"Host": name}).status_code
            for name in ("DESK.example:5000", "other.example", "127.0.0.1", "third.example")
        }
    assert statuses == {"DESK.example:5000": 200, "other.example": 200, "127.0.0.1": 200, "third.example": 421}


def test_the_running_bridge_writes_down_the_last_use_of_a_key(home: Path) -> None:
    app = create_app(upkeep=True)
    try:
        client = Client(app)
        client.get("/signals/pending")
        deadline = time.monotonic() + 30
        while client.bridge.keys.all()[0]["last_used_at"] is None and time.monotonic() < deadline:
            for task in client.bridge.upkeep.tasks:
                task.due = 0.0
            time.sleep(0.05)
        assert client.bridge.keys.all()[0]["last_used_at"]
    finally:
        app.extensions["bridge"].close()


def commands_of(text: str) -> list[str]:
    """The curl commands of a text, in order; one may go over many lines."""
    return [match[0] for match in re.finditer(r"^curl (?:[^'\n]|'[^']*')*$", text, re.MULTILINE)]


def by_curl(server: Server, command: str) -> tuple[int, str]:
    """Run a line as a reader would, in a shell, from the folder of the workbench."""
    named = 'KEY=$(cat output_central/bridge.key)\nAPI="http://127.0.0.1:$PORT/api/v1"\n'
    done = subprocess.run(
        ["sh", "-c", f"{named}{command} -s -w '\\n%{{http_code}}'"],  # noqa: S607
        cwd=server.home,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PORT": str(server.port)},
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def by_its_words(server: Server, command: str) -> tuple[int, str]:
    """What curl would do with these words."""
    named = command.replace("$KEY", server.key).replace("$API", f"http://127.0.0.1:{server.port}/api/v1")
    words = shlex.split(named)[1:]
    method, headers, data, address = None, {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = words.pop(0)
        elif word == "-d":
            data = words.pop(0).replace("\n", "").encode()
        else:
            assert not address, word
            address = word
    asked = urllib.request.Request(address, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.status, answer.read().decode()


Asked = Callable[[Server, str], tuple[int, str]]


@pytest.mark.parametrize(
    "ask",
    [pytest.param(by_curl, marks=pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")), by_its_words],
)
@pytest.mark.parametrize(("text", "count"), [(DOCUMENT, 8), (SPECIFIED, 9)], ids=["document", "specification"])
def test_the_printed_commands_work_as_they_stand(server: Server, ask: Asked, text: str, count: int) -> None:
    commands = commands_of(text)
    assert len(commands) >= count
    for command in commands:
        status, body = ask(server, command)
        assert status == 200, (command, body)
        said: dict[str, Any] = json.loads(body)
        assert said.get("success", True) is True, (command, said)
        assert "timestamp" in said
    assert (server.home / "output_central" / "backtest_results.csv").exists()


def test_the_document_names_the_key_and_the_address_its_commands_use() -> None:
    assert "KEY=$(cat output_central/bridge.key)\nAPI=http://127.0.0.1:5000/api/v1\n" in DOCUMENT
