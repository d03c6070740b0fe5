"""A run out of the workbench and back: every file it can become beside its buttons, and the import of a JSON one.

Files are made when their button is pressed, outside of the page's run, where no failure could be told in words; what
would fail is therefore looked for before, and its button is disabled with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pandas as pd
import streamlit as st

from components.numbers import size
from components.panels.failure import reason
from components.panels.page import sample_badge
from components.panels.remarks import attempt
from components.panels.table import csv_button
from components.panels.words import verbatim
from components.reports import metatrader
from core.csv_export import csv_bytes
from core.errors import InputError, SequenceError
from core.settings import current_settings
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.exchange import NO_VERSION
from execution.ledger import deflated
from execution.metrics import METRICS, drawdown
from execution.registry import strategy_named
from execution.runs import StoredRun, runs_folder

PLACE = "backtest"
_IMPORTS = "backtest.imports"  # how many runs were imported: a new upload field is empty


def show_exports(run: StoredRun) -> None:
    """A button that opens all the files of a run."""
    with st.popover("Export", icon=":material/ios_share:", key="backtest.export"), st.container(gap=None):
        st.caption("To read, anywhere and without a network")
        _download(
            "Tear sheet (HTML)",
            partial(_tear_sheet, run),
            f"tear_sheet_{run.run_id}.html",
            "text/html",
            refused=_why_no_curve(run),
            help_text="Charts, statistics and settings in one file; about 5 MB, because plotly is in it.",
        )
        _download(
            "Plot of backtesting.py (HTML)",
            partial(_library_plot, run),
            f"plot_{run.run_id}.html",
            "text/html",
            refused=_why_no_plot(run),
            help_text="The run once more on backtesting.py, drawn by its own Bokeh plot.",
        )
        st.caption("For Excel")
        csv_button("Statistics (CSV)", partial(_statistics, run), f"statistics_{run.run_id}.csv", _key("statistics"))
        csv_button("Trades (CSV)", partial(manager.trades, run), f"trades_{run.run_id}.csv", _key("trades"))
        _download(
            "Equity (CSV)",
            lambda: csv_bytes(_equity(run)),
            f"equity_{run.run_id}.csv",
            "text/csv",
            refused=_why_no_curve(run),
            help_text="Money and drawdown at each bar's close.",
        )
        st.caption("For Sequence")
        _download(
            "Whole run (JSON)",
            partial(manager.export_run, run.run_id),
            f"{run.run_id}.json",
            "application/json",
            refused=_why_no_curve(run),
            help_text="Everything stored of it, exact and with digests; **Import run** gives it back.",
        )
        st.caption("For MetaTrader 5")
        _show_metatrader(run)


def _show_metatrader(run: StoredRun) -> None:
    _download(
        "Parameters (.set)",
        partial(metatrader.set_file, run),
        f"{run.run_id}.set",
        "application/octet-stream",
        refused=_why_not(partial(metatrader.set_file, run)),
        help_text="Inputs under the names of the strategy's parameters, with their declared ranges.",
    )
    _download(
        "Strategy Tester (.ini)",
        partial(metatrader.ini_file, run),
        f"{run.run_id}.ini",
        "application/octet-stream",
        refused=_why_not(partial(metatrader.ini_file, run)),
        help_text="Symbol, period, dates, deposit and leverage. It names an expert after the strategy.",
    )
    _download(
        "Trades for scripts (CSV)",
        lambda: metatrader.trades_file(run, manager.trades(run)),
        f"mt5_trades_{run.run_id}.csv",
        "text/csv",
        help_text="With lots, times in UTC; the same whatever the display settings are.",
    )


def _download(
    label: str,
    make: Callable[[], str | bytes],
    file_name: str,
    mime: str,
    *,
    refused: str = "",
    help_text: str = "",
) -> None:
    """A file made when the button is pressed; disabled where `refused` says why there is none."""
    st.download_button(
        label,
        data=make,
        file_name=file_name,
        mime=mime,
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        disabled=bool(refused),
        help=verbatim(refused) if refused else help_text,
        key=_key(label),
    )


def _key(words: str) -> str:
    return f"backtest.export.{words}"


def _tear_sheet(run: StoredRun) -> str:
    # Plotly's script and the reports are no load for a page that only shows the button.
    from components.reports.tear_sheet import tear_sheet

    closes, marks = None, []
    with suppress(SequenceError):  # the sheet is whole without buy and hold, and says that it is not drawn
        version = controller.version(run.dataset_hash)
        marks = [words for words, _ in sample_badge(version)]
        closes = version.bars(run.symbol, columns=["close"])["close"].iloc[: run.bars]
    sentence = deflated(run).sentence()
    return tear_sheet(run, manager.trades(run), run.equity(), closes=closes, ledger=sentence, marks=marks)


def _library_plot(run: StoredRun) -> str:
    from components.reports.library_plot import library_plot

    bars = controller.version(run.dataset_hash).bars(run.symbol).iloc[: run.bars]
    return library_plot(bars, strategy_named(run.strategy_name), run.run_settings)


def _why_not(make: Callable[[], bytes]) -> str:
    """Why a file that is quickly made cannot be; empty where it can."""
    try:
        make()
    except SequenceError as error:
        return reason(error)
    return ""


def _why_no_curve(run: StoredRun) -> str:
    file = runs_folder() / run.run_id
    return "" if any(file.glob("*.parquet")) else f"The equity curve of {run.run_id} is not there: {file}."


def _why_no_plot(run: StoredRun) -> str:
    """Why backtesting.py cannot draw a run; empty where it can."""
    if "costs" in run.settings:
        return "backtesting.py knows no FX extras, and this run has them."
    if run.strategy_version is None:
        return f"{run.strategy_name} is a class given from Python; call its plot() there."
    if isinstance(run.settings["commission"], str):
        return "The commission of this run was a Python function, which is not kept."
    try:
        strategy = strategy_named(run.strategy_name)
        version = controller.version(run.dataset_hash)
    except SequenceError as error:
        return reason(error)
    if strategy.version != run.strategy_version:
        return f"{strategy.title} is at version {strategy.version} now, the run was made with {run.strategy_version}."
    return "" if version.parquet_file.exists() else f"The file of dataset {version.short_hash} is gone."


def _statistics(run: StoredRun) -> pd.DataFrame:
    """All figures unrounded, with unit, formula and source; backtesting.py's own below."""
    rows = [
        (
            name,
            each.title,
            run.metrics.get(name),
            run.currency if each.unit == "money" else each.unit,
            each.formula,
            each.source,
        )
        for name, each in METRICS.items()
    ]
    rows += [(name, name, value, "", "", "backtesting.py") for name, value in run.lib_metrics.items()]
    return pd.DataFrame(rows, columns=["name", "statistic", "value", "unit", "formula", "source"])


