"""What a deployment should have done: its strategy backtested over the bars it saw, at the spreads there were."""

from __future__ import annotations

import numpy as np
import pandas as pd

from execution.asked import SEQUENCE
from execution.backtest_manager import manager
from execution.live import tables
from execution.live.deployments import Deployment, store
from execution.live.wish import bars_needed, masked_strategy, with_predictions
from execution.result import TRADE_COLUMNS, BacktestResult
from execution.strategy import Strategy
from market.calendar import closed_bars, trading_day
from market.indicators import shared_indicators
from market.symbols import symbol_of
from market.timeframes import parse_timeframe
from mql5.bridge.terminals import TerminalStore
from mql5.bridge.ticks import TickStore

# Those of a backtest, and the opens of the bars whose closes decided entry and exit (NaT where a level ended it).
EXPECTED_COLUMNS = (*TRADE_COLUMNS, "entry_decided", "exit_decided")
# What a broker asks as margin nobody tells; what he refuses for it stands in the fate of the signal.
_MARGIN = 0.001
_UNKNOWN_EQUITY = 10_000.0
# A bar opens with its first tick; in a quiet market that may come late.
_OPENING_MS = (60_000, 900_000)


def expected_trades(
    deployment: Deployment, bars: pd.DataFrame, until: pd.Timestamp
) -> tuple[BacktestResult | None, pd.DataFrame]:
    """The backtest of a deployment over `bars` as far as they are closed at `until`, and its trades by entry.

    The trades have `EXPECTED_COLUMNS`; what is open at the end has no exit (NaT, NaN, empty `exit_reason`). None and
    no trades where nothing could be decided yet: before its first bar, or before there are bars enough to warm up.
    Raises StrategyError, InputError or ModelError where the strategy or model deployed is not to be had any more.
    """
    symbol, timeframe = symbol_of(deployment.symbol), parse_timeframe(deployment.timeframe)
    closed = closed_bars(bars, timeframe, until, symbol.asset_class)
    if deployment.trades_from is None or len(closed) < max(2, bars_needed(deployment) + 1):
        return None, no_trades()
    strategy = masked_strategy(deployment)
    known = with_predictions(deployment, closed)
    position = _positions(strategy, deployment, known)
    cash, currency = account_of(deployment)
    result = manager.run_backtest(
        with_spreads(deployment, known, np.flatnonzero(_changes(position)) + 1),
        strategy,
        symbol=symbol.name,
        cash=cash,
        margin=_MARGIN,
        timeframe=deployment.timeframe,
        parameters=deployment.parameters,
        engine=SEQUENCE,
        costs=deployment.sizing.as_costs(spread_from_bars=True, account_currency=currency),
    )
    return result, _unfinished(result, position)


def no_trades() -> pd.DataFrame:
    """The table of a backtest that made none."""
    found = pd.DataFrame({name: pd.Series(dtype="float64") for name in EXPECTED_COLUMNS})
    times = ("entry_time", "exit_time", "entry_decided", "exit_decided")
    return found.astype(
        {**dict.fromkeys(times, "datetime64[us, UTC]"), **dict.fromkeys(("side", "exit_reason", "tag"), object)}
    )


def account_of(deployment: Deployment) -> tuple[float, str]:
    """The equity to begin with and its currency.

    An account in neither currency of the pair is reckoned in the quote currency (empty text), at the rate that the
    terminal told of its tick's value last; sizes by risk need no more.
    """
    symbol, equity = symbol_of(deployment.symbol), first_equity(deployment)
    terminal = TerminalStore().one(deployment.client)
    currency = (terminal or {}).get("currency") or ""
    if terminal is None or currency in {"", symbol.base, symbol.quote}:
        return equity, currency
    for told in terminal.get("symbol_specs") or ():
        if told["symbol"] == symbol.name and told.get("tick_value") and told.get("tick_size"):
            return equity / (told["tick_value"] / told["tick_size"] / symbol.contract_size), ""
    return equity, ""


