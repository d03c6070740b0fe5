"""The page MQL5 Bridge: from the first step over quotes and signals to a report held against a run."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from report_files.made import Deal, history_html, report_html
from seen import table_with
from streamlit.testing.v1 import AppTest

import workbench
from core.clock import now_ms
from execution.backtest_manager import manager
from mql5.bridge.imports import ImportStore
from mql5.bridge.keys import KeyRing
from mql5.bridge.messages import Acknowledgement, Heartbeat, NewSignal
from mql5.bridge.signals import SignalStore
from mql5.bridge.terminals import TerminalStore
from mql5.bridge.ticks import TickRow, TickStore
from mql5.files.clock import NEW_YORK_CLOSE

OpenPage = Callable[..., AppTest]
SELECT_FIRST = {"selection": {"rows": [0], "columns": [], "cells": []}}


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge of these tests would be on a port that nobody has, whatever runs on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SEQUENCE_BRIDGE_PORT", str(probe.getsockname()[1]))


def words(app: AppTest) -> str:
    kinds = ("caption", "markdown", "warning", "info", "error")
    return "\n".join(str(each.value) for kind in kinds for each in app.get(kind))


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def heard(trade_mode: str = "demo", client: str = "desk", **other: Any) -> None:
    said = {"login": "5103377", "server": "Sample-Demo", "build": 5370, "trade_allowed": True, "connected": True}
    beat = {**said, "tz_offset_s": 7200, "gmt_ms": now_ms() + 1_500, **other}
    TerminalStore().beat(Heartbeat(client=client, trade_mode=trade_mode, **beat))


def quoted(count: int = 200, symbol: str = "EURUSD", bid: float = 1.1) -> None:
    now = now_ms()
    rows = []
    for n in range(count):
        time = now - 100 * (count - n)
        price = round(bid + n / 1e6, 6)
        rows.append(
            TickRow("desk", symbol, time + 7_200_000, n + 1, time, price, price + 0.0001, None, 0.0, 6, 0, time + 30)
        )
    TickStore().enter([rows])


@pytest.fixture
def filled() -> None:
    """A demo terminal that streams, and two signals: one executed, one pending."""
    heard()
    quoted()
    signals, word = SignalStore(), Acknowledgement(client="desk")
    signals.create(NewSignal(symbol="EURUSD", signal_type="BUY", volume=0.2, entry_price=1.1))
    signals.lease("desk", 1, 15)
    signals.sent(1, word)
    said = {"retcode": 10009, "deal": 77, "price": 1.1001, "volume": 0.2, "comment": "Request executed"}
    signals.finish(1, "executed", word.model_copy(update=said))
    signals.create(NewSignal(symbol="USDJPY", signal_type="SELL"))


def test_before_the_first_tick_the_page_says_how_to_begin(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_BRIDGE_PORT", "5123")
    app = open_page(workbench.BRIDGE.file)
    said = words(app)
    assert "python mql5/api_server.py" in said
    assert "http://127.0.0.1:5123" in said
    assert "Allow WebRequest" in said
    assert "**Keys**" in said
    assert not app.exception


def test_where_nothing_listens_the_command_stands_below_a_red_badge(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    assert [each.value for each in app.warning if "Nothing listens on" in each.value]
    assert ":red-badge[not listening]" in words(app)


@pytest.mark.usefixtures("filled")
def test_a_terminal_at_work_is_shown_with_its_figures(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    assert not app.exception
    shown = metrics(app)
    assert shown["Lag, median"] == "30 ms"
    assert shown["Clock drift"].startswith("+1.")
    assert (shown["Sequence gaps"], shown["Signals today"], shown["Slippage, mean"]) == ("0", "2", "+1.0 pips")
    assert ":violet-badge[DEMO]" in words(app)
    terminals = table_with(app, "Terminal", "Beat")
    assert terminals.iloc[0][["Terminal", "Account", "Mode", "Trading"]].tolist() == [
        "desk",
        "5103377",
        "DEMO",
        "allowed",
    ]
    symbols = table_with(app, "Symbol", "Spread")
    assert symbols["Spread"].tolist() == pytest.approx([1.0])
    assert len(app.get("plotly_chart")) == 1
    assert "200 ticks" in words(app)


@pytest.mark.usefixtures("filled")
def test_signals_are_listed_with_their_way_and_the_brokers_words(open_page: OpenPage) -> None:
    signals = table_with(open_page(workbench.BRIDGE.file), "Path", "Broker says")
    assert signals["Id"].tolist() == [2, 1]
    assert signals["Path"].tolist() == ["pending", "pending › leased › sent › executed"]
    assert signals["Broker says"].tolist() == ["–", "10009 · Request executed · deal 77"]
    assert signals["Filled"].tolist() == ["–", "1.10010"]


@pytest.mark.usefixtures("filled")
def test_a_selected_signal_shows_every_step_and_is_cancelled(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    assert app.button(key="bridge.signals.cancel").disabled
    app.session_state["bridge.signals.2"] = SELECT_FIRST
    app.run()
    assert table_with(app, "Time, UTC", "What")["What"].tolist() == ["created"]
    app.button(key="bridge.signals.cancel").click().run()
    assert SignalStore().one(2)["status"] == "cancelled"
    assert table_with(app, "Time, UTC", "What")["State"].tolist() == ["pending", "cancelled"]
    assert app.button(key="bridge.signals.cancel").disabled


@pytest.mark.usefixtures("filled")
def test_a_signal_that_a_terminal_holds_is_not_cancelled_and_the_reason_stays(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    app.session_state["bridge.signals.2"] = SELECT_FIRST
    app.run()
    SignalStore().lease("desk", 5, 60)
    app.button(key="bridge.signals.cancel").click().run()
    assert "is leased to" in words(app)
    app.run()  # as the timer does
    assert "is leased to" in words(app)
    assert SignalStore().one(2)["status"] == "leased"


def fill(app: AppTest, **values: Any) -> AppTest:
    for name, value in values.items():
        if name in {"side", "symbol"}:
            app.selectbox(key=f"bridge.new.{name}").set_value(value)
        else:
            app.number_input(key=f"bridge.new.{name}").set_value(value)
    return app


@pytest.mark.usefixtures("filled")
def test_the_form_creates_one_signal(open_page: OpenPage) -> None:
    app = fill(open_page(workbench.BRIDGE.file), side="BUY", volume=0.5, stop=1.09, target=1.12, confidence=0.7)
    app.button(key="bridge.create.do").click().run()
    assert not app.exception
    made = SignalStore().all()[0]
    assert (made["id"], made["symbol"], made["volume"], made["stop_loss"]) == (3, "EURUSD", 0.5, 1.09)
    assert "Signal 3 is pending" in words(app)
    assert table_with(app, "Path")["Id"].tolist() == [3, 2, 1]
    assert "**Signal 3**" in words(app)
    assert app.number_input(key="bridge.new.stop").value is None


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"side": "BUY", "stop": 1.2, "target": 1.1}, "stop_loss=1.2 is not below take_profit=1.1"),
        ({"side": "SELL", "confidence": 1.5}, "confidence=1.5 cannot be used"),
        ({"volume": 0.0}, "volume=0.0 cannot be used"),
    ],
)
def test_a_signal_that_cannot_be_is_refused_with_the_reason(
    open_page: OpenPage, typed: dict[str, Any], sentence: str
) -> None:
    app = fill(open_page(workbench.BRIDGE.file), **typed)
    app.button(key="bridge.create.do").click().run()
    assert sentence in words(app).replace("\\", "")
    assert len(SignalStore().all()) == 2


def test_a_form_drawn_before_the_first_tick_names_its_symbol_afterwards(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    assert app.selectbox(key="bridge.new.symbol").value is None
    app.button(key="bridge.create.do").click().run()
    assert "No symbol is named" in words(app)
    quoted()
    app.run()
    assert app.selectbox(key="bridge.new.symbol").value == "EURUSD"


def test_with_real_money_at_stake_the_form_asks_once_more(open_page: OpenPage) -> None:
    heard("real", "gold")
    quoted()
    app = open_page(workbench.BRIDGE.file)
    assert ":orange-badge[LIVE]" in words(app)
    app.button(key="bridge.create.do").click().run()
    assert "gold trades real money" in words(app).replace("\\", "")
    assert SignalStore().all() == []
    app.checkbox(key="bridge.new.live").check()
    app.button(key="bridge.create.do").click().run()
    assert len(SignalStore().all()) == 1


def test_a_silent_terminal_is_no_live_one(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    heard("real", "gold")
    monkeypatch.setattr("mql5.bridge.terminals.SILENT_SECONDS", -1.0)
    app = open_page(workbench.BRIDGE.file)
    assert ":orange-badge[LIVE]" not in words(app)
    assert not [each for each in app.checkbox if each.key == "bridge.new.live"]


def test_a_key_is_shown_once_and_revoked_after_a_question(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    app.text_input(key="bridge.keys.name").set_value("desk")
    app.button(key="bridge.keys.make").click().run()
    [key] = [each.value for each in app.code if each.value.startswith("sq_")]
    ring = KeyRing()
    assert ring.holder(key) == 1
    app.button(key="bridge.keys.copied").click().run()
    assert key not in [each.value for each in app.code]
    app.session_state["bridge.keys.table"] = SELECT_FIRST
    app.run()
    app.button(key="bridge.keys.revoke").click()
    app.session_state["bridge.keys.table"] = SELECT_FIRST
    app.run()
    assert KeyRing().holder(key) == 1  # only asked so far
    app.session_state["bridge.keys.table"] = SELECT_FIRST
    app.button(key="bridge.keys.revoke.yes").click().run()
    assert "The key desk is revoked" in words(app)
    assert KeyRing().holder(key) is None
    assert table_with(app, "Begins with")["State"].tolist() == ["revoked"]


def test_a_key_needs_a_name(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    app.button(key="bridge.keys.make").click().run()
    assert "The key has no name" in words(app)
    assert KeyRing().all() == []


def report_of(run_id: str, *, dearer_every: int = 10) -> bytes:
    """A report of MetaTrader with the trades of a stored run; the entry of each tenth is 1.2 pips dearer."""
    deals = [Deal(pd.Timestamp("2017-04-19").to_pydatetime(), "", "balance", "", "", "", 0, 0, 1_000_000)]
    for at, trade in enumerate(manager.trades(manager.run(run_id)).to_dict("records")):
        begin, end = NEW_YORK_CLOSE.to_server(pd.DatetimeIndex([trade["entry_time"], trade["exit_time"]]))
        entry, leave = ("buy", "sell") if trade["side"] == "long" else ("sell", "buy")
        price = trade["entry_price"] + (0.00012 if at % dearer_every == 0 else 0)
        lots, profit = f"{abs(trade['size']) / 100_000:.5f}", round(100 * trade["pnl"])
        deals += [
            Deal(begin.to_pydatetime(), "EURUSD", entry, "in", lots, f"{price:.8f}", 0, 0, 0),
            Deal(end.to_pydatetime(), "EURUSD", leave, "out", lots, f"{trade['exit_price']:.8f}", 0, 0, profit),
        ]
    content: bytes = report_html(deals)
    return content


def test_a_report_is_held_against_a_run_trade_by_trade(open_page: OpenPage, sample_run: str) -> None:
    ImportStore().enter_file(report_of(sample_run), "ReportTester.html")
    app = open_page(workbench.BRIDGE.file)
    assert not app.exception
    trades = manager.run(sample_run).trades_count
    dearer = -(-trades // 10)
    said = words(app).replace("\\", "")
    assert f"{trades - dearer} of {trades} trades agree with MT5's ({trades}): {dearer} at another price." in said
    shown = table_with(app, "Entry, UTC", "Reason")
    assert len(shown) == dearer
    assert shown["Diff., pips"].tolist() == pytest.approx([1.2] * dearer, abs=0.001)
    assert shown["Reason"].str.match(r"entry at [\d.]+, MT5 entry at [\d.]+").all()
    app.checkbox(key="bridge.compare.only").uncheck().run()
    everything = table_with(app, "Entry, UTC", "Reason")
    assert (everything["Reason"] == "equal").sum() == trades - dearer
    statistics = table_with(app, "Statistic", "MT5").set_index("Statistic")
    assert statistics.loc["Trades"].tolist() == [str(trades), str(trades), "0"]
    imported = table_with(app, "Kind", "Totals")
    assert imported[["Kind", "File", "Trades"]].to_numpy().tolist() == [["tester", "ReportTester.html", str(trades)]]


def test_with_the_wrong_clock_every_trade_differs_in_time(open_page: OpenPage, sample_run: str) -> None:
    heard()
    ImportStore().enter_file(report_of(sample_run), "ReportTester.html")
    app = open_page(workbench.BRIDGE.file, clock="UTC")
    assert not app.exception
    assert "0 of " in words(app)
    assert table_with(app, "Entry, UTC", "Reason")["Reason"].str.contains("entered").all()


def test_a_wider_tolerance_makes_prices_equal(open_page: OpenPage, sample_run: str) -> None:
    ImportStore().enter_file(report_of(sample_run), "ReportTester.html")
    app = open_page(workbench.BRIDGE.file)
    app.number_input(key="bridge.pips").set_value(2.0).run()
    assert f"All {manager.run(sample_run).trades_count} trades agree." in words(app)


def test_the_remarks_of_a_report_whose_totals_disagree_can_be_read(open_page: OpenPage) -> None:
    ImportStore().enter_file(history_html("-1.00"), "ReportHistory.html")
    app = open_page(workbench.BRIDGE.file)
    assert table_with(app, "Kind", "Totals")["Totals"].tolist() == ["disagree"]
    app.session_state["bridge.imports"] = SELECT_FIRST
    app.run()
    assert "net profit" in words(app).casefold()


def test_dropped_files_are_read_once_and_a_bad_one_says_why(open_page: OpenPage) -> None:
    app = open_page(workbench.BRIDGE.file)
    [field] = app.file_uploader
    field.set_value([("ReportTester.html", report_html(), "text/html"), ("notes.csv", b"a,b\r\n1,2\r\n", "text/csv")])
    app.run()
    assert not app.exception
    assert [row["file_name"] for row in ImportStore().listed()] == ["ReportTester.html"]
    said = words(app).replace("\\", "")
    assert "tester of Crossover, EURUSD H1, 2 trades" in said
    assert "notes.csv" in said


def test_a_locked_database_is_a_failure_and_no_empty_page(open_page: OpenPage, home: Any) -> None:
    file = home / "output_central" / "mql5_data.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"no database" * 1_000)
    app = open_page(workbench.BRIDGE.file)
    assert not app.exception
    assert "mql5_data.db" in words(app).replace("\\", "")
    assert "No terminal has spoken yet" not in words(app)
    assert ":red-badge[cannot read]" in words(app)
