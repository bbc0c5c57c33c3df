"""Wakes clients that wait for a task at the moment it finishes, and tells them how it ended; and agents that wait for
a task to lease, by the names of the lines that they lease from.

Keys:
  taskengine:finished   channel; each message is a JSON list of objects with the ``id`` of a task that just
                        finished and, where few finished together and their results are small, the fields that its
                        end changed; of a line with new tasks for agents, its name as the ``id``

A client that heard only the id, or nothing, reads the record by primary key: see docs/decisions.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import redis

CHANNEL = "taskengine:finished"


def announce(client: redis.Redis, ends: Sequence[dict[str, Any]]) -> None:
    """Tell whoever waits how these tasks ended, in one round trip. Raises redis.RedisError."""
    client.publish(CHANNEL, orjson.dumps(ends))


class Waiter(threading.Event):
    """Set when the task finished, or when it is time to look; ``end`` holds what the message told, if it did."""

    end: dict[str, Any] | None = None


class Finishes:
    """Lets many threads of a process wait for tasks over one subscription.

    The listening thread starts with the first waiter. While Redis is away, waiters are woken every now and then
    and look for themselves.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._lock = threading.Lock()
        self._waiters: dict[str, set[Waiter]] = defaultdict(set)
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def register(self, *keys: UUID | str) -> Waiter:
        """An event that is set when one of these tasks finishes. Look at the task after registering, not before."""
        event = Waiter()
        with self._lock:
            for key in keys:
                self._waiters[str(key)].add(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="finishes", daemon=True)
                self._thread.start()
        # Without the subscription a finish in between would be missed until the next look.
        self._listening.wait(timeout=1)
        return event

    def forget(self, event: Waiter, *keys: UUID | str) -> None:
        """Stop waiting for these."""
        with self._lock:
            for key in map(str, keys):
                self._waiters[key].discard(event)
                if not self._waiters[key]:
                    del self._waiters[key]

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
        elif message["type"] == "message" and self._waiters and isinstance(data := message["data"], bytes):
            self._wake(orjson.loads(data))

    def _wake(self, ends: list[dict[str, Any]] | None) -> None:
        with self._lock:
            for end in [{"id": key} for key in self._waiters] if ends is None else ends:
                for waiter in self._waiters.get(end["id"], ()):
                    waiter.end = end if len(end) > 1 else None
                    waiter.set()
