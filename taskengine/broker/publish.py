"""Messages to the workers. Each is a hint: ids and attempt numbers, never the payload of record.

Keys in Redis: one list per queue and priority step, as Celery's Redis transport names them
(``queue`` for step 0, ``queue\\x06\\x16N`` for step N).
"""

from __future__ import annotations

import base64
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import redis

from taskengine.domain.ids import new_id

RUN = "taskengine.run"
TICK = "taskengine.tick"
CANARY = "taskengine.canary"
EXPAND = "taskengine.expand"
DELIVER = "taskengine.deliver"
_SEPARATOR = "\x06\x16"
_STEPS = 5
_ORIGIN = f"{os.getpid()}@{socket.gethostname()}"
# KEYS: the lists of one queue. Returns how many messages they hold together.
_COUNT = "local n = 0 for _, key in ipairs(KEYS) do n = n + redis.call('LLEN', key) end return n"
# After a failure, publishing is not tried for this long: the relay sends what is left behind.
_HOLD_SECONDS = 1.0


class BrokerDown(Exception):
    """Redis did not take the messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """Attempts that travel together: one task, or a pack of small ones. ``priority`` is 1 to 5, 5 first."""

    queue: str
    priority: int
    attempts: Sequence[tuple[UUID, int]]


def direct(worker: str) -> str:
    """The list that only this worker takes messages from."""
    return f"{worker}.direct"


def broker_priority(priority: int) -> int:
    """Our 1 (low) to 5 (critical) as Redis's 4 to 0: there the least number goes first."""
    return _STEPS - priority


class Publisher:
    """Sends messages, and counts those that wait. Safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
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

    def expand(self, expansion_id: UUID) -> None:
        """Have a worker of ``control`` make the rest of an expansion's children."""
        self._send([(EXPAND, "control", 0, [str(expansion_id)])])

    def deliver(self) -> None:
        """Have a worker of ``integration`` send the messages that are due; BrokerDown if Redis does not answer.

        One such message is enough: who takes it takes whatever is due then.
        """
        if not self.available():
            raise BrokerDown("Redis did not answer a moment ago")
        try:
            waiting = [raw for key in _keys("integration") for raw in self._redis.lrange(key, 0, -1)]
        except redis.RedisError as error:
            raise self._failed(error) from error
        if not any(_name_of(raw) == DELIVER for raw in waiting):
            self._send([(DELIVER, "integration", broker_priority(3), ["what is due"])])

    def canaries(self, queues: Sequence[str]) -> None:
        """Send each queue a message that its worker answers by a note in Postgres."""
        self._send([(CANARY, queue, 0, [queue]) for queue in queues])

    def _send(self, messages: Sequence[tuple[str, str, int, list[Any]]]) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for name, queue, priority, args in messages:
                    pipe.lpush(_keys(queue)[priority], envelope(name, queue, priority, args))
                pipe.execute()
        except redis.RedisError as error:
            raise self._failed(error) from error

    def waiting(self, queue: str) -> int:
        """Messages of a queue that no worker has taken; BrokerDown if Redis does not answer."""
        if not self.available():
            raise BrokerDown("Redis did not answer a moment ago")
        try:
            return int(self._count(keys=_keys(queue)))
        except redis.RedisError as error:
            raise self._failed(error) from error

    def held(self, queues: Sequence[str]) -> set[UUID]:
        """The tasks that these queues' messages name which no worker has taken; BrokerDown if Redis does not answer.

        Reads the messages themselves: the dispatcher keeps them few.
        """
        try:
            messages = [raw for queue in queues for key in _keys(queue) for raw in self._redis.lrange(key, 0, -1)]
        except redis.RedisError as error:
            raise self._failed(error) from error
        return {task_id for raw in messages for task_id in _named(raw)}


def envelope(name: str, queue: str, priority: int, args: list[Any]) -> bytes:
    """A message as Celery's protocol 2 and kombu's Redis transport write it; a test compares it with theirs.

    Written here because it takes a fifth of the time, and because it needs no exchange: kombu would look the
    exchange's bindings up in Redis, where a FLUSHALL takes them away.
    """
    message_id = str(new_id())
    body = orjson.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return orjson.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": name,
                "id": message_id,
                "shadow": None,
                "eta": None,
                "expires": None,
                "group": None,
                "group_index": None,
                "retries": 0,
                "timelimit": [None, None],
                "root_id": message_id,
                "parent_id": None,
                "argsrepr": _shown(args),
                "kwargsrepr": "{}",
                "origin": _ORIGIN,
                "ignore_result": True,
                "replaced_task_nesting": 0,
                "stamped_headers": None,
                "stamps": {},
            },
            "properties": {
                "correlation_id": message_id,
                "reply_to": "",
                "delivery_mode": 1,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": priority,
                "body_encoding": "base64",
                "delivery_tag": message_id,
            },
        }
    )


def _shown(args: list[Any]) -> str:
    """What Flower shows of a message: the first task it names, and how many."""
    [first] = args
    if isinstance(first, str):
        return first
    more = f" and {len(first) - 1} more" if len(first) > 1 else ""
    return f"task {first[0][0]}, attempt {first[0][1]}{more}"


def _keys(queue: str) -> list[str]:
    return [queue, *(f"{queue}{_SEPARATOR}{step}" for step in range(1, _STEPS))]


def _name_of(raw: bytes | str) -> str | None:
    try:
        return str(orjson.loads(raw)["headers"]["task"])
    except (ValueError, TypeError, KeyError):
        return None


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
