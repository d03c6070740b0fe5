from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from execution.backtest_manager import manager
from execution.strategy import Strategy
from execution.trade_match import REASONS, TradeMatch, match_trades

FIVE_SECONDS = pd.Timedelta(seconds=5)
START = pd.Timestamp("2024-01-02", tz="UTC")


def trade(minute: float, **changes: Any) -> dict[str, Any]:
    """A long trade of four hours, entered so many minutes after the start."""
    entry = START + pd.Timedelta(minutes=minute)
    return {
        "entry_time": entry,
        "exit_time": entry + pd.Timedelta(hours=4),
        "side": "long",
        "size": 1000.0,
        "entry_price": 1.1,
        "exit_price": 1.101,
        "pnl": 1.0,
        **changes,
    }


def table(*trades: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(trades) if trades else [trade(0)]).iloc[: len(trades)]


def matched(ours: pd.DataFrame, theirs: pd.DataFrame, **changes: Any) -> TradeMatch:
    limits = {"time_tolerance": FIVE_SECONDS, "price_tolerance": 0.00001, "size_tolerance": 0.01, **changes}
    return match_trades(ours, theirs, **limits)


def paired(match: TradeMatch) -> list[tuple[int, int]]:
    return list(zip(match.pairs["ours"].tolist(), match.pairs["theirs"].tolist(), strict=True))


def made(count: int, seed: int) -> pd.DataFrame:
    """Trades of two symbols and both sides over ten years."""
    chance = np.random.default_rng(seed)
    entry = START + pd.to_timedelta(np.sort(chance.integers(0, 5_000_000, count)), "min")
    return pd.DataFrame(
        {
            "symbol": chance.choice(["EURUSD", "USDJPY"], count),
            "entry_time": entry,
            "exit_time": entry + pd.Timedelta(hours=5),
            "side": chance.choice(["long", "short"], count),
            "size": 1000.0,
            "entry_price": chance.normal(1.1, 0.01, count).round(5),
            "exit_price": chance.normal(1.1, 0.01, count).round(5),
            "pnl": chance.normal(0, 10, count).round(2),
        }
    )


def test_equal_tables_agree() -> None:
    ours = table(trade(0), trade(300), trade(900, side="short", size=-500.0))
    match = matched(ours, ours)
    assert match.is_equal
    assert paired(match) == [(0, 0), (1, 1), (2, 2)]
    assert match.sentence() == "All 3 trades agree."
    assert set(match.counts.values()) == {0}


def test_two_runs_of_one_strategy_agree_and_two_of_different_costs_do_not(
    bars: pd.DataFrame, wishing: Callable[..., Strategy]
) -> None:
    strategy = wishing([0, 1, 1, 1, 0, 0, -1, -1, *[0] * 12])
    one = manager.run_backtest(bars, strategy, symbol="EURUSD")
    assert matched(one.trades, manager.run_backtest(bars, strategy, symbol="EURUSD").trades).is_equal
    dear = manager.run_backtest(bars, strategy, symbol="EURUSD", commission=0.001)
    assert {"size", "pnl"} & set(matched(one.trades, dear.trades).differences["reason"])


