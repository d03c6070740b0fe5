"""How long a user waits for the first page: Overview against an empty Streamlit app that imports pandas.

`python benchmarks/startup.py [--quick] [--json]`. Both sides are started as `streamlit run` in a process of
their own, in turn, and timed from the start of the process until a browser's session has finished its
first run of the script. What the browser draws afterwards is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from session import ROOT, ask, report, server

TARGET = 1.7
PEER = "import pandas as pd\nimport streamlit as st\n\nst.title('Empty')\nst.write(pd.__version__)\n"


def seconds_to_first_page(script: Path, home: Path) -> float:
    """One cold start."""
    began = time.perf_counter()
    with server(script, home) as port:
        asyncio.run(asyncio.wait_for(ask(port), 60))
        return time.perf_counter() - began


def fill(home: Path) -> None:
    """Leave the sample workflow's result in `home`."""
    command = "import workbench; workbench.run_sample_workflow()"
    subprocess.run([sys.executable, "-c", command], env={**os.environ, "SEQUENCE_HOME": str(home)}, check=True)


def main() -> int:
    """Measure, print the table, and return 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    rounds = 3 if options.quick else 9
    with tempfile.TemporaryDirectory() as folder:
        empty, filled, peer = Path(folder) / "empty", Path(folder) / "filled", Path(folder) / "peer"
        for each in (empty, filled, peer):
            each.mkdir()
        fill(filled)
        (peer / "app.py").write_text(PEER, encoding="utf-8")
        sides = {
            "empty": (ROOT / "app.py", empty),
            "filled": (ROOT / "app.py", filled),
            "peer": (peer / "app.py", peer),
        }
        for script, home in sides.values():  # byte code and disk cache are warm for everybody
            seconds_to_first_page(script, home)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (script, home) in sides.items():
                times[name].append(seconds_to_first_page(script, home))
    medians = {name: statistics.median(values) for name, values in times.items()}
    note = f"seconds, median of {rounds}, interleaved; peer: an empty Streamlit app that imports pandas"
    return report(
        [
            (f"first finished run of Overview, {name} workbench", medians[name], medians["peer"], TARGET, note)
            for name in ("empty", "filled")
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
