"""Whether a page stays quick when the data grow: Backtesting on a million bars against the same page on 5,000.

`python benchmarks/pages.py [--quick] [--json]`. Both workbenches hold made minute bars (a random walk on FX
hours) and one MA crossover run on them, about 48,000 trades on the large one. Each page is opened once, then
run again in turn (A B A B …) in the session of a client that speaks to the server as a browser does.
What the browser draws afterwards is not measured. Making the data takes about 15 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from session import ROOT, Answer, ask, report, server

SMALL, LARGE = 5_000, 1_000_000
TARGET_RATIO, TARGET_BYTES = 1.5, 2**20


def minute_bars(count: int) -> pd.DataFrame:
    """A random walk of EURUSD on the minutes in which FX trades, from January 2020."""
    random = np.random.default_rng(7)
    times = pd.date_range("2020-01-05 22:00", periods=int(count * 1.45) + 10, freq="min", tz="UTC")
    wall = times.tz_convert("America/New_York")
    day, hour = wall.day_of_week, wall.hour
    closed = (day == 5) | ((day == 4) & (hour >= 17)) | ((day == 6) & (hour < 17))
    close = 1.1 * np.exp(np.cumsum(random.normal(0, 1.2e-4, count)))
    opened = np.r_[close[0], close[:-1]]
    bars = {
        "open": opened,
        "high": np.maximum(opened, close) * (1 + np.abs(random.normal(0, 5e-5, count))),
        "low": np.minimum(opened, close) * (1 - np.abs(random.normal(0, 5e-5, count))),
        "close": close,
        "volume": random.integers(1, 500, count).astype(float),
    }
    return pd.DataFrame(bars, index=pd.DatetimeIndex(times[~closed][:count], name="time"))


def fill(count: int) -> None:
    """Publish so many bars and one run on them, in the workbench that SEQUENCE_HOME names."""
    from data.pipeline_controller import controller
    from execution.backtest_manager import manager

    version = controller.publish(minute_bars(count).assign(symbol="EURUSD", source="made"))
    parameters = {"fast_length": 8, "slow_length": 24}
    result = manager.run_backtest(version, strategy_name="MA_Crossover", parameters=parameters)
    print(manager.save_result(result=result).trades_count)


def filled(count: int, home: Path) -> int:
    """Fill a workbench in a process of its own; how many trades its run has."""
    home.mkdir()
    command = [sys.executable, __file__, "--fill", str(count)]
    done = subprocess.run(
        command, env={**os.environ, "SEQUENCE_HOME": str(home)}, capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def measure(homes: dict[str, Path], rounds: int) -> dict[str, list[Answer]]:
    """Rerun the page of each workbench in turn; the first run of each, which fills caches, is left out."""
    answers: dict[str, list[Answer]] = {name: [] for name in homes}
    with server(ROOT / "app.py", homes["small"]) as small, server(ROOT / "app.py", homes["large"]) as large:
        ports = {"small": small, "large": large}
        for port in ports.values():
            asyncio.run(asyncio.wait_for(ask(port, "backtesting"), 120))
        for _ in range(rounds):
            for name, port in ports.items():
                answers[name] += asyncio.run(asyncio.wait_for(ask(port, "backtesting", times=2), 120))[1:]
    return answers


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five rounds instead of fifteen")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(options.fill)
        return 0
    rounds = 5 if options.quick else 15
    with tempfile.TemporaryDirectory() as folder:
        homes = {"small": Path(folder) / "small", "large": Path(folder) / "large"}
        filled(SMALL, homes["small"])
        trades = filled(LARGE, homes["large"])
        answers = measure(homes, rounds)
    seconds = {name: statistics.median(answer.seconds for answer in values) for name, values in answers.items()}
    sent = max(answer.sent_bytes for answer in answers["large"])
    note = f"{LARGE:,} bars and {trades:,} trades against {SMALL:,} bars; median of {rounds}, interleaved"
    return report(
        [
            ("rerun of Backtesting, s", seconds["large"], seconds["small"], TARGET_RATIO, note),
            ("bytes sent by a rerun, MiB", sent / 2**20, TARGET_BYTES / 2**20, 1.0, "peer is the limit"),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
