"""Bars from Yahoo Finance, asked through yfinance.

Nothing but the interface of yfinance is promised by anybody: Yahoo documents none. What its server does
was learned from yfinance's code and issues. Prices are indicative, FX has no volume, and rows that come
without prices are Yahoo's holes and stay holes. Prices of shares are adjusted for splits, not for
dividends, so that a bar once collected stays as it was until a split.

Days are cut at midnight of the exchange: in London for FX, UTC for crypto, the exchange's own city for
shares. Weeks and months are joined from those days, since Yahoo's own weeks begin on the weekday of
whatever start is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from core.clock import utc_now
from core.errors import DataRequestError
from core.log import get_logger
from data.sources.base import Slice
from data.sources.network import ask
from data.sources.yahoo_client import VENDOR, history
from market.bars import PRICES, RAW_COLUMNS, check_bars
from market.calendar import UTC_MIDNIGHT, DayCut, bar_end, closed_bars, trading_day, trading_day_start
from market.symbols import AssetClass, symbol_of
from market.timeframes import Timeframe

_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class _Interval:
    """One of Yahoo's intervals: its name, how many days it reaches back (None: to the first), days a request."""

    name: str
    reach_days: int | None
    request_days: int | None


_INTERVALS = {
    Timeframe.M1: _Interval("1m", 30, 7),  # at most 8 days a request
    Timeframe.M5: _Interval("5m", 60, 30),
    Timeframe.M15: _Interval("15m", 60, 30),
    Timeframe.M30: _Interval("30m", 60, 30),
    Timeframe.H1: _Interval("1h", 730, 180),
    Timeframe.D1: _Interval("1d", None, None),
    Timeframe.W1: _Interval("1d", None, None),
    Timeframe.MN1: _Interval("1d", None, None),
}
# How long after a bar's end Yahoo may still lack it: feeds come up to 20 minutes late, daily rows by hours.
_SETTLES = {True: pd.Timedelta(hours=1), False: pd.Timedelta(days=3)}
_LONDON = DayCut("Europe/London", 0, skips_weekend=True)
_AMERICAN = "America/New_York"
# Where exchanges stand, and the endings Yahoo gives their shares; American ones have none.
_EXCHANGES = {
    "Europe/London": "L IL",
    "Europe/Berlin": "DE F BE DU HM MU SG",
    "Europe/Paris": "PA",
    "Europe/Amsterdam": "AS",
    "Europe/Brussels": "BR",
    "Europe/Rome": "MI",
    "Europe/Madrid": "MC",
    "Europe/Lisbon": "LS",
    "Europe/Zurich": "SW",
    "Europe/Vienna": "VI",
    "Europe/Stockholm": "ST",
    "Europe/Copenhagen": "CO",
    "Europe/Oslo": "OL",
    "Europe/Helsinki": "HE",
    "Europe/Dublin": "IR",
    "Europe/Warsaw": "WA",
    "Asia/Tokyo": "T",
    "Asia/Hong_Kong": "HK",
    "Asia/Shanghai": "SS SZ",
    "Asia/Kolkata": "NS BO",
    "Asia/Seoul": "KS KQ",
    "Asia/Taipei": "TW",
    "Asia/Singapore": "SI",
    "Australia/Sydney": "AX",
    "Pacific/Auckland": "NZ",
    "America/Toronto": "TO V",
    "America/Sao_Paulo": "SA",
    "America/Mexico_City": "MX",
    "Africa/Johannesburg": "JO",
}


