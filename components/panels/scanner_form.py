"""What the Scanner page scans, now or by itself: which bars, on which timeframes; and its header's badges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.numbers import number, stamp
from components.panels.jobs import run_as_job
from components.panels.page import card, columns, show_badges
from components.panels.remarks import show_outcome
from components.panels.scanner_data import ScannedSeries, layer_shown
from components.panels.schedule_offer import Offer, each_time, offer_job, own_cron, state_words
from components.panels.table import show_table
from components.panels.words import verbatim
from core.jobs import Job
from core.schedules import Schedule, schedules
from data.versions import DatasetVersion
from market.timeframes import Timeframe, parse_timeframe
from scanner.jobs import is_live, scan_arguments, scan_title
from scanner.patterns.rewrites import Rewrites, count_rewrites
from scanner.scan import configured_timeframes
from workbench import JOBS, JOBS_PAGE

_STORED, _LIVE, _DATASETS = "Stored bars", "Live bars", "Datasets"
_PREFIXES = 200
_WIDTH = 230  # of the field beside which the timeframes find room
_REWRITES = (
    f"Finds the patterns of the chosen series again on {_PREFIXES} prefixes of its bars, and holds each against what "
    "is drawn: a finding that is not the same there was rewritten."
)
PLACE = "scanner.keep"
_ABOUT = "Scans the same again and again, each time only what is newer, a minute after the close of bars."
# A minute after the close: by then the bridge has made the last live bar.
_RHYTHMS = {
    "Every 5 minutes": each_time("1-59/5 * * * *"),
    "Every 15 minutes": each_time("1-59/15 * * * *"),
    "Hourly": each_time("1 * * * *"),
    "Own cron": own_cron("1-59/5 6-20 * * mon-fri"),
}
_OTHERS = " The same bars are kept scanning on other timeframes: as both begin anew after the other, keep one of them."
_TOLD = 2  # schedules that are told in full


@dataclass(frozen=True)
class ScanRequest:
    """A filled-in form; without `symbols` all that there are, with `versions` these instead of stored or live bars."""

    symbols: list[str] | None
    timeframes: list[str]
    versions: list[DatasetVersion]
    live: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """What the job is asked. Raises InputError for what cannot be scanned."""
        return scan_arguments(self.symbols, self.timeframes, versions=self.versions, live=self.live)

    def submit(self) -> Job:
        """Queue it. Raises InputError likewise."""
        return JOBS.submit("scan", "scan", self.arguments, scan_title(self.arguments))


def show_form(held: pd.DataFrame, live: pd.DataFrame, versions: Sequence[DatasetVersion]) -> None:
    """Ask what to scan; the scan is a job that finds only what is newer than the last one saw.

    `held` and `live` are the series of stored and of live bars.
    """
    with st.container(border=True):
        left, right = columns([5, 1])
        with left, st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            request = _ask(held, live, versions)
        with right, st.container(height="stretch", vertical_alignment="bottom", gap="xsmall"):
            submit = request.submit if request.timeframes else None
            run_as_job("Scan now", "scanner.scan", submit, icon=":material/radar:")
            _offer_to_keep(request)
        _tell_kept()


def _offer_to_keep(request: ScanRequest) -> None:
    """The popover; a dataset version never changes, so that there is nothing to come back for."""
    if request.versions or not request.timeframes:
        return
    asked = request.arguments
    others = any(
        is_live(each.arguments) == request.live and each.arguments["timeframes"] != asked["timeframes"]
        for each in _kept()
        if each.enabled and not each.arguments["versions"]
    )
    offer = Offer(
        PLACE,
        "scan",
        "scan",
        asked,
        scan_title(asked),
        label="Keep scanning",
        about=_ABOUT + _OTHERS if others else _ABOUT,
        begin="Keep scanning",
        kept="Kept scanning",
        rhythms=_RHYTHMS,
        usual="Every 5 minutes" if request.live else "Hourly",
    )
    offer_job(offer, PLACE, fresh=len(_kept()))


def _tell_kept() -> None:
    """How the last press ended, and in one line which scans come back by themselves."""
    show_outcome(PLACE)
    kept = _kept()
    if not kept:
        return
    words = [f"{each.title.removeprefix('Scan ')}, {state_words(each)}" for each in kept[:_TOLD]]
    more = len(kept) - _TOLD
    words += [f"{number(more)} more"] if more > 0 else []
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(verbatim(f"Kept scanning: {'; '.join(words)}."), width="content")
        st.page_link(JOBS_PAGE.file, label="Schedules", icon=JOBS_PAGE.icon, width="content")


def _kept() -> list[Schedule]:
    return [each for each in schedules() if (each.queue, each.kind) == ("scan", "scan")]


def _ask(held: pd.DataFrame, live: pd.DataFrame, versions: Sequence[DatasetVersion]) -> ScanRequest:
    there = {_STORED: len(held), _LIVE: len(live), _DATASETS: len(versions)}
    names = [name for name, count in there.items() if count]
    source = st.segmented_control("Bars", names, default=names[0], required=True, key="scanner.source")
    if source != _DATASETS:
        return _ask_symbols(live if source == _LIVE else held, live=source == _LIVE)
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


def _ask_symbols(held: pd.DataFrame, *, live: bool) -> ScanRequest:
    """Which symbols of the stored or of the live bars."""
    symbols = sorted(held["symbol"].unique())
    chosen = st.multiselect(
        "Symbols",
        symbols,
        key="scanner.live" if live else "scanner.symbols",
        placeholder=f"all {number(len(symbols))} symbols" if len(symbols) > 1 else f"all: {symbols[0]}",
        width=_WIDTH,
    )
    asked = held[held["symbol"].isin(chosen or symbols)]
    return ScanRequest(chosen or None, _ask_timeframes(asked["timeframe"]), [], live=live)


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
