"""What can be deployed: a stored run, a champion model, or the scanner's setups, each asked for by its own fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st

from components.numbers import number, stamp
from components.panels.choice import choose
from components.panels.defaults import keep_defaults
from components.panels.parameters import ask_parameter
from components.panels.words import verbatim
from core.parameters import Value
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.live.terms import Sizing
from execution.registry import strategy_named
from execution.runs import StoredRun
from market.symbols import canonical_symbol
from market.timeframes import Timeframe
from mql5.bridge.ticks import TickStore
from train.registry import ModelVersion, Stage, list_models
from workbench import BACKTESTING, SCANNER, TRAINING

# In the address, `deploy` names one of the three; `run`, `model` or `symbol` and `tf` name the thing.
RUN, MODEL, SETUPS = "run", "model", "setups"
TITLES = {RUN: "A stored run", MODEL: "A champion model", SETUPS: "The scanner's setups"}
_SETUP_STRATEGY = "SMC_Confluence"
_GIVEN = {("Predictions", "column")}  # a live model's own column
_KEY = "live.deploy"
_OFFERED = 200  # runs, the newest


@dataclass(frozen=True)
class Origin:
    """What is to be put to work: `words` for the sentence, `deploy` for the door's call."""

    kind: str
    reference: str
    symbol: str
    timeframe: str
    strategy_name: str
    words: str
    parameters: Mapping[str, Value] | None = None
    sizing: Sizing | None = None


def _ask_run() -> Origin | None:
    runs = [run for run in manager.runs(limit=_OFFERED) if run.strategy_version is not None]
    if not runs:
        st.markdown("No run of a strategy is stored. Backtest one first; what it traded is what is held against it.")
        st.page_link(BACKTESTING.file, label="Run a backtest", icon=BACKTESTING.icon)
        return None
    by_id = {run.run_id: run for run in runs}
    run = by_id[choose("Run", list(by_id), RUN, lambda key: f"{key} · {stamp(by_id[key].created_at)}")]
    st.caption(verbatim(_run_words(run)))
    return Origin(
        RUN,
        run.run_id,
        run.symbol,
        run.timeframe,
        run.strategy_name,
        f"as in the run {run.run_id}",
        sizing=_sizing_of(run),
    )


def _sizing_of(run: StoredRun) -> Sizing | None:
    """The rule of a run that was sized in lots or by risk, None for one of all its cash."""
    costs = run.run_settings.costs
    if costs is None or (costs.lots is None and costs.risk_fraction is None):
        return None
    return Sizing(lots=costs.lots, risk_fraction=costs.risk_fraction, stop_pips=costs.stop_pips)


def _run_words(run: StoredRun) -> str:
    values = ", ".join(f"{name} {value}" for name, value in run.settings["parameters"].items())
    return f"{run.strategy_name}, {run.symbol} {run.timeframe} · {values or 'no parameters'}"


def _ask_model() -> Origin | None:
    models = list_models(stage=Stage.CHAMPION)
    if not models:
        st.markdown("No model is champion yet. Train one and promote it on the Training Hub.")
        st.page_link(TRAINING.file, label="Open the Training Hub", icon=TRAINING.icon)
        return None
    by_id = {str(model.id): model for model in models}
    model = by_id[choose("Model", list(by_id), MODEL, lambda key: by_id[key].label)]
    _warn_of_age(model)
    parameters = _ask_values("Predictions")
    return Origin(MODEL, str(model.id), model.symbol, model.timeframe, "Predictions", f"by {model.label}", parameters)


def _warn_of_age(model: ModelVersion) -> None:
    if model.is_expired:
        st.warning(f"It was trained {number(model.age_days)} days ago and is too old to be asked: it will not trade.")
    else:
        st.caption(f"Trained {number(model.age_days)} days ago; a model that grows too old stops trading by itself.")


def _ask_setups() -> Origin | None:
    one, other = st.columns(2, gap="xsmall")
    with one:
        symbols = _known_symbols()
        if not symbols:
            st.markdown("No terminal streams yet, and nothing was collected.")
            st.page_link(SCANNER.file, label="Open the Scanner", icon=SCANNER.icon)
            return None
        symbol = choose("Symbol", symbols, "symbol", str)
    with other:
        if "tf" not in st.query_params:
            keep_defaults({"tf": str(Timeframe.H1)})
        timeframe = choose("Timeframe", [str(each) for each in Timeframe], "tf", str)
    parameters = _ask_values(_SETUP_STRATEGY)
    words = "on the scanner's setups, with their stops and targets"
    # A setup brings its stop.
    return Origin(SETUPS, symbol, symbol, timeframe, _SETUP_STRATEGY, words, parameters, Sizing())


def _known_symbols() -> list[str]:
    """What terminals stream, then what is in datasets, and what a link names."""
    asked = [canonical_symbol(text) for text in [st.query_params.get("symbol", "")] if text]
    stored = {symbol for version in controller.versions() for symbol in version.symbols}
    return list(dict.fromkeys([*asked, *TickStore().symbols(), *sorted(stored)]))


def _ask_values(strategy_name: str) -> dict[str, Value]:
    """The parameters of a strategy, folded: their defaults are what the scanner or the model was judged with."""
    strategy = strategy_named(strategy_name)
    with st.expander("Parameters"):
        return {
            each.name: ask_parameter(f"{_KEY}.{strategy_name}.{each.name}", each, step=each.step)
            for each in strategy.parameters
            if (strategy_name, each.name) not in _GIVEN
        }


ORIGINS: dict[str, Callable[[], Origin | None]] = {RUN: _ask_run, MODEL: _ask_model, SETUPS: _ask_setups}
