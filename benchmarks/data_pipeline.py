"""How fast bars are kept, read back and joined, each beside the other ways there are.

`python benchmarks/data_pipeline.py [--quick] [--json]`. The bars are a random walk of EURUSD on the minutes in
which FX trades. All sides run in this process, in turn (A B A B …), each once before it counts; medians are
compared, and what both sides give is compared too. Readers that are not installed are named as missing:
connectorx and adbc-driver-sqlite are no part of Sequence.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from session import report

from data.bar_store import BarStore
from market.resample import resample_bars
from market.timeframes import Timeframe
from pages import minute_bars

KEPT, JOINED = 1_000_000, 5_000_000
ADDING_TARGET, READING_TARGET, JOINING_TARGET = 1.5, 1.5, 0.333
ROW = tuple[str, float, float, float, str]
SELECTED = (
    "SELECT time, open, high, low, close, volume FROM market_data WHERE symbol = 'EURUSD' AND timeframe = 'M1' "
    "AND type = 'historical' AND source = 'made' ORDER BY time"
)
INSERTED = (
    "INSERT INTO market_data (symbol, timeframe, type, source, fetched_at, time, open, high, low, close, volume) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def medians(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of the seconds each side says it took, the sides in turn; the first turn is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            took = side()
            if turn:
                seconds[name].append(took)
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    """`work`, answering how many seconds it took."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def adding(rounds: int, folder: Path) -> list[ROW]:
    """A million bars into a store of their own: BarStore against rows ready for `executemany`, in the same tables."""
    bars = minute_bars(KEPT)
    stamps = pd.DatetimeIndex(bars.index).as_unit("ms").asi8.tolist()
    constants = ("EURUSD", "M1", "historical", "made", 0)
    rows = [(*constants, *row) for row in zip(stamps, *(bars[name].tolist() for name in bars), strict=True)]
    homes = (folder / f"home {number}" for number in range(10_000))

    def new_store() -> BarStore:
        os.environ["SEQUENCE_HOME"] = str(next(homes))
        store = BarStore()
        store.add("GBPUSD", Timeframe.M1, "made", bars.iloc[:1])
        return store

    def ours() -> float:
        store = new_store()
        took = timed(lambda: store.add("EURUSD", Timeframe.M1, "made", bars))()
        if store.held()["rows"].tolist() != [1, KEPT]:
            raise RuntimeError("not all bars were kept")
        return took

    def raw() -> float:
        new_store()
        with closing(sqlite3.connect(database(), isolation_level=None)) as connection:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")

            def insert() -> None:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(INSERTED, rows)
                connection.execute("COMMIT")

            return timed(insert)()

    seconds = medians({"ours": ours, "raw": raw}, rounds)
    note = f"checked, compared and kept, against ready rows through executemany; median of {rounds}, interleaved"
    return [(f"adding {KEPT:,} bars, s", seconds["ours"], seconds["raw"], ADDING_TARGET, note)]


def database() -> Path:
    """The file of the store in force."""
    return Path(os.environ["SEQUENCE_HOME"]) / "output_central" / "market_data.db"


def reading(rounds: int, folder: Path) -> list[ROW]:
    """A million bars out of it: BarStore, which gives the contract, against what others give of the same rows."""
    os.environ["SEQUENCE_HOME"] = str(folder / "reading")
    bars, store = minute_bars(KEPT), BarStore()
    store.add("EURUSD", Timeframe.M1, "made", bars)
    pd.testing.assert_frame_equal(store.bars("EURUSD", Timeframe.M1), bars, check_exact=True)
    file = str(database())
    with closing(sqlite3.connect(file)) as connection:

        def from_iterator() -> Any:
            return np.fromiter(chain.from_iterable(connection.execute(SELECTED)), dtype="float64").reshape(-1, 6)

        def connectorx() -> Any:
            import connectorx  # type: ignore[import-not-found]

            return connectorx.read_sql(f"sqlite://{file}", SELECTED)

        def adbc() -> Any:
            from adbc_driver_sqlite import dbapi  # type: ignore[import-not-found]

            with dbapi.connect(file) as other, other.cursor() as cursor:
                cursor.execute(SELECTED)
                return cursor.fetch_arrow_table().to_pandas()

        readers: dict[str, Callable[[], Any]] = {
            "sqlite3 and np.array": lambda: np.array(connection.execute(SELECTED).fetchall()),
            "sqlite3 and np.fromiter": from_iterator,
            "pandas.read_sql": lambda: pd.read_sql(SELECTED, connection),
            "connectorx": connectorx,
            "adbc": adbc,
        }
        missing = []
        for name, read in list(readers.items()):
            try:
                rows = len(read())
            except ImportError:
                missing.append(name)
                del readers[name]
            else:
                if rows != KEPT:
                    raise RuntimeError(f"{name} read {rows} rows")
        sides = {"ours": lambda: store.bars("EURUSD", Timeframe.M1), **readers}
        seconds = medians({name: timed(side) for name, side in sides.items()}, rounds)
    ours = seconds.pop("ours")
    fastest = min(seconds, key=seconds.__getitem__)
    others = ", ".join(f"{name} {took:.2f}" for name, took in sorted(seconds.items(), key=lambda each: each[1]))
    note = f"peer: {fastest} ({others}; missing: {', '.join(missing) or 'none'}); median of {rounds}, interleaved"
    return [(f"reading {KEPT:,} bars, s", ours, seconds[fastest], READING_TARGET, note)]


def joining(rounds: int, _folder: Path) -> list[ROW]:
    """Five million minutes into hours: resample_bars against the two ways pandas has."""
    bars = minute_bars(JOINED)
    how: dict[str, Any] = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    sides: dict[str, Callable[[], pd.DataFrame]] = {
        "ours": lambda: resample_bars(bars, Timeframe.H1),
        "resample": lambda: bars.resample("1h").agg(how).dropna(),
        "groupby": lambda: bars.groupby(pd.DatetimeIndex(bars.index).floor("h")).agg(how),
    }
    hours = sides["ours"]()
    for name in ("resample", "groupby"):
        theirs = sides[name]().iloc[: len(hours)]  # we leave out an hour that is not over
        pd.testing.assert_frame_equal(hours, theirs, check_exact=True, check_freq=False, check_names=False)
    seconds = medians({name: timed(side) for name, side in sides.items()}, rounds)
    ours, fastest = seconds.pop("ours"), min(seconds, key=seconds.__getitem__)
    others = ", ".join(f"{name} {took:.3f}" for name, took in seconds.items())
    note = f"peer: pandas' {fastest} ({others}); median of {rounds}, interleaved; equal to the last bit"
    return [(f"joining {JOINED:,} minutes into hours, s", ours, seconds[fastest], JOINING_TARGET, note)]


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of five")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    rounds = 3 if options.quick else 5
    rows: list[ROW] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in (adding, reading, joining):
            rows += subject(rounds, Path(folder))
    return report(rows, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
