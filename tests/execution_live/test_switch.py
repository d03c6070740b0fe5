"""The kill switch: it stops whatever else fails, keeps its history, and is armed in two recorded steps only."""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from desk_bench import CLIENT, START, SYMBOL, Bench, deployed

from core import store
from core.errors import DiskError, InputError, SequenceError, StoreUnusableError
from core.kill_switch import is_killed, kill_file, killed_by, remove_kill, write_kill
from core.settings import output_folder
from execution.live import switch
from execution.live.deployments import STOPPED, set_state
from execution.live.switch import Killed, arm, ask_to_arm, history, is_unarmed, kill, notice_kill
from mql5.bridge.messages import Acknowledgement, NewSignal
from mql5.bridge.signals import SignalConflictError, SignalStore

POSITION = {"ticket": 7, "symbol": "GBPUSD", "side": "long", "volume": 0.1, "price": 1.1}


def events() -> list[tuple[str, str, str]]:
    """Event, by and reason of the history, oldest first."""
    return [(row["event"], row["by"], row["reason"]) for row in reversed(history())]


def signal(kind: str, symbol: str = SYMBOL) -> int:
    return int(SignalStore().create(NewSignal(symbol=symbol, signal_type=kind))[0]["id"])


def status(key: int) -> str:
    return str(SignalStore().one(key)["status"])


def closes() -> list[dict[str, Any]]:
    return [row for row in SignalStore().all() if row["signal_type"] == "CLOSE"]


# To kill


def test_a_kill_writes_the_file_its_history_and_takes_entries_back(bench: Bench) -> None:
    pending, leased, exit_ = signal("BUY"), signal("SELL", "GBPUSD"), signal("CLOSE", "USDJPY")
    with SignalStore()._store.write() as connection:
        connection.exec_driver_sql(
            "UPDATE trading_signals SET status = 'leased', client = ?, lease_until_ms = ? WHERE id = ?",
            (CLIENT, int(START.timestamp() * 1000) + 15_000, leased),
        )
    done = kill("me", "news")
    assert done == Killed(2, (), ())
    assert done.sentence().endswith("Entries that waited were taken back: 2.")
    told = killed_by()
    assert told
    assert (told["by"], told["reason"], told["close_positions"]) == ("me", "news", False)
    assert events() == [("killed", "me", "news")]
    assert history()[0]["at"] == told["at"]
    assert [status(key) for key in (pending, leased, exit_)] == ["cancelled", "cancelled", "pending"]
    arm("me", ask_to_arm("me"))
    with pytest.raises(SignalConflictError):
        SignalStore().sent(leased, Acknowledgement(client=CLIENT))


