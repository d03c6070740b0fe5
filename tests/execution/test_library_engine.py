from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from backtesting import Backtest
from backtesting import Strategy as LibraryStrategy

from core.errors import BarsError, InputError, StrategyError
from execution.backtest_manager import BacktestResult, manager
from execution.library_engine import engine_name
from execution.result import TRADE_COLUMNS
from execution.strategy import Strategy

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]
nan = np.nan

# A quiet market at 100, in which each test places what it needs.
QUIET = (100.0, 100.5, 99.5, 100.0)


class HandWrittenCrossover(LibraryStrategy):  # type: ignore[misc]
    """The crossover as a user of backtesting.py writes it: orders when the sign of fast − slow changes."""

    fast_length = 48
    slow_length = 150

    def init(self) -> None:
        close = np.asarray(self.data.Close, dtype="float64")
        self.fast = [np.mean(close[max(0, n - self.fast_length) : n]) for n in range(1, len(close) + 1)]
        self.slow = [np.mean(close[max(0, n - self.slow_length) : n]) for n in range(1, len(close) + 1)]
        self.side = 0

    def next(self) -> None:
        bar = len(self.data) - 1
        if bar < self.slow_length - 1:
            return
        side = int(np.sign(round(self.fast[bar] - self.slow[bar], 12)))
        if side == self.side:
            return
        self.side = side
        self.position.close()
        if side > 0:
            self.buy()
        elif side < 0:
            self.sell()


class BuyOnce(LibraryStrategy):  # type: ignore[misc]
    """A thousand units at the second bar, kept to the end."""

    size = 1000

    def init(self) -> None:
        self.bought = False

    def next(self) -> None:
        if not self.bought:
            self.buy(size=self.size) if self.size > 0 else self.sell(size=-self.size)
            self.bought = True


class Idle(LibraryStrategy):  # type: ignore[misc]
    """Never trades."""

    def init(self) -> None:
        pass

    def next(self) -> None:
        pass


def ran(bars: pd.DataFrame, strategy: Any, cash: float = 10_000, **options: Any) -> BacktestResult:
    return manager.run_backtest(bars, strategy, symbol="EURUSD", cash=cash, **options)


def market(made: MadeBars, rows: int = 10, **changed: tuple[float, float, float, float]) -> pd.DataFrame:
    """Quiet bars, of which `bar_5=(open, high, low, close)` and the like are others."""
    return made([changed.get(f"bar_{row}", QUIET) for row in range(rows)])


def test_our_crossover_equals_one_written_by_hand_for_the_library(sample: pd.DataFrame) -> None:
    ours = manager.run_backtest(sample, strategy_name="MA_Crossover", symbol="EURUSD", spread_pips=0.6)
    theirs = ran(sample, HandWrittenCrossover, spread_pips=0.6)
    assert len(ours.trades) > 30
    pd.testing.assert_frame_equal(ours.trades, theirs.trades)
    pd.testing.assert_series_equal(ours.equity, theirs.equity)
    assert ours["Equity Final [$]"] == theirs["Equity Final [$]"]


