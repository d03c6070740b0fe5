"""A terminal's trades held against a backtest's: each difference by its name, its reason and its pips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import utc_text
from core.csv_export import csv_bytes
from core.errors import InputError
from execution.live.decisions import Decision
from execution.live.guards import Verdict
from execution.live.reconcile import (
    AGREES,
    DEARER,
    DIFFERENCE_COLUMNS,
    ENDED,
    EXTRA,
    KINDS,
    LATER,
    MISSING,
    RESIZED,
    TABLE_COLUMNS,
    Reconciliation,
    Tolerances,
    reconcile,
)

# Bars of an hour on a Tuesday in winter: the trading day ends at 22:00 UTC.
START = pd.Timestamp("2026-03-03 08:00", tz="UTC")
SPREAD = 0.0001


def at(hours: float, seconds: float = 0.0) -> pd.Timestamp:
    return START + pd.Timedelta(hours=hours, seconds=seconds)


def expected(hour: float = 1, **changes: Any) -> dict[str, Any]:
    """The backtest's: decided at the close of the bar before `hour`, 0.1 lots long for two hours, 20 pips won."""
    return {
        "entry_time": at(hour), "exit_time": at(hour + 2), "side": "long", "size": 10_000.0, "entry_price": 1.1001,
        "exit_price": 1.1021, "pnl": 20.0, "exit_reason": "signal", "spread_pips": 1.0,
        "entry_decided": at(hour - 1), "exit_decided": at(hour + 1), **changes,
    }  # fmt: skip


def live(hour: float = 1, **changes: Any) -> dict[str, Any]:
    """The terminal's: the same, three seconds after the bar opened, by signals 1 and 2, with the quotes it met."""
    return {
        "entry_time": at(hour, 3), "exit_time": at(hour + 2, 3), "side": "long", "size": 10_000.0,
        "entry_price": 1.1001, "exit_price": 1.1021, "pnl": 20.0, "exit_reason": "expert", "position": 77,
        "entry_deal": 77, "exit_deal": 78, "entry_signal": 1, "exit_signal": None, "commission": 0.0, "swap": 0.0,
        "entry_bid": 1.1, "entry_ask": 1.1001, "exit_bid": 1.1021, "exit_ask": 1.1022, **changes,
    }  # fmt: skip


def short(**changes: Any) -> dict[str, Any]:
    """Changes that turn either trade round: short from 1.1020, covered at 1.1001 with the spread, 19 pips won."""
    return {"side": "short", "size": -10_000.0, "entry_price": 1.1020, "exit_price": 1.1001, **changes}


def opened(**changes: Any) -> dict[str, Any]:
    return {"exit_time": pd.NaT, "exit_price": np.nan, "pnl": np.nan, "exit_reason": "", **changes}


def table(*trades: dict[str, Any]) -> pd.DataFrame:
    made = pd.DataFrame(list(trades) if trades else [expected()]).iloc[: len(trades)]
    for name in ("entry_time", "exit_time"):
        made[name] = pd.DatetimeIndex(pd.to_datetime(made[name], utc=True))
    return made


def decision(hour: float = 0, **changes: Any) -> Decision:
    """The one on the bar that opened then: an entry, approved, with signal 1."""
    values: dict[str, Any] = {
        "id": int(hour) + 1, "deployment_id": 1, "bar_time": utc_text(at(hour)),
        "decided_at": utc_text(at(hour + 1, 3)),
        "state": "approved", "action": "enter", "wanted": 1, "wanted_before": 0, "held": 0,
        "reason": "the wish turned from flat to long", "inputs": {}, "inputs_hash": "", "guards": [], "close": 1.1,
        "stop_distance": None, "target_distance": None, "confidence": None, "valid_until": None, "entry_order": None,
        "close_signal_id": None, "entry_signal_id": 1,
    }  # fmt: skip
    return Decision(**{**values, **changes})


