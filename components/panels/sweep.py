"""One sweep on its page: the answer in six figures, the map, the ranking, and what promise was worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.sweep import importance_figure, lines_figure, map_figure, promise_figure
from components.numbers import DASH, number, percent, stamp
from components.panels.chart import show_still
from components.panels.choice import choose
from components.panels.costs import conversions_for
from components.panels.failure import failures_shown
from components.panels.kept import BY_CONTENT
from components.panels.page import card, columns, do_once, metric, metric_row
from components.panels.table import Format, csv_button, show_table
from components.panels.words import verbatim
from core.settings import output_folder
from data.pipeline_controller import controller
from execution.backtest_manager import StoredRun, manager
from execution.ledger import trials_on
from execution.metrics import DAYS_IF_FEW
from execution.significance import expected_maximum_sharpe
from execution.sweep import Sweep, load_sweep
from execution.sweep_results import LOSS, PEAK
from execution.sweep_store import COMPLETED, StoredSweep, delete_sweep
from market.calendar import day_cut
from market.symbols import symbol_of
from workbench import BACKTESTING

_LISTED = 500
# What the map shows: words → column, unit, digits.
_FIGURES = {
    "Sharpe": ("sharpe_ratio", "Sharpe"),
    "Plateau": ("plateau", "Sharpe of the worst neighbour"),
    "Held out": ("held_sharpe_ratio", "Sharpe, held out"),
    "Net, %": ("total_return", "%"),
    "Trades": ("trades_count", "trades"),
}


def ask_stored(sweeps: Sequence[StoredSweep]) -> StoredSweep:
    """The sweep to look at, kept in the URL, the newest at first."""
    by_key = {str(each.id): each for each in sweeps}
    words = {
        key: f"Sweep {key} · {each.strategy_name} · {each.symbol} {each.timeframe} · {stamp(each.created_at)}"
        for key, each in by_key.items()
    }
    return by_key[choose("Sweep", list(by_key), "sweep", words.__getitem__, show_label=False)]


@st.cache_data(ttl=3600, max_entries=8, show_spinner="Reading the trials", hash_funcs=BY_CONTENT)
def _loaded(home: str, row: StoredSweep) -> Sweep:
    """A finished sweep, which never changes."""
    return load_sweep(row)


def show_sweep(row: StoredSweep) -> None:
    """Everything of one sweep; of one that runs or was stopped, as far as it is."""
    sweep = _loaded(str(output_folder()), row) if row.status == COMPLETED else load_sweep(row)
    if row.status != COMPLETED:
        st.caption(f"{row.status}: {number(len(sweep.table))} of {number(row.sets)} sets so far.")
    _show_metrics(row, sweep)
    left, right = columns([1, 1])
    with left:
        _show_map(sweep)
    with right:
        _show_ranking(row, sweep)
    _show_lines(sweep)
    left, right = columns([5, 4])
    with left:
        _show_promise(sweep)
    with right:
        _show_importance(row, sweep)


def _show_metrics(row: StoredSweep, sweep: Sweep) -> None:
    best, peak = sweep.best, _peak(sweep)
    figures = metric_row()
    metric(figures, "Sets run", number(len(sweep.table)), f"{number(row.refused)} refused")
    metric(
        figures,
        "Best plateau",
        number(best["plateau"], 2),
        _set_words(sweep, best)[:18],
        "The Sharpe ratio of the worst neighbour, one step away in the swept numbers: the set is ranked by it.",
    )
    metric(figures, "Its held out", number(best["held_sharpe_ratio"], 2), "Sharpe, unseen part")
    metric(figures, "Highest peak", number(peak["sharpe_ratio"], 2), _set_words(sweep, peak)[:18])
    metric(figures, "Peak, held out", number(peak["held_sharpe_ratio"], 2), "Sharpe, unseen part")
    matters = max(sweep.importance.items(), key=lambda pair: pair[1], default=None)
    metric(
        figures,
        "Matters most",
        DASH if matters is None else matters[0].replace("_", " ")[:14],
        "" if matters is None else f"{number(100 * matters[1])} % of the variance",
    )


def _peak(sweep: Sweep) -> pd.Series:
    """The set with the highest Sharpe ratio, whatever its neighbours say."""
    sharpe = sweep.table["sharpe_ratio"]
    return sweep.table.iloc[int(sharpe.argmax())] if sharpe.notna().any() else sweep.best


def _set_words(sweep: Sweep, row: pd.Series) -> str:
    return ", ".join(f"{row[name]:g}" if isinstance(row[name], float) else str(row[name]) for name in sweep.grid.names)


def _show_map(sweep: Sweep) -> None:
    names = list(sweep.grid.names)
    with card("Map", "fitted part, after costs · boxed: the best plateau and the highest peak"):
        if len(names) < 2:
            _show_line(sweep, names[0])
            return
        with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
            figure = st.segmented_control(
                "Figure", list(_FIGURES), default="Sharpe", required=True, key="sweep.figure", bind="query-params"
            )
            y = st.selectbox("Up", names, key="sweep.y", width=150) if len(names) > 2 else names[0]
            across = [name for name in names if name != y]
            x = st.selectbox("Across", across, key="sweep.x", width=150) if len(names) > 2 else names[1]
        column, unit = _FIGURES[figure]
        best, peak = sweep.best, _peak(sweep)
        table = sweep.table
        for name in names:  # of further parameters the values of the best set
            if name not in {x, y}:
                table = table[table[name] == best[name]]
        cells = table.pivot_table(index=y, columns=x, values=column, aggfunc="first", dropna=False)
        shown = map_figure(
            cells,
            x=x,
            y=y,
            unit=unit,
            best=(best[x], best[y]),
            peak=(peak[x], peak[y]) if _is_near(sweep, x, y) else None,
        )
        show_still(shown, "sweep.map", "sweep_map")
        others = [f"{name} {best[name]}" for name in names if name not in {x, y}]
        if others:
            st.caption(verbatim(f"With {', '.join(others)}, as in the best set."))


def _is_near(sweep: Sweep, x: str, y: str) -> bool:
    """Whether the highest peak lies in the plane that is drawn."""
    best, peak = sweep.best, _peak(sweep)
    return all(best[name] == peak[name] for name in sweep.grid.names if name not in {x, y})


def _show_line(sweep: Sweep, name: str) -> None:
    table = sweep.table.set_index(name)[["sharpe_ratio", "plateau", "held_sharpe_ratio"]]
    st.line_chart(table.rename(columns={"sharpe_ratio": "Sharpe", "held_sharpe_ratio": "Held out"}), height=340)


def _show_ranking(row: StoredSweep, sweep: Sweep) -> None:
    names = list(sweep.grid.names)
    with card("Ranked by plateau" if sweep.rank_by == "plateau" else "Ranked", "worst neighbour first · select one"):
        ranked = sweep.ranked.head(_LISTED).reset_index(drop=True)
        table = pd.DataFrame(
            {
                "#": range(1, len(ranked) + 1),
                **{name.replace("_", " "): ranked[name] for name in names},
                "Plateau": ranked["plateau"],
                "Sharpe": ranked["sharpe_ratio"],
                "Held out": ranked["held_sharpe_ratio"],
                "Trades": ranked["trades_count"],
                "Shape": ranked["label"],
                "Net, %": ranked["total_return"],
            }
        )
        formats: dict[str, Format] = {
            name: lambda value: number(value, 2, sign=True) for name in ("Plateau", "Sharpe", "Held out", "Net, %")
        }
        selected = show_table(
            table,
            key=f"sweep.ranked.{row.id}",
            formats={**formats, "Trades": number},
            signed=["Plateau", "Sharpe", "Held out", "Net, %"],
            widths={"#": 38, "Plateau": 66, "Sharpe": 62, "Held out": 70, "Trades": 56, "Shape": 66, "Net, %": 62},
            select="one",
        )
        chosen = ranked.iloc[selected[0] if selected else 0]
        with st.container(horizontal=True, vertical_alignment="center"):
            label = "Run the selected set" if selected else "Run the best set"
            with failures_shown():
                swept = {name: chosen[name] for name in names}
                do_once(
                    st.container(), label, "sweep.run", partial(_run, sweep, row, swept, label),
                    icon=":material/play_arrow:", filled=False,
                )  # fmt: skip
            csv_button("All sets as CSV", lambda: sweep.ranked, f"sweep_{row.id}.csv", key="sweep.csv")
        if len(sweep.table) > _LISTED:
            st.caption(f"The first {number(_LISTED)} of {number(len(sweep.table))}; the CSV holds all.")


def _run(sweep: Sweep, row: StoredSweep, swept: dict[str, Any], label: str) -> None:
    """Run one set on the whole dataset, store it, and open it."""
    with st.spinner(label):
        run = _stored(sweep, row, swept)
    st.switch_page(BACKTESTING.file, query_params={"run": run.run_id})


def _stored(sweep: Sweep, row: StoredSweep, swept: dict[str, Any]) -> StoredRun:
    settings = sweep.settings
    version = controller.version(row.dataset_hash)
    account = settings.costs.account_currency if settings.costs else ""
    result = manager.run_backtest(
        version,
        strategy_name=row.strategy_name,
        symbol=row.symbol,
        cash=settings.cash,
        commission=settings.commission,
        spread_pips=settings.spread_pips,
        margin=settings.margin,
        parameters={**settings.parameters, **swept},
        costs=settings.costs,
        conversions=conversions_for(symbol_of(row.symbol), account, controller.versions(), version),
    )
    return manager.save_result(result=result)


def _show_lines(sweep: Sweep) -> None:
    titles = {name: name.replace("_", " ") for name in sweep.grid.names} | {
        "trades_count": "Trades",
        "sharpe_ratio": "Sharpe, fitted",
        "plateau": "Plateau",
        "held_sharpe_ratio": "Sharpe, held out",
    }
    with card("Parallel coordinates", f"{number(len(sweep.table))} sets · coloured by Sharpe · drag along an axis"):
        show_still(lines_figure(sweep.table, colour_by="sharpe_ratio", titles=titles), "sweep.lines", "sweep_lines")


def _show_promise(sweep: Sweep) -> None:
    with card("Fitted against held out", "each point one set · dotted: as promised"):
        if sweep.held_out_from is None:
            st.markdown("Nothing was held out, so there is nothing to hold the promise against.")
            return
        known = sweep.table[["sharpe_ratio", "held_sharpe_ratio"]].dropna()
        best, peak = sweep.best.name, _peak(sweep).name
        show_still(promise_figure(sweep.table, best=int(str(best)), peak=int(str(peak))), "sweep.promise", "promise")
        kept = known["held_sharpe_ratio"].corr(known["sharpe_ratio"]) if len(known) > 2 else math.nan
        begin = stamp(sweep.held_out_from.to_pydatetime())[:10]
        st.caption(f"Held out from {begin} on · correlation of the two {number(kept, 2)}")


def _show_importance(row: StoredSweep, sweep: Sweep) -> None:
    with card("What matters", "share of the variance of the Sharpe ratio"):
        show_still(importance_figure(sweep.importance), "sweep.importance", "what_matters")
        trials = trials_on(row.dataset_hash)
        luck = expected_maximum_sharpe(max(1, trials.count), trials.sharpe_variance)
        # The ledger counts in Sharpe ratios of a day; markets that know a weekend have fewer of those.
        skips_weekend = day_cut(symbol_of(row.symbol).asset_class).skips_weekend
        annual = luck * math.sqrt(DAYS_IF_FEW if skips_weekend else 365)
        st.caption(
            f"{number(trials.count)} variants were tried on this data. By luck alone the best of them would show a "
            f"Sharpe ratio of about {number(annual, 2)} a year."
        )
        losing = (sweep.table["label"] == LOSS).mean()
        peaks = int((sweep.table["label"] == PEAK).sum())
        st.caption(f"{percent(100 * losing)} of the sets lose money; {number(peaks)} are peaks that a step destroys.")


def offer_delete(row: StoredSweep) -> None:
    """A button that removes the sweep after a second press."""
    asked = f"sweep.delete.{row.id}"
    with st.popover("Delete sweep…", icon=":material/delete:"):
        st.markdown(f"Delete sweep {row.id} with its {number(row.sets)} trials? What it added to the ledger stays.")
        if st.button("Delete", key=asked, type="primary"):
            with failures_shown():
                delete_sweep(row.id)
                st.rerun()
