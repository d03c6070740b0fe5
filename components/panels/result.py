"""One stored run on the Backtesting page: figures, curves, trades, statistics.

Whatever a run's size, a chart is drawn with about `display.chart_points` points and the trades come by page:
the thinned lines are kept for an hour, because a stored run and a dataset version never change.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.charts.detail import stretch, thin_line, thin_trades
from components.charts.equity import equity_figure
from components.charts.price import price_figure
from components.numbers import DASH, number, percent, ratio, stamp
from components.panels.chart import (
    BOX_HINT,
    Box,
    Drawn,
    ask_span,
    drawn_bars,
    drawn_of,
    drawn_words,
    held_box,
    show_figure,
    show_way_back,
)
from components.panels.failure import failures_shown, reason
from components.panels.kept import BY_CONTENT
from components.panels.page import card, metric, metric_row
from components.panels.table import Format, csv_button, show_table
from components.panels.words import verbatim
from core.errors import SequenceError
from core.settings import current_settings, output_folder
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution.backtest_manager import manager
from execution.ledger import Trials, deflated_equity, trials_on
from execution.metrics import ENOUGH_TRADES, METRICS, Metric, drawdown
from execution.runs import StoredRun
from execution.significance import Significance
from market.bars import PRICES
from market.symbols import Symbol, symbol_of
from market.timeframes import parse_timeframe
from workbench import LIVE

TRADES_A_PAGE = 200
_DEFLATED = (
    "The probability that the true Sharpe ratio is above what the best of all variants tried on this data would show "
    "by luck. Source: D. H. Bailey and M. López de Prado, The Deflated Sharpe Ratio, 2014."
)


def offer_deployment(run: StoredRun) -> None:
    """The way to the page Live with its form filled; a class given from Python cannot be made again elsewhere."""
    if st.button(
        "Deploy on demo…",
        key="backtest.deploy",
        icon=LIVE.icon,
        disabled=run.strategy_version is None,
        help="Puts this strategy to work on the live bars of a terminal; the form opens first.",
    ):
        st.switch_page(LIVE.file, query_params={"deploy": "run", "run": run.run_id})


def show_metrics(run: StoredRun) -> None:
    """What was asked, and the answer in six figures."""
    parameters = ", ".join(f"{name} {value}" for name, value in run.settings["parameters"].items())
    st.caption(
        verbatim(
            f"{run.symbol} {run.timeframe}, {number(run.bars)} bars, {stamp(run.first_time)[:10]} to "
            f"{stamp(run.last_time)[:10]} · dataset {run.dataset_hash[:8]} · {parameters or 'no parameters'} · "
            f"spread {run.settings['spread_pips']:g} pips · commission {_commission(run)} · "
            f"leverage {1 / run.settings['margin']:g}{_broker_words(run)}"
        )
    )
    figures, row = run.metrics, metric_row()
    metric(
        row,
        f"Net, {run.currency}",
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
        f"Per trade, {run.currency}",
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
    _show_deflated(row, run)


def _show_deflated(row: DeltaGenerator, run: StoredRun) -> None:
    """How far the Sharpe ratio stands out from luck, after all that was tried on the same data."""
    trials = trials_on(run.dataset_hash)
    words = f"variant {number(max(1, trials.count))}"
    try:
        found = _significance(str(output_folder()), run, trials)
    except SequenceError as error:  # told beside the curve
        metric(row, "Beyond luck", DASH, words, verbatim(reason(error)))
        return
    value = DASH if math.isnan(found.deflated) else f"{number(100 * found.deflated, 1)} %"
    metric(row, "Beyond luck", value, words, verbatim(f"{found.sentence()} {_DEFLATED}"))


@st.cache_data(
    ttl=3600,
    max_entries=64,
    show_spinner=False,
    hash_funcs={**BY_CONTENT, Trials: lambda trials: (trials.count, trials.sharpe_variance)},
)
def _significance(home: str, run: StoredRun, trials: Trials) -> Significance:
    return deflated_equity(run.equity(), symbol_of(run.symbol).asset_class, trials)


def show_equity(run: StoredRun) -> None:
    """Equity against holding the symbol, drawdown below."""
    points = current_settings().display.chart_points
    box = held_box("backtest.equity", run.run_id)
    lines = _equity_lines(str(output_folder()), run, points, box)
    drawn = f"drawn {number(len(lines['equity']))} of {number(run.bars)} points, extremes kept"
    with card("Equity and drawdown", f"{drawn} · UTC · {BOX_HINT}"):
        if box:
            show_way_back("backtest.equity", "All")
        try:
            held = _held_line(str(output_folder()), run, version_of(run), points, box)
        except SequenceError as error:
            held = None
            st.warning(verbatim(f"Buy and hold is not drawn. {reason(error)}"))
        figure = equity_figure(
            lines["equity"],
            lines["drawdown"],
            name=run.run_id,
            currency=run.currency,
            points=points,
            benchmark=held,
        )
        show_figure(figure, "backtest.equity", f"equity_{run.run_id}", of=run.run_id)
        csv_button("Equity as CSV", lambda: _equity_table(run), f"equity_{run.run_id}.csv", key="backtest.equity.csv")
        for note in run.notes:
            st.caption(verbatim(note))


@st.cache_data(
    ttl=3600,
    max_entries=16,
    show_spinner="Reading the equity curve",
    hash_funcs=BY_CONTENT,
)
def _equity_lines(home: str, run: StoredRun, points: int, box: Box | None) -> dict[str, pd.Series]:
    """The lines of the equity chart, thinned: a stored run never changes. `home` tells workbenches apart."""
    equity = run.equity()
    whole = {"equity": equity, "drawdown": drawdown(equity)}
    return {name: thin_line(_inside(line, box), points) for name, line in whole.items()}


@st.cache_data(
    ttl=3600,
    max_entries=16,
    show_spinner="Reading the bars",
    hash_funcs=BY_CONTENT,
)
def _held_line(home: str, run: StoredRun, version: DatasetVersion, points: int, box: Box | None) -> pd.Series:
    """What the cash would have become in the symbol itself, without leverage; thinned, and kept like the equity."""
    closes = version.bars(run.symbol, columns=["close"])["close"]
    return thin_line(_inside(run.cash * closes / closes.iloc[0], box), points)


def _inside(line: pd.Series, box: Box | None) -> pd.Series:
    return line if box is None else line.iloc[stretch(pd.DatetimeIndex(line.index), *box)]


def _equity_table(run: StoredRun) -> pd.DataFrame:
    equity = run.equity()
    return equity.to_frame("equity").assign(drawdown_pct=100 * drawdown(equity))


def show_trades(run: StoredRun) -> None:
    """Trades on the price, and the list of them by page; the chosen one is shown in the chart."""
    instrument = symbol_of(run.symbol)
    if not run.trades_count:
        with card("Trades"):
            st.markdown("This run made no trade, so there is nothing to list.")
        return
    chart = st.container()
    with card("Trades", f"{number(run.trades_count)} · newest first · select one to see it · times UTC"):
        skip = _ask_page(run.trades_count)
        newest_first = manager.newest_trades(run, TRADES_A_PAGE, skip)
        selected = show_table(
            _trade_table(newest_first, run.currency, run.trades_count - skip),
            key=f"backtest.trades.{run.run_id}.{skip}",
            formats=_trade_formats(instrument, run.currency),
            signed=[f"Net, {run.currency}", "Pips"],
            select="one",
        )
        csv_button("Trades as CSV", lambda: manager.trades(run), f"trades_{run.run_id}.csv", key="backtest.trades.csv")
    with chart:
        _show_price(run, newest_first.iloc[selected[0]] if selected else None, instrument)


def _ask_page(count: int) -> int:
    """Which page of the list; how many rows to skip."""
    pages = -(-count // TRADES_A_PAGE)
    if pages < 2:
        return 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        page = st.number_input("Page", 1, pages, key="backtest.trades.page", width=140)
        st.caption(f"of {number(pages)}, {TRADES_A_PAGE} trades each")
    return (page - 1) * TRADES_A_PAGE


def _show_price(run: StoredRun, trade: pd.Series | None, instrument: Symbol) -> None:
    points = current_settings().display.chart_points
    of = run.run_id if trade is None else f"{run.run_id} {trade['entry_time']}"
    with card("Trades on price", f"{run.symbol} {run.timeframe} · UTC · {BOX_HINT}"), failures_shown():
        row = st.container(horizontal=True, vertical_alignment="center")
        with row:
            span = ask_span("backtest.price", of, "3M", "" if trade is None else "the trade")
        version = version_of(run)
        if trade is None or span.box:
            drawn, words = drawn_bars(str(output_folder()), version, run.symbol, span, points), ""
        else:
            drawn = _around(version, run.symbol, trade, points)
            words = f", around the {trade['side']} trade of {stamp(trade['entry_time'].to_pydatetime())}"
        trades = manager.trades(run, since=drawn.candles.index[0], until=drawn.candles.index[-1])
        marked = thin_trades(trades, points // 3)
        row.caption(
            f"{drawn_words(drawn.bars, run.bars, points)}, {number(len(marked))} of {number(len(trades))} trades{words}"
        )
        figure = price_figure(
            drawn.candles, digits=instrument.digits, points=points, trades=marked, closed=drawn.closed
        )
        show_figure(figure, "backtest.price", f"trades_{run.run_id}", of)


def _around(version: DatasetVersion, symbol: str, trade: pd.Series, points: int) -> Drawn:
    """The bars of one trade with as many before and after, at least forty."""
    margin = max(40, int(trade["exit_bar"] - trade["entry_bar"]))
    # Twice the time that so many bars take, for weekends.
    before = parse_timeframe(version.timeframe).delta * (2 * margin) + pd.Timedelta(days=4)
    bars = version.bars(symbol, since=trade["entry_time"] - before, columns=PRICES)
    entry, end = bars.index.get_indexer(pd.DatetimeIndex([trade["entry_time"], trade["exit_time"]]))
    return drawn_of(bars.iloc[max(0, entry - margin) : end + margin], points)


def _trade_table(trades: pd.DataFrame, currency: str, newest: int) -> pd.DataFrame:
    table = {
        "#": range(newest, newest - len(trades), -1),
        "Entry, UTC": [stamp(moment.to_pydatetime()) for moment in trades["entry_time"]],
        "Exit, UTC": [stamp(moment.to_pydatetime()) for moment in trades["exit_time"]],
        "Side": trades["side"],
        f"Net, {currency}": trades["pnl"],
        "Pips": trades["pips"],
        "Units": trades["size"].abs(),
        "Price in": trades["entry_price"],
        "Price out": trades["exit_price"],
        f"Commission, {currency}": trades["commission"],
        f"Swap, {currency}": trades["swap"],
        "Exit by": trades["exit_reason"],
    }
    if not trades["swap"].any():
        del table[f"Swap, {currency}"]
    return pd.DataFrame(table)


def _trade_formats(instrument: Symbol, currency: str) -> dict[str, Format]:
    def price(value: float) -> str:
        return f"{value:.{instrument.digits}f}"

    return {
        f"Net, {currency}": lambda value: number(value, 2, sign=True),
        "Pips": lambda value: number(value, 1, sign=True),
        "Units": number,
        "Price in": price,
        "Price out": price,
        f"Commission, {currency}": lambda value: number(value, 2),
        f"Swap, {currency}": lambda value: number(value, 2, sign=True),
    }


def show_statistics(run: StoredRun) -> None:
    """Every figure with its unit, formula and source; the library's own beside ours."""
    ours = pd.DataFrame(
        [
            (
                each.title,
                _value(run, name),
                run.currency if each.unit == "money" else each.unit,
                each.formula,
                each.source,
            )
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
    """The dataset version the run was made on, by its content: ids begin anew when a database is set aside."""
    return controller.version(run.dataset_hash)


def _tip(name: str) -> str:
    each = METRICS[name]
    source = "" if each.source == "definition" else f" Source: {each.source}."
    return f"{each.title}: {each.formula}.{source}"


def _ratio(run: StoredRun, name: str) -> str:
    return ratio(run.metrics.get(name), run.trades_count, ENOUGH_TRADES)


def _value(run: StoredRun, name: str) -> str:
    each, value = METRICS[name], run.metrics.get(name)
    if each.is_ratio:
        return _ratio(run, name)
    if each.unit in {"trades", "days"}:
        return number(value)
    return number(value, 2, sign=name in {"total_return", "net_profit", "cagr_pct", "expectancy", "average_pips"})


def _broker_words(run: StoredRun) -> str:
    """What a broker added, after the other terms."""
    extras = run.settings.get("costs") or {}
    return "".join(f" · {name.replace('_', ' ')} {value}" for name, value in extras.items())


def _unit(run: StoredRun, figure: Metric) -> str:
    return run.currency if figure.unit == "money" else figure.unit


def _figures(run: StoredRun) -> pd.DataFrame:
    """All figures unrounded, for a spreadsheet."""
    return pd.DataFrame(
        [(name, METRICS[name].title, run.metrics.get(name), METRICS[name].unit) for name in METRICS]
        + [(name, name, value, "") for name, value in run.lib_metrics.items()],
        columns=["name", "statistic", "value", "unit"],
    )


def _plain_value(value: Any) -> str:
    if value is None:
        return DASH
    return number(value, 3) if isinstance(value, (int, float)) else str(value)


def _commission(run: StoredRun) -> str:
    return DASH if run.commission is None else percent(100 * run.commission)
