"""The shapes that the API sends and takes, as plain dicts with types.

Results keep fields that this version does not know, so a newer server breaks nothing. Ids are UUIDs as text,
times RFC 3339 text in UTC (``datetime.fromisoformat`` reads them).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

Priority = Literal["low", "normal", "high", "urgent", "critical"]
Scope = Literal["read", "write", "admin"]
Time = datetime | str
"""A point in time to send: an aware datetime, or RFC 3339 text."""

FINAL = frozenset({"completed", "failed", "cancelled", "skipped"})
"""The statuses that a task never leaves by itself."""


class RetryPolicy(TypedDict, total=False):
    """How long to wait before another attempt; all lengths in seconds."""

    strategy: Literal["exponential", "fixed", "list"]
    delay_seconds: float
    max_delay_seconds: float
    delays: list[float]
    jitter: bool


class TaskChanges(TypedDict, total=False):
    """What may be changed in a task that has not started; only the fields sent change."""

    name: str
    config: dict[str, Any]
    description: str | None
    priority: Priority
    urgency: Literal["normal", "urgent"]
    assigned_to: str | None
    scheduled_for: Time | None
    deadline: Time | None
    expires_at: Time | None
    max_retries: int
    retry: RetryPolicy
    timeout_seconds: float | None
    tags: list[str]
    metadata: dict[str, Any]


class TaskOptions(TaskChanges, total=False):
    """Everything about a new task but its type, config and name."""

    key: str
    execution_type: Literal["automatic", "manual", "scheduled"]
    assigned_to_bot: bool
    requires_human_review: bool
    depends_on: list[str]
    resource_requirements: dict[str, float]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    queue: str


class TaskSpec(TaskOptions):
    """A task to create; ``type`` names a task type, ``config`` is that type's own input."""

    type: str


class ErrorInfo(TypedDict):
    """Why an attempt failed: a machine code, a sentence, details."""

    code: str
    message: str
    details: dict[str, Any]


class Task(TypedDict):
    """A task as it stands."""

    id: str
    name: str
    type: str
    status: str
    queue: str
    priority: str
    config: dict[str, Any]
    attempt: int
    error_count: int
    last_error: ErrorInfo | None
    result: Any
    tags: list[str]
    metadata: dict[str, Any]
    created_at: str
    queued_at: str | None
    started_at: str | None
    completed_at: str | None
    scheduled_for: NotRequired[str | None]
    depends_on: NotRequired[list[str]]
    max_retries: NotRequired[int]
    key: NotRequired[str | None]


class Execution(TypedDict):
    """One attempt at a task. ``progress`` is what the handler said last."""

    id: str
    task_id: str
    attempt: int
    status: str
    queue: str
    worker: str
    started_at: str
    ended_at: str | None
    error: ErrorInfo | None
    progress: Any


class LogLine(TypedDict):
    """A line that a handler wrote; ``sequence`` counts within the attempt."""

    sequence: int
    at: str
    level: str
    message: str
    fields: NotRequired[dict[str, Any] | None]


class Step(TypedDict):
    """A recorded piece of an attempt; ``sequence`` counts within the attempt."""

    sequence: int
    name: str
    type: str
    status: str
    started_at: str
    ended_at: str
    result: NotRequired[Any]
    error: NotRequired[ErrorInfo | None]


class Event(TypedDict):
    """An entry of a task's audit trail."""

    type: str
    from_status: str | None
    to_status: str
    attempt: int
    data: NotRequired[dict[str, Any] | None]
    created_at: str


class Artifact(TypedDict):
    """A file that an attempt stored."""

    id: str
    name: str
    content_type: str
    size_bytes: int


class Blocker(TypedDict):
    """One reason why a task is not running."""

    kind: str
    message: str


class Explanation(TypedDict):
    """Why a task is not running; ``position`` is its place in the queue, from 1."""

    task_id: str
    status: str
    summary: str
    blockers: list[Blocker]
    position: int | None
    expected_start: str | None


class Queue(TypedDict):
    """A worker queue. ``workers`` counts live ones; ``oldest_age_seconds`` is None when nothing waits."""

    name: str
    depth: int
    running: int
    oldest_age_seconds: float | None
    workers: int
    paused: bool
    draining: bool
    in_flight: int
    finished_per_minute: float


class DeadLetter(TypedDict):
    """A task whose retries are used up; ``code`` is the last error's."""

    id: str
    task_id: str
    type: str
    queue: str
    code: str
    error: ErrorInfo
    attempts: int
    created_at: str


class Secret(TypedDict):
    """A stored secret's name and times; the value is never read back."""

    name: str
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class ApiKey(TypedDict):
    """An API key; ``key`` is the key itself, in the answer to its creation only."""

    id: str
    name: str
    scopes: list[str]
    created_at: NotRequired[str]
    expires_at: NotRequired[str | None]
    revoked_at: NotRequired[str | None]
    key: NotRequired[str]


class TaskType(TypedDict):
    """A task type with the JSON Schemas of its config and its result."""

    type: str
    queue: str
    description: str
    config_schema: dict[str, Any]
    output_schema: dict[str, Any]


class Check(TypedDict):
    """The state of one dependency."""

    ok: bool
    detail: str


class Readiness(TypedDict):
    """Whether the installation can work: ``ready``, ``degraded`` (works, dispatch is late), ``unavailable``."""

    status: str
    checks: dict[str, Check]
