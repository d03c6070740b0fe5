"""Where the scanner's bars come from: historical ones, live ones, or a dataset version; closed ones only.

Historical and live bars of a symbol are two series and never one: what is collected later for a time that was live
would be another bar than the one in which something was found.
"""

from __future__ import annotations

import pandas as pd

from core.clock import utc_now
from core.errors import BarsError
from data.bar_store import BarStore
from data.pipeline_controller import controller
from market.bars import check_bars
from market.calendar import closed_bars
from market.resample import resample_bars
from market.symbols import symbol_of
from market.timeframes import Timeframe, parse_timeframe

STORE = "store"
LIVE = "live"
VERSION = "version "
# A weekend and holidays lie between bars: so much more time than the bars' own length is asked for at first.
_ROOM = 1.6
_EXTRA_DAYS = 5
_MILLISECOND = pd.Timedelta(milliseconds=1)
_store = BarStore()


def newest_bars(
    symbol: str, timeframe: Timeframe, bars: int, last: pd.Timestamp | None = None, source: str = STORE
) -> pd.DataFrame:
    """The newest closed bars of STORE or LIVE, at most so many. Raises BarsError when there are none.

    `last` is when the newest bar of the symbol opens, for whoever has asked already. Live bars that make no whole one
    of the timeframe yet are no error: then the frame is empty.
    """
    last = newest_times(source).get(symbol) if last is None else last
    if source == LIVE and last is None:
        raise BarsError(
            f"There are no live bars of {symbol}.",
            "Let a terminal with the Expert Advisor send its ticks, or leave it out.",
        )
    found = _newest(symbol, timeframe, bars, last, source)
    if found.empty and source == STORE:
        raise BarsError(f"The store holds no {timeframe} bars of {symbol}.", "Collect them, or leave it out.")
    return found


def bars_since(symbol: str, timeframe: Timeframe, first: pd.Timestamp | None, source: str = STORE) -> pd.DataFrame:
    """The closed bars of STORE or LIVE from an open time on.

    Live bars are those of one terminal, the one whose bars of the symbol came first. They are its minutes, joined where
    the timeframe is longer; such a bar is whole once a minute up to its end is there, or a later one. As minutes come
    in their order, no bar is ever told in two ways.
    """
    if source == LIVE:
        terminal = _store.sources_of(symbol, Timeframe.M1, "live")[:1]
        return _store.bars(symbol, timeframe, first, sources=terminal, kind="live")
    return _store.bars(symbol, timeframe, first)


def has_newer(symbol: str, timeframe: Timeframe, until: pd.Timestamp, source: str = STORE) -> bool:
    """Whether a closed bar of STORE or LIVE opens after `until`."""
    return not bars_since(symbol, timeframe, until + _MILLISECOND, source).empty


def held_series(source: str = STORE) -> pd.DataFrame:
    """What there is to scan of STORE or LIVE: `symbol timeframe source type first last rows`.

    Of live bars a row a symbol: the minutes of the terminal that `bars_since` reads.
    """
    held = _store.held()
    if source == LIVE:
        return held[held["type"] == "live"].drop_duplicates("symbol")
    return held[held["type"] == "historical"]


def newest_times(source: str = STORE) -> dict[str, pd.Timestamp]:
    """When the newest bar of each symbol opens, on whatever timeframe; symbols as they came."""
    held = held_series(source)
    return {str(symbol): last for symbol, last in held.groupby("symbol", sort=False)["last"].max().items()}


def version_bars(reference: str, symbol: str, timeframe: Timeframe) -> pd.DataFrame:
    """Closed bars of a dataset version, joined into longer ones where they are shorter.

    Raises BarsError when its bars are longer than `timeframe` or hold no such symbol, UnknownNameError for a version
    that does not exist.
    """
    version = controller.version(reference)
    own, asset_class = parse_timeframe(version.timeframe), symbol_of(symbol).asset_class
    bars = check_bars(version.bars(symbol))
    closed = closed_bars(bars, own, utc_now(), asset_class)
    return resample_bars(closed, timeframe, asset_class, own)


def _newest(symbol: str, timeframe: Timeframe, bars: int, last: pd.Timestamp | None, source: str) -> pd.DataFrame:
    """Look back as far as so many bars usually take, and as far as there are any where they took longer."""
    if last is None:
        return bars_since(symbol, timeframe, None, source)
    reach = timeframe.delta * bars * _ROOM + pd.Timedelta(days=_EXTRA_DAYS)
    found = bars_since(symbol, timeframe, last - reach, source)
    if len(found) < bars:
        found = bars_since(symbol, timeframe, None, source)
    return found.iloc[-bars:]
