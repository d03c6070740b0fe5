"""A day of a deployment held against its backtest: what differs, why, what it cost, and how days compare over time."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial

import pandas as pd
import streamlit as st

from components.charts.live_parity import parity_figure
from components.numbers import number, percent, stamp
from components.panels.chart import show_still
from components.panels.failure import failures_shown
from components.panels.live_scene import day_start
from components.panels.page import card, columns, do_once, metric, metric_row
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import parse_utc, utc_now
from execution.live.deployments import Deployment
from execution.live.parity import reconcile_all
from execution.live.reconcile import Reconciliation
from execution.trading_desk import desk
from market.calendar import trading_day
from market.symbols import symbol_of

_PLACE = "live.reconcile"
_DAY = "day"
_FOUND = f"{_PLACE}.found"  # (deployment, day, what was found)
_COLOURS = {
    "missing": "#ff7a8e", "extra": "#ff9838", "later": "#ffcf6b", "dearer": "#ffcf6b", "different size": "#ff9838",
    "ended otherwise": "#ffcf6b",
}  # fmt: skip


def show_reconciliation(deployment: Deployment) -> None:
    """The days that were compared, and the chosen one with each of its differences."""
    with card("Reconcile", "fills against a backtest of the same bars with the spreads that were quoted · UTC"):
        if deployment.trades_from is None:
            st.markdown("It has not begun: its first bar has not closed. There is no day to compare yet.")
            return
        kept = desk.parity(deployment)
        left, right = columns([2, 3])
        with left:
            day = _ask_day(deployment)
            found = _found(deployment, day)
            if found is not None:
                _show_day(found)
            else:
                st.markdown(
                    "Press **Reconcile** to run the backtest of that day and hold the fills against it; the outcome is "
                    "kept. A day ends 17:00 New York."
                )
        with right, failures_shown():
            _show_days(kept, deployment)
        if found is not None:
            with failures_shown():
                _show_differences(found, deployment, day)


def _ask_day(deployment: Deployment) -> str:
    """A trading day from its beginning on, kept in the address."""
    begun = parse_utc(deployment.trades_from) if deployment.trades_from else utc_now()
    last = _day_of(day_start(deployment.symbol), deployment.symbol)
    first = min(_day_of(begun, deployment.symbol), last)
    asked = st.query_params.get(_DAY)
    key = f"{_PLACE}.day.{deployment.id}"
    if key not in st.session_state:
        try:
            wished = date.fromisoformat(asked) if asked else last
        except ValueError:
            wished = last
        st.session_state[key] = min(max(wished, first), last)
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall")
    day = row.date_input("Trading day", min_value=first, max_value=last, key=key, format="YYYY-MM-DD")
    chosen = day.isoformat() if isinstance(day, date) else last.isoformat()

    def work(every: bool) -> None:
        with st.spinner("Running the backtest"):
            if every:
                reconcile_all(deployment)
            st.session_state[_FOUND] = (deployment.id, chosen, desk.reconcile(deployment, chosen))
        st.query_params[_DAY] = chosen

    with failures_shown():
        do_once(row, "Reconcile", f"{_PLACE}.do", partial(work, every=False), ":material/balance:", filled=False)
        do_once(row, "All days", f"{_PLACE}.all", partial(work, every=True), filled=False)
    return chosen


def _found(deployment: Deployment, day: str) -> Reconciliation | None:
    """What was found of that day since the page was opened."""
    kept: tuple[int, str, Reconciliation] | None = st.session_state.get(_FOUND)
    return kept[2] if kept and kept[:2] == (deployment.id, day) else None


def _day_of(moment: datetime, symbol: str) -> date:
    """The trading day of a UTC time."""
    day: date = trading_day(pd.DatetimeIndex([pd.Timestamp(moment)]), symbol_of(symbol).asset_class)[0].date()
    return day


def _show_day(found: Reconciliation) -> None:
    row = metric_row()
    score = None if found.score is None else 100 * found.score
    metric(row, "Parity", percent(score), "of all trades", "Agreeing trades of the larger of both sides.")
    metric(row, "Backtest", number(found.expected), "trades expected")
    metric(row, "Terminal", number(found.traded), "trades filled")
    metric(row, "Cost", f"{number(found.cost_pips, 1, sign=True)} pips", "above 0 is worse")
    st.markdown(verbatim(found.sentence()))
    for note in found.notes:
        st.caption(verbatim(note))


def _show_days(kept: pd.DataFrame, deployment: Deployment) -> None:
    if kept.empty:
        st.markdown("No day was reconciled yet, so there is nothing to draw over time.")
        return
    st.caption(f"Parity of {number(len(kept))} day{'' if len(kept) == 1 else 's'}, and what they cost in pips")
    show_still(parity_figure(kept), f"{_PLACE}.days", f"parity_{deployment.name}")
    plain = kept.drop(columns=[name for name in ("differences",) if name in kept])
    csv_button("Days as CSV", lambda: plain, f"parity_{deployment.name}.csv", key=f"{_PLACE}.days.csv")


def _show_differences(found: Reconciliation, deployment: Deployment, day: str) -> None:
    """Each difference with its reason; the CSV has every trade of either side."""
    differences = found.differences
    name = f"reconcile_{deployment.name}_{day}.csv"
    if differences.empty:
        agreeing = f"All {number(found.agreeing)} trades agree." if found.agreeing else "Neither side made a trade."
        st.markdown(agreeing)
        csv_button("Trades as CSV", lambda: found.table, name, key=f"{_PLACE}.csv")
        return
    table = pd.DataFrame(
        {
            "Entry, UTC": [
                stamp(pd.Timestamp(each).to_pydatetime(), seconds=True) for each in differences["entry_time"]
            ],
            "Side": list(differences["side"]),
            "Difference": list(differences["kind"]),
            "Cost, pips": list(differences["cost_pips"]),
            "What": list(differences["what"]),
            "Reason": list(differences["reason"]),
        }
    ).astype({"Cost, pips": "float64"})
    show_table(
        table,
        key=f"{_PLACE}.differences",
        formats={"Cost, pips": lambda value: number(value, 1, sign=True)},
        widths={"Entry, UTC": 150, "Side": 52, "Difference": 126, "Cost, pips": 84, "What": 310, "Reason": 390},
        help_texts={"Cost, pips": "Above 0: the live day was worse by so much."},
        colours={"Difference": lambda kind: _COLOURS.get(kind, "")},
        rows=10,
    )
    with st.container(horizontal=True, gap="xsmall"):
        csv_button("Differences as CSV", lambda: table, f"differences_{name}", key=f"{_PLACE}.differences.csv")
        csv_button("Trades as CSV", lambda: found.table, name, key=f"{_PLACE}.csv")
