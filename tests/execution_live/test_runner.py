"""A deployment at work: one decision a bar, signals that follow, and nothing twice."""

from __future__ import annotations

import pandas as pd
import pytest
from desk_bench import CLIENT, START, SYMBOL, Bench, deployed, history

from core.kill_switch import write_kill
from execution.live import switch
from execution.live.black_box import decide_again
from execution.live.book import read_book, terminal_of
from execution.live.decisions import Decision, change_decision, list_decisions
from execution.live.deployments import PAUSED, RUNNING, find_deployment, set_state
from execution.live.runner import Runner, action_for
from execution.live.terms import Limits
from execution.live.wish import Wish, waiting
from mql5.bridge.signals import SignalStore

FLAT = [1.1] * 12
RISE = [1.101, 1.102, 1.103]
FALL = [1.095]


def decided(deployment_id: int = 1) -> list[Decision]:
    return list_decisions(deployment_id)[::-1]


def signals() -> list[tuple[str, str]]:
    return [(row["signal_type"], row["status"]) for row in SignalStore().all()][::-1]


@pytest.fixture
def runner(bench: Bench) -> Runner:
    """A cross that has history enough and trades from START on."""
    history(FLAT)
    return Runner(deployed().id)


def test_each_closed_bar_is_decided_once_and_a_change_of_the_wish_becomes_a_signal(
    bench: Bench, runner: Runner
) -> None:
    runner.step()
    assert find_deployment(1).trades_from == "2026-03-03T08:00:00.000Z"
    bench.bars([1.1, *RISE], runner=runner)
    assert [each.bar_time[11:16] for each in decided()] == ["08:00", "08:05", "08:10", "08:15"]
    assert [each.action for each in decided()] == ["none", "enter", "none", "none"]
    entered = decided()[1]
    assert (entered.state, entered.wanted, entered.wanted_before, entered.held) == ("approved", 1, 0, 0)
    assert entered.reason == "the wish turned from flat to long"
    assert signals() == [("BUY", "executed")]
    signal = SignalStore().one(entered.entry_signal_id or 0)
    assert (signal["symbol"], signal["volume"], signal["executed_price"]) == (SYMBOL, 0.1, 1.101)
    assert signal["idempotency_key"] == f"d1-{int(pd.Timestamp('2026-03-03 08:05Z').timestamp())}-entry"
    assert read_book(find_deployment(1), terminal_of(CLIENT)).agrees


def test_a_turn_closes_first_and_enters_when_the_terminal_has_reported(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1, *RISE, *FALL], runner=runner)
    turned = decided()[-1]
    assert (turned.action, turned.state) == ("reverse", "approved")
    assert signals() == [("BUY", "executed"), ("CLOSE", "executed"), ("SELL", "executed")]
    assert turned.close_signal_id == 2
    assert turned.entry_signal_id == 3


def test_an_entry_waits_as_long_as_the_position_before_it_is_open(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1, *RISE], runner=runner)
    bench.bars(FALL)
    runner.step()
    runner.step()
    assert signals()[1:] == [("CLOSE", "pending")]
    assert decided()[-1].state == "proposed"
    bench.at(bench.now + pd.Timedelta(minutes=2))
    runner.step()
    expired = decided()[-1]
    assert (expired.state, expired.entry_signal_id) == ("expired", None)
    assert expired.reason.endswith("too late: the position before it was not closed in time")


def test_a_stop_at_the_broker_leaves_it_flat_until_the_wish_changes(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1, *RISE[:2]], runner=runner)
    bench.close_all("sl")
    bench.beat()
    bench.bars([1.104], runner=runner)
    assert (decided()[-1].action, decided()[-1].held) == ("none", 0)
    bench.bars([1.099, 1.096], runner=runner)
    assert decided()[-1].action == "enter"
    assert signals() == [("BUY", "executed"), ("SELL", "executed")]


