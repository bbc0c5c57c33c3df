"""Worker queues, and the tasks that fell out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast
from uuid import UUID

from taskengine.client.models import DeadLetter, Queue
from taskengine.client.tasks import segment
from taskengine.client.transport import Transport

MOST_REDRIVEN = 10_000
"""What the API redrives in one request."""


class Queues:
    """The verbs of ``/v1/queues``. Pausing, resuming and draining need a key with the scope admin."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(self) -> list[Queue]:
        """Every queue as it stands."""
        return list(self._http.pages("/v1/queues", {}, None))

    def pause(self, name: str) -> Queue:
        """Take nothing more from the queue; what runs goes on."""
        return self._act(name, "pause")

    def resume(self, name: str) -> Queue:
        """Take from the queue again, after a pause or a drain."""
        return self._act(name, "resume")

    def drain(self, name: str) -> Queue:
        """Finish what the queue holds and let nothing new in."""
        return self._act(name, "drain")

    def _act(self, name: str, verb: str) -> Queue:
        return cast("Queue", self._http.call("POST", f"/v1/queues/{segment(name)}/{verb}"))


class DeadLetters:
    """The verbs of ``/v1/dead-letters``."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def list(
        self,
        *,
        type: str | None = None,
        queue: str | None = None,
        code: str | None = None,
        limit: int | None = None,
    ) -> Iterator[DeadLetter]:
        """Tasks whose retries are used up, by task type, queue or error code."""
        return self._http.pages("/v1/dead-letters", {"type": type, "queue": queue, "code": code}, limit)

    def redrive(
        self,
        ids: Sequence[str | UUID] | None = None,
        *,
        type: str | None = None,
        queue: str | None = None,
        code: str | None = None,
        limit: int = MOST_REDRIVEN,
    ) -> int:
        """Queue those tasks again, oldest first; returns how many. They must fit everything that is given."""
        wanted = {
            "ids": None if ids is None else [str(item) for item in ids],
            "type": type,
            "queue": queue,
            "code": code,
            "limit": limit,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        return cast("int", self._http.call("POST", "/v1/dead-letters/redrive", body=body)["redriven"])
