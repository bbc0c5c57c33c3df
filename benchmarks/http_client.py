"""A keep-alive HTTP client that costs next to nothing, so that the server is measured and not the client."""

from __future__ import annotations

import http.client
import itertools
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from benchmarks.contender import BenchmarkError


class Client:
    """One connection to a local server; used by one thread."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.port = port
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: object, expected: int) -> Any:
        """Send JSON, return JSON; BenchmarkError on another status than ``expected``."""
        data = None if body is None else orjson.dumps(body)
        try:
            answer, content = self._exchange(method, path, data)
        except ConnectionError:  # servers drop connections that were idle for a while
            self._connection.close()
            answer, content = self._exchange(method, path, data)
        if answer.status != expected:
            raise BenchmarkError(f"{method} {path} answered {answer.status}: {content[:500]!r}")
        return orjson.loads(content)

    def _exchange(self, method: str, path: str, data: bytes | None) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, path, data, self._headers)
        answer = self._connection.getresponse()
        return answer, answer.read()

    def answers(self, path: str = "/", below: int = 500) -> bool:
        """Whether the server answers at all, with a status under ``below``."""
        try:
            answer, _ = self._exchange("GET", path, None)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return answer.status < below

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def post_all(
    port: int,
    path: str,
    body: Callable[[int], object],
    threads: int,
    count: int,
    headers: Mapping[str, str] | None = None,
    expected: int = 200,
) -> None:
    """POST ``body(0)`` to ``body(count - 1)`` one by one, each of ``threads`` on a connection of its own."""
    numbers = itertools.count()  # next() on it is atomic, so the threads share the work evenly

    def run() -> None:
        client = Client(port, headers)
        try:
            while (number := next(numbers)) < count:
                client.call("POST", path, body(number), expected)
        finally:
            client.close()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run) for _ in range(threads)]:
            done.result()


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
