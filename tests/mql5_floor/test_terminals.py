"""What terminals tell of themselves: account, positions, symbols and deals, each deal stored once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from bridging import Client

from core.migrate import newest_version
from core.store import Module
from mql5.bridge.deals import DealStore
from mql5.bridge.messages import Deal, Heartbeat, NewSignal
from mql5.bridge.signals import SignalStore
from mql5.bridge.terminals import TerminalStore
from mql5.bridge.ticks import TickRow, TickStore
from mql5.tables import MQL5_DATA, deals

AT = 1_700_000_000_000
POSITION = {
    "ticket": 12, "symbol": "EURUSD.m", "side": "long", "volume": 0.1, "price": 1.1, "sl": 1.09, "tp": None,
    "profit": -3.2, "opened_ms": AT, "comment": "sig:7",
}  # fmt: skip
SPEC = {
    "symbol": "EURUSD.m", "digits": 5, "point": 0.00001, "volume_min": 0.01, "volume_max": 100.0, "volume_step": 0.01,
    "contract_size": 100_000.0, "tick_value": 1.0, "tick_size": 0.00001, "spread_points": 12.0, "stops_level": 0,
}  # fmt: skip


def deal(number: int = 1, **other: Any) -> dict[str, Any]:
    usual = {
        "deal": number, "order": 100 + number, "position": 101, "symbol": "EURUSD.m", "side": "buy", "entry": "in",
        "volume": 0.1, "price": 1.1, "commission": -0.35, "swap": 0.0, "profit": 0.0, "time_ms": AT + number * 1_000,
        "reason": "expert", "comment": "sig:7", "magic": 20260701,
    }  # fmt: skip
    return {**usual, **other}


def test_a_heartbeat_tells_positions_symbols_and_margin(client: Client) -> None:
    said = {"client": "ea", "margin_free": 950.5, "kill_switch": False, "positions": 1}
    client.post("/terminals/heartbeat", {**said, "open_positions": [POSITION], "symbol_specs": [SPEC]})
    [row] = client.get("/terminals").json["terminals"]
    assert (row["margin_free"], row["kill_switch"]) == (950.5, False)
    assert row["open_positions"] == [{**POSITION, "symbol": "EURUSD"}]
    assert row["symbol_specs"] == [{**SPEC, "symbol": "EURUSD"}]


def test_positions_that_a_heartbeat_does_not_tell_are_not_known_any_more(client: Client) -> None:
    client.post("/terminals/heartbeat", {"client": "ea", "open_positions": [POSITION], "symbol_specs": [SPEC]})
    client.post("/terminals/heartbeat", {"client": "ea"})
    [row] = client.get("/terminals").json["terminals"]
    assert row["open_positions"] is None
    assert row["symbol_specs"] == [{**SPEC, "symbol": "EURUSD"}]
    client.post("/terminals/heartbeat", {"client": "ea", "open_positions": []})
    assert client.get("/terminals").json["terminals"][0]["open_positions"] == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("open_positions", [{**POSITION, "side": "up"}]),
        ("open_positions", [POSITION] * 1_001),
        ("open_positions", [{**POSITION, "lots": 1}]),
        ("symbol_specs", [{**SPEC, "digits": 40}]),
        ("kill_switch", "perhaps"),
    ],
)
def test_a_heartbeat_that_makes_no_sense_is_refused(client: Client, name: str, wrong: Any) -> None:
    assert client.post("/terminals/heartbeat", {"client": "ea", name: wrong}).status_code == 422
    assert client.get("/terminals").json["count"] == 0


def test_deals_are_stored_once_and_told_by_time(client: Client) -> None:
    both = [deal(2, side="sell", entry="out", reason="sl", profit=-10.5, comment="[sl 1.09]"), deal(1)]
    answer = client.post("/terminals/deals", {"client": "ea", "deals": both}).json
    assert (answer["stored"], answer["duplicates"], answer["conflicts"]) == (2, 0, [])
    answer = client.post("/terminals/deals", {"client": "ea", "deals": [*both, deal(3)]}).json
    assert (answer["stored"], answer["duplicates"], answer["conflicts"]) == (1, 2, [])
    other = client.post("/terminals/deals", {"client": "other", "deals": [deal(1)]}).json
    assert other["stored"] == 1  # another terminal counts its own deals
    told = client.get("/terminals/deals?client=ea").json
    assert told["count"] == 3
    assert [row["deal"] for row in told["deals"]] == [1, 2, 3]
    first = told["deals"][0]
    assert {**deal(1), "symbol": "EURUSD"} == {name: first[name] for name in deal(1)}
    assert (told["deals"][1]["reason"], told["deals"][1]["profit"]) == ("sl", -10.5)


def test_the_same_deal_with_other_content_is_kept_as_it_was_said_first(client: Client) -> None:
    client.post("/terminals/deals", {"client": "ea", "deals": [deal(1)]})
    changed = deal(1, price=1.2, order=7)
    answer = client.post("/terminals/deals", {"client": "ea", "deals": [changed, deal(2), changed]})
    assert answer.status_code == 200
    assert (answer.json["stored"], answer.json["duplicates"]) == (1, 2)
    assert [(each["deal"], each["field"], each["stored"], each["offered"]) for each in answer.json["conflicts"]] == [
        (1, "price", 1.1, 1.2),
        (1, "order", 101, 7),
    ] * 2
    assert DealStore().of("ea")[0]["price"] == 1.1


def test_deals_are_found_by_time_limit_and_position(client: Client) -> None:
    client.post("/terminals/deals", {"client": "ea", "deals": [deal(n, position=n % 2) for n in range(1, 7)]})
    since = (AT + 3_000) / 1000

    def numbers(query: str) -> list[int]:
        return [row["deal"] for row in client.get(f"/terminals/deals?{query}").json["deals"]]

    assert numbers(f"since={since}&limit=2") == [3, 4]
    assert numbers("limit=2&client=ea") == [5, 6]
    assert numbers("client=nobody") == []
    store = DealStore()
    assert [row["deal"] for row in store.by_position("ea", 1)] == [1, 3, 5]
    assert [row["deal"] for row in store.of(since_ms=AT + 5_000)] == [5, 6]


@pytest.mark.parametrize(
    "wrong", [{"side": "long"}, {"entry": "close"}, {"volume": -1}, {"time_ms": 0}, {"fee": 1.0}, {"deal": None}]
)
def test_a_deal_that_makes_no_sense_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    answer = client.post("/terminals/deals", {"client": "ea", "deals": [deal(1), deal(2, **wrong)]})
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json["error"]
    assert DealStore().of() == []


def test_a_thousand_deals_are_one_report(client: Client) -> None:
    many = [deal(n) for n in range(1, 1_001)]
    assert client.post("/terminals/deals", {"client": "ea", "deals": many}).json["stored"] == 1_000
    assert client.post("/terminals/deals", {"client": "ea", "deals": many}).json["duplicates"] == 1_000
    assert client.post("/terminals/deals", {"client": "ea", "deals": [*many, deal(0)]}).status_code == 422


@pytest.fixture
def version_1(left_by_version_1: Callable[[Module, str], Path], home: Path) -> Path:
    """A workbench whose terminals, ticks and signals were left by version 1 of the tables."""
    TerminalStore().beat(Heartbeat(client="ea", login="7", balance=1_000.0, symbols=["EURUSD"]))
    rows = [TickRow("ea", "EURUSD", AT + n, n, AT + n, 1.1, 1.2, None, 0.0, 0, 0, AT) for n in (1, 2, 5)]
    TickStore().enter([rows])
    SignalStore().create(NewSignal(symbol="EURUSD", signal_type="BUY"))
    (home / "output_central" / "files").mkdir()
    return left_by_version_1(MQL5_DATA, "files")


def test_a_filled_database_of_version_1_is_migrated_and_goes_on(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    [terminal] = TerminalStore().all()
    assert (terminal["login"], terminal["balance"], terminal["symbols"]) == ("7", 1_000.0, ["EURUSD"])
    assert [terminal[name] for name in ("kill_switch", "margin_free", "open_positions", "symbol_specs")] == [None] * 4
    assert len(TickStore().newest("EURUSD")) == 3
    assert TickStore().gaps_between("ea", "EURUSD", AT, AT + 10) == 2
    assert len(SignalStore().pending()) == 1
    TerminalStore().beat(Heartbeat.model_validate({"client": "ea", "open_positions": [POSITION]}))
    assert DealStore().enter("ea", [Deal.model_validate(deal(1))]).stored == 1
    with closing(sqlite3.connect(version_1 / "output_central" / "mql5_data.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (newest_version(MQL5_DATA.migrations),)
    assert len(list((version_1 / "output_central").glob("mql5_data.v1.*.backup.db"))) == 1


def test_a_migrated_database_and_a_new_one_are_the_same(
    version_1: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything(folder: Path) -> list[str]:
        with closing(sqlite3.connect(folder / "output_central" / "mql5_data.db")) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            columns = [(name, *row) for name in tables for row in database.execute(f"PRAGMA table_info({name})")]
            indexes = database.execute("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'index'").fetchall()
        return sorted([*map(repr, columns), *map(repr, indexes)])

    monkeypatch.setenv("SEQUENCE_HOME", str(version_1))
    TerminalStore().all()
    migrated = everything(version_1)
    assert migrated == everything(home)
    declared = {(table.name, column.name) for table in MQL5_DATA.metadata.sorted_tables for column in table.columns}
    with closing(sqlite3.connect(version_1 / "output_central" / "mql5_data.db")) as database:
        found = {
            (table.name, row[1])
            for table in MQL5_DATA.metadata.sorted_tables
            for row in database.execute(f"PRAGMA table_info({table.name})")
        }
    assert found == declared


def test_deals_are_read_through_indexes(home: Path) -> None:
    DealStore().enter("ea", [Deal.model_validate(deal(1))])
    queries = (
        sa.select(deals).where(deals.c.client == "ea", deals.c.time_ms >= AT).order_by(deals.c.time_ms),
        sa.select(deals).where(deals.c.client == "ea", deals.c.position == 101),
    )
    with DealStore()._store.read() as connection:
        for query in queries:
            text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
            plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
            assert "USING INDEX terminal_deals_by" in plan
            assert "SCAN" not in plan


def test_a_report_has_its_time_of_arrival(home: Path) -> None:
    DealStore().enter("ea", [Deal.model_validate(deal(1))])
    [row] = DealStore().of("ea")
    assert abs(row["received_ms"] - time.time() * 1000) < 60_000
