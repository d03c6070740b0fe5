"""The deals of a terminal made into trades, by position."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.live.fills import FILL_COLUMNS, parts_of_deals, signal_of, trades_of_deals, unpaired_deals
from execution.trade_match import REQUIRED, match_trades

START_MS = 1_772_524_800_000  # 2026-03-03 08:00 UTC
START = pd.Timestamp("2026-03-03 08:00", tz="UTC")


def deal(number: int, minute: float, side: str, entry: str, price: float, **changes: Any) -> dict[str, Any]:
    """A deal of 0.1 lots so many minutes after the start, of position 1 and without costs."""
    return {
        "deal": number, "order": number, "position": 1, "symbol": "EURUSD", "side": side, "entry": entry,
        "volume": 0.1, "price": price, "commission": 0.0, "swap": 0.0, "profit": 0.0,
        "time_ms": START_MS + int(minute * 60_000), "reason": "expert", "comment": "", "magic": 1, **changes,
    }  # fmt: skip


def at(minute: float) -> pd.Timestamp:
    return START + pd.Timedelta(minutes=minute)


def test_an_entry_and_its_exit_are_one_trade_with_its_money_and_signal() -> None:
    deals = [
        deal(7, 0, "buy", "in", 1.1, comment="sig:12", commission=-0.35),
        deal(
            8, 30.5, "sell", "out", 1.101, reason="sl", commission=-0.35, swap=-0.1, profit=10.0, comment="[sl 1.101]"
        ),
    ]
    [trade] = trades_of_deals(deals, "EURUSD").to_dict("records")
    assert (trade["entry_time"], trade["exit_time"]) == (at(0), at(30.5))
    assert (trade["side"], trade["size"], trade["entry_price"], trade["exit_price"]) == ("long", 10_000, 1.1, 1.101)
    assert (trade["position"], trade["entry_deal"], trade["exit_deal"]) == (1, 7, 8)
    assert (trade["exit_reason"], trade["entry_signal"], trade["parts"]) == ("sl", 12, 1)
    assert trade["commission"] == pytest.approx(0.7)
    assert trade["pnl"] == pytest.approx(10 - 0.7 - 0.1)
    assert pd.isna(trade["exit_signal"])


def test_the_table_has_what_the_matcher_asks_for_also_when_it_is_empty() -> None:
    for trades in (trades_of_deals([], "EURUSD"), trades_of_deals([deal(1, 0, "sell", "in", 1.1)], "EURUSD")):
        assert list(trades.columns) == list(FILL_COLUMNS)
        assert set(REQUIRED) <= set(trades.columns)
        limits = {"time_tolerance": pd.Timedelta(0), "price_tolerance": 0.0, "size_tolerance": 0.0}
        assert match_trades(trades, trades, **limits).is_equal


def test_a_position_that_is_open_has_no_exit() -> None:
    [trade] = trades_of_deals([deal(1, 0, "sell", "in", 1.1)], "EURUSD").to_dict("records")
    assert (trade["side"], trade["size"], trade["exit_reason"]) == ("short", -10_000, "")
    assert pd.isna(trade["exit_time"])
    assert math.isnan(trade["exit_price"])
    assert math.isnan(trade["pnl"])


def test_an_exit_closes_the_position_it_names_and_no_neighbour() -> None:
    deals = [
        deal(1, 0, "buy", "in", 1.1, position=1),
        deal(2, 1, "buy", "in", 1.2, position=2),
        deal(3, 2, "sell", "out", 1.3, position=2),
    ]
    trades = trades_of_deals(deals, "EURUSD")
    assert trades["position"].tolist() == [1, 2]
    assert trades["exit_price"].isna().tolist() == [True, False]
    assert trades.loc[1, ["entry_price", "exit_price"]].tolist() == [1.2, 1.3]


def test_a_position_closed_in_parts_is_one_trade_at_the_mean_price_and_its_parts_keep_the_money() -> None:
    deals = [
        deal(1, 0, "buy", "in", 1.1, volume=0.3, commission=-0.3),
        deal(2, 5, "sell", "out", 1.101, volume=0.1, profit=10.0, reason="client"),
        deal(3, 9, "sell", "out", 1.104, volume=0.2, profit=80.0, reason="tp"),
    ]
    [trade] = trades_of_deals(deals, "EURUSD").to_dict("records")
    assert (trade["size"], trade["parts"], trade["exit_time"]) == (pytest.approx(30_000), 2, at(9))
    assert trade["exit_price"] == pytest.approx(1.103)
    assert (trade["exit_reason"], trade["exit_deal"]) == ("tp", 3)
    assert trade["pnl"] == pytest.approx(89.7)
    assert parts_of_deals(deals, "EURUSD")["pnl"].sum() == pytest.approx(89.7)


def test_while_a_part_is_open_the_trade_is() -> None:
    deals = [deal(1, 0, "buy", "in", 1.1, volume=0.3), deal(2, 5, "sell", "out", 1.2, profit=10.0)]
    [trade] = trades_of_deals(deals, "EURUSD").to_dict("records")
    assert trade["size"] == pytest.approx(30_000)
    assert pd.isna(trade["exit_time"])
    assert math.isnan(trade["pnl"])


def test_an_order_filled_in_two_deals_is_one_trade() -> None:
    deals = [
        deal(1, 0, "buy", "in", 1.1, volume=0.06, comment="sig:3"),
        deal(2, 0.01, "buy", "in", 1.2, volume=0.04, comment="sig:3"),
        deal(3, 5, "sell", "out", 1.3),
    ]
    [trade] = trades_of_deals(deals, "EURUSD").to_dict("records")
    assert (trade["size"], trade["entry_signal"], trade["entry_time"]) == (pytest.approx(10_000), 3, at(0))
    assert trade["entry_price"] == pytest.approx(1.14)


def test_on_a_netting_account_a_reversal_ends_one_trade_and_begins_the_next() -> None:
    deals = [
        deal(1, 0, "buy", "in", 1.1, comment="sig:1"),
        deal(2, 5, "sell", "inout", 1.2, volume=0.2, profit=100.0, comment="sig:2"),
        deal(3, 9, "buy", "inout", 1.3, volume=0.2, profit=-100.0, comment="sig:3"),
    ]
    trades = trades_of_deals(deals, "EURUSD")
    assert trades["side"].tolist() == ["long", "short", "long"]
    assert trades["size"].tolist() == pytest.approx([10_000, -10_000, 10_000])
    assert trades["entry_signal"].tolist() == [1, 2, 3]
    assert trades["exit_signal"].tolist()[:2] == [2, 3]
    assert trades["exit_time"].tolist()[:2] == [at(5), at(9)]
    assert trades["exit_time"].isna().tolist() == [False, False, True]


def test_positions_closed_by_each_other_end_both() -> None:
    deals = [
        deal(1, 0, "buy", "in", 1.1, position=1),
        deal(2, 1, "sell", "in", 1.2, position=2),
        deal(3, 5, "sell", "out_by", 1.2, position=1),
        deal(4, 5, "buy", "out_by", 1.1, position=2),
    ]
    assert trades_of_deals(deals, "EURUSD")["exit_time"].tolist() == [at(5), at(5)]


def test_only_the_symbol_asked_for_counts_in_whatever_spelling() -> None:
    deals = [deal(1, 0, "buy", "in", 1.1, symbol="EURUSD.m"), deal(2, 0, "buy", "in", 1.3, symbol="GBPUSD", position=2)]
    assert trades_of_deals(deals, "EUR/USD")["symbol"].tolist() == ["EURUSD"]


def test_lots_of_gold_are_a_hundred_ounces() -> None:
    [trade] = trades_of_deals([deal(1, 0, "buy", "in", 2000.0, symbol="XAUUSD")], "XAUUSD").to_dict("records")
    assert trade["size"] == pytest.approx(10)


def test_an_exit_without_its_entry_is_no_trade_and_is_told() -> None:
    deals = [deal(5, 0, "sell", "out", 1.1, position=9)]
    assert trades_of_deals(deals, "EURUSD").empty
    [words] = unpaired_deals(deals, "EURUSD")
    assert words == "Closed without an opening that a deal tells, and so no trade: 5."


def test_an_exit_of_a_position_that_nobody_opened_leaves_its_neighbours_open() -> None:
    deals = [deal(1, 0, "buy", "in", 1.1, position=1), deal(2, 5, "sell", "out", 1.2, position=9)]
    assert trades_of_deals(deals, "EURUSD")["exit_time"].isna().tolist() == [True]
    assert unpaired_deals(deals, "EURUSD") == ["Closed without an opening that a deal tells, and so no trade: 2."]


def test_deals_without_a_position_are_not_joined_into_one_trade() -> None:
    deals = [deal(1, 0, "buy", "in", 1.1, position=0), deal(2, 1, "buy", "in", 1.2, position=0)]
    assert trades_of_deals(deals, "EURUSD")["entry_price"].tolist() == [1.1, 1.2]


@pytest.mark.parametrize(
    ("comment", "signal"),
    [("sig:12", 12), ("my sig:7 note", 7), ("sig:", None), ("insig:3", None), ("", None), (None, None), ("sig:1e", 1)],
)
def test_a_signal_is_read_from_the_comment(comment: str | None, signal: int | None) -> None:
    assert signal_of(comment) == signal


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 5), st.integers(1, 5), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_nothing_is_lost_or_doubled_in_whatever_order_deals_come(
    plans: list[tuple[int, int, int, bool]], chance: Any
) -> None:
    """Positions of so many hundredths, of which a part or all is closed: sizes, exits and money add up."""
    deals, number, open_lots, profits = [], 0, 0.0, 0.0
    for position, (side, lots, closed, is_closed) in enumerate(plans, 1):
        number += 1
        side_word, back = ("buy", "sell") if side > 0 else ("sell", "buy")
        deals.append(deal(number, position, side_word, "in", 1.1, position=position, volume=lots / 100))
        left = lots
        if is_closed:
            out = min(lots, closed)
            number += 1
            deals.append(
                deal(number, position + 30, back, "out", 1.2, position=position, volume=out / 100, profit=float(number))
            )
            left, profits = lots - out, profits + number
        open_lots += left / 100
    chance.shuffle(deals)
    trades, parts = trades_of_deals(deals, "EURUSD"), parts_of_deals(deals, "EURUSD")
    assert sorted(trades["position"]) == list(range(1, len(plans) + 1))
    assert trades["size"].abs().sum() / 100_000 == pytest.approx(sum(lots for _, lots, _, _ in plans) / 100)
    assert parts.loc[parts["exit_time"].isna(), "size"].abs().sum() / 100_000 == pytest.approx(open_lots)
    assert parts["pnl"].sum() == pytest.approx(profits)
    assert np.array_equal(np.sign(trades["size"]), np.where(trades["side"] == "long", 1, -1))
