"""Dataset versions on the Data Pipeline page: find one, open it, write to it, load its settings, delete it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from components.numbers import number, size, stamp
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.listing import (
    Listing,
    ask_one,
    ask_text,
    filter_row,
    mark_open,
    open_asked,
    open_instead,
    show_no_match,
)
from components.panels.page import card
from components.panels.recollect import load_settings
from components.panels.remarks import Opened, confirm_delete, show_delete_button, show_load_button, show_note_form
from components.panels.table import csv_button, show_table
from data.pipeline_controller import controller
from data.versions import UNCHECKED, DatasetVersion, filter_versions, refuse_if_used
from workbench import BACKTESTING, DATASET, users_of

PLACE = "data"
_FILTERS = {
    "versions.find": "",
    "versions.symbol": None,
    "versions.timeframe": None,
    "versions.verdict": None,
    "versions.tag": None,
}
_VERSIONS = Listing("dataset version", "version", "data.versions", _FILTERS)


def ask_version(versions: Sequence[DatasetVersion]) -> DatasetVersion | None:
    """The version to look at, kept in the URL, the newest at first; beside it what can be done with it.

    A row clicked in the list of versions opens that version. None where there is none.
    """
    named = named_versions(versions)
    open_asked(_VERSIONS, list(named), {with_id(version): name for name, version in named.items()})
    if not named:
        return None
    words = {name: version_words(name, version) for name, version in named.items()}
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        name = choose("Version", list(named), _VERSIONS.name, words.__getitem__, show_label=False)
        version = named[name]
        identity = f"{version.id} {version.content_hash} {version.created_at}"
        opened = Opened(PLACE, "dataset version", name, identity, version)
        with st.container(horizontal=True, width="content", gap="xsmall"):
            show_note_form(
                opened,
                lambda: controller.version(version),
                lambda note, tags: controller.annotate_version(version, note=note, tags=tags),
            )
            show_load_button(
                opened,
                "Puts source, range, timeframe and preprocessing of this version into the form.",
                lambda: load_settings(version),
            )
            show_delete_button(opened, "Delete version…", lambda: refuse_if_used(version, users_of))
    confirm_delete(
        opened,
        deletion_question(version, sum(each.content_hash == version.content_hash for each in versions) - 1),
        lambda: controller.delete_version(version, used_by=users_of),
        _open_newest,
    )
    return version


def show_versions(versions: Sequence[DatasetVersion], chosen: DatasetVersion) -> None:
    """All versions that answer to the filters, a click opens one; and what can be done with the open one."""
    with card("Versions", "newest first · select one to open it · click a header to sort · times UTC"):
        listed = _ask_filter(versions)
        names = {with_id(version): name for name, version in named_versions(versions).items()}
        shown = {names[with_id(version)]: version for version in listed}
        mark_open(_VERSIONS, list(shown), names[with_id(chosen)])
        if shown:
            _show_table(shown, len(versions))
        else:
            show_no_match(_VERSIONS, len(versions))
        _show_ways_out(chosen)


# Together with the column of the selection they fill a full card beside a sidebar of 256 px: 1113 px.
_WIDTHS = {
    "Made, UTC": 134,
    "Version": 96,
    "Symbols": 72,
    "Timeframe": 82,
    "Verdict": 92,
    "Rows": 82,
    "Columns": 70,
    "From, UTC": 90,
    "To, UTC": 90,
    "Looks ahead": 94,
    "Tags": 90,
    "Note": 91,
}


def _show_table(shown: Mapping[str, DatasetVersion], count: int) -> None:
    listed = shown.values()
    table = pd.DataFrame(
        {
            "Made, UTC": [stamp(version.created_at) for version in listed],
            "Version": list(shown),
            "Symbols": [", ".join(version.symbols) for version in listed],
            "Timeframe": [version.timeframe for version in listed],
            "Verdict": [version.verdict or UNCHECKED for version in listed],
            "Rows": [version.rows for version in listed],
            "Columns": [len(version.columns) for version in listed],
            "From, UTC": [stamp(version.first_time)[:10] for version in listed],
            "To, UTC": [stamp(version.last_time)[:10] for version in listed],
            "Looks ahead": ["yes" if version.looks_ahead else "no" for version in listed],
            "Tags": [", ".join(version.tags) for version in listed],
            "Note": [version.note or "" for version in listed],
        }
    )
    show_table(
        table,
        key=_VERSIONS.table,
        formats={"Rows": number, "Columns": number},
        widths=_WIDTHS,
        help_texts={
            "Version": "The beginning of its hash; with a number where equal content was published again later.",
            "Looks ahead": "Whether an added column uses later prices, because holes were filled backward.",
        },
        select="one",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button("This list as CSV", lambda: table, "dataset_versions.csv", key="data.versions.csv")
        st.caption(f"{number(len(shown))} of {number(count)} versions", width="content")


def _show_ways_out(chosen: DatasetVersion) -> None:
    """Where the open version goes from here: its passport, a backtest, a file."""
    with st.container(horizontal=True, vertical_alignment="center"), failures_shown():
        st.page_link(
            DATASET.file,
            label="Open passport",
            icon=DATASET.icon,
            query_params={"version": chosen.short_hash},
        )
        st.page_link(
            BACKTESTING.file,
            label=f"Backtest {chosen.short_hash}",
            icon=":material/query_stats:",
            query_params={"dataset": chosen.short_hash},
        )
        show_downloads(chosen, f"{PLACE}.version")


def show_downloads(version: DatasetVersion, place: str) -> None:
    """All of a version as CSV, made when it is pressed, and the Parquet file as it lies there."""
    name = f"{'_'.join(version.symbols)}_{version.timeframe}_{version.short_hash}"
    csv_button(f"{version.short_hash} as CSV", version.frame, f"{name}.csv", key=f"{place}.csv")
    st.download_button(
        f"{version.short_hash} as Parquet",
        data=version.parquet_file.read_bytes,
        file_name=f"{name}.parquet",
        mime="application/vnd.apache.parquet",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=f"{place}.parquet",
    )


def _ask_filter(versions: Sequence[DatasetVersion]) -> list[DatasetVersion]:
    """The versions that answer to text, symbol, timeframe, verdict and tag, all of which live in the URL."""
    symbols = (symbol for version in versions for symbol in version.symbols)
    tags = (tag for version in versions for tag in version.tags)
    with filter_row():
        text = ask_text("versions.find", "version, symbols, note and tags")
        symbol = ask_one("Symbol", symbols, "versions.symbol", "any symbol")
        timeframe = ask_one(
            "Timeframe", (version.timeframe for version in versions), "versions.timeframe", "any timeframe"
        )
        verdict = ask_one(
            "Verdict", (version.verdict or UNCHECKED for version in versions), "versions.verdict", "any verdict"
        )
        tag = ask_one("Tag", tags, "versions.tag", "any tag")
    return filter_versions(versions, text, symbol=symbol, timeframe=timeframe, verdict=verdict, tag=tag)


def named_versions(versions: Sequence[DatasetVersion]) -> dict[str, DatasetVersion]:
    """Each version by its name in the address: its short hash, or that with the id where a newer one is equal."""
    named: dict[str, DatasetVersion] = {}
    for version in versions:
        named[version.short_hash if version.short_hash not in named else with_id(version)] = version
    return named


def with_id(version: DatasetVersion) -> str:
    """The name under which a version is found even when a newer one is equal."""
    return f"{version.short_hash}-{version.id}"


def version_words(name: str, version: DatasetVersion) -> str:
    """Symbols, timeframe, name and when it was made."""
    # With the name, because Streamlit cannot tell options of equal words apart.
    return f"{version.label.replace(version.short_hash, name)} · {stamp(version.created_at)}"


def deletion_question(version: DatasetVersion, equal: int) -> str:
    """What is asked before `version` goes, of which `equal` others have the same content."""
    what = f"Delete {version.label}, made {stamp(version.created_at)},"
    if equal:
        return (
            f"{what} and its note? This cannot be undone. The file stays, as the same content was published "
            f"{number(equal)} more time{'s' if equal > 1 else ''}."
        )
    return f"{what} with its file ({size(version.size_bytes)}) and its note? This cannot be undone."


def _open_newest() -> None:
    open_instead(_VERSIONS, next((version.short_hash for version in controller.versions(limit=1)), None))
