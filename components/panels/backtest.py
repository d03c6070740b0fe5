"""The cards of the Backtesting page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.equity import equity_figure
from components.charts.price import price_figure
from components.numbers import DASH, number, percent, ratio, stamp
from components.panels.chart import drawn_words, range_choice, show_figure, within
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import card, metric, metric_row
from components.panels.table import Format, csv_button, show_table
from components.panels.words import verbatim
from core.errors import InputError
from core.settings import current_settings
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution.metrics import ENOUGH_TRADES, METRICS, drawdown
from execution.registry import find_strategies
from execution.runs import StoredRun
from execution.strategy import Parameter, Strategy, Value
from market.symbols import Symbol, symbol_of

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


def show_metrics(run: StoredRun) -> None:
    """What was asked, and the answer in six figures."""
    instrument = symbol_of(run.symbol)
    parameters = ", ".join(f"{name} {value}" for name, value in run.settings["parameters"].items())
    st.caption(
        verbatim(
            f"{run.symbol} {run.timeframe}, {number(run.bars)} bars, {stamp(run.first_time)[:10]} to "
            f"{stamp(run.last_time)[:10]} · dataset {run.dataset_hash[:8]} · {parameters or 'no parameters'} · "
            f"spread {run.settings['spread_pips']:g} pips · commission {_commission(run)} · "
            f"leverage {1 / run.settings['margin']:g}"
        )
    )
    figures, row = run.metrics, metric_row()
    metric(
        row,
        f"Net result, {instrument.quote}",
        number(figures["net_profit"], 2, sign=True),
        percent(run.total_return, sign=True),
        _tip("total_return"),
    )
    metric(row, "Sharpe", _ratio(run, "sharpe_ratio"), "daily, per year", _tip("sharpe_ratio"))
    metric(
        row,
        "Drawdown",
        percent(run.max_drawdown, sign=True),
        f"{number(figures['max_drawdown_days'])} days under",
        f"{_tip('max_drawdown')} Longest under water: {METRICS['max_drawdown_days'].formula}.",
    )
    metric(
        row,
        f"Per trade, {instrument.quote}",
        number(figures["expectancy"], 2, sign=True),
        f"n = {number(run.trades_count)} trades",
        _tip("expectancy"),
    )
    metric(
        row,
        "Profit factor",
        _ratio(run, "profit_factor"),
        f"{percent(run.win_rate)} won" if run.trades_count else "no trade",
        _tip("profit_factor"),
    )
    metric(row, "Time in market", percent(figures["exposure_pct"]), f"{number(run.bars)} bars", _tip("exposure_pct"))


def show_equity(run: StoredRun, equity: pd.Series) -> None:
    """Equity against holding the symbol, drawdown below."""
    points = current_settings().display.chart_points
    drawn = min(len(equity), points)
    with card("Equity and drawdown", f"drawn {number(drawn)} of {number(len(equity))} points, extremes kept · UTC"):
        with failures_shown():
            closes = bars_of_run(run)["close"]
            figure = equity_figure(
                equity,
                drawdown(equity),
                name=run.run_id,
                currency=symbol_of(run.symbol).quote,
                points=points,
                benchmark=run.cash * closes / closes.iloc[0],
            )
            show_figure(figure, "backtest.equity", f"equity_{run.run_id}")
        table = equity.to_frame("equity").assign(drawdown_pct=100 * drawdown(equity))
        csv_button("Equity as CSV", lambda: table, f"equity_{run.run_id}.csv", key="backtest.equity.csv")
        for note in run.notes:
            st.caption(verbatim(note))


def show_trades(run: StoredRun, trades: pd.DataFrame) -> None:
    """Trades on the price, and the list of them; the chosen one is shown in the chart."""
    instrument = symbol_of(run.symbol)
    if trades.empty:
        with card("Trades"):
            st.markdown("This run made no trade, so there is nothing to list.")
        return
    with st.container(gap="xsmall"):
        chart = st.container()
        newest_first = trades.iloc[::-1].reset_index(drop=True)
        with card("Trades", f"{number(len(trades))} · newest first · select one to see it · times UTC"):
            shown = _trade_table(newest_first, instrument)
            selected = show_table(
                shown,
                key="backtest.trades",
                formats=_trade_formats(instrument),
                signed=[f"Net, {instrument.quote}", "Pips"],
                selectable=True,
            )
            csv_button("Trades as CSV", lambda: trades, f"trades_{run.run_id}.csv", key="backtest.trades.csv")
        with chart:
            _show_price(run, trades, None if selected is None else newest_first.iloc[selected], instrument)


def _show_price(run: StoredRun, trades: pd.DataFrame, trade: pd.Series | None, instrument: Symbol) -> None:
    bars = bars_of_run(run)
    points = current_settings().display.chart_points
    with card("Trades on price", f"{run.symbol} {run.timeframe} · UTC"):
        row = st.container(horizontal=True, vertical_alignment="center")
        with row:
            choice = range_choice("range", default="3M")
        if trade is None:
            shown, words = within(bars, choice), ""
        else:
            margin = max(40, int(trade["exit_bar"] - trade["entry_bar"]))
            shown = bars.iloc[max(0, trade["entry_bar"] - margin) : trade["exit_bar"] + margin]
            words = f", around the {trade['side']} trade of {stamp(trade['entry_time'].to_pydatetime())}"
        row.caption(f"{drawn_words(len(shown), len(bars), points)}{words}")
        figure = price_figure(shown, digits=instrument.digits, points=points, trades=trades)
        show_figure(figure, "backtest.price", f"trades_{run.run_id}")


def _trade_table(trades: pd.DataFrame, instrument: Symbol) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "#": range(len(trades), 0, -1),
            "Entry, UTC": [stamp(moment.to_pydatetime()) for moment in trades["entry_time"]],
            "Exit, UTC": [stamp(moment.to_pydatetime()) for moment in trades["exit_time"]],
            "Side": trades["side"],
            f"Net, {instrument.quote}": trades["pnl"],
            "Pips": trades["pips"],
            "Units": trades["size"].abs(),
            "Price in": trades["entry_price"],
            "Price out": trades["exit_price"],
            f"Commission, {instrument.quote}": trades["commission"],
            "Exit by": trades["exit_reason"],
        }
    )


def _trade_formats(instrument: Symbol) -> dict[str, Format]:
    def price(value: float) -> str:
        return f"{value:.{instrument.digits}f}"

    return {
        f"Net, {instrument.quote}": lambda value: number(value, 2, sign=True),
        "Pips": lambda value: number(value, 1, sign=True),
        "Units": number,
        "Price in": price,
        "Price out": price,
        f"Commission, {instrument.quote}": lambda value: number(value, 2),
    }


def show_statistics(run: StoredRun) -> None:
    """Every figure with its unit, formula and source; the library's own beside ours."""
    quote = symbol_of(run.symbol).quote
    ours = pd.DataFrame(
        [
            (each.title, _value(run, name), quote if each.unit == "money" else each.unit, each.formula, each.source)
            for name, each in METRICS.items()
        ],
        columns=["Statistic", "Value", "Unit", "Formula", "Source"],
    )
    with card("Statistics", "daily figures on trading days that end 17:00 New York, risk-free rate 0"):
        show_table(
            ours,
            key="backtest.statistics",
            right=["Value"],
            widths={"Statistic": 200, "Value": 100, "Unit": 80, "Formula": 480, "Source": 300},
            rows=len(ours),
        )
        csv_button("Statistics as CSV", lambda: _figures(run), f"statistics_{run.run_id}.csv", "backtest.stats.csv")
        with st.expander("The same as backtesting.py computes them"):
            st.caption("It counts calendar days in UTC, about 312 a year for FX, and annualises them with 252.")
            library = pd.DataFrame(
                [(name, _plain_value(value)) for name, value in run.lib_metrics.items()], columns=["Statistic", "Value"]
            )
            show_table(library, key="backtest.library", right=["Value"], widths={"Statistic": 300}, rows=len(library))


