"""What is kept up to date: asked for beside a live collection, and listed on the Jobs page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, stamp
from components.panels.failure import failures_shown
from components.panels.page import card
from components.panels.remarks import attempt, show_outcome
from components.panels.schedule_offer import Offer, at_time, cron_words, each_time, offer_job, own_cron, state_words
from components.panels.table import show_table
from components.panels.words import verbatim
from core.errors import UnknownNameError
from core.schedules import Schedule, delete_schedule, enable_schedule, schedules
from data.config import DataConfig, up_to_now
from data.jobs import collection_arguments, collection_title
from data.sources.base import is_live
from workbench import DATA_PIPELINE, JOBS_PAGE, SCANNER

PLACE = "schedules"
_ASKED = f"{PLACE}.delete.asked"
_RHYTHMS = {
    "Every hour": each_time("5 * * * *"),
    "Daily": at_time("*"),
    "Weekdays": at_time("mon-fri"),
    "Own cron": own_cron("5 */4 * * mon-fri"),
}


def offer_schedule(config: DataConfig | None, place: str) -> None:
    """A popover that has `config` collected again and again, up to each moment; `place` tells how it ended.

    Nothing where there is no config (yet), or nothing live in it.
    """
    if config is None or config.files or not any(is_live(name) for name in config.data_sources):
        return
    offer = Offer(
        PLACE,
        "data",
        "collect",
        collection_arguments(up_to_now(config)),
        collection_title(config),
        label="Keep up to date",
        about="Collects the same again, always up to the moment it runs, and publishes a version each time.",
        begin="Keep it up to date",
        kept="Kept up to date",
        rhythms=_RHYTHMS,
        usual="Weekdays",
    )
    kept = offer.schedules()
    for each in kept:
        st.caption(verbatim(f"{offer.kept} {state_words(each)}."))
    if kept:
        st.page_link(JOBS_PAGE.file, label="Schedules", icon=JOBS_PAGE.icon)
    offer_job(offer, place, fresh=len(kept))


def show_schedules() -> None:
    """Every schedule, and what can be done to the selected one."""
    with card("Schedules", "jobs that come back by themselves · select one to switch or delete it · times UTC"):
        show_outcome(PLACE)
        with failures_shown():
            kept = schedules()
            if not kept:
                st.markdown(
                    "Nothing comes back by itself yet: **Keep up to date** stands below a live collection, "
                    "**Keep scanning** beside a scan."
                )
                st.page_link(DATA_PIPELINE.file, label="Collect from a live source", icon=DATA_PIPELINE.icon)
                st.page_link(SCANNER.file, label="Scan", icon=SCANNER.icon)
                return
            rows = show_table(_table(kept), key=f"{PLACE}.table", select="one", right=["Missed"], widths=_WIDTHS)
            _act(kept[rows[0]] if rows else None)


_WIDTHS = {"What": 250, "When": 190, "State": 64, "Next, UTC": 140, "Last fired, UTC": 140, "Missed": 72}


def _table(kept: Sequence[Schedule]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "What": [each.title for each in kept],
            "When": [cron_words(each.cron) for each in kept],
            "State": ["on" if each.enabled else "off" for each in kept],
            "Next, UTC": [stamp(each.next_run_at) if each.enabled else DASH for each in kept],
            "Last fired, UTC": [stamp(each.last_fired_at) if each.last_fired_at else DASH for each in kept],
            "Missed": [number(each.missed) for each in kept],
        }
    )


def _act(chosen: Schedule | None) -> None:
    verb = "Switch on or off" if chosen is None else "Switch off" if chosen.enabled else "Switch on"
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        _button(verb, "switch", chosen, _switch)
        _button("Delete schedule…", "delete", chosen, _ask_delete)
    if chosen is None or st.session_state.get(_ASKED) != chosen.id:
        st.session_state.pop(_ASKED, None)
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(verbatim(f"Delete “{chosen.title}”, {cron_words(chosen.cron)}? What it made stays."))
        _button(":red[Delete schedule]", "delete.yes", chosen, _delete)
        st.button("Keep it", key=f"{PLACE}.delete.no", on_click=lambda: st.session_state.pop(_ASKED, None))


def _button(label: str, name: str, chosen: Schedule | None, work: Callable[[Schedule], str]) -> None:
    st.button(
        label,
        key=f"{PLACE}.{name}",
        disabled=chosen is None,
        on_click=attempt,
        args=(PLACE, lambda: work(chosen) if chosen else ""),
    )


def _switch(chosen: Schedule) -> str:
    now = enable_schedule(chosen.id, not chosen.enabled)
    return f"{chosen.title}: " + (f"on again, next {stamp(now.next_run_at)} UTC." if now.enabled else "switched off.")


def _ask_delete(chosen: Schedule) -> str:
    st.session_state[_ASKED] = chosen.id
    return ""


def _delete(chosen: Schedule) -> str:
    if st.session_state.pop(_ASKED, None) != chosen.id:
        return ""  # the second click of a double click
    try:
        delete_schedule(chosen.id)
    except UnknownNameError:
        return f"{chosen.title} was deleted already, in another tab or from Python."
    return f"{chosen.title}, {cron_words(chosen.cron)}, is deleted."
