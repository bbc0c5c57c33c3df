"""Prometheus metrics: this process, and the queues, looked up at most every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from taskengine.domain.errors import EngineError
from taskengine.lifecycle import queues
from taskengine.lifecycle.engine import Engine

FRESH_SECONDS = 5.0

_GAUGES = {
    "depth": "Ready tasks that wait in the queue.",
    "in_flight": "Tasks that wait with the broker.",
    "running": "Tasks of the queue that run.",
    "workers": "Live worker processes of the queue.",
    "oldest_age_seconds": "How long the oldest ready task has waited.",
    "finished_per_minute": "Tasks of the queue that ended in the last minute.",
    "paused": "1 while the queue is paused.",
    "draining": "1 while the queue accepts nothing new.",
}


class QueueMetrics(Collector):
    """The queues as gauges. While the database is down there are none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._looked_at = float("-inf")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge for each number of a queue."""
        rows = self._fresh()
        for field, about in _GAUGES.items():
            family = GaugeMetricFamily(f"taskengine_queue_{field}", about, labels=["queue"])
            for row in rows:
                family.add_metric([row["name"]], float(row[field] or 0))
            yield family

    def _fresh(self) -> list[dict[str, Any]]:
        with self._lock:
            if time.monotonic() - self._looked_at > FRESH_SECONDS:
                try:
                    self._rows = queues.listing(self._engine, None)
                except EngineError:
                    self._rows = []
                self._looked_at = time.monotonic()
            return self._rows


def metrics_of(engine: Engine) -> CollectorRegistry:
    """A registry with the metrics of this process and of the engine's queues."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(QueueMetrics(engine))
    return registry
