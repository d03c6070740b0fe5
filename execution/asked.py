"""What a run is asked: its data, strategy and terms, checked before anything runs; backtests and sweeps ask alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.clock import utc_now
from core.errors import BarsError, InputError, StrategyError
from data.versions import DatasetVersion, digest
from execution.costs import Costs, check_terms
from execution.registry import strategy_named
from execution.result import RunSettings
from execution.strategy import Strategy
from market.bars import bars_of, check_bars, symbols_in
from market.calendar import closed_bars
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import Timeframe, infer_timeframe, parse_timeframe

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

AUTO, BACKTESTING_PY, SEQUENCE = "auto", "backtesting.py", "sequence"
ENGINES = (AUTO, BACKTESTING_PY, SEQUENCE)


@dataclass(frozen=True)
class Asked:
    """A run that may begin: closed bars, who trades them, on which terms and engine; `conversions` are bars by pair."""

    bars: pd.DataFrame
    strategy: type[LibraryStrategy] | Strategy
    settings: RunSettings
    engine: str
    dataset: DatasetVersion | None
    conversions: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]


def ask(
    data: pd.DataFrame | DatasetVersion,
    strategy_class: type[LibraryStrategy] | Strategy | None = None,
    strategy_name: str = "",
    *,
    symbol: str = "",
    cash: float = 10_000,
    commission: Any = 0.0,
    spread_pips: float = 0.0,
    margin: float = 1.0,
    timeframe: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    engine: str = AUTO,
    costs: Costs | None = None,
    conversions: Mapping[str, pd.DataFrame | DatasetVersion] | None = None,
) -> Asked:
    """What `BacktestManager.run_backtest` takes, checked. Raises BarsError, StrategyError or InputError."""
    dataset = data if isinstance(data, DatasetVersion) else None
    bars, symbol = one_symbol(data.frame() if isinstance(data, DatasetVersion) else data, symbol)
    check_terms(cash, commission, spread_pips, margin)
    strategy = strategy_class if strategy_class is not None else strategy_named(strategy_name)
    length = bar_length(timeframe, dataset, bars)
    bars, notes = closed_part(bars, length, symbol, dataset)
    chosen = choose_engine(engine, strategy, costs)
    if chosen == BACKTESTING_PY and costs is not None:
        notes, costs = (*notes, *without_extras(costs)), None
    settings = RunSettings(
        strategy_name=strategy_name or name_of(strategy),
        symbol=symbol,
        timeframe=length,
        cash=cash,
        commission=commission,
        spread_pips=spread_pips,
        margin=margin,
        parameters=strategy.values(parameters) if isinstance(strategy, Strategy) else dict(parameters or {}),
        strategy_version=strategy.version if isinstance(strategy, Strategy) else None,
        costs=costs,
    )
    series = bars_by_pair(conversions)
    if costs is not None:
        settings = with_conversions(bars, settings, series)
    return Asked(bars, strategy, settings, chosen, dataset, series, notes)


def with_conversions(bars: pd.DataFrame, settings: RunSettings, series: Mapping[str, pd.DataFrame]) -> RunSettings:
    """The settings with the digest of each conversion series that is used. Raises InputError where one is missing."""
    from execution.engine import prepare

    rates = prepare(bars, settings, series).rates
    used = () if rates is None else rates.used
    return replace(settings, conversions={name: digest(series[name][["open", "close"]]) for name in used})


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


def one_symbol(frame: pd.DataFrame, symbol: str) -> tuple[pd.DataFrame, str]:
    """Checked bars of the one symbol meant, and its canonical name."""
    held = symbols_in(frame) if isinstance(frame, pd.DataFrame) else []
    if not symbol and len(held) != 1:
        raise InputError("No symbol was named.", f"Pass symbol=…{f', one of {held}' if held else ''}.")
    name = canonical_symbol(symbol or held[0])
    bars = check_bars(bars_of(frame, name) if held else frame)
    return bars, name


def closed_part(
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


def bar_length(given: str | None, dataset: DatasetVersion | None, bars: pd.DataFrame) -> Timeframe:
    """The timeframe declared, or that of the dataset or the bars. Raises BarsError where the bars say otherwise."""
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


def name_of(strategy: type[LibraryStrategy] | Strategy) -> str:
    """A strategy's name. Raises StrategyError for what is none."""
    if isinstance(strategy, Strategy):
        return strategy.name
    if isinstance(strategy, type):
        return strategy.__name__
    raise StrategyError(
        f"strategy_class={strategy!r} is no strategy.",
        "Pass a backtesting.Strategy subclass (the class, not an object).",
    )


def bars_by_pair(conversions: Mapping[str, pd.DataFrame | DatasetVersion] | None) -> dict[str, pd.DataFrame]:
    """The conversion series as bars, by canonical pair."""
    return {
        canonical_symbol(name): given.bars(name) if isinstance(given, DatasetVersion) else check_bars(given)
        for name, given in (conversions or {}).items()
    }


def without_extras(costs: Costs) -> tuple[str, ...]:
    """What a class of backtesting.py runs without, a sentence each, so that nobody takes the figures for charged."""
    return tuple(
        f"Not applied, since backtesting.py runs its own classes without FX extras: {name} = {value}."
        for name, value in costs.as_dict().items()
    )
