"""The form of the Backtesting page: dataset, strategy, its parameters and the costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from components.numbers import stamp
from components.panels.choice import choose, choose_next
from components.panels.costs import Terms, ask_terms, conversions_for, terms_of
from components.panels.jobs import run_as_job
from components.panels.page import do_once
from components.panels.parameters import ask_parameter
from components.panels.remarks import tell_outcome
from components.panels.words import verbatim
from core.errors import InputError
from core.jobs import Job
from core.parameters import Value
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution.backtest_manager import manager
from execution.jobs import backtest_arguments, backtest_title
from execution.registry import find_strategies
from execution.runs import StoredRun
from execution.strategy import Parameter, Strategy
from market.symbols import symbol_of
from workbench import JOBS

# What takes longer than a page should is a job.
_MOST_BARS = 200_000


@dataclass(frozen=True)
class Request:
    """A filled-in form."""

    version: DatasetVersion
    symbol: str
    strategy_name: str
    parameters: dict[str, Value]
    terms: Terms
    conversions: Mapping[str, DatasetVersion]

    def arguments(self) -> dict[str, Any]:
        """What `manager.run_backtest` takes besides the data."""
        return {
            "symbol": self.symbol,
            "strategy_name": self.strategy_name,
            "parameters": self.parameters,
            "cash": self.terms.cash,
            "spread_pips": self.terms.spread_pips,
            # 0.07 / 100 is not 0.0007: a run from Python and the same one from here must be equal.
            "commission": round(self.terms.commission_pct / 100, 12),
            "margin": 1 / self.terms.leverage,
            "costs": self.terms.extras,
            "conversions": self.conversions,
        }

    @property
    def is_long(self) -> bool:
        """Whether it is for a job."""
        return self.version.rows > _MOST_BARS

    def submit(self) -> Job:
        """Queue it."""
        arguments = backtest_arguments(data=self.version, **self.arguments())
        return JOBS.submit("backtest", "backtest", arguments, backtest_title(arguments))


def ask_request(versions: Sequence[DatasetVersion]) -> Request:
    """Dataset, strategy, its parameters (widgets made from its own declaration) and costs."""
    version, symbol = ask_data(versions)
    strategy = ask_strategy()
    parameters = ask_values(strategy, strategy.parameters)
    terms = ask_terms(symbol_of(symbol), version)
    account = terms.extras.account_currency if terms.extras else ""
    conversions = conversions_for(symbol_of(symbol), account, versions, version)
    return Request(version, symbol, strategy.name, parameters, terms, conversions)


def show_run_button(request: Request) -> None:
    """The main action: at once, or as a job where that would take longer than a page should."""
    icon = ":material/play_arrow:"
    if request.is_long:
        run_as_job("Run backtest", "backtest.run", request.submit, _open_run, icon=icon)
    else:
        do_once(st.container(), "Run backtest", "backtest.run", partial(_run, request), icon=icon)


def _run(request: Request) -> None:
    """Run, store, and open what was stored; what was run before is answered from the store."""
    with st.spinner(f"Running {request.strategy_name} on {request.version.label}"):
        known = manager.stored(request.version, **request.arguments())
        if known:
            tell_outcome("backtest", f"{known.run_id} is the same run, made {stamp(known.created_at)}: it is shown.")
        run = known or manager.save_result(result=manager.run_backtest(request.version, **request.arguments()))
        _open_run({"run": run.run_id})


def _open_run(made: dict[str, Any]) -> None:
    choose_next("run", made["run"])


def ask_data(versions: Sequence[DatasetVersion]) -> tuple[DatasetVersion, str]:
    """A dataset version, kept in the URL, and one of its symbols."""
    by_hash = {version.short_hash: version for version in reversed(versions)}
    newest_first = list(dict.fromkeys(version.short_hash for version in versions))
    version = by_hash[choose("Dataset", newest_first, "dataset", lambda short: by_hash[short].label)]
    if len(version.symbols) == 1:
        return version, version.symbols[0]
    if version.symbols:
        return version, st.selectbox("Symbol", version.symbols, key="backtest.symbol")
    # Published from Python without a column that names it.
    return version, st.text_input("Symbol", "EURUSD", key="backtest.symbol")


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
    st.session_state.update(form | terms_of(run))
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


def ask_strategy() -> Strategy:
    """One of the strategies in the folder, kept in the URL; broken files are told by name."""
    found = find_strategies()
    for file, reason in found.broken.items():
        st.warning(verbatim(f"{file} in execution/strategies is broken: {reason}"))
    name = choose("Strategy", list(found.strategies), "strategy", lambda each: found.strategies[each].title)
    strategy = found.strategies[name]
    st.caption(strategy.rule, help=f"Source: {strategy.source}")
    return strategy


def ask_values(strategy: Strategy, parameters: Sequence[Parameter]) -> dict[str, Value]:
    """The values of some parameters of a strategy, each asked by the widget that fits its declaration."""
    return {
        each.name: ask_parameter(f"backtest.{strategy.name}.{each.name}", each, step=each.step) for each in parameters
    }
