"""Decisions of one deployment: all, the changes, or those that were refused and why; and one of them opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from components.numbers import DASH, number
from components.panels.live_scene import Line, broker_clock, wish_words
from components.panels.page import card
from components.panels.table import csv_button, show_table
from core.clock import parse_utc
from execution.live.decisions import EXPIRED, REFUSED, Decision, list_decisions
from execution.live.paths import SignalPath, paths_of
from execution.trading_desk import desk

_LISTED = 200
_NAME = "decision"  # in session and address: the one that is opened
_CLOSED = "live.decisions.closed"  # how many were closed again
_ALL, _CHANGES, _WHY_NOT = "All", "Changes", "Why not"
STATE_COLOURS = {"approved": "#2fe08a", "refused": "#ff7a8e", "expired": "#ffcf6b", "proposed": "#4cc3ff"}
_WIDTHS = {
    "Bar, UTC": 90, "Broker": 54, "Wanted": 104, "State": 72, "Reason": 198, "Signals": 88, "Slip": 44,
    "Guard": 112, "Why": 226,
}  # fmt: skip


def show_decisions(line: Line) -> None:
    """The newest decisions, one row a bar; a click opens one below."""
    with card("Decisions", "one a closed bar, newest first · select one to open it"):
        view = st.segmented_control(
            "Which", [_ALL, _CHANGES, _WHY_NOT], default=_ALL, required=True, key="decisions",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
        decisions = _chosen(line.deployment.id, view or _ALL)
        if not decisions:
            st.markdown(_nothing(line, view or _ALL))
            return
        shown = why_not_table(decisions, line) if view == _WHY_NOT else _with_signals(decisions, line)
        # Rows move down when one comes: a new key forgets the tick, and the decision stays open by its id.
        place = f"{line.deployment.id}.{view}.{decisions[0].id}.{st.session_state.get(_CLOSED, 0)}"
        selected = show_table(
            shown,
            key=f"live.decisions.{place}",
            select="one",
            formats={"Slip": lambda value: number(value, 1, sign=True)} if "Slip" in shown else None,
            widths=_WIDTHS,
            help_texts={
                "Bar, UTC": "The open of the bar it was decided on.",
                "Broker": "The same on the clock of the broker's server.",
                "Reason": "What it was decided for; refused, also which guard said no and why.",
                "Slip": "Pips filled worse than asked, of all its signals; above 0 is worse.",
                "Guard": "Which guard said no; – where it came to none.",
            },
            colours={"State": lambda state: STATE_COLOURS.get(state, "")},
            rows=9,
        )
        if selected and opened_decision() != decisions[selected[0]].id:
            open_decision(decisions[selected[0]].id)
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            csv_button(
                "Decisions as CSV",
                lambda: _everything(desk.decisions(line.deployment.id, limit=None)),
                f"decisions_{line.deployment.name}.csv",
                key="live.decisions.csv",
            )
            st.caption(f"the newest {number(len(decisions))}; the CSV has all", width="content")


def _chosen(deployment_id: int, view: str) -> list[Decision]:
    if view == _WHY_NOT:
        return list_decisions(deployment_id, limit=_LISTED, states=(REFUSED, EXPIRED))
    if view == _CHANGES:
        return list_decisions(deployment_id, limit=_LISTED, actions=("enter", "exit", "reverse"))
    return desk.decisions(deployment_id, limit=_LISTED)


def _nothing(line: Line, view: str) -> str:
    if line.newest is None:
        return "No bar has closed since it was deployed. The first decision comes with the next one."
    return {
        _CHANGES: "What the strategy wants has not changed yet.",
        _WHY_NOT: "Nothing was refused, and nothing ran out of time.",
    }.get(view, "None yet.")


def _with_signals(decisions: Sequence[Decision], line: Line) -> pd.DataFrame:
    return decisions_table(decisions, {path.signal_id: path for path in paths_of(decisions)}, line)


def why_not_table(decisions: Sequence[Decision], line: Line) -> pd.DataFrame:
    """One row a decision that came to nothing, with the guard that said no and its words."""
    rows = []
    for each in decisions:
        bar, refusals = parse_utc(each.bar_time), each.refused_by
        rows.append(
            {
                "Bar, UTC": f"{bar:%m-%d %H:%M}",
                "Broker": broker_clock(line.terminal, bar)[:5],
                "Wanted": wish_words(each),
                "State": each.state,
                "Guard": ", ".join(verdict.guard for verdict in refusals) or DASH,
                # Where no guard was asked, the last part of the reason tells what stood in the way.
                "Why": "; ".join(verdict.words for verdict in refusals) or each.reason.rpartition("; ")[2],
            }
        )
    return pd.DataFrame(rows)


def decisions_table(decisions: Sequence[Decision], paths: Mapping[int, SignalPath], line: Line) -> pd.DataFrame:
    """One row a decision with what became of its signals."""
    rows = []
    for each in decisions:
        own = [paths[signal_id] for signal_id in each.signal_ids if signal_id in paths]
        slips = [path.slippage_pips for path in own if path.slippage_pips is not None]
        bar = parse_utc(each.bar_time)
        rows.append(
            {
                "Bar, UTC": f"{bar:%m-%d %H:%M}",
                "Broker": broker_clock(line.terminal, bar)[:5],
                "Wanted": wish_words(each),
                "State": each.state,
                "Reason": each.reason,
                "Signals": ", ".join(f"{path.signal_id} {path.state}" for path in own) or DASH,
                "Slip": sum(slips) if slips else None,
            }
        )
    return pd.DataFrame(rows).astype({"Slip": "float64"})


def _everything(decisions: Sequence[Decision]) -> pd.DataFrame:
    """All decisions with all that is kept of them, for the CSV."""
    return pd.DataFrame(
        [
            {
                "id": each.id,
                "bar_time": pd.Timestamp(each.bar_time),
                "decided_at": pd.Timestamp(each.decided_at),
                "state": each.state,
                "action": each.action,
                "wanted": each.wanted,
                "wanted_before": each.wanted_before,
                "held": each.held,
                "reason": each.reason,
                "refused_by": "; ".join(f"{verdict.guard}: {verdict.words}" for verdict in each.refused_by),
                "close": each.close,
                "stop_distance": each.stop_distance,
                "target_distance": each.target_distance,
                "confidence": each.confidence,
                "close_signal_id": each.close_signal_id,
                "entry_signal_id": each.entry_signal_id,
                "inputs_hash": each.inputs_hash,
            }
            for each in decisions
        ]
    )


def opened_decision() -> int | None:
    """The decision that is opened, kept in the address."""
    asked = st.query_params.get(_NAME, "")
    if _NAME not in st.session_state and asked.isdecimal():
        st.session_state[_NAME] = int(asked)
    opened: int | None = st.session_state.get(_NAME)
    return opened


def open_decision(decision_id: int | None) -> None:
    """Open a decision below the table, or none."""
    if decision_id is None:
        st.session_state[_NAME] = None
        st.session_state[_CLOSED] = st.session_state.get(_CLOSED, 0) + 1  # the table forgets its tick
        st.query_params.pop(_NAME, None)
    else:
        st.session_state[_NAME] = decision_id
        st.query_params[_NAME] = str(decision_id)
