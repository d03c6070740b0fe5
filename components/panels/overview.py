"""The cards of the Overview page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.detail import thin_line
from components.numbers import age, number, percent, ratio, size, stamp
from components.panels.page import card, do_once, metric, metric_row
from components.panels.table import csv_button, show_table
from core.settings import output_folder
from core.version import __version__
from data.versions import DatasetVersion
from execution.metrics import ENOUGH_TRADES
from execution.runs import StoredRun
from workbench import BACKTESTING, DATA_PIPELINE, PAGES, SAMPLE_STEPS


def show_sample_offer(run_sample: Callable[[], None]) -> None:
    """The way in: one button that fills every page with real data."""
    with card("Start with the sample workflow", key="sample-offer"):
        st.markdown(
            "Nothing has been collected yet. The sample takes **5\u202f000 real EUR/USD hours** (April 2017 to "
            "February 2018, shipped with backtesting.py) through every floor of the workbench, so that you can see "
            "each page filled. It needs no network and takes about 3 s."
        )
        steps = [(row, step, does, seen) for row, (step, does, seen) in enumerate(SAMPLE_STEPS, start=1)]
        table = pd.DataFrame(steps, columns=["", "Step", "What it does", "Seen on"])
        show_table(table, key="overview.steps", widths={"": 30, "Step": 95, "Seen on": 120})
        do_once(
            st.container(), "Run the sample workflow", "overview.run_sample", run_sample, icon=":material/play_arrow:"
        )


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
        databases = sum(file.suffix == ".db" for file in files)
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        st.caption(
            f"{databases} databases, {size(sum(file.stat().st_size for file in files))} in all, "
            f"{size(shutil.disk_usage(existing).free)} free on this disk · Sequence {__version__}"
        )


def show_metrics(versions: Sequence[DatasetVersion], runs: Sequence[StoredRun]) -> None:
    """How much there is."""
    row = metric_row()
    verdicts = [version.verdict for version in versions]
    failed, warned = verdicts.count("FAIL"), verdicts.count("WARN")
    metric(row, "Dataset versions", number(len(versions)), f"{warned} warn, {failed} fail")
    symbols = sorted({symbol for version in versions for symbol in version.symbols})
    metric(row, "Symbols", number(len(symbols)), ", ".join(symbols)[:18] or "none yet")
    bars = max((version.rows for version in versions), default=0)
    metric(row, "Largest, bars", number(bars), f"newest {versions[0].short_hash}" if versions else "–")
    metric(row, "Backtest runs", number(len(runs)), f"newest {age(runs[0].created_at)}" if runs else "none yet")
    known = [run for run in runs if run.sharpe_ratio is not None and run.trades_count >= ENOUGH_TRADES]
    best = max(known, key=lambda run: run.sharpe_ratio or 0.0, default=None)
    metric(
        row,
        "Best Sharpe",
        number(best.sharpe_ratio, 2) if best else "–",
        best.strategy_name[:18] if best else f"needs {ENOUGH_TRADES} trades",
        "Highest Sharpe of all runs with at least 30 trades. The best of many tries is partly luck.",
    )


def show_last(
    collections: Sequence[dict[str, Any]], versions: Sequence[DatasetVersion], runs: Sequence[StoredRun]
) -> None:
    """What was done, newest first."""
    with card("Ran last", "newest first · times UTC"):
        happened = [
            *(
                (
                    row["created_at"],
                    "Collect",
                    f"{', '.join(row['symbols'])} {row['timeframe']}, {', '.join(row['sources'])}",
                    row["status"],
                    f"{number(row['rows'])} bars",
                )
                for row in collections
            ),
            *(
                (version.created_at, "Version", version.label, version.verdict or "–", f"{number(version.rows)} rows")
                for version in versions
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
                for run in runs
            ),
        ]
        table = pd.DataFrame(sorted(happened, reverse=True)[:20], columns=["When", "Kind", "What", "State", "Result"])
        table["When"] = [stamp(text, seconds=True) for text in table["When"]]
        show_table(table, key="overview.last", widths={"When": 165, "Kind": 85, "State": 100})
        csv_button("CSV", lambda: table, "ran_last.csv", key="overview.last.csv")


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


def show_next(versions: Sequence[DatasetVersion], runs: Sequence[StoredRun], sample_run: str | None) -> None:
    """The one thing that makes most sense now."""
    with card("Next"):
        if sample_run and any(run.run_id == sample_run for run in runs):
            st.markdown("The sample went through every floor. See what the strategy did, and what the bars are worth:")
        elif runs:
            st.markdown(f"Your newest run is **{runs[0].run_id}**. Look at it, or collect other data.")
        else:
            st.markdown("There is a dataset and no run yet. Test a strategy on it.")
        if runs:
            st.page_link(
                BACKTESTING.file,
                label=f"Open run {sample_run or runs[0].run_id}",
                icon=":material/query_stats:",
                query_params={"run": sample_run or runs[0].run_id},
            )
        if versions:
            st.page_link(
                DATA_PIPELINE.file,
                label=f"Open dataset {versions[0].short_hash}",
                icon=":material/database:",
                query_params={"version": versions[0].short_hash},
            )
        st.page_link(BACKTESTING.file, label="Run a backtest", icon=":material/play_arrow:")
        st.page_link(DATA_PIPELINE.file, label="Collect data", icon=":material/add:")
