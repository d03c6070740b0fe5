"""The door of the backtests: run, save, compare.

from execution.backtest_manager import manager

result = manager.run_backtest(data=bars, strategy_name="MA_Crossover", symbol="EURUSD", cash=10000)
run = manager.save_result("backtest_001", result=result)
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd

from core.clock import utc_text
from core.csv_export import csv_bytes
from core.errors import InputError
from core.folders import write_file
from core.log import get_logger
from core.names import checked_name
from core.plain import plain
from core.store import Store
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution import tables
from execution.asked import AUTO, SEQUENCE, Asked, ask
from execution.causality import refuse_future_signals
from execution.comparison import compare_runs
from execution.costs import Costs
from execution.exchange import import_document, run_document
from execution.metrics import compute_metrics
from execution.registry import strategy_named
from execution.result import BacktestResult, EngineRun
from execution.runs import (
    StoredRun,
    annotate_run,
    delete_run,
    find_run,
    kept_settings,
    list_runs,
    newest_trades,
    store_run,
    trades_of,
)
from execution.strategy import Strategy
from market.indicators import shared_indicators
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import parse_timeframe

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

    from execution.sweep import Sweep
    from execution.sweep_plan import SweepTerms
    from execution.verification import Verification

__all__ = ["BacktestManager", "BacktestResult", "StoredRun", "manager"]


class BacktestManager:
    """Runs strategies on bars and keeps the results in `backtest_results.db`."""

    def __init__(self) -> None:
        self._store = Store(tables.BACKTEST_RESULTS)

    def run_backtest(  # noqa: PLR0917  # the specification prints these names in this order
        self,
        data: pd.DataFrame | DatasetVersion,
        strategy_class: type[LibraryStrategy] | Strategy | None = None,
        strategy_name: str = "",
        symbol: str = "",
        cash: float = 10_000,
        commission: Any = 0.0,
        *,
        spread_pips: float = 0.0,
        margin: float = 1.0,
        timeframe: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        engine: str = AUTO,
        costs: Costs | None = None,
        conversions: Mapping[str, pd.DataFrame | DatasetVersion] | None = None,
    ) -> BacktestResult:
        """Run a strategy over closed bars and return equity, trades and figures; nothing is stored.

        `data` is a frame of bars (Title-case columns and naive UTC times will do) or a dataset version.
        `strategy_class` is a `backtesting.Strategy` subclass or a `Strategy` of ours; without it
        `strategy_name` names one of ours. `commission` is a fraction of the traded value per side, a pair
        (fixed money, fraction), or a function of size and price. `margin` 0.05 means a leverage of 20.
        `costs` are the FX extras, which our own engine applies; `conversions` are bars, or dataset versions, by
        pair, and turn profit into the account currency. `engine` is one of `ENGINES`: "auto" takes backtesting.py
        unless there are extras.

        Raises BarsError, StrategyError or InputError naming the value and the cure.
        """
        asked = ask(
            data,
            strategy_class,
            strategy_name,
            symbol=symbol,
            cash=cash,
            commission=commission,
            spread_pips=spread_pips,
            margin=margin,
            timeframe=timeframe,
            parameters=parameters,
            engine=engine,
            costs=costs,
            conversions=conversions,
        )
        result = _run(asked)
        return replace(result, dataset=asked.dataset, notes=(*asked.notes, *result.notes))

    def stored(self, data: DatasetVersion, strategy_name: str, **terms: Any) -> StoredRun | None:
        """The newest stored run of that strategy on these bars with the same terms, which are those of `run_backtest`.

        None where there is none, or where it was made by another version of the strategy or of the engine.
        """
        asked = ask(data, strategy_name=strategy_name, **terms)
        settings, engine = asked.settings, _engine_of(asked)
        kept = plain(kept_settings(settings))
        for run in self.runs():
            same_data = (run.dataset_hash, run.symbol, run.bars) == (
                data.content_hash,
                settings.symbol,
                len(asked.bars),
            )
            same_strategy = (run.strategy_name, run.strategy_version) == (strategy_name, settings.strategy_version)
            if same_data and same_strategy and (run.engine, run.cash, run.settings) == (engine, settings.cash, kept):
                return run
        return None

    def save_result(  # noqa: PLR0917  # likewise
        self,
        run_id: str | None = None,
        strategy_name: str = "",
        symbol: str = "",
        timeframe: str = "",
        start_date: str = "",
        end_date: str = "",
        cash: float | None = None,
        commission: Any = None,
        *,
        result: BacktestResult,
    ) -> StoredRun:
        """Store a run with its trades and equity curve, whole or not at all, and return it as stored.

        What is left out is taken from the result; what contradicts it is refused. A bare frame becomes a
        dataset version first. Saving the same content again returns what is stored. Raises InputError,
        or NameTakenError naming a free run id when the name stands for another run.
        """
        settings = result.settings
        if run_id is not None:
            checked_name(run_id, "run_id")
        _refuse_contradiction("strategy_name", strategy_name or None, settings.strategy_name)
        _refuse_contradiction("symbol", canonical_symbol(symbol) if symbol else None, settings.symbol)
        _refuse_contradiction("timeframe", parse_timeframe(timeframe) if timeframe else None, settings.timeframe)
        _refuse_contradiction("cash", cash, settings.cash)
        _refuse_contradiction("commission", commission, settings.commission)
        version = result.dataset or controller.enter_bars(result.bars, settings.symbol, settings.timeframe)
        run = store_run(
            self._store,
            result,
            version,
            run_id=run_id,
            start_date=str(start_date or f"{result.equity.index[0]:%Y-%m-%d}"),
            end_date=str(end_date or f"{result.equity.index[-1]:%Y-%m-%d}"),
        )
        get_logger(__name__).info("saved a backtest run", run_id=run.run_id, strategy=run.strategy_name)
        return run

    def sweep(
        self,
        strategy: str | type[LibraryStrategy] | Strategy,
        grid: Mapping[str, Any],
        *,
        store: bool = True,
        tell: Callable[[float, str], None] = lambda done, words: None,
        **terms: Unpack[SweepTerms],
    ) -> Sweep:
        """Run a strategy with every set of `grid`, rank the sets, and keep them unless `store` is false.

        `grid` names parameters with a list of values, a range (low, high, step), or None for the declared range.
        `terms` are those of `run_backtest`, and `method` ("grid" or "random"), `max_sets`, `seed`, `rank_by`
        ("plateau" or a figure) and `held_out`, the share of the bars, from the last, that ranks nothing.
        `tell` hears what fraction is done and what was best so far.

        Raises BarsError, StrategyError or InputError naming the value and the cure.
        """
        from execution.sweep import run_sweep, sweep_and_store
        from execution.sweep_plan import plan_sweep

        plan = plan_sweep(strategy, grid, **terms)
        return sweep_and_store(plan, tell) if store else run_sweep(plan)

    def runs(self, limit: int | None = None) -> list[StoredRun]:
        """The stored runs, newest first."""
        return list_runs(self._store, limit)

    def run(self, run_id: str) -> StoredRun:
        """The stored run of that name; raises UnknownNameError offering the nearest."""
        return find_run(self._store, run_id)

    def trades(
        self, run: StoredRun, *, since: pd.Timestamp | None = None, until: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """The trades of a stored run in the order they ended; with `since` and `until` those open between."""
        return trades_of(self._store, run, since=since, until=until)

    def newest_trades(self, run: StoredRun, limit: int, skip: int = 0) -> pd.DataFrame:
        """A page of a stored run's trades, the last to end first."""
        return newest_trades(self._store, run, limit, skip)

    def verify(self, run: StoredRun) -> Verification:
        """What the other engine says to a stored run: the same bits, the differences, or why it cannot run it.

        Raises InterventionError when the run's equity or its dataset is gone.
        """
        from execution.verification import verify_run

        bars = controller.version(run.dataset_hash).bars(run.symbol).iloc[: run.bars]
        strategy, reason = _strategy_of(run)
        equity, trades = run.equity(), trades_of(self._store, run)
        return verify_run(run.engine, bars, strategy, run.run_settings, equity, trades, reason)

    def annotate(self, run_id: str, note: str | None = None, tags: Iterable[str] | None = None) -> StoredRun:
        """Write a note (at most 2,000 characters) and tags (at most 10) to a run and return it as stored.

        None leaves what is there, an empty text or list clears it. A tag has 1 to 30 letters, digits, spaces,
        `-`, `_` or `.`; tags that differ in case only count once. Raises InputError naming the value and the
        cure, or UnknownNameError when there is no such run.
        """
        return annotate_run(self._store, run_id, note, tags)

    def delete_run(self, run_id: str) -> None:
        """Remove a stored run with its trades and equity curve; comparisons that name it stay as they are.

        Raises UnknownNameError, offering the nearest, when there is no such run (any more).
        """
        delete_run(self._store, run_id)
        get_logger(__name__).info("deleted a backtest run", run_id=run_id)

    def export_run(self, run_id: str) -> bytes:
        """A stored run as one JSON document, whole and exact, as `execution.exchange` describes it."""
        return run_document(self._store, self.run(run_id))

    def import_run(self, document: bytes | Path, *, run_id: str | None = None) -> StoredRun:
        """Store the run of a document that `export_run` gave, under its own name or `run_id`.

        Raises InputError for anything that is no such document or was changed, NameTakenError naming a free name.
        """
        return import_document(self._store, document, as_run_id=run_id)

    def compare_strategies(self, run_id_1: str, run_id_2: str) -> dict[str, Any]:
        """Two stored runs held against each other, as `execution.comparison` says; the comparison is kept."""
        comparison = compare_runs(self.run(run_id_1), self.run(run_id_2))
        self._store.insert(
            tables.comparisons, created_at=utc_text(), run_id_1=run_id_1, run_id_2=run_id_2, **comparison
        )
        return comparison

    def export_comparison_csv(self, run_id_1: str, run_id_2: str, path: str | Path) -> Path:
        """Write the comparison as CSV for Excel, one figure a row; a relative path lies in the current folder."""
        comparison = self.compare_strategies(run_id_1, run_id_2)
        one, two = comparison["strategy_1"], comparison["strategy_2"]
        table = pd.DataFrame(
            [
                {"metric": name, one: values["strategy_1"], two: values["strategy_2"], "delta": values["delta"]}
                for name, values in comparison["metrics"].items()
            ]
        ).assign(winner=comparison["winner"])
        target = Path(path).expanduser().resolve()
        write_file(target, csv_bytes(table))
        return target

    def get_portfolio_stats(self) -> dict[str, Any]:
        """Figures over all stored runs; returns and drawdown in per cent, None where no run has the figure."""
        runs = self.runs()
        returns = [run.total_return for run in runs if run.total_return is not None]
        sharpes = [run.sharpe_ratio for run in runs if run.sharpe_ratio is not None]
        drawdowns = [run.max_drawdown for run in runs if run.max_drawdown is not None]
        return {
            "runs": len(runs),
            "strategies": len({run.strategy_name for run in runs}),
            "symbols": len({run.symbol for run in runs}),
            "mean_return": statistics.fmean(returns) if returns else None,
            "best_return": max(returns, default=None),
            "mean_sharpe": statistics.fmean(sharpes) if sharpes else None,
            "worst_drawdown": min(drawdowns, default=None),
        }


