"""Run a module as a child that ends when its parent does: `python -m core.child MODULE ARGUMENTS…`.

The parent holds the other end of this process's stdin. When the parent dies, however it dies, the
system closes that pipe and the child notices; this works alike on Linux, macOS and Windows.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 3.0
CHILD = "core.child"  # by this word on its command line a process is known as one of Sequence's


def start_child(module: str, *arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start `module` in its own process group, tied to this process by its stdin."""
    command = [sys.executable, "-m", CHILD, module, *arguments]
    if sys.platform == "win32":
        group = subprocess.CREATE_NEW_PROCESS_GROUP
        return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=folder, creationflags=group)
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=folder, start_new_session=True)


def ask_to_end(child: subprocess.Popen[bytes]) -> None:
    """Close the child's stdin, which it takes for the wish that it end."""
    if child.stdin:
        child.stdin.close()


def stop_child(child: subprocess.Popen[bytes], grace_seconds: float = GRACE_SECONDS + 2) -> None:
    """Ask the child to end, wait until it has, and kill it only when it does not."""
    ask_to_end(child)
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_with_parent() -> None:
    # os.read on the descriptor: a daemon thread blocked in sys.stdin.buffer aborts Python at exit.
    while os.read(0, 1):
        pass
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:  # to the main thread, so that what it waits in is interrupted
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(0)


def main() -> None:
    """Become the module named on the command line, under the watch of a thread."""
    module, *arguments = sys.argv[1:]
    # A shell that starts something in the background has it ignore Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    sys.argv = [module, *arguments]
    with suppress(KeyboardInterrupt):  # asked to end: no failure that a traceback would explain
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
