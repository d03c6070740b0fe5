"""Jobs on a page: the strip on every page, the progress of one job, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH, age, number, span, stamp
from components.panels.failure import failures_shown
from components.panels.page import card, do_once, redraw
from components.panels.place import return_if_lost
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import SequenceError, UnknownNameError
from core.heartbeats import Process, processes
from core.job_process import log_name
from core.jobs import RETRIABLE, Job, JobStatus
from core.log import log_file
from core.settings import current_settings
from core.worker import ROLE
from workbench import JOBS, JOBS_PAGE

_SHOWN_IN_STRIP = 3
_BUSY, _IDLE = "1s", "5s"
_SEEN = "jobs.open"  # the open jobs when the page was last drawn whole
_OPENED = "jobs.opened"  # the job whose result was last opened


def show_strip() -> None:
    """What runs and waits, on every page; the page is drawn anew when one of the jobs has ended."""
    try:
        st.session_state[_SEEN] = {(job.queue, job.id) for job in JOBS.open_jobs()}
    except SequenceError:  # told in the strip itself
        st.session_state[_SEEN] = set()
    redraw(_draw_strip, _BUSY if st.session_state[_SEEN] else _IDLE)


def _draw_strip() -> None:
    return_if_lost()
    try:
        jobs, workers = JOBS.open_jobs(), processes(ROLE)
    except SequenceError as error:
        st.markdown(f":red[:material/block: Jobs cannot be shown: {verbatim(error.what)}]")
        return
    now = {(job.queue, job.id) for job in jobs}
    if now != st.session_state.get(_SEEN):
        st.rerun()
    running = [job for job in jobs if job.status is JobStatus.RUNNING]
    with st.container(border=True, key="strip", horizontal=True, vertical_alignment="center", gap="small"):
        if not jobs:
            st.caption(f"No job runs or waits · {_worker_words(workers)}", width="stretch")
            return
        st.markdown(f"**{len(running)}** running  \n:gray[:small[{len(jobs) - len(running)} waiting]]", width="content")
        for job in sorted(jobs, key=JOBS.is_lasting)[:_SHOWN_IN_STRIP]:  # what ends comes first
            _show_one(job, workers)
        if len(jobs) > _SHOWN_IN_STRIP:
            st.caption(f"and {len(jobs) - _SHOWN_IN_STRIP} more", width="content")
        st.page_link(JOBS_PAGE.file, label="Jobs", icon=JOBS_PAGE.icon, width="content")


def _show_one(job: Job, workers: Sequence[Process]) -> None:
    words = _progress_words(job, workers)
    if JOBS.is_lasting(job):
        st.markdown(words, width="stretch")
    else:
        st.progress(job.progress, text=words, width="stretch")


def run_as_job(
    label: str,
    key: str,
    submit: Callable[[], Job] | None,
    open_result: Callable[[dict[str, Any]], None] = lambda made: None,
    *,
    icon: str,
) -> None:
    """The main action of a page as a job: its button, then its progress, then its result or why there is none.

    The job's number stands in the address, so that it is found again after a reload. `open_result` is called
    once with what the job made, before the rest of the page is drawn; without `submit` nothing can be begun yet, and
    the button is disabled.
    """
    job = asked_job()
    if job is None or not job.is_open:
        if submit is None:
            st.button(label, key=f"{key}.not_yet", type="primary", icon=icon, disabled=True)
        else:
            do_once(st.container(), label, key, lambda: _begin(submit), icon=icon)
    else:
        st.button(label, key=f"{key}.busy", type="primary", icon=icon, disabled=True)
        _follow(job)
    if job is None or job.is_open:
        return
    if job.status is JobStatus.SUCCEEDED:
        if st.session_state.get(_OPENED) != (job.queue, job.id):
            st.session_state[_OPENED] = (job.queue, job.id)
            open_result(job.result or {})
    else:
        _show_end(job, key)


def _begin(submit: Callable[[], Job]) -> None:
    job = submit()
    st.query_params["job"] = f"{job.queue}-{job.id}"


def asked_job() -> Job | None:
    """The job that the address names; one that is not there (any more) is forgotten."""
    queue, _, number_there = st.query_params.get("job", "").rpartition("-")
    if queue not in JOBS.queues or not number_there.isdecimal():
        return None
    try:
        return JOBS.queues[queue].job(int(number_there))
    except UnknownNameError:
        return None


def _follow(job: Job) -> None:
    """The progress of one job, with a button to cancel it, until it has ended."""

    def draw() -> None:
        now = JOBS.queues[job.queue].job(job.id)
        st.progress(now.progress, text=_progress_words(now, processes(ROLE)))
        if not now.is_open:
            st.rerun()
        asked = bool(now.cancel_asked)
        key = f"jobs.cancel.{job.queue}.{job.id}"
        if st.button("Cancelling" if asked else "Cancel", key=key, icon=":material/cancel:", disabled=asked):
            JOBS.queues[job.queue].cancel(job.id)
            st.rerun()

    redraw(draw, _BUSY)


def _show_end(job: Job, key: str) -> None:
    """Why a job did not succeed, and the button that begins it again."""
    title = verbatim(job.title)
    if job.status is JobStatus.CANCELLED:
        st.warning(f"{title} was cancelled.", icon=":material/cancel:")
    else:
        ended = "failed" if job.status is JobStatus.FAILED else "was interrupted"
        st.error(f"{verbatim(job.failure or DASH)}{_cure(job)}", title=f"{title} {ended}", icon=":material/error:")
    if st.button("Retry", key=f"{key}.retry", icon=":material/refresh:"):
        with failures_shown():
            JOBS.queues[job.queue].retry(job.id)
            st.rerun()


def _cure(job: Job) -> str:
    return f"\n\n**What to do:** {verbatim(job.cure)}" if job.cure else ""


def show_workers(workers: Sequence[Process]) -> None:
    """Which workers live, and what it means when none does."""
    with card("Workers", "beats every 2 s · stale after 10 s"):
        if not any(worker.is_alive for worker in workers):
            st.markdown("No worker runs, so jobs wait. Start one in a terminal: `python main.py --mode worker`")
        if not workers:
            return
        table = pd.DataFrame(
            {
                "Process": [f"{worker.host} {worker.pid}" for worker in workers],
                "State": ["alive" if worker.is_alive else "gone" for worker in workers],
                "About": [worker.words for worker in workers],
                "Beat": [age(worker.beat_at) for worker in workers],
                "Since, UTC": [stamp(worker.started_at) for worker in workers],
            }
        )
        show_table(table, key="jobs.workers")


def show_jobs(jobs: Sequence[Job], workers: Sequence[Process]) -> None:
    """All jobs, newest first, with what can be done to those selected."""
    table = _table(jobs, workers)
    with card("All jobs", "newest first · select some to cancel or retry them · times UTC"):
        selected = [jobs[row] for row in show_table(table, key="jobs.table", select="many", widths=_WIDTHS)]
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            _act("Cancel", "cancel", [job for job in selected if job.is_open and not job.cancel_asked])
            _act("Retry", "retry", [job for job in selected if job.status in RETRIABLE])
            csv_button("Jobs as CSV", lambda: table, "jobs.csv", key="jobs.csv")
    if len(selected) == 1:
        _show_details(selected[0])


def _act(verb: str, name: str, jobs: Sequence[Job]) -> None:
    """Do one thing to all selected jobs it can be done to."""

    def work() -> None:
        for job in jobs:
            getattr(JOBS.queues[job.queue], name)(job.id)

    label = f"{verb} {number(len(jobs))} job{'' if len(jobs) == 1 else 's'}" if jobs else f"{verb} jobs"
    if st.button(label, key=f"jobs.{name}", disabled=not jobs, type="secondary"):
        with failures_shown():
            work()
            st.rerun()


def _show_details(job: Job) -> None:
    with card(f"Job {job.queue} {job.id}", verbatim(job.title)):
        if job.failure:
            st.error(f"{verbatim(job.failure)}{_cure(job)}")
        left, right = st.columns(2, gap="xsmall")
        left.caption("Asked")
        left.json(job.arguments, expanded=2)
        right.caption("Result and checkpoint")
        right.json({"result": job.result, "checkpoint": job.checkpoint}, expanded=2)
        show_log(job.queue, job.id)


def show_log(queue: str, job: int) -> None:
    """The newest lines of a job's own log, folded; nothing where it has not written any."""
    file = log_file(log_name(queue, job))
    if file.is_file():
        with st.expander(f"Log, newest lines of {file.name}"):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            st.code("\n".join(lines[-200:]), language="json", wrap_lines=True)


