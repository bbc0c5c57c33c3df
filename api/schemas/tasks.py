"""Tasks as the API takes and shows them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from api.operations import Query
from api.pagination import PageQuery
from api.schemas.shared import ErrorInfo, Filter, Id, Listing, Shape
from taskengine.domain.states import ALIASES, TaskStatus, expand_status
from taskengine.domain.task import TaskFilter, TaskSpec
from taskengine.domain.wire import Text, Timestamp, Wire

MAX_BATCH = 10_000
MAX_WAIT_SECONDS = 60

StatusName = Literal[
    "pending",
    "deferred",
    "queued",
    "running",
    "waiting_input",
    "retrying",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "skipped",
]
KindName = Literal["task", "expansion", "group", "parallel", "sequential", "conditional", "loop", "wait", "workflow"]
PriorityName = Literal["low", "normal", "high", "urgent", "critical"]


class Task(Shape):
    """A task as it stands."""

    id: UUID
    key: str | None = Field(description="Its name within the batch it came with.")
    name: str
    type: str
    queue: str
    status: StatusName
    priority: PriorityName
    urgency: Literal["normal", "urgent"]
    config: dict[str, Any] = Field(description="As sent; credentials read `***`.")
    description: str | None
    assigned_to_bot: bool
    assigned_to: str | None
    execution_type: Literal["automatic", "manual", "scheduled"]
    requires_human_review: bool
    review: dict[str, Any] | None = Field(description="Who approved or rejected it, when, and what they said.")
    scheduled_for: datetime | None
    deadline: datetime | None
    expires_at: datetime | None
    depends_on: list[UUID]
    max_retries: int
    retry: dict[str, Any]
    timeout_seconds: float | None
    tags: list[str]
    metadata: dict[str, Any]
    resource_requirements: dict[str, float] | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    webhook_url: str | None = Field(description="Where its end is told, without what could be a credential.")
    notify_on_complete: bool
    notify_on_failure: bool
    attempt: int = Field(description="Attempts begun so far.")
    error_count: int
    last_error: ErrorInfo | None
    result: Any = Field(description="What the type's handler returned; null until then.")
    created_by: str = Field(description="Name of the API key that created it.")
    created_at: datetime
    updated_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    run_at: datetime | None = Field(description="When a deferred or retrying task is due.")
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    run_id: UUID | None
    group_id: UUID | None
    parent_id: UUID | None
    sequence_num: int | None = Field(description="Place among the children of an expansion, from 0.")
    kind: KindName = Field(description="All but `task` are steps that the engine itself carries out.")
    path: str | None = Field(description="Place in the run's definition, such as `build.test`.")
    run_on: Literal["success", "failure", "always"]
    on_failure: Literal["fail", "continue"]
    input: dict[str, Any] | None
    expansion_config: dict[str, Any] | None


class TaskList(Listing[Task]):
    """One page of tasks, newest first."""


class TaskBatch(Wire):
    """Up to 10,000 tasks, stored all or not at all. `depends_on` may name the `key` of another entry."""

    tasks: list[TaskSpec] = Field(min_length=1, max_length=MAX_BATCH)


class BatchCreated(Shape):
    """The new tasks' ids, in the order they were sent."""

    ids: list[UUID]


class CancelBody(Wire):
    """Why a task is cancelled."""

    reason: Text | None = Field(None, examples=["no longer needed"])


class ApproveBody(Wire):
    """What the reviewer says."""

    notes: Text | None = None


class RejectBody(Wire):
    """Why the reviewer refuses."""

    reason: Text | None = None


def _seconds(text: Any) -> Any:
    if isinstance(text, str) and not re.fullmatch(r"-?[0-9]{1,10}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", text):
        raise ValueError("should be a number of seconds")
    return text


WaitSeconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)]


class WaitQuery(Query):
    """How long to wait for the task's end."""

    wait: WaitSeconds = Field(0, description="Answer when the task is final, at the latest after this many seconds.")


STATUS_NAMES = (*(status.value for status in TaskStatus), *ALIASES)


def _status(text: Any) -> Any:
    if text not in STATUS_NAMES:
        raise ValueError(f"should be one of {', '.join(STATUS_NAMES)}")
    return text


def split_commas(values: Any) -> Any:
    """Values sent apart, or together with commas between them, as one list."""
    return [part for value in values for part in value.split(",")] if isinstance(values, list) else values


class RunTaskQuery(PageQuery):
    """Narrows a list of tasks; several filters must all fit."""

    status: Annotated[
        list[Annotated[str, BeforeValidator(_status), Field(json_schema_extra={"enum": list[Any](STATUS_NAMES)})]]
        | None,
        BeforeValidator(split_commas),
    ] = Field(None, max_length=50, description="Any of these; repeat it or separate by commas.")
    type: Filter | None = None
    kind: Annotated[list[KindName] | None, BeforeValidator(split_commas)] = Field(
        None,
        max_length=50,
        description="Any of these; repeat it or separate by commas. Absent: `task` and `expansion`.",
    )
    parent_id: Id | None = Field(None, description="The expansion that it is a child of, or the step that holds it.")

    def _filter(self, **more: Any) -> TaskFilter:
        statuses = None
        if self.status is not None:
            found = {status.value for name in self.status for status in expand_status(name) or ()}
            statuses = tuple(sorted(found))
        if self.kind is not None:
            more["kinds"] = tuple(self.kind)
        return TaskFilter(statuses=statuses, type=self.type, parent_id=self.parent_id, **more)

    def of_run(self, run_id: UUID) -> TaskFilter:
        """What the engine's list takes."""
        return self._filter(run_id=run_id)


class TaskQuery(RunTaskQuery):
    """Narrows the list of tasks; several filters must all fit."""

    queue: Filter | None = None
    tag: Filter | None = None
    assigned_to: Filter | None = None
    priority: PriorityName | None = None
    run_id: Id | None = None
    created_after: Timestamp | None = Field(None, description="At or after this time.")
    created_before: Timestamp | None = Field(None, description="Before this time.")
    q: Filter | None = Field(None, description="Words of the name or description, as in a web search.")

    def filter(self) -> TaskFilter:
        """What the engine's list takes."""
        return self._filter(
            queue=self.queue,
            tag=self.tag,
            assigned_to=self.assigned_to,
            priority=self.priority,
            run_id=self.run_id,
            created_after=self.created_after,
            created_before=self.created_before,
            q=self.q,
        )


class Event(Shape):
    """An entry of a task's audit trail."""

    id: int
    task_id: UUID
    run_id: UUID | None
    type: str = Field(examples=["task.claimed"])
    from_status: StatusName | None
    to_status: StatusName
    attempt: int
    data: dict[str, Any] | None
    created_at: datetime


class EventList(Listing[Event]):
    """One page of events, oldest first."""


class Blocker(Shape):
    """One reason why a task is not running."""

    kind: str
    message: str


class Explanation(Shape):
    """Why a task is not running."""

    task_id: UUID
    status: StatusName
    summary: str
    blockers: list[Blocker]
    position: int | None = Field(description="How many tasks stand before it in its queue; 0: it is next.")
    expected_start: datetime | None