def test_the_manager_adds_nothing_to_what_the_library_computes(sample: pd.DataFrame) -> None:
    through_us = ran(sample, HandWrittenCrossover, commission=0.0001)
    library_bars = sample.rename(columns=str.title).tz_localize(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = Backtest(library_bars, HandWrittenCrossover, cash=10_000, commission=0.0001, finalize_trades=True).run()
    np.testing.assert_array_equal(through_us.equity.to_numpy(), alone["_equity_curve"]["Equity"].to_numpy())
    np.testing.assert_array_equal(
        through_us.trades["pnl"], alone["_trades"].sort_values("ExitBar", kind="stable")["PnL"].to_numpy()
    )
    for printed in ("Return [%]", "# Trades", "Sharpe Ratio", "Max. Drawdown [%]", "Exposure Time [%]"):
        assert through_us[printed] == alone[printed]


def test_an_order_fills_at_the_next_open(made: MadeBars, wishing: Wishing) -> None:
    bars = market(made, bar_4=(101.0, 102.0, 100.0, 101.5), bar_7=(103.0, 104.0, 102.0, 103.5))
    (trade,) = ran(bars, wishing([0, 0, 0, 1, 1, 1, 0, 0, 0, 0])).trades.to_dict("records")
    assert (trade["entry_bar"], trade["entry_price"]) == (4, 101.0)
    assert (trade["exit_bar"], trade["exit_price"]) == (7, 103.0)
    assert (trade["entry_time"], trade["exit_time"]) == (bars.index[4], bars.index[7])
    assert (trade["side"], trade["exit_reason"]) == ("long", "signal")
    assert trade["size"] == 10_000 // 101
    assert trade["pnl"] == pytest.approx(2.0 * trade["size"])
    assert trade["pips"] == pytest.approx(20_000)
    assert trade["return_pct"] == pytest.approx(100 * 2 / 101)


def test_a_short_position_earns_when_the_price_falls(made: MadeBars, wishing: Wishing) -> None:
    bars = market(made, bar_7=(98.0, 99.0, 97.0, 98.0))
    (trade,) = ran(bars, wishing([0, 0, 0, -1, -1, -1, 0, 0, 0, 0])).trades.to_dict("records")
    assert trade["side"] == "short"
    assert trade["size"] < 0
    assert trade["pnl"] == pytest.approx(2.0 * -trade["size"])
    assert trade["pips"] == pytest.approx(20_000)


def test_a_reversal_closes_and_opens_at_the_same_open(made: MadeBars, wishing: Wishing) -> None:
    result = ran(market(made), wishing([0, 0, 1, 1, 1, -1, -1, -1, 0, 0]))
    assert result.trades["side"].tolist() == ["long", "short"]
    assert result.trades["exit_bar"].tolist() == [6, 9]
    assert result.trades["entry_bar"].tolist() == [3, 6]


def test_the_first_wish_that_is_not_flat_counts_as_a_change(made: MadeBars, wishing: Wishing) -> None:
    result = ran(market(made), wishing([1] * 10))
    assert result.trades["entry_bar"].tolist() == [2]  # the library first asks at its second bar


def test_a_wish_that_stays_sends_one_order_only(made: MadeBars, wishing: Wishing) -> None:
    assert ran(market(made), wishing([0, 1, 1, 1, 1, 1, 1, 1, 1, 1]))["trades_count"] == 1


def test_what_is_open_at_the_end_is_closed_at_the_last_open(made: MadeBars, wishing: Wishing) -> None:
    bars = market(made, bar_9=(105.0, 108.0, 104.0, 107.0))
    result = ran(bars, wishing([0, 0, 0, 1, 1, 1, 1, 1, 1, 1]))
    (trade,) = result.trades.to_dict("records")
    assert (trade["exit_bar"], trade["exit_price"], trade["exit_reason"]) == (9, 105.0, "end of data")
    assert result["final_equity"] == pytest.approx(10_000 + 5.0 * trade["size"])


@pytest.mark.parametrize("last", [0, -1, 1])
def test_a_wish_of_the_last_bar_can_no_longer_be_filled(made: MadeBars, wishing: Wishing, last: int) -> None:
    # The last bar rises by 7 from open to close; whoever could still enter at its open would know that.
    bars = market(made, bar_9=(100.0, 108.0, 99.0, 107.0))
    before = [0, 0, 0, 0, 0, 0, 0, 0, 0] if last == 1 else [0, 0, 1, 1, 1, 1, 1, 1, 1]
    result = ran(bars, wishing([*before, last]))
    assert result["final_equity"] == pytest.approx(10_000)
    assert result["net_profit"] == pytest.approx(result.trades["pnl"].sum())
    assert result["trades_count"] == (0 if last == 1 else 1)


STOPS: dict[str, tuple[tuple[float, float, float, float], int, str, float]] = {
    "a stop and a target within one bar end at the stop": ((100.0, 103.0, 97.0, 100.0), 1, "stop", 99.0),
    "a stop is filled at its price": ((100.0, 100.5, 98.5, 99.5), 1, "stop", 99.0),
    "a gap beyond the stop is filled at the open": ((96.0, 97.0, 95.0, 96.0), 1, "stop", 96.0),
    "a target is filled at its price": ((100.0, 102.5, 99.5, 102.0), 1, "target", 102.0),
    "a gap beyond the target is filled at the open": ((104.0, 105.0, 103.0, 104.0), 1, "target", 104.0),
    "a short is stopped above": ((100.0, 101.5, 99.5, 101.0), -1, "stop", 101.0),
    "a short has its target below": ((100.0, 100.5, 97.5, 98.0), -1, "target", 98.0),
    "a short that meets both ends at the stop": ((100.0, 103.0, 97.0, 100.0), -1, "stop", 101.0),
}


@pytest.mark.parametrize("case", STOPS)
def test_stops_and_targets_stand_at_their_distance_from_the_deciding_close(
    case: str, made: MadeBars, wishing: Wishing
) -> None:
    bar, side, reason, price = STOPS[case]
    bars = market(made, bar_6=bar)
    result = ran(bars, wishing([0, 0, 0, *[side] * 7], stop=1.0, target=2.0))
    (trade,) = result.trades.to_dict("records")  # flat afterwards, although the wish has not changed
    assert (trade["exit_bar"], trade["exit_reason"], trade["exit_price"]) == (6, reason, price)
    assert (trade["stop"], trade["target"]) == (100.0 - side, 100.0 + 2 * side)


def test_a_stop_can_be_hit_in_the_bar_of_the_entry(made: MadeBars, wishing: Wishing) -> None:
    bars = market(made, bar_4=(100.0, 100.5, 98.0, 100.0))
    (trade,) = ran(bars, wishing([0, 0, 0, *[1] * 7], stop=1.0)).trades.to_dict("records")
    assert (trade["entry_bar"], trade["exit_bar"], trade["exit_reason"]) == (4, 4, "stop")


def test_after_a_stop_the_next_change_of_the_wish_trades_again(made: MadeBars, wishing: Wishing) -> None:
    bars = market(made, rows=14, bar_5=(100.0, 100.5, 98.0, 100.0))
    wishes = [0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1]
    result = ran(bars, wishing(wishes, stop=1.0))
    assert result.trades["entry_bar"].tolist() == [4, 10]
    assert result.trades["exit_reason"].tolist() == ["stop", "end of data"]


def test_without_a_stop_the_record_holds_none(made: MadeBars, wishing: Wishing) -> None:
    trades = ran(market(made), wishing([0, 0, 0, *[1] * 7], stop=nan)).trades
    assert trades["stop"].isna().all()
    assert trades["target"].isna().all()
    assert tuple(trades.columns) == TRADE_COLUMNS


def test_a_stop_on_the_wrong_side_is_refused_by_name(made: MadeBars, wishing: Wishing) -> None:
    with pytest.raises(StrategyError, match="Wishing stopped with ValueError: Long orders require: SL"):
        ran(market(made), wishing([0, 0, 0, *[1] * 7], stop=-1.0))


def test_orders_refused_for_lack_of_margin_are_counted(made: MadeBars, wishing: Wishing) -> None:
    result = ran(market(made), wishing([0, 1, 1, 0, 0, 1, 1, 0, 0, 0]), cash=50)
    assert result["trades_count"] == 0
    assert result.notes[0] == "2 orders were refused for lack of margin."
    assert "The strategy made no trade on this data." in result.notes


def test_margin_lets_more_be_bought_than_there_is_cash(made: MadeBars, wishing: Wishing) -> None:
    wishes = [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    (plain,) = ran(market(made), wishing(wishes)).trades["size"]
    (leveraged,) = ran(market(made), wishing(wishes), margin=0.05).trades["size"]
    assert (plain, leveraged) == (99, 1999)  # the library keeps a hundredth of a per cent back


def test_a_strategy_that_never_trades_keeps_its_cash(made: MadeBars) -> None:
    result = ran(market(made), Idle)
    assert result.equity.tolist() == [10_000.0] * 10
    assert tuple(result.trades.columns) == TRADE_COLUMNS
    assert (result["trades_count"], result["exposure_pct"], result["net_profit"]) == (0, 0, 0)
    assert result.notes == (
        "The strategy made no trade on this data.",
        "Money is in USD, the quote currency of EURUSD.",
    )


def test_the_notes_do_not_repeat_the_library_without_need(sample: pd.DataFrame) -> None:
    result = manager.run_backtest(sample, strategy_name="RSI_Bands", symbol="EURUSD")
    assert result.notes == ("Money is in USD, the quote currency of EURUSD.",)


def test_the_spread_is_paid_once_at_entry(made: MadeBars) -> None:
    bars = made([(1.25, 1.26, 1.24, 1.25), (1.25, 1.26, 1.24, 1.25), *[(1.27, 1.28, 1.26, 1.27)] * 4])
    free, paid = ran(bars, BuyOnce), ran(bars, BuyOnce, spread_pips=2)
    # Two pips as a share of the first close, taken on the entry price.
    cost = 1000 * 1.27 * (2 * 0.0001 / 1.25)
    assert free["final_equity"] - paid["final_equity"] == pytest.approx(cost)
    assert paid.trades["entry_price"].iloc[0] == pytest.approx(1.27 * (1 + 0.0002 / 1.25))
    assert paid.trades["exit_price"].iloc[0] == 1.27


def test_a_short_pays_the_spread_as_well(made: MadeBars) -> None:
    bars = made([(1.25, 1.26, 1.24, 1.25)] * 6)
    result = ran(bars, BuyOnce, spread_pips=2, parameters={"size": -1000})
    assert result["final_equity"] == pytest.approx(10_000 - 1000 * 0.0002)


def test_a_pip_of_a_yen_pair_is_a_hundredth(made: MadeBars) -> None:
    bars = made([(150.0, 151.0, 149.0, 150.0)] * 6)
    result = manager.run_backtest(bars, BuyOnce, symbol="USDJPY", cash=1e6, spread_pips=2)
    assert result["net_profit"] == pytest.approx(-1000 * 0.02)
    assert result["average_pips"] == pytest.approx(-2.0)
    assert result.notes[-1] == "Money is in JPY, the quote currency of USDJPY."


COMMISSIONS: dict[str, tuple[Any, float]] = {
    "a fraction a side": (0.001, 0.001 * 1000 * (1.25 + 1.27)),
    "money and a fraction a side": ((2.0, 0.001), 4.0 + 0.001 * 1000 * (1.25 + 1.27)),
    "a function of size and price": (lambda size, price: 7.0, 14.0),
    "a rebate": (-0.001, -0.001 * 1000 * (1.25 + 1.27)),
}


@pytest.mark.parametrize("case", COMMISSIONS)
def test_commission_is_paid_at_both_ends(case: str, made: MadeBars) -> None:
    commission, cost = COMMISSIONS[case]
    bars = made([*[(1.25, 1.26, 1.24, 1.25)] * 3, *[(1.27, 1.28, 1.26, 1.27)] * 3])
    result = ran(bars, BuyOnce, commission=commission)
    assert result["commissions"] == pytest.approx(cost)
    assert result["net_profit"] == pytest.approx(20.0 - cost)
    assert result.trades["pips"].iloc[0] == pytest.approx(200)


def test_further_numeric_columns_reach_a_library_strategy_and_text_does_not(made: MadeBars) -> None:
    seen: list[tuple[float, list[str]]] = []

    class Reading(Idle):
        def next(self) -> None:
            seen.append((float(self.data.Tone[-1]), list(self.data.df.columns)))

    bars = market(made).assign(Tone=np.arange(10.0), source="elsewhere")
    ran(bars, Reading)
    assert [tone for tone, _ in seen] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert seen[0][1] == ["Open", "High", "Low", "Close", "Volume", "Tone"]


def test_a_library_class_takes_its_parameters_as_class_variables(made: MadeBars) -> None:
    result = ran(market(made), BuyOnce, parameters={"size": 7})
    assert result.trades["size"].tolist() == [7.0]
    assert BuyOnce.size == 1000
    with pytest.raises(StrategyError, match="BuyOnce has no parameter 'sise'"):
        ran(market(made), BuyOnce, parameters={"sise": 7})


def test_a_class_that_raises_is_named_with_its_error(made: MadeBars) -> None:
    class Faulty(Idle):
        def next(self) -> None:
            raise KeyError("tone")

    with pytest.raises(StrategyError) as failure:
        ran(market(made), Faulty)
    assert failure.value.what == "Faulty stopped with KeyError: 'tone'."
    assert isinstance(failure.value.__cause__, KeyError)


@pytest.mark.parametrize("strategy", [object(), "MA_Crossover", Idle.next])
def test_what_is_no_strategy_is_refused(made: MadeBars, strategy: object) -> None:
    with pytest.raises(StrategyError):
        ran(market(made), strategy)


def test_a_class_of_something_else_is_refused(made: MadeBars) -> None:
    with pytest.raises(StrategyError, match="dict stopped with"):
        ran(market(made), dict)


@pytest.mark.parametrize("foreign", [False, True])
def test_the_frame_of_the_caller_stays_as_it_was(sample: pd.DataFrame, foreign: bool) -> None:
    class Vandal(Idle):
        def init(self) -> None:
            self.data.df.loc[:, "Close"] = 1.0

    bars = sample.rename(columns=str.title).tz_localize(None) if foreign else sample
    before = bars.copy(deep=True)
    ran(bars, HandWrittenCrossover)
    ran(bars, Vandal)
    pd.testing.assert_frame_equal(bars, before, check_exact=True)


def test_a_foreign_spelling_of_the_frame_gives_the_same_run(sample: pd.DataFrame) -> None:
    foreign = sample.rename(columns=str.title).tz_localize(None)
    ours, theirs = (
        manager.run_backtest(bars, strategy_name="RSI_Bands", symbol="EURUSD") for bars in (sample, foreign)
    )
    pd.testing.assert_frame_equal(ours.trades, theirs.trades)
    pd.testing.assert_series_equal(ours.equity, theirs.equity)


def test_the_run_names_the_engine_and_its_version(made: MadeBars) -> None:
    assert engine_name() == "backtesting.py 0.6.6"
    assert ran(market(made), Idle).engine == engine_name()


REFUSED_COSTS: dict[str, tuple[dict[str, Any], str]] = {
    "no cash": ({"cash": 0}, "cash=0 cannot be used. Start with more than 0."),
    "cash that is no number": ({"cash": nan}, "cash=nan cannot be used."),
    "a negative spread": ({"spread_pips": -1}, "spread_pips=-1 cannot be used. Give 0 or more pips."),
    "no margin": ({"margin": 0}, "margin=0 cannot be used."),
    "leverage for margin": ({"margin": 20}, "margin=20 cannot be used. Give a fraction"),
    "a commission in per cent": ({"commission": 0.1}, "commission=0.1 cannot be used. It is a fraction"),
}


@pytest.mark.parametrize("case", REFUSED_COSTS)
def test_costs_that_cannot_be_meant_are_refused(case: str, made: MadeBars) -> None:
    options, sentence = REFUSED_COSTS[case]
    with pytest.raises(InputError) as refusal:
        ran(market(made), Idle, **options)
    assert sentence in str(refusal.value)


def test_bars_that_break_the_contract_are_refused(made: MadeBars) -> None:
    with pytest.raises(BarsError, match=r"Row 5 .* low=nan is no price"):
        ran(market(made, bar_5=(100.0, 101.0, nan, 100.0)), Idle)
    with pytest.raises(BarsError, match="needs at least two closed bars; EURUSD has 1"):
        ran(market(made, rows=1), Idle)
    with pytest.raises(BarsError, match="Bars were expected, not list"):
        ran([QUIET], Idle)  # type: ignore[arg-type]
