"""Queues, dead letters, task types, and the state of the installation."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.pagination import PageQuery
from api.schemas.shared import ErrorInfo, Filter, Id, Listing, Shape
from taskengine.domain.wire import Wire


class Queue(Shape):
    """A worker queue."""

    name: str
    depth: int = Field(description="Ready tasks that wait.")
    in_flight: int = Field(description="Of these, how many are with the broker.")
    running: int
    oldest_age_seconds: float | None = Field(description="How long the oldest has waited; null when none waits.")
    workers: int = Field(description="Live worker processes.")
    slots: int = Field(description="Tasks that these run at the same time.")
    finished_per_minute: float
    paused: bool
    draining: bool


class QueueList(Listing[Queue]):
    """The queues by name."""


class TaskType(Shape):
    """A task type with the JSON Schemas of its config and its result."""

    type: str
    queue: str
    description: str
    timeout_seconds: float
    config_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: dict[str, Any]


class TaskTypeList(Listing[TaskType]):
    """The task types by name."""


class DeadLetterQuery(PageQuery):
    """Narrows the list of dead letters."""

    type: Filter | None = None
    queue: Filter | None = None
    code: Filter | None = Field(None, description="Code of the last error.")


class DeadLetter(Shape):
    """A task whose retries are used up."""

    id: UUID
    task_id: UUID
    name: str
    type: str
    queue: str
    code: str
    error: ErrorInfo
    attempts: int
    created_at: datetime


class DeadLetterList(Listing[DeadLetter]):
    """One page of open dead letters, newest first."""


class RedriveBody(Wire):
    """Which dead letters to run again: those that fit everything sent, oldest first."""

    ids: list[Id] | None = Field(None, max_length=10_000, description="Dead letters by id.")
    type: Filter | None = None
    queue: Filter | None = None
    code: Filter | None = None
    limit: int = Field(1000, ge=1, le=10_000)


class Redriven(Shape):
    """How many tasks were queued again."""

    redriven: int


class Health(Shape):
    """The process answers."""

    status: Literal["ok"]


class Check(Shape):
    """The state of one dependency."""

    ok: bool
    detail: str


class Readiness(Shape):
    """`ready`, `degraded` (works, dispatch is delayed) or `unavailable`."""

    status: Literal["ready", "degraded", "unavailable"]
    checks: dict[str, Check]
