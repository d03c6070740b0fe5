"""Where a dataset version came from and what was made of it: a row of cards, left to right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from components.numbers import number, stamp
from components.panels.failure import fetched
from components.panels.page import VERDICT_COLOURS, card
from components.panels.versions import show_downloads
from components.panels.words import verbatim
from data.versions import UNCHECKED, DatasetVersion
from workbench import BACKTESTING, DATA_PIPELINE, users_of

_BOX_WIDTH, _USERS_WIDTH = 170, 215
_LISTED = 3
_RUN = "run "
Row = Mapping[str, Any] | None


def show_lineage(version: DatasetVersion, collection: Row, preprocessing: Row, validation: Row) -> None:
    """Sources → collection → preprocessing → validation → this version → what uses it; and its files."""
    with card("Lineage", "left to right · times UTC"):
        with st.container(horizontal=True, gap="xsmall"):
            _show_sources(version, collection)
            _show_collection(collection)
            _show_preprocessing(preprocessing)
            _show_validation(version, validation)
            with _box(f":green[{version.short_hash}]"):
                _lines("this version", f"{number(version.rows)} rows", stamp(version.created_at))
            _show_users(fetched(lambda: users_of(version)))
        for problem in (collection or {}).get("problems") or []:
            st.markdown(f":orange[:material/warning: {verbatim(problem)}]")
        with st.container(horizontal=True, vertical_alignment="center"):
            show_downloads(version, "passport.version")


@contextmanager
def _box(title: str, *, first: bool = False, width: int = _BOX_WIDTH) -> Iterator[None]:
    with st.container(border=True, gap=None, width=width, height="stretch"):
        st.markdown(f"**{title}**" if first else f":gray[→] **{title}**")
        yield


def _lines(*lines: str) -> None:
    st.markdown("  \n".join(f":gray[:small[{line}]]" for line in lines if line))


def _show_sources(version: DatasetVersion, collection: Row) -> None:
    names = ", ".join(collection["sources"]) if collection else "From Python"
    with _box(verbatim(names), first=True):
        _lines(verbatim(version.attribution) or ("your own data" if collection else "published from a frame"))


def _show_collection(collection: Row) -> None:
    if collection is None:
        with _box("No collection"):
            _lines("nothing says where the bars came from")
        return
    problems = len(collection["problems"] or [])
    with _box(f"Collection {collection['id']}"):
        _lines(
            f"{collection['status']}, {number(problems)} problem{'' if problems == 1 else 's'}"
            if problems
            else collection["status"],
            f"{number(collection['rows'])} bars",
            f"from {stamp(collection['first_time'])[:10]}",
            f"to {stamp(collection['last_time'])[:10]}",
            f"days end {verbatim(collection['day_cut'])}" if collection["day_cut"] else "",
        )


def _show_preprocessing(preprocessing: Row) -> None:
    added = len(preprocessing["columns_added"]) if preprocessing else 0
    if preprocessing is None or not added:
        with _box("Raw"):
            _lines("no column was added")
        return
    fitted = 100 * preprocessing["settings"].get("train_fraction", 0)
    with _box("Preprocessing"):
        _lines(
            f"step {preprocessing['id']}",
            f"+{number(added)} columns",
            f"fitted on the first {number(fitted)} %" if preprocessing["fitted"] else "nothing was fitted",
            f"{number(preprocessing['warmup_rows'])} warm-up rows",
            ":red[looks ahead]" if preprocessing["looks_ahead"] else "",
        )


def _show_validation(version: DatasetVersion, validation: Row) -> None:
    if validation is None:
        with _box(UNCHECKED.capitalize()):
            _lines("published without a verdict")
        return
    passed = sum(rule["status"] == "PASS" for rule in validation["rules"])
    with _box(f"Validation {validation['id']}"):
        colour = VERDICT_COLOURS.get(validation["status"], "gray")
        st.markdown(f":{colour}[:small[{validation['status']}]]")
        _lines(f"{number(passed)} of {number(len(validation['rules']))} rules pass")
        st.page_link(DATA_PIPELINE.file, label=":small[All rules]", query_params={"version": version.short_hash})


def _show_users(users: Sequence[str] | None) -> None:
    if users is None:
        return
    with _box("Used by" if users else "Not used yet", width=_USERS_WIDTH):
        for user in users[:_LISTED]:
            if user.startswith(_RUN):
                run_id = user.removeprefix(_RUN)
                st.page_link(BACKTESTING.file, label=f":small[{verbatim(run_id)}]", query_params={"run": run_id})
            else:
                _lines(verbatim(user))
        if len(users) > _LISTED:
            _lines(f"and {number(len(users) - _LISTED)} more")
        if not users:
            _lines("no run, no model")