def _strategy_of(run: StoredRun) -> tuple[Strategy | None, str]:
    """The strategy of a stored run, or why it cannot be run again."""
    if run.strategy_version is None:
        return None, f"{run.strategy_name} is a class given from Python, which is not kept with the run."
    strategy = strategy_named(run.strategy_name)
    if strategy.version != run.strategy_version:
        return None, f"{run.strategy_name} is at version {strategy.version} now, the run at {run.strategy_version}."
    return strategy, ""


def _run(asked: Asked) -> BacktestResult:
    # The engines import numba, or backtesting and with it bokeh: a second that no page should pay before it runs one.
    from execution import engine, library_engine

    bars, strategy, settings = asked.bars, asked.strategy, asked.settings
    if not isinstance(strategy, Strategy):
        return _result(asked, library_engine.run_library_class(bars, strategy, settings))
    with shared_indicators(bars):
        signals = strategy.checked_signals(bars, settings.parameters)
        refuse_future_signals(strategy, bars, settings.parameters, signals)
        if asked.engine == SEQUENCE:
            return _result(asked, engine.run_compiled(bars, strategy, settings, asked.conversions))
        return _result(asked, library_engine.run_own(bars, strategy, settings))


def _engine_of(asked: Asked) -> str:
    from execution import engine, library_engine

    return engine.engine_name() if asked.engine == SEQUENCE else library_engine.engine_name()


def _result(asked: Asked, run: EngineRun) -> BacktestResult:
    settings, symbol = asked.settings, symbol_of(asked.settings.symbol)
    metrics = compute_metrics(run.equity, run.trades, settings.cash, symbol.asset_class)
    currency = settings.costs.currency(symbol) if settings.costs else symbol.quote
    is_quote = f", the quote currency of {settings.symbol}" if currency == symbol.quote else ""
    return BacktestResult(
        settings,
        asked.bars,
        run.equity,
        run.trades,
        metrics,
        run.figures,
        _engine_of(asked),
        (*run.notes, f"Money is in {currency}{is_quote}."),
        strategy=asked.strategy,
    )


def _refuse_contradiction(name: str, given: Any, ran_with: Any) -> None:
    if given is not None and given != ran_with:
        raise InputError(
            f"{name}={given!r} is not what the result was run with ({ran_with!r}).", f"Leave {name} out or run again."
        )


manager = BacktestManager()
