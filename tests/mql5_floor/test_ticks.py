"""Ticks: acknowledged after the commit, each once, with both clocks, gaps told, bad quotes refused alone."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from bridging import Client, Server, tick

from mql5.bridge.intake import Offsets, read_ticks
from mql5.bridge.state import Allowance, TooManyTicksError
from mql5.bridge.ticks import Entered, TickRow, TickStore
from mql5.bridge.writer import TickWriter, WriterBusyError

SPEC_TICK = {"symbol": "GBPUSD", "bid": 1.2534, "ask": 1.2536, "volume": 1000000, "timestamp": 1701956400.0}


def row(sequence: int, symbol: str = "EURUSD", at: int = 1_700_000_000_000) -> TickRow:
    return TickRow("ea", symbol, at + sequence, sequence, at + sequence, 1.1, 1.2, None, 0.0, 0, 0, at)


def test_the_tick_of_the_specification_is_stored_and_marked_as_old(client: Client) -> None:
    answer = client.post("/live_data/tick", SPEC_TICK)
    assert answer.status_code == 200
    assert (answer.json["success"], answer.json["stored"], answer.json["stale"]) == (True, 1, 1)
    found = client.get("/live_data/GBPUSD?limit=100").json
    assert (found["symbol"], found["count"]) == ("GBPUSD", 1)
    assert found["data"][0]["timestamp"] == 1701956400.0
    assert found["data"][0]["stale"] is True


def test_the_same_tick_again_is_stored_once_and_another_quote_of_its_second_too(client: Client) -> None:
    for _ in range(3):
        answer = client.post("/live_data/tick", SPEC_TICK)
    assert (answer.json["stored"], answer.json["duplicates"]) == (0, 1)
    client.post("/live_data/tick", {**SPEC_TICK, "bid": 1.2535})
    assert client.get("/live_data/GBPUSD").json["count"] == 2


@pytest.mark.parametrize("ending", [b"\0", b"\0\0\n", b""])
def test_a_batch_lines_and_trailing_zeros_are_taken(client: Client, ending: bytes) -> None:
    batch = json.dumps({"source": "ea", "ticks": [tick(1), tick(2)]}).encode() + ending
    assert client.post("/live_data/tick", batch).json["stored"] == 2
    lines = "\n".join(json.dumps(tick(number, source="lines")) for number in (1, 2, 3)).encode() + ending
    assert client.post("/live_data/tick", lines).json["stored"] == 3
    spread = json.dumps(tick(9), indent=2).encode() + ending
    assert client.post("/live_data/tick", spread).json["stored"] == 1


def test_a_crossed_quote_is_refused_and_does_not_hold_up_its_neighbours(client: Client) -> None:
    crossed = tick(2, bid=1.2, ask=1.1)
    answer = client.post("/live_data/tick", crossed)
    assert answer.status_code == 422
    assert "bid 1.2 is above ask 1.1" in answer.json["error"]
    answer = client.post("/live_data/tick", {"ticks": [tick(1), crossed, tick(3)]})
    assert (answer.status_code, answer.json["stored"]) == (200, 2)
    assert [each["index"] for each in answer.json["refused"]] == [1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"price": 1}, "'price'"),
        ({"bid": -1}, "bid"),
        ({"symbol": "not a symbol!"}, "symbol"),
        ({"time_msc": None}, "no time"),
        ({"time_msc": 99_999_999_999_999}, "ahead"),
        ({"tz_offset_s": 100_000}, "tz_offset_s"),
    ],
)
def test_what_is_wrong_is_named(client: Client, change: dict[str, Any], named: str) -> None:
    answer = client.post("/live_data/tick", {**tick(1), **change})
    assert answer.status_code == 422
    assert named in answer.json["error"]
    assert client.get("/live_data/EURUSD").json["count"] == 0


def test_both_clocks_are_kept_and_the_reported_offset_holds_for_later_ticks(client: Client) -> None:
    now = int(time.time() * 1000)
    client.post(
        "/live_data/tick", {"source": "ea", "tz_offset_s": 10_800, "ticks": [tick(1, time_msc=now + 10_800_000)]}
    )
    client.post("/live_data/tick", {"source": "ea", "ticks": [tick(2, time_msc=now + 10_800_500)]})
    rows = client.get("/live_data/EURUSD").json["data"]
    assert [(each["broker_ms"] - now, each["time_ms"] - now) for each in rows] == [(10_800_000, 0), (10_800_500, 500)]


def test_a_broker_clock_that_was_never_told_is_read_off_a_tick_from_the_future() -> None:
    now = 1_800_000_000_000
    ahead = json.dumps({"symbol": "EURUSD", "bid": 1, "ask": 1, "time_msc": now + 7_200_000 - 250}).encode()
    assert read_ticks(ahead, Offsets(), now, 60_000).rows[0].time_ms == now - 250


def test_missing_numbers_are_told_and_kept_and_a_sender_that_begins_anew_misses_nothing(client: Client) -> None:
    at = int(time.time() * 1000) - 60_000
    client.post("/live_data/tick", tick(1, source="ea", time_msc=at))
    answer = client.post("/live_data/tick", tick(5, source="ea", time_msc=at + 1))
    assert [(gap["after_sequence"], gap["before_sequence"], gap["missing"]) for gap in answer.json["gaps"]] == [
        (1, 5, 3)
    ]
    assert "gaps" not in client.post("/live_data/tick", tick(1, source="ea", time_msc=at + 2)).json
    assert client.get("/ticks/gaps").json["count"] == 1


def test_a_gap_across_a_restart_of_the_bridge_is_seen(home: Path) -> None:
    TickStore().enter([[row(1)]])
    [entered] = TickStore().enter([[row(4)]])
    assert [gap.missing for gap in entered.gaps] == [2]


def test_the_holes_of_a_time_are_those_that_lie_or_may_lie_in_it(home: Path) -> None:
    ticks, at = TickStore(), 1_700_000_000_000
    ticks.enter([[row(number) for number in (1, 2, 6, 7, 9)]])  # 3 to 5 and 8 never came; a number is its millisecond
    ticks.enter([[row(1, "GBPUSD"), row(9, "GBPUSD")], [row(1)._replace(source="b"), row(4)._replace(source="b")]])

    def missing(first: int, after: int) -> int:
        return ticks.gaps_between("ea", "EURUSD", at + first, at + after)

    assert missing(0, 100) == 4
    assert missing(0, 3) == 3  # the hole reaches over the end: nobody knows when its ticks were
    assert missing(0, 6) == 3
    assert missing(3, 5) == 3
    assert missing(0, 2) == 0
    assert missing(7, 8) == 1
    assert (missing(7, 7), missing(9, 100), missing(10, 100)) == (0, 1, 0)
    assert ticks.gaps_between("b", "EURUSD", at, at + 100) == 2
    assert ticks.gaps_between("nobody", "EURUSD", at, at + 100) == 0
    ticks.enter([[row(4), row(8)]])  # delivered late
    assert (missing(0, 100), missing(7, 100)) == (2, 0)


def test_the_last_tick_before_a_time_is_of_its_own_source(home: Path) -> None:
    ticks, at = TickStore(), 1_700_000_000_000
    ticks.enter([[row(1), row(5)], [row(4)._replace(source="b")], [row(3, "GBPUSD")]])
    found = [ticks.last_before("ea", "EURUSD", at + time) for time in (1, 2, 5, 6)]
    assert [tick and tick["sequence"] for tick in found] == [None, 1, 1, 5]
    assert ticks.last_before("b", "GBPUSD", at + 100) is None


def test_holes_and_last_ticks_are_read_through_indexes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = TickStore()
    ticks.enter([[row(1), row(5)]])
    asked: list[tuple[str, dict[str, Any]]] = []
    read = ticks._rows

    def noted(query: str, **values: Any) -> list[dict[str, Any]]:
        asked.append((query, values))
        return read(query, **values)

    monkeypatch.setattr(ticks, "_rows", noted)
    ticks.gaps_between("ea", "EURUSD", 0, 1_700_000_000_003)
    assert len(asked) >= 3
    with ticks.store.read() as connection:
        for query, values in asked:
            plan = [each[-1] for each in connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}"), values)]
            assert all("USING INDEX tick_gaps_by_stream" in each or "live_ticks_by_time" in each for each in plan), plan


def test_each_message_of_a_commit_is_told_which_of_its_ticks_are_new(home: Path) -> None:
    ticks = TickStore()
    ticks.enter([[row(number) for number in range(1, 8)]])
    again = [[row(8), row(3)], [row(8)], [row(9), row(9), row(10)], [row(1), row(2)], [row(8, "GBPUSD")]]
    again.append([row(number) for number in range(5, 205)])
    told = [(entered.stored, entered.duplicates) for entered in ticks.enter(again)]
    assert told == [(1, 1), (0, 1), (2, 1), (0, 2), (1, 0), (194, 6)]
    assert [entered.stored for entered in ticks.enter([[row(1)], [row(2)]])] == [0, 0]
    assert [each["sequence"] for each in ticks.newest("EURUSD", 1000)] == [*range(1, 205)]


def test_since_reads_forward_and_the_limit_reads_the_newest(home: Path) -> None:
    ticks = TickStore()
    ticks.enter([[row(number) for number in range(1, 101)]])
    assert [each["sequence"] for each in ticks.newest("EURUSD", 3)] == [98, 99, 100]
    assert [each["sequence"] for each in ticks.newest("EURUSD", 2, 1_700_000_000_010)] == [10, 11]


def test_retention_deletes_and_thinning_keeps_the_last_of_each_second(home: Path) -> None:
    ticks = TickStore()
    at = 1_700_000_000_000
    ticks.enter([[row(100 * number, symbol, at) for number in range(1, 51)] for symbol in ("EURUSD", "GBPUSD")])
    while ticks.thin_before(at + 3_000):
        pass
    kept = [each["sequence"] for each in ticks.newest("EURUSD", 100)]
    assert kept == [900, 1900, 2900, *range(3000, 5001, 100)]
    while ticks.drop_before(at + 4_000):
        pass
    assert {symbol: len(ticks.newest(symbol, 100)) for symbol in ticks.symbols()} == {"EURUSD": 11, "GBPUSD": 11}


def test_a_full_queue_says_its_depth_and_one_poisoned_message_fails_alone() -> None:
    goes_on, began = threading.Event(), threading.Event()

    def enter(groups: list[list[TickRow]]) -> list[Entered]:
        began.set()
        goes_on.wait(10)
        if any(each.sequence == 13 for rows in groups for each in rows):
            raise ValueError("poison")
        return [Entered(len(rows)) for rows in groups]

    writer = TickWriter(enter, most_waiting=3)
    outcomes: dict[int, object] = {}

    def submit(sequence: int) -> None:
        try:
            outcomes[sequence] = writer.submit([row(sequence)]).stored
        except ValueError as error:
            outcomes[sequence] = str(error)

    threads = [threading.Thread(target=submit, args=(sequence,)) for sequence in (1, 13, 2)]
    threads[0].start()
    began.wait(10)
    for thread in threads[1:]:
        thread.start()
    while writer.depth < 3:
        time.sleep(0.001)
    with pytest.raises(WriterBusyError, match="3 ticks wait"):
        writer.submit([row(4)])
    goes_on.set()
    for thread in threads:
        thread.join(10)
    assert outcomes == {1: 1, 13: "poison", 2: 1}
    assert writer.submit([row(5)]).stored == 1
    writer.close()
    with pytest.raises(WriterBusyError):
        writer.submit([row(6)])


def test_a_key_that_sends_too_much_waits_and_others_do_not() -> None:
    allowance = Allowance(10)
    allowance.take(1, 15)
    with pytest.raises(TooManyTicksError):
        allowance.take(1, 1)
    allowance.take(2, 1)


@pytest.mark.faults
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is not there")
def test_what_was_acknowledged_survives_every_kill_once_and_whole(
    home: Path, kills: int, chance: random.Random
) -> None:
    server = Server(home)
    acknowledged: list[int] = []
    next_number = 0
    for _ in range(kills):
        server.start()
        killer = threading.Timer(chance.uniform(0.05, 0.6), server.kill)
        killer.start()
        try:
            while True:
                numbers = list(range(next_number, next_number + chance.choice((1, 10, 100))))
                next_number = numbers[-1] + 1
                batch = {"source": "ea", "ticks": [tick(number, volume=float(numbers[0])) for number in numbers]}
                server.post(batch)
                acknowledged += numbers
        except (OSError, HTTPException):
            pass
        killer.join()
    with closing(sqlite3.connect(home / "output_central" / "mql5_data.db")) as database:
        stored = [number for (number,) in database.execute("SELECT sequence FROM live_ticks ORDER BY sequence")]
        torn = database.execute(
            "SELECT volume, count(*), max(sequence) - min(sequence) + 1 FROM live_ticks GROUP BY volume"
        ).fetchall()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert acknowledged
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert [(first, count) for first, count, span in torn if count != span or count not in {1, 10, 100}] == []
