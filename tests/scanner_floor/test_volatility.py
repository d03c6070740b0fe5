from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError, InputError
from core.settings import VolatilitySettings
from data.bar_store import BarStore
from market.indicators import atr
from market.timeframes import Timeframe
from scanner.store import list_rankings, list_ranks
from scanner.volatility import Volatility, measure, rank_pairs, ranked, ranks_frame, volatility_rank_pairs

MadeBars = Callable[..., pd.DataFrame]
Read = Callable[[str, Timeframe, int], pd.DataFrame]
SETTINGS = VolatilitySettings()


def of_range(made: MadeBars, pips: float, bars: int = 300, price: float = 1.1) -> pd.DataFrame:
    """Hours that all begin and end at one price and reach `pips` from low to high."""
    half = pips * 0.0001 / 2
    return made([(price, price + half, price - half, price)] * bars, start="2024-01-02")


@pytest.fixture
def pairs(made: MadeBars) -> dict[str, pd.DataFrame]:
    return {"EURUSD": of_range(made, 20), "GBPUSD": of_range(made, 40), "AUDUSD": of_range(made, 30)}


@pytest.fixture
def read(pairs: dict[str, pd.DataFrame]) -> Read:
    def read(symbol: str, _timeframe: Timeframe, bars: int) -> pd.DataFrame:
        if symbol not in pairs:
            raise BarsError(f"The store holds no bars of {symbol}.", "Collect them.")
        return pairs[symbol].iloc[-bars:]

    return read


def test_the_most_volatile_pair_comes_first_and_the_best_are_selected(read: Read) -> None:
    best = volatility_rank_pairs(["EURUSD", "GBPUSD", "AUDUSD"], 200, 2, read=read)
    assert [(each.symbol, each.rank, each.selected) for each in best] == [("GBPUSD", 1, True), ("AUDUSD", 2, True)]
    assert best[0].atr == pytest.approx(0.0040)
    assert best[0].atr_pct == pytest.approx(100 * 0.0040 / 1.1)
    assert best[0].cost_to_atr == pytest.approx(0.6 / 40)  # backtest.spread_pips, where bars say none
    assert best[0].bars == 200
    assert best[0].day_range_pct == pytest.approx(100 * 0.0040 / 1.1)


def test_all_ranks_are_stored_with_the_reason_of_each_that_was_skipped(
    read: Read, pairs: dict[str, pd.DataFrame], made: MadeBars
) -> None:
    pairs["NZDUSD"], pairs["USDCHF"] = of_range(made, 5), of_range(made, 20, bars=14)
    volatility_rank_pairs(["EURUSD", "GBPUSD", "AUDUSD", "NZDUSD", "USDCHF", "USDCAD"], top_n=2, read=read)
    stored = list_ranks()
    assert stored["symbol"].tolist() == ["GBPUSD", "AUDUSD", "EURUSD", "NZDUSD", "USDCAD", "USDCHF"]
    assert stored["selected"].tolist() == [1, 1, 0, 0, 0, 0]
    assert stored["skipped"].fillna("").tolist() == [
        "",
        "",
        "Rank 3; the best 2 are selected.",
        "An average true range of 0.045 % of the price, below the least, 0.1 %.",
        "The store holds no bars of USDCAD. Collect them.",
        "14 bars on trading days; 15 are needed for the average.",
    ]
    assert stored["rank"].dropna().tolist() == [1, 2, 3]
    assert len(list_rankings()) == 1


def test_a_later_ranking_stands_beside_the_earlier_one(read: Read) -> None:
    volatility_rank_pairs(["EURUSD"], read=read)
    volatility_rank_pairs(["GBPUSD", "AUDUSD"], read=read)
    newest, oldest = list_rankings()
    assert list_ranks()["symbol"].tolist() == ["GBPUSD", "AUDUSD"]
    assert list_ranks(newest)["symbol"].tolist() == ["GBPUSD", "AUDUSD"]
    assert list_ranks(oldest)["symbol"].tolist() == ["EURUSD"]


def test_nothing_ranked_is_an_empty_list_and_an_empty_frame(read: Read) -> None:
    assert volatility_rank_pairs([], read=read) == []
    assert list_ranks().empty
    assert ranks_frame([]).empty


