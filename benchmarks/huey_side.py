"""Huey on Redis: one consumer with two worker processes, blocking reads, results kept."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping

import redis

from benchmarks.contender import BenchmarkError, Finish, Mode, check_results, payload, tree, until
from benchmarks.huey_app import build
from benchmarks.processes import Processes
from benchmarks.redis_counters import redis_counters
from benchmarks.servers import Servers

DATABASE = 13
SETTLE_SECONDS = 120
CONSUMER = "huey consumer"


class HueySide:
    """Huey rings waiting clients only when told to, so it is told exactly where somebody waits."""

    name = "Huey"

    def __init__(self, servers: Servers) -> None:
        self._url = servers.redis(DATABASE)
        self._processes = Processes(servers.folder)

    def start(self, *, waited: bool, metered: bool) -> None:  # noqa: ARG002 - Redis counts for all anyway
        """Start the consumer and run one task through it."""
        self._redis = redis.Redis.from_url(self._url)
        self._huey, self._echo = build(self._url, notify=waited)
        self.reset()
        argv = [sys.executable, "-m", "benchmarks.huey_worker", self._url, "notify" if waited else "silent"]
        self._processes.start(CONSUMER, argv)
        until(self._ready, "Huey is ready", 20)

    def _ready(self) -> bool:
        self._processes.check()
        consumer_scheduler_and_workers = 4
        return sum(len(tree(pid)) for pid in self._processes.pids()) >= consumer_scheduler_and_workers

    def stop(self) -> None:
        """Stop the consumer."""
        self._processes.stop()
        self._huey.storage.conn.close()
        self._redis.close()

    def reset(self) -> None:
        """Drop results and waiting messages."""
        self._redis.flushdb()

    def floods(self) -> Mapping[Mode, Callable[[int], None]]:
        """Huey knows no batch: the same loop stands in both groups."""
        return {
            Mode("batch", "enqueue, one by one"): self._post_each,
            Mode("one by one", "enqueue"): self._post_each,
        }

    def _post_each(self, count: int) -> None:
        for number in range(count):
            self._echo(payload(number))

    def settle(self, count: int) -> Finish:
        """Huey's record has no times, so the number of stored results is watched every 10 ms."""
        first, at_first = 0.0, 0
        deadline = time.monotonic() + SETTLE_SECONDS
        while (done := self._huey.result_count()) < count:
            if done and not first:
                first, at_first = time.time(), done
            if time.monotonic() > deadline:
                raise BenchmarkError(f"Huey finished {done} of {count} in {SETTLE_SECONDS} s")
            time.sleep(0.01)
        last = time.time()
        check_results(self.name, self._all_results(), count)
        return Finish(first=first or last, last=last, at_first=at_first or count)

    def _all_results(self) -> list[object]:
        stored = self._huey.all_results().values()
        return [self._huey.serializer.deserialize(value) for value in stored]

    def hold(self) -> None:
        """Freeze the consumer: it has no pause."""
        self._processes.signal(signal.SIGSTOP)

    def release(self) -> None:
        """Go on."""
        self._processes.signal(signal.SIGCONT)

    def singles(self) -> Mapping[Mode, Callable[[int], object]]:
        """Enqueue and block on the result."""
        return {Mode("latency in process", "enqueue, result(blocking)"): self._run}

    def _run(self, number: int) -> object:
        result: object = self._echo(payload(number))(blocking=True, timeout=10)
        return result

    def trees(self) -> Mapping[str, list[int]]:
        """The consumer with its workers."""
        return {"workers": self._processes.pids()}

    def counters(self) -> Mapping[str, float]:
        """Redis only."""
        return redis_counters(self._redis)
