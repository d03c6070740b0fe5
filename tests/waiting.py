"""Waiting for what other processes do, as long as a busy machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60


def wait_until(
    condition: Callable[[], object],
    what: str = "it did not happen in time",
    *,
    seconds: float = PATIENCE_SECONDS,
    turn: Callable[[], object] = lambda: None,
) -> None:
    """Return once `condition` holds; fail with the words `what` after so many seconds. `turn` is done in between."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        turn()
        time.sleep(0.02)
