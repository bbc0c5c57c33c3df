"""Plain Celery on Redis, tuned: no events, gossip, mingle or heartbeat, deep prefetch, pooled producers.

Floods are posted by an app without a result backend; the workers store the results all the same.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import redis
from celery import Celery

from benchmarks import celery_app
from benchmarks.celery_app import QUEUE, TASK
from benchmarks.contender import BenchmarkError, Finish, Mode, check_results, payload, until
from benchmarks.http_client import Client, free_port, post_all
from benchmarks.processes import Processes
from benchmarks.redis_counters import redis_counters
from benchmarks.servers import Servers
from config import server
from taskengine.embedded.stack import executable

BROKER_DATABASE, RESULT_DATABASE = 11, 12
SETTLE_SECONDS = 120


class CelerySide:
    """Two worker processes: one prefork worker with a pool of two, or two solo workers."""

    def __init__(self, servers: Servers, name: str, *, pool: str, application: str = "app") -> None:
        """``application``: which of the apps in ``celery_app`` the workers run."""
        self.name = name
        self._pool = pool
        self._application = application
        self._app: Celery = getattr(celery_app, application)
        self._broker = servers.redis(BROKER_DATABASE)
        self._results = servers.redis(RESULT_DATABASE)
        self._processes = Processes(servers.folder)

    def start(self, *, waited: bool, metered: bool) -> None:  # noqa: ARG002 - Celery needs no preparing
        """Start the workers, and a door before them."""
        self._redis = redis.Redis.from_url(self._results)
        self._broker_redis = redis.Redis.from_url(self._broker)
        self.reset()
        environment = {"CELERY_BROKER_URL": self._broker, "CELERY_RESULT_BACKEND": self._results}
        for name in self._workers():
            self._processes.start(name, self._worker(name), environment)
        port = free_port()
        self._processes.start(f"{self.name} door", _door(port), environment)
        self._app.conf.update(broker_url=self._broker, result_backend=self._results)
        self._publisher = celery_app.publisher(self._broker)
        self._client = Client(port)
        until(self._ready, f"{self.name} is ready", 30)

    def _workers(self) -> list[str]:
        return [f"{self.name} {number}" for number in range(1, 2 if self._pool == "prefork" else 3)]

    def _worker(self, name: str) -> list[str]:
        return [
            *(executable("celery"), "-A", f"benchmarks.celery_app:{self._application}", "worker", "-Q", QUEUE),
            *("-P", self._pool, "-c", "2", "-n", f"{name[-1]}@%h", "-l", "ERROR"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]

    def _ready(self) -> bool:
        self._processes.check()
        return len(self._app.control.ping(timeout=0.3) or ()) == len(self._workers()) and self._client.answers()

    def stop(self) -> None:
        """Stop the workers and drop every connection, so that the next start begins afresh."""
        self._processes.stop()
        self._client.close()
        self._publisher.close()
        self._app.close()
        self._redis.close()
        self._broker_redis.close()

    def reset(self) -> None:
        """Drop stored results and waiting messages."""
        self._redis.flushdb()
        self._broker_redis.delete(QUEUE)

    def floods(self) -> Mapping[Mode, Callable[[int], None]]:
        """In process, and through the door for the prefork pool."""
        ways: dict[Mode, Callable[[int], None]] = {
            Mode("batch", "apply_async in Producer.batch"): self._post_batch,
            Mode("one by one", "apply_async"): self._post_each,
        }
        if self._pool == "prefork":
            for threads in (1, 4):
                mode = Mode("one by one", f"HTTP, {threads} client{'s' * (threads > 1)}")
                ways[mode] = partial(post_all, self._client.port, "/tasks", payload, threads)
        return ways

    def _post_each(self, count: int) -> None:
        with self._publisher.producer_or_acquire() as producer:
            for number in range(count):
                self._publisher.send_task(TASK, (payload(number),), producer=producer)

    def _post_batch(self, count: int) -> None:
        with self._publisher.producer_or_acquire() as producer, producer.batch():
            for number in range(count):
                self._publisher.send_task(TASK, (payload(number),), producer=producer)

    def settle(self, count: int) -> Finish:
        """The result database holds one key for each finished task; the record has the time of its end."""
        until(self._enough(count), f"{self.name} finished {count}", SETTLE_SECONDS)
        keys = list(self._redis.scan_iter(count=1000))
        found = [orjson.loads(raw) for raw in self._redis.mget(keys) if raw is not None]
        if any(item["status"] != "SUCCESS" for item in found):
            raise BenchmarkError(f"{self.name}: a task failed: {found[0]}")
        check_results(self.name, [item["result"] for item in found], count)
        ends = [_seconds(item) for item in found]
        return Finish(first=min(ends), last=max(ends), at_first=ends.count(min(ends)))

    def _enough(self, count: int) -> Callable[[], bool]:
        return lambda: int(self._redis.dbsize()) >= count

    def hold(self) -> None:
        """Freeze the workers: they can be neither paused nor asked to leave a queue without a trip."""
        self._processes.signal(signal.SIGSTOP, *self._workers())

    def release(self) -> None:
        """Go on."""
        self._processes.signal(signal.SIGCONT, *self._workers())

    def singles(self) -> Mapping[Mode, Callable[[int], object]]:
        """apply_async and get, here or behind the door."""
        return {
            Mode("latency in process", "apply_async().get()"): self._run_here,
            Mode("latency over HTTP", "Flask door, POST and get()"): self._run_behind_door,
        }

    def _run_here(self, number: int) -> object:
        return self._app.tasks[TASK].apply_async((payload(number),)).get(timeout=10)

    def _run_behind_door(self, number: int) -> object:
        return self._client.call("POST", "/tasks?wait=10", payload(number), 200)["result"]

    def trees(self) -> Mapping[str, list[int]]:
        """The workers; there is nothing else that an idle Celery needs."""
        return {"workers": self._processes.pids(*self._workers())}

    def counters(self) -> Mapping[str, float]:
        """Redis only."""
        return redis_counters(self._redis)


def _door(port: int) -> list[str]:
    """The same server, with as many threads as the engine's API has."""
    return [
        *(executable("granian"), f"--interface={server.INTERFACE}", f"--port={port}", "--no-ws"),
        *("--blocking-threads=16", "benchmarks.celery_door:app"),
    ]


def _seconds(meta: dict[str, Any]) -> float:
    done = datetime.fromisoformat(meta["date_done"])
    return (done if done.tzinfo else done.replace(tzinfo=UTC)).timestamp()
