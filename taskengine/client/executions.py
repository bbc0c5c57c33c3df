"""Attempts at tasks, and the files they stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast
from uuid import UUID

from taskengine.client.models import Execution, LogLine, Step
from taskengine.client.tasks import segment
from taskengine.client.transport import Transport


class Executions:
    """The verbs of ``/v1/executions``."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def get(self, execution_id: str | UUID) -> Execution:
        """One attempt in full."""
        return cast("Execution", self._http.call("GET", f"/v1/executions/{segment(execution_id)}"))

    def logs(self, execution_id: str | UUID, *, limit: int | None = None) -> Iterator[LogLine]:
        """The lines that the handler wrote, in order."""
        return self._http.pages(f"/v1/executions/{segment(execution_id)}/logs", {}, limit)

    def steps(self, execution_id: str | UUID, *, limit: int | None = None) -> Iterator[Step]:
        """The recorded pieces of the attempt, in order."""
        return self._http.pages(f"/v1/executions/{segment(execution_id)}/steps", {}, limit)


class Artifacts:
    """The verbs of ``/v1/artifacts``."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def read(self, artifact_id: str | UUID) -> bytes:
        """The whole file; for large ones use :meth:`save`."""
        return b"".join(self._http.stream(_path(artifact_id)))

    def save(self, artifact_id: str | UUID, target: BinaryIO) -> int:
        """Write the file to ``target`` as it arrives; returns its size in bytes."""
        return sum(target.write(chunk) for chunk in self._http.stream(_path(artifact_id)))


def _path(artifact_id: str | UUID) -> str:
    return f"/v1/artifacts/{segment(artifact_id)}"
