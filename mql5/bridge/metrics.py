"""What Prometheus reads at /metrics, counted in a registry of its own for each bridge."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mql5.bridge.writer import TickWriter

_MILLISECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """Requests, ticks and the queue before the disk."""

    def __init__(self, writer: TickWriter) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("sequence_bridge_requests", "Requests answered.", ["status"], registry=self._registry)
        self.ticks = Counter(
            "sequence_bridge_ticks", "Ticks taken, by what became of them.", ["outcome"], registry=self._registry
        )
        self.missing = Counter(
            "sequence_bridge_missing_sequence_numbers", "Numbers of ticks that never came.", registry=self._registry
        )
        self.seconds = Histogram(
            "sequence_bridge_tick_seconds",
            "From a tick message's arrival to its answer.",
            buckets=_MILLISECONDS,
            registry=self._registry,
        )
        self._stored = self.ticks.labels("stored")
        self._duplicate = self.ticks.labels("duplicate")
        depth = Gauge("sequence_bridge_waiting_ticks", "Ticks that wait for the disk.", registry=self._registry)
        depth.set_function(lambda: float(writer.depth))
        commits = Gauge("sequence_bridge_commits", "Transactions of ticks since the start.", registry=self._registry)
        commits.set_function(lambda: float(writer.commits))

    def took(self, stored: int, duplicates: int, missing: int, seconds: float) -> None:
        """Count one message of ticks."""
        self._stored.inc(stored)
        if duplicates:
            self._duplicate.inc(duplicates)
        if missing:
            self.missing.inc(missing)
        self.seconds.observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)
