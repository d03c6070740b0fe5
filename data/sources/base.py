"""The contract that every source of bars keeps, and the list of sources there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

import pandas as pd

from core.errors import DataRequestError
from core.names import nearest
from market.calendar import DayCut
from market.timeframes import Timeframe


@dataclass(frozen=True)
class Offer:
    """What a source can give: symbols, timeframes and the open times of its first and last bar (UTC)."""

    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
    first: pd.Timestamp
    last: pd.Timestamp
    attribution: str


@dataclass(frozen=True)
class Slice:
    """One answer of a live source: closed bars that open in the range [start, end) it was asked for.

    No bars mean that the source has none there; a range it could not answer for raises instead.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    bars: pd.DataFrame


@dataclass(frozen=True)
class FileRequest:
    """Files to read for one symbol, and what the user said of their shape (fields of `shape.FileShape`)."""

    files: tuple[Path, ...] = ()
    corrections: Mapping[str, Any] = field(default_factory=dict, hash=False)


class BarSource(Protocol):
    """A source of bars."""

    name: str

    @classmethod
    def for_request(cls, request: FileRequest) -> Self:
        """The source, ready to be asked. Raises DataRequestError when it reads files and gets none, or the reverse."""

    def offer(self) -> Offer:
        """What can be asked of this source."""

    def fetch(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Closed bars of the contract whose open time lies in [start, end).

        Raises DataRequestError naming what the source holds when it cannot give what is asked.
        """


class LiveSource(Protocol):
    """A source on a vendor's server, asked slice by slice so that what was answered is kept when a later one fails."""

    name: str
    attribution: str

    def timeframe_for(self, timeframe: Timeframe) -> Timeframe:
        """The timeframe to ask for when bars of `timeframe` are wanted: the same, or a shorter one to join."""

    def day_cut(self, symbol: str) -> DayCut:
        """Where this vendor cuts its daily (and longer) bars of a symbol."""

    def earliest(self, symbol: str, timeframe: Timeframe) -> pd.Timestamp | None:
        """The first moment that can be asked for now, told without any network; None where that is not known."""

    def check(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> None:
        """Raise DataRequestError, without any network, when this can never be answered; names what can."""

    def slices(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Slice]:
        """Closed bars of [start, end), in order of time, in slices the vendor answers whole.

        Raises DataRequestError for what the vendor does not have, SourceUnavailableError when its server does
        not answer; the slices given before stay good.
        """


# Name → where its class stands; imported when it is first asked for.
_SOURCES = {
    "Sample": "data.sources.sample:SampleSource",
    "CSV": "data.sources.files:FileSource",
    "Parquet": "data.sources.files:FileSource",
}
# The same for sources on a vendor's server.
_LIVE = {
    "YFinance": "data.sources.yahoo:YahooSource",
    "HistData": "data.sources.histdata:HistDataSource",
}
# What brings news instead of bars.
_NEWS = ("GDELT",)


def source_names() -> list[str]:
    """The names that `DataConfig.data_sources` may hold."""
    return [*_SOURCES, *_LIVE, *_NEWS]


def is_news(name: str) -> bool:
    """Whether the source of that name, in any case of letters, brings news; raises as source_named does."""
    return _known(name) in _NEWS


def is_live(name: str) -> bool:
    """Whether the source of that name, in any case of letters, is a live one; raises as source_named does."""
    return _known(name) in _LIVE


def source_named(name: str, request: FileRequest | None = None) -> BarSource:
    """The source of that name, in any case of letters; raises DataRequestError naming those there are."""
    known = _known(name)
    if known not in _SOURCES:
        raise DataRequestError(f"{known} is asked slice by slice, or for news.", "Use live_source or collect_news.")
    source: BarSource = _class_at(_SOURCES[known]).for_request(request or FileRequest())
    return source


def live_source(name: str) -> LiveSource:
    """The live source of that name, in any case of letters; raises DataRequestError naming those there are."""
    known = _known(name)
    if known not in _LIVE:
        raise DataRequestError(f"{known} is no live source.", f"Live are: {', '.join(_LIVE)}.")
    source: LiveSource = _class_at(_LIVE[known])()
    return source


def _known(name: str) -> str:
    known = {each.lower(): each for each in source_names()}
    if str(name).lower() not in known:
        meant = nearest(str(name), known.values())
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise DataRequestError(
            f"There is no data source {name!r} in this version.", f"{hint}Known: {', '.join(known.values())}."
        )
    return known[str(name).lower()]


def _class_at(place: str) -> Any:
    module, cls = place.split(":")
    return getattr(import_module(module), cls)
