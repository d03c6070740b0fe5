"""Figures of a backtest, on the market's own days; each with its unit, formula and source.

Daily returns are simple returns between the closes of trading days (FX: 17:00 New York), the first day,
which has no close before it, left out. They are annualised with the square root of returns per year *as
measured* over the run, or at most √260 when there are fewer than 60. The risk-free rate is zero throughout.

What cannot be computed is NaN. The profit factor alone may be infinite: every other ratio whose divisor is
missing is NaN, so that JSON, which has no infinity, loses nothing else (`core.plain` writes ∞ as null; the
column `profit_factor` and CSV files keep it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from market.calendar import trading_day
from market.symbols import AssetClass

FEW_RETURNS = 60
DAYS_IF_FEW = 260.0
# Below so many trades a ratio says little; pages show the count instead. Of 30 trades the mean is still unsure by
# a fifth of their standard deviation (1/√30), and the normal approximation that every test leans on begins here.
ENOUGH_TRADES = 30
# One day in twenty, by which the tails of daily returns are told.
_TAIL = 0.05
_HOUR = 3_600_000_000  # microseconds
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Metric:
    """How a figure is written and where it comes from.

    `unit` is %, money, pips, days, hours, trades or empty for a ratio. `higher_is_better` is None where neither
    end is, and decides which of several runs is marked as the better one.
    """

    title: str
    unit: str
    formula: str
    source: str = "definition"
    is_ratio: bool = False
    higher_is_better: bool | None = None


METRICS: dict[str, Metric] = {
    "total_return": Metric("Net result", "%", "final equity / starting cash − 1", higher_is_better=True),
    "net_profit": Metric("Net profit", "money", "final equity − starting cash, costs deducted", higher_is_better=True),
    "final_equity": Metric(
        "Final equity",
        "money",
        "cash after the last position was closed, at the last bar's open",
        higher_is_better=True,
    ),
    "cagr_pct": Metric(
        "CAGR", "%", "(final equity / starting cash)^(1 / years) − 1, years of 365.25 days", higher_is_better=True
    ),
    "volatility_pct": Metric(
        "Volatility",
        "% a year",
        "standard deviation (ddof 1) of daily returns × √(returns per year)",
        higher_is_better=False,
    ),
    "sharpe_ratio": Metric(
        "Sharpe",
        "",
        "mean / standard deviation (ddof 1) of daily returns × √(returns per year), risk-free rate 0",
        "W. F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management, 1994",
        is_ratio=True,
        higher_is_better=True,
    ),
    "sortino_ratio": Metric(
        "Sortino",
        "",
        "mean daily return / √(mean of squared negative returns over all days) × √(returns per year)",
        "F. A. Sortino and L. N. Price, Journal of Investing, 1994",
        is_ratio=True,
        higher_is_better=True,
    ),
    "calmar_ratio": Metric(
        "Calmar",
        "",
        "CAGR / largest drawdown",
        "T. W. Young, Futures magazine, 1991",
        is_ratio=True,
        higher_is_better=True,
    ),
    "max_drawdown": Metric(
        "Largest drawdown", "%", "lowest of equity / highest equity before − 1, bar by bar", higher_is_better=True
    ),
    "max_drawdown_money": Metric(
        "Largest drawdown in money",
        "money",
        "lowest of equity − highest equity before, bar by bar",
        higher_is_better=True,
    ),
    "max_drawdown_days": Metric(
        "Longest under water",
        "days",
        "longest time from a high of equity until it is reached again, or until the end",
        higher_is_better=False,
    ),
    "ulcer_index": Metric(
        "Ulcer index",
        "%",
        "√(mean of squared drawdown), bar by bar",
        "P. G. Martin and B. McCann, The Investor's Guide to Fidelity Funds, 1989",
        higher_is_better=False,
    ),
    "recovery_factor": Metric(
        "Recovery factor",
        "",
        "net profit / largest drawdown in money",
        "MetaTrader 5, Strategy Tester report",
        is_ratio=True,
        higher_is_better=True,
    ),
    "exposure_pct": Metric("Time in market", "%", "bars with an open position / all bars"),
    "trades_count": Metric("Trades", "trades", "closed positions, the one closed at the end included"),
    "win_rate": Metric("Won", "%", "trades with a profit after costs / all trades", higher_is_better=True),
    "profit_factor": Metric(
        "Profit factor",
        "",
        "sum of profits / sum of losses; ∞ without a loss",
        is_ratio=True,
        higher_is_better=True,
    ),
    "payoff_ratio": Metric("Payoff ratio", "", "average win / average loss", is_ratio=True, higher_is_better=True),
    "sqn": Metric(
        "SQN",
        "",
        "√trades × mean / standard deviation (ddof 1) of a trade's profit",
        "V. K. Tharp, Definitive Guide to Position Sizing, 2008",
        is_ratio=True,
        higher_is_better=True,
    ),
    "expectancy": Metric("Net per trade", "money", "mean profit of a trade after costs", higher_is_better=True),
    "average_pips": Metric(
        "Net per trade, price only", "pips", "mean of (exit − entry) × side, commission aside", higher_is_better=True
    ),
    "average_win": Metric("Average win", "money", "mean profit of the trades won", higher_is_better=True),
    "average_loss": Metric("Average loss", "money", "mean loss of the trades lost", higher_is_better=True),
    "best_trade": Metric("Best trade", "money", "largest profit of one trade", higher_is_better=True),
    "worst_trade": Metric("Worst trade", "money", "largest loss of one trade", higher_is_better=True),
    "gross_profit": Metric("Gross profit", "money", "sum of the trades won", higher_is_better=True),
    "gross_loss": Metric("Gross loss", "money", "sum of the trades lost, zero or less", higher_is_better=True),
    "longest_winning_streak": Metric(
        "Longest winning streak", "trades", "most winning trades in a row, by exit", higher_is_better=True
    ),
    "longest_losing_streak": Metric(
        "Longest losing streak", "trades", "most losing trades in a row, by exit", higher_is_better=False
    ),
    "average_trade_hours": Metric("Average trade", "hours", "mean of exit − entry, weekends included"),
    "longest_trade_hours": Metric("Longest trade", "hours", "largest of exit − entry, weekends included"),
    "commissions": Metric("Commissions", "money", "sum over all trades", higher_is_better=False),
    "swaps": Metric("Swap", "money", "sum over all trades; negative where it is paid", higher_is_better=True),
    "days_won_pct": Metric("Days won", "%", "daily returns above zero / daily returns", higher_is_better=True),
    "best_day_pct": Metric("Best day", "%", "largest daily return", higher_is_better=True),
    "worst_day_pct": Metric("Worst day", "%", "smallest daily return", higher_is_better=True),
    "value_at_risk_pct": Metric(
        "Value at risk, a day",
        "%",
        "5 % quantile of daily returns, interpolated",
        "P. Jorion, Value at Risk, 3rd edition, 2006: historical simulation",
        higher_is_better=True,
    ),
    "tail_ratio": Metric(
        "Tail ratio",
        "",
        "95 % quantile / −(5 % quantile) of daily returns; unknown where no tail loses",
        is_ratio=True,
        higher_is_better=True,
    ),
    "skewness": Metric(
        "Skewness",
        "",
        "third central moment of daily returns / standard deviation (ddof 0)³; 0 for a normal distribution",
        is_ratio=True,
        higher_is_better=True,
    ),
    "kurtosis": Metric(
        "Kurtosis",
        "",
        "fourth central moment of daily returns / variance (ddof 0)²; 3 for a normal distribution",
        is_ratio=True,
    ),
    "trading_days": Metric("Trading days", "days", "days with a close, 17:00 New York for FX"),
    "returns_per_year": Metric("Returns per year", "", "daily returns / years measured; at most 260 below 60 returns"),
}


def enough(trades: float) -> bool:
    """Whether a ratio may be shown for so many trades: from `ENOUGH_TRADES` on; below, show the count."""
    return trades >= ENOUGH_TRADES


def compute_metrics(equity: pd.Series, trades: pd.DataFrame, cash: float, asset_class: AssetClass) -> dict[str, float]:
    """All of `METRICS` for one run; what cannot be computed is NaN.

    `equity` is money at each bar's close (aware UTC index), `trades` the table of `execution.result`.
    """
    returns = daily_returns(equity, asset_class)
    per_year = returns_per_year(returns, equity)
    years = _years(equity)
    final = float(equity.iloc[-1])
    cagr = _growth_per_year(final / cash, years)
    under = drawdown(equity)
    largest, largest_money = float(under.min()), float((equity - equity.cummax()).min())
    return {
        "total_return": 100 * (final / cash - 1),
        "net_profit": final - cash,
        "final_equity": final,
        "cagr_pct": 100 * cagr,
        "volatility_pct": 100 * float(returns.std(ddof=1)) * math.sqrt(per_year),
        "sharpe_ratio": sharpe_ratio(returns, per_year),
        "sortino_ratio": sortino_ratio(returns, per_year),
        "calmar_ratio": cagr / -largest if largest < 0 else math.nan,
        "max_drawdown": 100 * largest,
        "max_drawdown_money": largest_money,
        "max_drawdown_days": longest_drawdown(equity) / pd.Timedelta(days=1),
        "ulcer_index": 100 * math.sqrt(float(np.square(under.to_numpy()).mean())),
        "recovery_factor": (final - cash) / -largest_money if largest_money < 0 else math.nan,
        "exposure_pct": 100 * _bars_in_market(trades, len(equity)) / len(equity),
        **trade_metrics(trades),
        **day_metrics(returns),
        "trading_days": float(len(returns) + 1),
        "returns_per_year": per_year,
    }


def day_ends(times: pd.DatetimeIndex, asset_class: AssetClass) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The positions of the bars that close a trading day, the last bar included; `times` are aware and increasing."""
    # Days are cut at full hours, so each hour met is asked for its day once, not each of a million minutes.
    hours = times.as_unit("us").asi8 // _HOUR
    last = np.flatnonzero(np.append(hours[1:] != hours[:-1], np.ones(min(1, len(hours)), dtype=bool)))
    moments = pd.DatetimeIndex((hours[last] * 3600).astype("datetime64[s]")).tz_localize("UTC")
    days = trading_day(moments, asset_class).asi8
    return np.asarray(last[np.append(days[1:] != days[:-1], np.ones(min(1, len(days)), dtype=bool))], dtype="int64")