def version_of(run: StoredRun) -> DatasetVersion:
    """The dataset version the run was made on."""
    return controller.version(run.dataset_version_id)


def bars_of_run(run: StoredRun) -> pd.DataFrame:
    """The very bars the run was made on."""
    return version_of(run).bars(run.symbol)


def _tip(name: str) -> str:
    each = METRICS[name]
    source = "" if each.source == "definition" else f" Source: {each.source}."
    return f"{each.title}: {each.formula}.{source}"


def _ratio(run: StoredRun, name: str) -> str:
    return ratio(run.metrics[name] if name != "profit_factor" else run.profit_factor, run.trades_count, ENOUGH_TRADES)


def _value(run: StoredRun, name: str) -> str:
    each, value = METRICS[name], run.metrics[name]
    if each.is_ratio:
        return _ratio(run, name)
    if each.unit in {"trades", "days"}:
        return number(value)
    return number(value, 2, sign=name in {"total_return", "net_profit", "cagr_pct", "expectancy", "average_pips"})


def _figures(run: StoredRun) -> pd.DataFrame:
    """All figures unrounded, for a spreadsheet."""
    return pd.DataFrame(
        [(name, METRICS[name].title, run.metrics[name], METRICS[name].unit) for name in METRICS]
        + [(name, name, value, "") for name, value in run.lib_metrics.items()],
        columns=["name", "statistic", "value", "unit"],
    )


def _plain_value(value: Any) -> str:
    if value is None:
        return DASH
    return number(value, 3) if isinstance(value, (int, float)) else str(value)


def _commission(run: StoredRun) -> str:
    return DASH if run.commission is None else percent(100 * run.commission)
