"""How fast parameter sets and long runs are backtested, beside backtesting.py and vectorbt, each on the same bars.

`python benchmarks/backtest.py [--quick] [--json]`. Bars are the embedded sample and a random walk of EURUSD; the
strategy is the crossover of two simple averages, commission 0.02 % a side; ours is in the market before the first
cross already, which costs it a trade more. Parity comes first: sets of ours must end with the equity, trades and
drawdown that backtesting.py gives for the same signals, to the last bit, and a long run with its whole equity curve.
The sides take turns (A B A B …), each once before it counts; medians are compared. What would take a peer minutes
is measured in part and scaled, and the note says so. vectorbt is no part of Sequence and is named as missing where
it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from data_pipeline import peak_mib
from session import report

from data.sources.sample import SampleSource
from execution.backtest_manager import manager
from execution.registry import strategy_named
from execution.sweep import Sweep
from market.timeframes import Timeframe
from pages import minute_bars

LIBRARY_TARGET, VECTORBT_TARGET, LONG_TARGET = 1 / 1000, 1 / 80, 1 / 30
LINEAR_TARGET, MOST_MIB = 1.25, 1024.0
COMMISSION, CASH = 0.0002, 10_000
FAST, SLOW = range(2, 42), range(50, 100, 2)  # 1,000 sets
FEW_FAST, FEW_SLOW = range(5, 55, 5), range(60, 160, 10)  # 100 sets
MANY_FAST, MANY_SLOW = range(2, 102), range(110, 210)  # 10,000 sets
LONG = 1_000_000
ROW = tuple[str, float, float, float, str]


class Crossing(Strategy):  # type: ignore[misc]  # the library is untyped
    """The same rule as a user of backtesting.py writes it: always in the market, long or short."""

    fast_length = 10
    slow_length = 50

    def init(self) -> None:
        """Both averages, as pandas has them."""
        close = pd.Series(self.data.Close)
        self.fast = self.I(lambda: close.rolling(self.fast_length).mean())
        self.slow = self.I(lambda: close.rolling(self.slow_length).mean())

    def next(self) -> None:
        """Turn where they cross."""
        if crossover(self.fast, self.slow):
            self.buy()
        elif crossover(self.slow, self.fast):
            self.sell()


def sample() -> pd.DataFrame:
    """The 5,000 hourly bars of EURUSD."""
    first, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
    return SampleSource().fetch("EURUSD", Timeframe.H1, first, end)


def swept(bars: pd.DataFrame, fast: Sequence[int], slow: Sequence[int]) -> Sweep:
    """Ours, from bars to the ranked table; nothing is held out, because the peers hold nothing out."""
    grid = {"fast_length": list(fast), "slow_length": list(slow)}
    return manager.sweep(
        "MA_Crossover", grid, data=bars, symbol="EURUSD", commission=COMMISSION, held_out=0, store=False
    )


def library(bars: pd.DataFrame) -> Backtest:
    """The peer, ready to run or to optimise."""
    titled = bars.rename(columns=str.title).set_axis(pd.DatetimeIndex(bars.index).tz_localize(None))
    return Backtest(titled, Crossing, cash=CASH, commission=COMMISSION, exclusive_orders=True, finalize_trades=True)


def optimised(bars: pd.DataFrame, fast: Sequence[int], slow: Sequence[int]) -> Any:
    """The peer's own search, in its own processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library(bars).optimize(
            fast_length=list(fast), slow_length=list(slow), maximize="Sharpe Ratio", return_heatmap=True
        )


def check_parity(bars: pd.DataFrame, fast: Sequence[int], slow: Sequence[int], every: int) -> int:
    """Hold every so manyth set against backtesting.py following our signals; how many were held."""
    table = swept(bars, fast, slow).table
    held = 0
    for _, row in islice(table.iterrows(), 0, None, every):
        values = {"fast_length": int(row["fast_length"]), "slow_length": int(row["slow_length"])}
        run = manager.run_backtest(
            bars, strategy_name="MA_Crossover", symbol="EURUSD", commission=COMMISSION, parameters=values
        )
        theirs = (run.metrics["total_return"], run.metrics["trades_count"], run.metrics["max_drawdown"])
        if (row["total_return"], row["trades_count"], row["max_drawdown"]) != theirs:
            raise RuntimeError(f"{values}: ours differ from backtesting.py's {theirs}")
        if not np.isclose(row["sharpe_ratio"], run.metrics["sharpe_ratio"], rtol=1e-9, equal_nan=True):
            raise RuntimeError(f"{values}: the Sharpe ratio differs")
        held += 1
    return held


