"""A Dask scheduler on TCP with two workers, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
_PATIENCE_SECONDS = 60


def two_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start them, name the scheduler in the settings, give the workers; all end afterwards."""
    pytest.importorskip("distributed")
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [sys.executable, "-m", *arguments, "--no-dashboard"]
        started.append(subprocess.Popen(command, cwd=folder, env=environment, **quiet))

    told = folder / "scheduler.json"
    try:
        start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told))
        end = time.monotonic() + _PATIENCE_SECONDS
        while not told.exists() or not told.read_text(encoding="utf-8").strip():
            assert time.monotonic() < end
            time.sleep(0.05)
        address = json.loads(told.read_text(encoding="utf-8"))["address"]
        assert address.startswith("tcp://127.0.0.1:")
        for _ in range(2):
            start("distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1")
        monkeypatch.setenv("SEQUENCE_PARALLEL__SCHEDULER", address)
        yield started[1:]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
