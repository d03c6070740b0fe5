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

from core.clock import utc_now, utc_text
from core.csv_export import csv_bytes
from core.errors import BarsError, InputError, StrategyError
from core.folders import write_file
from core.log import get_logger
from core.names import checked_name
from core.store import Store
from data.pipeline_controller import controller
from data.versions import DatasetVersion, digest
from execution import tables
from execution.comparison import compare_runs
from execution.costs import Costs, check_terms
from execution.exchange import import_document, run_document
from execution.metrics import compute_metrics
from execution.registry import strategy_named
from execution.result import BacktestResult, EngineRun, RunSettings
from execution.runs import StoredRun, annotate_run, delete_run, find_run, list_runs, newest_trades, store_run, trades_of
from execution.strategy import Strategy
from market.bars import bars_of, check_bars, symbols_in
from market.calendar import closed_bars
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import Timeframe, infer_timeframe, parse_timeframe

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

    from execution.sweep import Sweep
    from execution.sweep_plan import SweepTerms
    from execution.verification import Verification

AUTO, BACKTESTING_PY, SEQUENCE = "auto", "backtesting.py", "sequence"
ENGINES = (AUTO, BACKTESTING_PY, SEQUENCE)

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
        dataset = data if isinstance(data, DatasetVersion) else None
        bars, symbol = _one_symbol(data.frame() if isinstance(data, DatasetVersion) else data, symbol)
        check_terms(cash, commission, spread_pips, margin)
        strategy = strategy_class if strategy_class is not None else strategy_named(strategy_name)
        bar_length = _timeframe(timeframe, dataset, bars)
        bars, notes = _closed(bars, bar_length, symbol, dataset)
        chosen = choose_engine(engine, strategy, costs)
        if chosen == BACKTESTING_PY and costs is not None:
            notes, costs = (*notes, *_without_extras(costs)), None
        settings = RunSettings(
            strategy_name=strategy_name or _name_of(strategy),
            symbol=symbol,
            timeframe=bar_length,
            cash=cash,
            commission=commission,
            spread_pips=spread_pips,
            margin=margin,
            parameters=strategy.values(parameters) if isinstance(strategy, Strategy) else dict(parameters or {}),
            strategy_version=strategy.version if isinstance(strategy, Strategy) else None,
            costs=costs,
        )
        if chosen == SEQUENCE:
            result = _run_compiled(bars, strategy, settings, _bars_by_pair(conversions))
        else:
            result = _run_library(bars, strategy, settings)
        return replace(result, dataset=dataset, notes=(*notes, *result.notes))

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


def choose_engine(engine: str, strategy: type[LibraryStrategy] | Strategy, costs: Costs | None) -> str:
    """The engine that runs it: `BACKTESTING_PY` or `SEQUENCE`. Raises InputError when it is not to be had."""
    if engine not in ENGINES:
        raise InputError(f"There is no engine {engine!r}.", f"Choose one of {', '.join(ENGINES)}.")
    is_own = isinstance(strategy, Strategy)
    if engine == AUTO:
        return SEQUENCE if is_own and costs is not None else BACKTESTING_PY
    if engine == SEQUENCE and not is_own:
        raise InputError(
            "A backtesting.Strategy class runs on backtesting.py only.", "Leave engine out, or take another strategy."
        )
    if engine == BACKTESTING_PY and is_own and costs is not None:
        raise InputError("backtesting.py knows no FX extras.", "Leave engine out, or leave the costs out.")
    return engine


def _strategy_of(run: StoredRun) -> tuple[Strategy | None, str]:
    """The strategy of a stored run, or why it cannot be run again."""
    if run.strategy_version is None:
        return None, f"{run.strategy_name} is a class given from Python, which is not kept with the run."
    strategy = strategy_named(run.strategy_name)
    if strategy.version != run.strategy_version:
        return None, f"{run.strategy_name} is at version {strategy.version} now, the run at {run.strategy_version}."
    return strategy, ""


def _without_extras(costs: Costs) -> tuple[str, ...]:
    """What a class of backtesting.py runs without, a sentence each, so that nobody takes the figures for charged."""
    return tuple(
        f"Not applied, since backtesting.py runs its own classes without FX extras: {name} = {value}."
        for name, value in costs.as_dict().items()
    )


def _bars_by_pair(conversions: Mapping[str, pd.DataFrame | DatasetVersion] | None) -> dict[str, pd.DataFrame]:
    """The conversion series as bars, by canonical pair."""
    return {
        canonical_symbol(name): given.bars(name) if isinstance(given, DatasetVersion) else check_bars(given)
        for name, given in (conversions or {}).items()
    }


