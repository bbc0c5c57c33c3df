"""The shapes of runs and workflows, as plain dicts with types; see :mod:`taskengine.client.models`."""

from __future__ import annotations

from typing import Any, TypedDict

from taskengine.client.models import ErrorInfo

RUN_FINAL = frozenset({"completed", "failed", "cancelled"})
"""The statuses that a run never leaves by itself."""


class RunSpec(TypedDict, total=False):
    """What to run: exactly one of ``workflow``, ``definition`` (an object, or YAML text) and ``task_groups``."""

    workflow: str
    version: int | None
    definition: dict[str, Any] | str
    task_groups: list[dict[str, Any]]
    name: str
    variables: dict[str, Any]
    context: dict[str, Any]
    timeout_seconds: float | None


class RunGroup(TypedDict):
    """A task group of a run."""

    id: str
    name: str
    status: str


class RunSummary(TypedDict):
    """A run as lists show it. ``progress`` counts its tasks: ``total``, and one number for each status."""

    id: str
    name: str
    workflow: str | None
    version: int | None
    status: str
    progress: dict[str, int]
    error: ErrorInfo | None
    timeout_seconds: float | None
    parent_task_id: str | None
    cancel_reason: str | None
    created_by: str
    created_at: str
    started_at: str | None
    updated_at: str
    completed_at: str | None


class Run(RunSummary):
    """A run as it stands.

    ``results`` has what its outer steps gave, by key; ``partial_results`` what all steps gave so far, by path, and is
    None once the run has completed.
    """

    groups: list[RunGroup]
    variables: dict[str, Any]
    context: dict[str, Any]
    results: dict[str, Any]
    partial_results: dict[str, Any] | None


class Node(TypedDict):
    """A step or task of a run; ``children`` counts those of an expansion."""

    id: str
    key: str | None
    path: str | None
    name: str
    kind: str
    type: str
    status: str
    parent: str | None
    attempt: int
    started_at: str | None
    completed_at: str | None
    children: dict[str, int] | None


Edge = TypedDict("Edge", {"from": str, "to": str, "run_on": str})
"""One node waits for another."""


class Graph(TypedDict):
    """What a run consists of, and what waits for what."""

    run_id: str
    status: str
    nodes: list[Node]
    edges: list[Edge]


class SpanAttempt(TypedDict):
    """One attempt at a task."""

    attempt: int
    status: str
    started_at: str
    ended_at: str | None
    worker: str


class Span(TypedDict):
    """When a step or task of a run began and ended."""

    task_id: str
    key: str | None
    path: str | None
    name: str
    kind: str
    status: str
    parent: str | None
    started_at: str | None
    ended_at: str | None
    attempts: list[SpanAttempt]


class RunEvent(TypedDict):
    """An entry of a run's log; ``task_id`` is None where the run itself moved."""

    id: int
    run_id: str
    task_id: str | None
    type: str
    from_status: str | None
    to_status: str | None
    attempt: int
    data: dict[str, Any] | None
    created_at: str


class WorkflowSummary(TypedDict):
    """A version of a workflow as lists show it."""

    name: str
    version: int
    description: str | None
    created_by: str
    created_at: str


class Workflow(WorkflowSummary):
    """A version of a workflow."""

    definition: dict[str, Any]


class DefinitionFault(TypedDict):
    """One fault of a definition; ``line`` and ``column`` count from 1."""

    path: str
    line: int | None
    column: int | None
    code: str
    message: str


class Validation(TypedDict):
    """Whether a definition could be registered, and all that is wrong with it."""

    valid: bool
    errors: list[DefinitionFault]


class Plan(TypedDict):
    """What a run of a definition would do, as far as that is known before it runs."""

    order: list[str]
    layers: list[list[str]]
    critical_path: list[str]
    expected_seconds: float | None
    steps: int