def signal(key: int = 1, *steps: tuple[str, float, str], **changes: Any) -> dict[str, Any]:
    """A signal with its history: (state, seconds after 09:00, words)."""
    history = [
        {"status": state, "at": utc_text(at(1, seconds)), "client": "mt5-1", "words": words, "details": None}
        for state, seconds, words in steps
    ]
    values = {
        "id": key, "status": steps[-1][0] if steps else "executed", "created_at": utc_text(at(1, 3)), "comment": "c",
        "strategy_name": "MA", "retcode": None, "broker_comment": None, "volume": 0.1, "executed_price": 1.1001,
        "deal_ticket": None, "history": history,
    }  # fmt: skip
    return {**values, **changes}


def told(
    ours: pd.DataFrame, theirs: pd.DataFrame, decisions: list[Decision] | None = None, **more: Any
) -> Reconciliation:
    made = [decision()] if decisions is None else decisions
    return reconcile(ours, theirs, made, symbol="EURUSD", timeframe="H1", **more)


def named(found: Reconciliation) -> list[tuple[str, float]]:
    """Kinds with their pips."""
    pairs = found.differences[["kind", "cost_pips"]].itertuples(index=False)
    return [(kind, round(cost, 6)) for kind, cost in pairs]


def reason(found: Reconciliation) -> str:
    [words] = found.differences["reason"]
    return str(words)


def test_a_trade_that_was_made_as_expected_agrees() -> None:
    found = told(table(expected()), table(live()))
    assert found.differences.empty
    assert (found.expected, found.traded, found.agreeing, found.score, found.cost_pips) == (1, 1, 1, 1.0, 0.0)
    assert found.sentence() == "1 of 1 trades agree (100 %). Live made the same pips as the backtest."
    [row] = found.table.to_dict("records")
    assert (row["outcome"], row["entry_seconds"], row["signal"], row["position"]) == (AGREES, 3.0, 1, 77)
    assert (row["expected_pips"], row["traded_pips"]) == (pytest.approx(20), pytest.approx(20))
    assert row["decided_on"] == at(0)


def test_a_day_without_a_trade_has_no_score() -> None:
    found = told(table(), table(), [])
    assert (found.expected, found.traded, found.score, found.cost_pips) == (0, 0, None, 0.0)
    assert found.sentence() == "No trade was expected and none was made."
    assert list(found.table.columns) == list(TABLE_COLUMNS)
    assert list(found.differences.columns) == list(DIFFERENCE_COLUMNS)
    assert found.days() == []


# Missing

