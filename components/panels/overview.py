"""The cards of the Overview page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.charts.detail import thin_line
from components.numbers import DASH, age, number, percent, ratio, size, stamp
from components.panels.failure import failures_shown, fetched
from components.panels.jobs import run_as_job
from components.panels.live_scene import MODES, REAL, Line, read_scene
from components.panels.page import card, metric, metric_row, redraw
from components.panels.table import csv_button, show_table
from core.settings import output_folder
from core.version import __version__
from data.versions import DatasetVersion
from execution.live.decisions import REFUSED
from execution.metrics import ENOUGH_TRADES
from execution.runs import StoredRun
from execution.trading_desk import desk
from workbench import BACKTESTING, DATA_PIPELINE, LIVE, PAGES, SAMPLE_STEPS, submit_sample

_LISTED = 20
_UNREAD = "cannot be read"


def show_sample_offer(state: str) -> None:
    """The way in: one button that fills every page with real data; `state` says in a sentence how far it got."""
    with card("Start with the sample workflow", key="sample-offer"):
        st.markdown(
            f"{state} The sample takes **5\u202f000 real EUR/USD hours** (April 2017 to "
            "February 2018, shipped with backtesting.py) through every floor of the workbench, so that you can see "
            "each page filled. It needs no network and takes a few seconds."
        )
        steps = [(row, step, does, seen) for row, (step, does, seen) in enumerate(SAMPLE_STEPS, start=1)]
        table = pd.DataFrame(steps, columns=["", "Step", "What it does", "Seen on"])
        show_table(table, key="overview.steps", widths={"": 30, "Step": 95, "Seen on": 120})
        with failures_shown():
            play = ":material/play_arrow:"
            run_as_job("Run the sample workflow", "overview.run_sample", submit_sample, icon=play)


def show_what_comes() -> None:
    """What each page will hold, and how it gets its first content."""
    with card("What will be here", "each page says how to get its first content"):
        for entry in PAGES[1:]:
            st.page_link(entry.file, label=entry.title, icon=entry.icon)
            st.caption(entry.first_content)


def show_folder() -> None:
    """Where everything generated lies."""
    with card("Workbench folder"):
        folder = output_folder()
        st.code(str(folder), language=None, wrap_lines=True)
        files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else []
        # A vendor's client keeps databases too, in its cache.
        databases = sum(file.suffix == ".db" and file.parent == folder for file in files)
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        st.caption(
            f"{databases} databases, {size(sum(file.stat().st_size for file in files))} in all, "
            f"{size(shutil.disk_usage(existing).free)} free on this disk · Sequence {__version__}"
        )


def show_metrics(versions: Sequence[DatasetVersion] | None, runs: Sequence[StoredRun] | None) -> None:
    """How much there is; "–" where it cannot be read."""
    row = metric_row()
    if versions is None:
        for label in ("Dataset versions", "Symbols", "Largest, bars"):
            metric(row, label, DASH, _UNREAD)
    else:
        _show_dataset_metrics(row, versions)
    if runs is None:
        for label in ("Backtest runs", "Best Sharpe"):
            metric(row, label, DASH, _UNREAD)
    else:
        _show_run_metrics(row, runs)


def _show_dataset_metrics(row: DeltaGenerator, versions: Sequence[DatasetVersion]) -> None:
    verdicts = [version.verdict for version in versions]
    failed, warned = verdicts.count("FAIL"), verdicts.count("WARN")
    metric(row, "Dataset versions", number(len(versions)), f"{warned} warn, {failed} fail")
    symbols = sorted({symbol for version in versions for symbol in version.symbols})
    named = ", ".join(symbols[:2]) + (f" +{number(len(symbols) - 2)}" if len(symbols) > 2 else "")
    metric(row, "Symbols", number(len(symbols)), named or "none yet")
    bars = max((version.rows for version in versions), default=0)
    metric(row, "Largest, bars", number(bars), f"newest {versions[0].short_hash}" if versions else "–")


def _show_run_metrics(row: DeltaGenerator, runs: Sequence[StoredRun]) -> None:
    metric(row, "Backtest runs", number(len(runs)), f"newest {age(runs[0].created_at)}" if runs else "none yet")
    known = [run for run in runs if run.sharpe_ratio is not None and run.trades_count >= ENOUGH_TRADES]
    best = max(known, key=lambda run: run.sharpe_ratio or 0.0, default=None)
    metric(
        row,
        "Best Sharpe",
        number(best.sharpe_ratio, 2) if best else DASH,
        best.strategy_name[:18] if best else f"needs {ENOUGH_TRADES} trades",
        "Highest Sharpe of all runs with at least 30 trades. The best of many tries is partly luck.",
    )


def show_last(
    collections: Sequence[dict[str, Any]] | None,
    versions: Sequence[DatasetVersion] | None,
    runs: Sequence[StoredRun] | None,
) -> None:
    """What was done, newest first; what cannot be read is said."""
    with card("Ran last", "newest first · times UTC"):
        kinds = {"Collections": collections, "Versions": versions, "Backtests": runs}
        if unread := [kind for kind, read in kinds.items() if read is None]:
            st.markdown(f":red[Not listed, because they cannot be read: {', '.join(unread).lower()}.]")
        happened = [
            *(
                (
                    row["created_at"],
                    "Collect",
                    f"{', '.join(row['symbols'])} {row['timeframe']}, {', '.join(row['sources'])}",
                    row["status"],
                    f"{number(row['rows'])} bars",
                )
                for row in collections or []
            ),
            *(
                (version.created_at, "Version", version.label, version.verdict or "–", f"{number(version.rows)} rows")
                for version in (versions or [])[:_LISTED]
            ),
            *(
                (
                    run.created_at,
                    "Backtest",
                    run.run_id,
                    "SUCCEEDED",
                    f"{percent(run.total_return, sign=True)}, "
                    f"Sharpe {ratio(run.sharpe_ratio, run.trades_count, ENOUGH_TRADES)}",
                )
                for run in (runs or [])[:_LISTED]
            ),
        ]
        if not happened:
            return
        table = pd.DataFrame(
            sorted(happened, reverse=True)[:_LISTED], columns=["When", "Kind", "What", "State", "Result"]
        )
        table["When"] = [stamp(text, seconds=True) for text in table["When"]]
        show_table(table, key="overview.last", widths={"When": 165, "Kind": 85, "State": 100})
        csv_button("CSV", lambda: table, "ran_last.csv", key="overview.last.csv")


def show_live_line() -> None:
    """What trades now, one line for demo and one for real money, and the way to the kill switch."""

    def draw() -> None:
        with failures_shown():
            lines = [line for line in read_scene() if line.deployment.is_open]
            killed = desk.is_killed()
            with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="live-line"):
                switch = ":red[every entry stopped]" if killed else ":green[kill switch armed]"
                said = [_live_words(mode, [line for line in lines if line.mode == mode]) for mode in MODES]
                st.markdown(f"**Live** {'  '.join(word for word in said if word)} {switch}", width="stretch")
                st.page_link(LIVE.file, label="Open Live", icon=LIVE.icon)

    deployed = fetched(lambda: desk.deployments(only_open=True))
    if deployed or desk.is_killed():
        redraw(draw, "4s")


def _live_words(mode: str, lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    working = sum(line.state == "trading" for line in lines)
    positions = [(line, each) for line in lines for each in line.positions or ()]
    pips = [found for line, each in positions if (found := line.pips_of(each)) is not None]
    floating = f" {number(sum(pips), 1, sign=True)} pips" if positions and len(pips) == len(positions) else ""
    entries = sum(each.entry_signal_id is not None for line in lines for each in line.today)
    refused = sum(each.state == REFUSED for line in lines for each in line.today)
    words = (
        f"{number(working)} of {number(len(lines))} trading",
        f"{number(len(positions))} open{floating}",
        f"{number(entries)} entries today, {number(refused)} refused",
    )
    return f":{'orange' if mode == REAL else 'violet'}-badge[{mode}] {' · '.join(words)} ·"


def show_best(runs: Sequence[StoredRun]) -> None:
    """The runs with the highest Sharpe, with their curves in small."""
    known = [run for run in runs if run.sharpe_ratio is not None and run.trades_count >= ENOUGH_TRADES]
    best = sorted(known, key=lambda run: run.sharpe_ratio or 0.0, reverse=True)[:5]
    with card("Best runs", f"by Sharpe, at least {ENOUGH_TRADES} trades · the best of many tries is partly luck"):
        if not best:
            st.caption(f"No run has {ENOUGH_TRADES} trades yet; below that a ratio says little.")
            return
        table = pd.DataFrame(
            {
                "Run": [run.run_id for run in best],
                "Data": [f"{run.symbol} {run.timeframe}" for run in best],
                "Equity": [thin_line(run.equity(), 80).to_list() for run in best],
                "Net, %": [run.total_return for run in best],
                "Sharpe": [run.sharpe_ratio for run in best],
                "Drawdown, %": [run.max_drawdown for run in best],
                "Trades": [run.trades_count for run in best],
            }
        )
        show_table(
            table,
            key="overview.best",
            formats={
                "Net, %": lambda value: number(value, 2, sign=True),
                "Sharpe": lambda value: number(value, 2),
                "Drawdown, %": lambda value: number(value, 2),
            },
            signed=["Net, %"],
            config={"Equity": st.column_config.LineChartColumn(width=150, color="#00d26a")},
        )
        without_curves = table.drop(columns="Equity")
        csv_button("CSV", lambda: without_curves, "best_runs.csv", key="overview.best.csv")


def show_next(
    versions: Sequence[DatasetVersion] | None, runs: Sequence[StoredRun] | None, sample_run: str | None
) -> None:
    """The one thing that makes most sense now."""
    with card("Next"):
        if versions is None or runs is None:
            st.markdown("First put right what the red box names. The rest of the workbench goes on meanwhile:")
        elif any(run.run_id == sample_run for run in runs):
            st.markdown("The sample went through every floor. See what the strategy did, and what the bars are worth:")
        elif runs:
            st.markdown(f"Your newest run is **{runs[0].run_id}**. Look at it, or collect other data.")
        else:
            st.markdown("There is a dataset and no run yet. Test a strategy on it.")
        if runs:
            shown = next((run.run_id for run in runs if run.run_id == sample_run), runs[0].run_id)
            st.page_link(
                BACKTESTING.file,
                label=f"Open run {shown}",
                icon=":material/query_stats:",
                query_params={"run": shown},
            )
        if versions:
            st.page_link(
                DATA_PIPELINE.file,
                label=f"Open dataset {versions[0].short_hash}",
                icon=":material/database:",
                query_params={"version": versions[0].short_hash},
            )
        if versions is not None and runs is not None:
            st.page_link(BACKTESTING.file, label="Run a backtest", icon=":material/play_arrow:")
        if versions is not None:
            st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/add:")