def daily_returns(equity: pd.Series, asset_class: AssetClass) -> pd.Series:
    """Simple returns between the closes of successive trading days; index: the trading day."""
    closes = daily_closes(equity, asset_class)
    # Of an account that is ruined nothing changes any more; those days count as well.
    return closes.pct_change(fill_method=None).iloc[1:].fillna(0.0)


def daily_closes(equity: pd.Series, asset_class: AssetClass) -> pd.Series:
    """Equity at the close of each trading day; index: the trading day, as naive midnights."""
    closes = equity.iloc[day_ends(pd.DatetimeIndex(equity.index), asset_class)]
    return closes.set_axis(trading_day(pd.DatetimeIndex(closes.index), asset_class))


def returns_per_year(returns: pd.Series, equity: pd.Series) -> float:
    """How many daily returns a year holds, measured over the run; at most 260 when it is too short to tell.

    Bars of a week or a month give fewer returns than there are days, and are counted as they are.
    """
    years = _years(equity)
    measured = len(returns) / years if years > 0 else DAYS_IF_FEW
    return float(measured if len(returns) >= FEW_RETURNS else min(measured, DAYS_IF_FEW))


def sharpe_ratio(returns: pd.Series, per_year: float) -> float:
    """Annualised Sharpe ratio of daily returns; NaN without variation."""
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(per_year) if deviation > 0 else math.nan


