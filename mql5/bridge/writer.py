"""One thread that writes ticks: what waits when the disk is free goes into one transaction, then all are told.

A request waits until its ticks are committed. Nothing a client does reaches this thread: who left before the
answer is told all the same, and nobody listens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from core.errors import SequenceError, TryAgainError
from core.log import get_logger
from mql5.bridge.ticks import Entered, TickRow

_TOGETHER = 20_000  # ticks a transaction; more would make the first of them wait
# While several send at once a commit waits until no more of them come: thirty cost not twice what one does.
_STILL_SECONDS = 0.0003
_LINGER_SECONDS = 0.003
_PATIENCE_SECONDS = 30.0


class WriterBusyError(TryAgainError):
    """More ticks wait for the disk than may; `depth` of them."""

    def __init__(self, depth: int, cure: str = "Send again in a moment; nothing of this request was stored.") -> None:
        super().__init__(f"{depth} ticks wait for the disk.", cure)
        self.depth = depth

    def __reduce__(self) -> tuple[type[SequenceError], tuple[int, str]]:  # type: ignore[override]
        return type(self), (self.depth, self.cure)


class _Waiting:
    __slots__ = ("done", "entered", "error", "rows")

    def __init__(self, rows: list[TickRow]) -> None:
        self.rows = rows
        self.entered = Entered()
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class TickWriter:
    """Group commit: `submit` returns when the ticks it was given are on the disk."""

    def __init__(self, enter: Callable[[list[list[TickRow]]], list[Entered]], most_waiting: int) -> None:
        self._enter = enter
        self._most_waiting = most_waiting
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._closed = False
        self.depth = 0
        self.commits = 0
        self.commit_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="tick-writer", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still writes."""
        return self._thread.is_alive()

    def submit(self, rows: list[TickRow]) -> Entered:
        """Store `rows`; raises WriterBusyError when too many wait, and what the store raises."""
        waiting = _Waiting(rows)
        with self._guard:
            # A message larger than what may wait is taken when nobody else does.
            if self._closed or (self.depth and self.depth + len(rows) > self._most_waiting):
                raise WriterBusyError(self.depth)
            self.depth += len(rows)
            self._queue.put(waiting)
        if not waiting.done.acquire(timeout=_PATIENCE_SECONDS):
            raise WriterBusyError(self.depth, "Send it again: it may be stored by then, and is never stored twice.")
        if waiting.error is not None:
            raise waiting.error
        return waiting.entered

    def close(self) -> None:
        """Write what waits and end."""
        with self._guard:
            self._closed = True
            self._queue.put(None)
        self._thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            if self._queue.qsize():
                self._linger()
            together, count, ends = [first], len(first.rows), False
            while count < _TOGETHER and not ends:
                try:
                    further = self._queue.get_nowait()
                except Empty:
                    break
                if further is None:
                    ends = True
                else:
                    together.append(further)
                    count += len(further.rows)
            self._write(together)
            with self._guard:
                self.depth -= count
            for waiting in together:
                waiting.done.release()
            if ends:
                return

    def _linger(self) -> None:
        """Wait while the queue still grows, a few milliseconds at most."""
        until, seen = time.perf_counter() + _LINGER_SECONDS, 0
        while seen < self._queue.qsize() and self.depth < _TOGETHER and time.perf_counter() < until:
            seen = self._queue.qsize()
            time.sleep(_STILL_SECONDS)

    def _write(self, together: list[_Waiting]) -> None:
        began = time.perf_counter()
        try:
            for waiting, entered in zip(together, self._enter([each.rows for each in together]), strict=True):
                waiting.entered = entered
        except SequenceError as error:
            for waiting in together:
                waiting.error = error
        except Exception as error:  # this thread must outlive whatever one message did to it
            get_logger(__name__).exception("ticks were not written", groups=len(together))
            if len(together) > 1:
                for waiting in together:
                    self._write([waiting])
                return
            together[0].error = error
        self.commits += 1
        self.commit_seconds += time.perf_counter() - began