def first_equity(deployment: Deployment) -> float:
    """The equity with which its first trading day began; that of the terminal, or 10,000, where none was marked."""
    began = pd.DatetimeIndex([deployment.trades_from or deployment.created_at])
    day = trading_day(began, symbol_of(deployment.symbol).asset_class)[0]
    columns = tables.equity_marks.c
    since = (columns.client == deployment.client, columns.trading_day >= f"{day:%Y-%m-%d}", columns.equity > 0)
    if marked := store.rows(tables.equity_marks.select().where(*since).order_by(columns.trading_day).limit(1)):
        return float(marked[0]["equity"])
    terminal = TerminalStore().one(deployment.client) or {}
    said = [value for name in ("equity", "balance") if (value := terminal.get(name)) and value > 0]
    return float(said[0]) if said else _UNKNOWN_EQUITY


def with_spreads(deployment: Deployment, bars: pd.DataFrame, fills: np.ndarray) -> pd.DataFrame:
    """The bars with a spread for each: at the rows `fills` that of the tick that opened the bar, where it is kept.

    Else the bar's own; a bar without one has that of the bar before (the first known one before that, 0 for none).
    """
    points = bars["spread_points"] if "spread_points" in bars else pd.Series(np.nan, index=bars.index)
    points = points.astype("float64").where(lambda given: given >= 0).ffill().bfill().fillna(0.0)
    values, point, ticks = points.to_numpy(copy=True), symbol_of(deployment.symbol).point, TickStore()
    for row in fills[fills < len(bars)].tolist():
        opened = int(bars.index[row].timestamp() * 1000)
        for reach in _OPENING_MS:
            if found := ticks.between(deployment.client, deployment.symbol, opened, opened + reach):
                values[row] = max(0.0, round((found[0]["ask"] - found[0]["bid"]) / point, 6))
                break
    return bars.assign(spread_points=values)


def _positions(strategy: Strategy, deployment: Deployment, bars: pd.DataFrame) -> np.ndarray:
    """What is wished at each bar; the engine reads no wish at the first."""
    with shared_indicators(bars):
        signals = strategy.checked_signals(bars, strategy.values(deployment.parameters))
    position = np.array(signals.position, dtype=np.int8)
    position[0] = 0
    return position


def _changes(position: np.ndarray) -> np.ndarray:
    """At which closes an order is given."""
    changed: np.ndarray = np.diff(position, prepend=np.int8(0)) != 0
    return changed


def _unfinished(result: BacktestResult, position: np.ndarray) -> pd.DataFrame:
    """The engine's trades by entry, without the exit that it makes of the end of the bars."""
    trades, times = result.trades, pd.DatetimeIndex(result.bars.index)
    last = len(times) - 1
    ended = (trades["exit_reason"] == "end of data").to_numpy()
    # An order of the bar before the last is filled at the last one's open, where the engine ends the run as well.
    ordered = ended & (trades["entry_bar"] < last).to_numpy() & bool(_changes(position)[last - 1])
    is_open = ended & ~ordered
    by_signal = ordered | (trades["exit_reason"] == "signal").to_numpy()
    decided = pd.Series(times[np.maximum(trades["exit_bar"].to_numpy() - 1, 0)], index=trades.index)
    found = trades.assign(
        entry_decided=times[np.maximum(trades["entry_bar"].to_numpy() - 1, 0)],
        exit_decided=decided.where(by_signal & ~is_open),
        exit_reason=np.where(is_open, "", np.where(ordered, "signal", trades["exit_reason"])),
        exit_time=trades["exit_time"].where(~is_open),
        **{name: trades[name].where(~is_open) for name in ("exit_price", "pnl", "return_pct", "pips")},
    )
    found = found.sort_values(["entry_time", "exit_time"], kind="stable", ignore_index=True)
    return found[list(EXPECTED_COLUMNS)]
