"""The shapes that the API sends and takes, as plain dicts with types.

Results keep fields that this version does not know, so a newer server breaks nothing. Ids are UUIDs as text,
times RFC 3339 text in UTC (``datetime.fromisoformat`` reads them).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypedDict

Priority = Literal["low", "normal", "high", "urgent", "critical"]
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
    webhook_url: str | None
    notify_on_complete: bool
    notify_on_failure: bool
    queue: str
    run_on: Literal["success", "failure", "always"]
    on_failure: Literal["fail", "continue"]
    expansion_config: dict[str, Any]
    input: dict[str, Any]


class TaskSpec(TaskOptions):
    """A task to create; ``type`` names a task type, ``config`` is that type's own input."""

    type: str


class ErrorInfo(TypedDict):
    """Why an attempt failed: a machine code, a sentence, details."""

    code: str
    message: str
    details: dict[str, Any]


class Task(TypedDict):
    """A task as it stands. Credentials in ``config`` read ``***``; ``attempt`` counts the attempts begun so far."""

    id: str
    key: str | None
    name: str
    type: str
    queue: str
    status: str
    priority: Priority
    urgency: str
    config: dict[str, Any]
    description: str | None
    assigned_to_bot: bool
    assigned_to: str | None
    execution_type: str
    requires_human_review: bool
    review: dict[str, Any] | None
    scheduled_for: str | None
    deadline: str | None
    expires_at: str | None
    depends_on: list[str]
    max_retries: int
    retry: dict[str, Any]
    timeout_seconds: float | None
    tags: list[str]
    metadata: dict[str, Any]
    resource_requirements: dict[str, float] | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    webhook_url: str | None
    notify_on_complete: bool
    notify_on_failure: bool
    attempt: int
    error_count: int
    last_error: ErrorInfo | None
    result: Any
    created_by: str
    created_at: str
    updated_at: str
    queued_at: str | None
    started_at: str | None
    completed_at: str | None
    run_at: str | None
    cancel_requested_at: str | None
    cancel_reason: str | None
    run_id: str | None
    group_id: str | None
    parent_id: str | None
    sequence_num: int | None
    kind: str
    path: str | None
    run_on: str
    on_failure: str
    input: dict[str, Any] | None
    expansion_config: dict[str, Any] | None


class ResourceUsage(TypedDict):
    """What an attempt used, its child processes included; ``memory_mb`` is the most at a time, in MiB."""

    cpu_seconds: float
    cpu_percent: float | None
    memory_mb: float


class Execution(TypedDict):
    """One attempt at a task. ``progress`` is what the handler said last, ``{"fraction", "message"}``."""

    id: str
    task_id: str
    attempt: int
    status: str
    type: str
    queue: str
    worker: str
    queued_at: str | None
    started_at: str
    ended_at: str | None
    duration_seconds: float | None
    progress: Any
    output: Any
    error: ErrorInfo | None
    resource_usage: ResourceUsage | None


class LogLine(TypedDict):
    """A line that a handler wrote; ``sequence`` counts within the attempt."""

    execution_id: str
    sequence: int
    at: str
    level: str
    message: str
    fields: dict[str, Any] | None


class StepFile(TypedDict):
    """A file that is shown with a step."""

    kind: str
    id: str
    name: str


class Step(TypedDict):
    """A recorded piece of an attempt; ``sequence`` counts within the attempt."""

    execution_id: str
    sequence: int
    name: str
    type: str
    status: str
    started_at: str
    ended_at: str
    result: Any
    error: ErrorInfo | None
    files: list[StepFile] | None


class Event(TypedDict):
    """An entry of a task's audit trail."""

    id: int
    task_id: str
    run_id: str | None
    type: str
    from_status: str | None
    to_status: str
    attempt: int
    data: dict[str, Any] | None
    created_at: str


class Artifact(TypedDict):
    """A file that an attempt stored."""

    id: str
    task_id: str
    execution_id: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: str


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
    """A worker queue. ``in_flight`` of ``depth`` are with the broker; ``workers`` counts live processes."""

    name: str
    depth: int
    in_flight: int
    running: int
    oldest_age_seconds: float | None
    workers: int
    slots: int
    finished_per_minute: float
    paused: bool
    draining: bool


class DeadLetter(TypedDict):
    """A task whose retries are used up; ``code`` is the last error's."""

    id: str
    task_id: str
    name: str
    type: str
    queue: str
    code: str
    error: ErrorInfo
    attempts: int
    created_at: str


class TaskType(TypedDict):
    """A task type with the JSON Schemas of its config and its result."""

    type: str
    queue: str
    description: str
    timeout_seconds: float
    config_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: dict[str, Any]


class Check(TypedDict):
    """The state of one dependency."""

    ok: bool
    detail: str


class Readiness(TypedDict):
    """Whether the installation can work: ``ready``, ``degraded`` (works, dispatch is late), ``unavailable``."""

    status: str
    checks: dict[str, Check]
