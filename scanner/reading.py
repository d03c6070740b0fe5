"""Where the scanner's bars come from: the store of bars, or a dataset version; closed ones only."""

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
VERSION = "version "
# A weekend and holidays lie between bars: so much more time than the bars' own length is asked for at first.
_ROOM = 1.6
_EXTRA_DAYS = 5
_store = BarStore()


def newest_bars(symbol: str, timeframe: Timeframe, bars: int, last: pd.Timestamp | None = None) -> pd.DataFrame:
    """The newest closed bars of the bar store, at most so many. Raises BarsError when it has none.

    `last` is when its newest bar of the symbol opens, for whoever has asked already.
    """
    found = _newest(symbol, timeframe, bars, newest_times().get(symbol) if last is None else last)
    if found.empty:
        raise BarsError(f"The store holds no {timeframe} bars of {symbol}.", "Collect them, or leave it out.")
    return found


def bars_since(symbol: str, timeframe: Timeframe, first: pd.Timestamp) -> pd.DataFrame:
    """The closed bars of the bar store from an open time on."""
    return _store.bars(symbol, timeframe, first)


def held_series() -> pd.DataFrame:
    """The historical bars that the store holds: `symbol timeframe source type first last rows`."""
    held = _store.held()
    return held[held["type"] == "historical"]


def newest_times() -> dict[str, pd.Timestamp]:
    """When the newest historical bar of each symbol opens, on whatever timeframe; symbols as they came."""
    held = held_series()
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


def _newest(symbol: str, timeframe: Timeframe, bars: int, last: pd.Timestamp | None) -> pd.DataFrame:
    """Look back as far as so many bars usually take, and as far as there are any where they took longer."""
    if last is None:
        return _store.bars(symbol, timeframe)
    reach = timeframe.delta * bars * _ROOM + pd.Timedelta(days=_EXTRA_DAYS)
    found = _store.bars(symbol, timeframe, last - reach)
    if len(found) < bars:
        found = _store.bars(symbol, timeframe)
    return found.iloc[-bars:]
