"""Waiting for an end, by requests that the server holds back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TypeVar

from taskengine.client.errors import ClientError
from taskengine.client.models import Task
from taskengine.client.run_models import Run

T = TypeVar("T", Task, Run)

_LONGEST_SECONDS = 30.0
"""Of one request. The API takes up to 60; proxies in between often cut off at that."""
_SHORTEST_SECONDS = 0.1


def until_final(
    get: Callable[[float], T],
    final: Collection[str],
    timeout: float | None,
    late: Callable[[T, float], ClientError],
) -> T:
    """What ``get`` answers once its status is final; ``late`` makes the error to raise after ``timeout`` seconds.

    ``get`` takes the seconds that its request may be held back. A timeout of None waits for ever.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        started = time.monotonic()
        left = _LONGEST_SECONDS if end is None else max(0.0, end - started)
        found = get(min(left, _LONGEST_SECONDS))
        if found["status"] in final:
            return found
        now = time.monotonic()
        if end is not None and now >= end:
            raise late(found, timeout or 0)
        # A server that answers at once cannot hold more requests back: do not storm it.
        time.sleep(max(0.0, _SHORTEST_SECONDS - (now - started)))
