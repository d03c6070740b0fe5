"""Where a stored run earns and loses: costs against edge, months, groups of trades, the worst stretches.

What is computed of all trades is kept for an hour, because a stored run never changes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from components.charts.results import edge_figure, groups_figure, months_figure
from components.numbers import DASH, number, percent, stamp
from components.panels.chart import show_still
from components.panels.kept import BY_CONTENT
from components.panels.page import card
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.settings import output_folder
from execution.backtest_manager import manager
from execution.breakdowns import MONTHS, YEAR, breakdown, monthly_pips, monthly_returns
from execution.cost_edge import CostEdge, booked_rates, cost_edge
from execution.drawdowns import worst_drawdowns
from execution.metrics import ENOUGH_TRADES
from execution.runs import StoredRun
from market.symbols import symbol_of

_WORST = 5
_BY = {
    "month": "Month",
    "weekday": "Weekday",
    "hour": "Hour, UTC",
    "trading_hour": "Hour of the trading day",
    "session": "Session",
    "side": "Side",
    "exit_reason": "Exit",
}
_BY_HELP = {
    "month": "By the trading day on which a trade ended.",
    "weekday": "By the trading day on which a trade was entered; the FX day ends 17:00 New York.",
    "hour": "By the UTC hour of the entry.",
    "trading_hour": "0 is 17:00 to 18:00 New York: the same time of the market in summer and winter.",
    "session": "The sessions open at the entry; where they overlap, a trade counts under both together.",
    "side": "Long and short.",
    "exit_reason": "What closed the trade.",
}


@st.cache_data(ttl=3600, max_entries=32, show_spinner="Reading the trades", hash_funcs=BY_CONTENT)
def _edge(home: str, run: StoredRun) -> CostEdge:
    trades = manager.trades(run)
    pip = symbol_of(run.symbol).pip
    return cost_edge(
        trades.fillna({"spread_pips": run.settings["spread_pips"]}), pip=pip, rate=booked_rates(trades, pip)
    )


@st.cache_data(ttl=3600, max_entries=32, show_spinner="Reading the run", hash_funcs=BY_CONTENT)
def _months(home: str, run: StoredRun) -> dict[str, pd.DataFrame]:
    asset_class = symbol_of(run.symbol).asset_class
    return {
        "%": monthly_returns(run.equity(), run.cash, asset_class),
        "pips": monthly_pips(manager.trades(run), asset_class),
    }


@st.cache_data(ttl=3600, max_entries=128, show_spinner="Reading the trades", hash_funcs=BY_CONTENT)
def _groups(home: str, run: StoredRun, by: str) -> pd.DataFrame:
    return breakdown(manager.trades(run), by, symbol_of(run.symbol).asset_class)


@st.cache_data(ttl=3600, max_entries=32, show_spinner="Reading the equity curve", hash_funcs=BY_CONTENT)
def _episodes(home: str, run: StoredRun) -> pd.DataFrame:
    return worst_drawdowns(run.equity(), _WORST)


def show_edge(run: StoredRun) -> None:
    """The gross edge in pips a trade, what each cost takes of it, and how fills are assumed."""
    with card("Cost to edge", f"pips a trade, weighted by size · {number(run.trades_count)} trades"):
        if not run.trades_count:
            st.markdown("This run made no trade, so there is no edge to hold against costs.")
            return
        edge = _edge(str(output_folder()), run)
        show_still(edge_figure(edge), "backtest.edge", f"cost_to_edge_{run.run_id}")
        st.markdown(f"Gross edge **{number(edge.gross, 1, sign=True)} pips**. {verbatim(edge.sentence())}")
        with st.expander("How orders are filled and charged"):
            st.markdown("\n".join(f"- {verbatim(sentence)}" for sentence in run.fill_assumptions))


def show_months(run: StoredRun) -> None:
    """Returns or pips of each month as a heat map."""
    with card("Net by month", "trading days that end 17:00 New York"):
        unit = st.segmented_control(
            "Months in", ["%", "pips"], default="%", required=True, key="backtest.months", label_visibility="collapsed"
        )
        table = _months(str(output_folder()), run)[unit]
        if table.empty:
            st.markdown("No trade ended in any month.")
            return
        figure = months_figure(table[[*MONTHS, YEAR]], unit=unit, digits=2 if unit == "%" else 0)
        show_still(figure, "backtest.months.figure", f"months_{run.run_id}")
        csv_button("Months as CSV", lambda: table, f"months_{run.run_id}.csv", key="backtest.months.csv")


def show_breakdown(run: StoredRun) -> None:
    """Trades by month, weekday, hour, session, side or exit: a bar a group and its figures."""
    if not run.trades_count:
        return
    with card("Breakdown", "mean pips a trade, after the spread · groups of few trades say little"):
        by = st.segmented_control(
            "By",
            list(_BY),
            default="weekday",
            required=True,
            format_func=_BY.__getitem__,
            key="by",
            bind="query-params",
            label_visibility="collapsed",
        )
        table = _groups(str(output_folder()), run, by)
        figure = groups_figure(table.tail(36) if by == "month" else table, unit="pips")
        show_still(figure, "backtest.groups", f"by_{by}_{run.run_id}")
        _show_groups(run, by, table)


def _show_groups(run: StoredRun, by: str, table: pd.DataFrame) -> None:
    quote = run.currency
    shown = pd.DataFrame(
        {
            _BY[by]: [str(name) for name in table.index],
            "Trades": table["trades"].to_numpy(),
            "Won, %": table["win_rate"].to_numpy(),
            f"Net, {quote}": table["pnl"].to_numpy(),
            "Pips": table["pips"].to_numpy(),
            "Pips a trade": table["mean_pips"].to_numpy(),
            "Profit factor": np.where(table["trades"] >= ENOUGH_TRADES, table["profit_factor"], np.nan),
        }
    )
    show_table(
        shown,
        key="backtest.groups.table",
        formats={
            "Trades": number,
            "Won, %": lambda value: number(value, 2),
            f"Net, {quote}": lambda value: number(value, 2, sign=True),
            "Pips": lambda value: number(value, 1, sign=True),
            "Pips a trade": lambda value: number(value, 1, sign=True),
            "Profit factor": lambda value: number(value, 2),
        },
        signed=[f"Net, {quote}", "Pips", "Pips a trade"],
        help_texts={"Profit factor": f"– below {ENOUGH_TRADES} trades, where a ratio says little."},
        rows=8,
    )
    st.caption(_BY_HELP[by])
    csv_button("Figures as CSV", lambda: shown, f"by_{by}_{run.run_id}.csv", key="backtest.groups.csv")


def show_episodes(run: StoredRun) -> None:
    """The deepest stretches under water."""
    episodes = _episodes(str(output_folder()), run)
    with card("Worst drawdowns", f"the {_WORST} deepest, close to close · times UTC"):
        if episodes.empty:
            st.markdown("Equity never fell below an earlier high.")
            return
        shown = pd.DataFrame(
            {
                "Depth, %": episodes["depth_pct"],
                "From, UTC": [stamp(moment.to_pydatetime())[:10] for moment in episodes["start"]],
                "Lowest, UTC": [stamp(moment.to_pydatetime())[:10] for moment in episodes["trough"]],
                "Recovered, UTC": [
                    DASH if moment is pd.NaT else stamp(moment.to_pydatetime())[:10] for moment in episodes["recovery"]
                ],
                "Days": episodes["days"],
            }
        )
        show_table(
            shown,
            key="backtest.episodes",
            formats={"Depth, %": lambda value: percent(value).removesuffix(" %"), "Days": number},
            signed=["Depth, %"],
        )
        csv_button("Drawdowns as CSV", lambda: episodes, f"drawdowns_{run.run_id}.csv", key="backtest.episodes.csv")