def test_the_first_entry_is_at_the_first_change_and_not_at_a_wish_that_began_before(bench: Bench) -> None:
    history([*FLAT, 1.101, 1.102, 1.103])
    runner = Runner(deployed().id)
    runner.step()
    bench.bars([1.104, 1.105], runner=runner)
    assert [each.action for each in decided()] == ["none", "none"]
    bench.bars([1.099, 1.095], runner=runner)
    assert signals() == [("SELL", "executed")]


def test_a_guard_that_says_no_is_named_and_nothing_is_sent(bench: Bench) -> None:
    history(FLAT)
    runner = Runner(deployed(limits=Limits(max_spread_pips=0.5, max_risk_pct=None)).id)
    bench.spread = 0.0002
    runner.step()
    bench.bars([1.1, *RISE[:1]], runner=runner)
    refused = decided()[-1]
    assert (refused.state, refused.action, signals()) == ("refused", "enter", [])
    assert [verdict.guard for verdict in refused.refused_by] == ["spread"]
    assert "spread" in refused.reason


def test_a_risk_that_nobody_can_reckon_is_refused(bench: Bench) -> None:
    history(FLAT)
    runner = Runner(deployed(limits=Limits()).id)
    runner.step()
    bench.bars([1.1, *RISE[:1]], runner=runner)
    assert [verdict.guard for verdict in decided()[-1].refused_by] == ["risk"]


def test_killed_or_paused_it_exits_and_does_not_enter(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1, *RISE], runner=runner)
    set_state(1, PAUSED, "paused")
    bench.bars(FALL, runner=runner)
    assert (decided()[-1].action, decided()[-1].state) == ("exit", "approved")
    assert decided()[-1].reason.endswith("no entry while it is paused")
    set_state(1, RUNNING, "goes on")
    write_kill("a test", "to see")
    bench.bars([1.103, 1.108], runner=runner)
    assert decided()[-1].action in {"enter", "none"}
    assert [verdict.guard for each in decided() for verdict in each.refused_by] == ["kill switch"]
    assert signals() == [("BUY", "executed"), ("CLOSE", "executed")]
    switch.arm("a test", switch.ask_to_arm("a test"))
    bench.bars([1.098, 1.09], runner=runner)
    assert signals()[-1] == ("SELL", "executed")


def test_bars_that_passed_while_nobody_was_there_are_not_traded_later(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1, *RISE, 1.104])
    Runner(1).step()
    bench.trade()
    assert [(each.action, each.state) for each in decided()] == [
        ("none", "approved"), ("enter", "expired"), ("none", "approved"), ("none", "approved"), ("none", "approved"),
    ]  # fmt: skip
    assert "nobody was there" in decided()[1].reason
    assert signals() == []


def test_the_last_bar_of_a_week_is_traded_when_the_market_opens_again(bench: Bench) -> None:
    friday = pd.Timestamp("2026-03-06 21:45", tz="UTC")
    bench.at(friday)
    history(FLAT, until=friday)
    runner = Runner(deployed().id)
    runner.step()
    for minute in range(15):
        bench.at(friday + pd.Timedelta(minutes=minute, seconds=1))
        bench.tick(1.1 if minute < 10 else RISE[0])
    bench.at(friday + pd.Timedelta(minutes=15, seconds=4))  # New York has closed: no tick ends the bar
    bench.live.step()
    runner.step()
    assert [each.bar_time[11:16] for each in decided()] == ["21:45", "21:50"]
    sunday = pd.Timestamp("2026-03-08 21:00", tz="UTC")  # summer time has begun over there
    bench.at(sunday + pd.Timedelta(seconds=1))
    bench.tick(RISE[1])
    bench.beat()
    bench.live.step()
    bench.work(runner)
    assert [(each.bar_time[11:16], each.action, each.state) for each in decided()][-1] == ("21:55", "enter", "approved")
    assert signals() == [("BUY", "executed")]