def test_the_file_is_there_before_anything_else_is_tried(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def looks(*_args: Any) -> None:
        seen.append(is_killed())

    monkeypatch.setattr(switch, "_record_kill", looks)
    monkeypatch.setattr(SignalStore, "take_back_entries", looks)
    monkeypatch.setattr(switch, "_close_all", lambda *_args, **_said: looks())
    kill("me", "news", close_positions=True)
    assert seen == [True, True, True]


def test_who_kills_again_is_recorded_and_the_same_word_twice_is_one(home: Path) -> None:
    kill("me", "news")
    kill("me", "news")
    kill("you", "more news")
    assert events() == [("killed", "me", "news"), ("killed", "you", "more news")]
    assert (killed_by() or {})["by"] == "me"


def test_a_kill_says_something_even_where_nobody_did(home: Path) -> None:
    kill("", " \n ")
    kill("a\udc80b\n", "x" * 10_000)
    assert events() == [("killed", "somebody", "no reason given"), ("killed", "a?b", "x" * 400)]


def test_positions_are_closed_once_a_kill_for_each_symbol_that_is_traded_or_held(bench: Bench) -> None:
    deployed()
    set_state(deployed(name="over", symbol="USDCHF").id, STOPPED, "stopped")
    bench.positions = [POSITION, {**POSITION, "ticket": 8}]
    bench.beat()
    done = kill("me", "news", close_positions=True)
    assert done.closing == (SYMBOL, "GBPUSD")
    assert "asked to close EURUSD, GBPUSD" in done.sentence()
    assert sorted(row["symbol"] for row in closes()) == [SYMBOL, "GBPUSD"]
    at = int(START.timestamp() * 1000)
    assert all(re.fullmatch(rf"kill-{at}-[0-9a-f]{{12}}", row["idempotency_key"]) for row in closes())
    assert {row["valid_until_ms"] - at for row in closes()} == {3_600_000}
    assert events() == [("killed", "me", "news"), ("killed", "me", "positions are closed: news")]
    bench.at(START + pd.Timedelta(seconds=5))
    kill("me", "news", close_positions=True)
    notice_kill()
    assert len(closes()) == 2


def test_a_close_that_ended_is_asked_for_again_by_who_kills_again_only(bench: Bench) -> None:
    deployed()
    kill("me", "news", close_positions=True)
    bench.at(START + pd.Timedelta(hours=2))
    SignalStore().expire()
    assert [row["status"] for row in closes()] == ["expired"]
    notice_kill()
    assert len(closes()) == 1
    kill("me", "news", close_positions=True)
    kill("me", "news", close_positions=True)
    assert sorted(row["status"] for row in closes()) == ["expired", "pending"]


def test_a_kill_may_ask_to_close_later(bench: Bench) -> None:
    deployed()
    kill("me", "news")
    assert closes() == []
    kill("me", "still news", close_positions=True)
    assert [row["symbol"] for row in closes()] == [SYMBOL]
    assert (killed_by() or {})["close_positions"] is True


def test_a_locked_database_does_not_keep_the_file_from_being_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed()
    waiting = signal("BUY")
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.05")
    for path in list(store._opened):  # what is open keeps the patience with which it was opened
        store._opened.pop(path).engine.dispose()
    databases = [output_folder() / "trading.db", output_folder() / "mql5_data.db"]
    with closing(sqlite3.connect(databases[0])) as first, closing(sqlite3.connect(databases[1])) as second:
        for holder in (first, second):
            holder.execute("BEGIN IMMEDIATE")
        done = kill("me", "news", close_positions=True)
        assert is_killed()
        assert [words.split(":")[0] for words in done.failed] == [
            "It could not be recorded",
            "Waiting entries could not be taken back",
            "Positions are not being closed",
        ]
        assert notice_kill() == killed_by()  # it cannot do it either, and stops nobody
        first.rollback()
        second.rollback()
    assert events() == []
    notice_kill()  # what was left undone is done now
    assert events() == [("killed", "me", "news"), ("killed", "me", "positions are closed: news")]
    assert status(waiting) == "cancelled"
    assert len(closes()) == 1


@pytest.mark.parametrize("database", ["trading", "mql5_data"])
def test_a_damaged_database_does_not_either_and_nothing_is_armed_by_it(bench: Bench, database: str) -> None:
    deployed()
    for part in output_folder().glob(f"{database}.db*"):
        part.write_bytes(b"no database at all" * 100)
    done = kill("me", "news", close_positions=True)
    assert is_killed()
    assert done.failed
    if database == "trading":
        assert closes() == []  # what is open is what terminals report, and this one has nothing
        bench.positions = [POSITION]
        bench.beat()
        assert kill("me", "news", close_positions=True).closing == ("GBPUSD",)
    with pytest.raises(StoreUnusableError):
        ask_to_arm("me")
    assert notice_kill()


def test_a_file_that_cannot_be_written_is_told_after_the_rest_was_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any, **_said: Any) -> None:
        raise DiskError("The disk is full.")

    with monkeypatch.context() as disk:
        disk.setattr(switch, "write_kill", full)
        with pytest.raises(DiskError, match="full"):
            kill("me", "news")
    assert events() == [("killed", "me", "news")]
    assert is_unarmed()
    assert (notice_kill() or {})["by"] == "me"  # with room again the file is made
    assert is_killed()


