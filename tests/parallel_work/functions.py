"""Functions done in other processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from core.errors import StrategyError


def times(factor: int, number: int) -> int:
    return factor * number


def refused(_shared: object, number: int) -> int:
    if number == 2:
        raise StrategyError("The second is refused.", "Leave it out.")
    return number


def foreign(_shared: object, number: int) -> int:
    class UnpicklableError(Exception):
        pass

    raise UnpicklableError(f"number {number}")


def killed_once(mark: str, number: int) -> int:
    """Number 3 kills its own process the first time it is done."""
    if number == 3 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return number


def killed_always(_shared: object, number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return number


def slow(_shared: object, number: int) -> tuple[int, int]:
    time.sleep(0.05)
    return number, os.getpid()
