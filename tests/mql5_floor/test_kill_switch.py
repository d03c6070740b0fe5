"""The kill switch at the bridge: entries are neither taken, given out nor begun; what closes goes on."""

from __future__ import annotations

from typing import Any

import pytest
from bridging import Client

from core.kill_switch import is_killed, kill_file, killed_by, remove_kill, write_kill
from mql5.bridge.messages import NewSignal
from mql5.bridge.signals import KilledError

ENTRY = {"symbol": "EURUSD", "signal_type": "BUY", "stop_loss": 1.0}


def made(client: Client, side: str = "BUY", **other: Any) -> int:
    answer = client.post("/signals/create", {"symbol": "EURUSD", "signal_type": side, **other})
    assert answer.status_code == 200, answer.json
    return int(answer.json["signal_id"])


def status_of(client: Client, signal_id: int) -> str:
    return str(client.get(f"/signals/{signal_id}").json["signal"]["status"])


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_an_entry_is_refused_with_who_and_why_and_not_stored(client: Client, side: str) -> None:
    write_kill("page", "enough")
    answer = client.post("/signals/create", {"symbol": "EURUSD", "signal_type": side})
    assert answer.status_code == 409
    assert "the kill switch is on (by page: enough)" in answer.json["error"]
    assert "CLOSE" in answer.json["cure"]
    assert client.get("/signals").json["count"] == 0
    with pytest.raises(KilledError):
        client.bridge.signals.create(NewSignal.model_validate(ENTRY))
    made(client, "CLOSE")
    remove_kill()
    made(client, side)


def test_a_signal_posted_again_is_still_told_as_the_one_that_is_there(client: Client) -> None:
    key = made(client, idempotency_key="once")
    write_kill("page", "enough")
    assert made(client, idempotency_key="once") == key


def test_only_what_closes_is_given_out(client: Client) -> None:
    entry, close = made(client), made(client, "CLOSE")
    lines = client.get("/signals/pending?format=lines&max=1").get_data(as_text=True)
    assert not lines.startswith("#kill")
    kill_file().touch()
    assert [row["id"] for row in client.get("/signals/pending").json["pending_signals"]] == [close]
    text = client.get("/signals/pending?client=ea&format=lines").get_data(as_text=True)
    mark, line, rest = text.split("\n")
    assert (mark, line.split("|")[0], rest) == ("#kill", str(close), "")
    assert client.post(f"/signals/{close}/sent", {"client": "ea"}).status_code == 200
    assert client.post(f"/signals/{close}/executed", {"client": "ea", "retcode": 10009}).status_code == 200
    assert client.get("/signals/pending?client=ea&format=lines").get_data(as_text=True) == "#kill\n"
    assert status_of(client, entry) == "pending"


@pytest.mark.parametrize("far", ["pending", "leased", "sent"])
def test_an_entry_that_is_about_to_begin_is_cancelled_instead(client: Client, far: str) -> None:
    key = made(client)
    if far != "pending":
        client.get("/signals/pending?client=ea")
    if far == "sent":
        client.post(f"/signals/{key}/sent", {"client": "ea"})
    write_kill("page", "enough")
    answer = client.post(f"/signals/{key}/sent", {"client": "ea"})
    assert answer.status_code == 409
    assert "kill switch" in answer.json["error"]
    assert status_of(client, key) == "cancelled"
    history = client.get(f"/signals/{key}").json["signal"]["history"]
    assert history[-1]["words"] == "cancelled by the kill switch"
    assert client.post(f"/signals/{key}/sent", {"client": "ea"}).status_code == 409
    # What the broker did all the same is a fact.
    assert client.post(f"/signals/{key}/executed", {"client": "ea", "order": 7}).json["status"] == "executed"


def test_an_entry_that_was_executed_is_not_touched(client: Client) -> None:
    key = made(client)
    client.post(f"/signals/{key}/executed", {"client": "ea", "order": 7})
    write_kill("page", "enough")
    assert client.post(f"/signals/{key}/sent", {"client": "ea"}).json["status"] == "executed"


def test_nothing_that_waited_is_executed_after_it_is_armed_again(client: Client) -> None:
    waiting, leased = made(client), made(client)
    client.bridge.signals.lease("ea", 1, 600)
    close = made(client, "CLOSE")
    kill_file().touch()
    assert client.bridge.signals.expire() == 2  # what the bridge does each second
    assert client.bridge.signals.expire() == 0
    remove_kill()
    assert [status_of(client, key) for key in (waiting, leased, close)] == ["cancelled", "cancelled", "pending"]


def test_it_is_switched_on_over_http_by_the_name_of_the_key(client: Client) -> None:
    key = made(client)
    assert client.bare.get("/api/v1/health").json["kill_switch"] == "off"
    answer = client.post("/kill", {"reason": "the desk says so", "close_positions": True})
    assert answer.status_code == 200
    assert (answer.json["kill_switch"], answer.json["cancelled"]) == (True, 1)
    told = killed_by()
    assert told == answer.json["kill"]
    assert told
    assert (told["by"], told["reason"], told["close_positions"]) == ("key bridge.key", "the desk says so", True)
    assert status_of(client, key) == "cancelled"
    assert client.bare.get("/api/v1/health").json["kill_switch"] == "on"
    assert client.post("/kill", {"reason": "again"}).json["kill"] == told


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "x", "close_positions": "all"}, {"reason": "x", "a": 1}]
)
def test_an_order_that_cannot_be_read_kills_nothing(client: Client, body: dict[str, Any]) -> None:
    assert client.post("/kill", body).status_code == 422
    assert client.bare.post("/api/v1/kill", json={"reason": "x"}).status_code == 401
    assert not is_killed()


def test_a_terminals_own_switch_kills_and_every_heartbeat_is_told(client: Client) -> None:
    assert client.post("/terminals/heartbeat", {"client": "ea"}).json["kill_switch"] is False
    assert client.post("/terminals/heartbeat", {"client": "ea", "kill_switch": True}).json["kill_switch"] is True
    told = killed_by()
    assert told
    assert (told["by"], told["close_positions"]) == ("terminal ea", False)
    assert "SequenceBridge.stop" in told["reason"]
    assert client.post("/terminals/heartbeat", {"client": "b", "kill_switch": False}).json["kill_switch"] is True
    remove_kill()
    assert client.post("/terminals/heartbeat", {"client": "b", "kill_switch": False}).json["kill_switch"] is False
