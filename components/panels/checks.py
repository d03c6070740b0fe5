"""Can a run be believed: the other engine's answer, prefixes replayed, starts moved. Asked by a button each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, stamp
from components.panels.failure import failures_shown
from components.panels.page import card
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import StrategyError
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution.backtest_manager import manager
from execution.causality import CausalityReport, WarmUpReport, look_ahead_check, warm_up_check
from execution.registry import strategy_named
from execution.runs import StoredRun
from execution.strategy import Strategy
from execution.verification import Verification

_CHECKS = {
    "verify": ("Verify with the other engine", ":material/balance:"),
    "look_ahead": ("Look-ahead check", ":material/visibility:"),
    "warm_up": ("Warm-up check", ":material/local_fire_department:"),
}
_HELP = {
    "verify": "Runs the same bars and settings on the other engine and compares equity, trades and drawdown.",
    "look_ahead": "Ends the bars at 60 places and asks the strategy again: what it said must not change later.",
    "warm_up": "Begins the bars at 12 places and counts how many it takes until the strategy says the same.",
}


def show_checks(run: StoredRun, version: DatasetVersion) -> None:
    """The buttons, and below them what each found when it was last pressed for this run."""
    done: dict[str, Any] = st.session_state.setdefault(f"backtest.checks.{run.run_id}.{run.content_digest[:8]}", {})
    work: dict[str, Callable[[], Any]] = {
        "verify": lambda: manager.verify(run),
        "look_ahead": lambda: _look_ahead(run, version),
        "warm_up": lambda: _warm_up(run, version),
    }
    with card("Checks", "each runs anew on the stored dataset; nothing of the run is changed"), failures_shown():
        with st.container(horizontal=True, gap="xsmall"):
            pressed = [
                name
                for name, (label, icon) in _CHECKS.items()
                if st.button(label, key=f"backtest.check.{name}", icon=icon, help=_HELP[name])
            ]
        for name in pressed:
            with st.spinner(_CHECKS[name][0]):
                done[name] = work[name]()
        if not done:
            st.caption("They prove a fault, never its absence: they see these bars and these parameters.")
        for name in _CHECKS:
            if name in done:
                _SHOW[name](run, done[name])


def _look_ahead(run: StoredRun, version: DatasetVersion) -> CausalityReport:
    # The columns that a dataset was given are made anew of each prefix: a peek may lie in them.
    remake = controller.remaking(version, run.symbol)
    bars = version.bars(run.symbol).iloc[: run.bars]
    return look_ahead_check(_strategy(run), bars, run.settings["parameters"], remake=remake)


def _warm_up(run: StoredRun, version: DatasetVersion) -> WarmUpReport:
    bars = version.bars(run.symbol).iloc[: run.bars]
    return warm_up_check(_strategy(run), bars, run.settings["parameters"])


def _strategy(run: StoredRun) -> Strategy:
    if run.strategy_version is None:
        raise StrategyError(
            f"{run.strategy_name} is a class given from Python, which cannot be asked again here.",
            "Check it from Python, or write it as a file in execution/strategies.",
        )
    return strategy_named(run.strategy_name)


def _show_verification(run: StoredRun, found: Verification) -> None:
    _show_verdict(found.is_equal, found.sentence)
    if not found.differences.empty:
        show_table(found.differences, key="backtest.check.verify.table")
        csv_button(
            "Differences as CSV", lambda: found.differences, f"verify_{run.run_id}.csv", key="backtest.check.verify.csv"
        )


def _show_look_ahead(run: StoredRun, found: CausalityReport) -> None:
    _show_verdict(found.is_clean, found.sentence)
    for note in found.notes:
        st.caption(verbatim(note))
    if found.columns_read:
        st.caption(verbatim(f"It reads {', '.join(found.columns_read)}."))
    if not found.offences.empty:
        offences = found.offences.assign(
            time=[stamp(moment.to_pydatetime()) for moment in found.offences["time"]],
            known_until=[stamp(moment.to_pydatetime()) for moment in found.offences["known_until"]],
        ).rename(
            columns={
                "time": "Bar, UTC",
                "signal": "Signal",
                "said": "Said",
                "says_now": "Says now",
                "known_until": "Bars ended, UTC",
                "bars_later": "Bars later",
            }
        )
        show_table(offences, key="backtest.check.look_ahead.table", formats={"Bars later": number}, rows=8)
        csv_button("Offences as CSV", lambda: offences, f"look_ahead_{run.run_id}.csv", "backtest.check.look_ahead.csv")


def _show_warm_up(run: StoredRun, found: WarmUpReport) -> None:
    _show_verdict(found.is_enough, found.sentence)
    starts = pd.DataFrame(
        {
            "Bars begin, UTC": [stamp(moment.to_pydatetime()) for moment in found.starts["start"]],
            "Signal": found.starts["signal"],
            "Bars until alike": [
                DASH if pd.isna(until) else number(until) for until in found.starts["bars_until_alike"]
            ],
            "Bars that differ": found.starts["bars_that_differ"],
        }
    )
    with st.expander("Every start"):
        show_table(starts, key="backtest.check.warm_up.table", right=["Bars until alike"])
        csv_button("Starts as CSV", lambda: starts, f"warm_up_{run.run_id}.csv", key="backtest.check.warm_up.csv")


def _show_verdict(is_good: bool, sentence: str) -> None:
    icon, colour = ("check_circle", "green") if is_good else ("warning", "yellow")
    st.markdown(f":{colour}[:material/{icon}:] {verbatim(sentence)}")


_SHOW: dict[str, Callable[[StoredRun, Any], None]] = {
    "verify": _show_verification,
    "look_ahead": _show_look_ahead,
    "warm_up": _show_warm_up,
}
