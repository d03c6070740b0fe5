"""One deployment as it stands now: its guards, its positions and quotes, and today's signals on their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from components.charts.live import figures_of, guards_figure, nearest_to_refusing
from components.numbers import number, stamp
from components.panels.chart import show_still
from components.panels.failure import failures_shown
from components.panels.live_decision import guards_table, show_opened
from components.panels.live_decisions import show_decisions
from components.panels.live_feed import show_feed, show_positions
from components.panels.live_scene import REAL, Line, broker_clock, read_scene
from components.panels.live_terms import limit_words, sizing_words
from components.panels.page import card, columns, redraw
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import parse_utc, utc_now
from execution.live.bars import next_close
from execution.live.deployments import Deployment
from execution.live.guards import Verdict
from execution.live.paths import STEPS, SignalPath, paths_of
from execution.trading_desk import desk
from market.symbols import symbol_of

_LIVE = "2s"
SIGNAL_COLOURS = {
    "pending": "#86ad90", "leased": "#4cc3ff", "sent": "#4cc3ff", "executed": "#2fe08a", "rejected": "#ff7a8e",
    "expired": "#ffcf6b", "cancelled": "#86ad90", "lost": "#ff9838",
}  # fmt: skip
_DONE = {"BUY": "buy", "SELL": "sell", "CLOSE": "close"}


def show_deployment(deployment_id: str) -> None:
    """The open deployment: its guards and decisions, the decision that was opened, then signals, positions and feed."""
    _drawn_anew(deployment_id, _show_decided)
    with failures_shown():
        show_opened(deployment_id)
    _drawn_anew(deployment_id, _show_traded)


def _drawn_anew(deployment_id: str, show: Callable[[Line], None]) -> None:
    """Draw a part of it every two seconds."""

    def draw() -> None:
        with st.container(gap="xsmall"), failures_shown():
            line = next((each for each in read_scene() if str(each.deployment.id) == deployment_id), None)
            if line is not None:
                show(line)

    redraw(draw, _LIVE)


def _show_decided(line: Line) -> None:
    _show_heading(line)
    left, right = columns([13, 22])
    with left, failures_shown():
        _show_guards(line.deployment)
    with right, failures_shown():
        show_decisions(line)


def _show_traded(line: Line) -> None:
    with failures_shown():
        _show_signals(line)
    left, right = columns([6, 5])
    with left, failures_shown():
        show_positions(line)
    with right, failures_shown():
        show_feed(line)


def _show_heading(line: Line) -> None:
    """What it is and what it waits for, in two lines."""
    deployment, now = line.deployment, utc_now()
    closes = next_close(deployment)
    state = f":{_badge_colour(line.state)}-badge[{line.state}]"
    mode = f":{'orange' if line.mode == REAL else 'violet'}-badge[{line.mode}]"
    waits = "its market is closed" if closes is None else f"bar closes {closes:%H:%M:%S} UTC"
    if line.state == "no worker":
        waits = "start a worker: `python main.py --mode worker`"
    elif deployment.is_open and deployment.state_words:
        waits = verbatim(deployment.state_words)
    broker = broker_clock(line.terminal, now)
    clocks = f"{now:%H:%M:%S} UTC · broker {broker}"
    with st.container(border=True, gap=None):
        st.markdown(
            f"**{verbatim(deployment.name)}** {mode} {state} :gray[:small[{waits} · {clocks}]]",
            help=_terms(deployment),
        )
        begun = f"trades from {stamp(deployment.trades_from)}" if deployment.trades_from else "has not begun"
        what = (
            f"{deployment.strategy_name} v{deployment.strategy_version} on {deployment.symbol} {deployment.timeframe}"
        )
        made = f"from {deployment.origin} {deployment.origin_id}"
        st.caption(verbatim(f"{what}, {made} · {deployment.client} · {begun}"))


def _badge_colour(state: str) -> str:
    return {"trading": "green", "paused": "yellow", "no worker": "red", "failed": "red", "killed": "red"}.get(
        state, "gray"
    )


def _terms(deployment: Deployment) -> str:
    """Size and limits, for the tooltip."""
    values = ", ".join(f"{name} {value}" for name, value in deployment.parameters.items())
    limits = deployment.limits
    return (
        f"Parameters: {verbatim(values or 'none')}.\n\nSize: {sizing_words(deployment.sizing)}.\n\n"
        f"Limits: {limit_words(limits)}. Entries are valid for {number(limits.valid_seconds)} s."
    )


def _show_guards(deployment: Deployment) -> None:
    with card("Guards", "used of what is allowed, now"):
        verdicts = desk.headroom(deployment)
        show_still(guards_figure(verdicts), "live.guards", f"guards_{deployment.name}")
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.caption(_verdict_words(verdicts), width="stretch")
            csv_button("CSV", lambda: guards_table(verdicts), f"guards_{deployment.name}.csv", key="live.guards.csv")


def _verdict_words(verdicts: Sequence[Verdict]) -> str:
    refusing = [verdict.guard for verdict in verdicts if not verdict.passed]
    if refusing:
        return f":red[An entry would be refused now by: {', '.join(refusing)}.]"
    nearest = nearest_to_refusing(verdicts)
    if nearest is None:
        return "No guard refuses now."
    return f"No guard refuses now. Nearest: {nearest.guard}, {figures_of(nearest)}."


def _show_signals(line: Line) -> None:
    """Today's signals with their whole way, a column for what each step took."""
    with card(
        "Signals today",
        "decided › pending › leased › sent › executed; seconds of each step · slip in pips, above 0 is worse · UTC",
    ):
        paths = paths_of([decision for decision in line.today if decision.signal_ids])
        if not paths:
            st.markdown("None yet today. A signal is sent when what the strategy wants changes.")
            return
        table = signals_table(paths, line)
        show_table(
            table,
            key="live.signals",
            formats={
                "Slip": lambda value: number(value, 1, sign=True),
                **{_heading(step): lambda value: number(value, 2) for step in STEPS},
                "In all, s": lambda value: number(value, 2),
            },
            right=["Lots", "Asked", "Filled"],
            widths={
                "Decided, UTC": 100, "Broker": 68, "Signal": 58, "Side": 50, "State": 76, "Lots": 44, "Asked": 70,
                "Filled": 70, "Slip": 46, "Pending, s": 80, "Leased, s": 76, "Sent, s": 60, "Ended, s": 74,
                "In all, s": 74, "Words": 170,
            },
            help_texts={
                "Asked": "The price wanted, or the quote when it was sent.",
                "Pending, s": "From the decision until the signal was stored.",
                "Leased, s": "Until a terminal fetched it.",
                "Sent, s": "Until the terminal gave it to the broker.",
                "Ended, s": "Until the broker's answer, or its end.",
                "In all, s": "From the decision to its end.",
            },
            colours={"State": lambda state: SIGNAL_COLOURS.get(state, "")},
            rows=6,
        )  # fmt: skip
        csv_button("Signals as CSV", lambda: table, f"signals_{line.deployment.name}.csv", key="live.signals.csv")


