"""How fast bars are kept, read back, joined, read from a file, judged and stored, each beside the other ways there are.

`python benchmarks/data_pipeline.py [--quick] [--json]`. The bars are a random walk of EURUSD on the minutes in
which FX trades. All sides run in this process, in turn (A B A B …), each once before it counts, the slow ones on
fewer rows; medians are compared, and what both sides give is compared too. Readers that are not installed are
named as missing: connectorx and adbc-driver-sqlite are no part of Sequence. Peak memory is that of a process of
its own.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from session import report

from core.settings import current_settings
from data.bar_store import BarStore
from data.features import engineered_features
from data.sources.histdata_files import read_file
from data.validation import validate_frame
from data.versions import hash_of, write_and_hash
from market.bars import PRICES, RAW_COLUMNS
from market.resample import resample_bars
from market.timeframes import Timeframe
from pages import minute_bars

KEPT, MANY, COMPARED = 1_000_000, 5_000_000, 500_000
FILE = "DAT_ASCII_EURUSD_M1_2020.csv"
ADDING_TARGET, READING_TARGET, JOINING_TARGET = 1.5, 1.5, 0.333
PREPARING_TARGET, WRITING_TARGET, JUDGING_TARGET = 0.2, 1.5, 3.0
MOST_MIB = 1536.0
FEATURES = (
    "return_1",
    "log_return_1",
    "sma_10",
    "sma_20",
    "sma_50",
    "ema_20",
    "ema_50",
    "volatility_20",
    "atr_14",
    "rsi_14",
    "macd",
    "macd_signal",
    "bollinger_position",
    "bollinger_width",
    "high_distance_20",
    "low_distance_20",
)
ROW = tuple[str, float, float, float, str]
SELECTED = (
    "SELECT time, open, high, low, close, volume FROM market_data WHERE symbol = 'EURUSD' AND timeframe = 'M1' "
    "AND type = 'historical' AND source = 'made' ORDER BY time"
)
INSERTED = (
    "INSERT INTO market_data (symbol, timeframe, type, source, fetched_at, time, open, high, low, close, volume) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def medians(sides: dict[str, Callable[[], float]], rounds: int, *, warm: bool = False) -> dict[str, float]:
    """The median of the seconds each side says it took, the sides in turn; a first turn is left out unless `warm`."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + (not warm)):
        for name, side in sides.items():
            took = side()
            if turn or warm:
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

    seconds = medians({"ours": ours, "raw": raw}, rounds, warm=True)  # each began with a store of one bar
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
        seconds = medians({name: timed(side) for name, side in sides.items()}, rounds, warm=True)
    ours = seconds.pop("ours")
    fastest = min(seconds, key=seconds.__getitem__)
    others = ", ".join(f"{name} {took:.2f}" for name, took in sorted(seconds.items(), key=lambda each: each[1]))
    note = f"peer: {fastest} ({others}; missing: {', '.join(missing) or 'none'}); median of {rounds}, interleaved"
    return [(f"reading {KEPT:,} bars, s", ours, seconds[fastest], READING_TARGET, note)]


def joining(rounds: int, _folder: Path) -> list[ROW]:
    """Five million minutes into hours: resample_bars against the two ways pandas has."""
    bars = many_bars()
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
    return [(f"joining {MANY:,} minutes into hours, s", ours, seconds[fastest], JOINING_TARGET, note)]


@cache
def many_bars() -> pd.DataFrame:
    """Five million minutes: more than thirteen years."""
    return minute_bars(MANY)


def write_histdata(bars: pd.DataFrame, file: Path) -> None:
    """`bars` as HistData writes them: five digits, on a clock five hours behind UTC, without volume."""
    wall = (pd.DatetimeIndex(bars.index) - pd.Timedelta(hours=5)).tz_localize(None)
    line = np.frombuffer(b"00000000 000000;0.00000;0.00000;0.00000;0.00000;0\n", dtype=np.uint8)
    lines = np.tile(line, (len(bars), 1))

    def fill(numbers: Any, at: int, width: int) -> None:
        for place in reversed(range(at, at + width)):
            numbers, digits = np.divmod(numbers, 10)
            lines[:, place] = digits + ord("0")

    fill((wall.year * 100 + wall.month) * 100 + wall.day, 0, 8)
    fill(wall.hour * 100 + wall.minute, 9, 4)
    for at, name in zip((16, 24, 32, 40), PRICES, strict=True):
        whole, fraction = np.divmod(np.rint(bars[name].to_numpy() * 1e5).astype("int64"), 100_000)
        fill(whole, at, 1)
        fill(fraction, at + 2, 5)
    lines.tofile(file)


