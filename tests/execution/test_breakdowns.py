from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import UnknownNameError
from execution.breakdowns import DIMENSIONS, MONTHS, breakdown, monthly_pips, monthly_returns
from execution.drawdowns import worst_drawdowns
from execution.metrics import drawdown, longest_drawdown
from execution.result import TRADE_COLUMNS
from market.symbols import AssetClass

FX, CRYPTO = AssetClass.FX, AssetClass.CRYPTO


def traded(rows: list[tuple[str, str, float, float]], **columns: Any) -> pd.DataFrame:
    """Trades from (entry, exit, money, pips), long ones that a signal ended unless told otherwise."""
    entry, exit_, pnl, pips = zip(*rows, strict=True) if rows else ((), (), (), ())
    given = {
        "entry_time": pd.to_datetime(list(entry), utc=True),
        "exit_time": pd.to_datetime(list(exit_), utc=True),
        "pnl": np.array(pnl, dtype="float64"),
        "pips": np.array(pips, dtype="float64"),
        "side": "long",
        "exit_reason": "signal",
        **columns,
    }
    return pd.DataFrame(columns=list(TRADE_COLUMNS), index=range(len(rows))).assign(**given)


def one_at(moment: str) -> pd.DataFrame:
    return traded([(moment, moment, 1.0, 1.0)])


def curve(values: list[float], start: str = "2024-01-02", freq: str = "D") -> pd.Series:
    index = pd.date_range(start, periods=len(values), freq=freq, tz="UTC", name="time")
    return pd.Series(values, index=index, dtype="float64", name="equity")


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """2,000 trades over two years."""
    chance = np.random.default_rng(7)
    entry = pd.Timestamp("2023-01-02", tz="UTC") + pd.to_timedelta(np.sort(chance.integers(0, 1_000_000, 2000)), "min")
    pips = chance.normal(0, 20, 2000).round(1)
    return (
        traded([])
        .reindex(range(2000))
        .assign(
            entry_time=entry,
            exit_time=entry + pd.to_timedelta(chance.integers(1, 5000, 2000), "min"),
            pips=pips,
            pnl=10 * pips - 3,
            side=chance.choice(["long", "short"], 2000),
            exit_reason=chance.choice(["signal", "stop", "target"], 2000),
        )
    )


def test_each_group_has_its_hand_computed_figures() -> None:
    trades = traded(
        [
            ("2024-01-02 10:00", "2024-01-02 12:00", 30.0, 3.0),
            ("2024-01-02 13:00", "2024-01-02 14:00", -10.0, -1.5),
            ("2024-01-03 10:00", "2024-01-03 12:00", -5.0, 0.5),
            ("2024-01-03 10:00", "2024-01-03 12:00", 7.0, 1.0),
        ],
        side=["long", "long", "long", "short"],
    )
    found = breakdown(trades, "side", FX)
    assert list(found.columns) == ["trades", "win_rate", "pnl", "pips", "mean_pips", "profit_factor"]
    assert found.loc["long"].to_dict() == pytest.approx(
        {"trades": 3, "win_rate": 100 / 3, "pnl": 15.0, "pips": 2.0, "mean_pips": 2 / 3, "profit_factor": 30 / 15}
    )
    assert found.loc["short", "profit_factor"] == math.inf


def test_a_group_without_trades_says_so_and_one_without_gain_or_loss_has_no_profit_factor() -> None:
    found = breakdown(one_at("2024-01-02 10:00").assign(pnl=0.0), "side", FX)
    assert math.isnan(found.loc["long", "profit_factor"])
    assert found.loc["long", "win_rate"] == 0.0
    assert found.loc["short", ["trades", "pnl", "pips"]].tolist() == [0, 0, 0]
    assert found.loc["short", ["win_rate", "mean_pips", "profit_factor"]].isna().all()
    assert breakdown(one_at("2024-01-02 10:00").assign(pnl=-1.0), "side", FX).loc["long", "profit_factor"] == 0.0


@pytest.mark.parametrize("by", DIMENSIONS)
@pytest.mark.parametrize("asset_class", [FX, CRYPTO])
def test_the_rows_of_every_breakdown_add_up_to_the_whole_run(
    many: pd.DataFrame, by: str, asset_class: AssetClass
) -> None:
    found = breakdown(many, by, asset_class)
    assert found["trades"].sum() == len(many)
    assert found["pnl"].sum() == pytest.approx(many["pnl"].sum())
    assert found["pips"].sum() == pytest.approx(many["pips"].sum())
    assert found.index.is_unique