def sortino_ratio(returns: pd.Series, per_year: float) -> float:
    """Annualised Sortino ratio of daily returns, target 0; NaN without a losing day."""
    downside = math.sqrt(float((returns.clip(upper=0) ** 2).mean())) if len(returns) else 0.0
    return float(returns.mean()) / downside * math.sqrt(per_year) if downside > 0 else math.nan


def drawdown(equity: pd.Series) -> pd.Series:
    """Equity against its highest value so far, as a fraction ≤ 0."""
    return equity / equity.cummax() - 1


def longest_drawdown(equity: pd.Series) -> pd.Timedelta:
    """The longest time from a high of equity until it is reached again, or until the end; zero if never below."""
    at_high = np.flatnonzero(equity.to_numpy() >= equity.cummax().to_numpy())
    bars = np.append(at_high, len(equity) - 1)
    begins, ends = bars[:-1], bars[1:]
    under = (ends - begins > 1) | (equity.to_numpy()[ends] < equity.to_numpy()[begins])
    if not under.any():
        return pd.Timedelta(0)
    return pd.Timedelta((equity.index[ends[under]] - equity.index[begins[under]]).max())


def trade_metrics(trades: pd.DataFrame) -> dict[str, float]:
    """The figures that need nothing but the trades."""
    profit = trades["pnl"].to_numpy(dtype="float64")
    won, lost = profit[profit > 0], profit[profit < 0]
    gains, losses = float(won.sum()), -float(lost.sum())
    entries, exits = (pd.to_datetime(trades[name], utc=True) for name in ("entry_time", "exit_time"))
    in_order = profit[np.argsort(pd.DatetimeIndex(exits).asi8, kind="stable")]
    hours = (exits - entries).dropna().dt.total_seconds().to_numpy() / 3600
    deviation = float(profit.std(ddof=1)) if len(profit) > 1 else 0.0
    return {
        "trades_count": float(len(profit)),
        "win_rate": 100 * len(won) / len(profit) if len(profit) else math.nan,
        "profit_factor": profit_factor(gains, losses),
        "payoff_ratio": _mean(won) / -_mean(lost) if len(lost) else math.nan,
        "sqn": math.sqrt(len(profit)) * _mean(profit) / deviation if deviation > 0 else math.nan,
        "expectancy": _mean(profit),
        "average_pips": _mean(trades["pips"].to_numpy(dtype="float64")),
        "average_win": _mean(won),
        "average_loss": _mean(lost),
        "best_trade": float(profit.max()) if len(profit) else math.nan,
        "worst_trade": float(profit.min()) if len(profit) else math.nan,
        "gross_profit": gains,
        "gross_loss": -losses,
        "longest_winning_streak": float(_longest_streak(in_order > 0)),
        "longest_losing_streak": float(_longest_streak(in_order < 0)),
        "average_trade_hours": _mean(hours),
        "longest_trade_hours": float(hours.max()) if len(hours) else math.nan,
        "commissions": float(trades["commission"].sum()),
        "swaps": float(trades["swap"].sum()) if "swap" in trades.columns else 0.0,
    }


