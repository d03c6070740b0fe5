"""The embedded sample: the EUR/USD hourly bars that ship with backtesting.py, read where pip put them.

April 2017 to February 2018, 5,000 bars. The file carries no zone; its weeks open at 21:00 on Sunday
in summer, which is 17:00 New York in UTC, so its times are taken as UTC.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from core.errors import DataRequestError
from data.sources.base import FileRequest, Offer
from market.bars import check_bars
from market.resample import resample_bars
from market.timeframes import Timeframe

SYMBOL = "EURUSD"
NATIVE = Timeframe.H1


class SampleSource:
    """Bars of EURUSD, H1 and longer, without any network."""

    name = "Sample"

    @classmethod
    def for_request(cls, request: FileRequest) -> SampleSource:
        """The sample; it reads no files of the user's."""
        if request.files:
            raise DataRequestError("The source Sample reads no files.", "For files name data_sources=['CSV'].")
        return cls()

    def offer(self) -> Offer:
        """EURUSD from H1 up, for the range the file covers."""
        times = _hours().index
        longer = tuple(timeframe for timeframe in Timeframe if timeframe.minutes >= NATIVE.minutes)
        attribution = f"EUR/USD hourly sample of backtesting.py {version('backtesting')} (AGPL-3.0)"
        return Offer((SYMBOL,), longer, times[0], times[-1], attribution)

    def fetch(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Closed bars opening in [start, end), joined from the hours when `timeframe` is longer."""
        offer = self.offer()
        held = f"The sample holds {SYMBOL} from {offer.first:%Y-%m-%d %H:%M} to {offer.last:%Y-%m-%d %H:%M} UTC"
        if symbol not in offer.symbols:
            raise DataRequestError(f"The sample has no bars of {symbol!r}.", f"{held}: ask for symbols=['{SYMBOL}'].")
        if timeframe not in offer.timeframes:
            raise DataRequestError(f"The sample has no {timeframe} bars.", f"{held}, in {', '.join(offer.timeframes)}.")
        bars = resample_bars(_hours(), timeframe)
        wanted = bars[(bars.index >= start) & (bars.index < end)]
        if wanted.empty:
            raise DataRequestError(
                f"The sample has no {timeframe} bars from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.",
                f"{held}: ask for start_date='{offer.first:%Y-%m-%d}', end_date='{offer.last:%Y-%m-%d}'.",
            )
        return wanted


@lru_cache(maxsize=1)
def _hours() -> pd.DataFrame:
    # find_spec locates the package without importing it: importing costs a second and pulls in bokeh.
    spec = find_spec("backtesting")
    if spec is None or spec.origin is None:
        raise DataRequestError(
            "The sample ships with the package backtesting, which is not installed.",
            "Run: pip install -r requirements.txt",
        )
    file = Path(spec.origin).parent / "test" / f"{SYMBOL}.csv"
    return check_bars(pd.read_csv(file, index_col=0, parse_dates=True))
