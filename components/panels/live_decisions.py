"""Decisions of one deployment: all, the changes, or those that were refused and why; and one of them opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, span, stamp
from components.panels.failure import failures_shown
from components.panels.live_scene import Line, broker_clock, wish_words
from components.panels.page import card, columns
from components.panels.remarks import attempt, show_outcome
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import parse_utc
from execution.live.decisions import EXPIRED, NONE, PROPOSED, REFUSED, Decision, find_decision, list_decisions
from execution.live.guards import Verdict
from execution.live.paths import SignalPath, paths_of
from execution.trading_desk import desk
from market.symbols import symbol_of

_LISTED = 200
_NAME = "decision"  # in session and address: the one that is opened
_AGAIN = "live.again"
_CLOSED = "live.decisions.closed"  # how many were closed again
_ALL, _CHANGES, _WHY_NOT = "All", "Changes", "Why not"
STATE_COLOURS = {"approved": "#2fe08a", "refused": "#ff7a8e", "expired": "#ffcf6b", "proposed": "#4cc3ff"}
_WIDTHS = {
    "Bar, UTC": 90, "Broker": 54, "Wanted": 104, "State": 72, "Reason": 208, "Signals": 88, "Slip": 44,
    "Guard": 112, "Why": 232,
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
        if selected and _opened() != decisions[selected[0]].id:
            _open(decisions[selected[0]].id)
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


def _opened() -> int | None:
    """The decision that is opened, kept in the address."""
    asked = st.query_params.get(_NAME, "")
    if _NAME not in st.session_state and asked.isdecimal():
        st.session_state[_NAME] = int(asked)
    opened: int | None = st.session_state.get(_NAME)
    return opened


def _open(decision_id: int | None) -> None:
    if decision_id is None:
        st.session_state[_NAME] = None
        st.session_state[_CLOSED] = st.session_state.get(_CLOSED, 0) + 1  # the table forgets its tick
        st.query_params.pop(_NAME, None)
    else:
        st.session_state[_NAME] = decision_id
        st.query_params[_NAME] = str(decision_id)


def show_opened(deployment_id: str) -> None:
    """The opened decision of that deployment: what it was made of, what the guards said, what became of it."""
    opened = _opened()
    decision = None if opened is None else find_decision(opened)
    if decision is None or str(decision.deployment_id) != deployment_id:
        return
    bar = stamp(decision.bar_time)
    words = f"bar {bar} UTC · decided {stamp(decision.decided_at, seconds=True)} UTC"
    with card(f"Decision {decision.id}: {wish_words(decision)}", words):
        state = f":{_BADGES.get(decision.state, 'gray')}-badge[{decision.state}]"
        st.markdown(f"{state} {verbatim(decision.reason)}")
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.button(
                "Decide again",
                key=f"{_AGAIN}.do",
                icon=":material/replay:",
                help="Makes the decision again from what was recorded: the same bars, parameters and circumstances.",
                on_click=attempt,
                args=(_AGAIN, lambda: desk.decide_again(decision.id).sentence()),
            )
            st.button("Close", key=f"{_AGAIN}.close", type="tertiary", on_click=_open, args=(None,))
        show_outcome(_AGAIN)
        left, right = columns([2, 3])
        with left, failures_shown():
            _show_inputs(decision)
        with right, failures_shown():
            _show_verdicts(decision)
        with failures_shown():
            _show_steps(decision)


_BADGES = {"approved": "green", "refused": "red", "expired": "yellow", "proposed": "blue"}


def _show_inputs(decision: Decision) -> None:
    """What it was made of, and the digest that holds it."""
    table = pd.DataFrame(_flat(decision.inputs), columns=["Input", "Value"])
    st.markdown("**What it was made of** :gray[:small[as recorded]]")
    show_table(table, key=f"live.inputs.{decision.id}", widths={"Input": 150}, rows=12)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        csv_button("Inputs as CSV", lambda: table, f"decision_{decision.id}_inputs.csv", key="live.inputs.csv")
        st.caption(f"SHA-256 {decision.inputs_hash[:16]}…", help=decision.inputs_hash, width="content")


def _flat(inputs: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested members as `bars count`, values as text."""
    rows: list[tuple[str, str]] = []
    for name, value in inputs.items():
        words = f"{before} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, words)
        elif isinstance(value, float):
            rows.append((words, f"{value:.10g}"))
        else:
            rows.append((words, DASH if value is None else str(value)))
    return rows


