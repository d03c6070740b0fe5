"""Processes of their own for tests that need more than one, and the toy module that they write into."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent / "notebook_module"
sys.path.append(str(NOTEBOOK))


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python script as a process of its own; what still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_script(script: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SEQUENCE_HOME": str(home), "PYTHONPATH": str(NOTEBOOK), **variables},
        )
        started.append(process)
        return process

    yield start_script
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_together(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., list[str]]:
    """Run a script in several processes let go at the same moment; what each printed.

    The script prints `ready` and reads a line when it has imported what it needs.
    """

    def run(script: str, processes: int, **variables: str) -> list[str]:
        running = [start(script, number, **variables) for number in range(processes)]
        for process in running:
            assert process.stdout
            ready = process.stdout.readline()
            assert ready == "ready\n", f"{ready}{process.communicate()[1]}"
        for process in running:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        printed = []
        for process in running:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            printed.append(output)
        return printed

    return run
