"""The bridge under load on the loopback: ticks, idle clients, memory, polling and reading beside much that is stored.

`python benchmarks/bridge.py [--quick] [--json]`. Single ticks are sent over 32 kept-alive connections by one process
that does nothing else. The peers are the same server, key and validation included, that answers without storing, and
that opens a connection and commits for each request; all sides are run in turn. Every tick is durable
(`synchronous=FULL`) before its answer, but for the peer that stores nothing. What much is stored is made while the
60 s under load go by, whose figure is memory and no speed.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import psutil
from session import ROOT

KEY = "a-key-for-this-benchmark"
CONNECTIONS = 32
Row = tuple[str, float, float, float, str]  # name, ours, peer, the least ratio, note


class Served(NamedTuple):
    """Where a server listens, and its process."""

    port: int
    process: psutil.Process


def serve(side: str, port: int) -> None:
    """Be the server of one side until killed."""
    from waitress import serve as waitress_serve

    from core.settings import current_settings, output_folder
    from mql5.api_server import _stay_on_one_core, create_app
    from mql5.bridge import ticks
    from mql5.bridge.ticks import Entered, TickRow

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    settings = current_settings().bridge
    _stay_on_one_core(settings)
    app = create_app()
    writer = app.extensions["bridge"].writer

    def store_nothing(rows: list[TickRow]) -> Entered:
        return Entered(len(rows))

    def commit_each(rows: list[TickRow]) -> Entered:
        with closing(sqlite3.connect(output_folder() / "mql5_data.db", timeout=30)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            [stored] = ticks._insert(connection.cursor(), [rows])
            connection.commit()
        return Entered(stored)

    if side != "bridge":
        writer.submit = store_nothing if side == "nothing" else commit_each
    waitress_serve(app, host="127.0.0.1", port=port, threads=settings.threads, ident="", _quiet=True)


@contextmanager
def server(side: str, home: Path, *, one_core: bool = False) -> Iterator[Served]:
    """A server of one side in a process of its own, from when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    variables = {"SEQUENCE_HOME": str(home), "SEQUENCE_BRIDGE_KEY": KEY, "PYTHONPATH": str(ROOT)}
    variables["SEQUENCE_BRIDGE__ONE_CORE"] = str(one_core).lower()
    variables["SEQUENCE_BRIDGE__TICKS_PER_SECOND"] = "100000000"
    started = subprocess.Popen([sys.executable, __file__, "--serve", side, str(port)], env={**os.environ, **variables})
    try:
        while started.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:  # it has not come to listening yet, of which nothing tells but asking
                time.sleep(0.02)
        else:
            raise RuntimeError(f"the server {side!r} ended before it listened")
        yield Served(port, psutil.Process(started.pid))
    finally:
        started.kill()
        started.wait()


def request(path: str, body: bytes | None = None) -> bytes:
    """One request as it goes over the wire."""
    method = "GET" if body is None else "POST"
    head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {KEY}\r\n"
    return f"{head}Content-Length: {len(body or b'')}\r\n\r\n".encode() + (body or b"")


def load(port: int, make: Callable[[int], bytes], seconds: float, connections: int = CONNECTIONS) -> list[float]:
    """Ask again and again over so many connections; the latencies in seconds. Raises when one is not answered 200."""
    selector, latencies, count = selectors.DefaultSelector(), [], 0
    began: dict[socket.socket, float] = {}
    received: dict[socket.socket, bytes] = {}
    until = time.perf_counter() + seconds
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(one, selectors.EVENT_READ)
        began[one], received[one], count = time.perf_counter(), b"", count + 1
        one.sendall(make(count))
    while began:
        for key, _ in selector.select():
            one = cast("socket.socket", key.fileobj)
            received[one] += one.recv(1 << 20)
            head, found, body = received[one].partition(b"\r\n\r\n")
            if not found:
                continue
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) < length:
                continue
            if b" 200 " not in head[:15]:
                raise RuntimeError((head + body)[:500])
            now = time.perf_counter()
            latencies.append(now - began[one])
            received[one] = b""
            if now >= until:
                selector.unregister(one)
                one.close()
                del began[one]
                continue
            began[one], count = now, count + 1
            one.sendall(make(count))
    return latencies


def single(count: int) -> bytes:
    """A tick that was never sent before."""
    stamp = time.time_ns() // 1_000_000
    tick = {"symbol": "EURUSD", "bid": 1.1, "ask": 1.1002, "volume": 1, "time_msc": stamp, "sequence": count}
    return request("/live_data/tick", json.dumps(tick).encode())


def batch(count: int) -> bytes:
    """A hundred of them."""
    stamp = time.time_ns() // 1_000_000
    tick = '{"symbol":"EURUSD","bid":1.1,"ask":1.1002,"volume":1,"time_msc":%d,"sequence":%d}'
    ticks = ",".join(tick % (stamp, count * 100 + number) for number in range(100))
    return request("/live_data/tick", f'{{"source":"ea","ticks":[{ticks}]}}'.encode())


def mixed(count: int) -> bytes:
    """Nine single ticks, then a hundred together."""
    return single(count) if count % 10 else batch(count)


def always(path: str) -> Callable[[int], bytes]:
    """The same question again and again."""
    asked = request(path)
    return lambda _count: asked