def _heading(step: str) -> str:
    return f"{step.capitalize()}, s"


def signals_table(paths: Sequence[SignalPath], line: Line) -> pd.DataFrame:
    """One row a signal."""
    digits = symbol_of(line.deployment.symbol).digits
    decided = [parse_utc(path.decision.decided_at) for path in paths]
    timed = {_heading(step): [path.seconds_to(step) for path in paths] for step in STEPS}
    return pd.DataFrame(
        {
            "Decided, UTC": [f"{moment:%H:%M:%S}" for moment in decided],
            "Broker": [broker_clock(line.terminal, moment) for moment in decided],
            "Signal": [path.signal_id for path in paths],
            "Side": [_DONE.get(path.signal_type, path.signal_type) for path in paths],
            "State": [path.state for path in paths],
            "Lots": [_lots(path) for path in paths],
            "Asked": [number(path.asked, digits) for path in paths],
            "Filled": [number(path.price, digits) for path in paths],
            "Slip": [path.slippage_pips for path in paths],
            **timed,
            "In all, s": [path.seconds for path in paths],
            "Words": [path.words for path in paths],
        }
    ).astype(dict.fromkeys(("Slip", *timed, "In all, s"), "float64"))


def _lots(path: SignalPath) -> str:
    return number(path.row.get("executed_volume") or path.row.get("volume"), 2)
