"""A popover that has a job come back by itself: how often it is asked for, and when it comes next."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from functools import partial
from typing import Any

import streamlit as st

from components.numbers import stamp
from components.panels.remarks import attempt
from components.panels.words import verbatim
from core.clock import utc_now
from core.errors import InputError
from core.schedules import Schedule, add_schedule, next_firing, schedules
from workbench import JOBS

_CRON_HELP = "Minute, hour, day, month and weekday in UTC; weekdays by name: 5 22 * * mon-fri is 22:05 on weekdays."
_DAILY_TIME = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|mon-fri)")
_MINUTES = re.compile(r"(?:\*|(\d{1,2})-59)/(\d{1,2}) \* \* \* \*")

# What asks for a rhythm's details, under keys that begin so, and answers with its five fields.
Rhythm = Callable[[str], str]


@dataclass(frozen=True)
class Offer:
    """A job that may be kept up, in the words of the page that offers it.

    `place` begins the keys of its widgets; `label` and `begin` stand on the popover and its button, `about` in it;
    `kept` begins what is said of a schedule, before how often. The rhythm that is offered first is `usual`.
    """

    place: str
    queue: str
    kind: str
    arguments: dict[str, Any]
    title: str
    label: str
    about: str
    begin: str
    kept: str
    rhythms: Mapping[str, Rhythm]
    usual: str

    def schedules(self) -> list[Schedule]:
        """Those that there are of just this job."""
        return [each for each in schedules() if each.arguments == self.arguments]


def offer_job(offer: Offer, told_at: str, *, fresh: object = 0) -> None:
    """The popover; `told_at` tells how it ended. What is `fresh` closes it by changing."""
    with st.popover(offer.label, icon=":material/event_repeat:", key=f"{offer.place}.add.{fresh}"):
        st.markdown(offer.about)
        # Handed to the widgets: what only the session holds does not reach a popover that is opened later.
        rhythm = st.segmented_control(
            "How often", list(offer.rhythms), default=offer.usual, required=True, key=f"{offer.place}.rhythm"
        )
        cron = offer.rhythms[rhythm](offer.place)
        try:
            st.caption(f"Next: {stamp(next_firing(cron, utc_now()))} UTC. What was missed is made up once.")
        except InputError as error:
            st.warning(verbatim(f"{error.what} {error.cure}"))
            return
        add = partial(_add, offer, cron)
        st.button(offer.begin, key=f"{offer.place}.add.do", on_click=attempt, args=(told_at, add))


def each_time(cron: str) -> Rhythm:
    """A rhythm with nothing to ask for."""
    return lambda place: cron


def at_time(days: str) -> Rhythm:
    """Once on each of the `days`, at a time that is asked for."""

    def ask(place: str) -> str:
        at = st.time_input("At, UTC", time(22, 5), key=f"{place}.time", step=300)
        return f"{at.minute} {at.hour} * * {days}"

    return ask


def own_cron(first: str) -> Rhythm:
    """Whatever is written, at first this."""
    return lambda place: " ".join(st.text_input("Cron, UTC", first, key=f"{place}.cron", help=_CRON_HELP).split())


def cron_words(cron: str) -> str:
    """`daily at 22:05 UTC`; what has no such words stands as it is written."""
    if found := _DAILY_TIME.fullmatch(cron):
        days = "daily" if found[3] == "*" else "weekdays"
        return f"{days} at {int(found[2]):02}:{int(found[1]):02} UTC"
    if found := re.fullmatch(r"(\d{1,2}) \* \* \* \*", cron):
        return f"every hour at :{int(found[1]):02}"
    if (found := _MINUTES.fullmatch(cron)) and _is_even(int(found[1] or 0), int(found[2])):
        since = f" from :{int(found[1]):02}" if int(found[1] or 0) else ""
        return f"every {int(found[2])} minutes{since}"
    return f"{cron} (UTC)"


def state_words(kept: Schedule) -> str:
    """`every 5 minutes, next 2026-11-21 14:05`."""
    return f"{cron_words(kept.cron)}, {f'next {stamp(kept.next_run_at)}' if kept.enabled else 'switched off'}"


def _is_even(first: int, minutes: int) -> bool:
    """Whether so many minutes lie between all firings, those of two hours too."""
    return minutes > 1 and 60 % minutes == 0 and first < minutes


def _add(offer: Offer, cron: str) -> str:
    if any(each.cron == cron for each in offer.schedules()):
        return f"This is {offer.kept[0].lower()}{offer.kept[1:]} {cron_words(cron)} already."
    added = add_schedule(JOBS, offer.queue, offer.kind, offer.arguments, title=offer.title, cron=cron)
    return f"{offer.kept} {cron_words(cron)}; the first time {stamp(added.next_run_at)} UTC."
