"""What costs leave of a strategy's edge, in pips a trade, and how much more it would bear.

All amounts are brought to one measure: their sum over all trades in money, divided by what one pip was worth on all
trades together (Σ |size| × pip × rate to account currency). That is the mean per trade weighted by size, which is
what makes the parts add up, and the net one times that worth is the net profit in money. Where every trade has the
same size it is the plain mean.

    gross = pips between the fills + spread + slippage        the edge on bare prices
    net   = gross − spread − slippage − commission + swap     what was booked

The fills of a backtest carry spread and slippage already (`pips` of `execution.result` are between fills), which is
why these are added back to find the gross edge, while commission and swap are booked apart from the price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Amounts = float | pd.Series | Floats


@dataclass(frozen=True)
class CostEdge:
    """The strip of a run: pips per trade, weighted by size. Costs are ≥ 0, `swap` is negative where it is paid.

    `pip_worth` is what one pip on every trade is worth in account money, `net_money` the net result by it.
    """

    trades: int
    gross: float
    spread: float
    slippage: float
    commission: float
    swap: float
    net: float
    pip_worth: float
    net_money: float

    @property
    def survives_pips(self) -> float:
        """The extra spread per trade, in pips, at which the result would be nil; negative: it is lost already."""
        return self.net

    @property
    def cost_share_pct(self) -> float:
        """Costs in % of the gross edge; NaN where there is no edge to share."""
        return 100 * (self.gross - self.net) / self.gross if self.gross > 0 else math.nan

    def steps(self) -> pd.DataFrame:
        """The strip from the gross edge to the net one: `part`, `pips` as they change it; the last row is the sum."""
        parts = {
            "gross edge": self.gross,
            "spread": -self.spread,
            "slippage": -self.slippage,
            "commission": -self.commission,
            "swap": self.swap,
            "net": self.net,
        }
        return pd.DataFrame({"part": list(parts), "pips": [amount + 0.0 for amount in parts.values()]})

    def sentence(self) -> str:
        """Whether the edge bears its costs, and how much more."""
        if not self.trades:
            return "There is no trade, and so no edge to hold against costs."
        if self.gross <= 0:
            return f"There is no edge before costs: {_pips(self.gross)} a trade."
        if self.net <= 0:
            return f"Costs take more than the edge: {_pips(self.gross)} a trade before them, {_pips(self.net)} after."
        return (
            f"Survives up to {_pips(self.net)} more spread a trade; costs take {self.cost_share_pct:.0f} % of the edge."
        )


def cost_edge(
    trades: pd.DataFrame,
    *,
    pip: float,
    rate: Amounts = 1.0,
    spread_pips: Amounts = 0.0,
    slippage_pips: Amounts = 0.0,
) -> CostEdge:
    """Hold the edge of `trades` against their costs.

    Columns: `pips` between the fills, `size` in units of the base (its sign does not matter), `commission` in
    account money (paid: positive); where present also `swap` in account money (paid: negative), and
    `spread_pips` and `slippage_pips`, each for the whole round trip of a trade, which then go before the
    arguments of the same name where they are not NaN. `pip` is a pip in price units, `rate` the account money for
    one unit of the quote currency: a number, or a Series in the order of the trades. Raises InputError for a pip or
    a rate that is not above zero, and where a figure of a trade is missing.
    """
    count = len(trades)
    if not (math.isfinite(pip) and pip > 0):
        raise InputError(f"pip={pip!r} is no size of a pip.", "Give it in price units, such as 0.0001.")
    rates = _each(rate, count, "rate")
    if (rates <= 0).any():
        row = int(np.argmax(rates <= 0))
        raise InputError(
            f"The conversion rate of trade {row} is {rates[row]:g}.",
            "Give account money for one unit of the quote currency, above zero.",
        )
    worth = np.abs(_column(trades, "size")) * pip * rates
    total = float(worth.sum())
    if not count or total == 0:
        nan = math.nan
        return CostEdge(0, nan, nan, nan, nan, nan, nan, pip_worth=0.0, net_money=0.0)
    spread = _known(trades, "spread_pips", spread_pips)
    slippage = _known(trades, "slippage_pips", slippage_pips)
    between_fills = float(worth @ _column(trades, "pips")) / total
    of_spread, of_slippage = float(worth @ spread) / total, float(worth @ slippage) / total
    commission = float(_column(trades, "commission").sum()) / total
    swap = float(_column(trades, "swap", 0.0).sum()) / total
    net = between_fills - commission + swap
    return CostEdge(
        trades=count,
        gross=between_fills + of_spread + of_slippage,
        spread=of_spread,
        slippage=of_slippage,
        commission=commission,
        swap=swap,
        net=net,
        pip_worth=total,
        net_money=net * total,
    )


def booked_rates(trades: pd.DataFrame, pip: float) -> pd.Series:
    """Account money for a unit of quote currency on each trade, from what it booked; at 0 pips its neighbour's.

    Columns `pips size pnl commission swap`; 1 where no trade tells.
    """
    moved = trades["pips"] * pip * trades["size"].abs()
    booked = trades["pnl"] + trades["commission"] - trades["swap"]
    # A move of a hundredth of a pip says nothing of the rate but the rounding of its prices.
    told = (booked / moved).where((trades["pips"].abs() > 0.01) & (booked / moved > 0))
    return told.ffill().bfill().fillna(1.0)


def _column(trades: pd.DataFrame, name: str, otherwise: Amounts | None = None) -> Floats:
    if name in trades.columns:
        return _each(trades[name], len(trades), name)
    if otherwise is None:
        raise InputError(f"The trades have no column {name!r}.", "Give them with the columns of a backtest's trades.")
    return _each(otherwise, len(trades), name)


def _known(trades: pd.DataFrame, name: str, otherwise: Amounts) -> Floats:
    """A column where it is there and known, else what was given for all."""
    for_all = _each(otherwise, len(trades), name)
    if name not in trades.columns:
        return for_all
    column = trades[name].to_numpy(dtype="float64")
    return _each(np.where(np.isnan(column), for_all, column), len(trades), name)


def _each(amounts: Amounts, count: int, name: str) -> Floats:
    """One finite number a trade."""
    values = np.asarray(amounts, dtype="float64")
    if values.ndim and len(values) != count:
        raise InputError(f"{name} has {len(values)} values for {count} trades.", "Give one a trade, or one for all.")
    values = np.broadcast_to(values, (count,))
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise InputError(f"{name} of trade {row} is {values[row]}.", "Every trade needs a finite one.")
    return values


def _pips(amount: float) -> str:
    return f"{amount:.1f} pips".replace("-", "−")
