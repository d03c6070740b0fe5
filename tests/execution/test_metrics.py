from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from backtesting import Strategy as LibraryStrategy

from execution.backtest_manager import manager
from execution.metrics import (
    METRICS,
    compute_metrics,
    daily_returns,
    day_ends,
    day_metrics,
    drawdown,
    enough,
    longest_drawdown,
    returns_per_year,
    shape,
    sharpe_ratio,
    sortino_ratio,
    trade_metrics,
)
from execution.result import TRADE_COLUMNS
from market.calendar import trading_day
from market.symbols import AssetClass

NAN = pytest.approx(math.nan, nan_ok=True)


class BuyAndHold(LibraryStrategy):  # type: ignore[misc]
    """Ninety per cent of the cash in the market from the second bar on."""

    def init(self) -> None:
        self.bought = False

    def next(self) -> None:
        if not self.bought:
            self.buy(size=0.9)
            self.bought = True


def curve(values: list[float], freq: str = "D", start: str = "2024-01-02 12:00") -> pd.Series:
    index = pd.date_range(start, periods=len(values), freq=freq, tz="UTC", name="time")
    return pd.Series(values, index=index, dtype="float64", name="equity")


def ended(*profits: float, **columns: Any) -> pd.DataFrame:
    """Trades that ended one after another with these profits."""
    exits = pd.date_range("2024-01-02", periods=len(profits), freq="h", tz="UTC")
    given = {"pnl": list(profits), "pips": 0.0, "commission": 0.0, "entry_bar": 0, "exit_bar": 0}
    times = {"entry_time": exits - pd.Timedelta(hours=3), "exit_time": exits}
    return pd.DataFrame(columns=list(TRADE_COLUMNS), index=range(len(profits))).assign(**{**times, **given, **columns})


def figures(values: list[float], trades: pd.DataFrame | None = None, cash: float = 100.0) -> dict[str, float]:
    return compute_metrics(curve(values), ended() if trades is None else trades, cash, AssetClass.CRYPTO)


def test_a_hand_computed_curve_gives_the_hand_computed_figures() -> None:
    # Returns +10 %, −10 %, +10 %: mean 1/30, deviation (ddof 1) √(1/75), squared losses 0.01 over three days.
    found = figures([100, 110, 99, 108.9])
    assert found["total_return"] == pytest.approx(8.9)
    assert found["net_profit"] == pytest.approx(8.9)
    assert found["final_equity"] == 108.9
    assert found["volatility_pct"] == pytest.approx(100 * math.sqrt(1 / 75) * math.sqrt(260))
    assert found["sharpe_ratio"] == pytest.approx((1 / 30) / math.sqrt(1 / 75) * math.sqrt(260))
    assert found["sortino_ratio"] == pytest.approx((1 / 30) / math.sqrt(0.01 / 3) * math.sqrt(260))
    assert found["cagr_pct"] == pytest.approx(100 * (1.089 ** (365.25 / 3) - 1))
    assert found["max_drawdown"] == pytest.approx(-10.0)
    assert found["calmar_ratio"] == pytest.approx((1.089 ** (365.25 / 3) - 1) / 0.1)
    assert found["max_drawdown_days"] == 2.0
    assert found["trading_days"] == 4.0
    assert found["returns_per_year"] == 260.0


def test_every_figure_that_is_described_is_computed_and_every_computed_one_described() -> None:
    assert set(figures([100, 110, 99])) == set(METRICS)
    assert all(metric.title and metric.formula and metric.source for metric in METRICS.values())


def test_figures_without_variation_or_trades_are_not_numbers() -> None:
    found = figures([100, 100, 100])
    unknown = {name for name, value in found.items() if math.isnan(value)}
    assert unknown == {
        "sharpe_ratio",
        "sortino_ratio",
        "calmar_ratio",
        "win_rate",
        "profit_factor",
        "expectancy",
        "average_pips",
        "average_win",
        "average_loss",
        "best_trade",
        "worst_trade",
        "recovery_factor",
        "payoff_ratio",
        "sqn",
        "average_trade_hours",
        "longest_trade_hours",
        "tail_ratio",
        "skewness",
        "kurtosis",
    }
    assert (found["volatility_pct"], found["cagr_pct"], found["max_drawdown_days"]) == (0.0, 0.0, 0.0)


