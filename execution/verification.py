"""A finished run held against the other engine: the same bars, settings and strategy must give the same bits.

backtesting.py is the reference for everything both engines can run; what only one can run is said with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import SequenceError
from execution.metrics import drawdown
from execution.result import BacktestResult, RunSettings

_COLUMNS = ("part", "time", "what", "first", "second")
# What is shown of each part; the count is of all.
MOST_SHOWN = 200
_COMPARED = (
    "side",
    "size",
    "entry_bar",
    "exit_bar",
    "entry_price",
    "exit_price",
    "pnl",
    "commission",
    "return_pct",
    "stop",
    "target",
    "exit_reason",
)


@dataclass(frozen=True)
class Verification:
    """What the other engine says to a run.

    `first_engine` ran it, `second_engine` was asked; it is empty when none can, and `reason` says why.
    `differences` has a row each: the part (`equity`, `trades`, `drawdown`), time, what differs and both values,
    at most `MOST_SHOWN` of a part; `counts` are the numbers of all by part.
    """

    first_engine: str
    second_engine: str
    reason: str
    differences: pd.DataFrame
    counts: dict[str, int]

    @property
    def is_checked(self) -> bool:
        """Whether the other engine could be asked."""
        return bool(self.second_engine)

    @property
    def is_equal(self) -> bool:
        """Whether it was asked and gave the same, bit for bit."""
        return self.is_checked and not any(self.counts.values())

    @property
    def sentence(self) -> str:
        """The outcome for a reader."""
        if not self.is_checked:
            return f"Only {self.first_engine} can run this. {self.reason}"
        if self.is_equal:
            return f"{self.first_engine} and {self.second_engine} agree bit for bit: equity, trades and drawdown."
        found = ", ".join(f"{count} in {part}" for part, count in self.counts.items() if count)
        return f"{self.first_engine} and {self.second_engine} differ: {found}. {self.reason}".strip()


def verify(result: BacktestResult) -> Verification:
    """Run the result's strategy again on the engine that did not run it, and compare.

    Where the other engine refuses the run, that is the difference. Never raises for what an engine refuses.
    """
    reason = "" if result.strategy is not None else "The result does not carry its strategy: run it again first."
    return verify_run(
        result.engine, result.bars, result.strategy, result.settings, result.equity, result.trades, reason
    )


def verify_run(  # noqa: PLR0917  # a stored run has the same parts under other names
    engine_name: str,
    bars: pd.DataFrame,
    strategy: Any,
    settings: RunSettings,
    equity: pd.Series,
    trades: pd.DataFrame,
    reason: str = "",
) -> Verification:
    """As `verify`, with the parts of a run one by one; a `reason` given says why it cannot be run again."""
    from execution import engine, library_engine

    was_compiled = engine_name.startswith(engine.ENGINE)
    reason = reason or _why_not(strategy, settings, was_compiled)
    if reason:
        return Verification(engine_name, "", reason, _table([]), {})
    second = library_engine.engine_name() if was_compiled else engine.engine_name()
    run = library_engine.run_own if was_compiled else engine.run_compiled
    try:
        other = run(bars, strategy, settings)
    except SequenceError as error:
        refusal = ("equity", None, "refused by the second engine", "ran", error.what)
        return Verification(engine_name, second, str(error), _table([refusal]), {"equity": 1})
    parts = {
        "equity": _curve_differences("equity", equity, other.equity),
        "trades": _trade_differences(trades, other.trades),
        "drawdown": _curve_differences("drawdown", drawdown(equity), drawdown(other.equity)),
    }
    shown = [row for rows in parts.values() for row in rows[:MOST_SHOWN]]
    return Verification(engine_name, second, "", _table(shown), {part: len(rows) for part, rows in parts.items()})


def _why_not(strategy: Any, settings: RunSettings, was_compiled: bool) -> str:
    from execution.engine import why_not_compiled

    if not was_compiled:
        return why_not_compiled(strategy, settings) or ""
    if settings.costs is not None:
        extras = ", ".join(settings.costs.as_dict()) or "sizes in lots"
        return f"backtesting.py knows no FX extras: {extras}."
    return ""


def _curve_differences(part: str, first: pd.Series, second: pd.Series) -> list[tuple[Any, ...]]:
    one, two = first.to_numpy(), second.to_numpy()
    if len(one) != len(two):
        return [(part, None, "number of bars", len(one), len(two))]
    rows = np.flatnonzero(~((one == two) | (np.isnan(one) & np.isnan(two))))
    return [(part, first.index[row], part, one[row], two[row]) for row in rows.tolist()]


def _trade_differences(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Trades are compared in the order they ended: engines that agree have the same ones."""
    found: list[tuple[Any, ...]] = []
    both = min(len(first), len(second))
    for name in _COMPARED:
        one, two = first[name].iloc[:both], second[name].iloc[:both]
        differs = ~((one == two) | (one.isna() & two.isna())).to_numpy(dtype=bool)
        found += [
            ("trades", first["entry_time"].iloc[row], f"{name} of trade {row + 1}", one.iloc[row], two.iloc[row])
            for row in np.flatnonzero(differs).tolist()
        ]
    found += [
        ("trades", trades["entry_time"].iloc[row], f"trade {row + 1}", *values)
        for trades, values in ((first, ("there", "missing")), (second, ("missing", "there")))
        for row in range(both, len(trades))
    ]
    return found


def _table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
