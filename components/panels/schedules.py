"""What is kept up to date: asked for beside a live collection, and listed on the Jobs page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import time
from functools import partial

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, stamp
from components.panels.failure import failures_shown
from components.panels.page import card
from components.panels.remarks import attempt, show_outcome
from components.panels.table import show_table
from components.panels.words import verbatim
from core.clock import utc_now
from core.errors import InputError, UnknownNameError
from core.schedules import Schedule, add_schedule, delete_schedule, enable_schedule, next_firing, schedules
from data.config import DataConfig, up_to_now
from data.jobs import collection_arguments, collection_title
from data.sources.base import is_live
from workbench import DATA_PIPELINE, JOBS, JOBS_PAGE

PLACE = "schedules"
_HOURLY, _DAILY, _WEEKDAYS, _OWN = "Every hour", "Daily", "Weekdays", "Own cron"
_ASKED = f"{PLACE}.delete.asked"
_CRON_HELP = "Minute, hour, day, month and weekday in UTC; weekdays by name: 5 22 * * mon-fri is 22:05 on weekdays."
_DAILY_TIME = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|mon-fri)")


def cron_words(cron: str) -> str:
    """`daily at 22:05 UTC`; what has no such words stands as it is written."""
    if found := _DAILY_TIME.fullmatch(cron):
        days = "daily" if found[3] == "*" else "weekdays"
        return f"{days} at {int(found[2]):02}:{int(found[1]):02} UTC"
    if found := re.fullmatch(r"(\d{1,2}) \* \* \* \*", cron):
        return f"every hour at :{int(found[1]):02}"
    return f"{cron} (UTC)"


def offer_schedule(config: DataConfig | None, place: str) -> None:
    """A popover that has `config` collected again and again, up to each moment; `place` tells how it ended.

    Nothing where there is no config (yet), or nothing live in it.
    """
    if config is None or config.files or not any(is_live(name) for name in config.data_sources):
        return
    arguments = collection_arguments(up_to_now(config))
    kept = [each for each in schedules() if each.arguments == arguments]
    for each in kept:
        state = f"next {stamp(each.next_run_at)}" if each.enabled else "switched off"
        st.caption(verbatim(f"Kept up to date {cron_words(each.cron)}, {state}."))
    if kept:
        st.page_link(JOBS_PAGE.file, label="Schedules", icon=JOBS_PAGE.icon)
    with st.popover("Keep up to date", icon=":material/event_repeat:", key=f"{PLACE}.add.{len(kept)}"):
        st.markdown("Collects the same again, always up to the moment it runs, and publishes a version each time.")
        cron = _ask_cron()
        try:
            st.caption(f"Next: {stamp(next_firing(cron, utc_now()))} UTC. What was missed is made up once.")
        except InputError as error:
            st.warning(verbatim(f"{error.what} {error.cure}"))
            return
        add = partial(_add, config, arguments, cron)
        st.button("Keep it up to date", key=f"{PLACE}.add.do", on_click=attempt, args=(place, add))


def _ask_cron() -> str:
    # Handed to the widgets: what only the session holds does not reach a popover that is opened later.
    rhythm = st.segmented_control(
        "How often", [_HOURLY, _DAILY, _WEEKDAYS, _OWN], default=_WEEKDAYS, required=True, key=f"{PLACE}.rhythm"
    )
    if rhythm == _HOURLY:
        return "5 * * * *"
    if rhythm == _OWN:
        return " ".join(st.text_input("Cron, UTC", "5 */4 * * mon-fri", key=f"{PLACE}.cron", help=_CRON_HELP).split())
    at = st.time_input("At, UTC", time(22, 5), key=f"{PLACE}.time", step=300)
    return f"{at.minute} {at.hour} * * {'*' if rhythm == _DAILY else 'mon-fri'}"


def _add(config: DataConfig, arguments: dict[str, object], cron: str) -> str:
    if any(each.arguments == arguments and each.cron == cron for each in schedules()):
        return f"This is kept up to date {cron_words(cron)} already."
    added = add_schedule(JOBS, "data", "collect", arguments, title=collection_title(config), cron=cron)
    return f"Kept up to date {cron_words(cron)}; the first time {stamp(added.next_run_at)} UTC."


def show_schedules() -> None:
    """Every schedule, and what can be done to the selected one."""
    with card("Schedules", "jobs that come back by themselves · select one to switch or delete it · times UTC"):
        show_outcome(PLACE)
        with failures_shown():
            kept = schedules()
            if not kept:
                st.markdown("Nothing is kept up to date yet: **Keep up to date** stands below a live collection.")
                st.page_link(DATA_PIPELINE.file, label="Collect from a live source", icon=DATA_PIPELINE.icon)
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
        st.markdown(verbatim(f"Delete “{chosen.title}”, {cron_words(chosen.cron)}? What it collected stays."))
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
