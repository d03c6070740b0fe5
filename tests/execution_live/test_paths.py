"""Signals of decisions on their way: every step, how long it took, and what an exit cost as well."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from desk_bench import START, Bench, deployed, history

from execution.live.decisions import Decision, list_decisions
from execution.live.paths import LOST, SignalPath, paths_of
from execution.live.runner import Runner
from mql5.bridge.feed import Feed
from mql5.bridge.messages import Acknowledgement, NewSignal
from mql5.bridge.signals import SignalStore

ME = Acknowledgement(client="mt5-1")


def decision(at: pd.Timestamp, **values: object) -> Decision:
    empty = dict.fromkeys(Decision.__dataclass_fields__)
    made = Decision(**{**empty, "id": 1, "decided_at": at.isoformat(), "guards": [], "inputs": {}})
    return replace(made, **values)  # type: ignore[arg-type]


def signal(kind: str = "BUY", **values: object) -> int:
    row, _ = SignalStore().create(NewSignal(symbol="EURUSD", signal_type=kind, **values))  # type: ignore[arg-type]
    return int(row["id"])


def at(bench: Bench, milliseconds: int) -> None:
    bench.at(START + pd.Timedelta(milliseconds=milliseconds))


def one(made: Decision) -> SignalPath:
    [path] = paths_of([made])
    return path


def test_each_step_is_told_with_the_seconds_since_the_step_before(bench: Bench) -> None:
    at(bench, 500)
    key = signal()
    made = decision(START, wanted=1, entry_signal_id=key)
    assert (one(made).state, one(made).is_open, one(made).seconds) == ("pending", True, None)
    at(bench, 1_500)
    SignalStore().lease("mt5-1", 1, 15)
    at(bench, 1_750)
    SignalStore().sent(key, ME)
    at(bench, 2_000)
    SignalStore().finish(key, "executed", ME.model_copy(update={"price": 1.1002, "retcode": 10009, "comment": "done"}))
    path = one(made)
    assert [(step.state, step.after_seconds) for step in path.steps] == [
        ("pending", 0.5), ("leased", 1.0), ("sent", 0.25), ("executed", 0.25),
    ]  # fmt: skip
    assert [path.seconds_to(step) for step in ("pending", "leased", "sent", "ended")] == [0.5, 1.0, 0.25, 0.25]
    assert (path.seconds, path.price, path.words) == (2.0, 1.1002, "10009 · done")
    assert path.asked == pytest.approx(1.1)  # the ask when it was sent
    assert path.slippage_pips == pytest.approx(2.0)
    assert not path.is_open


@pytest.mark.parametrize(("held", "filled", "slip"), [(1, 1.0998, 2.0), (-1, 1.1002, 2.0), (1, 1.1003, -3.0)])
def test_what_an_exit_lost_on_its_way_is_told_by_the_side_it_closes(
    bench: Bench, held: int, filled: float, slip: float
) -> None:
    key = signal("CLOSE")
    SignalStore().lease("mt5-1", 1, 15)
    SignalStore().sent(key, ME)
    SignalStore().finish(key, "executed", ME.model_copy(update={"price": filled}))
    path = one(decision(START, held=held, close_signal_id=key))
    assert path.slippage_pips == pytest.approx(slip)
    [row] = Feed().signals()
    assert row["slippage_pips"] is None  # without the decision nobody knows what it closed


def test_a_signal_that_nobody_fetched_says_so(bench: Bench) -> None:
    key = signal(valid_until=(START + pd.Timedelta(seconds=5)).to_pydatetime())
    at(bench, 6_000)
    SignalStore().expire()
    path = one(decision(START, wanted=1, entry_signal_id=key))
    assert (path.state, path.seconds, path.seconds_to("leased"), path.seconds_to("ended")) == (
        "expired",
        6.0,
        None,
        6.0,
    )
    assert path.words == "nobody executed it in time"


def test_a_signal_that_is_gone_is_told_as_lost(bench: Bench) -> None:
    path = one(decision(START, wanted=-1, held=1, entry_signal_id=77))
    assert (path.state, path.signal_type, path.steps) == (LOST, "SELL", ())
    assert not path.is_open
    assert "no longer has it" in path.words


def test_a_clock_that_was_set_back_makes_no_step_negative(bench: Bench) -> None:
    key = signal()
    at(bench, -3_600_000)
    SignalStore().cancel(key)
    path = one(decision(START + pd.Timedelta(seconds=2), entry_signal_id=key))
    assert [step.after_seconds for step in path.steps] == [0.0, 0.0]


def test_decisions_without_signals_have_no_path_and_read_nothing(bench: Bench) -> None:
    assert paths_of([decision(START)]) == []
    assert paths_of([]) == []


def test_the_signals_of_a_turn_stand_together_the_entry_first(bench: Bench) -> None:
    history([1.1] * 12)
    runner = Runner(deployed().id)
    runner.step()
    bench.bars([1.1, 1.101, 1.102, 1.103, 1.095], runner=runner)
    paths = paths_of(list_decisions(1))
    assert [(path.signal_type, path.state) for path in paths] == [
        ("SELL", "executed"), ("CLOSE", "executed"), ("BUY", "executed"),
    ]  # fmt: skip
    assert [path.slippage_pips for path in paths] == pytest.approx([0.0, 0.0, 0.0])
