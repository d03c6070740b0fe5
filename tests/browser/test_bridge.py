"""The bridge in Chromium: a key made on the page, ticks and a signal over HTTP, a report held against a run."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect
from report_files.made import Deal, report_html

sys.path.append(str(Path(__file__).parents[1] / "mql5"))

import expert_terminal
from mql5_translate import COMPILER

import workbench
from execution.backtest_manager import manager
from mql5.bridge.imports import ImportStore
from mql5.bridge.signals import SignalStore
from mql5.files.clock import NEW_YORK_CLOSE

pytestmark = pytest.mark.browser
SERVER_IS_AHEAD_S = 7_200


@pytest.fixture(autouse=True)
def bridge_port(home: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A port of its own for the bridge that the workbench starts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    monkeypatch.setenv("SEQUENCE_BRIDGE_PORT", str(port))
    monkeypatch.setenv("SEQUENCE_BRIDGE__WITH_WORKBENCH", "true")
    return port


class Terminal:
    """What the Expert Advisor says over HTTP."""

    def __init__(self, port: int, key: str) -> None:
        self.address = f"http://127.0.0.1:{port}/api/v1"
        self.key = key
        self.sequence = 0

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.address + path, data, {"X-API-Key": self.key})
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def stream(self, count: int, bid: float = 1.1) -> None:
        ticks: list[dict[str, Any]] = []
        for _ in range(count):
            self.sequence += 1
            price = round(bid + self.sequence / 1e6, 6)
            stamp = int(time.time() * 1000) + SERVER_IS_AHEAD_S * 1000 - count + len(ticks)
            tick = {"symbol": "EURUSD", "bid": price, "ask": price + 0.0001, "time_msc": stamp}
            ticks.append({**tick, "sequence": self.sequence})
        answer = self.ask("/live_data/tick", {"source": "desk", "tz_offset_s": SERVER_IS_AHEAD_S, "ticks": ticks})
        assert answer["stored"] == count

    def beat(self) -> None:
        said = {"client": "desk", "login": 5103377, "trade_mode": "demo", "trade_allowed": True, "connected": True}
        self.ask("/terminals/heartbeat", {**said, "tz_offset_s": SERVER_IS_AHEAD_S, "gmt_ms": int(time.time() * 1000)})


def metric(bench: Any, label: str) -> Any:
    return bench.page.get_by_test_id("stMetric").filter(has_text=label)


def make_key(bench: Any, name: str) -> str:
    field = bench.page.locator('[class*="st-key-bridge-keys-name"] input')
    field.fill(name)
    bench.page.get_by_role("button", name="Make a key").click()
    shown = bench.page.locator("code").filter(has_text=re.compile(r"^sq_"))
    expect(shown).to_be_visible()
    return str(shown.inner_text()).strip()


def test_a_terminal_streams_and_executes_while_the_page_shows_it(bench: Any, bridge_port: int) -> None:
    bench.open("/mql5_bridge", "MQL5 Bridge")
    expect(bench.page.get_by_text(f"listening on 127.0.0.1:{bridge_port}")).to_be_visible()
    expect(bench.page.get_by_text("No terminal has spoken yet")).to_be_visible()
    terminal = Terminal(bridge_port, make_key(bench, "desk"))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        Terminal(bridge_port, "sq_wrong").stream(1)
    terminal.beat()
    terminal.stream(100)
    # The page turns by itself, and again with what comes next.
    expect(metric(bench, "Ticks today")).to_contain_text("100")
    terminal.stream(50)
    expect(metric(bench, "Ticks today")).to_contain_text("150")
    expect(metric(bench, "Rate")).to_contain_text(re.compile(r"[1-9][\d.]* /s"))
    expect(bench.page.locator(".st-key-bridge-quotes .js-plotly-plot").first).to_be_visible()
    expect(bench.page.get_by_text("150 ticks · from desk")).to_be_visible()
    expect(bench.page.get_by_text("DEMO", exact=True).first).to_be_visible()

    bench.page.get_by_role("button", name="Create a signal").click()
    lots = bench.page.locator('[class*="st-key-bridge-new-volume"] input')
    lots.fill("0.2")
    lots.press("Tab")
    bench.page.get_by_role("button", name="Create signal", exact=True).click()
    expect(bench.page.get_by_text("Signal 1 is pending: BUY EURUSD.")).to_be_visible()
    expect(bench.page.get_by_text("Lots", exact=True)).not_to_be_visible()  # the form has closed
    [leased] = terminal.ask("/signals/pending?client=desk")["pending_signals"]
    assert (leased["id"], leased["volume"]) == (1, 0.2)
    terminal.ask("/signals/1/sent", {"client": "desk"})
    said = {"client": "desk", "retcode": 10009, "deal": 77, "price": 1.1002, "volume": 0.2, "comment": "done"}
    terminal.ask("/signals/1/executed", said)
    terminal.beat()
    expect(metric(bench, "Signals today")).to_contain_text("1 filled")
    expect(metric(bench, "Slippage, mean")).to_contain_text("pips")
    expect(bench.page.get_by_text("pending › leased › sent › executed in")).to_be_visible()
    assert SignalStore().one(1)["deal_ticket"] == 77
    expect(bench.page.get_by_test_id("stException")).to_have_count(0)
    expect(bench.page.get_by_test_id("stAlert").filter(has_text="What to do")).to_have_count(0)


@pytest.mark.skipif(COMPILER is None, reason="no g++ on this machine (Debian: apt-get install g++)")
def test_the_compiled_expert_streams_and_trades_while_the_page_shows_it(
    bench: Any, bridge_port: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = expert_terminal.shared_expert(tmp_path_factory)
    bench.open("/mql5_bridge", "MQL5 Bridge")
    expect(bench.page.get_by_text(f"listening on 127.0.0.1:{bridge_port}")).to_be_visible()
    terminal = expert_terminal.Terminal(
        program, tmp_path / "terminal", f"http://127.0.0.1:{bridge_port}", make_key(bench, "expert")
    )
    terminal.ticks = expert_terminal.some_ticks(600)
    terminal.start()
    try:
        expect(metric(bench, "Ticks today")).to_contain_text(re.compile(r"5[79]\d|600"))
        expect(bench.page.get_by_text("DEMO", exact=True).first).to_be_visible()
        bench.page.get_by_role("button", name="Create a signal").click()
        bench.page.get_by_role("button", name="Create signal", exact=True).click()
        expect(metric(bench, "Signals today")).to_contain_text("1 filled")
        expect(bench.page.get_by_text("pending › leased › sent › executed in")).to_be_visible()
    finally:
        terminal.stop()
    [deal] = terminal.deals()
    assert deal[-1] == "sig:1"
    assert SignalStore().one(1)["retcode"] == 10009


def report_of(run_id: str) -> bytes:
    """A report of MetaTrader with the trades of a run; the entry of the third is 3 pips dearer."""
    deals = [Deal(pd.Timestamp("2017-04-19").to_pydatetime(), "", "balance", "", "", "", 0, 0, 1_000_000)]
    for at, trade in enumerate(manager.trades(manager.run(run_id)).to_dict("records")):
        begin, end = NEW_YORK_CLOSE.to_server(pd.DatetimeIndex([trade["entry_time"], trade["exit_time"]]))
        entry, leave = ("buy", "sell") if trade["side"] == "long" else ("sell", "buy")
        price = trade["entry_price"] + (0.0003 if at == 2 else 0)
        lots, profit = f"{abs(trade['size']) / 100_000:.5f}", round(100 * trade["pnl"])
        deals += [
            Deal(begin.to_pydatetime(), "EURUSD", entry, "in", lots, f"{price:.8f}", 0, 0, 0),
            Deal(end.to_pydatetime(), "EURUSD", leave, "out", lots, f"{trade['exit_price']:.8f}", 0, 0, profit),
        ]
    content: bytes = report_html(deals)
    return content


@pytest.fixture
def stored_run(home: Path) -> str:
    return workbench.run_sample_workflow().run_id


def test_a_dropped_report_is_held_against_a_stored_run(stored_run: str, bench: Any, tmp_path: Path) -> None:
    file = tmp_path / "ReportTester.html"
    file.write_bytes(report_of(stored_run))
    bench.open("/mql5_bridge", "MQL5 Bridge")
    expect(bench.page.get_by_text("Missing: a report of the Strategy Tester")).to_be_visible()
    bench.page.locator("input[type=file]").set_input_files(file)
    trades = manager.run(stored_run).trades_count
    sentence = f"{trades - 1} of {trades} trades agree with MT5's ({trades}): 1 at another price."
    expect(bench.page.get_by_text(sentence)).to_be_visible()
    expect(bench.page.get_by_text(f"tester of Crossover, EURUSD H1, {trades} trades")).to_be_visible()
    [row] = ImportStore().listed()
    assert (row["file_name"], row["trades_count"]) == ("ReportTester.html", trades)
    bench.settled("MQL5 Bridge")
    expect(bench.page.locator("input[type=file]")).to_have_count(1)  # a field of its own for the next files
    bench.page.locator("input[type=file]").set_input_files(file)
    expect(bench.page.get_by_text("it was imported already")).to_be_visible()
    assert len(ImportStore().listed()) == 1
    bench.settled("MQL5 Bridge")
