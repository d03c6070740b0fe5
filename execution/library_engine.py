"""Runs on backtesting.py: its own Strategy classes as they are, and ours through an adapter.

Fills happen at the next bar's open, a stop before a target within one bar, a gapped stop at the open; a
position still open at the end is closed at the last bar's open (`finalize_trades`).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.errors import StrategyError
from execution.costs import relative_spread
from execution.result import EngineRun, RunSettings, trade_table
from execution.strategy import Signals, Strategy
from market.symbols import symbol_of

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

_TITLES = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
# Catching warnings swaps process-wide state, and plotting bokeh's: threads of one process take turns.
one_at_a_time = threading.Lock()


def engine_name() -> str:
    """The engine and its version, as every result names it."""
    return f"backtesting.py {version('backtesting')}"


def run_own(bars: pd.DataFrame, strategy: Strategy, settings: RunSettings) -> EngineRun:
    """Run a strategy of ours. Raises StrategyError when its signals are not what the contract asks."""
    signals = strategy.checked_signals(bars, settings.parameters)
    return _run(bars, _adapter(signals), settings, exclusive_orders=True)


def run_library_class(bars: pd.DataFrame, strategy: type[LibraryStrategy], settings: RunSettings) -> EngineRun:
    """Run a `backtesting.Strategy` subclass; `settings.parameters` set its class variables.

    Raises StrategyError when the class raises, or has no such parameter.
    """
    for name in settings.parameters:
        if not hasattr(strategy, name):
            raise StrategyError(
                f"{strategy.__name__} has no parameter {name!r}.",
                "Define it as a class variable, as backtesting.py asks.",
            )
    return _run(bars, strategy, settings, exclusive_orders=False, **settings.parameters)


def _run(
    bars: pd.DataFrame,
    strategy: type[LibraryStrategy],
    settings: RunSettings,
    *,
    exclusive_orders: bool,
    **parameters: Any,
) -> EngineRun:
    from backtesting import Backtest

    pip = symbol_of(settings.symbol).pip
    spread = relative_spread(settings.spread_pips, settings.symbol, float(bars["close"].iloc[0]))
    with one_at_a_time, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            figures = Backtest(
                library_bars(bars),
                strategy,
                cash=settings.cash,
                spread=spread,
                commission=settings.commission,
                margin=settings.margin,
                exclusive_orders=exclusive_orders,
                finalize_trades=True,
            ).run(**parameters)
        except Exception as error:
            raise StrategyError(
                f"{settings.strategy_name} stopped with {type(error).__name__}: {error}.",
                "Correct the strategy or the costs; the Python error behind this one says where.",
            ) from error
    equity = pd.Series(figures["_equity_curve"]["Equity"].to_numpy(), index=bars.index, name="equity")
    trades = _trades(figures["_trades"], bars, equity, pip, spread)
    return EngineRun(equity, trades, dict(figures), _notes(caught, trades))


def _adapter(signals: Signals) -> type[LibraryStrategy]:
    """A backtesting.py strategy that sends an order at each change of the wanted position."""
    from backtesting import Strategy as LibraryStrategy

    class Follow(LibraryStrategy):  # type: ignore[misc]  # the library is untyped
        def init(self) -> None:
            self._before = 0

        def next(self) -> None:
            bar = len(self.data) - 1
            wanted = int(signals.position[bar])
            # After the last bar there is no next open; the library would fill the order at that bar's own, long past.
            if wanted == self._before or bar + 1 == len(signals.position):
                return
            self._before = wanted
            if wanted == 0:
                self.position.close()
                return
            close = self.data.Close[-1]
            order = self.buy if wanted > 0 else self.sell
            order(
                sl=_level(signals.stop_distance, bar, close, -wanted),
                tp=_level(signals.target_distance, bar, close, wanted),
            )

    return Follow


def _level(distances: np.ndarray[Any, Any] | None, bar: int, close: float, side: int) -> float | None:
    distance = np.nan if distances is None else float(distances[bar])
    return close + side * distance if np.isfinite(distance) else None


def library_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Title-case columns and a naive UTC index, as the library's users know them; further numeric columns stay."""
    numeric = bars.select_dtypes("number").rename(columns=_TITLES)
    return numeric.set_axis(pd.DatetimeIndex(bars.index).tz_localize(None))


def _trades(raw: pd.DataFrame, bars: pd.DataFrame, equity: pd.Series, pip: float, spread: float) -> pd.DataFrame:
    names = {"Size": "size", "EntryPrice": "entry_price", "ExitPrice": "exit_price", "PnL": "pnl"}
    names |= {"Commission": "commission", "ReturnPct": "return_fraction", "SL": "stop", "TP": "target"}
    columns: dict[str, Any] = {ours: raw[theirs].to_numpy(dtype="float64") for theirs, ours in names.items()}
    columns["entry_bar"], columns["exit_bar"] = (raw[name].to_numpy(dtype=int) for name in ("EntryBar", "ExitBar"))
    columns["tag"] = np.array([None if pd.isna(tag) else str(tag) for tag in raw["Tag"]], dtype=object)
    columns |= {"swap": 0.0, "spread": spread_paid(columns, spread), "slippage": 0.0}
    return trade_table(columns, bars, pip, exit_reasons(columns, bars, equity))


def spread_paid(columns: Mapping[str, Any], spread: float) -> np.ndarray[Any, Any]:
    """What each trade of a run without FX extras paid as spread, in price units: it is in the entry price."""
    entry_price = columns["entry_price"]
    paid: np.ndarray[Any, Any] = np.abs(entry_price - entry_price / (1 + np.sign(columns["size"]) * spread))
    return paid


def exit_reasons(columns: Mapping[str, Any], bars: pd.DataFrame, equity: pd.Series) -> np.ndarray[Any, Any]:
    """Why each trade of a run without FX extras ended, told from its prices, whichever engine ran it.

    On the last bar a signal and the forced close fill alike, and count as the end.
    """
    side, exit_price, exit_bar = np.sign(columns["size"]), columns["exit_price"], columns["exit_bar"]
    # The bar that ruins the account closes the trade at its close, and equity is 0 from there on.
    ruined = (equity.to_numpy()[exit_bar] == 0) & (exit_price == bars["close"].to_numpy()[exit_bar])
    return np.select(
        [
            (exit_price - columns["stop"]) * side <= 0,
            (exit_price - columns["target"]) * side >= 0,
            ruined,
            exit_bar == len(bars) - 1,
        ],
        ["stop", "target", "out of money", "end of data"],
        "signal",
    )


def _notes(caught: list[warnings.WarningMessage], trades: pd.DataFrame) -> tuple[str, ...]:
    """What the library warned of, counted instead of repeated; pandas' notices to the library are its own affair."""
    words = [str(warning.message) for warning in caught if warning.category is UserWarning]
    refused = sum("insufficient margin" in text for text in words)
    notes = list(dict.fromkeys(text for text in words if "insufficient margin" not in text))
    if refused:
        notes.insert(0, f"{refused} orders were refused for lack of margin.")
    if trades.empty:
        notes.append("The strategy made no trade on this data.")
    return tuple(notes)
