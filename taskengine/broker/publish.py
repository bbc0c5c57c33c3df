"""Messages to the workers. Each is a hint: ids and attempt numbers, never the payload of record.

Keys in Redis: one list per queue and priority step, as Celery's Redis transport names them
(``queue`` for step 0, ``queue\\x06\\x16N`` for step N).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import redis
from celery import Celery
from kombu import Producer
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError

from taskengine.domain.ids import new_id

RUN = "taskengine.run"
TICK = "taskengine.tick"
CANARY = "taskengine.canary"
_SEPARATOR = "\x06\x16"
_STEPS = 5
# KEYS: the lists of one queue. Returns how many messages they hold together.
_COUNT = "local n = 0 for _, key in ipairs(KEYS) do n = n + redis.call('LLEN', key) end return n"
# After a failure, publishing is not tried for this long: the relay sends what is left behind.
_HOLD_SECONDS = 1.0


def _batch(producer: Producer) -> AbstractContextManager[Any]:
    batch: Callable[[], AbstractContextManager[Any]] = producer.batch  # type: ignore[attr-defined] # new in 5.7
    return batch()


class BrokerDown(Exception):
    """Redis did not take the messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """Attempts that travel together: one task, or a pack of small ones. ``priority`` is 1 to 5, 5 first."""

    queue: str
    priority: int
    attempts: Sequence[tuple[UUID, int]]


def broker_priority(priority: int) -> int:
    """Our 1 (low) to 5 (critical) as Redis's 4 to 0: there the least number goes first."""
    return _STEPS - priority


class Publisher:
    """Sends messages, and counts those that wait. Safe to share between threads."""

    def __init__(self, app: Celery, client: redis.Redis) -> None:
        self._app = app
        self._redis = client
        self._count = client.register_script(_COUNT)
        self._down_until = 0.0

    def available(self) -> bool:
        """False shortly after a failure: then do not even try."""
        return time.monotonic() >= self._down_until

    def _failed(self, error: Exception) -> BrokerDown:
        self._down_until = time.monotonic() + _HOLD_SECONDS
        return BrokerDown(f"Redis did not answer: {error}")

    def publish(self, messages: Sequence[Message]) -> None:
        """Send all, in one round trip; BrokerDown if Redis does not take them (some may have gone out)."""
        if not self.available():
            raise BrokerDown("Redis did not answer a moment ago")
        self._send(
            [
                (RUN, message.queue, broker_priority(message.priority), [[[str(a), n] for a, n in message.attempts]])
                for message in messages
            ]
        )

    def canaries(self, queues: Sequence[str]) -> None:
        """Send each queue a message that its worker answers by a note in Postgres."""
        self._send([(CANARY, queue, 0, [queue]) for queue in queues])

    def _send(self, messages: Sequence[tuple[str, str, int, list[Any]]]) -> None:
        try:
            with self._app.producer_pool.acquire(block=True, timeout=5) as producer, _batch(producer):
                for name, queue, priority, args in messages:
                    made = self._app.amqp.as_task_v2(
                        str(new_id()), name, tuple(args), {}, argsrepr="", kwargsrepr="", ignore_result=True
                    )
                    # The anonymous exchange needs no binding in Redis, which a FLUSHALL would take away.
                    producer.publish(
                        made.body,
                        exchange="",
                        routing_key=queue,
                        priority=priority,
                        serializer="json",
                        headers=made.headers,
                        delivery_mode=1,
                        **made.properties,
                    )
        except (BrokerError, KombuError, redis.RedisError, OSError) as error:
            raise self._failed(error) from error

    def waiting(self, queue: str) -> int:
        """Messages of a queue that no worker has taken; BrokerDown if Redis does not answer."""
        if not self.available():
            raise BrokerDown("Redis did not answer a moment ago")
        try:
            return int(self._count(keys=_keys(queue)))
        except redis.RedisError as error:
            raise self._failed(error) from error

    def held(self, queue: str) -> set[UUID]:
        """The tasks that a queue's messages name which no worker has taken; BrokerDown if Redis does not answer.

        Reads the messages themselves: the dispatcher keeps them few.
        """
        try:
            messages = [raw for key in _keys(queue) for raw in self._redis.lrange(key, 0, -1)]
        except redis.RedisError as error:
            raise self._failed(error) from error
        return {task_id for raw in messages for task_id in _named(raw)}


def _keys(queue: str) -> list[str]:
    return [queue, *(f"{queue}{_SEPARATOR}{step}" for step in range(1, _STEPS))]


def _named(raw: bytes | str) -> list[UUID]:
    try:
        message = orjson.loads(raw)
        if message["headers"]["task"] != RUN:
            return []
        args, *_ = orjson.loads(base64.b64decode(message["body"]))
        return [UUID(task_id) for task_id, _ in args[0]]
    except (ValueError, TypeError, KeyError, IndexError):
        # Not one of ours; the worker will drop it.
        return []
