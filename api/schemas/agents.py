"""Agents and their leases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.pagination import PageQuery
from api.schemas.shared import ErrorInfo, Listing, Shape
from taskengine.domain.lines import CAPABILITY_PATTERN
from taskengine.domain.wire import JsonObject, Key, Name, Text, Wire, check_json

MAX_WAIT_SECONDS = 60
MOST_LEASES = 100

AgentId = Key
Capability = Annotated[str, StringConstraints(pattern=CAPABILITY_PATTERN)]
LeaseSeconds = Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)]


class AgentBody(Wire):
    """An agent to register. The same id again replaces what is registered."""

    id: AgentId = Field(description="Its own name, unique within the organization.", examples=["reviewer-1"])
    type: Name = Field("custom", description="What kind of agent it is, for people.", examples=["codegen"])
    capabilities: list[Capability] = Field(
        min_length=1,
        max_length=100,
        description="What it can do: it leases the tasks that wait in the lines of these.",
        examples=[["code_review", "word_count"]],
    )
    max_concurrent: int = Field(1, ge=1, le=1000, description="Most leases that it holds at a time.")


class OpenLease(Shape):
    """A lease that an agent holds."""

    id: UUID
    task_id: UUID
    capability: str
    lease_until: datetime
    cancelled: bool = Field(description="The task was cancelled: stop work on it, and `fail` the lease.")
    cancel_reason: str | None


class AgentSummary(Shape):
    """An agent as a list shows it."""

    id: str
    type: str
    capabilities: list[str]
    max_concurrent: int
    created_at: datetime
    updated_at: datetime
    seen_at: datetime = Field(description="Its last request of any kind.")
    alive: bool = Field(description="Whether that was within the last 30 seconds.")
    open_leases: int
    heartbeat_seconds: float = Field(description="It should be heard of this often.")


class Agent(AgentSummary):
    """An agent, with the leases that it holds."""

    leases: list[OpenLease]


class AgentList(Listing[AgentSummary]):
    """One page of agents by id."""


class AgentQuery(PageQuery):
    """Narrows the list of agents."""

    capability: Capability | None = Field(None, description="Only those that have it.")


class LeaseBody(Wire):
    """What an agent asks for."""

    wait: float = Field(
        0,
        ge=0,
        le=MAX_WAIT_SECONDS,
        allow_inf_nan=False,
        description="Seconds to wait for a task where none is there to lease.",
    )
    max: int = Field(1, ge=1, le=MOST_LEASES, description="Most leases to give at once.")
    lease_seconds: LeaseSeconds | None = Field(
        None, description="How long each is held unless extended; the default is `TASKENGINE_LEASE_SECONDS`."
    )


class Lease(Shape):
    """A task for an agent: do it, extend the lease while at it, then `complete` or `fail` it."""

    id: UUID = Field(description="The lease, which is the attempt's execution too.")
    task_id: UUID
    name: str
    type: str
    capability: str
    priority: Literal["low", "normal", "high", "urgent", "critical"]
    attempt: int
    run_id: UUID | None
    idempotency_key: str = Field(description="Stable for a task over its attempts; send it where others take one.")
    config: Any = Field(description="With templates rendered, and the secrets that they name in clear.")
    input: dict[str, Any]
    output_schema: dict[str, Any] | None = Field(description="What the result will be held to.")
    deadline: datetime = Field(description="When the attempt's time limit ends; no lease lasts longer.")
    lease_until: datetime
    cancelled: bool


class Leases(Shape):
    """What an agent got."""

    leases: list[Lease]
    retry_after_seconds: float = Field(
        description="Ask again no sooner. More than 0 where the server had no room to let the request wait."
    )


class Progress(Wire):
    """How far an agent is."""

    fraction: float = Field(ge=0, le=1, allow_inf_nan=False)
    message: Annotated[Text, StringConstraints(max_length=2000)] = ""


class ExtendBody(Wire):
    """Hold a lease longer."""

    lease_seconds: LeaseSeconds | None = Field(None, description="From now; the default is `TASKENGINE_LEASE_SECONDS`.")
    progress: Progress | None = None


class Extended(Shape):
    """How long the lease is held now. A cancelled one is not held longer."""

    id: UUID
    task_id: UUID
    lease_until: datetime
    deadline: datetime
    cancelled: bool = Field(description="The task was cancelled: stop work on it, and `fail` the lease.")
    cancel_reason: str | None


class LogEntry(Wire):
    """A line for the execution's log."""

    message: Text
    level: Literal["debug", "info", "warning", "error"] = "info"


Logs = list[LogEntry]


class CompleteBody(Wire):
    """The result of the work."""

    result: Annotated[Any, AfterValidator(check_json)] = Field(None, description="Any JSON that the task's type takes.")
    logs: Logs = Field([], max_length=1000, description="Lines for the execution's log.")


class FailBody(Wire):
    """Why there is no result."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")] = Field(
        "agent_failed", description="A machine code of the agent's own."
    )
    message: Annotated[Text, StringConstraints(min_length=1)] = Field(description="A sentence for people.")
    details: JsonObject = Field({}, description="More, as JSON.")
    retry: bool = Field(True, description="Whether another attempt may succeed; it takes one of `max_retries`.")
    retry_after_seconds: float | None = Field(
        None, ge=0, le=366 * 86400, allow_inf_nan=False, description="The next attempt comes no sooner."
    )
    logs: Logs = Field([], max_length=1000, description="Lines for the execution's log.")


class LeaseEnd(Shape):
    """How a lease ended."""

    id: UUID
    task_id: UUID
    status: Literal["succeeded", "failed", "timed_out", "cancelled"] = Field(description="Of the execution.")
    error: ErrorInfo | None = Field(description="Why it failed: a result that does not fit fails it, too.")
    task_status: str