def test_the_average_is_that_of_the_indicators_over_bars_of_trading_days(sample: pd.DataFrame) -> None:
    found = measure(sample, "EURUSD", Timeframe.H1, SETTINGS)
    assert found.atr == pytest.approx(atr(sample.iloc[-200:], 14)[-1])
    # Quotes of a Saturday are no trading: they change nothing.
    saturday = pd.DatetimeIndex(pd.date_range("2018-02-03 00:00", periods=5, freq="h", tz="UTC", unit="us"))
    quiet = pd.DataFrame(1.24, index=saturday, columns=sample.columns)
    with_quotes = pd.concat([sample, quiet]).sort_index()
    assert len(with_quotes) == len(sample) + 5
    assert measure(with_quotes.rename_axis("time"), "EURUSD", Timeframe.H1, SETTINGS) == found
    coin = measure(with_quotes.rename_axis("time"), "BTCUSD", Timeframe.H1, SETTINGS)
    assert coin.atr != found.atr  # a market that never closes trades on Saturdays too


def test_the_range_of_days_is_that_of_whole_trading_days(sample: pd.DataFrame) -> None:
    settings = VolatilitySettings(lookback_bars=24 * 30)
    found = measure(sample, "EURUSD", Timeframe.H1, settings)
    hours = sample.iloc[-24 * 30 :]
    # 17:00 New York is 22:00 UTC in winter.
    days = hours.groupby((hours.index + pd.Timedelta(hours=2)).normalize())
    whole = days.agg({"high": "max", "low": "min", "close": "last"}).iloc[1:-1]
    before = whole["close"].shift(1)
    ranges = np.maximum(whole["high"], before) - np.minimum(whole["low"], before)
    assert found.day_range_pct == pytest.approx(100 * ranges.iloc[1:].mean() / sample["close"].iloc[-1], rel=0.05)


def test_the_spread_of_the_bars_makes_the_cost(made: MadeBars) -> None:
    bars = of_range(made, 20).assign(spread_points=12.0)
    assert measure(bars, "EURUSD", Timeframe.H1, SETTINGS).cost_to_atr == pytest.approx(1.2 / 20)


def test_pairs_may_name_their_own_timeframe_and_count_once(read: Read) -> None:
    best = volatility_rank_pairs([("eur/usd", "1h"), "EURUSD", ("EURUSD", "H4")], read=read)
    assert [(each.symbol, each.timeframe) for each in best] == [("EURUSD", "H1"), ("EURUSD", "H4")]


def test_a_tie_is_ranked_by_name() -> None:
    tied = [Volatility(name, "H1", atr_pct=0.2) for name in ("GBPUSD", "EURUSD")]
    assert [(each.symbol, each.rank) for each in ranked(tied, SETTINGS)] == [("EURUSD", 1), ("GBPUSD", 2)]


def test_constant_prices_are_skipped_and_break_nothing(made: MadeBars) -> None:
    flat = made([(1.1, 1.1, 1.1, 1.1)] * 50)
    [found] = rank_pairs([("EURUSD", Timeframe.H1)], SETTINGS, lambda *_: flat)
    assert found.rank is None
    assert found.skipped.startswith("An average true range of 0.000 %")


def test_bars_come_from_the_store_unless_they_are_given(sample: pd.DataFrame) -> None:
    BarStore().add("EURUSD", Timeframe.H1, "Sample", sample)
    [found] = volatility_rank_pairs(["EURUSD"], 100)
    assert found.bars == 100
    assert found.last_time == sample.index[-1]
    assert volatility_rank_pairs(["GBPUSD"]) == []
    assert list_ranks()["skipped"].tolist() == ["The store holds no H1 bars of GBPUSD. Collect them, or leave it out."]


@pytest.mark.parametrize("number", [0, -1, 2.5, True])
def test_numbers_that_cannot_be_meant_are_refused(read: Read, number: object) -> None:
    with pytest.raises(InputError, match=r"top_n_pairs=.* cannot be used\. Give a whole number from 1 on"):
        volatility_rank_pairs(["EURUSD"], 200, number, read=read)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"lookback_bars=.* cannot be used\. Give a whole number from 2 on"):
        volatility_rank_pairs(["EURUSD"], number, read=read)  # type: ignore[arg-type]
