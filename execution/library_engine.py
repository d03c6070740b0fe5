"""Runs on backtesting.py: its own Strategy classes as they are, and ours through an adapter.

Fills happen at the next bar's open, a stop before a target within one bar, a gapped stop at the open; a
position still open at the end is closed at the last bar's open (`finalize_trades`).
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.errors import StrategyError
from execution.result import TRADE_COLUMNS, RunSettings
from execution.strategy import Signals, Strategy
from market.symbols import symbol_of

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

_TITLES = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
# Catching warnings swaps process-wide state, so runs in threads of one process take turns.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class LibraryRun:
    """What backtesting.py gave, in our columns: equity per bar, trades, its figures, notes for the reader."""

    equity: pd.Series
    trades: pd.DataFrame
    figures: dict[str, Any]
    notes: tuple[str, ...]


def engine_name() -> str:
    """The engine and its version, as every result names it."""
    return f"backtesting.py {version('backtesting')}"


def run_own(bars: pd.DataFrame, strategy: Strategy, settings: RunSettings) -> LibraryRun:
    """Run a strategy of ours. Raises StrategyError when its signals are not what the contract asks."""
    signals = strategy.checked_signals(bars, settings.parameters)
    return _run(bars, _adapter(signals), settings, exclusive_orders=True)


def run_library_class(bars: pd.DataFrame, strategy: type[LibraryStrategy], settings: RunSettings) -> LibraryRun:
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
) -> LibraryRun:
    from backtesting import Backtest

    pip = symbol_of(settings.symbol).pip
    with _one_at_a_time, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            figures = Backtest(
                _library_bars(bars),
                strategy,
                cash=settings.cash,
                # The library takes a share of the price; the first close turns pips into one without looking ahead.
                spread=settings.spread_pips * pip / float(bars["close"].iloc[0]),
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
    trades = _trades(figures["_trades"], bars, pip)
    return LibraryRun(equity, trades, dict(figures), _notes(caught, trades))


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


def _library_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Title-case columns and a naive UTC index, as the library's users know them; further numeric columns stay."""
    numeric = bars.select_dtypes("number").rename(columns=_TITLES)
    return numeric.set_axis(pd.DatetimeIndex(bars.index).tz_localize(None))


def _trades(raw: pd.DataFrame, bars: pd.DataFrame, pip: float) -> pd.DataFrame:
    side = np.sign(raw["Size"].to_numpy(dtype="float64"))
    entry_bar, exit_bar = raw["EntryBar"].to_numpy(dtype=int), raw["ExitBar"].to_numpy(dtype=int)
    columns: dict[str, Any] = {
        "side": np.where(side > 0, "long", "short"),
        "size": raw["Size"].to_numpy(dtype="float64"),
        "entry_time": bars.index[entry_bar],
        "exit_time": bars.index[exit_bar],
        "entry_price": raw["EntryPrice"].to_numpy(dtype="float64"),
        "exit_price": raw["ExitPrice"].to_numpy(dtype="float64"),
        "pnl": raw["PnL"].to_numpy(dtype="float64"),
        "commission": raw["Commission"].to_numpy(dtype="float64"),
        "return_pct": 100 * raw["ReturnPct"].to_numpy(dtype="float64"),
        "stop": raw["SL"].to_numpy(dtype="float64"),
        "target": raw["TP"].to_numpy(dtype="float64"),
        "entry_bar": entry_bar,
        "exit_bar": exit_bar,
        "tag": [None if pd.isna(tag) else str(tag) for tag in raw["Tag"]],
    }
    columns["pips"] = (columns["exit_price"] - columns["entry_price"]) * side / pip
    columns["exit_reason"] = _exit_reasons(columns, side, len(bars))
    return pd.DataFrame(columns, columns=list(TRADE_COLUMNS)).sort_values("exit_bar", kind="stable", ignore_index=True)


def _exit_reasons(columns: dict[str, Any], side: np.ndarray[Any, Any], bars: int) -> np.ndarray[Any, Any]:
    """Why each trade ended; on the last bar a signal and the forced close fill alike, and count as the end."""
    exit_price = columns["exit_price"]
    return np.select(
        [
            (exit_price - columns["stop"]) * side <= 0,
            (exit_price - columns["target"]) * side >= 0,
            columns["exit_bar"] == bars - 1,
        ],
        ["stop", "target", "end of data"],
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
