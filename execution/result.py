"""What a backtest returns: equity, trades, our figures, and the library's under its own printed names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from data.versions import DatasetVersion
from market.timeframes import Timeframe

# Money in account currency, prices in quote currency, `size` in units of the base (negative: short).
TRADE_COLUMNS = (
    "side",
    "size",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "pnl",
    "commission",
    "return_pct",
    "pips",
    "stop",
    "target",
    "exit_reason",
    "entry_bar",
    "exit_bar",
    "tag",
)


@dataclass(frozen=True)
class RunSettings:
    """Everything that decides a run besides the bars.

    `commission` is a fraction of the traded value per side, a pair (fixed, fraction), or a function of size
    and price; `spread_pips` is paid once, at entry.
    """

    strategy_name: str
    symbol: str
    timeframe: Timeframe
    cash: float
    commission: Any = 0.0
    spread_pips: float = 0.0
    margin: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strategy_version: int | None = None


@dataclass(frozen=True)
class BacktestResult(Mapping[str, Any]):
    """One finished run; nothing of it is stored until `manager.save_result`.

    As a mapping it answers `result["sharpe_ratio"]` with our figure (`execution.metrics`),
    `result["Sharpe Ratio"]` with backtesting.py's under its printed name, and `result["lib_sharpe_ratio"]`
    with the same under ours. `equity` is money at each bar's close, `trades` has `TRADE_COLUMNS`.
    """

    settings: RunSettings
    bars: pd.DataFrame
    equity: pd.Series
    trades: pd.DataFrame
    metrics: dict[str, float]
    library: Mapping[str, Any]
    engine: str
    notes: tuple[str, ...] = ()
    dataset: DatasetVersion | None = None

    def __getitem__(self, key: str) -> Any:
        if key in self.metrics:
            return self.metrics[key]
        if key in self.library:
            return self.library[key]
        return self.library_metrics[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.metrics, *self.library])

    def __len__(self) -> int:
        return len(self.metrics) + len(self.library)

    @property
    def library_metrics(self) -> dict[str, Any]:
        """backtesting.py's own figures under snake_case names, durations in seconds.

        `Max. Drawdown [%]` is `lib_max_drawdown_pct`.
        """
        return {
            name: value
            for key, printed in self.library.items()
            if not key.startswith("_")
            for name, value in [_in_seconds(library_name(key), printed)]
        }


def _in_seconds(name: str, value: Any) -> tuple[str, Any]:
    return (f"{name}_seconds", value.total_seconds()) if isinstance(value, pd.Timedelta) else (name, value)


def library_name(printed: str) -> str:
    """Our name for a figure that backtesting.py prints."""
    name = printed.replace("[%]", "pct").replace("[$]", "").replace("#", "count").replace("&", "and")
    return "lib_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