def test_a_bar_whose_ticks_got_lost_gives_no_signal_and_says_why(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1])
    bench.tick(1.101, bench.now + pd.Timedelta(seconds=1), numbers_lost=7)
    bench.bars(RISE[:1], runner=runner)
    assert (decided()[-1].state, decided()[-1].wanted) == ("refused", None)
    assert decided()[-1].reason == "7 ticks of this bar never came (numbers are missing)"
    assert signals() == []


def test_a_silent_feed_is_waited_for_and_the_hole_is_told(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1], runner=runner)
    bench.at(bench.now + pd.Timedelta(minutes=12))
    runner.step()
    assert len(decided()) == 1
    bench.tick(1.102)
    bench.beat()
    bench.live.step()
    runner.step()
    states = [(each.bar_time[11:16], each.state) for each in decided()[1:]]
    assert states == [("08:05", "approved"), ("08:10", "refused")]
    assert decided()[2].reason == "no tick came between 08:10 and 08:15 UTC"
    bench.bars([1.103], runner=runner)
    assert "bars are missing from 2026-03-03 08:10 UTC on" in decided()[-1].reason


def test_a_symbol_that_the_broker_renamed_is_named_and_nothing_is_decided(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.at(bench.now + pd.Timedelta(minutes=6))
    bench.beat(symbols=["GBPUSD"])
    Runner(1).step()
    words = find_deployment(1).state_words
    assert words.startswith("mt5-1 does not stream EURUSD but GBPUSD; if the broker renamed it, correct")
    assert decided() == []


def test_ticks_told_twice_and_out_of_order_make_the_same_bars(bench: Bench, runner: Runner) -> None:
    runner.step()
    begun = bench.now
    bench.bars([1.1])
    numbered = bench.sequence
    for late in (4, 1, 3, 2, 1):
        bench.tick(RISE[0], bench.now + pd.Timedelta(minutes=late), number=numbered + late)
    bench.at(begun + pd.Timedelta(minutes=10, seconds=4))
    bench.tick(RISE[0], begun + pd.Timedelta(minutes=10), number=numbered + 5)
    bench.beat()
    bench.live.step()
    bench.work(runner)
    assert [(each.bar_time[11:16], each.action) for each in decided()] == [("08:00", "none"), ("08:05", "enter")]


def test_without_history_it_says_how_many_bars_it_needs(bench: Bench) -> None:
    runner = Runner(deployed().id)
    runner.step()
    bench.bars([1.1, 1.101], runner=runner)
    assert decided()[0].reason.startswith("4 bars are needed to warm up, 1 are there: collect history of EURUSD")


@pytest.mark.parametrize("lost", ["signal", "word"])
def test_killed_between_decision_and_signal_it_sends_one(
    bench: Bench, runner: Runner, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.step()
    bench.bars([1.1, *RISE[:1]])

    def killed(self: SignalStore, asked: object) -> object:
        if lost == "word":
            create(self, asked)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    create = SignalStore.create
    monkeypatch.setattr(SignalStore, "create", killed)
    with pytest.raises(KeyboardInterrupt):
        runner.step()
    assert decided()[-1].state == "proposed"
    monkeypatch.setattr(SignalStore, "create", create)
    if lost == "word":  # it was posted: however late the process comes back, that is known
        bench.at(bench.now + pd.Timedelta(minutes=2))
    again = Runner(1)
    again.step()
    again.step()
    assert decided()[-1].entry_signal_id == 1
    assert [kind for kind, _ in signals()] == ["BUY"]


def test_an_exit_posted_before_a_kill_is_noted_though_a_newer_bar_was_decided(
    bench: Bench, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.step()
    bench.bars([1.1, *RISE], runner=runner)
    bench.bars(FALL)
    create = SignalStore.create

    def killed(self: SignalStore, asked: object) -> object:
        create(self, asked)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(SignalStore, "create", killed)
    with pytest.raises(KeyboardInterrupt):
        runner.step()
    monkeypatch.setattr(SignalStore, "create", create)
    bench.trade()
    bench.bars([1.094])
    Runner(1).step()
    turned = next(each for each in decided() if each.action == "reverse")
    assert turned.close_signal_id == 2
    assert signals() == [("BUY", "executed"), ("CLOSE", "executed")]


def test_an_attempt_that_was_given_up_writes_nothing(bench: Bench, runner: Runner) -> None:
    class GivenUpError(Exception):
        pass

    def fence(connection: object) -> None:
        raise GivenUpError

    runner.step()
    bench.bars([1.1])
    with pytest.raises(GivenUpError):
        Runner(1, fence).step()
    assert decided() == []


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_jump_of_the_clock_decides_nothing_twice_and_nothing_early(bench: Bench, runner: Runner, hours: int) -> None:
    runner.step()
    bench.bars([1.1, *RISE[:1]], runner=runner)
    right = bench.now
    bench.at(right + pd.Timedelta(hours=hours))
    runner.step()
    assert len(decided()) == 2
    bench.at(right)
    bench.bars(RISE[1:], runner=runner)
    assert [each.bar_time[11:16] for each in decided()] == ["08:00", "08:05", "08:10", "08:15"]
    assert signals() == [("BUY", "executed")]


def test_a_decision_made_again_is_the_same_or_says_what_changed(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1, *RISE], runner=runner)
    entered = decided()[1]
    assert all(decide_again(each.id).is_same for each in decided())
    history([*FLAT[:-1], 1.15], until=START - pd.Timedelta(minutes=60))
    other = {**entered.inputs, "bars": {**entered.inputs["bars"], "digest": "0"}}
    change_decision(entered.id, lambda connection: None, wanted=-1, inputs=other)
    again = decide_again(entered.id)
    assert not again.is_same
    assert again.changes[0].startswith("the bars are others now")
    assert again.changes[-1] == "wanted is +1 now, it was -1"


def test_a_bar_refused_for_its_ticks_says_when_it_can_be_decided(bench: Bench, runner: Runner) -> None:
    runner.step()
    bench.bars([1.1])
    lost = bench.sequence + 1
    bench.tick(1.101, bench.now + pd.Timedelta(seconds=2), number=lost + 1)
    bench.bars(RISE[:1], runner=runner)
    [refused] = [each for each in decided() if each.state == "refused"]
    assert decide_again(refused.id).is_same
    bench.tick(1.101, pd.Timestamp(refused.bar_time) + pd.Timedelta(seconds=4), number=lost)
    assert "it can be decided now: +1 is wanted" in decide_again(refused.id).changes


@pytest.mark.parametrize(
    ("wanted", "before", "held", "closing", "action"),
    [
        (1, 0, 0, False, "enter"), (1, 1, 0, False, "none"), (1, 1, 1, False, "none"), (1, 0, 1, False, "none"),
        (0, 1, 1, False, "exit"), (0, 0, 1, False, "exit"), (0, 1, 1, True, "none"), (0, 1, 0, False, "none"),
        (-1, 1, 1, False, "reverse"), (-1, 1, 1, True, "enter"), (-1, -1, 1, False, "exit"),
    ],
)  # fmt: skip
def test_what_a_wish_asks_for(wanted: int, before: int, held: int, closing: bool, action: str) -> None:
    wish = Wish(wanted, before, float("nan"), float("nan"), None)
    assert action_for(wish, held, is_closing=closing)[0] == action


def test_a_wish_that_began_before_is_left_out() -> None:
    import numpy as np

    position = np.array([0, 1, 1, 1, 0, -1, -1], np.int8)
    assert waiting(position, 0).tolist() == position.tolist()
    assert waiting(position, 2).tolist() == [0, 0, 0, 0, 0, -1, -1]
    assert waiting(position, 1).tolist() == position.tolist()
    assert waiting(position, 6).tolist() == [0] * 7
