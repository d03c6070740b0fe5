"""Signals: one order each, whatever is posted, leased or acknowledged twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from bridging import Client

from mql5.tables import signals

SPEC_SIGNAL = {
    "symbol": "GBPUSD",
    "signal_type": "BUY",
    "confidence": 0.85,
    "entry_price": 1.2534,
    "stop_loss": 1.2500,
    "take_profit": 1.2600,
}


def test_a_signal_for_one_terminal_is_given_to_no_other(client: Client) -> None:
    number = made(client, target="mt5-demo")
    free = made(client)
    taken = client.get("/signals/pending?client=mt5-real").json["pending_signals"]
    assert [row["id"] for row in taken] == [free]
    for body in ({"client": "mt5-real"}, {}):
        refused = client.post(f"/signals/{number}/sent", body)
        assert refused.status_code == 409
        assert "meant for 'mt5-demo' alone" in refused.json["error"]
    assert [row["id"] for row in client.get("/signals/pending?client=mt5-demo").json["pending_signals"]] == [number]
    assert client.post(f"/signals/{number}/sent", {"client": "mt5-demo"}).status_code == 200


def made(client: Client, **other: Any) -> int:
    answer = client.post("/signals/create", {**SPEC_SIGNAL, **other})
    assert answer.status_code == 200, answer.json
    return int(answer.json["signal_id"])


def status_of(client: Client, signal_id: int) -> str:
    return str(client.get(f"/signals/{signal_id}").json["signal"]["status"])


def change(client: Client, signal_id: int, **values: Any) -> None:
    client.bridge.signals._store.update(signals, signals.c.id == sa.literal(signal_id), values)


def test_the_signal_of_the_specification_is_pending_sent_and_executed(client: Client) -> None:
    key = made(client)
    shown = client.get("/signals/pending").json
    assert shown["count"] == 1
    assert shown["pending_signals"][0] | SPEC_SIGNAL == shown["pending_signals"][0]
    assert client.get("/signals/pending").json["count"] == 1  # showing takes nothing
    answer = client.post(f"/signals/{key}/sent")
    assert (answer.json["success"], answer.json["signal_id"]) == (True, key)
    result = {
        "client": "ea",
        "retcode": 10009,
        "order": 7,
        "deal": 8,
        "price": 1.2535,
        "volume": 0.1,
        "comment": "done",
    }
    assert client.post(f"/signals/{key}/executed", result).json["duplicate"] is False
    signal = client.get(f"/signals/{key}").json["signal"]
    assert (signal["status"], signal["order_ticket"], signal["executed_price"]) == ("executed", 7, 1.2535)
    assert [event["status"] for event in signal["history"]] == ["pending", "sent", "executed"]
    assert client.get("/signals/pending").json["count"] == 0


def test_pending_is_oldest_first(client: Client) -> None:
    keys = [made(client) for _ in range(5)]
    assert [each["id"] for each in client.get("/signals/pending?max=3").json["pending_signals"]] == keys[:3]


def test_a_lease_holds_off_others_ends_by_itself_and_is_kept_by_its_holder(client: Client) -> None:
    key = made(client)
    assert client.get("/signals/pending?client=a&lease_s=60").json["count"] == 1
    assert client.get("/signals/pending?client=b").json["count"] == 0
    assert client.get("/signals/pending").json["count"] == 0
    assert client.get("/signals/pending?client=a").json["count"] == 1
    assert client.post(f"/signals/{key}/sent", {"client": "b"}).status_code == 409
    assert client.post(f"/signals/{key}/cancel").status_code == 409
    change(client, key, lease_until_ms=1)
    assert client.get("/signals/pending?client=b").json["count"] == 1
    assert client.post(f"/signals/{key}/sent", {"client": "b"}).status_code == 200
    assert client.post(f"/signals/{key}/sent", {"client": "b"}).json["duplicate"] is True
    assert client.post(f"/signals/{key}/sent", {"client": "a"}).status_code == 409


def test_many_terminals_share_no_signal(client: Client) -> None:
    keys = {made(client) for _ in range(30)}

    def lease(name: int) -> list[int]:
        return [row["id"] for row in client.bridge.signals.lease(f"ea{name}", 10, 60.0)]

    with ThreadPoolExecutor(8) as threads:
        taken = [key for found in threads.map(lease, range(8)) for key in found]
    assert sorted(taken) == sorted(keys)


def test_lines_are_what_an_expert_without_json_reads(client: Client) -> None:
    until = int(time.time()) + 600
    key = made(client, volume=0.25, comment="a|b", valid_until=until)
    answer = client.get("/signals/pending?client=ea&format=lines")
    line, created = answer.get_data(as_text=True).rstrip("\n").rsplit("|", 1)
    assert line == f"{key}|GBPUSD|BUY|0.25|1.25|1.26|{until}|a/b"
    assert abs(int(created) - time.time()) < 60


def test_the_same_word_twice_is_200_and_another_word_409(client: Client) -> None:
    key = made(client)
    result = {"retcode": 10009, "order": 7}
    assert client.post(f"/signals/{key}/executed", result).status_code == 200
    assert client.post(f"/signals/{key}/executed", result).json["duplicate"] is True
    assert client.post(f"/signals/{key}/executed").json["duplicate"] is True
    assert client.post(f"/signals/{key}/executed", {"order": 9}).status_code == 409
    assert client.post(f"/signals/{key}/rejected", {"retcode": 10019}).status_code == 409
    assert client.post(f"/signals/{key}/sent").json["status"] == "executed"


@pytest.mark.parametrize("step", ["sent", "executed", "rejected", "cancel"])
def test_an_unknown_signal_is_404(client: Client, step: str) -> None:
    assert client.post(f"/signals/123/{step}").status_code == 404


def test_an_expired_signal_is_never_sent_but_a_late_fill_is_a_fact(client: Client) -> None:
    key = made(client)
    change(client, key, valid_until_ms=1)
    assert client.get("/signals/pending?client=ea").json["count"] == 0
    answer = client.post(f"/signals/{key}/sent", {"client": "ea"})
    assert answer.status_code == 409
    assert "expired" in answer.json["error"]
    assert client.bridge.signals.expire() == 1
    assert status_of(client, key) == "expired"
    assert client.post(f"/signals/{key}/rejected").json["status"] == "expired"
    assert client.post(f"/signals/{key}/executed", {"order": 7}).json["status"] == "executed"
    assert client.bridge.signals.expire() == 0


def test_a_leased_signal_does_not_expire_under_its_holder(client: Client) -> None:
    key = made(client)
    client.get("/signals/pending?client=ea&lease_s=60")
    change(client, key, valid_until_ms=1)
    assert client.bridge.signals.expire() == 0


def test_a_cancelled_signal_is_not_sent(client: Client) -> None:
    key = made(client)
    assert client.post(f"/signals/{key}/cancel").json["status"] == "cancelled"
    assert client.post(f"/signals/{key}/cancel").json["duplicate"] is True
    assert client.post(f"/signals/{key}/sent").status_code == 409
    assert client.get("/signals?status=cancelled").json["count"] == 1


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"stop_loss": 1.26}, "stop_loss=1.26"),
        ({"take_profit": 1.2}, "take_profit=1.2"),
        ({"signal_type": "SELL"}, "take_profit=1.26"),
        ({"entry_price": None, "stop_loss": 1.3}, "stop_loss=1.3"),
        ({"confidence": 1.5}, "confidence"),
        ({"symbol": "EURUDS"}, "unknown"),
        ({"signal_type": "HOLD"}, "signal_type"),
        ({"volume": 0}, "volume"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, "over"),
        ({"lots": 1}, "lots"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused_with_the_reason(
    client: Client, other: dict[str, Any], named: str
) -> None:
    answer = client.post("/signals/create", {**SPEC_SIGNAL, **other})
    assert answer.status_code == 422
    assert named in answer.json["error"]
    assert client.get("/signals").json["count"] == 0


def test_a_hundred_posts_of_one_signal_at_once_are_one_row_and_all_answered(client: Client) -> None:
    body = {**SPEC_SIGNAL, "idempotency_key": "once"}

    together = Barrier(100)

    def post(_number: int) -> tuple[int, int]:
        together.wait(60)
        asked = client.app.test_client().post("/api/v1/signals/create", json=body, headers=client.headers)
        return asked.status_code, asked.json["signal_id"]

    with ThreadPoolExecutor(100) as threads:
        answers = set(threads.map(post, range(100)))
    assert len(answers) == 1
    assert answers.pop()[0] == 200
    assert client.get("/signals").json["count"] == 1
    other = client.post("/signals/create", {**SPEC_SIGNAL, "confidence": 0.1}, headers={"Idempotency-Key": "once"})
    assert other.status_code == 409
    assert "confidence" in other.json["error"]