def _run_compiled(
    bars: pd.DataFrame, strategy: Any, settings: RunSettings, conversions: Mapping[str, pd.DataFrame]
) -> BacktestResult:
    from execution.engine import engine_name, run_compiled

    run = run_compiled(bars, strategy, settings, conversions)
    settings = replace(
        settings, conversions={name: digest(conversions[name][["open", "close"]]) for name in run.used_conversions}
    )
    return _result(bars, strategy, settings, run, engine_name())


def _run_library(
    bars: pd.DataFrame, strategy: type[LibraryStrategy] | Strategy, settings: RunSettings
) -> BacktestResult:
    # The engine imports backtesting and, with it, bokeh: a second that no page should pay before it runs one.
    from execution.library_engine import engine_name, run_library_class, run_own

    if isinstance(strategy, Strategy):
        run = run_own(bars, strategy, settings)
    else:
        run = run_library_class(bars, strategy, settings)
    return _result(bars, strategy, settings, run, engine_name())


def _result(bars: pd.DataFrame, strategy: Any, settings: RunSettings, run: EngineRun, engine: str) -> BacktestResult:
    symbol = symbol_of(settings.symbol)
    metrics = compute_metrics(run.equity, run.trades, settings.cash, symbol.asset_class)
    currency = settings.costs.currency(symbol) if settings.costs else symbol.quote
    is_quote = f", the quote currency of {settings.symbol}" if currency == symbol.quote else ""
    notes = (*run.notes, f"Money is in {currency}{is_quote}.")
    return BacktestResult(
        settings, bars, run.equity, run.trades, metrics, run.figures, engine, notes, strategy=strategy
    )


def _one_symbol(frame: pd.DataFrame, symbol: str) -> tuple[pd.DataFrame, str]:
    """Checked bars of the one symbol meant, and its canonical name."""
    held = symbols_in(frame) if isinstance(frame, pd.DataFrame) else []
    if not symbol and len(held) != 1:
        raise InputError("No symbol was named.", f"Pass symbol=…{f', one of {held}' if held else ''}.")
    name = canonical_symbol(symbol or held[0])
    bars = check_bars(bars_of(frame, name) if held else frame)
    return bars, name


def _closed(
    bars: pd.DataFrame, timeframe: Timeframe, symbol: str, dataset: DatasetVersion | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The bars that are complete by now, and what the reader should know of them."""
    closed = closed_bars(bars, timeframe, utc_now(), symbol_of(symbol).asset_class)
    if len(closed) < 2:
        raise BarsError(f"A backtest needs at least two closed bars; {symbol} has {len(closed)}.", "Widen the range.")
    notes = []
    if len(closed) < len(bars):
        notes.append(f"{len(bars) - len(closed)} bars that are not closed yet were left out.")
    if dataset is not None and dataset.looks_ahead:
        notes.append("Added columns of this dataset look ahead (filled backward); a strategy that reads them cheats.")
    return closed, tuple(notes)


def _timeframe(given: str | None, dataset: DatasetVersion | None, bars: pd.DataFrame) -> Timeframe:
    times = pd.DatetimeIndex(bars.index)
    if not given:
        return parse_timeframe(dataset.timeframe) if dataset else infer_timeframe(times)
    declared = parse_timeframe(given)
    if len(times) > 1:
        # Where bars are missing they stand further apart, never closer.
        closest = infer_timeframe(pd.DatetimeIndex([times[0], times[0] + times.to_series().diff().min()]))
        if closest.minutes < declared.minutes:
            raise BarsError(
                f"The bars were declared as {declared}, but some stand no further apart than those of {closest}.",
                f"Declare {closest}, or resample them first.",
            )
    return declared


def _name_of(strategy: type[LibraryStrategy] | Strategy) -> str:
    if isinstance(strategy, Strategy):
        return strategy.name
    if isinstance(strategy, type):
        return strategy.__name__
    raise StrategyError(
        f"strategy_class={strategy!r} is no strategy.",
        "Pass a backtesting.Strategy subclass (the class, not an object).",
    )


def _refuse_contradiction(name: str, given: Any, ran_with: Any) -> None:
    if given is not None and given != ran_with:
        raise InputError(
            f"{name}={given!r} is not what the result was run with ({ran_with!r}).", f"Leave {name} out or run again."
        )


manager = BacktestManager()