def test_a_run_within_one_day_has_no_daily_figures_and_is_no_error() -> None:
    found = compute_metrics(curve([100, 101, 102], "h"), ended(), 100, AssetClass.CRYPTO)
    assert found["trading_days"] == 1.0
    assert [found[name] for name in ("sharpe_ratio", "sortino_ratio", "volatility_pct")] == [NAN, NAN, NAN]


def test_a_gain_of_minutes_is_not_blown_up_to_a_year() -> None:
    found = compute_metrics(curve([100, 102], "min"), ended(), 100, AssetClass.FX)
    assert found["cagr_pct"] == NAN
    assert found["total_return"] == pytest.approx(2.0)


def test_a_ruined_account_has_lost_everything_and_its_idle_days_count() -> None:
    found = figures([100, 50, 0, 0, 0])
    assert (found["total_return"], found["cagr_pct"], found["max_drawdown"]) == (-100.0, -100.0, -100.0)
    assert found["trading_days"] == 5.0
    assert found["sharpe_ratio"] == pytest.approx(-0.375 / math.sqrt(0.6875 / 3) * math.sqrt(260))


@pytest.mark.parametrize(("returns", "per_year"), [(1, 260.0), (59, 260.0), (60, 365.25), (61, 365.25)])
def test_below_sixty_returns_a_year_is_taken_to_hold_260(returns: int, per_year: float) -> None:
    equity = curve([100 + n % 3 for n in range(returns + 1)])
    assert returns_per_year(daily_returns(equity, AssetClass.CRYPTO), equity) == pytest.approx(per_year)


def test_buy_and_hold_of_the_sample_is_annualised_over_trading_days(sample: pd.DataFrame) -> None:
    result = manager.run_backtest(sample, BuyAndHold, symbol="EURUSD", cash=100_000)
    assert result["sharpe_ratio"] == pytest.approx(2.45, abs=0.01)
    assert result["volatility_pct"] == pytest.approx(6.60, abs=0.01)
    assert result["cagr_pct"] == pytest.approx(17.11, abs=0.01)
    assert result["returns_per_year"] == pytest.approx(258.2, abs=0.05)
    assert result["Sharpe Ratio"] == pytest.approx(2.04, abs=0.01)


def test_fx_days_end_at_seventeen_hours_new_york_and_the_weekend_belongs_to_monday() -> None:
    # Friday 2024-07-05: the day ends at 21:00 UTC; Sunday's hours belong to Monday the 8th.
    index = pd.DatetimeIndex(
        ["2024-07-05 20:00", "2024-07-05 21:00", "2024-07-07 22:00", "2024-07-08 20:00", "2024-07-08 21:00"],
        tz="UTC",
    )
    equity = pd.Series([100.0, 110.0, 120.0, 150.0, 300.0], index=index)
    returns = daily_returns(equity, AssetClass.FX)
    assert [str(day.date()) for day in returns.index] == ["2024-07-08", "2024-07-09"]
    assert list(returns) == pytest.approx([0.5, 1.0])


def test_crypto_days_end_at_midnight_utc_on_all_seven_days() -> None:
    index = pd.DatetimeIndex(["2024-07-05 23:00", "2024-07-06 00:00", "2024-07-06 23:00", "2024-07-07 01:00"], tz="UTC")
    returns = daily_returns(pd.Series([100.0, 110.0, 120.0, 150.0], index=index), AssetClass.CRYPTO)
    assert [str(day.date()) for day in returns.index] == ["2024-07-06", "2024-07-07"]
    assert list(returns) == pytest.approx([0.2, 0.25])


def test_a_symbol_decides_whose_days_count(sample: pd.DataFrame) -> None:
    euro = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD")
    coin = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="BTCUSD")
    assert euro["trading_days"] == 209.0
    assert coin["trading_days"] == len(set(sample.index.date)) == 251
    assert euro["final_equity"] == coin["final_equity"]


