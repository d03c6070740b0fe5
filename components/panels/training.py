"""The Training Hub: the queue and what can be done with it, one job's curves as it learns, the machine, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.training import curves_figure, machine_figure
from components.numbers import DASH, number, span, stamp
from components.panels.chart import show_still
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.jobs import show_log
from components.panels.page import card, metric, metric_row, redraw
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.jobs import OPEN, RETRIABLE, JobStatus
from train.training_manager import manager

_LISTED = 200
_LIVE = "2s"
Row = dict[str, Any]


def show_metrics(status: Row) -> None:
    """How the queue and the machine stand."""
    machine = manager.gpu_monitor.get_status()
    row = metric_row()
    metric(row, "Running", f"{status['running']} of {status['most_at_once']}", f"{number(status['queued'])} queued")
    metric(row, "Succeeded", number(status["succeeded"]), f"{number(status['total'])} jobs in all")
    broken = status["failed"] + status["interrupted"]
    metric(row, "Failed", number(broken), f"{number(status['cancelled'])} cancelled")
    metric(row, "CPU", f"{number(machine['cpu_percent'])} %", "all processors")
    metric(row, "Memory", f"{number(machine['memory_percent'])} %", "of this machine")
    gpu = machine["devices"][0] if machine["has_gpu"] else None
    words = DASH if gpu is None else f"{number(gpu['utilization_percent'])} %"
    metric(row, "GPU", words, "none found" if gpu is None else str(gpu["name"])[:18])


def show_queue(rows: Sequence[Row]) -> None:
    """All jobs, newest first, with what can be done to those selected."""
    with card("Queue", "newest first · select some to cancel, resume or move them · times UTC"):
        table = _queue_table(rows)
        selected = [
            rows[at]
            for at in show_table(
                table,
                key="train.queue",
                select="many",
                formats={"Best": lambda value: number(value, 4)},
                right=["Epoch", "Left"],
                widths=_WIDTHS,
                config={
                    "Progress": st.column_config.ProgressColumn(
                        min_value=0, max_value=1, format="percent", width=110, color="#2a8f5c"
                    )
                },
            )
        ]
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            _act("Cancel", "cancel", selected, lambda row: row["status"] in OPEN, manager.cancel_job)
            _act("Resume", "resume", selected, lambda row: row["status"] in RETRIABLE, manager.resume)
            _act("Begin anew", "retry", selected, lambda row: row["status"] in RETRIABLE, manager.retry)
            _act("Move to the front", "front", selected, lambda row: row["status"] == JobStatus.QUEUED, _to_the_front)
            _act("Remove", "remove", selected, lambda row: row["status"] not in OPEN, manager.remove)
            csv_button("Jobs as CSV", lambda: pd.DataFrame(list(rows)), "training_jobs.csv", key="train.queue.csv")


def _to_the_front(*job_ids: str) -> None:
    manager.reorder(job_ids)


def _act(
    label: str, name: str, selected: Sequence[Row], fits: Callable[[Row], bool], work: Callable[..., object]
) -> None:
    """Do one thing to all selected jobs it can be done to."""
    chosen = [row["job_id"] for row in selected if fits(row)]
    words = f"{label} {number(len(chosen))}" if len(chosen) > 1 else label
    if st.button(words, key=f"train.act.{name}", disabled=not chosen):
        with failures_shown():
            work(*chosen)
            st.rerun()


_WIDTHS = {
    "Job": 210,
    "Model": 128,
    "Data": 96,
    "Target": 118,
    "State": 104,
    "Epoch": 70,
    "Metric": 56,
    "Best": 66,
    "Left": 66,
    "Why": 300,
}


def _queue_table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Job": [row["job_id"] for row in rows],
            "Model": [row["model_name"] for row in rows],
            "Data": [f"{row['symbol']} {row['timeframe']}" for row in rows],
            "Target": [row["target"] for row in rows],
            "State": [str(row["status"]) for row in rows],
            "Progress": [row["progress"] for row in rows],
            "Epoch": [f"{row['current_epoch']} / {row['epochs']}" for row in rows],
            "Metric": [row["metric_name"] or DASH for row in rows],
            "Best": [row["best_metric"] for row in rows],
            "Left": [span(row["seconds_left"]) if row["seconds_left"] is not None else DASH for row in rows],
            "Why": [row["failure"] or row["waiting_reason"] or row["words"] or "" for row in rows],
        }
    ).astype({"Best": "float64"})


def ask_job(rows: Sequence[Row]) -> Row:
    """The job to look at, kept in the URL, the newest at first."""
    by_id = {row["job_id"]: row for row in rows}
    words = {name: f"{name} · {row['model_name']} · {row['status']}" for name, row in by_id.items()}
    return by_id[choose("Job", list(by_id), "training", words.__getitem__, show_label=False)]


def show_job(row: Row) -> None:
    """The curves of one job, drawn anew while it runs, and its log."""

    def draw() -> None:
        now = manager.get_job_status(row["job_id"])
        if now["status"] != row["status"]:
            st.rerun()  # the whole page shows what has changed
        _show_curves(now)

    redraw(draw, _LIVE if row["status"] in OPEN else None)


def _show_curves(row: Row) -> None:
    epochs = manager.epochs_of(row["job_id"])
    state = f"epoch {row['current_epoch']} of {row['epochs']} · {number(row['seconds'])} s so far"
    best = f" · best epoch {row['best_epoch']}" if row["best_epoch"] else ""
    with card(verbatim(row["job_id"]), verbatim(f"{row['model_name']} · {state}{best}")):
        if row["failure"]:
            cure = f"\n\n**What to do:** {verbatim(row['cure'])}" if row["cure"] else ""
            st.error(f"{verbatim(row['failure'])}{cure}")
        if not epochs:
            st.markdown(verbatim(row["waiting_reason"] or "The first epoch is not stored yet."))
        else:
            show_still(curves_figure({row["job_id"]: epochs}), "train.curves", f"training_{row['job_id']}")
            csv_button(
                "Epochs as CSV", lambda: pd.DataFrame(epochs), f"epochs_{row['job_id']}.csv", key="train.epochs.csv"
            )
        show_log("train", row["id"])


def show_machine() -> None:
    """Processors, memory and GPU while something was trained."""
    with card("Machine", "last hour, sampled while something is trained · UTC"):
        samples = pd.DataFrame(manager.gpu_monitor.history(60))
        if len(samples) < 2:
            st.markdown("Samples appear here while a model is trained.")
            return
        show_still(machine_figure(samples), "train.machine", "machine")
        csv_button("Samples as CSV", lambda: samples, "gpu_stats.csv", key="train.machine.csv")


def show_comparison(rows: Sequence[Row]) -> None:
    """Any jobs side by side: curves, figures of the best epoch, and only the settings that differ."""
    with card("Compare", "best epoch, not the last · test figures beside the baseline"):
        known = [row["job_id"] for row in rows if row["current_epoch"]]
        if len(known) < 2:
            st.markdown("Two jobs with epochs can be compared.")
            return
        chosen = st.multiselect("Jobs", known, known[:2], key="train.compare", max_selections=6)
        if len(chosen) < 2:
            st.caption("Choose two or more.")
            return
        found = manager.compare(chosen)
        show_still(curves_figure(found.epochs), "train.compare.curves", "compared_training")
        figures = pd.DataFrame(found.metrics).rename_axis("Figure").reset_index()
        shown = figures.map(_cell)
        show_table(shown, key="train.compare.figures", right=list(found.job_ids), rows=16)
        csv_button("Figures as CSV", lambda: figures, "compared_training.csv", key="train.compare.csv")
        if found.settings:
            settings = pd.DataFrame.from_dict(found.settings, orient="index").rename_axis("Setting").reset_index()
            show_table(settings.map(_cell), key="train.compare.settings", right=list(found.job_ids))
        else:
            st.caption("Their settings are the same.")


def _cell(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return DASH
    if isinstance(value, float):
        return number(value, 4)
    return stamp(value) if isinstance(value, str) and value.endswith("Z") and "T" in value else str(value)
