"""One decision opened: what it was made of, what every guard said, each step of its signals; and made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import DASH, number, span, stamp
from components.panels.failure import failures_shown
from components.panels.live_decisions import open_decision, opened_decision
from components.panels.live_scene import wish_words
from components.panels.page import card, columns
from components.panels.remarks import attempt, show_outcome
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import parse_utc
from execution.live.decisions import NONE, PROPOSED, Decision, find_decision
from execution.live.guards import Verdict
from execution.live.paths import SignalPath, paths_of
from execution.trading_desk import desk
from market.symbols import symbol_of

_AGAIN = "live.again"


def show_opened(deployment_id: str) -> None:
    """The opened decision of that deployment: what it was made of, what the guards said, what became of it."""
    opened = opened_decision()
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
            st.button("Close", key=f"{_AGAIN}.close", type="tertiary", on_click=open_decision, args=(None,))
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
