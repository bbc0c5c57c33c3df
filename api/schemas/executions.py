"""Attempts and what they leave behind."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.shared import ErrorInfo, Listing, Shape


class ResourceUsage(Shape):
    """What an attempt used, its child processes included."""

    cpu_seconds: float = Field(description="Processor time.")
    cpu_percent: float | None = Field(description="That time as a part of the attempt's; over 100 on several cores.")
    memory_mb: float = Field(description="The most memory that it had at a time, in MiB.")


class Execution(Shape):
    """One attempt at a task."""

    id: UUID
    task_id: UUID
    attempt: int
    status: Literal["running", "succeeded", "failed", "timed_out", "cancelled", "lost"]
    type: str
    queue: str
    worker: str
    queued_at: datetime | None = Field(description="When it became ready; null where that was not recorded.")
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    progress: Any = Field(description="What the handler said last: `fraction` and `message`.")
    output: Any = Field(description="The result, if this attempt brought it.")
    error: ErrorInfo | None
    resource_usage: ResourceUsage | None = Field(description="Empty while it runs, and where nobody measured it.")


class ExecutionList(Listing[Execution]):
    """One page of attempts, newest first."""


class LogLine(Shape):
    """A line that a handler wrote; `sequence` counts within the attempt."""

    execution_id: UUID
    sequence: int
    at: datetime
    level: str
    message: str
    fields: dict[str, Any] | None


class LogList(Listing[LogLine]):
    """One page of log lines, in order."""


class StepFile(Shape):
    """A file that is shown with a step; `GET /v1/artifacts/{id}` opens it."""

    kind: str = Field(description="What it is: `screenshot`, `dom`, `download` …")
    id: UUID
    name: str


class Step(Shape):
    """A recorded piece of an attempt."""

    execution_id: UUID
    sequence: int
    name: str
    type: str
    status: str
    started_at: datetime
    ended_at: datetime
    result: Any
    error: ErrorInfo | None
    files: list[StepFile] | None


class StepList(Listing[Step]):
    """One page of steps, in order."""


class Artifact(Shape):
    """A file that an attempt stored."""

    id: UUID
    task_id: UUID
    execution_id: UUID
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


class ArtifactList(Listing[Artifact]):
    """One page of files, newest first."""