@dataclass(frozen=True)
class _Market:
    """What is asked for, and how its time is cut."""

    symbol: str
    timeframe: Timeframe
    asset_class: AssetClass
    cut: DayCut

    def bar_end(self, moment: pd.Timestamp) -> pd.Timestamp:
        """The end of the bar that opens at `moment`; from D1 on, of the one that holds it."""
        return bar_end(pd.DatetimeIndex([moment]), self.timeframe, self.asset_class, self.cut)[0]

    def closed(self, bars: pd.DataFrame, now: pd.Timestamp, timeframe: Timeframe | None = None) -> pd.DataFrame:
        """The bars that are complete at `now`."""
        return closed_bars(bars, timeframe or self.timeframe, now, self.asset_class, self.cut)

    def starts(self, moments: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """The beginning of the week or month that each moment belongs to, on the vendor's days."""
        days = trading_day(moments, self.asset_class, self.cut)
        if self.timeframe is Timeframe.W1:
            firsts = days - pd.to_timedelta(days.day_of_week, unit="D")
        else:
            firsts = days.to_period("M").to_timestamp()
        return trading_day_start(pd.DatetimeIndex(firsts), self.asset_class, self.cut)

    @property
    def has_hours(self) -> bool:
        """Whether it trades at the hours of an exchange only."""
        return self.asset_class not in {AssetClass.FX, AssetClass.CRYPTO}

    @property
    def is_joined(self) -> bool:
        """Whether the bars are joined from days."""
        return self.timeframe in {Timeframe.W1, Timeframe.MN1}


class YahooSource:
    """Bars of FX, crypto and shares; H4 is joined from H1."""

    name = "YFinance"
    attribution = "Yahoo Finance (indicative prices)"

    def timeframe_for(self, timeframe: Timeframe) -> Timeframe:
        """The same, and H1 for H4, which Yahoo does not have."""
        return Timeframe.H1 if timeframe is Timeframe.H4 else timeframe

    def day_cut(self, symbol: str) -> DayCut:
        """Midnight of the exchange: London for FX, UTC for crypto, the city of the exchange for shares."""
        asset_class = symbol_of(symbol).asset_class
        if asset_class is AssetClass.FX:
            return _LONDON
        if asset_class is AssetClass.CRYPTO:
            return UTC_MIDNIGHT
        ending = symbol.rpartition(".")[2] if "." in symbol else ""
        zones = (zone for zone, endings in _EXCHANGES.items() if ending in endings.split())
        return DayCut(next(zones, _AMERICAN), 0, skips_weekend=True)

    def earliest(self, symbol: str, timeframe: Timeframe) -> pd.Timestamp | None:
        """The first midnight that the interval reaches back to; None for days and longer."""
        return _earliest(timeframe, pd.Timestamp(utc_now()))

    def check(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> None:
        """Raise DataRequestError when the range begins before the interval reaches, or after now."""
        now = pd.Timestamp(utc_now())
        if start > now:
            raise DataRequestError(
                f"{start:%Y-%m-%d %H:%M} UTC, the beginning of the range, lies in the future.", "Begin it earlier."
            )
        earliest = _earliest(timeframe, now)
        if earliest is None or start >= earliest:
            return
        days = _INTERVALS[self.timeframe_for(timeframe)].reach_days
        further = next(
            each
            for each in Timeframe
            if each.minutes > timeframe.minutes and ((known := _earliest(each, now)) is None or known <= start)
        )
        reach = _earliest(further, now)
        raise DataRequestError(
            f"{VENDOR} has {timeframe} bars of the last {days} days only: since {earliest:%Y-%m-%d}, "
            f"not from {start:%Y-%m-%d}.",
            f"Begin at {earliest:%Y-%m-%d}, or ask for {further}, which reaches back "
            f"{'to the first day there is' if reach is None else f'to {reach:%Y-%m-%d}'}.",
        )

    def slices(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Slice]:
        """Closed bars of [start, end): minutes by the week, hours by the half-year, days at once.

        The last slice ends where bars may still be missing: behind the last bar there is when the range
        reaches up to now. Rows that are no possible bar are left out like holes and counted in the log.
        """
        if timeframe not in _INTERVALS:
            raise DataRequestError(f"{VENDOR} has no {timeframe} bars.", f"It has: {', '.join(_INTERVALS)}.")
        self.check(symbol, timeframe, start, end)
        market = _Market(symbol, timeframe, symbol_of(symbol).asset_class, self.day_cut(symbol))
        return _slices(market, start, min(end, pd.Timestamp(utc_now())))


def ticker_of(symbol: str) -> str:
    """What Yahoo calls a symbol: `EURUSD=X`, `BTC-USD`, `AAPL`; `market.symbols.canonical_symbol` leads back."""
    known = symbol_of(symbol)
    if known.asset_class is AssetClass.FX:
        return f"{known.name}=X"
    return f"{known.base}-{known.quote}" if known.asset_class is AssetClass.CRYPTO else known.name


def _earliest(timeframe: Timeframe, now: pd.Timestamp) -> pd.Timestamp | None:
    """The first midnight (UTC) that is sure to be within an interval's reach; None where all of it is."""
    days = _INTERVALS[Timeframe.H1 if timeframe is Timeframe.H4 else timeframe].reach_days
    # An hour to spare: answers may take some time.
    return None if days is None else (now - days * _DAY + pd.Timedelta(hours=1)).ceil("D")


def _edges(start: pd.Timestamp, end: pd.Timestamp, days: int | None) -> list[pd.Timestamp]:
    """The borders of requests over [start, end); fewer than two when nothing is asked for."""
    edges = [start]
    while days and edges[-1] + days * _DAY < end:
        edges.append(edges[-1] + days * _DAY)
    return [*edges, end] if start < end else []


def _slices(market: _Market, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Slice]:
    for begin, stop in pairwise(_edges(start, end, _INTERVALS[market.timeframe].request_days)):
        now = pd.Timestamp(utc_now())
        bars = _fetch(market, begin, stop, now)
        known = stop
        if market.bar_end(stop - pd.Timedelta(seconds=1)) + _SETTLES[market.timeframe.is_intraday] > now:
            if bars.empty:
                return
            known = min(stop, market.bar_end(bars.index[-1]))
        yield Slice(begin, known, bars)
        if known < stop:
            return


def _fetch(market: _Market, start: pd.Timestamp, end: pd.Timestamp, now: pd.Timestamp) -> pd.DataFrame:
    """Closed bars opening in [start, end); bars that reach beyond `end` are asked for whole."""
    first, last = start, end
    if market.timeframe.is_intraday:
        first, last = start.floor(market.timeframe.delta), end + market.timeframe.delta
    elif market.is_joined:
        first, last = market.starts(pd.DatetimeIndex([start]))[0], end + 31 * _DAY
    interval = _INTERVALS[market.timeframe].name
    answer = ask(lambda: history(ticker_of(market.symbol), interval, first, last, has_hours=market.has_hours))
    bars = _cleaned(answer, market)
    if market.is_joined:
        bars = _joined(market.closed(bars, now, Timeframe.D1), market)
        now -= _DAY  # the last daily row of a week may come late
    bars = market.closed(bars, now)
    return bars[(bars.index >= start) & (bars.index < end)]


def _cleaned(answer: pd.DataFrame, market: _Market) -> pd.DataFrame:
    """The rows that are bars. Left out: holes, the row of the price just now, and what cannot be a bar."""
    if answer.empty:
        empty = pd.DatetimeIndex([], tz="UTC").as_unit("us").rename("time")
        return pd.DataFrame(columns=list(RAW_COLUMNS), index=empty, dtype="float64")
    rows = answer[[name.capitalize() for name in RAW_COLUMNS]].rename(columns=str.lower).astype("float64")
    times = pd.DatetimeIndex(rows.index)
    if not market.timeframe.is_intraday:
        _refuse_other_days(times, market)
    rows.index = times.tz_convert("UTC").as_unit("us").rename("time")
    prices = rows[list(PRICES)].to_numpy()
    holes = np.isnan(prices).any(axis=1)
    just_now = _off_the_grid(times, market)
    spans = (prices[:, 1] >= prices.max(axis=1)) & (prices[:, 2] <= prices.min(axis=1))
    possible = spans & np.isfinite(prices).all(axis=1) & (prices > 0).all(axis=1) & ~rows.index.duplicated()
    impossible = ~(holes | possible)
    if holes.any() or impossible.any():
        get_logger(__name__).warning(
            "left out rows of Yahoo Finance that are no bars",
            symbol=market.symbol,
            timeframe=str(market.timeframe),
            holes=int(holes.sum()),
            impossible=int(impossible.sum()),
        )
    return check_bars(rows[~(holes | just_now | impossible)].sort_index())


def _off_the_grid(times: pd.DatetimeIndex, market: _Market) -> np.ndarray:
    """Which rows open where no bar does: Yahoo adds one for the price just now."""
    if not market.timeframe.is_intraday:
        return np.zeros(len(times), dtype=bool)
    step = pd.Timedelta(minutes=1) if market.has_hours else market.timeframe.delta  # exchanges open at half past, too
    return np.asarray(times.tz_convert("UTC").floor(step) != times)


def _refuse_other_days(opens: pd.DatetimeIndex, market: _Market) -> None:
    """Raise DataRequestError when the days of an exchange are not those that `day_cut` declares."""
    if (opens.tz_localize(None) != opens.tz_convert(market.cut.zone).tz_localize(None)).any():
        raise DataRequestError(
            f"{VENDOR} cuts the days of {market.symbol} at midnight in {opens.tz}, "
            f"not in {market.cut.zone} as was expected.",
            f"Ask for H1 and shorter: {market.timeframe} bars of this exchange are not known here.",
        )


def _joined(days: pd.DataFrame, market: _Market) -> pd.DataFrame:
    """Weeks or months made of days."""
    if days.empty:
        return days
    how = dict(zip(RAW_COLUMNS, ("first", "max", "min", "last", "sum"), strict=True))
    longer = days.groupby(market.starts(pd.DatetimeIndex(days.index))).agg(how)
    longer.index = pd.DatetimeIndex(longer.index, name="time")
    return longer
