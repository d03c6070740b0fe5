"""Several processes that open one empty workbench at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from data.pipeline_controller import controller
from execution.backtest_manager import manager

SAMPLE = "import sys, workbench; sys.stdin.read(1); print(workbench.run_sample_workflow().run_id)"


def test_four_processes_run_the_sample_workflow_in_an_empty_workbench(home: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", SAMPLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:  # all have imported what they need and wait; now they go together
        assert process.stdin
        process.stdin.write("x")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    versions, runs = controller.versions(), manager.runs()
    assert len(versions) == 4
    assert len({version.content_hash for version in versions}) == 1
    assert [folder.name for folder in (home / "output_central" / "datasets").iterdir()] == [versions[0].content_hash]
    assert printed == [runs[0].run_id] * 4
    assert len(runs) == 1
