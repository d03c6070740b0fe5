"""Sequence against MetaTrader 5: a stored run beside an imported report, statistics first, then trade by trade."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from components.numbers import number, stamp
from components.panels.choice import choose
from components.panels.kept import BY_CONTENT
from components.panels.page import card, columns
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import UnknownNameError
from core.settings import output_folder
from execution.backtest_manager import manager
from execution.runs import StoredRun
from execution.trade_match import TradeMatch, match_trades
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import parse_timeframe
from mql5.bridge.imports import ImportStore
from mql5.bridge.report_rows import trades_of_row
from mql5.files.clock import parse_clock

_CLOCKS = {
    "new-york-close": "New York close (UTC+2, summer +3)",
    "eu": "EU rule (UTC+2, summer +3)",
    "UTC": "UTC",
    "UTC+01:00": "UTC+1 all year",
    "UTC+02:00": "UTC+2 all year",
    "UTC+03:00": "UTC+3 all year",
}
_COUNTED = {"Trades", "Longs", "Shorts"}
_WITHOUT_TRADES = {"optimization", "forward"}
_WIDTHS = {
    "Entry, UTC": 130,
    "Side": 48,
    "Sequence": 74,
    "MT5": 74,
    "Diff., pips": 96,
    "Net diff.": 80,
    "Reason": 300,
    "Broker time": 130,
}
Row = dict[str, Any]


def show_comparison(runs: Sequence[StoredRun], imported: Sequence[Row]) -> None:
    """The choice of the two, and what they say; what is missing where there is nothing to choose."""
    reports = [row for row in imported if row["kind"] not in _WITHOUT_TRADES]
    with card("Sequence against MT5", "a stored run beside an imported report · differences are MT5 minus Sequence"):
        if not reports or not runs:
            lacking = [] if runs else ["a run: backtest the strategy that MetaTrader tested"]
            lacking += [] if reports else ["a report of the Strategy Tester: drop it below"]
            st.markdown(f"A run and a report of MetaTrader stand here trade by trade. Missing: {'; '.join(lacking)}.")
            return
        by_report = {str(row["id"]): row for row in reports}
        by_run = {run.run_id: run for run in _same_symbol_first(runs, reports[0]["symbol"])}
        one, two, three, four = st.columns([4, 4, 3, 2], gap="xsmall")
        with one:
            run = by_run[choose("Run", list(by_run), "run", str)]
        with two:
            chosen = choose("Report", list(by_report), "report", lambda name: _report_words(by_report[name]))
        with three:
            clock = choose("Clock of the broker", list(_CLOCKS), "clock", _CLOCKS.__getitem__)
        pips = four.number_input(
            "Tolerance, pips",
            0.0,
            100.0,
            0.1,
            0.1,
            key="bridge.pips",
            format="%.1f",
            help="Prices within it are equal.",
        )
        report = _report(str(output_folder()), int(chosen), by_report[chosen]["content_sha256"])
        _show_both(run, report, clock, pips)


def _same_symbol_first(runs: Sequence[StoredRun], symbol: str) -> list[StoredRun]:
    return sorted(runs, key=lambda run: run.symbol != symbol)


def _report_words(row: Row) -> str:
    return f"{row['strategy_name']} · {row['symbol']} {row['timeframe']} · {row['file_name'] or row['kind']}"


def _show_both(run: StoredRun, report: Row, clock: str, pips: float) -> None:
    theirs = _trades(str(output_folder()), (report["id"], report["content_sha256"]), clock, run.symbol)
    ours = manager.trades(run)
    left, right = columns([4, 8])
    with left:
        _show_statistics(run, report, ours, theirs)
    with right:
        _show_trades(run, report, (ours, theirs), clock, pips)


@st.cache_data(ttl=3600, max_entries=8, show_spinner=False)
def _report(home: str, report_id: int, digest: str) -> Row:
    """An imported report without its deals, which are long; it never changes, `home` tells workbenches apart."""
    row = ImportStore().one(report_id)
    if row is None:
        raise UnknownNameError(f"Report {report_id} is gone.", "Choose another one.")
    return {name: value for name, value in row.items() if name != "deals"}


@st.cache_data(ttl=3600, max_entries=8, show_spinner="Reading the trades of the report")
def _trades(home: str, report: tuple[int, str], clock: str, symbol: str) -> pd.DataFrame:
    """The trades of one symbol in a report (id, digest)."""
    row = ImportStore().one(report[0])
    trades = trades_of_row(row, parse_clock(clock)) if row else pd.DataFrame()
    if trades.empty:
        return trades
    same = [canonical_symbol(each) == symbol for each in trades["symbol"]]
    return trades[same].drop(columns=["symbol"]).reset_index(drop=True)


def _show_statistics(run: StoredRun, report: Row, ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    table = _statistics(run, report, ours, theirs)
    digits = [0 if each in _COUNTED else 2 for each in table["Statistic"]]
    shown = table.assign(
        **{
            name: [
                number(value, places, sign=name == "Diff.") for value, places in zip(table[name], digits, strict=True)
            ]
            for name in ("Sequence", "MT5", "Diff.")
        }
    )
    show_table(
        shown,
        key="bridge.compare.statistics",
        right=["Sequence", "MT5", "Diff."],
        widths={"Statistic": 156, "Sequence": 80, "MT5": 80, "Diff.": 68},
        rows=14,
    )
    csv_button("Statistics as CSV", lambda: table, f"{run.run_id}_mt5_statistics.csv", key="bridge.compare.csv")
    st.caption("MetaTrader reckons Sharpe from trades, Sequence from daily returns; its drawdown is of each tick.")


def _statistics(run: StoredRun, report: Row, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Statistics of both, and by how much MT5's is above; NaN where a side does not know it."""
    said: Mapping[str, Any] = (report["full_results"] or {}).get("statistics") or {}
    closed = theirs[theirs["exit_time"].notna()] if len(theirs) else theirs
    rows = [
        (
            f"Net profit, {run.currency}",
            run.metrics.get("net_profit"),
            said.get("total_net_profit", said.get("profit")),
        ),
        ("Net result, %", run.total_return, report["total_return"]),
        ("Trades", run.trades_count, report["trades_count"]),
        ("Longs", _count(ours, "long"), _count(closed, "long")),
        ("Shorts", _count(ours, "short"), _count(closed, "short")),
        ("Won, %", run.win_rate, report["win_rate"]),
        ("Largest drawdown, %", run.max_drawdown, report["max_drawdown"]),
        ("Profit factor", run.profit_factor, said.get("profit_factor")),
        (f"Net per trade, {run.currency}", run.metrics.get("expectancy"), said.get("expected_payoff")),
        ("Sharpe", run.sharpe_ratio, report["sharpe_ratio"]),
    ]
    table = pd.DataFrame(rows, columns=["Statistic", "Sequence", "MT5"]).astype({"Sequence": float, "MT5": float})
    return table.assign(**{"Diff.": table["MT5"] - table["Sequence"]})


