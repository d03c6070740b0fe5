"""The contract that every source of bars keeps, and the list of sources there are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import pandas as pd

from core.errors import DataRequestError
from core.names import nearest
from market.timeframes import Timeframe


@dataclass(frozen=True)
class Offer:
    """What a source can give: symbols, timeframes and the open times of its first and last bar (UTC)."""

    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
    first: pd.Timestamp
    last: pd.Timestamp
    attribution: str


class BarSource(Protocol):
    """A source of bars."""

    name: str

    def offer(self) -> Offer:
        """What can be asked of this source."""

    def fetch(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Closed bars of the contract whose open time lies in [start, end).

        Raises DataRequestError naming what the source holds when it cannot give what is asked.
        """


# Name → where its class stands; imported when it is first asked for.
_SOURCES = {"Sample": "data.sources.sample:SampleSource"}


def source_names() -> list[str]:
    """The names `DataConfig.data_sources` may hold."""
    return list(_SOURCES)


def source_named(name: str) -> BarSource:
    """The source of that name, in any case of letters; raises DataRequestError naming those there are."""
    known = {each.lower(): each for each in _SOURCES}
    if str(name).lower() not in known:
        meant = nearest(str(name), _SOURCES)
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise DataRequestError(
            f"There is no data source {name!r} in this version.", f"{hint}Known: {', '.join(_SOURCES)}."
        )
    module, cls = _SOURCES[known[str(name).lower()]].split(":")
    source: BarSource = getattr(import_module(module), cls)()
    return source
