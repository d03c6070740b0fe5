"""How fast the scanner's patterns are, beside smartmoneyconcepts and beside the memory that holds the bars.

`python benchmarks/scanner.py [--quick] [--json]`. Bars are the embedded sample and a random walk of EURUSD minutes.
Five patterns on each side: swings, structure, sweeps (the peer's liquidity), fair value gaps, order blocks; the peer's
labels look ahead, ours are known. First the gaps of both, with every first touch, must be equal row for row, and ours
of the other patterns the same with and without the bars after them. The sides take turns (A B A B …), each once before
it counts, the peer on 100,000 bars only once; medians are compared. A memory pass sums open, high, low and close
once. The peer comes with requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from backtest import in_turn, sample
from session import report

from pages import minute_bars
from scanner.patterns.all import FOLDED, find_gaps, find_patterns
from scanner.patterns.findings import LASTS, Findings
from scanner.patterns.live import LivePatterns
from scanner.patterns.rewrites import count_rewrites
from scanner.patterns.settings import PatternSettings

SAMPLE_TARGET, LONG_TARGET, PASSES, LINEAR_TARGET = 1 / 400, 1 / 800, 60.0, 1.25
LONG, MILLION = 100_000, 1_000_000
LENGTH = 10
ROW = tuple[str, float, float, float, str]


def ours(bars: pd.DataFrame) -> Findings:
    """The five patterns as columns."""
    return find_patterns(bars, kinds=FOLDED)


def theirs(bars: pd.DataFrame) -> Any:
    """The same five of the peer."""
    from smartmoneyconcepts import smc

    swings = smc.swing_highs_lows(bars, LENGTH)
    return (
        smc.fvg(bars),
        swings,
        smc.bos_choch(bars, swings),
        smc.ob(bars, swings),
        smc.liquidity(bars, swings),
    )


def check(bars: pd.DataFrame) -> str:
    """Hold gaps against the peer's and everything against its own prefixes; says what was held."""
    from smartmoneyconcepts import smc

    mine = find_gaps(bars, PatternSettings(fvg_threshold=0, gap_fill_share=0))
    labels = smc.fvg(bars.reset_index(drop=True)).dropna()
    same = (
        mine.formed.tolist() == labels.index.tolist()
        and mine.direction.tolist() == labels["FVG"].tolist()
        and mine.high.tolist() == labels["Top"].tolist()
        and mine.low.tolist() == labels["Bottom"].tolist()
        and np.where(mine.ended == LASTS, 0, mine.ended).tolist() == labels["MitigatedIndex"].tolist()
    )
    if not same:
        raise RuntimeError("the gaps differ from smartmoneyconcepts'")
    rewrites = count_rewrites(bars, prefixes=50)
    if rewrites.count:
        raise RuntimeError(rewrites.badge)
    return f"{len(mine):,} gaps equal to the peer's, {rewrites.badge}"


def against_peer(name: str, bars: pd.DataFrame, target: float, rounds: int) -> ROW:
    """Ours and the peer's on the same bars, in milliseconds."""
    held = check(bars.iloc[: min(len(bars), 20_000)])
    plain = bars.reset_index(drop=True)
    # Ours takes its turn many times, since one is shorter than what the machine does meanwhile.
    mine, peer = [], []
    ours(bars)
    for _ in range(rounds):
        mine += [seconds_of(partial(ours, bars)) for _ in range(9)]
        peer.append(seconds_of(partial(theirs, plain)))
    note = f"{len(ours(bars)):,} findings; {held}; medians of {len(mine)} and {len(peer)}, in turn"
    return name, 1000 * statistics.median(mine), 1000 * statistics.median(peer), target, note


def against_memory(rounds: int) -> list[ROW]:
    """A million bars in passes over their prices, and ten million against ten times that."""
    few, many = walked(MILLION), walked(10 * MILLION)
    prices = [few[name].to_numpy() for name in ("open", "high", "low", "close")]
    sides: dict[str, Callable[[], Any]] = {
        "ours": partial(ours, few),
        "pass": lambda: [column.sum() for column in prices],
        "ours on ten": partial(ours, many),
    }
    seconds = in_turn(sides, rounds)
    note = f"medians of {rounds}, in turn"
    return [
        (
            f"{MILLION:,} bars, peer {PASSES:.0f} memory passes, ms",
            1000 * seconds["ours"],
            1000 * PASSES * seconds["pass"],
            1.0,
            f"{seconds['ours'] / seconds['pass']:.0f} passes of {1000 * seconds['pass']:.2f} ms; {note}",
        ),
        (
            f"{10 * MILLION:,} bars, peer ten times {MILLION:,}, ms",
            1000 * seconds["ours on ten"],
            10_000 * seconds["ours"],
            LINEAR_TARGET,
            note,
        ),
    ]


def one_by_one(count: int) -> list[ROW]:
    """What a live bar costs after a short and after a long history, levels of days, weeks and sessions included."""
    bars = minute_bars(MILLION + count)
    medians = {}
    for history in (5_000, MILLION):
        live = LivePatterns()
        live.extend(bars.iloc[:history])
        new = bars.iloc[history : history + count]
        columns = [new[name].tolist() for name in ("open", "high", "low", "close", "volume")]
        medians[history] = statistics.median(
            seconds_of(partial(live.add, *bar)) for bar in zip(*columns, new.index, strict=True)
        )
    note = f"median of {count:,} minutes, peer"
    return [
        (f"a bar after {MILLION:,}, ms", 1000 * medians[MILLION], 1.0, 1.0, f"{note} the limit"),
        (
            f"a bar after {MILLION:,}, peer after 5,000, ms",
            1000 * medians[MILLION],
            1000 * medians[5_000],
            LINEAR_TARGET,
            f"{note} after 5,000",
        ),
    ]


def seconds_of(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def walked(count: int) -> pd.DataFrame:
    """Bars of a random walk without times, which the five patterns do not ask for."""
    random = np.random.default_rng(7)
    close = 1.1 * np.exp(np.cumsum(random.normal(0, 1.2e-4, count)))
    opened = np.r_[close[:1], close[:-1]]
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * (1 + np.abs(random.normal(0, 5e-5, count))),
        "low": np.minimum(opened, close) * (1 - np.abs(random.normal(0, 5e-5, count))),
        "close": close,
        "volume": random.integers(1, 500, count).astype(float),
    }
    return pd.DataFrame(columns)


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    os.environ["SMC_CREDIT"] = "0"  # the peer prints a request for stars otherwise
    rounds = 1 if options.quick else 3
    rows = [
        against_peer("5,000 real bars, ms", sample(), SAMPLE_TARGET, 3 * rounds),
        against_peer(f"{LONG:,} bars, ms", minute_bars(LONG), LONG_TARGET, 1),
        *against_memory(3 * rounds),
        *one_by_one(500 if options.quick else 5_000),
    ]
    return report(rows, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
