"""Stored runs held against each other: curves, statistics, settings that differ, days alike, trade by trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.comparison import correlation_figure, equities_figure
from components.numbers import DASH, number, stamp
from components.panels.chart import show_still
from components.panels.defaults import keep_defaults
from components.panels.kept import BY_CONTENT
from components.panels.page import card, columns
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.settings import current_settings, output_folder
from execution.backtest_manager import manager
from execution.comparison import (
    common_returns,
    correlation,
    differing_settings,
    rebased_equity,
    run_settings,
    side_by_side,
)
from execution.runs import StoredRun
from execution.trade_match import TradeMatch, match_trades
from market.symbols import symbol_of
from market.timeframes import parse_timeframe

MOST = 6
# The statistics of the table, what matters first; the CSV holds all.
_SHOWN = (
    "net_profit",
    "total_return",
    "cagr_pct",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "volatility_pct",
    "profit_factor",
    "win_rate",
    "expectancy",
    "average_pips",
    "trades_count",
    "exposure_pct",
)
_REASONS = {
    "missing": "only in A",
    "extra": "only in B",
    "time": "entered at another time",
    "size": "of another size",
    "price": "at another price",
    "exit": "ended otherwise",
    "pnl": "with another profit",
}


def ask_runs(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The runs to compare, two at first, kept in the URL."""
    by_id = {run.run_id: run for run in runs}
    asked = [each for each in st.query_params.get_all("runs") if each in by_id]
    keep_defaults({"compare.runs": asked or list(by_id)[:2]})
    there = [each for each in st.session_state["compare.runs"] if each in by_id]
    # A run that was deleted meanwhile is no choice; written anew each time it would take back a choice just made.
    if there != st.session_state["compare.runs"]:
        st.session_state["compare.runs"] = there
    chosen = st.multiselect(
        "Runs", list(by_id), key="compare.runs", max_selections=MOST, placeholder="Choose two or more runs"
    )
    st.query_params["runs"] = chosen
    return [by_id[each] for each in chosen]


def _labels(runs: Sequence[StoredRun]) -> list[str]:
    """The runs' names, without symbol and timeframe where all have the same and stay told apart."""
    names = [run.run_id.replace(f"_{run.symbol}_{run.timeframe}", "") for run in runs]
    is_plain = len({(run.symbol, run.timeframe) for run in runs}) == 1 and len(set(names)) == len(runs)
    return names if is_plain else [run.run_id for run in runs]


@st.cache_data(ttl=3600, max_entries=16, show_spinner="Reading the equity curves", hash_funcs=BY_CONTENT)
def _curves(home: str, runs: tuple[StoredRun, ...]) -> dict[str, pd.DataFrame]:
    """The curves on their common time, and the correlation of their days; stored runs never change."""
    labels = _labels(runs)
    curves = {label: run.equity() for label, run in zip(labels, runs, strict=True)}
    classes = {label: symbol_of(run.symbol).asset_class for label, run in zip(labels, runs, strict=True)}
    returns = common_returns(curves, classes)
    return {"equity": rebased_equity(curves), "correlation": correlation(returns), "returns": returns}


@st.cache_data(ttl=3600, max_entries=16, show_spinner="Matching the trades", hash_funcs=BY_CONTENT)
def _matched(home: str, one: StoredRun, other: StoredRun) -> TradeMatch:
    pip = symbol_of(one.symbol).pip
    bar = max(parse_timeframe(each.timeframe).delta for each in (one, other))
    return match_trades(
        manager.trades(one),
        manager.trades(other),
        time_tolerance=pd.Timedelta(0),
        price_tolerance=pip / 1000,
        size_tolerance=1e-9,
        window=max(24 * bar, pd.Timedelta(hours=24)),
    )


