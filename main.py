"""The command line.

`--mode gui` opens the workbench with a worker and the MetaTrader bridge beside it, `--mode worker` works
through the queued jobs alone, `--mode test` runs the tests with coverage. `--mode kill` stops all entries of live
trading at once, `--mode arm` lets them go on again, in two steps.
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.settings import BridgeSettings

ROOT = Path(__file__).resolve().parent
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
START_SECONDS = 60
RESTART_SECONDS = 2
# What must be importable before anything else is tried; the rest fails with a name of its own.
NEEDED = (
    "streamlit",
    "pandas",
    "plotly",
    "sqlalchemy",
    "alembic",
    "pydantic_settings",
    "structlog",
    "yaml",
    "psutil",
    "flask",
    "waitress",
)


def main(arguments: list[str] | None = None) -> int:
    """Run a mode; the exit status is 0 when it ended well, 1 when it failed, 2 when it could not begin."""
    parser = argparse.ArgumentParser(prog="python main.py", description="Sequence, an FX research workbench.")
    parser.add_argument("--mode", choices=sorted(MODES), required=True, help="what to do")
    parser.add_argument("--host", help="gui: address to listen on (default: gui.host of config.yaml)")
    parser.add_argument("--port", type=int, help="gui: port to listen on (default: gui.port of config.yaml)")
    parser.add_argument("--reason", default="", help="kill: why, for its history")
    parser.add_argument("--close", action="store_true", help="kill: ask the terminals to close what is open, too")
    parser.add_argument("--code", help="arm: the code that the first step gave")
    options, further = parser.parse_known_args(arguments)
    if further and options.mode != "test":
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and options.mode != "kill":  # which needs nothing
        return _refuse(f"The package {missing[0]} is not installed. Run: pip install -r requirements.txt")
    return MODES[options.mode](options, further)


def run_gui(options: argparse.Namespace, _further: list[str]) -> int:
    """Start the workbench, a worker and the bridge, say where they listen, and leave no process behind."""
    from core.child import ask_to_end, start_child, stop_child
    from core.errors import SequenceError
    from core.settings import current_settings

    try:
        settings, bridge_settings = current_settings().gui, current_settings().bridge
    except SequenceError as error:
        return _refuse(str(error))
    host, port = options.host or settings.host, options.port or settings.port
    taken = _why_taken(host, port)
    if taken:
        return _refuse(taken)
    _end_on_request()
    options_of_streamlit = ("--server.address", host, "--server.port", str(port), "--logger.level", "warning")
    child = start_child("streamlit", "run", str(ROOT / "app.py"), *options_of_streamlit, folder=ROOT)
    worker = bridge = None
    try:
        if not _listens(child, host, port):
            return _refuse("The workbench did not start; what it said stands above.", EXIT_FAILED)
        print(f"Sequence workbench: http://{host}:{port}  (Ctrl-C stops it)", flush=True)  # noqa: T201
        has_bridge = bridge_settings.with_workbench and _bridge_has_room(bridge_settings)
        while child.poll() is None:
            if has_bridge and (bridge is None or bridge.poll() not in {None, EXIT_OK, EXIT_USAGE}):
                bridge = start_child("mql5.api_server", folder=ROOT)  # likewise; it says itself where it listens
            if worker is None or worker.poll() is not None:  # it was killed: queued jobs must not wait for ever
                worker = start_child("main", "--mode", "worker", folder=ROOT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(RESTART_SECONDS)
        return child.returncode
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        started = [process for process in (bridge, worker, child) if process]
        for process in started:  # all at once, so that none waits for another
            ask_to_end(process)
        for process in started:
            stop_child(process)


def _bridge_has_room(settings: BridgeSettings) -> bool:
    """Whether the bridge's address is free; says so when it is not, for the workbench is of use without it."""
    why_not = _why_taken(settings.host, settings.port, "bridge")
    if why_not:
        print(why_not, file=sys.stderr, flush=True)  # noqa: T201
    return not why_not


def run_worker(_options: argparse.Namespace, _further: list[str]) -> int:
    """Work through the queued jobs until interrupted; then queue again what was running."""
    from core.errors import SequenceError
    from core.log import configure_logging
    from core.settings import current_settings
    from core.worker import Worker
    from workbench import JOBS

    try:
        current_settings()
        configure_logging("worker")
    except SequenceError as error:
        return _refuse(str(error))
    _end_on_request()
    with suppress(KeyboardInterrupt):
        Worker(JOBS).run()
    return EXIT_OK


