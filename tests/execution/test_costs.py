"""FX extras against cases reckoned by hand; the arithmetic stands beside each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError, StrategyError
from execution.backtest_manager import BacktestResult, manager
from execution.conversion import conversion_rates
from execution.costs import Costs, PerLot, check_terms, fill_assumptions
from execution.engine import swap_nights
from execution.strategy import Signals, Strategy
from market.symbols import AssetClass
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]
nan = np.nan


def flat(price: float) -> tuple[float, float, float, float]:
    return price, price, price, price


def ran(bars: pd.DataFrame, strategy: Strategy, symbol: str = "EURUSD", **options: Any) -> BacktestResult:
    given = {"cash": 10_000, "costs": Costs(lots=0.1), **options}
    return manager.run_backtest(bars, strategy, symbol=symbol, **given)


def only(result: BacktestResult) -> dict[str, Any]:
    (trade,) = result.trades.to_dict("records")
    return trade


LONG, SHORT = [0, 1, 1, 1, 0, 0], [0, -1, -1, -1, 0, 0]  # entered at the open of bar 2, left at that of bar 5


# Conversion


def test_a_yen_profit_becomes_dollars_at_the_price_of_the_exit(made: MadeBars, wishing: Wishing) -> None:
    # 122,684 units × (155.39 − 154.39) = 122,684 yen; / 155.39 = 789.52 dollars.
    bars = made([flat(154.39)] * 4 + [flat(155.39)] * 2)
    costs = Costs(account_currency="USD", lots=1.22684, lot_step=0.00001)
    result = ran(bars, wishing(LONG), "USDJPY", cash=200_000, costs=costs)
    assert only(result)["size"] == pytest.approx(122_684)
    assert only(result)["pnl"] == pytest.approx(122_684 / 155.39)
    assert round(only(result)["pnl"], 2) == 789.52
    assert result["net_profit"] == pytest.approx(789.5231, abs=1e-4)
    assert "Profit in JPY was converted by 1 / USDJPY." in result.notes
    assert result.notes[-1] == "Money is in USD."


def test_without_the_extras_the_same_trade_would_show_yen(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(154.39)] * 4 + [flat(155.39)] * 2)
    result = manager.run_backtest(bars, wishing(LONG), symbol="USDJPY", cash=122_684 * 154.39 + 1)
    assert result["net_profit"] == pytest.approx(122_684)
    assert result.notes[-1] == "Money is in JPY, the quote currency of USDJPY."


def test_a_pound_profit_becomes_dollars_at_the_rate_of_the_bar(made: MadeBars, wishing: Wishing) -> None:
    # 10,000 euros × (0.8550 − 0.8500) = 50 pounds; × 1.30, GBPUSD at the open of the exit's bar, = 65 dollars.
    bars = made([flat(0.85)] * 4 + [flat(0.855)] * 2)
    cable = made([flat(1.25)] * 5 + [(1.30, 1.40, 1.20, 1.35)])
    costs = Costs(account_currency="USD", lots=0.1)
    result = ran(bars, wishing(LONG), "EURGBP", costs=costs, margin=0.05, conversions={"GBPUSD": cable})
    assert only(result)["pnl"] == pytest.approx(65.0)
    # While it is open it is marked at the close: bar 4 stands at 0.855 and 1.25, 50 × 1.25 = 62.50.
    assert result.equity.iloc[4] == pytest.approx(10_062.50)
    assert list(result.settings.conversions) == ["GBPUSD"]


CONVERSIONS: dict[str, tuple[dict[str, float], str, float]] = {
    "the pair": ({"GBPUSD": 1.25}, "GBPUSD", 1.25),
    "its inverse": ({"USDGBP": 0.8}, "1 / USDGBP", 1.25),
    "a cross of the traded pair": ({"EURUSD": 1.02}, "1 / EURGBP × EURUSD", 1.02 / 0.85),
    "a cross of two others": ({"GBPCHF": 1.1, "USDCHF": 0.88}, "GBPCHF × 1 / USDCHF", 1.1 / 0.88),
    "the pair before a cross": ({"EURUSD": 1.02, "GBP/USD": 1.25}, "GBPUSD", 1.25),
}


@pytest.mark.parametrize("case", CONVERSIONS)
def test_a_rate_is_found_by_pair_inverse_or_cross(case: str, made: MadeBars) -> None:
    given, way, rate = CONVERSIONS[case]
    bars = made([flat(0.85)] * 5)
    series = {name: made([flat(price)] * 5) for name, price in given.items()}
    rates = conversion_rates(bars, "EURGBP", Timeframe.H1, "USD", series)
    assert rates.way == way
    np.testing.assert_allclose(rates.at_open, rate)
    np.testing.assert_allclose(rates.at_close, rate)


def test_a_rate_is_the_newest_known_and_never_a_later_one(made: MadeBars) -> None:
    # H1 bars at 00:00, 01:00 …; the pair has H4 bars at 00:00 (open 1, close 2) and 04:00 (open 3, close 4).
    bars = made([flat(0.85)] * 7)
    index = pd.DatetimeIndex(["2024-01-02 00:00", "2024-01-02 04:00"], tz="UTC", name="time")
    pair = pd.DataFrame(
        [(1.0, 9.0, 0.5, 2.0), (3.0, 9.0, 0.5, 4.0)], index=index, columns=["open", "high", "low", "close"]
    )
    rates = conversion_rates(bars, "EURGBP", Timeframe.H1, "USD", {"GBPUSD": pair})
    # At 00:00 to 03:00 the first bar's open is the newest; at 04:00 the second one's open, which has just begun.
    assert rates.at_open.tolist() == [1, 1, 1, 1, 3, 3, 3]
    # The bar of 03:00 ends at 04:00, when the first bar's close is known.
    assert rates.at_close.tolist() == [1, 1, 1, 2, 3, 3, 3]


def test_later_bars_of_the_pair_change_no_earlier_rate(made: MadeBars) -> None:
    bars = made([flat(0.85)] * 10)
    pair = made([flat(1.2 + 0.01 * row) for row in range(10)])
    whole = conversion_rates(bars, "EURGBP", Timeframe.H1, "USD", {"GBPUSD": pair})
    for cut in range(2, 10):
        prefix = conversion_rates(bars.iloc[:cut], "EURGBP", Timeframe.H1, "USD", {"GBPUSD": pair.iloc[:cut]})
        np.testing.assert_array_equal(prefix.at_open, whole.at_open[:cut])
        np.testing.assert_array_equal(prefix.at_close, whole.at_close[:cut])


def test_a_missing_conversion_is_refused_by_name(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(0.85)] * 6)
    with pytest.raises(InputError) as refusal:
        ran(bars, wishing(LONG), "EURGBP", costs=Costs(account_currency="USD"))
    assert refusal.value.what == "Profit of EURGBP is in GBP, the account in USD; no conversion series."
    assert refusal.value.cure == (
        "Pass conversions={'GBPUSD': bars}; USDGBP would do as well, or the cross through EURUSD."
    )
    with pytest.raises(InputError, match=r"no conversion series of use \(given: AUDNZD\)"):
        ran(
            bars,
            wishing(LONG),
            "EURGBP",
            costs=Costs(account_currency="USD"),
            conversions={"AUDNZD": made([flat(1.1)] * 6)},
        )


@pytest.mark.parametrize(("start", "missing"), [("2024-01-02 03:00", "2024-01-02 00:00"), ("2023-12-01", "2024-01-02")])
def test_a_conversion_that_does_not_cover_the_run_is_refused(
    made: MadeBars, wishing: Wishing, start: str, missing: str
) -> None:
    pair = made([flat(1.25)] * 6, start=start)
    with pytest.raises(InputError, match=f"GBPUSD has no rate for {missing}"):
        ran(
            made([flat(0.85)] * 6),
            wishing(LONG),
            "EURGBP",
            costs=Costs(account_currency="USD"),
            conversions={"GBPUSD": pair},
        )


# Sizing


def test_fixed_lots_are_what_is_traded(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(1.25)] * 4 + [flat(1.255)] * 2)
    result = ran(bars, wishing(LONG), margin=0.05, costs=Costs(lots=0.5))
    # 50,000 × 0.0050 = 250.
    assert (only(result)["size"], only(result)["pnl"]) == (50_000.0, pytest.approx(250.0))


def test_lots_between_two_steps_are_rounded_down(made: MadeBars, wishing: Wishing) -> None:
    result = ran(made([flat(1.25)] * 6), wishing(SHORT), margin=0.05, costs=Costs(lots=0.579))
    assert only(result)["size"] == -57_000.0
    # Three steps of 0.1 are 0.3, although 0.3 / 0.1 is 2.9999999999999996 in floats.
    result = ran(made([flat(1.25)] * 6), wishing(LONG), margin=0.05, costs=Costs(lots=0.3, lot_step=0.1))
    assert only(result)["size"] == pytest.approx(30_000.0)


def test_a_fraction_of_the_equity_is_put_up_as_margin(made: MadeBars, wishing: Wishing) -> None:
    # Half of 10,000 at 20:1 buys 100,000 dollars' worth: 80,000 euros at 1.25.
    result = ran(made([flat(1.25)] * 6), wishing(LONG), margin=0.05, costs=Costs(fraction=0.5))
    assert only(result)["size"] == 80_000.0
    # At 1.26 it is 79,365.07… euros: 0.79 lots, not 0.80.
    result = ran(made([flat(1.26)] * 6), wishing(LONG), margin=0.05, costs=Costs(fraction=0.5))
    assert only(result)["size"] == 79_000.0


def test_all_of_the_equity_leaves_room_for_the_commission(made: MadeBars, wishing: Wishing) -> None:
    # 10,000 buys 8,000 euros at 1.25 = 0.08 lots; with 50 a lot commission a euro costs 1.2505: 7,996.8, 0.07 lots.
    bars = made([flat(1.25)] * 6)
    assert only(ran(bars, wishing(LONG), costs=Costs(slippage_pips=0.0)))["size"] == 8_000.0
    assert only(ran(bars, wishing(LONG), costs=Costs(commission_per_lot=50)))["size"] == 7_000.0
    # A minimum of 50 leaves 9,950: 7,960 euros.
    assert only(ran(bars, wishing(LONG), costs=Costs(commission_minimum=50)))["size"] == 7_000.0


def test_risk_sizes_by_the_stop_in_pips(made: MadeBars, wishing: Wishing) -> None:
    # 1 % of 10,000 = 100; a stop of 20 pips is 200 dollars a lot: half a lot. Stopped, it loses just that.
    bars = made([flat(1.25)] * 3 + [(1.25, 1.25, 1.24, 1.24)] * 3)
    result = ran(bars, wishing(LONG, stop=0.0020), margin=0.05, costs=Costs(risk_fraction=0.01))
    assert (only(result)["size"], only(result)["exit_reason"]) == (pytest.approx(50_000.0), "stop")
    assert only(result)["pnl"] == pytest.approx(-100.0)
    # 19 pips: 100 / 190 = 0.526… lots, rounded down to 0.52.
    result = ran(bars, wishing(LONG, stop=0.0019), margin=0.05, costs=Costs(risk_fraction=0.01))
    assert only(result)["size"] == pytest.approx(52_000.0)


def test_risk_on_a_yen_pair_counts_in_dollars(made: MadeBars, wishing: Wishing) -> None:
    # 1 % of 10,000 = 100 dollars; 50 pips = 0.50 yen × 100,000 / 150 = 333.33 dollars a lot: 0.30 lots.
    costs = Costs(account_currency="USD", risk_fraction=0.01, stop_pips=50)
    trade = only(ran(made([flat(150.0)] * 6), wishing(LONG), "USDJPY", margin=0.05, costs=costs))
    assert (trade["size"], trade["stop"]) == (pytest.approx(30_000.0), 149.5)


def test_stop_pips_stand_in_where_the_strategy_gives_none(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(1.25)] * 6)
    costs = Costs(risk_fraction=0.01, stop_pips=25)
    # 100 / 250 = 0.4 lots at the strategy's none; its own 20 pips win where it has them: 0.5 lots.
    assert only(ran(bars, wishing(SHORT), margin=0.05, costs=costs))["stop"] == pytest.approx(1.2525)
    assert only(ran(bars, wishing(SHORT), margin=0.05, costs=costs))["size"] == pytest.approx(-40_000.0)
    assert only(ran(bars, wishing(SHORT, stop=0.002), margin=0.05, costs=costs))["size"] == pytest.approx(-50_000.0)


def test_risk_without_any_stop_is_refused(made: MadeBars, wishing: Wishing) -> None:
    with pytest.raises(InputError, match=r"Wishing gives no stop, so what a trade risks is not known\. Give stop_pips"):
        ran(made([flat(1.25)] * 6), wishing(LONG), costs=Costs(risk_fraction=0.01))


def test_orders_without_a_stop_to_size_by_are_left_out_and_counted(made: MadeBars) -> None:
    def some_stops(bars: pd.DataFrame, _values: object) -> Signals:
        return Signals(np.array([0, 1, 1, -1, 0, 0], dtype=np.int8), np.array([nan, nan, nan, 0.002, nan, nan]))

    strategy = Strategy("Some", "Some", "Stops now and then.", "this test", 1, (), some_stops)
    result = ran(made([flat(1.25)] * 6), strategy, margin=0.05, costs=Costs(risk_fraction=0.01))
    assert only(result)["side"] == "short"
    assert "1 orders were left out: no stop to size them by." in result.notes


def test_smallest_and_largest_lot_are_kept(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(1.25)] * 6)
    result = ran(bars, wishing(LONG), margin=0.05, costs=Costs(lots=3, max_lot=1.5), cash=1e6)
    assert only(result)["size"] == 150_000.0
    # 0.05 % of 10,000 = 5 dollars over 100 pips of 1,000 dollars a lot: 0.005 lots, below the least.
    result = ran(bars, wishing(LONG, stop=0.01), margin=0.05, costs=Costs(risk_fraction=0.0005))
    assert result.trades.empty
    assert "1 orders were smaller than the smallest lot." in result.notes


def test_cash_that_does_not_reach_for_the_smallest_lot_is_refused(made: MadeBars, wishing: Wishing) -> None:
    # 1,000 euros at 1.25 need 1,250 dollars, at 20:1 62.50.
    with pytest.raises(InputError, match=r"cash=60 USD .* smallest lot of EURUSD: 0.01 lots need 62.50 USD of margin"):
        ran(made([flat(1.25)] * 6), wishing(LONG), cash=60, margin=0.05)
    assert only(ran(made([flat(1.25)] * 6), wishing(LONG), cash=63, margin=0.05, costs=Costs(lots=0.01)))


def test_an_order_beyond_the_free_margin_is_refused_and_counted(made: MadeBars, wishing: Wishing) -> None:
    # 0.1 lots at 1.25 need 12,500 of margin without leverage.
    result = ran(made([flat(1.25)] * 6), wishing(LONG))
    assert result.trades.empty
    assert "1 orders were refused for lack of margin." in result.notes


# Spread and slippage


def test_the_spread_is_paid_on_the_side_that_crosses_it(made: MadeBars, wishing: Wishing) -> None:
    # Bid bars: a long buys at 1.2502 and sells at 1.25; a short sells at 1.25 and buys back at 1.2502.
    # 10,000 × 0.0002 = 2.
    bars = made([flat(1.25)] * 6)
    for wishes, entry, exit_ in ((LONG, 1.2502, 1.25), (SHORT, 1.25, 1.2502)):
        trade = only(ran(bars, wishing(wishes), spread_pips=2, margin=0.05))
        assert (trade["entry_price"], trade["exit_price"]) == (pytest.approx(entry), pytest.approx(exit_))
        assert trade["pnl"] == pytest.approx(-2.0)
        assert (trade["spread_pips"], trade["pips"]) == (pytest.approx(2.0), pytest.approx(-2.0))


def test_an_open_position_is_worth_what_it_could_be_closed_for(made: MadeBars, wishing: Wishing) -> None:
    for wishes in (LONG, SHORT):
        result = ran(made([flat(1.25)] * 6), wishing(wishes), spread_pips=2, margin=0.05)
        assert result.equity.tolist() == pytest.approx([10_000.0, 10_000.0, 9_998.0, 9_998.0, 9_998.0, 9_998.0])


def test_the_spread_of_each_bar_is_taken_from_its_column(made: MadeBars, wishing: Wishing) -> None:
    # Points are tenths of pips: 30 points at the entry of a long, 70 at the exit of a short.
    bars = made([flat(1.25)] * 6).assign(spread_points=[0, 0, 30, 0, 0, 70])
    costs = Costs(lots=0.1, spread_from_bars=True)
    assert only(ran(bars, wishing(LONG), margin=0.05, costs=costs))["pnl"] == pytest.approx(-3.0)
    assert only(ran(bars, wishing(SHORT), margin=0.05, costs=costs))["pnl"] == pytest.approx(-7.0)


def test_a_shorts_stop_and_target_see_the_ask(made: MadeBars, wishing: Wishing) -> None:
    # Stop 10 pips above 1.25 with a spread of 2: a bid high of 1.2507 is an ask of 1.2509, 1.2508 is 1.2510.
    for high, exits in ((1.25075, ["signal"]), (1.25085, ["stop"])):
        bars = made([*[flat(1.25)] * 3, (1.25, high, 1.25, 1.25), *[flat(1.25)] * 3])
        trades = ran(bars, wishing([*SHORT, 0], stop=0.0010), spread_pips=2, margin=0.05).trades
        assert trades["exit_reason"].tolist() == exits
    assert trades["exit_price"].tolist() == [pytest.approx(1.2510)]
    # A target 10 pips below needs a bid low of 1.2488.
    for low, exits in ((1.24885, ["signal"]), (1.24875, ["target"])):
        bars = made([*[flat(1.25)] * 3, (1.25, 1.25, low, 1.25), *[flat(1.25)] * 3])
        trades = ran(bars, wishing([*SHORT, 0], target=0.0010), spread_pips=2, margin=0.05).trades
        assert trades["exit_reason"].tolist() == exits
    assert trades["exit_price"].tolist() == [pytest.approx(1.2490)]


@pytest.mark.parametrize("side", [1, -1])
def test_a_gapped_stop_fills_at_the_open_on_its_side_of_the_spread(made: MadeBars, wishing: Wishing, side: int) -> None:
    bars = made([*[flat(1.25)] * 3, *[flat(1.25 - side * 0.01)] * 3])
    trade = only(ran(bars, wishing([side * wish for wish in LONG], stop=0.001), spread_pips=2, margin=0.05))
    assert trade["exit_reason"] == "stop"
    assert trade["exit_price"] == pytest.approx(1.24 if side > 0 else 1.2602)


def test_slippage_moves_market_and_stop_fills_but_no_target(made: MadeBars, wishing: Wishing) -> None:
    costs = Costs(lots=0.1, slippage_pips=0.5)
    bars = made([flat(1.25)] * 6)
    # Half a pip at both ends of 10,000 units: 1 dollar.
    trade = only(ran(bars, wishing(SHORT), margin=0.05, costs=costs))
    assert (trade["pnl"], trade["slippage_pips"]) == (pytest.approx(-1.0), pytest.approx(1.0))
    falls = made([*[flat(1.25)] * 3, *[(1.25, 1.26, 1.24, 1.25)] * 3])
    trade = only(ran(falls, wishing(LONG, stop=0.0010), margin=0.05, costs=costs))
    assert trade["exit_price"] == pytest.approx(1.24895)
    trade = only(ran(falls, wishing(LONG, target=0.0010), margin=0.05, costs=costs))
    assert (trade["exit_price"], trade["slippage_pips"]) == (pytest.approx(1.2510), pytest.approx(0.5))


# Commission


def test_commission_per_lot_and_side_with_a_minimum(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(1.25)] * 6)
    # 0.5 lots × 3.50 = 1.75 a side.
    trade = only(ran(bars, wishing(LONG), margin=0.05, costs=Costs(lots=0.5, commission_per_lot=3.5)))
    assert (trade["commission"], trade["pnl"]) == (pytest.approx(3.5), pytest.approx(-3.5))
    # 0.1 lots × 3.50 = 0.35 lies below the minimum of 1.
    costs = Costs(lots=0.1, commission_per_lot=3.5, commission_minimum=1.0)
    result = ran(bars, wishing(LONG), margin=0.05, costs=costs)
    assert only(result)["commission"] == pytest.approx(2.0)
    assert result.equity.tolist() == pytest.approx([10_000, 10_000, 9_999, 9_999, 9_999, 9_998])


def test_a_fraction_as_commission_is_charged_on_the_value_in_account_money(made: MadeBars, wishing: Wishing) -> None:
    # 10,000 dollars of USDJPY whatever the price: 0.0001 of it is 1 dollar a side.
    costs = Costs(account_currency="USD", lots=0.1)
    trade = only(ran(made([flat(150.0)] * 6), wishing(LONG), "USDJPY", commission=0.0001, costs=costs, margin=0.05))
    assert trade["commission"] == pytest.approx(2.0)


# Swap

# Hourly bars in UTC; in January 17:00 New York is 22:00 UTC.
WEDNESDAY_EVENING, THURSDAY_EVENING, FRIDAY_EVENING = "2024-01-10 19:00", "2024-01-11 19:00", "2024-01-12 19:00"


@pytest.mark.parametrize(
    ("start", "nights"), [(WEDNESDAY_EVENING, 3), (THURSDAY_EVENING, 1), ("2024-07-10 18:00", 3), (FRIDAY_EVENING, 0)]
)
def test_swap_is_charged_at_five_in_the_evening_of_new_york(
    made: MadeBars, wishing: Wishing, start: str, nights: int
) -> None:
    # Entered two hours after `start`, left at 24:00 UTC: one roll-over, at bar 3; Wednesday's is three nights.
    # −6 points × 0.00001 × 10,000 units = −0.60 a night. In July the hour is 21:00 UTC.
    bars = made([flat(1.25)] * 6, start=start)
    if nights == 0:
        bars = bars.iloc[:3].copy()  # nothing is traded past Friday's close
        wishes = [0, 1, 1]
    else:
        wishes = LONG
    costs = Costs(lots=0.1, swap_long=-6.0, swap_short=1.5)
    result = ran(bars, wishing(wishes), margin=0.05, costs=costs)
    assert only(result)["swap"] == pytest.approx(-0.6 * nights)
    assert only(result)["pnl"] == pytest.approx(-0.6 * nights)
    if nights:
        assert result.equity.tolist() == pytest.approx([10_000.0] * 3 + [10_000 - 0.6 * nights] * 3)
        short = only(ran(bars, wishing(SHORT), margin=0.05, costs=costs))
        assert short["swap"] == pytest.approx(0.15 * nights)


def test_swap_in_money_and_on_another_triple_day(made: MadeBars, wishing: Wishing) -> None:
    # 0.1 lots × −8 = −0.80 a night; three on Thursday's roll-over when the broker has it so.
    costs = Costs(lots=0.1, swap_long=-8.0, swap_unit="money", swap_triple_day="Thursday")
    for start, nights in ((THURSDAY_EVENING, 3), (WEDNESDAY_EVENING, 1)):
        trade = only(ran(made([flat(1.25)] * 6, start=start), wishing(LONG), margin=0.05, costs=costs))
        assert trade["swap"] == pytest.approx(-0.8 * nights)


def test_swap_points_of_a_yen_pair_are_converted(made: MadeBars, wishing: Wishing) -> None:
    # −6 points × 0.001 yen × 10,000 = −60 yen; / 150 = −0.40 dollars.
    costs = Costs(account_currency="USD", lots=0.1, swap_long=-6.0)
    trade = only(
        ran(made([flat(150.0)] * 6, start=THURSDAY_EVENING), wishing(LONG), "USDJPY", margin=0.05, costs=costs)
    )
    assert trade["swap"] == pytest.approx(-0.4)


def test_a_week_has_seven_nights_of_swap() -> None:
    hours = pd.date_range("2024-01-07 22:00", "2024-01-14 22:00", freq="h", tz="UTC")
    assert swap_nights(hours, AssetClass.FX, "Wednesday").sum() == 7
    assert swap_nights(hours, AssetClass.CRYPTO, "Wednesday").sum() == 7
    days = hours[::24]
    assert swap_nights(days, AssetClass.FX, "Wednesday").tolist() == [0, 1, 1, 3, 1, 1, 0, 0]
    assert swap_nights(days, AssetClass.FX, "Friday").tolist() == [0, 1, 1, 1, 1, 3, 0, 0]


# Margin call and stop-out


def test_a_stop_out_closes_where_the_margin_level_is_reached_and_ends_the_run(made: MadeBars, wishing: Wishing) -> None:
    # 1 lot at 1.25 and 50:1: margin 2,500 of 10,000. Half of it is left when 8,750 are lost: 875 pips down, 1.1625.
    falling = [(1.20, 1.20, 1.18, 1.18), (1.18, 1.18, 1.10, 1.10), (1.10, 1.30, 1.10, 1.30)]
    bars = made([*[flat(1.25)] * 3, *falling, flat(1.30)])
    result = ran(bars, wishing([0, 1, 1, 1, 1, -1, 1]), margin=0.02, costs=Costs(lots=1.0))
    trade = only(result)
    assert (trade["exit_bar"], trade["exit_reason"]) == (4, "stop-out")
    assert trade["exit_price"] == pytest.approx(1.1625)
    assert result.equity.tolist() == pytest.approx([10_000, 10_000, 10_000, 3_000, 1_250, 1_250, 1_250])
    assert result.notes[0] == ("Stopped out at 2024-01-02 04:00 UTC: the margin level fell to 50 %; the run ends.")


def test_a_short_on_a_yen_pair_is_stopped_out_at_the_ask(made: MadeBars, wishing: Wishing) -> None:
    # 0.5 lots at 150 and 25:1, account in dollars: margin 2,000 of 4,000; 1,000 are left when 3,000 are lost.
    # 50,000 × (1 − 150 / p) = 3,000 gives p = 150 / 0.94 = 159.5745, seen at the ask: a bid of 159.5545.
    bars = made([*[flat(150.0)] * 3, (150.0, 170.0, 150.0, 170.0), *[flat(170.0)] * 2])
    costs = Costs(account_currency="USD", lots=0.5)
    result = ran(bars, wishing(SHORT), "USDJPY", cash=4_000, margin=0.04, spread_pips=2, costs=costs)
    assert only(result)["exit_price"] == pytest.approx(150 / 0.94)
    assert result["final_equity"] == pytest.approx(1_000.0)


def test_a_gap_beyond_the_stop_out_is_written_off_or_owed(made: MadeBars, wishing: Wishing) -> None:
    # The open at 1.10 has lost 15,000 of 10,000.
    bars = made([*[flat(1.25)] * 3, *[flat(1.10)] * 3])
    result = ran(bars, wishing(LONG), margin=0.02, costs=Costs(lots=1.0))
    assert result["final_equity"] == 0.0
    assert "A gap took 5,000.00 more than the account held; that is written off." in result.notes
    owed = ran(bars, wishing(LONG), margin=0.02, costs=Costs(lots=1.0, negative_balance_protection=False))
    assert owed["final_equity"] == pytest.approx(-5_000.0)


def test_the_nearer_of_stop_and_stop_out_is_hit(made: MadeBars, wishing: Wishing) -> None:
    bars = made([*[flat(1.25)] * 3, (1.25, 1.25, 1.10, 1.10), *[flat(1.10)] * 2])
    near, far = (ran(bars, wishing(LONG, stop=stop), margin=0.02, costs=Costs(lots=1.0)) for stop in (0.0800, 0.0900))
    assert (only(near)["exit_reason"], only(near)["exit_price"]) == ("stop", pytest.approx(1.17))
    assert (only(far)["exit_reason"], only(far)["exit_price"]) == ("stop-out", pytest.approx(1.1625))


def test_the_nearer_of_stop_and_stop_out_is_hit_by_a_short(made: MadeBars, wishing: Wishing) -> None:
    # Mirrored: 8,750 are lost at 1.3375.
    bars = made([*[flat(1.25)] * 3, (1.25, 1.40, 1.25, 1.40), *[flat(1.40)] * 2])
    near, far = (ran(bars, wishing(SHORT, stop=stop), margin=0.02, costs=Costs(lots=1.0)) for stop in (0.0800, 0.0900))
    assert (only(near)["exit_reason"], only(near)["exit_price"]) == ("stop", pytest.approx(1.33))
    assert (only(far)["exit_reason"], only(far)["exit_price"]) == ("stop-out", pytest.approx(1.3375))


def test_a_margin_call_is_noted_and_does_not_end_the_run(made: MadeBars, wishing: Wishing) -> None:
    # At 1.17 2,000 of 10,000 are left, less than the margin of 2,500 and more than half of it.
    bars = made([*[flat(1.25)] * 3, flat(1.17), *[flat(1.26)] * 2])
    result = ran(bars, wishing(LONG), margin=0.02, costs=Costs(lots=1.0))
    assert "Margin call at 2024-01-02 03:00 UTC, the first of the run." in result.notes
    assert result["final_equity"] == pytest.approx(11_000.0)


def test_equity_never_falls_far_below_zero_on_a_walk(wishing: Wishing) -> None:
    random = np.random.default_rng(7)
    for _ in range(20):
        close = 1.25 * np.exp(np.cumsum(random.normal(0, 0.01, 300)))
        index = pd.date_range("2024-01-02", periods=300, freq="h", tz="UTC", name="time")
        bars = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}, index=index)
        wishes = np.repeat(random.choice([-1, 1], size=30), 10).tolist()
        costs = Costs(fraction=1.0, negative_balance_protection=False)
        result = ran(bars, wishing(wishes), margin=0.02, costs=costs)
        # A bar moves by a few per cent at most, and 50:1 makes that about one account.
        assert result.equity.min() > -10_000


def test_the_account_adds_up(made: MadeBars, wishing: Wishing) -> None:
    """Final equity is cash plus the profit of every trade, all costs on, in another currency."""
    random = np.random.default_rng(3)
    close = 0.85 * np.exp(np.cumsum(random.normal(0, 0.001, 400)))
    bars = made([(price, price * 1.001, price * 0.999, price) for price in close])
    cable = made([flat(1.25 + 0.0001 * row) for row in range(400)])
    costs = Costs(
        account_currency="USD",
        risk_fraction=0.01,
        stop_pips=30,
        slippage_pips=0.2,
        commission_per_lot=3.5,
        swap_long=-4.0,
        swap_short=-2.0,
    )
    wishes = np.repeat(random.choice([-1, 0, 1], size=80), 5).tolist()
    result = ran(
        bars, wishing(wishes), "EURGBP", margin=0.05, spread_pips=1.1, costs=costs, conversions={"GBPUSD": cable}
    )
    assert len(result.trades) > 20
    assert result["net_profit"] == pytest.approx(result.trades["pnl"].sum(), abs=1e-6)
    assert (result.trades["swap"] != 0).any()


@pytest.mark.parametrize("seed", range(20))
def test_extras_that_add_nothing_trade_as_without_them(made: MadeBars, seed: int) -> None:
    """Lots of one unit, no charge and no stop-out: the broker's side of the kernel must find the library's trades."""
    random = np.random.default_rng(seed)
    close = 1.25 * np.exp(np.cumsum(random.normal(0, 0.003, 200)))
    opens = close * np.exp(random.normal(0, 0.001, 200))
    bars = made(
        [
            (first, max(first, last) * 1.002, min(first, last) * 0.998, last)
            for first, last in zip(opens, close, strict=True)
        ]
    )
    distances = np.where(random.random(200) < 0.5, np.nan, 0.005)
    signals = Signals(np.repeat(random.choice([-1, 0, 1], size=50), 4).astype(np.int8), distances, 2 * distances)
    strategy = Strategy("Wishing", "Wishing", "As told.", "this test", 1, (), lambda _bars, _values: signals)
    unit = 1 / 100_000
    costs = Costs(lot_step=unit, min_lot=unit, max_lot=1e5, stop_out_pct=0, margin_call_pct=0)
    with_extras, without = (ran(bars, strategy, costs=given) for given in (costs, None))
    assert len(without.trades) > 10
    for name in ("side", "size", "entry_bar", "exit_bar", "exit_reason"):
        assert with_extras.trades[name].tolist() == pytest.approx(without.trades[name].tolist()), name
    np.testing.assert_allclose(with_extras.equity, without.equity, rtol=1e-9)


# What is refused

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two ways to size": ({"lots": 1, "fraction": 0.5}, "lots and fraction both decide the size. Keep one"),
    "no lots": ({"lots": 0}, "lots=0 cannot be used. Give lots above 0"),
    "risk in per cent": (
        {"risk_fraction": 2},
        "risk_fraction=2 cannot be used. Give a share of the equity: 0.01 is 1 %.",
    ),
    "a negative slippage": ({"slippage_pips": -1}, "slippage_pips=-1 cannot be used."),
    "a slippage that is no number": ({"slippage_pips": nan}, "slippage_pips=nan cannot be used."),
    "text for a number": ({"commission_per_lot": "7"}, "commission_per_lot='7' cannot be used."),
    "an absurd swap": ({"swap_long": 1e9}, "swap_long=1000000000.0 cannot be used."),
    "a currency in words": ({"account_currency": "dollar"}, "account_currency='dollar' is no currency."),
    "a triple day on a weekend": ({"swap_triple_day": "Sunday"}, "swap_triple_day='Sunday' is not offered."),
    "a stop-out above the call": ({"stop_out_pct": 120}, "stop_out_pct=120 lies above margin_call_pct=100."),
    "limits turned round": ({"min_lot": 2, "max_lot": 1}, "min_lot=2 lies above max_lot=1."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_costs_that_cannot_be_meant_are_refused_by_name(case: str) -> None:
    given, sentence = REFUSED[case]
    with pytest.raises(InputError) as refusal:
        Costs(**given)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    "commission", [nan, (1,), (-1, 0.0), (0, 0.2), "0.001", True, (1, "2"), float("inf"), (float("inf"), 0)]
)
def test_a_commission_that_cannot_be_meant_is_refused(commission: Any) -> None:
    with pytest.raises(InputError, match=r"^commission="):
        check_terms(10_000, commission, 0, 1)


def test_spreads_that_cannot_be_meant_are_refused(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(1.25)] * 6)
    for options in ({}, {"costs": None}):
        with pytest.raises(InputError, match=r"spread_pips=2000 is 16% of the price of EURUSD \(1.25\)"):
            ran(bars, wishing(LONG), spread_pips=2000, **options)
    costs = Costs(spread_from_bars=True)
    with pytest.raises(InputError, match="have no column spread_points"):
        ran(bars, wishing(LONG), costs=costs)
    with pytest.raises(InputError, match="The spread is given twice: 2 pips"):
        ran(bars.assign(spread_points=1.0), wishing(LONG), costs=costs, spread_pips=2)
    with pytest.raises(InputError, match="spread_points=nan at 2024-01-02 03:00 UTC is no spread"):
        ran(bars.assign(spread_points=[1, 1, 1, nan, 1, 1]), wishing(LONG), costs=costs)


def test_a_stop_on_the_wrong_side_is_refused_with_its_bar(made: MadeBars, wishing: Wishing) -> None:
    with pytest.raises(StrategyError, match=r"Wishing puts a stop at -0.001 from the close of 2024-01-02 01:00 UTC"):
        ran(made([flat(1.25)] * 6), wishing(LONG, stop=-0.001), margin=0.05)


def test_a_function_as_commission_cannot_be_compiled_and_is_refused(made: MadeBars, wishing: Wishing) -> None:
    with pytest.raises(InputError, match="a Python function cannot be compiled"):
        ran(made([flat(1.25)] * 6), wishing(LONG), commission=lambda _size, _price: 1.0)
    with pytest.raises(InputError, match="The commission per lot is given twice"):
        ran(made([flat(1.25)] * 6), wishing(LONG), commission=PerLot(3), costs=Costs(commission_per_lot=3))


def test_costs_survive_being_written_down() -> None:
    costs = Costs(account_currency="USD", risk_fraction=0.01, stop_pips=20, swap_long=-6.5)
    assert costs.as_dict() == {"account_currency": "USD", "risk_fraction": 0.01, "stop_pips": 20, "swap_long": -6.5}
    assert Costs.from_dict(costs.as_dict()) == costs
    assert Costs().as_dict() == {}
    with pytest.raises(InputError, match=r"Costs have no 'swap_lng'\. Did you mean 'swap_long'"):
        Costs.from_dict({"swap_lng": 1})


def test_the_fill_assumptions_say_what_was_charged(made: MadeBars, wishing: Wishing) -> None:
    bars = made([flat(150.0)] * 6)
    costs = Costs(
        account_currency="USD",
        risk_fraction=0.01,
        stop_pips=20,
        slippage_pips=0.2,
        commission_per_lot=3.5,
        commission_minimum=1,
        swap_long=-6,
        swap_short=2,
    )
    said = " ".join(ran(bars, wishing(LONG), "USDJPY", spread_pips=1.2, margin=0.05, costs=costs).fill_assumptions)
    for words in (
        "stop comes before a target",
        "ask, 1.2 pips above",
        "risks 1.000% of the equity at its stop (20 pips where the strategy gives none)",
        "rounded down to 0.01 lots",
        "slip by 0.2 pips",
        "3.5 per lot and side, at least 1",
        "long -6, short 2 points, three times on Wednesday",
        "Profit in JPY is turned into USD",
        "margin level of 50 %",
    ):
        assert words in said
    plain = manager.run_backtest(bars, wishing(LONG), symbol="USDJPY")
    assert "Profit stays in JPY, the quote currency." in fill_assumptions(plain.settings)
    assert "The size is all available cash times the leverage, in whole units." in plain.fill_assumptions
    theirs = dataclasses.replace(plain.settings, strategy_version=None)
    assert "The class sends its own orders and decides their size." in fill_assumptions(theirs)