def _equity(run: StoredRun) -> pd.DataFrame:
    equity = run.equity()
    return equity.to_frame("equity").assign(drawdown_pct=100 * drawdown(equity))


def ask_import() -> None:
    """A button that opens an upload field for an exported run; once imported, the run is open."""
    limit = current_settings().data.csv_max_mib
    nth = st.session_state.get(_IMPORTS, 0)
    upload, name = f"backtest.import.file.{nth}", f"backtest.import.name.{nth}"

    def work() -> str:
        uploaded = st.session_state.get(upload)
        if uploaded is None:
            raise InputError("No file was chosen.", "Choose the JSON of a run, then press Import run.")
        if uploaded.size > limit * 2**20:
            raise InputError(
                f"{uploaded.name} has {size(uploaded.size)}; at most {limit:g} MiB are read.",
                "Choose the right file, or raise data.csv_max_mib.",
            )
        known = {run.run_id for run in manager.runs()}
        run = manager.import_run(uploaded.getvalue(), run_id=st.session_state[name].strip() or None)
        st.session_state[_IMPORTS] = nth + 1
        st.session_state["run"] = run.run_id
        if run.run_id in known:
            return f"Run {run.run_id} holds the same already; nothing was stored."
        return f"Run {run.run_id} is imported.{_without_dataset(run)}"

    # The number of imports is part of the key: a new popover appears closed.
    with (
        st.popover("Import run", icon=":material/upload_file:", key=f"backtest.import.{nth}"),
        st.form("backtest.import.form", border=False, width=440),
    ):
        st.file_uploader(f"Exported run (JSON), at most {limit:g} MiB", type=["json"], key=upload)
        st.text_input("Run id", key=name, placeholder="as it was", help="Only where its own name is taken.")
        st.form_submit_button("Import run", key="backtest.import.do", on_click=attempt, args=(PLACE, work))


def _without_dataset(run: StoredRun) -> str:
    """What is missing where a run came without its dataset."""
    if run.dataset_version_id != NO_VERSION:
        return ""
    return (
        f" Its dataset {run.dataset_hash[:8]} is not in this workbench: figures, equity and trades are all there, "
        "the price chart and new runs need it. Equal bars make the same dataset."
    )
