"""Replay on the Backtesting page: a run bar by bar, with nothing on the screen that was not known yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.price import price_figure
from components.numbers import DASH, number, stamp
from components.panels.chart import show_still
from components.panels.defaults import keep_defaults
from components.panels.kept import BY_CONTENT
from components.panels.page import card, columns, metric, metric_row
from components.panels.table import show_table
from components.panels.words import verbatim
from core.errors import InputError
from data.versions import DatasetVersion
from execution.backtest_manager import manager
from execution.registry import strategy_named
from execution.replay import Moment, changes, moment
from execution.runs import StoredRun
from execution.strategy import Strategy
from market.symbols import symbol_of

_SHOWN = 120  # bars up to the moment
_WISHES = {-1: "short", 0: "flat", 1: "long"}


def show_replay(run: StoredRun, version: DatasetVersion) -> None:
    """Step through the bars of `run`; the strategy is asked anew with the bars up to each."""
    if run.strategy_version is None:
        with card("Replay"):
            st.markdown(
                "A class given from Python cannot be asked again here; replay shows the workbench's strategies."
            )
        return
    strategy = _unchanged(run)
    bars = version.bars(run.symbol).iloc[: run.bars]
    turns = _turns(run, strategy, bars)
    key = f"backtest.replay.{run.run_id}"
    bar = _ask_bar(key, len(bars), turns)
    now = moment(
        strategy,
        bars,
        run.settings["parameters"],
        bar,
        trades=manager.trades(run),
        equity=run.equity(),
        pip=symbol_of(run.symbol).pip,
    )
    left, right = columns([2, 1])
    with left, card("As it was known", f"{run.symbol} {run.timeframe} · up to the close of the bar that is shown last"):
        _show_chart(run, bars, now)
    with right, card("At this close", f"{stamp(now.time.to_pydatetime())} UTC"):
        _show_moment(run, now)


_KEPT: dict[str | type[Any], Callable[[Any], Any]] = {
    **BY_CONTENT,
    Strategy: lambda strategy: (strategy.name, strategy.version),
    pd.DataFrame: len,
}


@st.cache_data(ttl=3600, max_entries=8, show_spinner="Asking the strategy", hash_funcs=_KEPT)
def _turns(run: StoredRun, strategy: Strategy, bars: pd.DataFrame) -> list[int]:
    """Where the wish changes, to step to; what is shown there is asked anew."""
    return [int(bar) for bar in changes(strategy.checked_signals(bars, run.settings["parameters"]).position)]


def _ask_bar(key: str, bars: int, turns: list[int]) -> int:
    """The bar to stand at, counted from 0: by number, by single steps, or from change to change."""
    keep_defaults({key: (turns[0] if turns else bars - 1) + 1})
    at = int(st.session_state[key]) - 1

    def go(to: int) -> None:
        st.session_state[key] = to + 1

    before = next((turn for turn in reversed(turns) if turn < at), None)
    after = next((turn for turn in turns if turn > at), None)
    steps = [
        ("Change before", "skip_previous", before),
        ("Bar before", "chevron_left", at - 1 if at > 0 else None),
        ("Next bar", "chevron_right", at + 1 if at + 1 < bars else None),
        ("Next change", "skip_next", after),
    ]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        for label, icon, to in steps:
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"{key}.{icon}",
                disabled=to is None,
                on_click=partial(go, to if to is not None else at),
            )
        st.number_input(f"Bar of {number(bars)}", 1, bars, key=key, width=160)
    return int(st.session_state[key]) - 1


def _show_chart(run: StoredRun, bars: pd.DataFrame, now: Moment) -> None:
    seen = bars.iloc[max(0, now.bar + 1 - _SHOWN) : now.bar + 1]
    if len(seen) < 2:
        st.markdown("One bar makes no chart; step on.")
        return
    trades = manager.trades(run, since=seen.index[0], until=seen.index[-1])
    known = trades[trades["entry_bar"] <= now.bar].copy()
    # Of a trade that is open, neither its end nor its result is known.
    is_open = known["exit_bar"] > now.bar
    known.loc[is_open, "exit_time"] = seen.index[-1]
    known.loc[is_open, "exit_price"] = now.close
    known.loc[is_open, "pnl"] = now.floating_pips
    figure = price_figure(seen, digits=symbol_of(run.symbol).digits, points=2 * _SHOWN, trades=known[~is_open])
    if now.trade is not None:
        figure.add_hline(y=now.trade["entry_price"], line={"width": 1, "dash": "dot"}, annotation_text="open trade")
        for name in ("stop", "target"):
            if pd.notna(now.trade[name]):
                figure.add_hline(y=now.trade[name], line={"width": 1, "dash": "dash"}, annotation_text=name)
    show_still(figure, "backtest.replay.chart", f"replay_{run.run_id}_{now.bar + 1}")


def _show_moment(run: StoredRun, now: Moment) -> None:
    digits = symbol_of(run.symbol).digits
    row = metric_row()
    metric(row, "Wants", _WISHES[now.wanted], f"before: {_WISHES[now.wanted_before]}")
    held = DASH if now.trade is None else f"{number(now.floating_pips, 1, sign=True)} pips"
    metric(row, "Open", held, "flat" if now.trade is None else str(now.trade["side"]))
    metric(row, f"Equity, {run.currency}", number(now.equity, 2), f"bar {number(now.bar + 1)}")
    st.markdown(verbatim(now.sentence()))
    numeric = now.columns[[isinstance(value, (int, float)) for value in now.columns]]
    table = pd.DataFrame({"Column": numeric.index, "Value": numeric.to_numpy(dtype="float64")})
    show_table(table, key="backtest.replay.columns", formats={"Value": lambda value: number(value, digits)}, rows=9)


def _unchanged(run: StoredRun) -> Strategy:
    """The strategy of `run`. Raises InputError when it has changed since."""
    strategy = strategy_named(run.strategy_name)
    if strategy.version != run.strategy_version:
        raise InputError(
            f"{run.run_id} was made with version {run.strategy_version} of {strategy.title}, which is at "
            f"{strategy.version} now.",
            "Run it again to replay what it does now.",
        )
    return strategy
