"""Requests that nobody would send, to every endpoint: the bridge answers 2xx or 4xx and never fails.

`pytest --hypothesis-profile full tests/mql5_floor/test_fuzz.py` sends ten thousand of each kind.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
from bridging import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.kill_switch import remove_kill

SIZE = max(200, settings.default.max_examples if settings.default else 0)
RELAXED = settings(
    max_examples=SIZE,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

words = st.sampled_from(
    ["EURUSD", "eurusd.m", "XAUUSD", "BUY", "sell", "CLOSE", "H1", "ea", "1", "0", "-1", "1e400", "nan", "2026-01-01",
     "9999-12-31T23:59:59Z", "0001-01-01", "../../x.csv", "results.csv", "CON.csv", "\0", "\ud800", "é" * 40, ""]
)  # fmt: skip
numbers = st.one_of(
    st.integers(-3, 3), st.integers(), st.floats(), st.sampled_from([2**31, 2**53, 2**63, 2**64, 1.1, 1e15, 1e308])
)
plain = st.none() | st.booleans() | numbers | words | st.text(max_size=20)
nested = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = {
    "/live_data/tick": ("symbol", "bid", "ask", "last", "volume", "timestamp", "time_msc", "sequence", "seq", "flags",
                        "source", "client", "login", "magic", "tz_offset_s", "gmt_ms", "ticks"),
    "/signals/create": ("symbol", "signal_type", "confidence", "entry_price", "stop_loss", "take_profit", "volume",
                        "valid_until", "comment", "strategy_name", "idempotency_key"),
    "/terminals/heartbeat": ("client", "login", "server", "build", "trade_allowed", "tz_offset_s", "gmt_ms", "balance",
                             "positions", "symbols", "kill_switch", "margin_free", "open_positions", "symbol_specs"),
    "/terminals/deals": ("client", "deals"),
    "/kill": ("reason", "close_positions"),
    "/backtest/import": ("schema", "strategy_name", "symbol", "timeframe", "start_date", "total_return", "win_rate",
                         "trades_count", "full_results", "stats", "deals", "inputs"),
    "/backtest/export": ("symbol", "output_path"),
}  # fmt: skip
RESULT = ("client", "retcode", "order", "deal", "price", "volume", "comment", "status", "duplicate")
# What is right, so that changes to it reach the code behind the door.
RIGHT: dict[str, dict[str, Any]] = {
    "/live_data/tick": {"symbol": "EURUSD", "bid": 1.1, "ask": 1.2, "time_msc": 1_700_000_000_000, "sequence": 1},
    "/signals/create": {"symbol": "EURUSD", "signal_type": "BUY", "stop_loss": 1.0, "take_profit": 1.2},
    "/terminals/heartbeat": {"client": "ea", "tz_offset_s": 7200,
                             "open_positions": [{"ticket": 1, "symbol": "EURUSD", "side": "long", "volume": 0.1,
                                                 "price": 1.1, "opened_ms": 1_700_000_000_000}],
                             "symbol_specs": [{"symbol": "EURUSD", "digits": 5, "tick_value": 1.0}]},
    "/terminals/deals": {"client": "ea", "deals": [
        {"deal": 7, "symbol": "EURUSD", "side": "buy", "entry": "in", "volume": 0.1, "price": 1.1,
         "time_ms": 1_700_000_000_000}]},
    "/kill": {"reason": "enough"},
    "/backtest/import": {"strategy_name": "S", "symbol": "EURUSD", "timeframe": "H1"},
    "/backtest/export": {"output_path": "results.csv"},
}  # fmt: skip
QUERIES = ("limit", "since", "client", "max", "lease_s", "format", "status", "symbol", "x")


@st.composite
def requests(draw: st.DrawFn, rules: list[tuple[str, str]]) -> dict[str, Any]:
    """A request to one of the endpoints (method, rule), about right or far from it."""
    method, rule = draw(st.sampled_from(rules))
    if draw(st.integers(0, 19)) == 0:
        method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]))
    signal = draw(st.integers(1, 20) | st.integers(0, 2**70))
    symbol = quote(draw(words | st.text(max_size=40)).encode("utf-8", "replace"), safe="")
    path = rule.replace("<int:signal_id>", str(signal)).replace("<symbol>", symbol)
    asked: dict[str, Any] = {"method": method, "path": path, "rule": rule}
    query = draw(st.dictionaries(st.sampled_from(QUERIES), plain | st.text(max_size=20), max_size=3))
    asked["query_string"] = {name: str(value).encode("utf-8", "replace") for name, value in query.items()}
    headers = draw(st.dictionaries(st.sampled_from(["Idempotency-Key", "X-File-Name", "Content-Type"]), words))
    asked["headers"] = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}
    if method != "GET":
        short = rule.removeprefix("/api/v1")
        fields = FIELDS.get(short, RESULT)
        changed = st.dictionaries(st.sampled_from(fields), nested, max_size=3)
        message = changed.map(lambda changes: {**RIGHT.get(short, {}), **changes})
        ticks = st.lists(message, max_size=3).map(lambda several: {"ticks": several})
        said = draw(message | ticks | nested)
        body = json.dumps(said).encode()
        kind = draw(st.integers(0, 9))
        if kind == 0:
            body = draw(st.binary(max_size=200))
        elif kind == 1:
            body = body[: draw(st.integers(0, len(body)))] + draw(st.sampled_from([b"\0", b"\0\0\n", b"}", b"\n{"]))
        elif kind == 2:
            body = b"\n".join([body] * 3)
        if kind == 3:
            name = draw(words).encode("utf-8", "replace").decode()
            asked["headers"].pop("Content-Type", None)
            asked["data"] = {"file": (io.BytesIO(body), name)}
        else:
            asked["data"] = body
    return asked


def rules_of(client: Client) -> list[tuple[str, str]]:
    """(method, rule) of every endpoint but the documentation's own pages."""
    return sorted(
        (method, rule.rule)
        for rule in client.app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if "/docs" not in rule.rule and not rule.rule.startswith("/static")
    )


@pytest.mark.timeout(1200)
def test_no_request_gives_a_fault(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    rules = rules_of(client)
    assert len(rules) >= 18
    answers: Counter[int] = Counter()
    went_well: set[str] = set()

    @RELAXED
    @given(asked=requests(rules))
    def send(asked: dict[str, Any]) -> None:
        given_to = {**asked, "headers": {**asked["headers"], **client.headers}}
        rule = given_to.pop("rule")
        with client.bare.open(**given_to) as answer:
            answers[answer.status_code] += 1
            if answer.status_code == 200:
                went_well.add(rule)
            assert answer.status_code // 100 in {2, 4}, answer.data
        remove_kill()  # one request that kills would refuse most of the others

    send()
    with capsys.disabled():
        if SIZE > 200:
            print(f"{answers.total()} requests: {dict(sorted(answers.items()))}")  # noqa: T201  # the proof
    assert answers[200] > answers.total() // 10, "most never came past the door"
    assert SIZE == 200 or went_well >= {rule for _, rule in rules}


def test_what_the_interface_document_allows_gives_no_fault(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_wsgi("/api/v1/docs/openapi.json", client.app)
    answers: Counter[int] = Counter()
    each = SIZE // 20
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:

        @settings(RELAXED, max_examples=each)
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            status = case.call(headers=client.headers).status_code
            answers[status] += 1
            assert status // 100 in {2, 4}, case
            remove_kill()

        send()
    with capsys.disabled():
        if SIZE > 200:
            print(f"{answers.total()} requests, {len(operations)} operations: {dict(sorted(answers.items()))}")  # noqa: T201
    assert answers[200]