# What theirs has otherwise, and the reasons named.
CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "a little later": ({"entry_time": START + pd.Timedelta(seconds=5)}, []),
    "too late": ({"entry_time": START + pd.Timedelta(seconds=6)}, ["time"]),
    "a bar early": ({"entry_time": START - pd.Timedelta(hours=1)}, ["time"]),
    "a point": ({"entry_price": 1.10001}, []),
    "two points": ({"entry_price": 1.10002}, ["price"]),
    "units": ({"size": 999.0, "pnl": 0.9}, ["size"]),
    "the sign of the size": ({"size": -1000.0}, []),
    "a later exit": ({"exit_time": START + pd.Timedelta(hours=5)}, ["exit"]),
    "another exit price": ({"exit_price": 1.102, "pnl": 2.0}, ["exit"]),
    "an exit that is not known": ({"exit_time": pd.NaT, "exit_price": math.nan}, ["exit"]),
    "a cent": ({"pnl": 1.01}, []),
    "two cents": ({"pnl": 1.02}, ["pnl"]),
    "a profit that is not known": ({"pnl": math.nan}, ["pnl"]),
    "everything": ({"size": 1.0, "entry_price": 2.0, "exit_price": 3.0, "pnl": 9.0}, ["size", "price", "exit"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_each_difference_of_a_pair_has_its_reason(case: str) -> None:
    changes, reasons = CHANGES[case]
    match = matched(table(trade(0)), table(trade(0, **changes)))
    assert paired(match) == [(0, 0)]
    assert match.differences["reason"].tolist() == reasons
    assert match.pairs["reasons"].tolist() == [",".join(reasons)]
    back = matched(table(trade(0, **changes)), table(trade(0)))
    assert back.differences["reason"].tolist() == reasons


def test_what_is_open_in_both_tables_agrees() -> None:
    open_one = table(trade(0, exit_time=pd.NaT, exit_price=math.nan, pnl=math.nan))
    assert matched(open_one, open_one).is_equal


def test_a_difference_says_both_values() -> None:
    match = matched(table(trade(0)), table(trade(0, entry_price=1.10007)))
    assert match.differences["words"].tolist() == ["entry at 1.1, theirs entry at 1.10007"]
    assert match.pairs["entry_price"].tolist() == pytest.approx([0.00007])
    assert match.sentence() == "0 of 1 trades agree with theirs (1): 1 at another price."


def test_trades_without_a_partner_are_missing_or_extra() -> None:
    ours, theirs = table(trade(0), trade(300), trade(600)), table(trade(0), trade(600), trade(2000))
    match = matched(ours, theirs)
    assert paired(match) == [(0, 0), (2, 1)]
    assert match.differences[["reason", "ours", "theirs"]].astype(object).values.tolist() == [
        ["missing", 1, pd.NA],
        ["extra", pd.NA, 2],
    ]
    assert match.sentence() == "2 of 3 trades agree with theirs (3): 1 only in ours, 1 only in theirs."


def test_a_missing_trade_does_not_shift_those_after_it() -> None:
    # Every hour one; theirs lacks the first and has one more at the end, all within the window of the next.
    ours, theirs = table(*map(trade, range(0, 600, 60))), table(*map(trade, range(60, 660, 60)))
    match = matched(ours, theirs, window=pd.Timedelta(hours=2))
    assert paired(match) == [(row, row - 1) for row in range(1, 10)]
    assert match.counts["missing"] == match.counts["extra"] == 1


def test_the_other_side_and_another_symbol_are_other_trades() -> None:
    match = matched(table(trade(0)), table(trade(0, side="short")))
    assert match.differences["reason"].tolist() == ["missing", "extra"]
    named = matched(table(trade(0, symbol="EURUSD")), table(trade(0, symbol="USDJPY")))
    assert named.differences["reason"].tolist() == ["missing", "extra"]


def test_beyond_the_window_a_trade_is_not_the_same_one() -> None:
    ours, theirs = table(trade(0)), table(trade(61))
    assert matched(ours, theirs).counts["missing"] == 1
    assert matched(ours, theirs, window=pd.Timedelta(minutes=61)).counts == dict.fromkeys(REASONS, 0) | {
        "time": 1,
        "exit": 1,
    }
    assert matched(ours, theirs, time_tolerance=pd.Timedelta(hours=2)).is_equal


def test_of_trades_entered_together_equal_sizes_go_together() -> None:
    ours = table(trade(0, size=100.0), trade(0, size=200.0), trade(0, size=300.0))
    theirs = table(trade(0, size=300.0), trade(0, size=200.0))
    match = matched(ours, theirs)
    assert sorted(paired(match)) == [(1, 1), (2, 0)]
    assert match.differences["reason"].tolist() == ["missing"]


def test_duplicates_are_paired_one_to_one() -> None:
    match = matched(table(*[trade(0)] * 5), table(*[trade(0)] * 3))
    assert len(match.pairs) == match.pairs["ours"].nunique() == match.pairs["theirs"].nunique() == 3
    assert match.counts["missing"] == 2
    assert match.counts["extra"] == 0


def least_cost(ours: list[int], theirs: list[int], reach: int) -> float:
    """The least that unpaired trades (half the reach each) and distances can cost, by trying every alignment."""
    costs = np.zeros((len(ours) + 1, len(theirs) + 1))
    costs[:, 0] = np.arange(len(ours) + 1) * (reach + 0.5) / 2
    costs[0, :] = np.arange(len(theirs) + 1) * (reach + 0.5) / 2
    for i, mine in enumerate(ours, 1):
        for j, other in enumerate(theirs, 1):
            alone = min(costs[i - 1, j], costs[i, j - 1]) + (reach + 0.5) / 2
            costs[i, j] = min(alone, costs[i - 1, j - 1] + abs(mine - other))
    return float(costs[-1, -1])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 40), max_size=9).map(sorted),
    st.lists(st.integers(0, 40), max_size=9).map(sorted),
    st.integers(0, 12),
)
def test_no_other_pairing_is_nearer(ours: list[int], theirs: list[int], reach: int) -> None:
    # In microseconds, the unit in which distances are compared; half of one decides in favour of pairing.
    def at(moments: list[int]) -> pd.DataFrame:
        return table(*[trade(0, entry_time=START + pd.Timedelta(microseconds=moment)) for moment in moments])

    tolerance = pd.Timedelta(microseconds=reach)
    match = matched(at(ours), at(theirs), time_tolerance=tolerance, window=tolerance)
    apart = [abs(ours[one] - theirs[two]) for one, two in paired(match)]
    unpaired = len(ours) + len(theirs) - 2 * len(apart)
    assert max(apart, default=0) <= reach
    assert sum(apart) + unpaired * (reach + 0.5) / 2 == least_cost(ours, theirs, reach)


