"""The form of the Sweep page: data, strategy, what is swept from where to where, and the terms of every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from components.numbers import number
from components.panels.backtest import ask_data, ask_strategy, ask_values
from components.panels.costs import ask_terms, conversions_for
from components.panels.defaults import keep_defaults
from core.jobs import Job
from data.versions import DatasetVersion
from execution.jobs import sweep_arguments, sweep_title
from execution.strategy import Parameter, Strategy
from execution.sweep_grid import GRID, RANDOM
from market.symbols import symbol_of
from workbench import JOBS

_STEPS = 10  # that a range is cut into at first
_METHODS = {"All combinations": GRID, "A random draw": RANDOM}


@dataclass(frozen=True)
class SweepRequest:
    """A filled-in form."""

    version: DatasetVersion
    strategy: Strategy
    grid: dict[str, Any]
    terms: dict[str, Any]

    def submit(self) -> Job:
        """Queue it. Raises BarsError, StrategyError or InputError for what cannot be swept."""
        arguments = sweep_arguments(self.strategy.name, self.grid, data=self.version, **self.terms)
        return JOBS.submit("backtest", "sweep", arguments, sweep_title(arguments))


def ask_sweep(versions: Sequence[DatasetVersion]) -> SweepRequest | None:
    """What to sweep on what; None while nothing is swept."""
    version, symbol = ask_data(versions)
    strategy = ask_strategy()
    numeric = [each for each in strategy.parameters if _is_number(each)]
    others = [each.name for each in strategy.parameters if each not in numeric and _can_be_swept(each)]
    key = f"sweep.{strategy.name}"
    keep_defaults({f"{key}.swept": [each.name for each in numeric[:2]]})
    swept = st.multiselect("Swept", [*(each.name for each in numeric), *others], key=f"{key}.swept", format_func=_words)
    grid: dict[str, Any] = {}
    for parameter in strategy.parameters:
        if parameter.name in swept:
            grid[parameter.name] = _ask_range(key, parameter) if parameter in numeric else None
    with st.expander("Fixed parameters and costs"):
        fixed = ask_values(strategy, [each for each in strategy.parameters if each.name not in swept])
        terms = ask_terms(symbol_of(symbol), version)
    how = _ask_how(grid)
    if not grid:
        st.caption("Name at least one parameter to sweep.")
        return None
    account = terms.extras.account_currency if terms.extras else ""
    asked = {
        "symbol": symbol,
        "parameters": fixed,
        "cash": terms.cash,
        "spread_pips": terms.spread_pips,
        "commission": round(terms.commission_pct / 100, 12),
        "margin": 1 / terms.leverage,
        "costs": terms.extras,
        "conversions": conversions_for(symbol_of(symbol), account, versions, version),
        **how,
    }
    return SweepRequest(version, strategy, grid, asked)


def _ask_range(key: str, parameter: Parameter) -> tuple[float, float, float]:
    """From, to and step; at first around the default."""
    whole = isinstance(parameter.default, int)
    low, high, step = _around(parameter)
    kind = int if whole else float
    widget = f"{key}.{parameter.name}"
    keep_defaults({f"{widget}.from": kind(low), f"{widget}.to": kind(high), f"{widget}.step": kind(step)})
    st.caption(f"{_words(parameter.name)} · {parameter.meaning}")
    low_bound = None if parameter.low is None else kind(parameter.low)
    high_bound = None if parameter.high is None else kind(parameter.high)
    shown = "%d" if whole else "%g"
    first, last, by = st.columns(3, gap="xsmall")
    return (
        first.number_input("From", low_bound, high_bound, format=shown, key=f"{widget}.from"),
        last.number_input("To", low_bound, high_bound, format=shown, key=f"{widget}.to"),
        by.number_input("Step", kind(1) if whole else 0.001, format=shown, key=f"{widget}.step"),
    )


def _around(parameter: Parameter) -> tuple[float, float, float]:
    """A range from half the default to twice of it, in about ten steps of the declared one."""
    default = float(parameter.default)
    low = max(default / 2, -math.inf if parameter.low is None else parameter.low)
    high = min(default * 2, math.inf if parameter.high is None else parameter.high)
    step = max(1, round((high - low) / _STEPS / parameter.step)) * parameter.step
    low = math.ceil(low / parameter.step) * parameter.step
    return low, low + step * math.floor((high - low) / step), step


def _ask_how(grid: dict[str, Any]) -> dict[str, Any]:
    """All combinations or a draw, and what is held out."""
    keep_defaults({"sweep.method": next(iter(_METHODS)), "sweep.draws": 1000, "sweep.held_out": 30})
    method = st.segmented_control("Sets", list(_METHODS), required=True, key="sweep.method")
    asked: dict[str, Any] = {"method": _METHODS[str(method)]}
    if asked["method"] == RANDOM:
        asked["max_sets"] = st.number_input("At most, sets", 1, 1_000_000, step=100, key="sweep.draws")
    held_out = st.number_input(
        "Held out, % of the bars",
        0,
        80,
        step=5,
        key="sweep.held_out",
        help="The last part of the bars is not looked at for the ranking; its figures stand beside.",
    )
    ranges = [value for value in grid.values() if value is not None]
    count = math.prod(max(1, math.floor((high - low) / step + 1e-9) + 1) for low, high, step in ranges)
    listed = " × choices" if len(ranges) < len(grid) else ""
    st.caption(f"{number(count)}{listed} combinations; those that the strategy refuses are left out.")
    return {**asked, "held_out": held_out / 100}


def _is_number(parameter: Parameter) -> bool:
    return isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool)


def _can_be_swept(parameter: Parameter) -> bool:
    return isinstance(parameter.default, bool) or bool(parameter.choices)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
