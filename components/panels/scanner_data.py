"""What the Scanner page reads: the series that were scanned, their patterns as a scan found them, their last closes.

A series is drawn from the very bars that its last scan read, with the settings of that scan, so that the chart and the
stored setups never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH
from components.panels.kept import BY_CONTENT
from core.settings import output_folder
from data.versions import DatasetVersion
from market.symbols import Symbol, symbol_of
from market.timeframes import Timeframe
from scanner.layers import Layer, layer_of
from scanner.patterns.settings import PatternSettings
from scanner.reading import LIVE, STORE, VERSION, bars_since, version_bars
from scanner.setups import Candidates, SetupSettings, find_candidates


@dataclass(frozen=True)
class ScannedSeries:
    """A symbol on one timeframe, as far as its last scan saw it; `settings` are those of that scan."""

    scan_id: int
    symbol: str
    timeframe: Timeframe
    source: str
    first: pd.Timestamp
    until: pd.Timestamp
    settings: dict[str, Any]
    failure: str | None

    @property
    def of_version(self) -> str | None:
        """The content hash of the dataset version it was read from; None for stored and for live bars."""
        return self.source.removeprefix(VERSION) if self.source.startswith(VERSION) else None

    @property
    def key(self) -> str:
        """Its name in an address: `EURUSD-H1`, `EURUSD-H1-live`, of a dataset version `EURUSD-H1-a41f9c2e`."""
        words = [self.symbol, str(self.timeframe)]
        if self.source != STORE:
            words.append(self.of_version[:8] if self.of_version else self.source)
        return "-".join(words)

    @property
    def label(self) -> str:
        """`EURUSD H1 · stored bars`, `EURUSD H1 · live bars`, `EURUSD H1 · dataset a41f9c2e`."""
        return f"{self.symbol} {self.timeframe} · {source_words(self.source)}"

    @property
    def about(self) -> Symbol:
        """What is known of its symbol."""
        return symbol_of(self.symbol)

    @property
    def patterns(self) -> PatternSettings:
        """The patterns' settings of its scan."""
        return PatternSettings(**_named(PatternSettings, self.settings))

    @property
    def setups(self) -> SetupSettings:
        """The weights and thresholds of its scan."""
        return SetupSettings(**_named(SetupSettings, self.settings))


@dataclass(frozen=True)
class Picture:
    """The bars of a series with all that was found in them, and those of its longer timeframes; shortest first."""

    layers: list[Layer]
    candidates: Candidates

    @property
    def layer(self) -> Layer:
        """The series' own."""
        return self.layers[0]


def source_words(source: str) -> str:
    """`stored bars`, `live bars`, or `dataset a41f9c2e`."""
    if source.startswith(VERSION):
        return f"dataset {source.removeprefix(VERSION)[:8]}"
    return "live bars" if source == LIVE else "stored bars"


def with_from(table: pd.DataFrame, scan_ids: Iterable[int], every: Sequence[ScannedSeries]) -> pd.DataFrame:
    """A table whose rows begin with their series, with a second column From where there are several kinds of bars."""
    of_scan = {each.scan_id: source_words(each.source) for each in every}
    if len(set(of_scan.values())) > 1:
        table.insert(1, "From", [of_scan.get(int(scan), DASH) for scan in scan_ids])
    return table


def scanned_series(scans: pd.DataFrame) -> list[ScannedSeries]:
    """The series of `scanner.store.list_scans` that hold bars, by symbol, source and length of their bars."""
    rows: list[Any] = list(scans[scans["scanned_until"].notna()].itertuples())
    found = [
        ScannedSeries(
            scan_id=int(row.id),
            symbol=row.symbol,
            timeframe=Timeframe(row.timeframe),
            source=row.source,
            first=row.first_time,
            until=row.scanned_until,
            settings=row.settings,
            failure=row.failure if isinstance(row.failure, str) else None,
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.symbol, each.source, each.timeframe.minutes))


def family(series: ScannedSeries, every: Sequence[ScannedSeries]) -> list[ScannedSeries]:
    """All timeframes of the same bars, scanned with the same settings, shortest first."""
    return [
        each
        for each in every
        if (each.symbol, each.source) == (series.symbol, series.source)
        and each.settings == series.settings
        and (each == series or each.failure is None)
    ]


def picture_of(series: ScannedSeries, every: Sequence[ScannedSeries]) -> Picture:
    """What there is to draw of a series. Raises BarsError where its bars are no longer there."""
    upwards = [each for each in family(series, every) if each.timeframe.minutes >= series.timeframe.minutes]
    layers = [_layer(str(output_folder()), each) for each in upwards]
    return Picture(layers, _candidates(str(output_folder()), series, layers))


def layer_shown(series: ScannedSeries) -> Layer:
    """The bars of a series and what was found in them."""
    return _layer(str(output_folder()), series)


def recent_closes(series: ScannedSeries, since: pd.Timestamp) -> pd.Series:
    """Closes from an open time up to the last bar that was scanned."""
    return _closes(str(output_folder()), series, since)


def is_sample(series: ScannedSeries, versions: Sequence[DatasetVersion], held: pd.DataFrame) -> bool:
    """Whether its bars are those of the embedded sample."""
    if series.of_version:
        return any(each.content_hash == series.of_version and "sample" in each.attribution for each in versions)
    if series.source == LIVE:
        return False
    sources = held.loc[held["symbol"] == series.symbol, "source"]
    return len(sources) > 0 and set(sources.str.lower()) == {"sample"}


_BY_SCAN: dict[str | type[Any], Any] = {
    **BY_CONTENT,
    ScannedSeries: lambda series: (
        series.scan_id,
        series.key,
        str(series.first),
        str(series.until),
        repr(series.settings),
    ),
}


@st.cache_resource(ttl=3600, max_entries=48, show_spinner="Reading the bars", hash_funcs=_BY_SCAN)
def _layer(home: str, series: ScannedSeries) -> Layer:
    return layer_of(_bars(series, series.first), series.timeframe, series.patterns, series.about.asset_class)


@st.cache_resource(ttl=3600, max_entries=24, show_spinner=False, hash_funcs=_BY_SCAN)
def _candidates(home: str, series: ScannedSeries, _layers: list[Layer]) -> Candidates:
    return find_candidates(_layers, series.symbol, series.setups, spread_pips=series.settings["spread_pips"])


@st.cache_data(ttl=3600, max_entries=256, show_spinner=False, hash_funcs=_BY_SCAN)
def _closes(home: str, series: ScannedSeries, since: pd.Timestamp) -> pd.Series:
    return _bars(series, since)["close"]


def _bars(series: ScannedSeries, since: pd.Timestamp) -> pd.DataFrame:
    if series.of_version:
        return version_bars(series.of_version, series.symbol, series.timeframe).loc[since : series.until]
    return bars_since(series.symbol, series.timeframe, since, series.source).loc[: series.until]


def _named(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    return {field.name: settings[field.name] for field in fields(kind) if field.name in settings}
