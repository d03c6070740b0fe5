"""Where the days of stored bars end: most at the market's own cut, some where their vendor cuts them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from core.errors import BarsError
from data.bar_rows import Series
from market.calendar import DayCut, day_cut, trading_day, trading_day_start
from market.resample import period_starts
from market.symbols import symbol_of
from market.timeframes import Timeframe

# A vendor's week or month may begin on the weekend before ours.
_WEEKEND = pd.Timedelta(days=3)
_JUST_AFTER = pd.Timedelta(milliseconds=1)


def foreign_cut(symbol: str, timeframe: Timeframe, cut: DayCut | None) -> DayCut | None:
    """`cut` where it matters: for bars longer than an hour, when the market's days end elsewhere."""
    own = day_cut(symbol_of(symbol).asset_class)
    return None if timeframe.minutes <= 60 or cut == own else cut


def cut_words(symbol: str, cut: DayCut | None) -> str:
    """`17:00 America/New_York`, the market's own cut for None."""
    cut = cut or day_cut(symbol_of(symbol).asset_class)
    return f"{cut.hour:02}:00 {cut.zone}"


def refuse_stray_opens(bars: pd.DataFrame, symbol: str, timeframe: Timeframe, cut: DayCut | None) -> None:
    """Raise BarsError when bars longer than an hour do not open where days, cut at `cut`, let them."""
    if timeframe.minutes <= 60 or bars.empty:
        return
    asset_class = symbol_of(symbol).asset_class
    # Every date counts: vendors stamp weeks and months with a Sunday, or with the first of the month.
    daily = replace(cut or day_cut(asset_class), skips_weekend=False)
    times = pd.DatetimeIndex(bars.index)
    late = times - trading_day_start(trading_day(times, asset_class, daily), asset_class, daily)
    stray = late % Timeframe.H4.delta if timeframe is Timeframe.H4 else late
    if (stray != pd.Timedelta(0)).any():
        at = times[int(np.argmax(stray != pd.Timedelta(0)))]
        raise BarsError(
            f"The {timeframe} bar of {symbol} at {at:%Y-%m-%d %H:%M} UTC does not open with a day that begins at "
            f"{cut_words(symbol, cut)}.",
            "Say where the source cuts its days: cut=DayCut(zone, hour, skips_weekend).",
        )


def refuse_mixed_days(chosen: Iterable[Series], timeframe: Timeframe) -> None:
    """Raise BarsError when series whose days end at different hours would be put into one frame."""
    ends = {series.key.source: cut_words(series.key.symbol, series.cut) for series in chosen}
    if timeframe.minutes > 60 and len(set(ends.values())) > 1:
        symbol = next(iter(chosen)).key.symbol
        each = ", ".join(f"{source}'s at {end}" for source, end in ends.items())
        raise BarsError(
            f"The {timeframe} bars of {symbol} have no common day, and are never mixed: days end {each}.",
            f"Name sources whose days end alike, for example sources=[{next(iter(ends))!r}].",
        )


def settled_until(now: pd.Timestamp, timeframe: Timeframe, symbol: str, cut: DayCut | None) -> pd.Timestamp:
    """The moment before which every bar that opened is closed at `now`; what opens later may still be forming."""
    if timeframe.is_intraday:
        return now - timeframe.delta + _JUST_AFTER
    start = period_starts(pd.DatetimeIndex([now]), timeframe, symbol_of(symbol).asset_class, cut)[0]
    return start if timeframe is Timeframe.D1 else start - _WEEKEND