@pytest.mark.parametrize("by", DIMENSIONS)
def test_a_run_without_trades_breaks_down_into_nothing(by: str) -> None:
    assert breakdown(traded([]), by, FX)["trades"].sum() == 0


def test_the_order_of_the_trades_does_not_matter(many: pd.DataFrame) -> None:
    for by in DIMENSIONS:
        pd.testing.assert_frame_equal(breakdown(many.sample(frac=1, random_state=3), by, FX), breakdown(many, by, FX))


@pytest.mark.parametrize(
    ("moment", "hour", "trading_hour"),
    [
        ("2024-01-16 22:30", 22, 0),  # winter: New York is five hours behind, its 17:00 is 22:00 UTC
        ("2024-07-16 21:30", 21, 0),  # summer: four hours
        ("2024-07-16 20:59", 20, 23),
        ("2024-03-12 13:00", 13, 16),  # between the changes of the clocks of New York and Europe
    ],
)
def test_hours_are_counted_in_utc_and_from_the_beginning_of_the_trading_day(
    moment: str, hour: int, trading_hour: int
) -> None:
    trades = one_at(moment)
    assert breakdown(trades, "hour", FX).query("trades > 0").index.tolist() == [hour]
    assert breakdown(trades, "trading_hour", FX).query("trades > 0").index.tolist() == [trading_hour]
    assert breakdown(trades, "trading_hour", CRYPTO).query("trades > 0").index.tolist() == [hour]
    assert len(breakdown(trades, "hour", FX)) == len(breakdown(trades, "trading_hour", FX)) == 24


def test_the_evening_belongs_to_the_next_trading_day() -> None:
    sunday = one_at("2024-07-14 22:00")
    found = breakdown(sunday, "weekday", FX)
    assert found.index.tolist() == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    assert found.loc["Monday", "trades"] == 1
    crypto = breakdown(sunday, "weekday", CRYPTO)
    assert (len(crypto), crypto.loc["Sunday", "trades"]) == (7, 1)


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2024-07-16 02:00", "sydney + tokyo"),
        ("2024-07-16 08:30", "tokyo + london"),
        ("2024-07-16 10:00", "london"),
        ("2024-07-16 13:00", "london + new_york"),
        ("2024-07-16 17:00", "new_york"),
        ("2024-12-17 12:30", "london"),  # in winter New York opens an hour later on the UTC clock
        ("2024-12-17 21:00", "sydney + new_york"),
        ("2024-07-13 12:00", "none"),  # a Saturday
    ],
)
def test_a_trade_counts_under_all_sessions_open_at_its_entry(moment: str, session: str) -> None:
    assert breakdown(one_at(moment), "session", FX).index.tolist() == [session]


def test_sessions_stand_in_the_order_of_the_day() -> None:
    hours = pd.date_range("2024-12-16 00:00", periods=24 * 6, freq="h", tz="UTC")
    trades = traded([(str(hour), str(hour), 1.0, 1.0) for hour in hours])
    assert breakdown(trades, "session", FX).index.tolist() == [
        "sydney",
        "sydney + tokyo",
        "tokyo",
        "tokyo + london",
        "london",
        "london + new_york",
        "new_york",
        "sydney + new_york",
        "none",
    ]


def test_reasons_of_exit_come_by_their_number(many: pd.DataFrame) -> None:
    found = breakdown(many, "exit_reason", FX)
    assert found["trades"].tolist() == sorted(found["trades"], reverse=True)


def test_months_are_those_of_the_exit_without_a_gap_between() -> None:
    trades = traded(
        [
            ("2024-01-30 10:00", "2024-01-31 21:30", 1.0, 1.0),  # before 22:00 UTC: still January in New York
            ("2024-01-30 10:00", "2024-01-31 22:30", 2.0, 2.0),  # the trading day of 1 February
            ("2024-04-02 10:00", "2024-04-02 11:00", 4.0, 4.0),
        ]
    )
    found = breakdown(trades, "month", FX)
    assert found["pnl"].to_dict() == {"2024-01": 1.0, "2024-02": 2.0, "2024-03": 0.0, "2024-04": 4.0}
    pips = monthly_pips(trades, FX)
    assert pips.loc[2024, ["Jan", "Feb", "Apr", "Year"]].tolist() == [1.0, 2.0, 4.0, 7.0]
    assert pips.loc[2024].isna().sum() == 9