def test_the_order_of_the_rows_does_not_matter() -> None:
    ours, theirs = made(400, 1), made(400, 1).drop(index=range(0, 400, 9))
    theirs["entry_time"] += pd.to_timedelta(np.arange(len(theirs)) % 7, "s")
    plain = matched(ours, theirs)
    for seed in range(3):
        one, two = ours.sample(frac=1, random_state=seed), theirs.sample(frac=1, random_state=seed + 9)
        mixed = matched(one, two)
        told = ["reason", "symbol", "side", "entry_time", "words"]
        pd.testing.assert_frame_equal(mixed.differences[told], plain.differences[told])
        assert mixed.sentence() == plain.sentence()
        assert {(one.index[a], two.index[b]) for a, b in paired(mixed)} == {
            (ours.index[a], theirs.index[b]) for a, b in paired(plain)
        }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", ["the same", "another", "some lacking", "all at once"])
def test_thirty_thousand_trades_are_matched(case: str) -> None:
    ours = made(30_000, 1)
    if case == "the same":
        assert matched(ours, ours.sample(frac=1, random_state=1)).is_equal
    elif case == "another":
        match = matched(ours, made(30_000, 2))
        assert len(match.pairs) + match.counts["missing"] == len(match.pairs) + match.counts["extra"] == 30_000
    elif case == "some lacking":
        match = matched(ours, ours.drop(index=range(0, 30_000, 5)), window=FIVE_SECONDS)
        assert match.counts == dict.fromkeys(REASONS, 0) | {"missing": 6000}
    else:
        together = ours.assign(entry_time=START, symbol="EURUSD", side="long")
        match = matched(together, together.iloc[5000:])
        assert match.counts == dict.fromkeys(REASONS, 0) | {"missing": 5000}


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 2), (2, 0)])
def test_empty_tables_are_no_error(ours: int, theirs: int) -> None:
    trades = table(trade(0), trade(300))
    match = matched(trades.iloc[:ours], trades.iloc[:theirs])
    assert (match.counts["missing"], match.counts["extra"]) == (ours, theirs)
    assert match.sentence() == ("Neither table has a trade." if ours == theirs else match.sentence())


@pytest.mark.parametrize(
    ("changes", "limits", "words"),
    [
        ({"side": "buy"}, {}, "side of row 0 of theirs is 'buy'"),
        ({"entry_time": pd.Timestamp("2024-01-02")}, {}, "entry_time of theirs has no time zone"),
        ({}, {"price_tolerance": -1.0}, "price_tolerance=-1.0"),
        ({}, {"size_tolerance": math.nan}, "size_tolerance=nan"),
        ({}, {"time_tolerance": pd.Timedelta(seconds=-1)}, "time_tolerance=-1 days"),
    ],
)
def test_what_cannot_be_matched_is_refused(changes: dict[str, Any], limits: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        matched(table(trade(0)), table(trade(0, **changes)), **limits)


def test_a_missing_column_and_a_missing_time_are_named() -> None:
    with pytest.raises(InputError, match="The table theirs has no column pnl"):
        matched(table(trade(0)), table(trade(0)).drop(columns="pnl"))
    lacking = table(trade(0), trade(1))
    lacking.loc[1, "entry_time"] = pd.NaT
    with pytest.raises(InputError, match="entry_time of row 1 of ours"):
        matched(lacking, table(trade(0)))
