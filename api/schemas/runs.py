"""Runs as the API takes and shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from api.operations import Query
from api.pagination import PageQuery
from api.schemas.shared import ErrorInfo, Filter, Listing, Shape
from api.schemas.tasks import KindName, StatusName, WaitSeconds, split_commas
from taskengine.domain.run import RunFilter
from taskengine.domain.states import RunStatus
from taskengine.domain.wire import JsonObject, Text, Timestamp, Wire, no_nul
from taskengine.domain.workflow import RunSpec

Definition = Annotated[str, AfterValidator(no_nul)]
RunStatusName = Literal["pending", "running", "waiting", "paused", "completed", "failed", "cancelled"]


class RunBody(RunSpec):
    """What to run: a registered workflow, a definition, or task groups; `context` and `variables` to start with."""

    definition: JsonObject | Definition | None = Field(  # type: ignore[assignment]  # wider: text is parsed here
        None, description="A workflow as in `/v1/workflows/schema`, or the text of one in YAML."
    )

    @model_validator(mode="before")
    @classmethod
    def _no_bare_definition(cls, data: Any) -> Any:
        """A definition that was sent as it is gets one answer, and not one for each of its fields."""
        if isinstance(data, dict) and "steps" in data and "definition" not in data:
            raise PydanticCustomError("bare_definition", 'is a definition itself; send it as {"definition": ...}')
        return data


class RunGroup(Shape):
    """A task group of a run."""

    id: str = Field(description="Its id within the run.")
    name: str
    status: StatusName


class RunSummary(Shape):
    """A run as lists show it."""

    id: UUID
    name: str
    workflow: str | None = Field(description="The registered workflow that it runs.")
    version: int | None = Field(description="Of the workflow; it stays what it was when the run started.")
    status: RunStatusName = Field(description="`waiting`: nothing to do but wait for a person, a time or a signal.")
    progress: dict[str, int] = Field(
        description="`total`, and how many of its tasks are in each status.",
        examples=[{"total": 3, "completed": 2, "running": 1}],
    )
    error: ErrorInfo | None
    timeout_seconds: float | None
    parent_task_id: UUID | None = Field(description="The step of another run that this run is a part of.")
    cancel_reason: str | None
    created_by: str = Field(description="Name of the API key that started it.")
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    completed_at: datetime | None


class Run(RunSummary):
    """A run as it stands."""

    groups: list[RunGroup]
    variables: dict[str, Any]
    context: dict[str, Any] = Field(description="What its tasks share: what it started with, signals, results.")
    results: dict[str, Any] = Field(
        description="What the steps that are no part of another one gave, by key; of very large ones where they are."
    )
    partial_results: dict[str, Any] | None = Field(
        description="What all steps gave so far, by path, unless the run has completed; null then."
    )


class RunList(Listing[RunSummary]):
    """One page of runs, newest first."""


class RunWaitQuery(Query):
    """How long to wait for the run's end."""

    wait: WaitSeconds = Field(
        0, description="Answer when the run is completed, failed or cancelled, at the latest after this many seconds."
    )


_STATUS_NAMES = tuple(status.value for status in RunStatus)


def _status(text: Any) -> Any:
    if text not in _STATUS_NAMES:
        raise ValueError(f"should be one of {', '.join(_STATUS_NAMES)}")
    return text


class RunQuery(PageQuery):
    """Narrows the list of runs; several filters must all fit."""

    status: Annotated[
        list[Annotated[str, BeforeValidator(_status), Field(json_schema_extra={"enum": list[Any](_STATUS_NAMES)})]]
        | None,
        BeforeValidator(split_commas),
    ] = Field(None, max_length=50, description="Any of these; repeat it or separate by commas.")
    workflow: Filter | None = Field(None, description="Of this registered workflow.")
    created_after: Timestamp | None = Field(None, description="At or after this time.")
    created_before: Timestamp | None = Field(None, description="Before this time.")

    def filter(self) -> RunFilter:
        """What the engine's list takes."""
        return RunFilter(
            statuses=tuple(sorted(set(self.status))) if self.status else None,
            workflow=self.workflow,
            created_after=self.created_after,
            created_before=self.created_before,
        )


class CancelRunBody(Wire):
    """Why a run is cancelled."""

    reason: Text | None = Field(None, examples=["no longer needed"])


class GraphQuery(Query):
    """In which form."""

    format: Literal["json", "mermaid"] = Field("json", description="`mermaid` is text that Mermaid draws.")


class Node(Shape):
    """A step or task of a run."""

    id: UUID = Field(description="The task's id.")
    key: str | None
    path: str | None = Field(description="Its place in the definition, such as `build.test`.")
    name: str
    kind: KindName
    type: str
    status: StatusName
    parent: UUID | None = Field(description="The node that holds this one.")
    attempt: int
    started_at: datetime | None
    completed_at: datetime | None
    children: dict[str, int] | None = Field(
        description="Of an expansion: `total`, and how many of its children are in each status."
    )


class Edge(Shape):
    """One node waits for another."""

    from_: UUID = Field(alias="from")
    to: UUID
    run_on: Literal["success", "failure", "always"]


class Graph(Shape):
    """What a run consists of, and what waits for what."""

    run_id: UUID
    status: RunStatusName
    nodes: list[Node]
    edges: list[Edge]


class SpanAttempt(Shape):
    """One attempt at a task."""

    attempt: int
    status: str
    started_at: datetime
    ended_at: datetime | None
    worker: str


class Span(Shape):
    """When a step or task began and ended."""

    task_id: UUID
    key: str | None
    path: str | None
    name: str
    kind: KindName
    status: StatusName
    parent: UUID | None
    started_at: datetime | None
    ended_at: datetime | None
    attempts: list[SpanAttempt]


class Timeline(Listing[Span]):
    """One page of spans, in the order in which they came to be."""


class RunEvent(Shape):
    """An entry of a run's log: a move of the run itself, or of one of its tasks."""

    id: int
    run_id: UUID
    task_id: UUID | None = Field(description="Null where the run itself moved.")
    type: str = Field(examples=["run.started"])
    from_status: str | None
    to_status: str | None
    attempt: int
    data: dict[str, Any] | None
    created_at: datetime


class RunEventList(Listing[RunEvent]):
    """One page of the log, oldest first."""