def fill(home: Path, signals: int, ticks: int) -> None:
    """Leave so many finished signals and stored ticks in `home`, and ten signals that wait."""
    os.environ["SEQUENCE_HOME"] = str(home)
    from core.store import Store
    from mql5.tables import MQL5_DATA

    with Store(MQL5_DATA).write() as connection:
        for count, status in ((signals, "executed"), (10, "pending")):
            connection.exec_driver_sql(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO trading_signals (created_at, symbol, signal_type, confidence, valid_until_ms, status)"
                " SELECT '2026-01-01T00:00:00.000Z', 'EURUSD', 'BUY', 1.0, 99999999999999, ? FROM n",
                (count, status),
            )
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO live_ticks (source, symbol, broker_ms, sequence, time_ms, bid, ask, volume,"
            " flags, stale, received_ms)"
            " SELECT 'ea', 'EURUSD',"
            " 1700000000000 + i, i, 1700000000000 + i, 1.1, 1.2, 0.0, 0, 0, 0 FROM n",
            (ticks,),
        )


def main() -> int:
    """Measure, print a line a figure, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs over less data")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return 0
    seconds, rounds = (1.0, 3) if options.quick else (1.5, 9)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for one_core in (False, True):
            rows += singles(Path(folder), 0.5, rounds, one_core=one_core)
        rows.append(batches(Path(folder), seconds))
        rows.append(idle(Path(folder), seconds))
        much = (50_000, 200_000) if options.quick else (1_000_000, 5_000_000)
        filling = multiprocessing.get_context("spawn").Process(target=fill, args=(Path(folder) / "many", *much))
        filling.start()
        rows.append(memory(Path(folder), 8.0 if options.quick else 60.0))
        filling.join()
        rows += stored(Path(folder), seconds, much)
    met = True
    for name, ours, peer, target, note in rows:
        reached = ours / peer >= target
        met &= reached
        row = {"name": name, "ours": round(ours, 4), "peer": round(peer, 4), "ratio": round(ours / peer, 3),
               "target": target, "met": reached, "note": note}  # fmt: skip
        words = f"{name}: {ours:,.4g} against {peer:,.4g}, ratio {ours / peer:.3g} (at least {target:g}, "
        print(json.dumps(row) if options.json else f"{words}{'met' if reached else 'missed'}); {note}")
    return 0 if met else 1


def singles(folder: Path, seconds: float, rounds: int, *, one_core: bool) -> list[Row]:
    """Single ticks a second against both peers, and the slowest of them."""
    sides = ("bridge", "nothing", "commit")
    rates: dict[str, list[float]] = {side: [] for side in sides}
    latencies: list[float] = []
    with ExitStack() as running:
        ports = {
            side: running.enter_context(server(side, folder / f"{side}{one_core}", one_core=one_core)).port
            for side in sides
        }
        for number in range(rounds + 1):
            for side, port in ports.items():
                taken = load(port, single, seconds)
                if number:  # the first round is there to warm them
                    rates[side].append(len(taken) / seconds)
                    latencies += taken if side == "bridge" else []
    ours, nothing, commit = (statistics.median(rates[side]) for side in sides)
    middle, slow = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
    where = "on one processor" if one_core else "on all processors"
    return [
        (f"single ticks {where}, without storing", ours, nothing, 0.8, "ticks/s; the peer stores nothing"),
        (f"single ticks {where}, commit each", ours, commit, 2.0, "ticks/s; the peer connects and commits each"),
        (f"p50 over p99 {where}", middle * 1000, slow * 1000, 0.1, "ms"),
    ]


def batches(folder: Path, seconds: float) -> Row:
    """Ticks a second in batches of 100."""
    with server("bridge", folder / "batches") as served:
        load(served.port, batch, seconds / 3, 8)
        taken = load(served.port, batch, seconds, 8)
    return "ticks in batches of 100", 100 * len(taken) / seconds, 50_000, 1.0, "ticks/s against the target itself"


def idle(folder: Path, seconds: float) -> Row:
    """How long a tick takes beside nobody, and beside twenty clients of which half are silent and half amid a body."""
    alone: list[float] = []
    beside: list[float] = []
    with server("bridge", folder / "idle") as served:
        load(served.port, single, seconds / 3, 1)
        for _ in range(3):
            alone += load(served.port, single, seconds / 3, 1)
            others = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
            for other in others[::2]:
                other.sendall(request("/live_data/tick", b"x" * 1_000)[:-999])
            beside += load(served.port, single, seconds / 3, 1)
            for other in others:
                other.close()
    ours, peer = statistics.median(alone) * 1000, statistics.median(beside) * 1000
    return "a tick alone over one beside 20 idle clients", ours, peer, 0.8, "ms, medians; slow senders among them"


def memory(folder: Path, seconds: float) -> Row:
    """Resident memory after the first sixth of a long load over what it is at the end."""
    with server("bridge", folder / "memory") as served:
        load(served.port, mixed, seconds / 6)
        early = served.process.memory_info().rss / 2**20
        taken = load(served.port, mixed, seconds * 5 / 6)
        late = served.process.memory_info().rss / 2**20
    note = f"MiB after {seconds / 6:.0f} s and {seconds:.0f} s of load, {len(taken):,} requests between"
    return "memory early over late", early, late, 0.9, note


def stored(folder: Path, seconds: float, much: tuple[int, int]) -> list[Row]:
    """Polling and reading beside little and much that is stored: the little's latency over the much's."""
    fill(folder / "few", 100, 100_000)
    middles: dict[str, list[float]] = {}
    paths = ("/signals/pending", "/live_data/EURUSD?limit=100")
    with server("bridge", folder / "few") as few, server("bridge", folder / "many") as many:
        for path in paths:
            taken: dict[int, list[float]] = {few.port: [], many.port: []}
            for _ in range(3):
                for port, found in taken.items():
                    found.extend(load(port, always(path), seconds / 3, 1))
            middles[path] = [statistics.median(found) * 1000 for found in taken.values()]
    return [
        (f"{path} beside little over much", few, many, 1 / 1.5, f"ms; {much} signals and ticks against (100, 100000)")
        for path, (few, many) in middles.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
