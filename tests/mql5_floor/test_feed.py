"""What the page reads of a bridge: rates, lags, quotes, the ways of signals; and whether a bridge answers at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bridging import Client, tick
from report_files.made import deals_csv, history_html, optimization_xml, report_html
from waitress.server import create_server

from core.clock import now_ms, utc_now
from core.settings import BridgeSettings
from mql5.bridge.feed import Feed
from mql5.bridge.imports import ImportStore
from mql5.bridge.messages import Acknowledgement, NewSignal
from mql5.bridge.reach import ask_health
from mql5.bridge.report_rows import trades_of_row
from mql5.bridge.signals import SignalStore
from mql5.bridge.ticks import TickRow, TickStore
from mql5.files.clock import NEW_YORK_CLOSE, fixed_clock
from mql5.files.reports import read_report


def row(received_ms: int, sequence: int, lag_ms: int = 40, **other: Any) -> TickRow:
    values = {"source": "desk", "symbol": "EURUSD", "bid": 1.1, "ask": 1.1002, "stale": 0, **other}
    time_ms = received_ms - lag_ms
    return TickRow(
        sequence=sequence,
        time_ms=time_ms,
        broker_ms=time_ms + 7_200_000,
        received_ms=received_ms,
        last=None,
        volume=0.0,
        flags=0,
        **values,
    )


def test_an_empty_workbench_is_silent_and_stays_empty(home: Path) -> None:
    feed = Feed()
    assert feed.is_silent()
    assert feed.streams() == feed.signals() == []
    pulse = feed.pulse()
    assert (pulse.ticks_today, pulse.per_second, pulse.lag_median_ms, pulse.signals_today) == (0, 0.0, None, {})
    assert feed.quotes("desk", "EURUSD", 0).empty
    assert list(home.glob("**/*.db")) == []


def test_the_pulse_counts_what_came_today_and_lately(home: Path) -> None:
    now = now_ms()
    midnight = int(utc_now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    store = TickStore()
    store.enter([[row(midnight - 1_000 + n, n) for n in range(1, 51)]])  # yesterday
    store.enter([[row(now - 400_000, 100), row(now - 200_000, 101, 90)]])
    store.enter([[row(now - 5_000 + n, 104 + n, n) for n in range(100)]])
    store.enter([[row(now, 204, 3_600_000, stale=1)]])
    pulse = Feed().pulse()
    today = [each for each in (now - 400_000, now - 200_000) if each >= midnight]
    assert pulse.ticks_today == 101 + len(today)
    assert pulse.per_second == pytest.approx(10.1)
    assert pulse.lag_median_ms == pytest.approx(50, abs=1)  # of 0 … 99 and one of 90; the stale one is left out
    assert pulse.lag_p99_ms == 98
    assert (pulse.gaps_today, pulse.missing_today) == (2, 51)  # 51 to 99 are missing, and 102 with 103


def test_deleted_ticks_are_no_ticks_of_today(home: Path) -> None:
    now, store = now_ms(), TickStore()
    store.enter([[row(now - 90_000_000 + n, n) for n in range(20)]])
    store.enter([[row(now, 20), row(now, 21)]])
    assert store.drop_before(now - 80_000_000) == 20
    assert Feed().pulse().ticks_today == 2


def test_streams_show_the_newest_quote_and_the_spread_of_each(home: Path) -> None:
    now = now_ms()
    TickStore().enter(
        [
            [row(now - 60_000 + 1_000 * n, n, bid=1.1 + n / 1e4, ask=1.1002 + n / 1e4) for n in range(60)],
            [row(now - 5_000, 1, symbol="USDJPY", bid=154.0, ask=154.012)],
            [row(now, 1, source="other", bid=1.2, ask=1.2001)],
        ]
    )
    one, other, yen = Feed().streams()
    assert [(each.symbol, each.source) for each in (one, other, yen)] == [
        ("EURUSD", "desk"),
        ("EURUSD", "other"),
        ("USDJPY", "desk"),
    ]
    assert (one.bid, other.bid) == (pytest.approx(1.1059), 1.2)
    assert one.spark == sorted(one.spark)
    assert one.spark[-1] == one.bid
    assert one.mean_spread == pytest.approx(0.0002)
    assert yen.pips(yen.ask - yen.bid) == pytest.approx(1.2)
    assert 4 < yen.age_seconds < 30


def test_quotes_are_the_newest_of_one_source_in_order(home: Path) -> None:
    now = now_ms()
    mine = [row(now - 1_000 + n, n, bid=1.1 + n / 1e6) for n in range(100)]
    TickStore().enter([mine, [row(now - 500, 1, source="other", bid=1.3, ask=1.4)]])
    quotes = Feed().quotes("desk", "EURUSD", now - 2_000, most=30)
    assert len(quotes) == 30
    assert quotes.index.is_monotonic_increasing
    assert quotes["bid"].iloc[-1] == mine[-1].bid
    assert str(quotes.index.tz) == "UTC"
    assert (quotes["broker_ms"] - quotes.index.as_unit("ms").asi8 == 7_200_000).all()


def test_a_signal_tells_its_way_its_time_and_what_it_slipped(client: Client) -> None:
    client.post("/live_data/tick", tick(1, bid=1.10000, ask=1.10020))
    signals, word = SignalStore(), Acknowledgement(client="desk")
    buy, _ = signals.create(NewSignal(symbol="EURUSD", signal_type="BUY"))
    sell, _ = signals.create(NewSignal(symbol="EURUSD", signal_type="SELL", entry_price=1.1))
    taken, _ = signals.create(NewSignal(symbol="EURUSD", signal_type="CLOSE"))
    signals.lease("desk", 2, 15)
    for each, price in ((buy, 1.10050), (sell, 1.10010)):
        signals.sent(each["id"], word)
        signals.finish(each["id"], "executed", word.model_copy(update={"price": price, "retcode": 10009}))
    signals.cancel(taken["id"])
    close, short, long = Feed().signals()
    assert (close["path"], close["slippage_pips"], close["asked"]) == ("pending › cancelled", None, None)
    assert short["path"] == long["path"] == "pending › leased › sent › executed"
    assert (short["asked"], short["slippage_pips"]) == (1.1, pytest.approx(-1.0))  # sold higher than asked
    assert (long["asked"], long["slippage_pips"]) == (1.1002, pytest.approx(3.0))
    assert [step["status"] for step in long["history"]] == ["pending", "leased", "sent", "executed"]
    assert 0 <= long["total_seconds"] < 10
    assert Feed().pulse().signals_today == {"executed": 2, "cancelled": 1}


def test_the_newest_signals_are_read_without_reading_all(home: Path) -> None:
    signals = SignalStore()
    for _ in range(12):
        signals.create(NewSignal(symbol="EURUSD", signal_type="BUY"))
    found = Feed().signals(5)
    assert [each["id"] for each in found] == [12, 11, 10, 9, 8]
    assert all(len(each["history"]) == 1 for each in found)
    assert found[0]["total_seconds"] is None


@pytest.mark.parametrize("content", [report_html(), deals_csv(), history_html()], ids=["tester", "deals", "history"])
def test_an_imported_reports_trades_are_those_of_its_file(home: Path, content: bytes) -> None:
    store = ImportStore()
    entered, _ = store.enter_file(content, "report")
    kept = store.one(entered["id"])
    assert kept is not None
    theirs = read_report(content, "report", clock=NEW_YORK_CLOSE).trades
    pd.testing.assert_frame_equal(trades_of_row(kept, NEW_YORK_CLOSE), theirs, check_dtype=False)
    moved = trades_of_row(kept, fixed_clock(0))["entry_time"] - theirs["entry_time"]
    assert (moved == timedelta(hours=2)).all()


def test_runs_are_listed_without_what_is_long(home: Path) -> None:
    store = ImportStore()
    store.enter_file(report_html(), "a.html")
    store.enter_file(optimization_xml().encode(), "b.xml")
    second, first = store.listed()
    assert (first["file_name"], second["file_name"]) == ("a.html", "b.xml")
    assert (bool(first["has_deals"]), bool(second["has_deals"])) == (True, False)
    assert not {"deals", "inputs", "full_results"} & set(first)
    optimised = store.one(second["id"])
    assert optimised is not None
    assert trades_of_row(optimised, NEW_YORK_CLOSE).empty


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(client: Client) -> Iterator[int]:
    server = create_server(client.app, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield int(server.effective_port)
    server.task_dispatcher.shutdown()
    server.trigger.pull_trigger(server.close)
    thread.join(5)


def test_a_running_bridge_is_reached(served: int) -> None:
    found = ask_health(BridgeSettings(port=served))
    assert (found.state, found.listens, found.failing) == ("ok", True, [])
    assert found.url == f"http://127.0.0.1:{served}"


def test_where_nobody_listens_the_answer_comes_at_once(home: Path) -> None:
    began = time.monotonic()
    found = ask_health(BridgeSettings(host="0.0.0.0", port=(port := free_port())))  # noqa: S104  # only asked
    assert (found.state, found.address) == ("silent", f"127.0.0.1:{port}")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("says", [b"HTTP/1.0 200 OK\r\n\r\n[1]", b"HTTP/1.0 403 No\r\n\r\n", b"SSH-2.0\r\n", b"", None])
def test_another_program_on_the_port_is_no_bridge(home: Path, says: bytes | None) -> None:
    """Also one that hangs up, and one (None) that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            taken, _ = listener.accept()
            with taken:
                taken.recv(1_000)
                if says is None:
                    time.sleep(1)
                else:
                    taken.sendall(says)

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        found = ask_health(BridgeSettings(port=listener.getsockname()[1]))
        thread.join()
    assert (found.state, found.listens) == ("foreign", False)
    assert time.monotonic() - began < 2
