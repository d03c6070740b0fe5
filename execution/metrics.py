"""Figures of a backtest, on the market's own days; each with its unit, formula and source.

Daily returns are simple returns between the closes of trading days (FX: 17:00 New York), the first day,
which has no close before it, left out. They are annualised with the square root of returns per year *as
measured* over the run, or at most √260 when there are fewer than 60. The risk-free rate is zero throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from market.calendar import trading_day
from market.symbols import AssetClass

FEW_RETURNS = 60
DAYS_IF_FEW = 260.0
# Below so many trades a ratio says little; pages show the count instead.
ENOUGH_TRADES = 30
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Metric:
    """How a figure is written and where it comes from. `unit` is %, money, pips, days, trades or empty for a ratio."""

    title: str
    unit: str
    formula: str
    source: str = "definition"
    is_ratio: bool = False


METRICS: dict[str, Metric] = {
    "total_return": Metric("Net result", "%", "final equity / starting cash − 1"),
    "net_profit": Metric("Net profit", "money", "final equity − starting cash, costs deducted"),
    "final_equity": Metric("Final equity", "money", "cash after the last position was closed, at the last bar's open"),
    "cagr_pct": Metric("CAGR", "%", "(final equity / starting cash)^(1 / years) − 1, years of 365.25 days"),
    "volatility_pct": Metric(
        "Volatility", "% a year", "standard deviation (ddof 1) of daily returns × √(returns per year)"
    ),
    "sharpe_ratio": Metric(
        "Sharpe",
        "",
        "mean / standard deviation (ddof 1) of daily returns × √(returns per year), risk-free rate 0",
        "W. F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management, 1994",
        is_ratio=True,
    ),
    "sortino_ratio": Metric(
        "Sortino",
        "",
        "mean daily return / √(mean of squared negative returns over all days) × √(returns per year)",
        "F. A. Sortino and L. N. Price, Journal of Investing, 1994",
        is_ratio=True,
    ),
    "calmar_ratio": Metric(
        "Calmar", "", "CAGR / largest drawdown", "T. W. Young, Futures magazine, 1991", is_ratio=True
    ),
    "max_drawdown": Metric("Largest drawdown", "%", "lowest of equity / highest equity before − 1, bar by bar"),
    "max_drawdown_days": Metric(
        "Longest under water", "days", "longest time from a high of equity until it is reached again, or until the end"
    ),
    "exposure_pct": Metric("Time in market", "%", "bars with an open position / all bars"),
    "trades_count": Metric("Trades", "trades", "closed positions, the one closed at the end included"),
    "win_rate": Metric("Won", "%", "trades with a profit after costs / all trades"),
    "profit_factor": Metric("Profit factor", "", "sum of profits / sum of losses; ∞ without a loss", is_ratio=True),
    "expectancy": Metric("Net per trade", "money", "mean profit of a trade after costs"),
    "average_pips": Metric("Net per trade, price only", "pips", "mean of (exit − entry) × side, commission aside"),
    "average_win": Metric("Average win", "money", "mean profit of the trades won"),
    "average_loss": Metric("Average loss", "money", "mean loss of the trades lost"),
    "best_trade": Metric("Best trade", "money", "largest profit of one trade"),
    "worst_trade": Metric("Worst trade", "money", "largest loss of one trade"),
    "longest_losing_streak": Metric("Longest losing streak", "trades", "most losing trades in a row, by exit"),
    "commissions": Metric("Commissions", "money", "sum over all trades"),
    "trading_days": Metric("Trading days", "days", "days with a close, 17:00 New York for FX"),
    "returns_per_year": Metric("Returns per year", "", "daily returns / years measured; at most 260 below 60 returns"),
}


def compute_metrics(equity: pd.Series, trades: pd.DataFrame, cash: float, asset_class: AssetClass) -> dict[str, float]:
    """All of `METRICS` for one run; what cannot be computed is NaN.

    `equity` is money at each bar's close (aware UTC index), `trades` the table of `execution.result`.
    """
    returns = daily_returns(equity, asset_class)
    per_year = returns_per_year(returns, equity)
    years = _years(equity)
    growth = float(equity.iloc[-1]) / cash
    cagr = _growth_per_year(growth, years)
    largest = float(drawdown(equity).min())
    return {
        "total_return": 100 * (growth - 1),
        "net_profit": float(equity.iloc[-1]) - cash,
        "final_equity": float(equity.iloc[-1]),
        "cagr_pct": 100 * cagr,
        "volatility_pct": 100 * float(returns.std(ddof=1)) * math.sqrt(per_year),
        "sharpe_ratio": sharpe_ratio(returns, per_year),
        "sortino_ratio": sortino_ratio(returns, per_year),
        "calmar_ratio": cagr / -largest if largest < 0 else math.nan,
        "max_drawdown": 100 * largest,
        "max_drawdown_days": longest_drawdown(equity) / pd.Timedelta(days=1),
        "exposure_pct": 100 * _bars_in_market(trades, len(equity)) / len(equity),
        **trade_metrics(trades),
        "trading_days": float(len(returns) + 1),
        "returns_per_year": per_year,
    }


def daily_returns(equity: pd.Series, asset_class: AssetClass) -> pd.Series:
    """Simple returns between the closes of successive trading days; index: the trading day."""
    closes = equity.groupby(trading_day(pd.DatetimeIndex(equity.index), asset_class)).last()
    # Of an account that is ruined nothing changes any more; those days count as well.
    return closes.pct_change(fill_method=None).iloc[1:].fillna(0.0)


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
    return {
        "trades_count": float(len(profit)),
        "win_rate": 100 * len(won) / len(profit) if len(profit) else math.nan,
        "profit_factor": gains / losses if losses > 0 else (math.inf if gains > 0 else math.nan),
        "expectancy": _mean(profit),
        "average_pips": _mean(trades["pips"].to_numpy(dtype="float64")),
        "average_win": _mean(won),
        "average_loss": _mean(lost),
        "best_trade": float(profit.max()) if len(profit) else math.nan,
        "worst_trade": float(profit.min()) if len(profit) else math.nan,
        "longest_losing_streak": float(_longest_streak(trades.sort_values("exit_time")["pnl"].to_numpy() < 0)),
        "commissions": float(trades["commission"].sum()),
    }


def _growth_per_year(growth: float, years: float) -> float:
    try:
        return growth ** (1 / years) - 1 if growth >= 0 and years > 0 else math.nan
    except OverflowError:  # the gain of a few minutes, taken for every minute of a year
        return math.nan


def _years(equity: pd.Series) -> float:
    return float((equity.index[-1] - equity.index[0]).total_seconds() / 86_400 / _DAYS_PER_YEAR)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _longest_streak(flags: np.ndarray) -> int:
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest


def _bars_in_market(trades: pd.DataFrame, bars: int) -> int:
    held = np.zeros(bars + 1, dtype=np.int64)
    np.add.at(held, trades["entry_bar"].to_numpy(dtype=int), 1)
    np.add.at(held, trades["exit_bar"].to_numpy(dtype=int) + 1, -1)
    return int((held.cumsum()[:bars] > 0).sum())
