"""Where a run earns and loses: its trades by month, weekday, hour, session, side and reason of exit.

A trade belongs to the weekday, hour and session in which it was entered, because that is when the decision was
taken, and to the month of the trading day on which it ended, because that is when its money was booked.

Hours come twice. `hour` is the UTC hour of the clock. `trading_hour` counts from the beginning of the trading
day (FX: 0 is 17:00 to 18:00 New York), so that one number means the same time of the market in summer and in
winter. Sessions overlap; each trade is counted once, under all the sessions open at its entry ("london +
new_york"), so that the rows of every breakdown add up to the whole run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from core.errors import UnknownNameError
from core.names import nearest
from data.time_features import SESSIONS, session_flag
from execution.metrics import daily_closes
from market.calendar import day_clock, trading_day
from market.symbols import AssetClass

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
YEAR = "Year"
NO_SESSION = "none"


def breakdown(trades: pd.DataFrame, by: str, asset_class: AssetClass) -> pd.DataFrame:
    """The trades of each group of a dimension of `DIMENSIONS`; a row a group, in its natural order.

    `trades` has the columns of `execution.result`. Columns: `trades`, `win_rate` (% with a profit after costs),
    `pnl` (money after costs), `pips` and `mean_pips` (price only), `profit_factor` (sum of profits / sum of
    losses, ∞ without a loss). Groups without a trade have 0 trades and NaN for what cannot be said of them.
    Raises UnknownNameError for another dimension.
    """
    if by not in DIMENSIONS:
        meant = nearest(by, DIMENSIONS)
        raise UnknownNameError(
            f"Trades are not broken down by {by!r}.",
            f"{f'Did you mean {meant!r}? ' if meant else ''}There are: {', '.join(DIMENSIONS)}.",
        )
    profit, pips = (trades[name].to_numpy(dtype="float64") for name in ("pnl", "pips"))
    each = pd.DataFrame(
        {
            "trades": 1,
            "won": profit > 0,
            "pnl": profit,
            "pips": pips,
            "gains": np.maximum(profit, 0.0),
            "losses": np.maximum(-profit, 0.0),
        }
    )
    groups = pd.Series(DIMENSIONS[by](trades, asset_class), name=by)
    sums = each.groupby(groups, observed=False).sum()
    count, losses = sums["trades"].where(sums["trades"] > 0), sums["losses"].where(sums["losses"] > 0)
    only_gains = (sums["gains"] > 0) & (sums["losses"] == 0)
    return pd.DataFrame(
        {
            "trades": sums["trades"].astype("int64"),
            "win_rate": 100 * sums["won"] / count,
            "pnl": sums["pnl"],
            "pips": sums["pips"],
            "mean_pips": sums["pips"] / count,
            "profit_factor": (sums["gains"] / losses).mask(only_gains, np.inf),
        }
    )


def monthly_returns(equity: pd.Series, cash: float, asset_class: AssetClass) -> pd.DataFrame:
    """Return of each month in %, a row a year, columns `MONTHS` and `Year`; NaN where the run was not.

    From close to close of the last trading day of each month, the first month from `cash` on; the year is
    compounded: ∏(1 + month) − 1. Months are those of trading days (FX: 17:00 New York).
    """
    closes = daily_closes(equity, asset_class)
    days = pd.DatetimeIndex(closes.index)
    of_month = closes.groupby([days.year, days.month]).last()
    before = np.concatenate([[cash], of_month.to_numpy()[:-1]])
    # After a ruin nothing changes any more.
    growth = pd.Series(np.divide(of_month, before, out=np.ones(len(of_month)), where=before != 0), of_month.index)
    table = _years_by_months(growth)
    table[YEAR] = table.prod(axis=1, skipna=True)
    return 100 * (table - 1)


def monthly_pips(trades: pd.DataFrame, asset_class: AssetClass) -> pd.DataFrame:
    """Sum of pips of the trades that ended in each month, a row a year, columns `MONTHS` and `Year`; NaN without one.

    A pip is a pip whatever the size traded, so that this map shows the strategy and not its sizing.
    """
    days = trading_day(_times(trades["exit_time"]), asset_class)
    sums = pd.Series(trades["pips"].to_numpy(dtype="float64")).groupby([days.year, days.month]).sum()
    table = _years_by_months(sums)
    table[YEAR] = table.sum(axis=1, skipna=True)
    return table


def _years_by_months(values: pd.Series) -> pd.DataFrame:
    """Values under (year, month) as a table without a gap in its years."""
    years = values.index.get_level_values(0)
    index = range(int(years.min()), int(years.max()) + 1) if len(values) else range(0)
    table = values.unstack().reindex(index=index, columns=range(1, 13)).astype("float64")
    return table.set_axis(list(MONTHS), axis=1).rename_axis("year")


def _by_month(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    months = trading_day(_times(trades["exit_time"]), asset_class).to_period("M")
    every = pd.period_range(months.min(), months.max(), freq="M") if len(months) else months
    return pd.Categorical(months.astype(str), categories=every.astype(str))


def _by_weekday(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    days = trading_day(_times(trades["entry_time"]), asset_class).day_of_week
    names = WEEKDAYS[:5] if asset_class is AssetClass.FX else WEEKDAYS
    return pd.Categorical(np.array(WEEKDAYS, dtype=object)[days], categories=list(names))


def _by_hour(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    return pd.Categorical(_times(trades["entry_time"]).hour, categories=range(24))


def _by_trading_hour(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    return pd.Categorical(day_clock(_times(trades["entry_time"]), asset_class).hour, categories=range(24))


def _by_session(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    times = _times(trades["entry_time"])
    flags = [session_flag(times, name).astype("int64") << bit for bit, name in enumerate(SESSIONS)]
    met, code = np.unique(np.sum(flags, axis=0, dtype="int64"), return_inverse=True)
    open_now = [[bit for bit in range(len(SESSIONS)) if key >> bit & 1] for key in met.tolist()]
    names = [" + ".join(list(SESSIONS)[bit] for bit in bits) or NO_SESSION for bits in open_now]
    order = sorted(range(len(names)), key=lambda row: _place(open_now[row]))
    return pd.Categorical(np.array(names, dtype=object)[code], categories=[names[row] for row in order])


def _place(open_now: list[int]) -> tuple[float, int]:
    """Where a set of sessions stands in the day: an overlap between the two that make it, no session at the end."""
    last = len(SESSIONS) - 1
    if not open_now:
        return float(len(SESSIONS)), 0
    if {0, last} <= set(open_now):  # the evening in New York is the next morning in Sydney
        open_now = [*open_now[1:], last + 1]
    return sum(open_now) / len(open_now), len(open_now)


def _by_side(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    return pd.Categorical(trades["side"], categories=["long", "short"])


def _by_exit_reason(trades: pd.DataFrame, asset_class: AssetClass) -> pd.Categorical[Any]:
    """The most frequent reason first."""
    counts = trades["exit_reason"].astype(str).value_counts()
    order = sorted(counts.index, key=lambda reason: (-counts[reason], reason))
    return pd.Categorical(trades["exit_reason"], categories=order)


def _times(times: pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(times, utc=True))


DIMENSIONS: dict[str, Callable[[pd.DataFrame, AssetClass], Any]] = {
    "month": _by_month,
    "weekday": _by_weekday,
    "hour": _by_hour,
    "trading_hour": _by_trading_hour,
    "session": _by_session,
    "side": _by_side,
    "exit_reason": _by_exit_reason,
}
