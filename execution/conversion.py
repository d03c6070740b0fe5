"""What one unit of a symbol's quote currency is worth in the account currency, bar by bar.

A rate is read from other pairs' bars: the pair itself, its inverse, or a cross through one more currency. At a
moment the rate is the newest price known then: the close of a bar that has ended, the open of one that has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from market.bars import check_bars
from market.calendar import bar_end
from market.symbols import AssetClass, Symbol, canonical_symbol, symbol_of
from market.timeframes import Timeframe, infer_timeframe

Floats = np.ndarray[Any, np.dtype[np.float64]]
# A rate may be as old as a long weekend; an older one says that the series has ended.
OLDEST = pd.Timedelta(days=5)


@dataclass(frozen=True)
class Rates:
    """Quote → account: `at_open` for fills within a bar, `at_close` at its end, one value a bar.

    `is_own` means that the account is kept in the symbol's base currency: then the rate is 1 / price, and the
    arrays hold that of open and close. `way` says how it was found; `used` are the names of the series read.
    """

    at_open: Floats
    at_close: Floats
    is_own: bool
    way: str
    used: tuple[str, ...]


@dataclass(frozen=True)
class _Leg:
    """One step of a conversion: the pair read, and whether its price is turned over."""

    pair: str
    is_inverse: bool

    def __str__(self) -> str:
        return f"1 / {self.pair}" if self.is_inverse else self.pair


def conversion_rates(
    bars: pd.DataFrame,
    symbol: str,
    timeframe: Timeframe,
    account_currency: str,
    conversions: Mapping[str, pd.DataFrame],
) -> Rates:
    """The rates for `bars` of `symbol`; `conversions` holds bars by pair, of any timeframe.

    Raises InputError, naming the pairs that would do, when no conversion can be had, and naming the first bar
    for which a series has no rate.
    """
    traded = symbol_of(symbol)
    opens, closes = bars["open"].to_numpy(), bars["close"].to_numpy()
    if account_currency == traded.quote:
        return Rates(np.ones(len(bars)), np.ones(len(bars)), is_own=False, way="none needed", used=())
    if account_currency == traded.base:
        return Rates(1 / opens, 1 / closes, is_own=True, way=f"1 / {traded.name}", used=())
    series = {canonical_symbol(name): given for name, given in conversions.items()}
    legs = _legs(traded.quote, account_currency, {*series, traded.name})
    if legs is None:
        raise _missing(traded, account_currency, series)
    at_open, at_close = np.ones(len(bars)), np.ones(len(bars))
    for leg in legs:
        if leg.pair == traded.name:
            first, last = opens, closes
        else:
            first, last = _as_of(bars, timeframe, traded.asset_class, leg.pair, series[leg.pair])
        at_open, at_close = (at_open / first, at_close / last) if leg.is_inverse else (at_open * first, at_close * last)
    used = tuple(leg.pair for leg in legs if leg.pair != traded.name)
    return Rates(at_open, at_close, is_own=False, way=" × ".join(map(str, legs)), used=used)


def _legs(quote: str, account: str, pairs: set[str]) -> tuple[_Leg, ...] | None:
    """The shortest way from one currency to the other over the pairs there are."""
    direct = _leg(quote, account, pairs)
    if direct:
        return (direct,)
    for between in sorted({currency for name in pairs for currency in _currencies(name)} - {quote, account}):
        first, second = _leg(quote, between, pairs), _leg(between, account, pairs)
        if first and second:
            return first, second
    return None


def _leg(held: str, wanted: str, pairs: set[str]) -> _Leg | None:
    """How one currency is turned into the other by a single pair."""
    if held + wanted in pairs:
        return _Leg(held + wanted, is_inverse=False)
    return _Leg(wanted + held, is_inverse=True) if wanted + held in pairs else None


def _currencies(name: str) -> Iterator[str]:
    pair = symbol_of(name)
    if pair.asset_class is not AssetClass.OTHER:
        yield from (pair.base, pair.quote)


def _missing(traded: Symbol, account: str, series: Mapping[str, Any]) -> InputError:
    pair, inverse, cross = f"{traded.quote}{account}", f"{account}{traded.quote}", f"{traded.base}{account}"
    given = f" of use (given: {', '.join(sorted(series))})" if series else ""
    return InputError(
        f"Profit of {traded.name} is in {traded.quote}, the account in {account}; no conversion series{given}.",
        f"Pass conversions={{{pair!r}: bars}}; {inverse} would do as well, or the cross through {cross}.",
    )


def _as_of(
    bars: pd.DataFrame, timeframe: Timeframe, asset_class: AssetClass, name: str, given: pd.DataFrame
) -> tuple[Floats, Floats]:
    """The price of the conversion pair known at each bar's open, and the one known at its end."""
    pair = check_bars(given)
    if len(pair) < 2:
        raise InputError(f"The conversion series {name} has {len(pair)} bars.", "Give one that covers the run.")
    times = pd.DatetimeIndex(pair.index)
    ends = bar_end(times, infer_timeframe(times), symbol_of(name).asset_class)
    moments = pd.DatetimeIndex(bars.index)
    at_open = _known(pair, times, ends, moments, name, "right")
    # At the end of a bar its own close is meant, not the open of the next one, which has the same time.
    at_close = _known(pair, times, ends, bar_end(moments, timeframe, asset_class), name, "left")
    return at_open, at_close


def _known(  # noqa: PLR0917  # the pair and what was read of it
    pair: pd.DataFrame, times: pd.DatetimeIndex, ends: pd.DatetimeIndex, moments: pd.DatetimeIndex, name: str, side: Any
) -> Floats:
    """The newest price of the pair at each moment."""
    row = times.searchsorted(moments, side=side) - 1
    held = np.maximum(row, 0)
    is_over = np.asarray(ends[held] <= moments)
    known_since = np.where(is_over, ends[held].as_unit("us").asi8, times[held].as_unit("us").asi8)
    age = moments.as_unit("us").asi8 - known_since
    lacking = (row < 0) | (age > OLDEST // pd.Timedelta(microseconds=1))
    if lacking.any():
        moment = moments[int(np.argmax(lacking))]
        raise InputError(
            f"The conversion series {name} has no rate for {moment:%Y-%m-%d %H:%M} UTC.",
            f"It goes from {times[0]:%Y-%m-%d} to {ends[-1]:%Y-%m-%d}; give one that covers the run.",
        )
    prices: Floats = np.where(is_over, pair["close"].to_numpy()[held], pair["open"].to_numpy()[held])
    return prices
