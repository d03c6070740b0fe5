"""Thirty symbols on five timeframes from the store to ranked setups, and the printed detect_… calls beside a peer.

`python benchmarks/scan_many.py [--quick] [--json]`. The scan reads 5,000 bars of each of M5, M15, H1, H4 and D1, finds
every pattern, follows every candidate and ranks the setups, in one process; its peer is the reading of those very bars
alone. The calls return lists of dictionaries; smartmoneyconcepts' return frames of labels that look ahead. First a scan
of all bars must say what scans of its prefixes said, and the gaps of both sides must be equal. The sides take turns
(A B A B …), the first turn is not counted; medians are compared. The peer comes with requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from backtest import in_turn, sample
from session import report

from data.bar_store import BarStore
from market.calendar import day_clock
from market.resample import period_starts
from market.symbols import AssetClass
from market.timeframes import Timeframe
from scanner.layers import layers_of
from scanner.multi_timeframe_scanner import MultiTimeframeScanner
from scanner.patterns.all import find_gaps
from scanner.patterns.settings import PatternSettings
from scanner.reading import newest_times
from scanner.scan import Asked, ScanSettings, scan_symbol
from scanner.setups import SetupSettings, find_candidates, ranked
from scanner.store import enter_scans

SYMBOLS = (  # noqa: SIM905  # thirty names read better in a line than in a column
    "EURUSD GBPUSD USDJPY USDCHF AUDUSD NZDUSD USDCAD EURGBP EURJPY EURCHF EURAUD EURNZD EURCAD GBPJPY GBPCHF "
    "GBPAUD GBPNZD GBPCAD AUDJPY AUDNZD AUDCAD AUDCHF NZDJPY NZDCAD NZDCHF CADJPY CADCHF CHFJPY XAUUSD XAGUSD"
).split()
TIMEFRAMES = (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
BARS = 5_000
SCAN_TARGET, DETECT_TARGET = 3.0, 1 / 25
LAST = pd.Timestamp("2026-11-20 20:00", tz="UTC")


@contextmanager
def filled_store(symbols: list[str]) -> Iterator[None]:
    """A workbench of its own whose store holds the bars."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEQUENCE_HOME"] = home
        store = BarStore()
        for number, symbol in enumerate(symbols):
            for timeframe in TIMEFRAMES:
                store.add(symbol, timeframe, "Walk", walked(timeframe, number), now=LAST + pd.Timedelta(days=9))
        yield


def walked(timeframe: Timeframe, seed: int) -> pd.DataFrame:
    """A random walk on the open times that an FX calendar has."""
    step = min(timeframe.minutes, 60)
    many = BARS * max(1, timeframe.minutes // 60) * 2
    moments = pd.date_range(end=LAST, periods=many, freq=pd.Timedelta(minutes=step), unit="us")
    moments = moments[day_clock(moments, AssetClass.FX).day_of_week < 5]
    times = period_starts(moments, timeframe, AssetClass.FX).unique()[-BARS:]
    random = np.random.default_rng([seed, timeframe.minutes])
    spread = 2e-4 * np.sqrt(timeframe.minutes / 5)
    close = 1.1 * np.exp(np.cumsum(random.normal(0, spread, len(times))))
    opened = np.r_[1.1, close[:-1]]
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * (1 + np.abs(random.normal(0, spread / 2, len(times)))),
            "low": np.minimum(opened, close) * (1 - np.abs(random.normal(0, spread / 2, len(times)))),
            "close": close,
            "volume": random.integers(1, 500, len(times)).astype(float),
        },
        index=pd.DatetimeIndex(times, name="time"),
    )