_WIDTHS = {"When, UTC": 160, "Job": 80, "What": 260, "State": 110, "Progress": 80, "Took": 100, "Attempt": 64}


def _table(jobs: Sequence[Job], workers: Sequence[Process]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "When, UTC": [stamp(job.created_at, seconds=True) for job in jobs],
            "Job": [f"{job.queue} {job.id}" for job in jobs],
            "What": [job.title for job in jobs],
            "State": [str(job.status) for job in jobs],
            "Progress": [DASH if JOBS.is_lasting(job) else f"{100 * job.progress:.0f} %" for job in jobs],
            "Took": [span(job.elapsed_seconds) if job.started_at else DASH for job in jobs],
            "Attempt": [job.attempt for job in jobs],
            "Words": [job.failure or _state_words(job, workers) for job in jobs],
        }
    )


def _progress_words(job: Job, workers: Sequence[Process]) -> str:
    head = f":small[**{verbatim(job.title)}**"
    if job.status is JobStatus.QUEUED:
        return f"{head}  \n:gray[waits: {verbatim(_waits_for(job, workers))}]]"
    times = span(job.elapsed_seconds)
    if 0.02 < job.progress < 1 and job.is_open:
        times += f" of about {span(job.elapsed_seconds / job.progress)}"
    done = "" if JOBS.is_lasting(job) else f" · {100 * job.progress:.0f} %"
    return f"{head}{done}  \n:gray[{verbatim(_state_words(job, workers))} · {times}]]"


def _state_words(job: Job, workers: Sequence[Process]) -> str:
    if job.status is JobStatus.QUEUED:
        return f"waits: {_waits_for(job, workers)}"
    return "cancelling" if job.cancel_asked and job.is_open else job.words


def _waits_for(job: Job, workers: Sequence[Process]) -> str:
    if not any(worker.is_alive for worker in workers):
        return "no worker runs; start one with python main.py --mode worker"
    running = sum(each.status is JobStatus.RUNNING for each in JOBS.open_jobs())
    if running >= current_settings().jobs.running:
        return f"{running} jobs run, the most at once"
    return "a worker will take it in a moment"


def _worker_words(workers: Sequence[Process]) -> str:
    if not workers or not workers[0].is_alive:
        return "no worker runs: python main.py --mode worker"
    return f"worker beat {age(workers[0].beat_at)}"
