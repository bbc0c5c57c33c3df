"""What goes wrong between those who send messages and those who take them: messages come twice, or never."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')


def lists(queue: str) -> list[str]:
    """The keys of a queue's lists, one for each priority."""
    return [queue, *(f"{queue}\x06\x16{step}" for step in range(1, 5))]


@contextmanager
def _meanwhile(work: Callable[[threading.Event, threading.Event], None]) -> Iterator[None]:
    """Let a thread do ``work``, which says when it has begun, until it is told that it is done."""
    begun, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=work, args=(begun, done))
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join(10)


@contextmanager
def doubled(url: str, queue: str = "integration") -> Iterator[list[bytes]]:
    """Meanwhile, send every message that anybody sends a second time; the messages."""
    sent: list[bytes] = []
    seen: set[bytes] = set()
    keys = {key.encode() for key in lists(queue)}

    def work(begun: threading.Event, done: threading.Event) -> None:
        with redis.Redis.from_url(url) as client, redis.Redis.from_url(url) as own, client.monitor() as monitor:
            begun.set()
            while not done.is_set():
                if not monitor.connection.can_read(timeout=0.1):
                    continue
                line: bytes = monitor.connection.read_response(disable_decoding=True)
                arguments = [
                    part.decode("ascii").encode().decode("unicode_escape").encode("latin-1")
                    for part in _ARGUMENT.findall(line)
                ]
                if arguments[:1] == [b"LPUSH"] and arguments[1] in keys and arguments[2] not in seen:
                    seen.add(arguments[2])
                    own.lpush(arguments[1], arguments[2])
                    sent.append(arguments[2])

    with _meanwhile(work):
        yield sent


@contextmanager
def dropped(url: str, queue: str = "integration") -> Iterator[list[bytes]]:
    """Meanwhile, take messages as a worker does, and do nothing with them; the messages."""
    taken: list[bytes] = []

    def work(begun: threading.Event, done: threading.Event) -> None:
        with redis.Redis.from_url(url) as client:
            begun.set()
            while not done.is_set():
                if message := client.brpop(lists(queue), timeout=0.2):
                    taken.append(message[1])

    with _meanwhile(work):
        yield taken