def _count(trades: pd.DataFrame, side: str) -> float:
    return float((trades["side"] == side).sum()) if len(trades) else math.nan


def _show_trades(
    run: StoredRun, report: Row, trades: tuple[pd.DataFrame, pd.DataFrame], clock: str, pips: float
) -> None:
    ours, theirs = trades
    if theirs.empty:
        st.markdown(f"The report holds no trades of {run.symbol}, so only the statistics can be compared.")
        return
    found = _matched(str(output_folder()), run, (report["id"], report["content_sha256"]), clock, pips)
    st.markdown(verbatim(_sentence(found)))
    if words := _other_dates(ours, theirs):
        st.warning(verbatim(words))
    table = _table(run, found, trades, clock)
    only = st.checkbox("Only those that differ", value=not found.is_equal, key="bridge.compare.only")
    digits = symbol_of(run.symbol).digits
    shown = table[table["Reason"] != "equal"] if only and not found.is_equal else table
    show_table(
        shown,
        key="bridge.compare.trades",
        formats={
            **{name: lambda value: f"{value:.{digits}f}" for name in ("Sequence", "MT5")},
            "Diff., pips": lambda value: number(value, 1, sign=True),
            "Net diff.": lambda value: number(value, 2, sign=True),
        },
        widths=_WIDTHS,
        signed=["Net diff."],
        help_texts={"Net diff.": f"MT5's net profit minus Sequence's, in {run.currency}."},
        rows=9,
    )
    csv_button("Trades as CSV", lambda: table, f"{run.run_id}_mt5_trades.csv", key="bridge.compare.trades.csv")
    st.caption(
        f"Times agree within the bar, prices within {number(pips, 1)} pips, sizes within half of {run.symbol}'s lot "
        "step. Entries further apart than a day are not taken for one trade."
    )


