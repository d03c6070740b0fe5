"""What the Scanner page scans: stored bars or dataset versions, on which timeframes; and its header's badges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.numbers import number, stamp
from components.panels.jobs import run_as_job
from components.panels.page import card, columns, show_badges
from components.panels.scanner_data import ScannedSeries, layer_shown
from components.panels.table import show_table
from core.jobs import Job
from data.versions import DatasetVersion
from market.timeframes import Timeframe, parse_timeframe
from scanner.jobs import scan_arguments, scan_title
from scanner.patterns.rewrites import Rewrites, count_rewrites
from scanner.scan import configured_timeframes
from workbench import JOBS

_STORED, _DATASETS = "Stored bars", "Datasets"
_PREFIXES = 200
_WIDTH = 230  # of the field beside which the timeframes find room
_REWRITES = (
    f"Finds the patterns of the chosen series again on {_PREFIXES} prefixes of its bars, and holds each against what "
    "is drawn: a finding that is not the same there was rewritten."
)


@dataclass(frozen=True)
class ScanRequest:
    """A filled-in form; without `symbols` all that the store holds, with `versions` these instead of the store."""

    symbols: list[str] | None
    timeframes: list[str]
    versions: list[DatasetVersion]

    def submit(self) -> Job:
        """Queue it. Raises InputError for what cannot be scanned."""
        arguments = scan_arguments(self.symbols, self.timeframes, versions=self.versions)
        return JOBS.submit("scan", "scan", arguments, scan_title(arguments))


def show_form(held: pd.DataFrame, versions: Sequence[DatasetVersion]) -> None:
    """Ask what to scan; the scan is a job that finds only what is newer than the last one saw."""
    with st.container(border=True):
        left, right = columns([6, 1])
        with left, st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            request = _ask(held, versions)
        with right, st.container(height="stretch", vertical_alignment="bottom"):
            submit = request.submit if request.timeframes else None
            run_as_job("Scan now", "scanner.scan", submit, icon=":material/radar:")


def _ask(held: pd.DataFrame, versions: Sequence[DatasetVersion]) -> ScanRequest:
    names = [name for name, there in ((_STORED, len(held)), (_DATASETS, len(versions))) if there]
    source = st.segmented_control("Bars", names, default=names[0], required=True, key="scanner.source")
    if source == _STORED:
        symbols = sorted(held["symbol"].unique())
        chosen = st.multiselect(
            "Symbols", symbols, key="scanner.symbols", placeholder=f"all {number(len(symbols))} symbols", width=_WIDTH
        )
        asked = held[held["symbol"].isin(chosen or symbols)]
        return ScanRequest(chosen or None, _ask_timeframes(asked["timeframe"]), [])
    by_hash = {version.content_hash: version for version in reversed(versions)}
    hashes = list(dict.fromkeys(version.content_hash for version in versions))
    picked = st.multiselect(
        "Datasets", hashes, default=hashes[:1], key="scanner.datasets", format_func=lambda each: by_hash[each].label,
        placeholder="choose one or several", width=_WIDTH,
    )  # fmt: skip
    asked_versions = [by_hash[each] for each in picked]
    nameless = any(not version.symbols for version in asked_versions)
    symbol = st.text_input("Symbol", "EURUSD", key="scanner.symbol", width=120) if nameless else ""
    timeframes = _ask_timeframes([version.timeframe for version in asked_versions])
    return ScanRequest([symbol] if symbol else None, timeframes if picked else [], asked_versions)


def _ask_timeframes(own: Sequence[str] | pd.Series) -> list[str]:
    """Timeframes no shorter than the shortest bars there are; at first those of the settings."""
    shortest = min((parse_timeframe(str(each)).minutes for each in own), default=0)
    options = [str(each) for each in Timeframe if each.minutes >= shortest]
    usual = [str(each) for each in configured_timeframes() if str(each) in options] or options[:1]
    chosen = st.pills(
        "Timeframes", options, selection_mode="multi", default=usual, key=f"scanner.timeframes.{options[0]}"
    )
    return [each for each in options if each in chosen]


def show_state(place: DeltaGenerator, series: ScannedSeries, sample: bool) -> None:
    """In the header: how often the chosen series' findings were rewritten, counted on a click, and its last bar."""
    kept = f"scanner.rewrites.{series.key}.{series.until:%Y%m%d%H%M}"
    if place.button(
        "Count rewrites", key="scanner.rewrites", type="tertiary", icon=":material/fact_check:", help=_REWRITES
    ):
        layer = layer_shown(series)
        with st.spinner("Finding patterns on prefixes"):
            st.session_state[kept] = count_rewrites(layer.bars, series.patterns, _PREFIXES, series.about.asset_class)
    found: Rewrites | None = st.session_state.get(kept)
    if found is not None:
        show_badges(place, (found.badge, "red" if found.count else "green"))
    show_badges(place, (f"last bar {stamp(series.until.to_pydatetime())}", "gray"))
    if sample:
        show_badges(place, ("sample data", "violet"))
    if found is not None and found.count:
        with card("Rewritten findings", "known on the bars up to there, and not the same with the bars after them"):
            show_table(found.examples, key="scanner.rewritten")