def test_ratios_without_a_loss_or_without_returns_are_not_numbers() -> None:
    rising = pd.Series([0.01, 0.02])
    assert sortino_ratio(rising, 260) == NAN
    assert sharpe_ratio(pd.Series([0.01]), 260) == NAN
    assert sharpe_ratio(pd.Series([], dtype="float64"), 260) == NAN
    assert sortino_ratio(pd.Series([], dtype="float64"), 260) == NAN


def test_drawdown_is_the_distance_from_the_highest_value_so_far() -> None:
    assert list(drawdown(curve([100, 120, 90, 120, 150, 75]))) == pytest.approx([0, 0, -0.25, 0, 0, -0.5])


@pytest.mark.parametrize(
    ("values", "days"),
    [
        ([100, 100, 100], 0),
        ([100, 110, 120], 0),
        ([100], 0),
        ([100, 90], 1),
        ([100, 90, 100], 2),
        ([100, 90, 100, 100, 100], 2),
        ([100, 90, 110, 105, 104, 103], 3),
        ([100, 90, 95, 99, 110, 105, 110], 4),
        ([100, 110, 110, 110, 90], 1),
    ],
)
def test_days_under_water_run_from_a_high_until_it_is_reached_again(values: list[float], days: int) -> None:
    assert longest_drawdown(curve(values)) == pd.Timedelta(days=days)


def test_trades_are_summed_up() -> None:
    found = trade_metrics(ended(30, -10, -20, 0, 50, pips=[3, -1, -2, 0, 5], commission=2.0, swap=-0.3))
    assert found == {
        "trades_count": 5,
        "win_rate": 40.0,
        "profit_factor": pytest.approx(80 / 30),
        "expectancy": 10.0,
        "average_pips": 1.0,
        "average_win": 40.0,
        "average_loss": -15.0,
        "best_trade": 50.0,
        "worst_trade": -20.0,
        "longest_losing_streak": 2.0,
        "commissions": 10.0,
        "swaps": -1.5,
        "payoff_ratio": pytest.approx(40 / 15),
        # Mean 10, squared distances 400 + 400 + 900 + 100 + 1600 over four.
        "sqn": pytest.approx(math.sqrt(5) * 10 / math.sqrt(850)),
        "gross_profit": 80.0,
        "gross_loss": -30.0,
        "longest_winning_streak": 1.0,
        "average_trade_hours": 3.0,
        "longest_trade_hours": 3.0,
    }


def test_the_profit_factor_without_a_loss_is_infinite() -> None:
    assert trade_metrics(ended(1, 2))["profit_factor"] == math.inf
    assert trade_metrics(ended(-1, -2))["profit_factor"] == 0.0
    assert trade_metrics(ended(0.0))["profit_factor"] == NAN


def test_of_equal_profits_or_a_single_one_the_system_quality_is_not_known() -> None:
    assert trade_metrics(ended(5, 5, 5))["sqn"] == NAN
    assert trade_metrics(ended(5))["sqn"] == NAN


def test_without_a_loss_only_the_profit_factor_is_infinite() -> None:
    found = figures([100, 101, 102, 104], ended(1, 1, 2))
    assert [name for name, value in found.items() if math.isinf(value)] == ["profit_factor"]
    unknown = {"payoff_ratio", "average_loss", "recovery_factor", "calmar_ratio", "sortino_ratio", "tail_ratio"}
    assert {name for name, value in found.items() if math.isnan(value)} == unknown


def test_trades_are_as_long_as_they_were_held() -> None:
    times = pd.to_datetime(["2024-01-01 20:00", "2024-01-02 00:30"], utc=True)
    found = trade_metrics(ended(1, 2, entry_time=times))  # until 00:00 and 01:00 of the 2nd
    assert (found["average_trade_hours"], found["longest_trade_hours"]) == (2.25, 4.0)