@st.cache_data(ttl=3600, max_entries=16, show_spinner="Matching the trades", hash_funcs=BY_CONTENT)
def _matched(home: str, run: StoredRun, report: tuple[int, str], clock: str, pips: float) -> TradeMatch:
    """Each trade of the run with its partner in the report."""
    ours, theirs = manager.trades(run), _trades(home, report, clock, run.symbol)
    symbol, bar = symbol_of(run.symbol), parse_timeframe(run.timeframe).delta
    price = pips * symbol.pip
    return match_trades(
        ours,
        theirs,
        # An order fills at the bar's open here and at its first tick there; a stop within the bar.
        time_tolerance=bar - pd.Timedelta(seconds=1),
        price_tolerance=price,
        size_tolerance=symbol.lot_step * symbol.contract_size / 2,
        pnl_tolerance=max(0.01, 2 * price * _worth(ours)),
        window=max(bar, pd.Timedelta(days=1)),
    )


def _worth(trades: pd.DataFrame) -> float:
    """Money that a price difference of 1 makes in the largest trade, by the median trade's own move and profit."""
    if trades.empty:
        return 0.0
    moved = (trades["exit_price"] - trades["entry_price"]).abs() * trades["size"].abs()
    each = (trades["pnl"].abs() / moved).replace([np.inf], np.nan).median()
    return 0.0 if math.isnan(each) else float(each * trades["size"].abs().max())


def _sentence(found: TradeMatch) -> str:
    """The matcher's own sentence in the words of this page."""
    return (
        found.sentence()
        .replace("only in ours", "only in Sequence")
        .replace("theirs", "MT5's")
        .replace("only in MT5's", "only in MT5")
    )


def _other_dates(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """Words where the two cover hardly the same time; empty where they do."""
    if ours.empty:
        return "The run has no trade."
    spans = [(trades["entry_time"].min(), trades["entry_time"].max()) for trades in (ours, theirs)]
    if max(first for first, _ in spans) <= min(last for _, last in spans):
        return ""
    said = [f"{stamp(first.to_pydatetime())[:10]} to {stamp(last.to_pydatetime())[:10]}" for first, last in spans]
    return f"The trades of the run are of {said[0]}, those of the report of {said[1]}: they share no time."


def _table(run: StoredRun, found: TradeMatch, trades: tuple[pd.DataFrame, pd.DataFrame], clock: str) -> pd.DataFrame:
    """A row a trade in the order of entries; the reason is the words of all its differences, or equal."""
    ours, theirs = trades
    words = found.differences.groupby(["ours", "theirs"], dropna=False, sort=False)["words"].agg("; ".join)
    reasons = {
        (_position(mine), _position(yours)): str(said)
        for mine, yours, said in words.reset_index().itertuples(index=False)
    }
    paired = [(int(a), int(b)) for a, b in found.pairs[["ours", "theirs"]].itertuples(index=False)]
    alone = [pair for pair in reasons if None in pair]
    pip = symbol_of(run.symbol).pip
    rows = []
    for mine, yours in [*paired, *alone]:
        a = None if mine is None else ours.iloc[mine]
        b = None if yours is None else theirs.iloc[yours]
        either: Any = a if a is not None else b
        ours_at, theirs_at = _figure(a, "entry_price"), _figure(b, "entry_price")
        rows.append(
            {
                "time": either["entry_time"],
                "Entry, UTC": stamp(either["entry_time"].to_pydatetime()),
                "Side": either["side"],
                "Sequence": ours_at,
                "MT5": theirs_at,
                "Diff., pips": (theirs_at - ours_at) / pip,
                "Net diff.": _figure(b, "pnl") - _figure(a, "pnl"),
                "Reason": reasons.get((mine, yours), "equal").replace("theirs", "MT5").replace("ours", "Sequence"),
            }
        )
    table = pd.DataFrame(rows).sort_values("time", kind="stable", ignore_index=True)
    server = parse_clock(clock).to_server(pd.DatetimeIndex(table.pop("time")))
    return table.assign(**{"Broker time": server.strftime("%Y-%m-%d %H:%M")})


def _position(position: Any) -> int | None:
    return None if pd.isna(position) else int(position)


def _figure(trade: pd.Series | None, name: str) -> float:
    return math.nan if trade is None else float(trade[name])