def show_curves(runs: Sequence[StoredRun]) -> None:
    """Equity on common dates, each 100 at the beginning."""
    found = _curves(str(output_folder()), tuple(runs))["equity"]
    words = f"{stamp(found.index[0].to_pydatetime())[:10]} to {stamp(found.index[-1].to_pydatetime())[:10]}"
    with card("Equity", f"common dates, {words} · each 100 at the beginning · UTC"):
        show_still(
            equities_figure(found, points=current_settings().display.chart_points, height=400),
            "compare.equity",
            "equity",
        )
        csv_button("Curves as CSV", lambda: found, "compared_equity.csv", key="compare.equity.csv")


def show_statistics(runs: Sequence[StoredRun]) -> None:
    """Statistics side by side; the better of each row is green."""
    names = _labels(runs)
    by_name = dict(zip(names, runs, strict=True))
    table = side_by_side({name: {**run.metrics, "trades_count": run.trades_count} for name, run in by_name.items()})
    currencies = {run.currency for run in runs}
    money = currencies.pop() if len(currencies) == 1 else "own currency"
    rows: list[dict[str, str]] = []
    better: list[tuple[str, ...]] = []
    for name in _SHOWN:
        row: Any = table.loc[name]
        unit = money if row["unit"] == "money" else row["unit"]
        cells = {
            label: f"n = {number(run.trades_count)}"
            if label in row["shown_as_count"]
            else number(row[label], 0 if unit in {"trades", "days"} else 2)
            for label, run in by_name.items()
        }
        words = f"{row['title']}, {unit}" if unit not in {"", "trades"} else str(row["title"])
        rows.append({"Statistic": words, **cells})
        better.append(row["better"])
    shown = pd.DataFrame(rows)
    with card("Statistics", "green: the better · a ratio of fewer than 30 trades shows their count"):
        _show_marked(shown, better, names)
        everything = table.drop(columns=["better", "shown_as_count"])
        csv_button("Statistics as CSV", lambda: everything, "compared_statistics.csv", key="compare.statistics.csv")


def _show_marked(shown: pd.DataFrame, better: list[tuple[str, ...]], names: Sequence[str]) -> None:
    def mark(column: pd.Series) -> list[str]:
        return ["color: #2fe08a; font-weight: bold" if column.name in each else "" for each in better]

    st.dataframe(
        shown.style.apply(mark, subset=list(names)),
        hide_index=True,
        row_height=28,
        height="content",
        column_config={"Statistic": st.column_config.Column(width=188)}
        | {name: st.column_config.Column(alignment="right", width=_width(name)) for name in names},
    )


def _width(name: str) -> int:
    """Pixels that a heading needs."""
    return max(90, 8 * len(name) + 16)


def show_differences(runs: Sequence[StoredRun]) -> None:
    """Only the settings in which the runs differ."""
    names = _labels(runs)
    settings = {name: run_settings(run) for name, run in zip(names, runs, strict=True)}
    table = differing_settings(settings)
    with card("Settings that differ", "what is not listed is the same in all"):
        if table.empty:
            st.markdown("None: these runs were asked the same.")
            return
        shown = table.reset_index().rename(columns={"setting": "Setting"})
        shown["Setting"] = [str(name).rpartition(".")[2].replace("_", " ") for name in shown["Setting"]]
        for name in names:
            shown[name] = [_short(value) for value in shown[name]]
        widths = {"Setting": 180, **{name: max(140, _width(name)) for name in names}}
        show_table(shown, key="compare.settings", right=names, widths=widths)
        csv_button("Settings as CSV", lambda: shown, "compared_settings.csv", key="compare.settings.csv")


def _short(value: Any) -> str:
    if value is None:
        return DASH
    if value == {}:
        return "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:10] if len(text) == 64 else text  # the hash of a dataset


def show_correlation(runs: Sequence[StoredRun]) -> None:
    """How alike the days of the runs are."""
    found = _curves(str(output_folder()), tuple(runs))
    days = len(found["returns"])
    with card("Correlation", f"of daily returns, n = {number(days)} common trading days"):
        show_still(correlation_figure(found["correlation"]), "compare.correlation", "correlation")
        csv_button(
            "Daily returns as CSV", lambda: found["returns"], "compared_returns.csv", key="compare.correlation.csv"
        )