def _show_verdicts(decision: Decision) -> None:
    st.markdown("**What the guards said** :gray[:small[when its entry was to be sent]]")
    if not decision.guards:
        st.markdown(_why_no_guards(decision))
        return
    table = guards_table(decision.guards)
    show_table(
        table,
        key=f"live.verdicts.{decision.id}",
        formats={
            "Value": lambda value: f"{value:.4g}",
            "Limit": lambda value: f"{value:.4g}",
            "Left, %": number,
        },
        widths={"Guard": 106, "Says": 62, "In words": 262, "Value": 58, "Limit": 50, "Unit": 68, "Left, %": 52},
        colours={"Says": lambda said: {"passes": "#2fe08a", "refuses": "#ff7a8e"}.get(said, "")},
        rows=13,
    )
    csv_button("Guards as CSV", lambda: table, f"decision_{decision.id}_guards.csv", key="live.verdicts.csv")


def _why_no_guards(decision: Decision) -> str:
    if decision.state == PROPOSED:
        return "Not asked yet: the position before it is still being closed."
    if decision.action == NONE:
        return "Not asked: nothing was to be sent."
    if decision.action == "exit":
        return "Not asked: an exit is never held back."
    return "Not asked: it ended before an entry could be judged."


def guards_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a guard."""
    return pd.DataFrame(
        {
            "Guard": [each.guard for each in verdicts],
            "Says": ["passes" if each.passed else "refuses" for each in verdicts],
            "In words": [each.words for each in verdicts],
            "Value": [each.value for each in verdicts],
            "Limit": [each.limit for each in verdicts],
            "Unit": [each.unit for each in verdicts],
            "Left, %": [None if each.headroom is None else 100 * each.headroom for each in verdicts],
        }
    ).astype(dict.fromkeys(("Value", "Limit", "Left, %"), "float64"))


def _show_steps(decision: Decision) -> None:
    """Every step of its signals, with what each took."""
    paths = paths_of([decision])
    if not paths:
        st.caption("It led to no signal.")
        return
    for path in paths:
        digits = symbol_of(path.row["symbol"]).digits if path.row else 5
        told = [path.signal_type, f"asked {number(path.asked, digits)}", f"filled {number(path.price, digits)}"]
        if path.slippage_pips is not None:
            told.append(f"slip {number(path.slippage_pips, 1, sign=True)} pips")
        told += [f"in all {span(path.seconds)}" if path.seconds is not None and path.seconds >= 60 else ""]
        words = " · ".join(word for word in [*told, path.words] if word)
        st.markdown(f"**Signal {path.signal_id}** :gray[:small[{verbatim(words)}]]")
        table = steps_table(path)
        show_table(
            table,
            key=f"live.steps.{path.signal_id}",
            formats={"After, s": lambda value: number(value, 3)},
            widths={"Time, UTC": 184, "After, s": 80, "State": 84, "By": 140},
            help_texts={"After, s": "Since the step before; the first since the decision."},
        )


def steps_table(path: SignalPath) -> pd.DataFrame:
    """One row a step, the decision before the first."""
    decided = parse_utc(path.decision.decided_at)
    first = {
        "Time, UTC": _milliseconds(decided),
        "After, s": 0.0,
        "State": "decided",
        "By": DASH,
        "What": path.decision.reason,
    }
    rows = [
        {
            "Time, UTC": _milliseconds(step.at),
            "After, s": step.after_seconds,
            "State": step.state,
            "By": step.by or DASH,
            "What": step.words,
        }
        for step in path.steps
    ]
    return pd.DataFrame([first, *rows])


def _milliseconds(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"[:-3]
