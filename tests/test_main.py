"""The command line as a user meets it: it starts, says where, ends without leftovers, and fails in one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import main
import workbench

MAIN = Path(workbench.__file__).with_name("main.py")


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def bridge_port(monkeypatch: pytest.MonkeyPatch) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    monkeypatch.setenv("SEQUENCE_BRIDGE_PORT", str(port))
    return port


@pytest.fixture
def gui(free_port: int, bridge_port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    assert bridge_port != free_port
    started = subprocess.Popen(
        [sys.executable, str(MAIN), "--mode", "gui", "--port", str(free_port)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield started
    started.kill()
    started.communicate()


def wait_until_it_says_where(gui: subprocess.Popen[str], port: int) -> list[psutil.Process]:
    assert gui.stdout
    for line in gui.stdout:
        if f"http://127.0.0.1:{port}  (Ctrl-C" in line:
            break
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=10) as answer:
        assert answer.read() == b"ok"
    children = psutil.Process(gui.pid).children(recursive=True)
    assert children
    return children


def wait_until_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return alive


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_ctrl_c_ends_the_gui_and_leaves_no_process(gui: subprocess.Popen[str], free_port: int) -> None:
    children = wait_until_it_says_where(gui, free_port)
    gui.send_signal(signal.SIGINT)
    assert gui.wait(20) == main.EXIT_OK
    assert wait_until_gone(children) == []


def test_the_gui_starts_the_bridge_too(gui: subprocess.Popen[str], free_port: int, bridge_port: int) -> None:
    wait_until_it_says_where(gui, free_port)
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{bridge_port}/api/v1/health", timeout=5) as answer:
                assert json.load(answer)["components"]["database"] == "ok"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_bridge_is_left_out_where_the_settings_say_so(
    monkeypatch: pytest.MonkeyPatch, free_port: int, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("SEQUENCE_BRIDGE__WITH_WORKBENCH", "false")
    gui = request.getfixturevalue("gui")
    wait_until_it_says_where(gui, free_port)
    deadline, said = time.monotonic() + 30, ""
    while "worker" not in said:  # which is started after the bridge
        assert time.monotonic() < deadline
        said = " ".join(" ".join(child.cmdline()) for child in psutil.Process(gui.pid).children())
    assert "streamlit" in said
    assert "mql5.api_server" not in said


def test_a_killed_gui_takes_its_children_with_it(gui: subprocess.Popen[str], free_port: int) -> None:
    children = wait_until_it_says_where(gui, free_port)
    gui.kill()
    assert wait_until_gone(children) == []


def run_main(*arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(MAIN), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        status, said = run_main("--mode", "gui", "--port", str(port))
    assert status == main.EXIT_USAGE
    assert len(said.splitlines()) == 1
    assert said.startswith(f"Port {port} on 127.0.0.1 cannot be used")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("gui:\n  prt: 1\n", "Did you mean 'port'?"),
        ("gui:\n port: 1\n  host: x\n", "line 3"),
        ("gui:\n  port: x\n", "gui.port"),
    ],
)
def test_a_broken_config_file_is_one_clear_line(content: str, named: str, home: Path) -> None:
    (home / "config.yaml").write_text(content, encoding="utf-8")
    status, said = run_main("--mode", "gui")
    assert status == main.EXIT_USAGE
    assert len(said.splitlines()) == 1
    assert named in said


def test_a_missing_package_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "find_spec", lambda name: None if name == "plotly" else name)
    assert main.main(["--mode", "gui"]) == main.EXIT_USAGE
    assert capsys.readouterr().err == "The package plotly is not installed. Run: pip install -r requirements.txt\n"


def test_main_imports_nothing_that_could_be_missing() -> None:
    # -S leaves site-packages out, as on a machine where nothing was installed.
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(MAIN), "--mode", "gui"], capture_output=True, text=True, check=False
    )
    assert done.returncode == main.EXIT_USAGE
    assert done.stderr.startswith("The package streamlit is not installed.")


def test_a_mode_that_does_not_exist_is_not_offered() -> None:
    status, said = run_main("--mode", "live")
    assert status == main.EXIT_USAGE
    assert f"choose from {', '.join(sorted(main.MODES))}" in said.replace("'", "")


def test_the_test_mode_prints_a_coverage_figure(tmp_path: Path) -> None:
    options = ["-q", "-n", "1", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, str(MAIN), "--mode", "test", "tests/core/test_names.py", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")},
        check=False,
    )
    assert done.returncode == main.EXIT_OK, done.stdout + done.stderr
    total = next(line for line in done.stdout.splitlines() if line.startswith("TOTAL"))
    assert total.rstrip().endswith("%")


def test_waiting_for_a_child_that_ended_gives_up_at_once(free_port: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    began = time.monotonic()
    assert main._listens(child, "127.0.0.1", free_port) is False
    assert time.monotonic() - began < main.START_SECONDS