def in_turn(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median of each side's seconds, the sides in turn; the first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def vectorbt_of(bars: pd.DataFrame, fast: Sequence[int], slow: Sequence[int]) -> Callable[[], Any] | None:
    """A sweep of vectorbt over the same crossings, up to final value, trades and largest drawdown; None without it."""
    if importlib.util.find_spec("vectorbt") is None:
        return None
    import vectorbt as vbt

    close, following = bars["close"], bars["open"].shift(-1).ffill()
    pairs = [(one, other) for one in fast for other in slow if one < other]

    def sweep() -> Any:
        means = {length: close.rolling(length).mean().to_numpy() for length in {*fast, *slow}}
        quick = pd.DataFrame(np.column_stack([means[one] for one, _ in pairs]), index=close.index)
        steady = pd.DataFrame(np.column_stack([means[other] for _, other in pairs]), index=close.index)
        up = (quick > steady) & (quick.shift() < steady.shift())
        down = (quick < steady) & (quick.shift() > steady.shift())
        run = vbt.Portfolio.from_signals(
            close, up, short_entries=down, price=following, init_cash=CASH, fees=COMMISSION, freq="1h"
        )
        return run.final_value(), run.trades.count(), run.max_drawdown()

    return sweep


def sweeping(
    name: str, bars: pd.DataFrame, ours: tuple[range, range], part: tuple[range, range], *, rounds: int, every: int
) -> list[ROW]:
    """Our sweep against `Backtest.optimize` and vectorbt; optimize tries `part` of the sets and is scaled."""
    held = check_parity(bars, *ours, every=every)
    sets, tried = (len(fast) * len(slow) for fast, slow in (ours, part))
    vectorbt = vectorbt_of(bars, *ours)
    sides: dict[str, Callable[[], Any]] = {
        "ours": partial(swept, bars, *ours),
        "optimize": partial(optimised, bars, *part),
    }
    if vectorbt is not None:
        sides["vectorbt"] = vectorbt
    seconds = in_turn(sides, rounds)
    scaled = "" if tried == sets else f"; {tried} of its sets, scaled to {sets:,}"
    kept = f"{held} sets equal to backtesting.py to the bit; median of {rounds}, interleaved"
    rows = [
        (
            f"{name}, peer Backtest.optimize, s",
            seconds["ours"],
            seconds["optimize"] * sets / tried,
            LIBRARY_TARGET,
            f"ours 8 figures a set, ranked; theirs 28, in {os.cpu_count()} processes{scaled}; {kept}",
        )
    ]
    if vectorbt is not None:
        note = f"vectorbt: final value, trades, drawdown of fractional sizes; median of {rounds}, interleaved"
        rows.append((f"{name}, peer vectorbt, s", seconds["ours"], seconds["vectorbt"], VECTORBT_TARGET, note))
    else:
        print(f"{name}, peer vectorbt: missing (pip install -r requirements-bench.txt)", file=sys.stderr)
    return rows


def running_long(rounds: int) -> list[ROW]:
    """One run over a million minutes with its statistics and table of trades, on both engines."""
    bars = minute_bars(LONG)
    terms: dict[str, Any] = {
        "strategy_name": "MA_Crossover",
        "symbol": "EURUSD",
        "commission": COMMISSION,
        "timeframe": "M1",
        "parameters": {"fast_length": 48, "slow_length": 150},
    }
    sides: dict[str, Callable[[], Any]] = {
        "ours": partial(manager.run_backtest, bars, engine="sequence", **terms),
        "theirs": library(bars.copy()).run,
    }
    mine = manager.run_backtest(bars, engine="sequence", **terms)
    theirs = manager.run_backtest(bars, engine="backtesting.py", **terms)
    columns = ["size", "entry_bar", "exit_bar", "entry_price", "exit_price", "pnl"]
    pd.testing.assert_frame_equal(mine.trades[columns], theirs.trades[columns], check_exact=True)
    pd.testing.assert_series_equal(mine.equity, theirs.equity, check_exact=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = in_turn(sides, rounds)
    note = (
        f"{len(mine.metrics)} statistics and {len(mine.trades):,} trades, equity and trades equal to the bit; "
        f"theirs 30 statistics of its own Strategy class; median of {rounds}, interleaved"
    )
    return [(f"one run on {LONG:,} bars, s", seconds["ours"], seconds["theirs"], LONG_TARGET, note)]


def growing(rounds: int) -> list[ROW]:
    """What a bar of a set costs with ten times the bars, and with ten times the sets."""
    bars = minute_bars(200_000)
    wide = (range(2, 42), range(60, 110, 2))
    narrow = (range(2, 6), range(60, 110, 2))
    swept(bars.iloc[:5_000], *narrow)
    sides: dict[str, Callable[[], Any]] = {
        "few bars": partial(swept, bars.iloc[:20_000], *narrow),
        "more bars": partial(swept, bars, *narrow),
        "more sets": partial(swept, bars.iloc[:20_000], *wide),
    }
    seconds = in_turn(sides, rounds)
    note = f"seconds against ten times those of 20,000 bars and 100 sets; median of {rounds}, interleaved"
    return [
        ("ten times the bars, s", seconds["more bars"], 10 * seconds["few bars"], LINEAR_TARGET, note),
        ("ten times the sets, s", seconds["more sets"], 10 * seconds["few bars"], LINEAR_TARGET, note),
    ]


def remembering() -> list[ROW]:
    """Peak memory of 10,000 sets on 100,000 bars, in a process of its own."""
    command = [sys.executable, __file__, "--peak"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, seconds = (float(word) for word in done.stdout.split())
    name = f"{len(MANY_FAST) * len(MANY_SLOW):,} sets on 100,000 bars, MiB"
    return [(name, peak, MOST_MIB, 1.0, f"peak of a process of its own, peer the limit; it took {seconds:.1f} s")]


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        began = time.perf_counter()
        swept(minute_bars(100_000), MANY_FAST, MANY_SLOW)
        print(peak_mib(), time.perf_counter() - began)
        return 0
    # What the peer needs to share its bars with its processes; elsewhere it takes turns in one.
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)
    rounds = 1 if options.quick else 3
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEQUENCE_HOME"] = home
        strategy_named("MA_Crossover")
        part = (range(2, 42, 4), range(50, 90, 2))
        rows = sweeping("1,000 sets on 5,000 bars", sample(), (FAST, SLOW), part, rounds=rounds, every=50)
        few = (range(10, 30, 10), range(60, 100, 10))
        bars = minute_bars(100_000)
        rows += sweeping("100 sets on 100,000 bars", bars, (FEW_FAST, FEW_SLOW), few, rounds=1, every=50)
        rows += running_long(1)
        rows += growing(rounds)
        rows += remembering()
    return report(rows, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
