"""Wakes clients that wait for a task, at the moment it finishes.

Keys:
  taskengine:finished   channel; each message holds the ids of tasks that just finished, 16 bytes each

The result itself is read from Postgres, by primary key: see docs/decisions.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import redis

CHANNEL = "taskengine:finished"


def announce(client: redis.Redis, ids: Sequence[UUID]) -> None:
    """Wake whoever waits for these tasks, in one round trip. Raises redis.RedisError."""
    client.publish(CHANNEL, b"".join(task_id.bytes for task_id in ids))


class Finishes:
    """Lets many threads of a process wait for tasks over one subscription.

    The listening thread starts with the first waiter. While Redis is away, waiters are woken every now and then
    and look for themselves.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._lock = threading.Lock()
        self._waiters: dict[bytes, set[threading.Event]] = defaultdict(set)
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def register(self, task_id: UUID) -> threading.Event:
        """An event that is set when the task finishes. Look at the task after registering, not before."""
        event = threading.Event()
        with self._lock:
            self._waiters[task_id.bytes].add(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="finishes", daemon=True)
                self._thread.start()
        # Without the subscription a finish in between would be missed until the next look.
        self._listening.wait(timeout=1)
        return event

    def forget(self, task_id: UUID, event: threading.Event) -> None:
        """Stop waiting."""
        with self._lock:
            waiters = self._waiters[task_id.bytes]
            waiters.discard(event)
            if not waiters:
                del self._waiters[task_id.bytes]

    def close(self) -> None:
        """End the listening thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._redis.pubsub() as subscription:  # type: ignore[no-untyped-call] # redis-py types it not
                    subscription.subscribe(CHANNEL)
                    while not self._stopped.is_set():
                        self._take(subscription.get_message(timeout=1))
            except redis.RedisError:
                self._listening.clear()
                self._wake(None)
                self._stopped.wait(0.5)

    def _take(self, message: dict[str, object] | None) -> None:
        if message is None:
            return
        if message["type"] == "subscribe":
            self._listening.set()
            # Whatever finished while nobody listened: let all waiters look.
            self._wake(None)
        elif message["type"] == "message" and isinstance(data := message["data"], bytes):
            self._wake([data[start : start + 16] for start in range(0, len(data), 16)])

    def _wake(self, keys: list[bytes] | None) -> None:
        with self._lock:
            if not self._waiters:
                return
            for key in list(self._waiters) if keys is None else keys:
                for event in self._waiters.get(key, ()):
                    event.set()
