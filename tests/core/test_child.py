from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from waiting import PATIENCE_SECONDS, wait_until

from core.child import start_child, stop_child

# Each says who it is in a file, waits in its own way, and says so when it could put its things in order.
HEAD = """
import os, signal, sys, threading, time
from pathlib import Path
Path("told.tmp").write_text(" ".join([str(os.getpid()), *sys.argv[1:]]))
Path("told.tmp").rename("told")
"""
SLEEPS = f"{HEAD}\ntry:\n    time.sleep(60)\nfinally:\n    Path('in_order').touch()\n"
COMPUTES = f"{HEAD}\ntry:\n    while True:\n        pass\nfinally:\n    Path('in_order').touch()\n"
DEAF = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{HEAD}\ntime.sleep(60)\n"
PARENT = """
import sys, time
from pathlib import Path
from core.child import start_child
child = start_child("waits", folder=Path(sys.argv[1]))
time.sleep(60)
"""


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], Path]:
    """Write the module `waits` that a child runs, in the folder where it runs."""

    def write(text: str) -> Path:
        (tmp_path / "waits.py").write_text(text)
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Whatever a failing test left running ends with it."""
    yield
    if (tmp_path / "told").exists():
        with suppress(psutil.Error):
            child = psutil.Process(int((tmp_path / "told").read_text().split()[0]))
            if child.cwd() == str(tmp_path):
                child.kill()


def told(folder: Path) -> list[str]:
    """Process id and arguments, as the child itself gives them."""
    wait_until((folder / "told").exists)
    return (folder / "told").read_text().split()


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("text", [SLEEPS, COMPUTES], ids=["sleeping", "computing"])
def test_a_child_whose_parent_is_killed_puts_its_things_in_order_and_ends(
    module: Callable[[str], Path], start: Callable[..., subprocess.Popen[str]], text: str
) -> None:
    folder = module(text)
    parent = start(PARENT, folder)
    pid = int(told(folder)[0])
    assert not has_ended(pid)
    parent.kill()
    wait_until(lambda: has_ended(pid))
    assert (folder / "in_order").exists()


def test_a_child_that_does_not_listen_ends_with_its_killed_parent_all_the_same(
    module: Callable[[str], Path], start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = module(DEAF)
    parent = start(PARENT, folder)
    pid = int(told(folder)[0])
    parent.kill()
    wait_until(lambda: has_ended(pid))


def test_a_stopped_child_has_put_its_things_in_order_and_ended(module: Callable[[str], Path]) -> None:
    folder = module(SLEEPS)
    child = start_child("waits", folder=folder)
    told(folder)
    stop_child(child)
    assert child.returncode == 0
    assert (folder / "in_order").exists()


def test_stopping_a_child_that_has_ended_is_no_error(module: Callable[[str], Path]) -> None:
    child = start_child("waits", folder=module("raise SystemExit(3)"))
    child.wait(PATIENCE_SECONDS)
    stop_child(child)
    assert child.returncode == 3


def test_a_child_runs_its_module_as_main_with_its_arguments_in_a_group_of_its_own(
    module: Callable[[str], Path],
) -> None:
    folder = module(f"assert __name__ == '__main__'\n{SLEEPS}")
    child = start_child("waits", "--port", "8504", folder=folder)
    pid, *arguments = told(folder)
    assert (int(pid), arguments) == (child.pid, ["--port", "8504"])
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    stop_child(child)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
def test_ctrl_c_ends_a_child_without_a_traceback(
    module: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = module(SLEEPS)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as what a shell starts in the background inherits it
    child = start_child("waits", folder=folder)
    signal.signal(signal.SIGINT, before)
    told(folder)
    child.send_signal(signal.SIGINT)
    child.wait(PATIENCE_SECONDS)
    stop_child(child)
    assert capfd.readouterr().err == ""