def check_prefixes(bars: pd.DataFrame) -> str:
    """Every candidate of some prefixes must be one of the whole, as it was seen then."""

    def found(some: pd.DataFrame) -> Any:
        layers = layers_of(some, Timeframe.H1, (Timeframe.H4, Timeframe.D1), PatternSettings(), AssetClass.FX)
        return find_candidates(layers, "EURUSD", SetupSettings())

    whole = found(bars)
    lengths = range(200, len(bars), 480)
    for length in lengths:
        then, later = found(bars.iloc[:length]), whole.as_seen(length - 1)
        for name in ("places", "figures", "status", "ended"):
            if not np.array_equal(getattr(then, name), getattr(later, name), equal_nan=True):
                raise RuntimeError(f"{name} of the first {length} bars were rewritten")
    return f"0 of {len(whole):,} candidates rewritten in {len(lengths)} prefixes"


def from_the_store(symbols: list[str], rounds: int) -> tuple[str, float, float, float, str]:
    """Scan and rank against reading alone, seconds."""
    settings = ScanSettings(bars=BARS)

    def read() -> int:
        store = BarStore()
        return sum(len(store.bars(symbol, timeframe)) for symbol in symbols for timeframe in TIMEFRAMES)

    def scan() -> list[Any]:
        newest = newest_times()
        asked = [Asked(symbol, TIMEFRAMES, last=newest[symbol]) for symbol in symbols]
        return [each for one in asked for each in scan_symbol(settings, one)]

    def best() -> list[Any]:
        return ranked(setup for each in scan() for setup in each.setups)

    with filled_store(symbols):
        held = check_prefixes(walked(Timeframe.H1, 0))
        bars = read()
        if bars != len(symbols) * len(TIMEFRAMES) * BARS:
            raise RuntimeError(f"the store holds {bars:,} bars")
        failed = [each.failure for each in scan() if each.failure]
        if failed:
            raise RuntimeError(failed[0])
        seconds = in_turn({"scan": best, "read": read}, rounds)
        scans = scan()
        began = time.perf_counter()
        enter_scans(scans, {})
        entering = time.perf_counter() - began
    found = sum(each.findings for each in scans)
    note = f"{found:,} findings, {sum(setup.is_setup for each in scans for setup in each.setups):,} new setups; {held}"
    name = f"{len(symbols)} symbols × {len(TIMEFRAMES)} timeframes × {BARS:,} bars, peer reads them, s"
    return name, seconds["scan"], seconds["read"], SCAN_TARGET, f"{note}; entering them {entering:.2f} s more"


def detected(rounds: int) -> tuple[str, float, float, float, str]:
    """The four printed calls against the peer's functions that they stand for, milliseconds."""
    from smartmoneyconcepts import smc

    bars = sample()
    plain = bars.reset_index(drop=True)
    mine, labels = find_gaps(bars, PatternSettings(fvg_threshold=0)), smc.fvg(plain).dropna()
    if mine.formed.tolist() != labels.index.tolist() or mine.high.tolist() != labels["Top"].tolist():
        raise RuntimeError("the gaps differ from smartmoneyconcepts'")
    scanner = MultiTimeframeScanner()

    def ours() -> int:
        calls = (
            scanner.detect_liquidity_sweeps(bars),
            scanner.detect_break_of_structure(bars),
            scanner.detect_fair_value_gaps(bars),
            scanner.detect_order_blocks(bars),
        )
        return sum(map(len, calls))

    def theirs() -> Any:
        swings = smc.swing_highs_lows(plain, 10)
        return smc.liquidity(plain, swings), smc.bos_choch(plain, swings), smc.fvg(plain), smc.ob(plain, swings)

    seconds = in_turn({"ours": ours, "peer": theirs}, rounds)
    note = f"{ours():,} dictionaries, {len(mine):,} gaps equal to the peer's; medians of {rounds}, in turn"
    return "detect_… on 5,000 real bars, ms", 1000 * seconds["ours"], 1000 * seconds["peer"], DETECT_TARGET, note


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five symbols, one round of each")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    os.environ["SMC_CREDIT"] = "0"  # the peer prints a request for stars otherwise
    rounds = 1 if options.quick else 3
    rows = [from_the_store(SYMBOLS[:5] if options.quick else SYMBOLS, rounds), detected(5 * rounds)]
    return report(rows, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