def show_trade_by_trade(runs: Sequence[StoredRun]) -> None:
    """Two of the runs trade by trade, with a reason for every difference."""
    pairs = {f"{one.run_id} – {other.run_id}": (one, other) for one, other in combinations(runs, 2)}
    with card("Trade by trade", "A is the first run, B the second · entries at most 24 bars or hours apart · UTC"):
        chosen = st.selectbox("Runs A and B", list(pairs), key="compare.pair", label_visibility="collapsed")
        one, other = pairs[chosen]
        if one.symbol != other.symbol:
            st.markdown(f"{one.symbol} and {other.symbol} are different markets: their trades cannot be matched.")
            return
        found = _matched(str(output_folder()), one, other)
        st.markdown(verbatim(_sentence(found)))
        if found.is_equal:
            return
        shown = _differences_table(found, manager.trades(one), manager.trades(other))
        show_table(
            shown,
            key=f"compare.trades.{chosen}",
            formats=_formats(symbol_of(one.symbol).digits),
            signed=["Net A, pips", "Net B, pips"],
            right=["Price A", "Price B"],
            widths={"Entry A, UTC": 134, "Entry B, UTC": 134, "Difference": 520},
        )
        csv_button("Differences as CSV", lambda: shown, "compared_trades.csv", key="compare.trades.csv")


def _sentence(found: TradeMatch) -> str:
    equal = int((found.pairs["reasons"] == "").sum())
    if found.is_equal:
        return f"All {number(equal)} trades agree."
    parts = [f"{number(count)} {_REASONS[reason]}" for reason, count in found.counts.items() if count]
    return f"{number(equal)} trades agree ({number(found.ours)} in A, {number(found.theirs)} in B): {', '.join(parts)}."


def _differences_table(found: TradeMatch, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """A row a trade that differs, the newest first, with the words of all its differences."""
    words = found.differences.groupby(["ours", "theirs"], dropna=False, sort=False)["words"].agg("; ".join)
    rows = []
    for mine, yours, reason in words.reset_index().itertuples(index=False):
        a = None if pd.isna(mine) else ours.iloc[int(mine)]
        b = None if pd.isna(yours) else theirs.iloc[int(yours)]
        side = a if a is not None else b
        rows.append(
            {
                "Entry A, UTC": _moment(a),
                "Entry B, UTC": _moment(b),
                "Side": side["side"] if side is not None else DASH,
                "Price A": _figure(a, "entry_price"),
                "Price B": _figure(b, "entry_price"),
                "Net A, pips": _figure(a, "pips"),
                "Net B, pips": _figure(b, "pips"),
                "Difference": reason.replace("theirs", "B").replace("ours", "A"),
            }
        )
    return pd.DataFrame(rows[::-1])


def _moment(trade: pd.Series | None) -> str:
    return DASH if trade is None else stamp(trade["entry_time"].to_pydatetime())


def _figure(trade: pd.Series | None, name: str) -> float:
    return float("nan") if trade is None else float(trade[name])


def _formats(digits: int) -> Mapping[str, Callable[[Any], str]]:
    def price(value: float) -> str:
        return f"{value:.{digits}f}"

    def pips(value: float) -> str:
        return number(value, 1, sign=True)

    return {"Price A": price, "Price B": price, "Net A, pips": pips, "Net B, pips": pips}


def show_all(runs: Sequence[StoredRun]) -> None:
    """Everything of a comparison, the answer first."""
    left, right = columns([1, 1])
    with left:
        show_curves(runs)
    with right:
        show_statistics(runs)
    left, right = columns([3, 2])
    with left:
        show_differences(runs)
    with right:
        show_correlation(runs)
    show_trade_by_trade(runs)