def profit_factor(gains: float, losses: float) -> float:
    """Sum of profits over sum of losses (both ≥ 0): ∞ without a loss, NaN without either."""
    return gains / losses if losses > 0 else (math.inf if gains > 0 else math.nan)


def day_metrics(returns: pd.Series) -> dict[str, float]:
    """The figures that need nothing but the daily returns."""
    values = returns.to_numpy(dtype="float64")
    if not len(values):
        return dict.fromkeys(_OF_DAYS, math.nan)
    low, high = (float(edge) for edge in np.quantile(values, [_TAIL, 1 - _TAIL]))
    skewness, kurtosis = shape(values)
    figures = (
        100 * float((values > 0).mean()),
        100 * float(values.max()),
        100 * float(values.min()),
        100 * low,
        high / -low if low < 0 else math.nan,
        skewness,
        kurtosis,
    )
    return dict(zip(_OF_DAYS, figures, strict=True))


_OF_DAYS = (
    "days_won_pct",
    "best_day_pct",
    "worst_day_pct",
    "value_at_risk_pct",
    "tail_ratio",
    "skewness",
    "kurtosis",
)


def shape(returns: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Skewness and Pearson's kurtosis (3 for a normal distribution) as population moments; NaN without variation."""
    if len(returns) < 2 or np.ptp(returns) == 0:
        return math.nan, math.nan
    # Scaled first: the fourth power of a return of 1e-90 would be zero.
    centred = (returns - returns.mean()) / np.ptp(returns)
    variance = float(np.square(centred).mean())
    return float((centred**3).mean()) / variance**1.5, float((centred**4).mean()) / variance**2


def _growth_per_year(growth: float, years: float) -> float:
    try:
        return growth ** (1 / years) - 1 if growth >= 0 and years > 0 else math.nan
    except OverflowError:  # the gain of a few minutes, taken for every minute of a year
        return math.nan


def _years(equity: pd.Series) -> float:
    return float((equity.index[-1] - equity.index[0]).total_seconds() / 86_400 / _DAYS_PER_YEAR)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _longest_streak(flags: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    """The most True in a row: the widest gap between two False, the ends counting as such."""
    false = np.flatnonzero(np.concatenate([[True], ~flags, [True]]))
    return int(np.diff(false).max()) - 1


def _bars_in_market(trades: pd.DataFrame, bars: int) -> int:
    held = np.zeros(bars + 1, dtype=np.int64)
    np.add.at(held, trades["entry_bar"].to_numpy(dtype=int), 1)
    np.add.at(held, trades["exit_bar"].to_numpy(dtype=int) + 1, -1)
    return int((held.cumsum()[:bars] > 0).sum())