def test_a_kill_that_cannot_be_raised_to_close_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kill("me", "news")

    def full(*_args: Any, **_said: Any) -> None:
        raise DiskError("The disk is full.")

    monkeypatch.setattr(switch, "write_kill", full)
    deployed()
    assert kill("me", "close", close_positions=True) == Killed(0, (SYMBOL,), ("The disk is full.",))


# To notice


def test_a_file_made_by_hand_is_recorded_once(home: Path) -> None:
    output_folder().mkdir(parents=True)
    kill_file().touch()
    for _ in range(3):
        told = notice_kill()
    assert told
    assert events() == [("killed", "file", told["reason"])]
    assert history()[0]["at"] == told["at"]


def test_a_terminal_s_own_switch_is_recorded_under_its_name(bench: Bench) -> None:
    waiting = signal("BUY")
    bench.beat(kill_switch=True)
    notice_kill()
    [(event, by, reason)] = events()
    assert (event, by) == ("killed", f"terminal {CLIENT}")
    assert "SequenceBridge.stop" in reason
    assert status(waiting) == "cancelled"


def test_a_kill_over_http_that_asks_to_close_is_carried_out_once(bench: Bench) -> None:
    deployed()
    write_kill("key laptop", "news", close_positions=True)
    for _ in range(3):
        notice_kill()
    assert [row["symbol"] for row in closes()] == [SYMBOL]
    assert events() == [("killed", "key laptop", "news"), ("killed", "key laptop", "positions are closed: news")]


def test_nothing_is_noticed_while_nothing_is_killed(home: Path) -> None:
    assert notice_kill() is None
    assert not is_unarmed()
    assert not (home / "output_central").exists()


def test_a_file_that_was_removed_by_hand_is_put_back(home: Path) -> None:
    kill("me", "news")
    remove_kill()
    assert is_unarmed()
    told = notice_kill()
    assert is_killed()
    assert told
    assert told["by"] == "me"
    assert "nobody had armed: news" in told["reason"]
    assert events() == [("killed", "me", "news")]
    arm("me", ask_to_arm("me"))
    assert notice_kill() is None


def test_many_notice_one_kill_once(home: Path) -> None:
    write_kill("me", "news")
    threads = [threading.Thread(target=notice_kill) for _ in range(8)]
    for each in threads:
        each.start()
    kill("me", "news")
    for each in threads:
        each.join()
    assert events() == [("killed", "me", "news")]


# To arm


def test_to_arm_takes_two_steps_and_both_are_recorded(home: Path) -> None:
    kill("me", "news")
    code = ask_to_arm("me")
    assert re.fullmatch("[A-HJ-NP-Z]{6}", code)
    assert is_killed()
    arm("you", f" {code.lower()} ")
    assert not is_killed()
    assert not is_unarmed()
    assert events() == [
        ("killed", "me", "news"),
        ("arming", "me", "a code was given"),
        ("armed", "you", "the code was given"),
    ]
    with closing(sqlite3.connect(output_folder() / "trading.db")) as database:
        assert code not in str(database.execute("SELECT * FROM switch_events").fetchall())


def test_there_is_nothing_to_arm_while_nothing_is_killed(home: Path) -> None:
    for step in (lambda: ask_to_arm("me"), lambda: arm("me", "ABCDEF")):
        with pytest.raises(InputError, match="kill switch is off"):
            step()
    assert history() == []


def refuses(code: str, words: str) -> bool:
    with pytest.raises(InputError, match=words):
        arm("me", code)
    return is_killed() and history()[0]["event"] != "armed"


def test_the_second_step_is_nothing_without_the_first(home: Path) -> None:
    kill("me", "news")
    assert refuses("ABCDEF", "not the code")
    assert refuses("", "not the code")


