"""How large a position is and how far entries may go: the widgets of `Sizing` and `Limits`, and both in words."""

from __future__ import annotations

from typing import Any

import streamlit as st

from components.numbers import number, percent
from components.panels.defaults import keep_defaults
from components.panels.parameters import ask_parameter
from core.parameters import Parameter
from execution.live.terms import Limits, Sizing
from market.symbols import symbol_of

_LOTS, _RISK = "Lots", "Risk"
_LIMITS = Limits()
# Offered where the run had none: without a stop the guard "risk" refuses.
_STOP_PIPS = 30.0
# What a limit of 0 in the form means where the limit itself would be None.
_MAY_BE_NONE = ("max_risk_pct", "max_spread_pips", "max_daily_loss_pct")
_FIRST = (
    Parameter("max_entries_a_day", _LIMITS.max_entries_a_day, "Entries of all deployments on this symbol and terminal "
              "in a trading day, which ends 17:00 New York", 1, 1_000),
    Parameter("max_positions", _LIMITS.max_positions, "Open positions of the terminal, the new one included", 1, 1_000),
    Parameter("max_risk_pct", float(_LIMITS.max_risk_pct or 0), "Of the equity, lost at the stop; without a stop an "
              "entry is refused. 0: not asked", 0, 100),
    Parameter("max_spread_pips", float(_LIMITS.max_spread_pips or 0), "Spread of the newest quote. 0: not asked", 0,
              1_000),
    Parameter("max_daily_loss_pct", float(_LIMITS.max_daily_loss_pct or 0), "Of the equity first seen in the trading "
              "day, floating losses included. 0: not asked", 0, 100),
)  # fmt: skip
_FURTHER = (
    Parameter("min_confidence", _LIMITS.min_confidence, "Of a model's probability; a strategy gives none and is then "
              "refused. 0: not asked", 0, 1),
    Parameter("min_reward_to_risk", _LIMITS.min_reward_to_risk, "Way to the target over way to the stop. 0: not asked",
              0, 100),
    Parameter("hours_from", _LIMITS.hours_from, "Entries from this time on, UTC; equal to the next: all day"),
    Parameter("hours_until", _LIMITS.hours_until, "Entries until this time, UTC; it may lie after midnight"),
    Parameter("max_feed_age_seconds", _LIMITS.max_feed_age_seconds, "Age of the newest tick, in seconds", 1, 3_600),
    Parameter("max_heartbeat_age_seconds", _LIMITS.max_heartbeat_age_seconds, "Age of the terminal's last heartbeat, "
              "in seconds", 1, 3_600),
    Parameter("valid_seconds", _LIMITS.valid_seconds, "How long after the bar's close an entry may still be executed, "
              "in seconds", 5, 3_600),
)  # fmt: skip
_LABELS = {
    "max_entries_a_day": "Entries a day, at most",
    "max_positions": "Open positions, at most",
    "max_risk_pct": "Risk an entry, at most %",
    "max_spread_pips": "Spread, at most pips",
    "max_daily_loss_pct": "Loss a day, at most %",
}


def ask_sizing(key: str, symbol: str, first: Sizing | None) -> Sizing:
    """Lots, or a share of the equity that is lost at the stop; `first` is what the form holds at first.

    Raises InputError for what contradicts itself.
    """
    first = first or Sizing(stop_pips=_STOP_PIPS)
    keep_defaults(
        {
            f"{key}.rule": _RISK if first.lots is None else _LOTS,
            f"{key}.lots": first.lots or 0.01,
            f"{key}.risk": 100 * (first.risk_fraction or 0.01),
            f"{key}.stop": first.stop_pips or 0.0,
            f"{key}.max_lot": first.max_lot,
        }
    )
    rule = st.segmented_control("Size", [_LOTS, _RISK], required=True, key=f"{key}.rule")
    step = symbol_of(symbol).lot_step
    asked: dict[str, Any] = {"lot_step": step}
    if rule == _RISK:
        risk = st.number_input(
            "Risk, % of equity", 0.01, 10.0, step=0.1, format="%.2f", key=f"{key}.risk",
            help="Lost when the stop is hit; the lots follow from the stop's distance and the pip's worth.",
        )  # fmt: skip
        asked |= {"lots": None, "risk_fraction": round(risk / 100, 8)}
    else:
        asked["lots"] = st.number_input("Lots", step, 100.0, step=step, format="%.2f", key=f"{key}.lots")
    stop = st.number_input(
        "Stop, pips", 0.0, 10_000.0, step=5.0, format="%.1f", key=f"{key}.stop",
        help="Put where the strategy gives no stop of its own; 0: none.",
    )  # fmt: skip
    asked["stop_pips"] = stop or None
    asked["max_lot"] = st.number_input(
        "Never more lots than", step, 100.0, step=step, format="%.2f", key=f"{key}.max_lot",
        help="Whatever the rule gives, it is cut here.",
    )  # fmt: skip
    return Sizing(**asked)


def ask_limits(key: str, real: bool) -> Limits:
    """What every entry is held against. Raises InputError for hours that are none."""
    asked = {each.name: _ask(key, each) for each in _FIRST}
    with st.expander("More limits"):
        asked |= {each.name: _ask(key, each) for each in _FURTHER}
    given: dict[str, Any] = {
        name: None if name in _MAY_BE_NONE and not value else value for name, value in asked.items()
    }
    return Limits(account="real" if real else "demo", **given)


def _ask(key: str, parameter: Parameter) -> Any:
    return ask_parameter(f"{key}.{parameter.name}", parameter, label=_LABELS.get(parameter.name))


def sizing_words(sizing: Sizing) -> str:
    """`0.10 lots with a stop at 30.0 pips where the strategy gives none`."""
    size = (
        f"**{number(sizing.lots, 2)} lots**"
        if sizing.lots is not None
        else f"**{percent(100 * (sizing.risk_fraction or 0))} of the equity** at risk, at most "
        f"{number(sizing.max_lot, 2)} lots"
    )
    stop = f", with a stop {number(sizing.stop_pips, 1)} pips away where the strategy gives none"
    return size + (stop if sizing.stop_pips else "")


def limit_words(limits: Limits) -> str:
    """What is asked of each entry, in one sentence."""
    said = [
        f"at most {number(limits.max_entries_a_day)} entries a day",
        f"{number(limits.max_positions)} open positions",
    ]
    if limits.max_risk_pct is not None:
        said.append(f"{percent(limits.max_risk_pct)} risk an entry")
    if limits.max_spread_pips is not None:
        said.append(f"a spread of {number(limits.max_spread_pips, 1)} pips")
    if limits.max_daily_loss_pct is not None:
        said.append(f"a loss of {percent(limits.max_daily_loss_pct)} a day")
    if limits.min_confidence:
        said.append(f"a confidence of {number(limits.min_confidence, 2)} or more")
    if limits.min_reward_to_risk:
        said.append(f"a reward of {number(limits.min_reward_to_risk, 1)} times the risk or more")
    if limits.hours_from != limits.hours_until:
        said.append(f"between {limits.hours_from} and {limits.hours_until} UTC")
    return f"{', '.join(said[:-1])} and {said[-1]}"
