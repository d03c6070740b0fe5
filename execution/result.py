"""What a backtest returns: equity, trades, our figures, and the library's under its own printed names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data.versions import DatasetVersion
from execution.costs import Costs, fill_assumptions
from market.timeframes import Timeframe

# Money in account currency, prices in quote currency, `size` in units of the base (negative: short). `spread_pips` and
# `slippage_pips` are what a trade paid at both ends together; its prices, and so `pips`, hold them already.
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
    "swap",
    "spread_pips",
    "slippage_pips",
)


@dataclass(frozen=True)
class EngineRun:
    """What an engine gives: equity per bar, trades, the figures it reckons itself, notes for the reader.

    `used_conversions` are the pairs whose bars turned profit into the account currency.
    """

    equity: pd.Series
    trades: pd.DataFrame
    figures: dict[str, Any]
    notes: tuple[str, ...]
    used_conversions: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """Everything that decides a run besides the bars.

    `commission` is a fraction of the traded value per side, a pair (fixed, fraction), or a function of size
    and price; `spread_pips` is paid once. `costs` are the FX extras, None without them; `conversions` names the
    series that turned profit into the account currency, with the digest of each.
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
    costs: Costs | None = None
    conversions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BacktestResult(Mapping[str, Any]):
    """One finished run; nothing of it is stored until `manager.save_result`.

    As a mapping it answers `result["sharpe_ratio"]` with our figure (`execution.metrics`),
    `result["Sharpe Ratio"]` with backtesting.py's under its printed name, and `result["lib_sharpe_ratio"]`
    with the same under ours. `equity` is money at each bar's close, `trades` has `TRADE_COLUMNS`. `strategy`
    is what was run, so that it can be run again.
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
    strategy: Any = field(default=None, repr=False, compare=False)

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
    def fill_assumptions(self) -> tuple[str, ...]:
        """How orders were filled and charged, a sentence each."""
        return fill_assumptions(self.settings)

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


def trade_table(columns: Mapping[str, Any], bars: pd.DataFrame, pip: float, reasons: Any) -> pd.DataFrame:
    """A run's trades under `TRADE_COLUMNS`, in the order they ended.

    `columns` are arrays of `size entry_bar exit_bar entry_price exit_price pnl commission return_fraction stop
    target tag swap spread slippage`, the last two in price units, `reasons` the words for the exits.
    """
    side = np.sign(columns["size"])
    times = pd.DatetimeIndex(bars.index)
    table = pd.DataFrame(
        {
            **{name: columns[name] for name in columns if name in TRADE_COLUMNS},
            "side": np.where(side > 0, "long", "short"),
            "entry_time": times[columns["entry_bar"]],
            "exit_time": times[columns["exit_bar"]],
            "return_pct": 100 * columns["return_fraction"],
            "pips": (columns["exit_price"] - columns["entry_price"]) * side / pip,
            "spread_pips": columns["spread"] / pip,
            "slippage_pips": columns["slippage"] / pip,
            "exit_reason": reasons,
        },
        columns=list(TRADE_COLUMNS),
    )
    return table.sort_values("exit_bar", kind="stable", ignore_index=True)


def _in_seconds(name: str, value: Any) -> tuple[str, Any]:
    return (f"{name}_seconds", value.total_seconds()) if isinstance(value, pd.Timedelta) else (name, value)


def library_name(printed: str) -> str:
    """Our name for a figure that backtesting.py prints."""
    name = printed.replace("[%]", "pct").replace("[$]", "").replace("#", "count").replace("&", "and")
    return "lib_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