REFUSAL = Verdict("spread", False, "spread 4.1 pips, at most 3.0")
PASSED = Verdict("account", True, "a demo account")
MISSED: dict[str, tuple[list[Decision], list[dict[str, Any]], str]] = {
    "a guard": (
        [decision(state="refused", guards=[PASSED, REFUSAL], entry_signal_id=None)],
        [],
        "the guard spread refused: 4.1 pips, at most 3.0",
    ),
    "expired, never fetched": (
        [decision()],
        [signal(1, ("pending", 3, "created"), ("expired", 63, "nobody executed it in time"))],
        "signal 1 expired: no terminal fetched it",
    ),
    "expired, fetched": (
        [decision()],
        [signal(1, ("pending", 3, "created"), ("leased", 4, "for 15 s"), ("expired", 63, "…"))],
        "signal 1 expired: mt5-1 had it and did not execute it",
    ),
    "rejected by the broker": (
        [decision()],
        [signal(1, ("rejected", 5, "rejected at the broker"), retcode=10019, broker_comment="No money")],
        "rejected by the broker: 10019 No money",
    ),
    "rejected by the expert": (
        [decision()],
        [signal(1, ("rejected", 5, "rejected at the broker"), broker_comment="InpTrade is false: ticks only")],
        "rejected by the terminal: InpTrade is false: ticks only",
    ),
    "cancelled": (
        [decision()],
        [signal(1, ("cancelled", 5, "the kill switch is on"))],
        "signal 1 was cancelled: the kill switch is on",
    ),
    "taken back": ([decision()], [signal(1, ("cancelled", 5, "cancelled"))], "signal 1 was cancelled"),
    "on its way": ([decision()], [signal(1, ("leased", 5, "for 15 s"))], "signal 1 is leased"),
    "executed without a deal": (
        [decision()],
        [signal(1, ("executed", 5, "executed at the broker"))],
        "signal 1 was executed at 1.1001, and no deal of it was reported",
    ),
    "gone": ([decision()], [], "signal 1 is not in the bridge's records any more"),
    "no ticks": ([], [], "not decided: no ticks in the bar"),
    "a gap": (
        [decision(state="refused", action="none", wanted=None, entry_signal_id=None, reason="12 ticks never came")],
        [],
        "not decided: 12 ticks never came",
    ),
    "decided late": (
        [
            decision(
                state="expired", entry_signal_id=None, decided_at=utc_text(at(1, 420)),
                reason="the wish turned from flat to long; too late for an entry",
            )
        ],
        [],
        "decided late, 420 s after the bar was over, after a restart: the wish turned from flat to long; "
        "too late for an entry",
    ),
    "its time over": (
        [decision(state="expired", entry_signal_id=None, reason="the position before it was not closed in time")],
        [],
        "its time was over: the position before it was not closed in time",
    ),
    "paused": (
        [decision(state="refused", entry_signal_id=None, reason="no entry while it is paused")],
        [],
        "refused: no entry while it is paused",
    ),
    "a turn that only left": (
        [decision(action="exit", entry_signal_id=None, reason="the wish turned; no entry while it is paused")],
        [],
        "no entry: the wish turned; no entry while it is paused",
    ),
    "decided otherwise": (
        [decision(action="none", wanted=0, entry_signal_id=None, reason="flat is wanted as before")],
        [],
        "decided otherwise: flat was wanted at that close (flat is wanted as before)",
    ),
    "waits": (
        [decision(state="proposed", entry_signal_id=None)],
        [],
        "it still waits for the position before it to be closed",
    ),
    "not begun": (
        [decision(3, entry_signal_id=None)],
        [],
        "not decided: its first decision is on the bar 2026-03-03 11:00 UTC",
    ),
    "not at work": (
        [decision(-3, entry_signal_id=None)],
        [],
        "not decided: the deployment was not at work at the close of the bar 2026-03-03 08:00 UTC",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSED)
def test_a_trade_that_is_missing_says_why(case: str) -> None:
    decisions, signals, words = MISSED[case]
    silent = [at(0)] if case == "no ticks" else []
    found = told(table(expected()), table(), decisions, signals=signals, silent=silent)
    # The 20 pips of the backtest were not made.
    assert named(found) == [(MISSING, 20.0)]
    assert reason(found) == words
    assert (found.score, found.cost_pips) == (0.0, pytest.approx(20))
    assert found.sentence() == "0 of 1 trades agree (0 %); 1 missing. Live made 20.0 pips less than the backtest."


def test_a_loss_that_was_not_made_is_a_gain() -> None:
    found = told(table(expected(exit_price=1.0991)), table())
    assert named(found) == [(MISSING, -10.0)]
    assert found.sentence().endswith("Live made 10.0 pips more than the backtest.")


def test_what_a_missing_trade_would_have_made_is_not_known_while_it_is_open() -> None:
    found = told(table(expected(**opened())), table())
    assert found.differences["cost_pips"].isna().all()
    assert found.cost_pips == 0.0


# Extra


def test_a_trade_without_a_decision_is_extra() -> None:
    lost = live(exit_price=1.0996, entry_signal=None, entry_deal=5)
    found = told(table(), table(lost), [])
    assert named(found) == [(EXTRA, 5.0)]
    assert reason(found) == "no decision of this deployment: its deal names no signal"


def test_a_trade_of_a_signal_that_somebody_else_posted_names_it() -> None:
    found = told(table(), table(live(entry_signal=9)), signals=[signal(9, comment="by hand")])
    assert named(found) == [(EXTRA, -20.0)]
    assert reason(found) == "no decision of this deployment: it came of signal 9 (by hand)"


def test_a_trade_that_was_decided_and_not_backtested_names_its_bar() -> None:
    found = told(table(), table(live()))
    assert reason(found) == (
        "decided on the bar 2026-03-03 08:00 UTC (the wish turned from flat to long), where the backtest opens nothing"
    )


def test_a_signal_that_opened_two_positions_is_named() -> None:
    found = told(table(expected()), table(live(), live(position=79, entry_deal=79)))
    assert (found.agreeing, found.score) == (1, 0.5)
    assert named(found) == [(EXTRA, -20.0)]
    assert reason(found) == "signal 1 opened a second position"


def test_the_signal_of_a_trade_is_found_by_the_deal_that_its_answer_named() -> None:
    found = told(table(expected()), table(live(entry_signal=None)), signals=[signal(1, deal_ticket=77)])
    assert found.table["signal"].tolist() == [1]


# Later


def test_a_late_entry_says_which_step_took_the_time() -> None:
    steps = [("pending", 3.0, "created"), ("leased", 11.2, "for 15 s"), ("sent", 11.3, "…"), ("executed", 11.5, "…")]
    found = told(table(expected()), table(live(entry_time=at(1, 11.5))), signals=[signal(1, *steps)])
    [row] = found.differences.to_dict("records")
    assert (row["kind"], row["what"]) == (LATER, "entered 11.5 s later")
    assert row["reason"] == "decided 3.0 s after the bar was over, leased 8.2 s after it was posted"
    assert found.table["outcome"].tolist() == [LATER]


def test_an_entry_that_was_decided_late_says_so() -> None:
    late = decision(decided_at=utc_text(at(1, 300)))
    signals = [signal(1, ("leased", 301, "…"), ("sent", 301, "…"), created_at=utc_text(at(1, 300)))]
    found = told(table(expected()), table(live(entry_time=at(1, 301))), [late], signals=signals)
    assert reason(found) == "decided 300.0 s after the bar was over, late after a restart or a pause of the feed"


def test_a_turn_waits_for_the_position_before_it() -> None:
    turned = decision(action="reverse", held=-1, close_signal_id=5)
    signals = [signal(1, ("leased", 41, "…"), created_at=utc_text(at(1, 40)))]
    found = told(table(expected()), table(live(entry_time=at(1, 41.5))), [turned], signals=signals)
    assert reason(found) == "posted 37.0 s after it was decided, once the position before it was closed"


def test_what_the_price_did_meanwhile_is_the_cost_of_being_late() -> None:
    waited = live(entry_time=at(1, 20), entry_price=1.1005, entry_bid=1.1004, entry_ask=1.1005)
    found = told(table(expected()), table(waited))
    assert named(found) == [(LATER, 0.0), (DEARER, 4.0)]
    assert found.differences["reason"].tolist()[1] == "moved 4.0 pips while waiting"
    assert found.cost_pips == pytest.approx(4)
    tolerant = told(table(expected()), table(waited), tolerances=Tolerances(pips=5))
    assert named(tolerant) == [(LATER, 4.0)]


def test_a_decision_stays_with_its_trade_however_late_it_was_filled() -> None:
    """The second of two trades is missing; the first was filled when the second should have been."""
    found = told(
        table(expected(1), expected(4)),
        table(live(1, entry_time=at(4, 3))),
        [decision(0), decision(3, entry_signal_id=None, state="refused", reason="paused")],
    )
    assert found.differences[["kind", "reason"]].to_numpy().tolist() == [
        [LATER, "filled 10800.0 s after it was decided"],
        [MISSING, "refused: paused"],
    ]


def test_a_late_exit_is_told_with_its_own_signal() -> None:
    away = decision(2, action="exit", wanted=0, close_signal_id=2, entry_signal_id=None)
    closing = signal(2, ("leased", 7230, "…"), created_at=utc_text(at(3, 3)), deal_ticket=78)
    found = told(table(expected()), table(live(exit_time=at(3, 31))), [decision(), away], signals=[signal(1), closing])
    [row] = found.differences.to_dict("records")
    assert (row["kind"], row["what"]) == (LATER, "left 31.0 s later")
    assert row["reason"] == "leased 27.0 s after it was posted"


# Dearer


def test_a_dear_fill_is_taken_apart() -> None:
    """Bid 0.2 pips up, spread 1.4 for 1.0, filled 0.3 above the ask: 0.9 pips in all."""
    dear = live(entry_price=1.10019, entry_bid=1.10002, entry_ask=1.10016)
    found = told(table(expected()), table(dear))
    assert named(found) == [(DEARER, 0.9)]
    assert reason(found) == "spread 0.4 pips, slippage 0.3 pips, moved 0.2 pips while waiting"
    assert found.differences["what"].tolist() == ["entered 0.9 pips dearer"]


def test_a_better_fill_has_the_other_sign() -> None:
    better = live(entry_price=1.0999, entry_bid=1.0998, entry_ask=1.0999)
    found = told(table(expected()), table(better))
    assert named(found) == [(DEARER, -2.0)]
    assert reason(found) == "moved −2.0 pips while waiting"
    assert found.differences["what"].tolist() == ["entered 2.0 pips better"]
    assert found.cost_pips == pytest.approx(-2)


def test_a_short_pays_the_spread_when_it_is_covered() -> None:
    """Covered at 1.1005: the bid stands at 1.1002 (2.0 up), the spread is 2.5 for 1.0, the fill 0.5 off."""
    sold = live(**short(exit_price=1.1005, entry_bid=1.1020, entry_ask=1.1021, exit_bid=1.1002, exit_ask=1.10045))
    found = told(table(expected(**short())), table(sold))
    assert named(found) == [(DEARER, 4.0)]
    assert reason(found) == "spread 1.5 pips, slippage 0.5 pips, moved 2.0 pips while waiting"
    assert found.differences["what"].tolist() == ["left 4.0 pips dearer"]


def test_a_short_enters_at_the_bid() -> None:
    sold = live(**short(entry_price=1.1018, entry_bid=1.10185, entry_ask=1.1040))
    found = told(table(expected(**short())), table(sold))
    assert named(found) == [(DEARER, 2.0)]
    assert reason(found) == "slippage 0.5 pips, moved 1.5 pips while waiting"


def test_without_a_tick_the_parts_are_not_known() -> None:
    dear = live(entry_price=1.1003, entry_bid=np.nan, entry_ask=np.nan)
    assert reason(told(table(expected()), table(dear))) == "no tick is kept of that moment"


def test_a_stop_that_slipped_says_by_how_much() -> None:
    stopped = {"exit_price": 1.0990, "exit_decided": pd.NaT}
    ours = expected(exit_reason="stop", **stopped)
    found = told(table(ours), table(live(exit_reason="sl", exit_time=at(3, 1800), exit_price=1.09886)))
    assert named(found) == [(DEARER, 1.4)]
    assert reason(found) == "slippage 1.4 pips at the stop"


def test_prices_within_the_tolerance_agree_and_still_count() -> None:
    found = told(table(expected()), table(live(entry_price=1.10011)))
    assert found.agreeing == 1
    assert found.cost_pips == pytest.approx(0.1)


# Different size


def test_a_trade_of_half_the_size_makes_half_the_pips() -> None:
    asked = decision(inputs={"circumstances": {"equity": 5000.0}})
    found = told(table(expected()), table(live(size=5_000.0)), [asked], signals=[signal(1, volume=0.05)])
    assert named(found) == [(RESIZED, 10.0)]
    assert reason(found) == "0.05 lots were decided of an equity of 5,000.00"
    assert found.differences["what"].tolist() == ["0.05 lots for 0.1"]
    assert found.cost_pips == pytest.approx(10)


def test_a_volume_that_the_terminal_changed_is_named() -> None:
    part = table(live(size=4_000.0))
    assert (
        reason(told(table(expected()), part, signals=[signal(1)]))
        == "0.1 lots were asked for, the terminal traded 0.04"
    )
    unsaid = "the signal named no volume: the Expert Advisor chose it"
    assert reason(told(table(expected()), part, signals=[signal(1, volume=None)])) == unsaid


def test_costs_of_a_pair_add_up_whatever_differs() -> None:
    """Half the size, 2 pips dearer in, 3 worse out: 20 were expected, 15 × 0.5 were made."""
    theirs = live(size=5_000.0, entry_price=1.1003, exit_price=1.1018)
    found = told(table(expected()), table(theirs))
    assert named(found) == [(RESIZED, 10.0), (DEARER, 1.0), (DEARER, 1.5)]
    assert found.cost_pips == pytest.approx(12.5)
    assert found.table["outcome"].tolist() == [f"{RESIZED}, {DEARER}"]


@pytest.mark.parametrize("which", ["entry_price", "exit_price"])
def test_a_price_is_held_against_the_tolerance_whatever_the_size(which: str) -> None:
    """0.15 pips are beyond 0.1 also where half the size makes them 0.075."""
    worse = {"entry_price": 1.100115, "exit_price": 1.102085}[which]
    found = told(table(expected()), table(live(size=5_000.0, **{which: worse})))
    assert named(found) == [(RESIZED, 10.0), (DEARER, 0.075)]


# Ended otherwise

GONE = decision(2, action="exit", wanted=0, close_signal_id=2, entry_signal_id=None, reason="flat is wanted")
STOPPED = {"exit_reason": "stop", "exit_price": 1.0990, "exit_decided": pd.NaT}
ENDINGS: dict[str, tuple[dict[str, Any], dict[str, Any], list[Decision], str]] = {
    "by hand": ({}, {"exit_reason": "client"}, [], "closed by hand in the terminal"),
    "stop-out": ({}, {"exit_reason": "so"}, [], "the broker closed it for lack of margin"),
    "stopped live only": ({}, {"exit_reason": "sl"}, [], "the terminal's prices reached the stop, the bars did not"),
    "stopped in the bars only": (
        {**STOPPED, "exit_price": 1.1021}, {}, [], "the bars reached the stop, the terminal's prices did not",
    ),
    "stopped in another bar": (
        STOPPED, {"exit_reason": "sl", "exit_price": 1.0990, "exit_time": at(5)}, [],
        "the terminal's prices reached the stop in another bar",
    ),
    "not closed: signal expired": (
        {}, opened(), [decision(), decision(2, action="exit", wanted=0, entry_signal_id=None, close_signal_id=4)],
        "signal 4 expired: no terminal fetched it",
    ),
    "not closed: not decided": (
        {}, opened(), [decision()],
        "not decided: the deployment was not at work at the close of the bar 2026-03-03 10:00 UTC",
    ),
    "not closed: not asked": (
        {}, opened(), [decision(), decision(2, action="none", entry_signal_id=None, reason="long is wanted")],
        "no exit was asked for: long is wanted",
    ),
    "closed early by a decision": (
        {}, {"exit_time": at(2.5)}, [decision(), GONE], "decided on the bar 2026-03-03 10:00 UTC: flat is wanted",
    ),
    "not closed: the bar before the exit counts": (
        {"exit_decided": None}, opened(), [decision(), decision(2, action="none", entry_signal_id=None, reason="kept")],
        "no exit was asked for: kept",
    ),
    "not closed: no money in the backtest": (
        {"exit_reason": "stop-out"}, opened(), [], "the backtest's account could not hold it any longer",
    ),
    "closed, nobody knows how": (
        {}, {"exit_reason": "", "exit_time": at(2.5), "exit_deal": None}, [], "how it was closed is not told",
    ),
    "closed by nobody": (
        {}, {"exit_time": at(2.5), "exit_deal": 99}, [], "closed by a program: no decision of this deployment",
    ),
    "open in the bars only": (
        opened(exit_decided=pd.NaT), {}, [decision(), GONE], "decided on the bar 2026-03-03 10:00 UTC: flat is wanted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDINGS)
def test_a_trade_that_ended_otherwise_says_why(case: str) -> None:
    changes, others, decisions, words = ENDINGS[case]
    signals = [signal(1), signal(2, deal_ticket=78), signal(4, ("pending", 3, ""), ("expired", 60, ""))]
    found = told(table(expected(**changes)), table(live(**others)), decisions or None, signals=signals)
    assert found.differences["kind"].tolist() == [ENDED]
    assert reason(found) == words


def test_what_another_end_cost_is_the_difference_of_the_exits() -> None:
    found = told(table(expected()), table(live(exit_reason="tp", exit_price=1.1051)))
    assert named(found) == [(ENDED, -30.0)]
    assert found.differences["what"].tolist() == [
        "backtest: signal 2026-03-03 11:00:00; terminal: target 2026-03-03 11:00:03"
    ]


def test_while_one_is_open_only_the_entries_count() -> None:
    found = told(table(expected()), table(live(**opened(entry_price=1.1004))))
    assert [kind for kind, _ in named(found)] == [DEARER, ENDED]
    assert found.cost_pips == pytest.approx(3)
    assert found.table["outcome"].tolist() == [f"{DEARER}, {ENDED}"]


def test_what_is_open_in_both_agrees() -> None:
    assert told(table(expected(**opened())), table(live(**opened()))).agreeing == 1


def test_a_stop_is_reached_at_any_moment_of_its_bar() -> None:
    stopped = {"exit_price": 1.0990}
    for seconds, kinds in ((0, []), (3_599, []), (3_700, [ENDED])):
        theirs = live(exit_reason="sl", exit_time=at(3, seconds), **stopped)
        found = told(table(expected(exit_reason="stop", exit_decided=pd.NaT, **stopped)), table(theirs))
        assert found.differences["kind"].tolist() == kinds, seconds


@pytest.mark.parametrize("side", [0, 1])
def test_a_table_that_cannot_be_matched_is_refused_also_beside_an_empty_one(side: int) -> None:
    tables = [table(), table()]
    tables[side] = table(expected()).drop(columns="exit_price")
    with pytest.raises(InputError, match="has no column exit_price"):
        told(tables[0], tables[1], [])


# Days


def test_a_trade_belongs_to_the_trading_day_of_its_entry() -> None:
    found = told(table(expected(13), expected(14)), table(), [])
    assert found.days() == ["2026-03-03", "2026-03-04"]
    first = found.of_day("2026-03-03", is_over=False)
    assert (first.expected, first.day, len(first.differences)) == (1, "2026-03-03", 1)
    assert first.sentence().endswith("The day is not over.")
    assert found.of_day("2026-03-05").score is None


def test_the_table_can_be_saved_as_csv() -> None:
    found = told(table(expected(), expected(4)), table(live()))
    text = csv_bytes(found.table).decode("utf-8-sig")
    assert len(text.splitlines()) == 3
    assert "2026-03-03 09:00:00" in text
    assert csv_bytes(found.differences).decode("utf-8-sig").splitlines()[0].startswith("kind,entry_time (UTC),side")


# Laws

TRADES = st.lists(
    st.tuples(st.sampled_from([1, -1]), st.integers(-50, 50), st.integers(1, 20), st.sampled_from(["stop", "signal"])),
    min_size=1,
    max_size=12,
)


def backtest_of(plans: list[tuple[int, int, int, str]]) -> pd.DataFrame:
    """A trade every four hours with so many pips and lots."""
    rows = []
    for place, (side, pips, lots, how) in enumerate(plans):
        entry = 1.1 + place / 1000
        rows.append(
            expected(
                4 * place + 1, side="long" if side > 0 else "short", size=side * lots * 1000.0, entry_price=entry,
                exit_price=entry + side * pips / 10_000, exit_reason=how,
            )
        )  # fmt: skip
    return table(*rows)


@settings(deadline=None, max_examples=15)
@given(TRADES)
def test_a_table_agrees_with_itself(plans: list[tuple[int, int, int, str]]) -> None:
    trades = backtest_of(plans)
    found = told(trades, trades, [])
    assert (found.score, found.cost_pips, found.agreeing) == (1.0, 0.0, len(trades))
    assert found.differences.empty


@settings(deadline=None, max_examples=30)
@given(TRADES, st.data())
def test_what_was_done_to_one_trade_is_named_and_nothing_else(
    plans: list[tuple[int, int, int, str]], data: st.DataObject
) -> None:
    trades = backtest_of(plans)
    which = data.draw(st.integers(0, len(trades) - 1))
    done = data.draw(st.sampled_from(["dropped", "doubled", "shifted", "resized", "dearer"]))
    theirs, kind = (
        trades.copy(),
        {"dropped": MISSING, "doubled": EXTRA, "shifted": LATER, "resized": RESIZED}.get(done, DEARER),
    )
    pips = data.draw(st.integers(1, 30))
    if done == "dropped":
        theirs = theirs.drop(index=which)
    elif done == "doubled":
        theirs = pd.concat([theirs, theirs.iloc[[which]]])
    elif done == "shifted":
        theirs.loc[which, "entry_time"] += pd.Timedelta(seconds=data.draw(st.integers(11, 3_000)))
    elif done == "resized":
        theirs.loc[which, "size"] *= 2
    else:
        theirs.loc[which, "entry_price"] += (1 if theirs.loc[which, "side"] == "long" else -1) * pips / 10_000
    found = told(trades, theirs.sample(frac=1, random_state=pips), [])
    assert found.differences["kind"].tolist() == [kind]
    assert found.counts == {**dict.fromkeys(KINDS, 0), kind: 1}
    assert found.differences["entry_time"].tolist() == [trades.loc[which, "entry_time"]]
    result = float(plans[which][1])
    cost = {"dropped": result, "doubled": -result, "shifted": 0.0, "resized": -result, "dearer": float(pips)}[done]
    assert found.cost_pips == pytest.approx(cost, abs=1e-6)
    assert found.differences["cost_pips"].tolist() == [pytest.approx(cost, abs=1e-6)]
    assert found.agreeing == len(trades) - (done != "doubled")
    assert found.score == pytest.approx(found.agreeing / max(len(trades), len(theirs)))


@settings(deadline=None, max_examples=15)
@given(TRADES, TRADES)
def test_costs_are_what_the_two_made_and_every_trade_has_a_row(
    plans: list[tuple[int, int, int, str]], others: list[tuple[int, int, int, str]]
) -> None:
    """Of whatever tables: the cost is the backtest's pips minus those live, at the size of the backtest."""
    ours, theirs = backtest_of(plans), backtest_of(others)
    found = told(ours, theirs, [])
    assert found.expected == len(ours)
    assert found.traded == len(theirs)
    assert found.agreeing <= min(len(ours), len(theirs))
    paired = found.table.dropna(subset=["expected_lots", "traded_lots"])
    alone = found.table[found.table["expected_lots"].isna() | found.table["traded_lots"].isna()]
    scaled = paired["traded_pips"] * paired["traded_lots"] / paired["expected_lots"]
    total = (paired["expected_pips"] - scaled).sum() + alone["expected_pips"].sum() - alone["traded_pips"].sum()
    assert found.cost_pips == pytest.approx(total, abs=1e-6)
    differing = found.table[found.table["outcome"] != AGREES]
    assert found.differences["cost_pips"].sum() == pytest.approx(differing["cost_pips"].sum(), abs=0.5)