def prepared(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ours: the checked bars of a file, and their features."""
    bars = read_file(file).bars
    return bars, engineered_features(bars, FEATURES)


def prepared_by_pandas(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same in plain pandas with its C reader, whose clock must be told."""
    bars = pd.read_csv(
        file,
        sep=";",
        header=None,
        names=["time", *RAW_COLUMNS],
        dtype=dict.fromkeys(RAW_COLUMNS, "float64"),
        index_col="time",
        parse_dates=["time"],
        date_format="%Y%m%d %H%M%S",
        engine="c",
    )
    bars.index = pd.DatetimeIndex(bars.index).tz_localize("Etc/GMT+5").tz_convert("UTC")
    in_order = bars.index.is_monotonic_increasing and bars.index.is_unique
    opened, high, low, close = (bars[name] for name in PRICES)
    whole = np.isfinite(bars).all(axis=None) and (bars[list(PRICES)] > 0).all(axis=None)
    if not (
        in_order and whole and (high >= np.maximum(opened, close)).all() and (low <= np.minimum(opened, close)).all()
    ):
        raise RuntimeError("these are no bars")
    before = close.shift()
    gained = close.diff()
    ranges = pd.Series(np.fmax(high - low, np.fmax((high - before).abs(), (low - before).abs())), index=bars.index)
    gain, loss = wilder(gained.clip(lower=0)), wilder((-gained).clip(lower=0))
    returns = close.pct_change()
    middle, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    macd = exponential(close, 12) - exponential(close, 26)
    features = {
        "return_1": returns,
        "log_return_1": np.log(close / before),
        "sma_10": close.rolling(10).mean(),
        "sma_20": middle,
        "sma_50": close.rolling(50).mean(),
        "ema_20": exponential(close, 20),
        "ema_50": exponential(close, 50),
        "volatility_20": returns.rolling(20).std(),
        "atr_14": wilder(ranges),
        "rsi_14": 100 - 100 / (1 + gain / loss),
        "macd": macd,
        "macd_signal": exponential(macd, 9),
        "bollinger_position": (close - middle) / (4 * deviation) + 0.5,
        "bollinger_width": 4 * deviation / middle,
        "high_distance_20": close / high.rolling(20).max() - 1,
        "low_distance_20": close / low.rolling(20).min() - 1,
    }
    return bars, pd.DataFrame(features, copy=False)


def exponential(values: pd.Series, length: int) -> pd.Series:
    """The exponential mean of that span."""
    return values.ewm(span=length, adjust=False, min_periods=length).mean()


def wilder(values: pd.Series, length: int = 14) -> pd.Series:
    """Wilder's mean: the plain one of the first values, then each moves it by 1 / `length` of its distance."""
    at = int(np.argmax(values.notna())) + length
    seeded = values.copy()
    seeded.iloc[: at - 1] = np.nan
    seeded.iloc[at - 1] = values.iloc[at - length : at].mean()
    return seeded.ewm(alpha=1 / length, adjust=False).mean()


def preparing(rounds: int, folder: Path) -> list[ROW]:
    """Five million lines of HistData's into bars with 16 features: ours against plain pandas; and our memory."""
    file, short = folder / FILE, folder / "short" / FILE
    short.parent.mkdir()
    write_histdata(many_bars().iloc[:COMPARED], short)
    (bars, features), (their_bars, their_features) = prepared(short), prepared_by_pandas(short)
    # pandas reads numbers to within the last bit.
    pd.testing.assert_frame_equal(bars, their_bars, check_exact=False, rtol=1e-15, atol=0, check_freq=False)
    pd.testing.assert_frame_equal(features, their_features, check_exact=False, rtol=1e-9, atol=1e-12, check_freq=False)
    write_histdata(many_bars(), file)
    command = [sys.executable, __file__, "--peak", str(file)]
    peak = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    sides = {"ours": timed(lambda: prepared(file)), "pandas": timed(lambda: prepared_by_pandas(file))}
    seconds = medians(sides, rounds, warm=True)
    note = f"a file of {file.stat().st_size / 2**20:.0f} MiB, features equal to 1e-9; median of {rounds}, interleaved"
    return [
        (f"{MANY:,} lines into 16 features, s", seconds["ours"], seconds["pandas"], PREPARING_TARGET, note),
        (f"{MANY:,} lines into 16 features, MiB", peak, MOST_MIB, 1.0, "peak of a process of its own, peer the limit"),
    ]


def writing(rounds: int, folder: Path) -> list[ROW]:
    """The version of five million bars and 16 features, written and hashed, against pyarrow that only writes it."""
    import pyarrow as pa
    from pyarrow import parquet

    bars, features = prepared(folder / FILE)  # as `preparing` left it
    frame = pd.concat([bars.assign(symbol="EURUSD", source="HistData"), features], axis=1)
    ours, theirs = folder / "ours.parquet", folder / "theirs.parquet"

    def write_alone(frame: pd.DataFrame = frame) -> None:
        parquet.write_table(pa.Table.from_pandas(frame), theirs, compression="zstd")

    part = frame.iloc[:COMPARED]
    if write_and_hash(part, ours) != hash_of(part):
        raise RuntimeError("the hash of what was written is another")
    write_alone(part)
    pd.testing.assert_frame_equal(pd.read_parquet(ours), pd.read_parquet(theirs), check_exact=True)
    sides = {"ours": timed(lambda: write_and_hash(frame, ours)), "pyarrow": timed(write_alone)}
    seconds = medians(sides, rounds, warm=True)
    sizes = " and ".join(f"{file.stat().st_size / 2**20:.0f}" for file in (ours, theirs))
    note = f"zstd both, files of {sizes} MiB, read back equal to the last bit; median of {rounds}, interleaved"
    name = f"writing and hashing {MANY:,} bars with 16 features, s"
    return [(name, seconds["ours"], seconds["pyarrow"], WRITING_TARGET, note)]


def judging(rounds: int, _folder: Path) -> list[ROW]:
    """Every rule over five million bars of one source, compared with another's, against `describe()` of the prices."""
    bars = many_bars().copy()
    bars.iloc[1_000:1_100] = np.nan  # something to find
    bars.iloc[2_000:2_010, 3] *= 1.2
    frame = bars.assign(symbol="EURUSD", source="made")
    other = frame.assign(source="other", close=frame["close"] * (1 + np.random.default_rng(8).normal(0, 1e-4, MANY)))
    limits = current_settings().data
    found = validate_frame(frame, limits, [other])
    broken = {rule.rule: rule.count for rule in found if rule.count}
    if broken.get("missing_values") != 500 or broken.get("ohlc_sanity") != 10:
        raise RuntimeError(f"the rules found {broken}")
    prices = frame[list(PRICES)]
    sides = {"ours": timed(lambda: validate_frame(frame, limits, [other])), "describe": timed(prices.describe)}
    seconds = medians(sides, rounds)
    note = f"{len(found)} rules against pandas' describe() of four columns; median of {rounds}, interleaved"
    return [(f"judging {MANY:,} bars, s", seconds["ours"], seconds["describe"], JUDGING_TARGET, note)]


def peak_mib() -> float:
    """Most resident memory that this process ever had, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # what `resource` says here was handed down by the process that started this one
        high_water = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(high_water.split()[1]) / 1024
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the slow ones, three of the others")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        prepared(options.peak)
        print(peak_mib())
        return 0
    few, many = (1, 3) if options.quick else (3, 5)
    rows: list[ROW] = []
    with tempfile.TemporaryDirectory() as folder:
        subjects = ((adding, few), (reading, few), (joining, many), (preparing, few), (writing, few), (judging, many))
        for subject, rounds in subjects:
            rows += subject(rounds, Path(folder))
    return report(rows, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
