"""How long a user waits for the first page: Overview against an empty Streamlit app that imports pandas.

`python benchmarks/startup.py [--quick] [--json]`. Both sides are started as `streamlit run` in a process of
their own, in turn, and timed from the start of the process until a browser's session has finished its
first run of the script. What the browser draws afterwards is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = 1.7
PEER = "import pandas as pd\nimport streamlit as st\n\nst.title('Empty')\nst.write(pd.__version__)\n"


async def first_finished_run(port: int) -> None:
    """Connect as a browser does, ask for the page, and wait until its script has ended well."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.asyncio.client import connect

    ask = BackMsg()
    ask.rerun_script.query_string = ""
    while True:
        try:
            connection = await connect(f"ws://127.0.0.1:{port}/_stcore/stream", max_size=None)
            break
        except OSError:
            await asyncio.sleep(0.01)
    async with connection:
        await connection.send(ask.SerializeToString())
        async for data in connection:
            message = ForwardMsg()
            message.ParseFromString(data if isinstance(data, bytes) else data.encode())
            if message.WhichOneof("type") == "script_finished":
                if message.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                    raise RuntimeError(f"the script ended with status {message.script_finished}")
                return


def seconds_to_first_page(script: Path, home: Path) -> float:
    """One cold start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    options = ("--server.address", "127.0.0.1", "--server.headless", "true", "--server.fileWatcherType", "none")
    began = time.perf_counter()
    server = subprocess.Popen(
        [*command, *options],
        cwd=script.parent,
        env={**os.environ, "SEQUENCE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        asyncio.run(asyncio.wait_for(first_finished_run(port), 60))
        return time.perf_counter() - began
    finally:
        server.kill()
        server.wait()


def fill(home: Path) -> None:
    """Leave the sample workflow's result in `home`."""
    command = "import workbench; workbench.run_sample_workflow(lambda step, words: None)"
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
    rows = [
        {
            "name": f"first finished run of Overview, {name} workbench",
            "ours": round(medians[name], 3),
            "peer": round(medians["peer"], 3),
            "ratio": round(medians[name] / medians["peer"], 2),
            "target": TARGET,
            "met": medians[name] / medians["peer"] <= TARGET,
            "note": f"seconds, median of {rounds}, interleaved; peer: an empty Streamlit app that imports pandas",
        }
        for name in ("empty", "filled")
    ]
    for row in rows:
        print(
            json.dumps(row)
            if options.json
            else f"{row['name']}: {row['ours']} s, peer {row['peer']} s, ratio {row['ratio']} (target {TARGET}, "
            f"{'met' if row['met'] else 'missed'})"
        )
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
