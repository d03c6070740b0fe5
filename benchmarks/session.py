"""A browser's session without a browser: starts a Streamlit server, asks for a page, counts time and bytes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Whoever runs a benchmark has this folder first on the path, where `scanner.py` would hide the package of that name.
if Path(sys.path[0]).resolve() == ROOT / "benchmarks":
    sys.path.append(sys.path.pop(0))


@dataclass(frozen=True)
class Answer:
    """How long a run of the script took, from the question to its end, and what it sent."""

    seconds: float
    sent_bytes: int


@contextmanager
def server(script: Path, home: Path) -> Iterator[int]:
    """A server of its own for `script` over the workbench `home`; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    options = ("--server.address", "127.0.0.1", "--server.headless", "true", "--server.fileWatcherType", "none")
    started = subprocess.Popen(
        [*command, *options],
        cwd=script.parent,
        env={**os.environ, "SEQUENCE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        started.kill()
        started.wait()


async def ask(port: int, page: str = "", query: str = "", times: int = 1) -> list[Answer]:
    """Open a session as a browser does and let it run the page so many times; waits until the server is up."""
    from websockets.asyncio.client import connect

    while True:
        try:
            connection = await connect(f"ws://127.0.0.1:{port}/_stcore/stream", max_size=None)
            break
        except OSError:
            await asyncio.sleep(0.01)
    async with connection:
        return [await _run(connection, page, query) for _ in range(times)]


async def _run(connection: Any, page: str, query: str) -> Answer:
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    question = BackMsg()
    question.rerun_script.query_string = query
    question.rerun_script.page_name = page
    began, sent = time.perf_counter(), 0
    await connection.send(question.SerializeToString())
    async for data in connection:
        raw = data if isinstance(data, bytes) else data.encode()
        sent += len(raw)
        message = ForwardMsg()
        message.ParseFromString(raw)
        if message.WhichOneof("type") == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                continue
            if message.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                raise RuntimeError(f"the script ended with status {message.script_finished}")
            return Answer(time.perf_counter() - began, sent)
    raise RuntimeError("the server closed the session")


def report(rows: Iterable[tuple[str, float, float, float, str]], *, as_json: bool) -> int:
    """Print (name, ours, peer, highest ratio, note) a line each as they come; 0 when every target is met."""
    met = True
    for name, ours, peer, target, note in rows:
        ratio = ours / peer
        met &= ratio <= target
        row = {
            "name": name,
            "ours": round(ours, 3),
            "peer": round(peer, 3),
            "ratio": float(f"{ratio:.3g}"),
            "target": float(f"{target:.3g}"),
            "met": ratio <= target,
            "note": note,
        }
        words = "met" if row["met"] else "missed"
        print(
            json.dumps(row)
            if as_json
            else f"{name}: {row['ours']}, peer {row['peer']}, ratio {row['ratio']} (target {target}, {words}); {note}"
        )
    return 0 if met else 1