def test_figures_agree_with_the_librarys_where_both_mean_the_same(sample: pd.DataFrame) -> None:
    result = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD")
    assert result["sqn"] == pytest.approx(result["SQN"])
    assert result["longest_trade_hours"] == pytest.approx(result["Max. Trade Duration"] / pd.Timedelta(hours=1))
    assert result["gross_profit"] + result["gross_loss"] == pytest.approx(result["net_profit"])


def test_drawdown_is_told_in_money_and_as_an_ulcer() -> None:
    found = figures([100, 120, 90, 120, 150, 75])
    assert found["max_drawdown_money"] == -75.0
    assert found["ulcer_index"] == pytest.approx(100 * math.sqrt((0.25**2 + 0.5**2) / 6))
    assert found["recovery_factor"] == pytest.approx(-25 / 75)


def test_daily_returns_have_a_shape_and_tails() -> None:
    found = day_metrics(pd.Series([0.02, -0.01, -0.01, 0.02, -0.02]))
    # Mean 0; squares 4 1 1 4 4, cubes 8 −1 −1 8 −8, fourth powers 16 1 1 16 16, in per cent.
    assert found["skewness"] == pytest.approx((6 / 5) / (14 / 5) ** 1.5)
    assert found["kurtosis"] == pytest.approx((50 / 5) / (14 / 5) ** 2)
    assert found["days_won_pct"] == 40.0
    assert (found["best_day_pct"], found["worst_day_pct"]) == (2.0, -2.0)
    # The 5 % quantile lies a fifth of the way from the first to the second of five; the 95 % one on the 2 % twice met.
    assert found["value_at_risk_pct"] == pytest.approx(-1.8)
    assert found["tail_ratio"] == pytest.approx(2.0 / 1.8)


def test_the_shape_of_returns_does_not_depend_on_their_size() -> None:
    values = np.array([2.0, -1.0, -1.0, 2.0, -2.0])
    assert shape(1e-90 * values) == pytest.approx(shape(values))


def test_ratios_are_shown_from_thirty_trades_on() -> None:
    assert (enough(29), enough(30), enough(0)) == (False, True, False)


@pytest.mark.parametrize("asset_class", [AssetClass.FX, AssetClass.CRYPTO])
def test_the_bars_that_close_a_day_are_those_after_which_another_begins(asset_class: AssetClass) -> None:
    # Both weeks in which summer time begins and ends, weekends with quotes, and bars off the full hour.
    for begin in ("2024-03-07", "2024-11-01"):
        times = pd.date_range(begin, periods=700, freq="17min", tz="UTC")
        days = trading_day(times, asset_class)
        expected = [at for at in range(700) if at == 699 or days[at] != days[at + 1]]
        assert day_ends(times, asset_class).tolist() == expected
    assert day_ends(times[:0], asset_class).tolist() == []
    assert day_ends(times[:1], asset_class).tolist() == [0]


@pytest.mark.parametrize(
    ("profits", "streak"),
    [([1, 2], 0), ([-1], 1), ([-1, -1, 1, -1], 2), ([1, -1, -1, -1], 3), ([-1, 0, -1], 1), ([], 0)],
)
def test_the_longest_losing_streak_is_counted(profits: list[float], streak: int) -> None:
    assert trade_metrics(ended(*profits))["longest_losing_streak"] == streak


def test_a_streak_follows_the_order_of_exits() -> None:
    trades = ended(-1, 1, -1)
    trades["exit_time"] = trades["exit_time"].iloc[[0, 2, 1]].to_numpy()
    assert trade_metrics(trades)["longest_losing_streak"] == 2


@pytest.mark.parametrize(
    ("entries", "exits", "exposure"),
    [([], [], 0), ([2], [4], 30), ([0], [9], 100), ([1, 3], [3, 5], 50), ([1, 7], [2, 7], 30), ([4], [4], 10)],
)
def test_time_in_market_counts_each_bar_once(entries: list[int], exits: list[int], exposure: float) -> None:
    trades = ended(*[1.0] * len(entries), entry_bar=np.array(entries, int), exit_bar=np.array(exits, int))
    assert figures([100.0 + n for n in range(10)], trades)["exposure_pct"] == pytest.approx(exposure)
