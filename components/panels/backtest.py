"""The form of the Backtesting page: dataset, strategy, its parameters and the costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from components.numbers import number
from components.panels.choice import choose
from components.panels.words import verbatim
from core.errors import InputError
from core.settings import current_settings
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution.registry import find_strategies
from execution.runs import StoredRun
from execution.strategy import Parameter, Strategy, Value
from market.symbols import symbol_of

# Until jobs exist, a page runs what takes seconds.
MOST_BARS = 200_000
# What the form takes; leverage is 30 for 30:1, commission in per cent.
_LIMITS: dict[str, tuple[float, float | None]] = {
    "cash": (1.0, None),
    "leverage": (1.0, 500.0),
    "spread": (0.0, None),
    "commission": (0.0, 9.99),
}


@dataclass(frozen=True)
class Request:
    """A filled-in form."""

    version: DatasetVersion
    symbol: str
    strategy_name: str
    parameters: dict[str, Value]
    cash: float
    spread_pips: float
    commission_pct: float
    leverage: float

    def arguments(self) -> dict[str, Any]:
        """What `manager.run_backtest` takes besides the data. Raises InputError when the page should not run it."""
        if self.version.rows > MOST_BARS:
            raise InputError(
                f"{self.version.label} has {number(self.version.rows)} rows; this page runs up to {number(MOST_BARS)}.",
                f"From Python: manager.run_backtest(controller.version('{self.version.short_hash}'), "
                f"strategy_name='{self.strategy_name}').",
            )
        return {
            "symbol": self.symbol,
            "strategy_name": self.strategy_name,
            "parameters": self.parameters,
            "cash": self.cash,
            "spread_pips": self.spread_pips,
            # 0.07 / 100 is not 0.0007: a run from Python and the same one from here must be equal.
            "commission": round(self.commission_pct / 100, 12),
            "margin": 1 / self.leverage,
        }


def ask_request(versions: Sequence[DatasetVersion]) -> Request:
    """Dataset, strategy, its parameters (widgets made from its own declaration) and costs."""
    by_hash = {version.short_hash: version for version in reversed(versions)}
    newest_first = list(dict.fromkeys(version.short_hash for version in versions))
    version = by_hash[choose("Dataset", newest_first, "dataset", lambda short: by_hash[short].label)]
    if len(version.symbols) == 1:
        symbol = version.symbols[0]
    elif version.symbols:
        symbol = st.selectbox("Symbol", version.symbols, key="backtest.symbol")
    else:  # published from Python without a column that names it
        symbol = st.text_input("Symbol", "EURUSD", key="backtest.symbol")
    strategy = _ask_strategy()
    parameters = {parameter.name: _ask_parameter(strategy, parameter) for parameter in strategy.parameters}
    return Request(version, symbol, strategy.name, parameters, *_ask_costs(symbol_of(symbol).quote))


def _ask_costs(quote: str) -> tuple[float, float, float, float]:
    """Cash, spread in pips, commission in per cent, leverage."""
    defaults = current_settings().backtest
    # Not handed to the widgets: Streamlit warns about a default beside a value that `load_settings` put there.
    for name, value in {
        "cash": defaults.cash,
        "leverage": 1.0,
        "spread": defaults.spread_pips,
        "commission": defaults.commission_pct,
    }.items():
        st.session_state.setdefault(f"backtest.{name}", value)
    left, right = st.columns(2, gap="xsmall")
    cash = left.number_input(f"Cash, {quote}", *_LIMITS["cash"], step=1000.0, format="%.0f", key="backtest.cash")
    leverage = right.number_input(
        "Leverage",
        *_LIMITS["leverage"],
        step=1.0,
        format="%.0f",
        key="backtest.leverage",
        help="1 trades with cash only; 30 is 30:1.",
    )
    spread = left.number_input(
        "Spread, pips",
        *_LIMITS["spread"],
        step=0.1,
        format="%.1f",
        key="backtest.spread",
        help="Paid once, at entry.",
    )
    commission = right.number_input(
        "Commission, %",
        *_LIMITS["commission"],
        step=0.001,
        format="%.3f",
        key="backtest.commission",
        help="Of the traded value, at entry and again at exit.",
    )
    return cash, spread, commission, leverage


def load_settings(run: StoredRun) -> str:
    """Put what `run` was made with into the form, before it is drawn; a sentence that says so.

    Raises InputError when the dataset or the strategy is gone, or the form cannot hold a value.
    """
    version = next((each for each in controller.versions() if each.content_hash == run.dataset_hash), None)
    if version is None:
        raise InputError(
            f"The dataset {run.dataset_hash[:8]} that {run.run_id} was made on is no longer there.",
            "Collect it again: equal bars make the same dataset.",
        )
    strategy = _strategy_of(run)
    form: dict[str, Any] = {"dataset": version.short_hash, "strategy": strategy.name}
    if len(version.symbols) > 1:
        form["backtest.symbol"] = run.symbol
    for name, value in strategy.values(run.settings["parameters"]).items():
        form[f"backtest.{strategy.name}.{name}"] = value
    for name, cost in _costs_of(run).items():
        form[f"backtest.{name}"] = cost
    st.session_state.update(form)
    if strategy.version != run.strategy_version:
        return (
            f"The form holds the settings of {run.run_id}. {strategy.title} is at version {strategy.version} now, the "
            f"run was made with version {run.strategy_version}: a new run may give other figures."
        )
    return f"The form holds the settings of {run.run_id}."


def _strategy_of(run: StoredRun) -> Strategy:
    """The strategy a run was made with, as it is now."""
    if run.strategy_version is None:
        raise InputError(
            f"{run.run_id} was made with the class {run.strategy_name}, given from Python; the form offers only "
            "strategies from execution/strategies.",
            "Run it again from Python.",
        )
    found = find_strategies()
    if run.strategy_name not in found.strategies:
        broken = f" ({', '.join(found.broken)} cannot be read)" if found.broken else ""
        raise InputError(
            f"The strategy {run.strategy_name} that {run.run_id} was made with is no longer in "
            f"execution/strategies{broken}.",
            "Put its file back. What the run found stays as it is.",
        )
    return found.strategies[run.strategy_name]


def _costs_of(run: StoredRun) -> dict[str, float]:
    """Cash and costs of a run as the form names them, without the noise of binary fractions."""
    if run.commission is None:
        raise InputError(
            f"The commission of {run.run_id} is {run.settings['commission']}; the form takes a percentage only.",
            "Run it again from Python.",
        )
    costs = {
        "cash": run.cash,
        "leverage": round(1 / run.settings["margin"], 9),
        "spread": float(run.settings["spread_pips"]),
        "commission": round(100 * run.commission, 10),
    }
    for name, value in costs.items():
        low, high = _LIMITS[name]
        if value < low or (high is not None and value > high):
            upto = "or more" if high is None else f"to {high:g}"
            raise InputError(
                f"{run.run_id} was made with {name} {value:g}; the form takes {low:g} {upto}.",
                "Run it again from Python.",
            )
    return costs


def _ask_strategy() -> Strategy:
    found = find_strategies()
    for file, reason in found.broken.items():
        st.warning(verbatim(f"{file} in execution/strategies is broken: {reason}"))
    name = choose("Strategy", list(found.strategies), "strategy", lambda each: found.strategies[each].title)
    strategy = found.strategies[name]
    st.caption(strategy.rule, help=f"Source: {strategy.source}")
    return strategy


def _ask_parameter(strategy: Strategy, parameter: Parameter) -> Value:
    """The widget that fits a parameter's declaration."""
    label = parameter.name.replace("_", " ").capitalize()
    key = f"backtest.{strategy.name}.{parameter.name}"
    st.session_state.setdefault(key, parameter.default)  # see _ask_costs
    if isinstance(parameter.default, bool):
        return st.checkbox(label, key=key, help=parameter.meaning)
    if isinstance(parameter.default, str) and not parameter.choices:
        return st.text_input(label, key=key, help=parameter.meaning)
    if isinstance(parameter.default, str):
        return str(st.selectbox(label, parameter.choices, key=key, help=parameter.meaning))
    whole = isinstance(parameter.default, int)
    kind = int if whole else float
    return st.number_input(
        label,
        None if parameter.low is None else kind(parameter.low),
        None if parameter.high is None else kind(parameter.high),
        step=kind(parameter.step),
        key=key,
        help=f"{parameter.meaning}; {parameter.low:g} to {parameter.high:g}.",
    )
