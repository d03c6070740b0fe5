from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from core.errors import InputError
from execution.backtest_manager import manager
from execution.cost_edge import CostEdge, cost_edge


def trades(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"pips": [12.0, -4.0], "size": [100_000.0, -100_000.0], "commission": [7.0, 7.0], **columns})


def strip(edge: CostEdge) -> dict[str, float]:
    return dict(zip(edge.steps()["part"], edge.steps()["pips"], strict=True))


def test_the_strip_of_two_trades_is_the_hand_computed_one() -> None:
    # One lot of EURUSD: a pip is 10 USD a trade. Pips between fills 12 and −4: 4 a trade; commission 7 USD: 0.7 pips;
    # swap −3 and +1 USD: −0.1 pips a trade. Spread 0.6 and slippage 0.4 are in the fills: 5.0 before them.
    edge = cost_edge(trades(swap=[-3.0, 1.0]), pip=0.0001, spread_pips=0.6, slippage_pips=0.4)
    assert strip(edge) == pytest.approx(
        {"gross edge": 5.0, "spread": -0.6, "slippage": -0.4, "commission": -0.7, "swap": -0.1, "net": 3.2}
    )
    assert edge.survives_pips == pytest.approx(3.2)
    assert (edge.trades, edge.pip_worth, edge.net_money) == (2, pytest.approx(20.0), pytest.approx(64.0))
    assert edge.cost_share_pct == pytest.approx(36.0)
    assert edge.sentence() == "Survives up to 3.2 pips more spread a trade; costs take 36 % of the edge."


def test_the_net_result_is_nil_at_the_spread_that_it_survives() -> None:
    given = trades(size=[100_000.0, 20_000.0], swap=[-3.0, 1.0])
    edge = cost_edge(given, pip=0.0001, spread_pips=0.6)
    dearer = given.assign(pips=given["pips"] - edge.survives_pips)
    assert cost_edge(dearer, pip=0.0001, spread_pips=0.6 + edge.survives_pips).net_money == pytest.approx(0, abs=1e-9)


def test_large_trades_weigh_more() -> None:
    # Three pips of four are traded on the trade that won: (3 × 12 − 1 × 4) / 4.
    edge = cost_edge(trades(size=[3.0, 1.0], commission=0.0), pip=1.0)
    assert edge.net == pytest.approx(8.0)


def test_commission_in_dollars_costs_pips_at_the_rate_of_the_quote_currency() -> None:
    # A lot of USDJPY at 150: a pip is 1,000 JPY or 6.667 USD, and 7 USD are 1.05 pips.
    edge = cost_edge(trades(), pip=0.01, rate=1 / 150)
    assert edge.commission == pytest.approx(1.05)
    # At 100 and 200 a pip is 10 and 5 USD: 14 USD of 15 a pip; 12 pips of 10 and −4 of 5.
    moving = cost_edge(trades(), pip=0.01, rate=pd.Series([1 / 100, 1 / 200]))
    assert moving.commission == pytest.approx(14 / 15)
    assert moving.gross == pytest.approx((120 - 20) / 15)


def test_costs_in_the_trades_go_before_those_given_for_all() -> None:
    edge = cost_edge(trades(spread_pips=[1.0, 2.0], slippage_pips=[0.0, 0.5]), pip=0.0001, spread_pips=9.0)
    assert (edge.spread, edge.slippage) == (pytest.approx(1.5), pytest.approx(0.25))
    partly = cost_edge(trades(spread_pips=[1.0, math.nan]), pip=0.0001, spread_pips=9.0)
    assert partly.spread == pytest.approx(5.0)


def test_the_strip_of_a_run_ends_at_its_profit(sample: pd.DataFrame) -> None:
    result = manager.run_backtest(
        sample, strategy_name="MA_Crossover", symbol="EURUSD", spread_pips=0.6, commission=0.00003
    )
    edge = cost_edge(result.trades, pip=0.0001, spread_pips=0.6)
    assert edge.net_money == pytest.approx(result["net_profit"])
    assert edge.trades == result["trades_count"]
    free = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD")
    # The library's spread is a share of the price and sizes follow the account, so only nearly so.
    assert edge.gross == pytest.approx(cost_edge(free.trades, pip=0.0001).gross, rel=0.05)


@pytest.mark.parametrize(
    ("pips", "words"),
    [
        ([-1.0, -2.0], "There is no edge before costs: −1.5 pips a trade."),
        ([0.5, 0.1], "Costs take more than the edge: 0.3 pips a trade before them, −0.4 pips after."),
    ],
)
def test_an_edge_that_is_lost_already_is_said_to_be(pips: list[float], words: str) -> None:
    edge = cost_edge(trades(pips=pips), pip=0.0001)
    assert edge.sentence() == words
    assert edge.survives_pips < 0


def test_without_trades_there_is_no_edge_and_no_error() -> None:
    edge = cost_edge(trades().iloc[:0], pip=0.0001)
    assert (edge.trades, edge.net_money) == (0, 0.0)
    assert math.isnan(edge.net)
    assert math.isnan(edge.cost_share_pct)
    assert edge.sentence() == "There is no trade, and so no edge to hold against costs."


@pytest.mark.parametrize(
    ("columns", "arguments", "words"),
    [
        ({}, {"pip": 0.0}, "pip=0.0 is no size of a pip"),
        ({}, {"pip": math.nan}, "pip=nan"),
        ({}, {"pip": 0.01, "rate": pd.Series([1.0, -2.0])}, "rate of trade 1 is -2"),
        ({}, {"pip": 0.01, "rate": math.nan}, "rate of trade 0 is nan"),
        ({}, {"pip": 0.01, "rate": pd.Series([1.0])}, "rate has 1 values for 2 trades"),
        ({"swap": [0.0, math.nan]}, {"pip": 0.01}, "swap of trade 1 is nan"),
        ({"pips": [math.inf, 1.0]}, {"pip": 0.01}, "pips of trade 0 is inf"),
    ],
)
def test_what_cannot_be_reckoned_with_is_refused(
    columns: dict[str, Any], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        cost_edge(trades(**columns), **arguments)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="no column 'commission'"):
        cost_edge(trades().drop(columns="commission"), pip=0.01)