def test_a_wrong_code_an_old_one_and_one_given_twice_are_refused(bench: Bench) -> None:
    kill("me", "news")
    code = ask_to_arm("me")
    assert refuses("A" * 6 if code != "A" * 6 else "B" * 6, "not the code")
    bench.at(START + pd.Timedelta(minutes=10, seconds=1))
    assert refuses(code, "holds for 10 minutes")
    bench.at(START - pd.Timedelta(hours=1))
    assert refuses(code, "holds for 10 minutes")  # the clock was set back: nobody knows how old it is
    bench.at(START + pd.Timedelta(minutes=10))
    arm("me", code)
    kill("me", "again")
    assert refuses(code, "not the code")


def test_a_code_from_before_the_last_kill_is_refused(home: Path) -> None:
    kill("me", "news")
    code = ask_to_arm("me")
    kill("you", "wait")
    assert refuses(code, "after the last kill")


def test_each_code_that_was_asked_for_holds(home: Path) -> None:
    kill("me", "news")
    first, second = ask_to_arm("me"), ask_to_arm("you")
    assert first != second
    arm("me", first)
    assert not is_killed()


def test_a_terminal_whose_own_switch_is_on_is_named_and_nothing_is_armed(bench: Bench) -> None:
    kill("me", "news")
    code = ask_to_arm("me")
    bench.beat(kill_switch=True)
    with pytest.raises(InputError, match=f"terminal itself is on: {CLIENT}"):
        ask_to_arm("me")
    assert refuses(code, f"terminal itself is on: {CLIENT}")
    bench.beat(kill_switch=False)
    arm("me", code)
    assert not is_killed()


def test_a_terminal_that_is_gone_does_not_hinder_arming_for_ever(bench: Bench) -> None:
    bench.beat(kill_switch=True)
    notice_kill()
    bench.at(START + pd.Timedelta(minutes=1))
    arm("me", ask_to_arm("me"))
    assert not is_killed()


def test_entries_that_waited_are_not_executed_after_arming(bench: Bench) -> None:
    waiting = signal("BUY")
    write_kill("me", "news")
    code = ask_to_arm("me")  # nobody has noticed the kill yet
    arm("me", code)
    assert status(waiting) == "cancelled"
    assert SignalStore().lease(CLIENT, 10, 15) == []


def test_what_cannot_be_recorded_is_not_armed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kill("me", "news")
    code = ask_to_arm("me")
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.05")
    switch._store.rows(switch._kills())
    with closing(sqlite3.connect(output_folder() / "trading.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(SequenceError):
            arm("me", code)
        holder.rollback()
    assert is_killed()
    assert [event for event, *_ in events()] == ["killed", "arming"]


def test_a_file_that_cannot_be_removed_stays_and_nothing_is_recorded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill("me", "news")
    code = ask_to_arm("me")

    def stays() -> None:
        raise DiskError("The file stays.")

    monkeypatch.setattr(switch, "remove_kill", stays)
    with pytest.raises(DiskError):
        arm("me", code)
    assert is_killed()
    assert [event for event, *_ in events()] == ["killed", "arming"]


def test_a_crash_while_arming_leaves_it_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill("me", "news")
    code = ask_to_arm("me")

    def removed_then_crashed() -> None:
        remove_kill()
        raise KeyboardInterrupt

    monkeypatch.setattr(switch, "remove_kill", removed_then_crashed)
    with pytest.raises(KeyboardInterrupt):
        arm("me", code)
    assert not is_killed()
    assert is_unarmed()
    assert notice_kill()
    assert is_killed()


def test_who_kills_while_another_arms_has_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill("me", "news")
    code = ask_to_arm("me")
    record = switch._record_kill

    def armed_meanwhile(*args: Any) -> None:
        arm("you", code)
        record(*args)

    monkeypatch.setattr(switch, "_record_kill", armed_meanwhile)
    kill("me", "again")
    assert is_killed()
    assert [event for event, *_ in events()] == ["killed", "arming", "armed", "killed"]