def test_an_unknown_dimension_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'weekday'"):
        breakdown(traded([]), "weekdays", FX)


def test_the_return_of_a_month_runs_from_close_to_close() -> None:
    days = pd.DatetimeIndex(["2023-12-15", "2024-01-10", "2024-01-31", "2024-03-01", "2025-01-02"], tz="UTC")
    equity = pd.Series([110.0, 105.0, 99.0, 118.8, 0.0], index=days)
    found = monthly_returns(equity, 100.0, CRYPTO)
    assert found.columns.tolist() == [*MONTHS, "Year"]
    assert found.loc[2023, "Dec"] == pytest.approx(10.0)  # from the starting cash
    assert found.loc[2024, "Jan"] == pytest.approx(-10.0)
    assert found.loc[2024, "Mar"] == pytest.approx(20.0)
    assert found.loc[2024, "Year"] == pytest.approx(8.0)  # 0.9 × 1.2
    assert found.loc[2025, ["Jan", "Year"]].tolist() == [-100.0, -100.0]
    assert found.loc[2024].isna().sum() == 10


def test_the_months_compound_to_the_result_of_the_run() -> None:
    chance = np.random.default_rng(5)
    equity = curve(list(10_000 * np.exp(np.cumsum(chance.normal(0, 0.01, 900)))), freq="11h")
    found = monthly_returns(equity, 9_000.0, FX)
    assert np.prod(1 + found[list(MONTHS)].stack() / 100) == pytest.approx(equity.iloc[-1] / 9_000)
    assert np.prod(1 + found["Year"] / 100) == pytest.approx(equity.iloc[-1] / 9_000)


def test_after_a_ruin_months_change_nothing() -> None:
    equity = pd.Series([50.0, 0.0, 0.0], index=pd.DatetimeIndex(["2024-01-10", "2024-02-10", "2024-03-10"], tz="UTC"))
    assert monthly_returns(equity, 100.0, CRYPTO).loc[2024, ["Jan", "Feb", "Mar"]].tolist() == [-50.0, -100.0, 0.0]


def test_the_worst_drawdowns_come_with_their_times_depths_and_lengths() -> None:
    #                    0    1   2    3    4   5   6    7    8    9
    found = worst_drawdowns(curve([100, 90, 100, 120, 60, 90, 130, 120, 117, 129]))
    day = pd.Timestamp("2024-01-02", tz="UTC")
    assert ((found["start"] - day) / pd.Timedelta(days=1)).tolist() == [3, 0, 6]
    assert ((found["trough"] - day) / pd.Timedelta(days=1)).tolist() == [4, 1, 8]
    assert ((found["recovery"] - day) / pd.Timedelta(days=1)).tolist()[:2] == [6, 2]
    assert pd.isna(found["recovery"].iloc[2])
    assert found["depth_pct"].tolist() == pytest.approx([-50.0, -10.0, -10.0])  # the earlier of equals first
    assert found["depth_money"].tolist() == [-60.0, -10.0, -13.0]
    assert found["days"].tolist() == [3.0, 2.0, 3.0]
    assert found["days_to_trough"].tolist() == [1.0, 1.0, 2.0]
    assert found["days_to_recovery"].tolist()[:2] == [2.0, 1.0]
    assert math.isnan(found["days_to_recovery"].iloc[2])


def test_no_more_drawdowns_are_listed_than_asked_for() -> None:
    equity = curve([100, 90, 100, 80, 100, 95, 100])
    assert worst_drawdowns(equity, 2)["depth_pct"].tolist() == pytest.approx([-20.0, -10.0])
    assert len(worst_drawdowns(equity, 0)) == 0


@pytest.mark.parametrize("values", [[100.0], [100.0, 100.0], [100.0, 101.0, 102.0]])
def test_a_curve_that_never_falls_has_no_drawdown(values: list[float]) -> None:
    found = worst_drawdowns(curve(values))
    assert len(found) == 0
    assert str(found["start"].dtype).endswith("UTC]")


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_drawdown_is_the_one_that_the_statistics_name(seed: int) -> None:
    equity = curve(list(np.random.default_rng(seed).normal(0, 1, 500).cumsum().round() + 1000))
    found = worst_drawdowns(equity, 500)
    assert found["depth_pct"].iloc[0] == pytest.approx(100 * drawdown(equity).min())
    assert found["days"].max() == longest_drawdown(equity) / pd.Timedelta(days=1)
    assert found["depth_pct"].is_monotonic_increasing