def run_kill(options: argparse.Namespace, _further: list[str]) -> int:
    """Stop all entries now. The file alone does it, so it is written whatever is missing, locked or damaged."""
    by, reason = _who(), options.reason or "asked for on the command line"
    try:
        from core.errors import SequenceError
        from core.log import configure_logging
        from execution.live.switch import kill
    except Exception as error:  # not installed, or broken: no reason not to kill
        return _kill_by_file(f"{by}: {reason}", str(error))
    with suppress(SequenceError):
        configure_logging("kill")
    try:
        done = kill(by, reason, options.close)
    except SequenceError as error:
        return _refuse(f"The kill switch could NOT be switched on. {error}", EXIT_FAILED)
    print(done.sentence(), flush=True)  # noqa: T201
    print("python main.py --mode arm lets entries go on again, in two steps.", flush=True)  # noqa: T201
    return EXIT_FAILED if done.failed else EXIT_OK


def run_arm(options: argparse.Namespace, _further: list[str]) -> int:
    """Let entries go on: first give a code, then take it."""
    from core.errors import SequenceError
    from core.log import configure_logging
    from execution.live.switch import arm, ask_to_arm

    try:
        configure_logging("arm")
        if options.code is None:
            code = ask_to_arm(_who())
            print(f"First of two steps. Within ten minutes: python main.py --mode arm --code {code}")  # noqa: T201
        else:
            arm(_who(), options.code)
            print("Armed: entries are sent again where a deployment runs.")  # noqa: T201
    except SequenceError as error:
        return _refuse(str(error), EXIT_FAILED)
    return EXIT_OK


def _kill_by_file(words: str, missing: str) -> int:
    """Write the file that kills with nothing but Python itself; what is there already stays."""
    file = Path(os.environ.get("SEQUENCE_HOME") or ROOT).expanduser() / "output_central" / "KILL"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="replace") as opened:
            if opened.tell() == 0:
                opened.write(words)
    except OSError as error:
        return _refuse(f"The kill switch could NOT be switched on: {error}. Make the file {file} by hand.", EXIT_FAILED)
    print(f"The kill switch is on: {file} was written.", flush=True)  # noqa: T201
    return _refuse(f"Nothing else was done, for {missing}. Run: pip install -r requirements.txt", EXIT_FAILED)


def _who() -> str:
    """Who sits at the command line, for the history."""
    try:
        return f"{getpass.getuser()}, command line"
    except (ImportError, KeyError, OSError):  # a user without a name
        return "command line"


def run_tests(_options: argparse.Namespace, further: list[str]) -> int:
    """Run pytest over everything and print the coverage; further arguments go to pytest."""
    for package, module in (("pytest", "pytest"), ("pytest-cov", "pytest_cov")):
        if find_spec(module) is None:
            return _refuse(f"The package {package} is not installed. Run: pip install -r requirements-dev.txt")
    command = [sys.executable, "-m", "pytest", "--cov", "--cov-report=term:skip-covered", *further]
    return subprocess.call(command, cwd=ROOT)


MODES = {"arm": run_arm, "gui": run_gui, "kill": run_kill, "test": run_tests, "worker": run_worker}


def _end_on_request() -> None:
    """Ctrl-C and a polite kill end alike, also where a shell that started us in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _why_taken(host: str, port: int, what: str = "gui") -> str:
    """Why the workbench, or the bridge, cannot listen there, in one line; empty when it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just closed is free
            probe.bind(address)
    except OSError as error:
        another = (
            f"SEQUENCE_BRIDGE_PORT={port + 1}" if what == "bridge" else f"python main.py --mode gui --port {port + 1}"
        )
        without = "The bridge was not started. " if what == "bridge" else ""
        return (
            f"{without}Port {port} on {host} cannot be used ({error.strerror or error}). Close the program that "
            f"has it, or choose another: {another}"
        )
    return ""


def _listens(child: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Wait until the workbench answers; False when it ended or stayed silent."""
    visible = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104  # compared, not bound
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{visible}:{port}/_stcore/health", timeout=1):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def _refuse(line: str, status: int = EXIT_USAGE) -> int:
    print(line, file=sys.stderr)  # noqa: T201  # the command line speaks on the terminal
    return status


if __name__ == "__main__":
    sys.exit(main())
