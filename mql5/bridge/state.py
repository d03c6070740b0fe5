"""What one running bridge consists of, made once by the application factory and handed to every route."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from core.errors import SequenceError, TryAgainError
from core.log import get_logger
from core.settings import BridgeSettings
from mql5.bridge.deals import DealStore
from mql5.bridge.imports import ImportStore
from mql5.bridge.intake import Offsets
from mql5.bridge.keys import KeyRing
from mql5.bridge.metrics import Metrics
from mql5.bridge.signals import SignalStore
from mql5.bridge.terminals import TerminalStore
from mql5.bridge.ticks import TickStore
from mql5.bridge.writer import TickWriter

OurRuns = Callable[[str, int], list[dict[str, Any]]]


class TooManyTicksError(TryAgainError):
    """A key sends more ticks a second than it may."""


class Allowance:
    """Ticks that each key may still send: a second's worth at once, refilled as time goes on."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left: dict[int, tuple[float, float]] = {}
        self._guard = threading.Lock()

    def take(self, key_id: int, ticks: int) -> None:
        """Count ticks of a key; raises TooManyTicksError when it has spent its second."""
        now = time.monotonic()
        with self._guard:
            left, at = self._left.get(key_id, (float(self._per_second), now))
            left = min(float(self._per_second), left + (now - at) * self._per_second)
            if left <= 0:
                self._left[key_id] = (left, now)
                raise TooManyTicksError(
                    f"This key sends more than {self._per_second} ticks a second.",
                    "Send them again in a second, or raise bridge.ticks_per_second.",
                )
            self._left[key_id] = (left - ticks, now)


@dataclass
class Task:
    """Something done again and again; `state` is ok, or what went wrong the last time."""

    name: str
    every_seconds: float
    work: Callable[[], object]
    due: float = 0.0
    state: str = "starting"


class Upkeep:
    """One thread for what must happen while nobody asks: expiry, retention, live bars, the watched folder."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.at_end: list[Callable[[], object]] = []
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str, every_seconds: float, work: Callable[[], object]) -> None:
        """Do `work` every so many seconds; what it raises is told by /health and the log, and it is done again."""
        self.tasks.append(Task(name, every_seconds, work))

    def start(self) -> None:
        """Begin; once."""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def run_due(self) -> None:
        """Do what is due now."""
        for task in self.tasks:
            if time.monotonic() < task.due or self._ends.is_set():
                continue
            before = task.state
            try:
                task.work()
                task.state = "ok"
            except SequenceError as error:
                task.state = "failing"
                if before != task.state:
                    get_logger(__name__).warning("upkeep failed", task=task.name, error=str(error))
            except Exception:  # the thread must outlive it; /health says that it fails
                task.state = "failing"
                if before != task.state:
                    get_logger(__name__).exception("upkeep failed", task=task.name)
            task.due = time.monotonic() + task.every_seconds

    def close(self) -> None:
        """End after what is being done."""
        self._ends.set()
        if self._thread:
            self._thread.join(10)
        for work in self.at_end:
            with suppress(SequenceError):
                work()

    def _run(self) -> None:
        while not self._ends.wait(0.25):
            self.run_due()


def no_runs(_symbol: str, _limit: int) -> list[dict[str, Any]]:
    """Where nobody backtests."""
    return []


@dataclass
class Bridge:
    """The parts of one bridge."""

    settings: BridgeSettings
    our_runs: OurRuns = no_runs
    ticks: TickStore = field(default_factory=TickStore)
    signals: SignalStore = field(default_factory=SignalStore)
    terminals: TerminalStore = field(default_factory=TerminalStore)
    deals: DealStore = field(default_factory=DealStore)
    imports: ImportStore = field(default_factory=ImportStore)
    keys: KeyRing = field(default_factory=KeyRing)
    offsets: Offsets = field(default_factory=Offsets)
    upkeep: Upkeep = field(default_factory=Upkeep)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.settings.ticks_per_second)
        self.writer = TickWriter(self.ticks.enter, self.settings.waiting_ticks)
        self.metrics = Metrics(self.writer)

    def close(self) -> None:
        """Write what waits and end the threads."""
        self.upkeep.close()
        self.writer.close()
