"""The bridge as a stranger meets it: what is open to all, who is refused, what cannot bring it down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from bridging import Client, tick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench
from core.errors import DiskError, SettingsError
from core.settings import BridgeSettings
from mql5 import api_server
from mql5.bridge.writer import WriterBusyError

ROOT = Path(workbench.__file__).parent


def test_health_is_told_to_all_and_names_versions_and_parts(client: Client) -> None:
    answer = client.bare.get("/api/v1/health")
    assert answer.status_code == 200
    assert answer.json["status"] == "ok"
    assert answer.json["components"] == {"database": "ok", "tick_writer": "ok"}
    assert {"sequence", "python", "sqlite"} <= set(answer.json["versions"])


def test_the_docs_page_and_its_assets_need_no_key_and_no_network(client: Client) -> None:
    page = client.bare.get("/api/v1/docs", follow_redirects=True)
    assert page.status_code == 200
    assert b"swagger-ui-bundle.js" in page.data
    assert b"https://" not in page.data
    with client.bare.get("/api/v1/docs/swagger/js/swagger-ui-bundle.js") as script:
        assert script.status_code == 200
    document = client.bare.get("/api/v1/docs/openapi.json").json
    assert {"/api/v1/live_data/tick", "/api/v1/signals/pending", "/api/v1/backtest/import"} <= set(document["paths"])
    assert document["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"


@pytest.mark.parametrize("path", ["/api/v1/signals/pending", "/api/v1/live_data/EURUSD", "/metrics", "/nowhere"])
def test_everything_else_needs_a_key(client: Client, path: str) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}):
        answer = client.bare.get(path, headers=headers)
        assert answer.status_code == 401
        assert "bridge.key" in answer.json["cure"]


def test_a_foreign_host_name_is_refused(client: Client) -> None:
    answer = client.bare.get("/api/v1/health", headers={"Host": "evil.example:5000"})
    assert answer.status_code == 421
    assert client.bare.get("/api/v1/health", headers={"Host": "[::1]:5000"}).status_code == 200


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"", b"null", b'{"a":NaN}', b"[]"])
@pytest.mark.parametrize("path", ["/live_data/tick", "/signals/create", "/terminals/heartbeat", "/backtest/import"])
def test_a_body_that_is_no_message_gets_422(client: Client, path: str, body: bytes) -> None:
    answer = client.post(path, body)
    assert answer.status_code == 422, answer.data
    assert answer.json["success"] is False
    assert answer.json["cure"]


def test_a_body_that_is_too_large_gets_413(client: Client) -> None:
    client.app.config["MAX_CONTENT_LENGTH"] = 1_000
    assert client.post("/live_data/tick", b" " * 2_000).status_code == 413


@pytest.mark.parametrize(("error", "status"), [(DiskError("full"), 507), (WriterBusyError(7), 503)])
def test_what_the_disk_refuses_is_told_and_reading_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    client.post("/live_data/tick", tick(1))

    def refuse(_groups: object) -> None:
        raise error

    monkeypatch.setattr(client.bridge.writer, "_enter", refuse)
    answer = client.post("/live_data/tick", tick(2))
    assert answer.status_code == status
    assert answer.json.get("depth") == (7 if status == 503 else None)
    assert client.get("/live_data/EURUSD").json["count"] == 1
    monkeypatch.setattr(client.bridge.writer, "_enter", client.bridge.ticks.enter)
    assert client.post("/live_data/tick", tick(2)).status_code == 200


def test_a_fault_of_our_own_shows_no_trace(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(client.bridge.ticks, "gaps", fail)
    answer = client.get("/ticks/gaps")
    assert answer.status_code == 500
    assert b"secret" not in answer.data
    assert b"Traceback" not in answer.data


def test_a_crowd_before_the_database_is_told_to_come_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_args: object) -> None:
        raise sa.exc.TimeoutError("the pool is used up")

    monkeypatch.setattr(sa.Engine, "connect", wait)
    answer = client.get("/ticks/gaps")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert b"pool" not in answer.data


def test_metrics_count_what_came(client: Client) -> None:
    client.post("/live_data/tick", {"ticks": [tick(1), tick(2), tick(2)]})
    text = client.bare.get("/metrics", headers=client.headers).get_data(as_text=True)
    assert 'sequence_bridge_ticks_total{outcome="stored"} 2.0' in text
    assert "sequence_bridge_waiting_ticks 0.0" in text


def test_a_heartbeat_is_a_row_that_lives(client: Client) -> None:
    said = {"client": "ea-1", "login": 12345, "server": "Demo", "trade_allowed": True, "tz_offset_s": 10800}
    answer = client.post("/terminals/heartbeat", {**said, "gmt_ms": 1_000_000})
    assert answer.json["clock_is_off"] is True
    [row] = client.get("/terminals").json["terminals"]
    assert (row["client"], row["login"], row["trade_allowed"], row["is_alive"]) == ("ea-1", "12345", True, True)
    assert row["tz_offset_seconds"] == 10800


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("symbol", "bid", "ask", "timestamp", "time_msc", "signal_type", "volume", "client", "ticks", "status",
          "strategy_name", "timeframe", "output_path", "valid_until", "comment", "retcode", "full_results")  # fmt: skip
PATHS = ("/live_data/tick", "/signals/create", "/signals/1/sent", "/signals/1/executed", "/terminals/heartbeat",
         "/backtest/import", "/backtest/export", "/signals/1/cancel")  # fmt: skip
messages = st.dictionaries(st.sampled_from(FIELDS), json_values | st.sampled_from(["EURUSD", "BUY", 1.1, "H1"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(path=st.sampled_from(PATHS), body=messages.map(lambda m: json.dumps(m).encode()) | st.binary(max_size=200))
def test_no_body_gives_a_fault(client: Client, path: str, body: bytes) -> None:
    assert client.post(path, body).status_code < 500


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    name=st.sampled_from(["limit", "since", "client", "format", "lease_s", "status", "x"]), value=st.text(max_size=20)
)
@pytest.mark.parametrize("path", ["/live_data/EURUSD", "/signals/pending", "/signals", "/backtest/comparison/EURUSD"])
def test_no_query_gives_a_fault(client: Client, path: str, name: str, value: str) -> None:
    assert client.get(path, query_string={name: value}).status_code < 500


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "example.org"])  # noqa: S104
def test_listening_to_other_machines_needs_a_statement(host: str) -> None:
    with pytest.raises(SettingsError, match="TLS"):
        api_server._refuse_exposure(BridgeSettings(host=host))
    api_server._refuse_exposure(BridgeSettings(host=host, behind_tls=True))


@pytest.mark.parametrize("command", [["mql5/api_server.py"], ["-m", "mql5.api_server"]])
def test_both_ways_of_starting_it_refuse_a_bad_setting_in_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_BRIDGE__HOST", "0.0.0.0")  # noqa: S104
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == api_server.EXIT_USAGE
    assert len(done.stderr.strip().splitlines()) == 1
    assert "behind_tls" in done.stderr
