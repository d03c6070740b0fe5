"""The passport of one dataset version: which one, what can be done with it, its figures, coverage and moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.coverage import coverage_figure
from components.charts.distribution import moves_figure, moves_over_time_figure, ranges_figure
from components.numbers import DASH, number, percent, size, stamp
from components.panels.chart import show_still
from components.panels.choice import choose
from components.panels.defaults import keep_defaults
from components.panels.kept import BY_CONTENT
from components.panels.listing import Listing, open_asked, open_instead
from components.panels.page import VERDICT_COLOURS, Colour, card, columns, metric, metric_row, sample_badge
from components.panels.remarks import Opened, attempt, confirm_delete, show_delete_button, show_note_form
from components.panels.table import csv_button
from components.panels.versions import deletion_question, named_versions, version_words, with_id
from data.passport import Measured, measure
from data.pipeline_controller import controller
from data.versions import UNCHECKED, DatasetVersion, refuse_if_used
from workbench import users_of

PLACE = "passport"
_VERSIONS = Listing("dataset version", "version", "passport.versions", {})
_BY_HOUR, _OVER_TIME = "weekday", "time"
_COVERAGE = {_BY_HOUR: "By weekday", _OVER_TIME: "Over time"}
_COVERAGE_OF_DAYS = {_BY_HOUR: "By month", _OVER_TIME: "Over time"}


def ask_passport(versions: Sequence[DatasetVersion]) -> tuple[str, DatasetVersion]:
    """The version to look at, by name, kept in the URL, the newest at first; beside it what can be done with it."""
    named = named_versions(versions)
    open_asked(_VERSIONS, list(named), {with_id(version): name for name, version in named.items()})
    words = {name: version_words(name, version) for name, version in named.items()}
    left, right = columns([11, 9])
    with left:
        name = choose("Version", list(named), _VERSIONS.name, words.__getitem__, show_label=False)
    version = named[name]
    opened = Opened(
        PLACE, "dataset version", name, f"{version.id} {version.content_hash} {version.created_at}", version
    )
    with right.container(horizontal=True, gap="xsmall"):
        show_note_form(
            opened,
            lambda: controller.version(version),
            lambda note, tags: controller.annotate_version(version, note=note, tags=tags),
        )
        _show_pin_button(name, version)
        show_delete_button(opened, "Delete version…", lambda: refuse_if_used(controller.version(version), users_of))
    confirm_delete(
        opened,
        deletion_question(version, sum(each.content_hash == version.content_hash for each in versions) - 1),
        lambda: controller.delete_version(version, used_by=users_of),
        _open_newest,
    )
    return name, version


def badges_of(version: DatasetVersion) -> list[tuple[str, Colour]]:
    """What a reader must know before the figures: sample, pinned, verdict, whether it looks ahead."""
    verdict = version.verdict or UNCHECKED
    return [
        *sample_badge(version),
        *([("pinned", "blue")] if version.pinned_at else []),  # type: ignore[list-item]
        (verdict, VERDICT_COLOURS.get(version.verdict, "gray")),
        ("looks ahead", "red") if version.looks_ahead else ("no look-ahead", "gray"),
    ]


def ask_symbol(version: DatasetVersion) -> str | None:
    """Which symbol to measure, kept in the URL; None for bars that were published without one."""
    if len(version.symbols) < 2:
        return version.symbols[0] if version.symbols else None
    if st.session_state.get("symbol") not in version.symbols:  # that of the version open before
        st.session_state.pop("symbol", None)
    return choose("Symbol", version.symbols, "symbol", str, show_label=False)


@st.cache_data(
    ttl=3600,
    max_entries=16,
    show_spinner="Measuring the version",
    hash_funcs=BY_CONTENT,
)
def measured(home: str, version: DatasetVersion, symbol: str | None) -> Measured:
    """`data.passport.measure`, kept for an hour, as a version never changes; `home` tells workbenches apart."""
    return measure(version, symbol)


def show_metrics(version: DatasetVersion, found: Measured, rules: Mapping[str, Any]) -> None:
    """The version in seven figures."""
    row = metric_row()
    first, last = pd.Timestamp(version.first_time), pd.Timestamp(version.last_time)
    of = found.symbol if len(version.symbols) > 1 else ""
    metric(row, "Bars", number(version.rows), f"{len(version.columns)} columns")
    metric(row, "Range", f"{number((last - first).days)} days", f"to {last:%Y-%m-%d}")
    metric(
        row,
        "Coverage",
        percent(found.by_hour.total_pct),
        "hours not known" if found.by_hour.total_pct is None else of or "of market hours",
        "Bars present, in per cent of those the market's calendar expects between the first bar and the last. "
        "Weekends, the hour after 17:00 New York, Christmas and New Year are not expected. Source: the bars.",
    )
    metric(
        row,
        "Gaps",
        f"{number(found.missing)} bars" if found.by_hour.expected is not None else DASH,
        f"in {number(found.gaps_count)} place{'' if found.gaps_count == 1 else 's'}",
        "Expected bars that are missing, and in how many stretches. Holidays are no gaps. Source: the bars.",
    )
    spikes, apart = rules.get("spikes"), rules.get("source_disagreement")
    metric(
        row,
        f"Spikes > {number(spikes['limit'])} ATR" if spikes else "Spikes",
        number(spikes["count"]) if spikes else DASH,
        f"furthest {number(spikes['value'], 1)} ATR" if spikes else UNCHECKED,
        "Bars that stick out of both neighbours by more than so many average true ranges. Source: the validation.",
    )
    compared = apart is not None and apart["value"] is not None
    metric(
        row,
        "Disagreements",
        f"{number(apart['count'])} bars" if apart and compared else DASH,
        "between sources" if compared else "one source" if apart else UNCHECKED,
        "Bars whose close differs between two sources by more than the limit. Source: the validation.",
    )
    metric(row, "Size", size(version.size_bytes), "Parquet, zstd")


def show_coverage(version: DatasetVersion, found: Measured) -> None:
    """The heat map of what is there of what was to be expected."""
    words = _COVERAGE if found.timeframe.is_intraday else _COVERAGE_OF_DAYS
    zone = "UTC" if found.timeframe.is_intraday else "trading days"
    with card("Coverage", f"{_measure_words(found)} · {zone} · dark: none expected"):
        chosen = ask_kept("Coverage", list(words), "coverage", words.__getitem__)
        coverage = found.by_hour if chosen == _BY_HOUR else found.over_time
        figure = coverage_figure(coverage, unit="UTC")
        show_still(figure, "passport.coverage.chart", f"{version.short_hash}_coverage")
        with st.container(horizontal=True, vertical_alignment="center"):
            file_name = f"{version.short_hash}_coverage.csv"
            csv_button("These cells as CSV", coverage.table, file_name, key="passport.coverage.csv")
            if besides := float(coverage.besides.sum()):
                st.caption(f"{number(besides)} more bars lie where none are expected.", width="content")


def show_moves(version: DatasetVersion, found: Measured) -> None:
    """How the closes move from bar to bar."""
    with card(f"{found.timeframe} returns", "close to close, over pauses too · dashed: normal"):
        _figure(moves_figure(found.moves), "returns", version.short_hash)
        st.caption(_moves_words(found))


def show_ranges(version: DatasetVersion, found: Measured) -> None:
    """When the bars are long and when short."""
    by_hour = found.timeframe.is_intraday
    with card(f"Range by {'hour' if by_hour else 'weekday'}", "mean high − low of a bar · bright: top quarter"):
        _figure(ranges_figure(found.moves.ranges, by_hour=by_hour), "ranges", version.short_hash)
        st.caption(f"1 pip is {found.pip:g} of the price.")


def show_course(version: DatasetVersion, found: Measured) -> None:
    """The moves over time, where calm and storm can be told apart."""
    shown, there = len(found.moves.over_time), found.moves.count
    words = f"pips · UTC · drawn {number(shown)} of {number(there)} bars"
    largest = ", the largest of each stretch" if shown < there else ""
    with card("Returns over time", f"{words}{largest}"):
        _figure(moves_over_time_figure(found.moves.over_time), "course", version.short_hash)


def ask_kept(label: str, options: Sequence[str], name: str, words: Callable[[str], str]) -> str:
    """One of a few options side by side, kept in the URL by its own name; the first one at first."""
    asked = st.query_params.get(name)
    if st.session_state.get(name) not in options:
        st.session_state.pop(name, None)
    keep_defaults({name: asked if asked in options else options[0]})
    chosen: str | None = st.segmented_control(
        label, options, key=name, format_func=words, required=True, label_visibility="collapsed"
    )
    st.query_params[name] = chosen or options[0]
    return chosen or options[0]


def _show_pin_button(name: str, version: DatasetVersion) -> None:
    def pin() -> str:
        controller.pin_version(version, not version.pinned_at)
        return f"{name} is unpinned." if version.pinned_at else f"{name} is pinned: it cannot be deleted."

    st.button(
        "Unpin" if version.pinned_at else "Pin",
        key=f"{PLACE}.pin",
        icon=":material/keep_off:" if version.pinned_at else ":material/keep:",
        help=f"Pinned on {stamp(version.pinned_at)} UTC." if version.pinned_at else "A pinned version stays.",
        on_click=attempt,
        args=(PLACE, pin),
    )


def _open_newest() -> None:
    open_instead(_VERSIONS, next((version.short_hash for version in controller.versions(limit=1)), None))


def _measure_words(found: Measured) -> str:
    if found.by_hour.expected is None:
        return f"{found.by_hour.unit} present, the market's hours are not known"
    return f"% of the expected {found.by_hour.unit} that are there"


def _moves_words(found: Measured) -> str:
    moves = found.moves
    if moves.deviation is None:
        return f"n = {number(moves.count)}, too few or too alike for figures"
    figures = f"σ {number(moves.deviation, 1)} pips · skew {number(moves.skew, 2)}"
    return f"{figures} · excess kurtosis {number(moves.kurtosis, 1)} · {number(moves.beyond)} beyond the axis"


def _figure(figure: Any, key: str, name: str) -> None:
    show_still(figure, f"passport.{key}", f"{name}_{key}")
