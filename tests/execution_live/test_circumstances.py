"""What the guards are fed: each fact from the row it stands in, and None where nobody can tell it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from desk_bench import CLIENT, START, SYMBOL, Bench, deployed

from core.clock import utc_text
from core.kill_switch import kill_file, write_kill
from core.settings import output_folder
from core.store import Store, inserted_id
from execution.live import circumstances, real, tables
from execution.live.circumstances import known_now, mark_equity, value_per_lot
from execution.live.deployments import STOPPED, Deployment, set_state
from execution.live.guards import GUARDS, Circumstances, Entry, judge
from execution.live.switch import arm, ask_to_arm, kill
from execution.live.terms import Limits
from mql5.bridge.keys import KeyRing
from mql5.bridge.messages import SymbolSpec
from mql5.bridge.ticks import TickRow, TickStore

POSITION = {"ticket": 7, "symbol": SYMBOL, "side": "long", "volume": 0.1, "price": 1.1}
TRADING = Store(tables.TRADING)


def decide(deployment: Deployment, at: pd.Timestamp, state: str = "approved", action: str = "enter") -> None:
    values = {
        "deployment_id": deployment.id,
        "bar_time": utc_text(at - pd.Timedelta(minutes=5)),
        "decided_at": utc_text(at),
        "state": state,
        "action": action,
        "reason": "",
        "inputs": {},
        "inputs_hash": "",
        "guards": [],
    }
    with TRADING.write() as connection:
        inserted_id(connection, tables.decisions, values)


def test_all_that_is_told_is_known(bench: Bench) -> None:
    bench.spread = 0.00014
    bench.tick(1.1)
    assert known_now(deployed(), records_agree=True) == Circumstances(
        now=START.to_pydatetime(),
        killed=False,
        account="demo",
        trade_allowed=True,
        heartbeat_age_seconds=0.0,
        feed_age_seconds=0.0,
        spread_pips=pytest.approx(1.4),
        entries_today=0,
        open_positions=0,
        equity=10_000.0,
        day_equity=10_000.0,
        value_per_lot=100_000.0,
        records_agree=True,
    )


def test_with_it_every_guard_passes(bench: Bench) -> None:
    deployment = deployed(limits=Limits(min_confidence=0.5, min_reward_to_risk=1.0))
    entry = Entry(SYMBOL, 1, 1.1, 0.1, 0.0020, 0.0040, 0.9)
    said = judge(entry, deployment.limits, known_now(deployment, records_agree=True))
    assert [each.words for each in said if not each.passed] == []


def test_of_a_terminal_that_was_never_heard_nothing_is_known(home: Path) -> None:
    known = known_now(deployed(), in_flight=1)
    assert known == Circumstances(now=known.now, killed=False, entries_today=0)


# The terminal


def test_ages_grow_with_the_clock_and_turn_when_it_is_set_back(bench: Bench) -> None:
    deployment = deployed()
    bench.at(START + pd.Timedelta(seconds=7))
    known = known_now(deployment)
    assert (known.heartbeat_age_seconds, known.feed_age_seconds) == (7.0, 7.0)
    bench.at(START - pd.Timedelta(hours=1))
    known = known_now(deployment)
    assert known.heartbeat_age_seconds == -3600.0
    assert known.feed_age_seconds is None  # a tick of the future tells nothing of now
    later = (START + pd.Timedelta(seconds=3)).to_pydatetime()
    assert known_now(deployment, now=later).heartbeat_age_seconds == 3.0


def test_a_terminal_tells_whether_it_may_trade(bench: Bench) -> None:
    deployment = deployed()
    bench.beat(trade_allowed=False)
    assert known_now(deployment).trade_allowed is False
    bench.beat(trade_allowed=True, connected=False)
    assert known_now(deployment).trade_allowed is False
    bench.beat(trade_allowed=True, connected=True)
    assert known_now(deployment).trade_allowed is True


@pytest.mark.parametrize(
    ("said", "account"),
    [("demo", "demo"), ("contest", "contest"), ("real", "real"), ("real; AutoTrading is off", "real"), ("", None)],
)
def test_the_account_is_the_word_before_the_semicolon(bench: Bench, said: str, account: str | None) -> None:
    bench.beat(trade_mode=said)
    assert known_now(deployed()).account == account


def test_positions_are_those_reported_and_those_on_their_way(bench: Bench) -> None:
    deployment = deployed()
    bench.positions = [POSITION, {**POSITION, "ticket": 8, "symbol": "GBPUSD"}]
    bench.beat()
    assert known_now(deployment).open_positions == 2
    assert known_now(deployment, in_flight=2).open_positions == 4
    bench.reports = False
    bench.beat()
    assert known_now(deployment, in_flight=2).open_positions is None


def test_another_terminal_s_word_counts_for_nothing(bench: Bench) -> None:
    known = known_now(deployed(client="mt5-2"))
    assert known == Circumstances(now=known.now, killed=False, entries_today=0)


# The quote


def test_the_feed_is_as_old_as_its_newest_tick_of_that_terminal_and_symbol(bench: Bench) -> None:
    deployment = deployed()
    bench.at(START + pd.Timedelta(seconds=10))
    rows = [("other", SYMBOL), (CLIENT, "GBPUSD")]
    at = int(bench.now.timestamp() * 1000)
    TickStore().enter([[TickRow(*row, at, 1, at, 1.0, 1.1, None, 1.0, 6, 0, at)] for row in rows])
    known = known_now(deployment)
    assert (known.feed_age_seconds, known.spread_pips) == (10.0, 0.0)


def test_a_tick_that_came_late_is_as_old_as_what_it_tells(bench: Bench) -> None:
    deployment = deployed()
    bench.at(START + pd.Timedelta(seconds=20))
    bench.tick(1.2, START + pd.Timedelta(seconds=5))
    assert known_now(deployment).feed_age_seconds == 15.0


def test_a_tick_ahead_of_its_time_is_as_old_as_its_coming(bench: Bench) -> None:
    deployment = deployed(limits=Limits(max_feed_age_seconds=60))
    bench.tick(1.2, START + pd.Timedelta(seconds=50))
    bench.at(START + pd.Timedelta(seconds=40))
    assert known_now(deployment).feed_age_seconds == 40.0


def test_ticks_of_another_clock_do_not_hide_a_feed_that_stands(bench: Bench) -> None:
    bench.tick(1.2, START + pd.Timedelta(hours=1))
    bench.at(START + pd.Timedelta(seconds=20))
    assert known_now(deployed()).feed_age_seconds == 20.0


def test_a_pip_of_the_yen_is_a_hundredth(bench: Bench) -> None:
    at = int(START.timestamp() * 1000)
    TickStore().enter([[TickRow(CLIENT, "USDJPY", at, 1, at, 150.0, 150.021, None, 1.0, 6, 0, at)]])
    assert known_now(deployed(symbol="USDJPY")).spread_pips == pytest.approx(2.1)


# The day


def test_entries_are_counted_from_17_00_new_york(bench: Bench) -> None:
    deployment = deployed()
    begin = pd.Timestamp("2026-03-02 17:00", tz="America/New_York").tz_convert("UTC")  # of START's trading day
    decide(deployment, begin - pd.Timedelta(milliseconds=1))
    assert known_now(deployment).entries_today == 0
    decide(deployment, begin)
    decide(deployment, begin + pd.Timedelta(hours=1), action="reverse")
    assert known_now(deployment).entries_today == 2


def test_only_approved_entries_of_that_symbol_and_terminal_count(bench: Bench) -> None:
    before = deployed(name="before")
    for minute, (state, action) in enumerate(
        [("approved", "enter"), ("approved", "exit"), ("approved", "none"), ("refused", "enter"), ("proposed", "enter")]
    ):
        decide(before, START - pd.Timedelta(minutes=minute), state, action)
    decide(deployed(name="other-symbol", symbol="GBPUSD"), START)
    decide(deployed(name="other-terminal", client="mt5-2"), START)
    set_state(before.id, STOPPED, "stopped")
    after = deployed(name="after")
    assert known_now(after).entries_today == 1  # a new deployment begins no new day
    decide(after, START)
    assert known_now(after).entries_today == 2


def test_the_first_equity_of_a_day_stays_its_mark(bench: Bench) -> None:
    morning = START.to_pydatetime()
    assert mark_equity(CLIENT, 10_000.0, morning) == 10_000.0
    assert mark_equity(CLIENT, 9_000.0, morning) == 10_000.0
    assert mark_equity("mt5-2", 500.0, morning) == 500.0
    rolls = pd.Timestamp("2026-03-03 17:00", tz="America/New_York").to_pydatetime()
    assert mark_equity(CLIENT, 8_000.0, rolls - pd.Timedelta(seconds=1)) == 10_000.0
    assert mark_equity(CLIENT, 8_000.0, rolls) == 8_000.0


def test_a_weekend_and_a_summer_time_do_not_break_the_day(home: Path) -> None:
    friday = pd.Timestamp("2026-03-06 17:00", tz="America/New_York")
    assert mark_equity(CLIENT, 1.0, friday.to_pydatetime()) == 1.0
    # Summer time began meanwhile: Monday's 17:00 is 21:00 UTC, and that of Friday was 22:00.
    for moment in ("2026-03-07 12:00", "2026-03-08 23:00", "2026-03-09 20:59:59"):
        assert mark_equity(CLIENT, 2.0, pd.Timestamp(moment, tz="UTC").to_pydatetime()) == 1.0
    assert mark_equity(CLIENT, 2.0, pd.Timestamp("2026-03-09 21:00", tz="UTC").to_pydatetime()) == 2.0


@pytest.mark.parametrize("equity", [0.0, -5.0, float("nan"), float("inf")])
def test_no_equity_marks_no_day(home: Path, equity: float) -> None:
    assert mark_equity(CLIENT, equity, START.to_pydatetime()) is None
    assert mark_equity(CLIENT, 100.0, START.to_pydatetime()) == 100.0


def test_an_old_word_marks_no_day_and_a_fresh_one_does(bench: Bench) -> None:
    deployment = deployed()
    bench.at(START + pd.Timedelta(seconds=61))
    known = known_now(deployment)
    assert (known.equity, known.day_equity) == (10_000.0, None)
    bench.at(START + pd.Timedelta(seconds=60))
    assert known_now(deployment).day_equity == 10_000.0
    bench.equity = 9_700.0
    bench.beat()
    known = known_now(deployment)
    assert (known.equity, known.day_equity) == (9_700.0, 10_000.0)


def test_what_was_said_before_the_day_began_marks_it_not(bench: Bench) -> None:
    deployment = deployed()
    rolls = pd.Timestamp("2026-03-03 22:00", tz="UTC")
    bench.at(rolls - pd.Timedelta(seconds=5))
    bench.beat()
    bench.at(rolls + pd.Timedelta(seconds=5))
    assert known_now(deployment).day_equity is None
    bench.beat()
    assert known_now(deployment).day_equity == 10_000.0


# What a lot is worth

SPEC = {"symbol": "EURUSD", "tick_value": 1.0, "tick_size": 0.00001}


@pytest.mark.parametrize(
    ("heard", "symbol", "worth"),
    [
        ({"symbol_specs": [SPEC], "currency": "EUR"}, "EURUSD", 100_000.0),
        ({"symbol_specs": [{**SPEC, "symbol": "EURUSD.m", "tick_value": 0.92}]}, "EURUSD", 92_000.0),
        ({"symbol_specs": [{**SPEC, "symbol": "USDJPY", "tick_value": 0.67, "tick_size": 0.001}]}, "USDJPY", 670.0),
        ({"symbol_specs": [{**SPEC, "tick_value": 0.0}], "currency": "EUR"}, "EURUSD", None),
        ({"symbol_specs": [{**SPEC, "tick_size": None}], "currency": "USD"}, "EURUSD", 100_000.0),
        ({"symbol_specs": [SPEC], "currency": "EUR"}, "GBPUSD", None),
        ({"symbol_specs": None, "currency": "USD"}, "XAUUSD", 100.0),
        ({"currency": "USD"}, "USDJPY", None),
        ({"currency": "USD"}, "US500", None),  # what one lot of it is, its broker alone can tell
        ({}, "EURUSD", None),
    ],
)
def test_a_lot_is_worth_what_the_broker_says_or_nothing_is_known(
    heard: dict[str, Any], symbol: str, worth: float | None
) -> None:
    assert value_per_lot(heard, symbol) == (worth if worth is None else pytest.approx(worth))


def test_the_broker_s_word_on_a_lot_is_read_from_its_heartbeat(bench: Bench) -> None:
    bench.beat(currency="EUR", symbol_specs=[SymbolSpec(symbol="EURUSD.m", tick_value=0.9, tick_size=0.00001)])
    assert known_now(deployed()).value_per_lot == pytest.approx(90_000.0)


# The switches


def test_the_kill_switch_is_known_and_so_is_a_file_that_went_without_being_armed(bench: Bench) -> None:
    deployment = deployed()
    write_kill("me", "news")
    assert known_now(deployment).killed is True
    kill("me", "news")
    kill_file().unlink()
    assert known_now(deployment).killed is True
    arm("me", ask_to_arm("me"))
    assert known_now(deployment).killed is False


def test_the_switches_for_real_money_are_those_that_are_set(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.beat(trade_mode="real", login="77001")
    deployment = deployed(real_confirmation="REAL MONEY ON 77001", limits=Limits(account="real"))
    assert known_now(deployment).real_switches == ("confirmation",)
    monkeypatch.setenv("SEQUENCE_LIVE__ALLOW_REAL", "true")
    monkeypatch.setenv("SEQUENCE_REAL_KEY", KeyRing().make("real money"))
    assert known_now(deployment).real_switches == ("key", "confirmation")  # the bench replays
    monkeypatch.setattr(real, "is_replayed", lambda: False)
    known = known_now(deployment)
    assert known.real_switches == ("setting", "key", "confirmation")
    assert judge(None, deployment.limits, known)[1].words == "real account, all three switches are set"


# What cannot be read


def damage(home: Path, database: str) -> None:
    for part in (home / "output_central").glob(f"{database}.db*"):
        part.write_bytes(b"no database at all" * 100)


@pytest.mark.parametrize(
    ("database", "unfed"),
    [
        ("trading", {"kill switch", "entries a day", "daily loss"}),
        ("mql5_data", {"account", "terminal", "feed", "spread", "positions", "daily loss"}),
    ],
)
def test_a_damaged_database_leaves_its_guards_unfed_and_the_others_as_they_are(
    bench: Bench, home: Path, database: str, unfed: set[str]
) -> None:
    deployment = deployed()
    damage(home, database)
    said = judge(None, deployment.limits, known_now(deployment, records_agree=True))
    assert {each.guard for each in said if not each.passed} == unfed
    assert all("nobody told" in each.words for each in said if not each.passed)


def test_a_database_that_another_program_holds_hinders_no_reading_but_a_new_mark(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.05")
    deployment = deployed()
    with closing(sqlite3.connect(output_folder() / "trading.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        known = known_now(deployment, records_agree=True)
        holder.rollback()
    assert (known.day_equity, known.entries_today, known.killed) == (None, 0, False)
    assert known_now(deployment).day_equity == 10_000.0


@pytest.mark.parametrize("broken", ["TerminalStore", "TickStore", "is_unarmed", "real_switches", "trading_day"])
def test_whatever_breaks_refuses_and_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    deployment = deployed()
    circumstances._say_once.cache_clear()

    def breaks(*_args: Any, **_said: Any) -> Any:
        raise RuntimeError(f"{broken} is broken")

    monkeypatch.setattr(circumstances, broken, breaks)
    known = [known_now(deployment) for _ in range(3)][-1]
    assert len([record for record in caplog.records if f"{broken} is broken" in record.getMessage()]) in {1, 2}
    entry = Entry(SYMBOL, 1, 1.1, 0.1, 0.0020, 0.0040, 0.9)
    assert [each.guard for each in judge(entry, Limits(account="real"), known) if not each.passed]
    assert [each.guard for each in judge(entry, deployment.limits, known)] == list(GUARDS)


def test_an_equity_of_numpy_is_kept_as_it_is(home: Path) -> None:
    assert mark_equity(CLIENT, np.float64(10_000.5), START.to_pydatetime()) == 10_000.5
