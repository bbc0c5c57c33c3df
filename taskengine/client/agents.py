"""Agents: executors outside of the engine, and the leases by which they take tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from taskengine.client.models import ErrorInfo, Priority
from taskengine.client.tasks import segment
from taskengine.client.transport import Transport


class OpenLease(TypedDict):
    """A lease that an agent holds; one that is ``cancelled`` is to be stopped and failed."""

    id: str
    task_id: str
    capability: str
    lease_until: str
    cancelled: bool
    cancel_reason: str | None


class AgentSummary(TypedDict):
    """An agent as a list shows it; ``alive`` says that it was heard of within the last 30 seconds."""

    id: str
    type: str
    capabilities: list[str]
    max_concurrent: int
    created_at: str
    updated_at: str
    seen_at: str
    alive: bool
    open_leases: int
    heartbeat_seconds: float


class Agent(AgentSummary):
    """An agent with the leases that it holds."""

    leases: list[OpenLease]


class Lease(TypedDict):
    """A task for an agent: ``config`` is rendered, with the secrets that it names in clear."""

    id: str
    task_id: str
    name: str
    type: str
    capability: str
    priority: Priority
    attempt: int
    run_id: str | None
    idempotency_key: str
    config: dict[str, Any]
    input: dict[str, Any]
    output_schema: dict[str, Any] | None
    deadline: str
    lease_until: str
    cancelled: bool


class Extended(TypedDict):
    """How long a lease is held now."""

    id: str
    task_id: str
    lease_until: str
    deadline: str
    cancelled: bool
    cancel_reason: str | None


class LeaseEnd(TypedDict):
    """How a lease ended: the execution's status, and the task's."""

    id: str
    task_id: str
    status: Literal["succeeded", "failed", "timed_out", "cancelled"]
    error: ErrorInfo | None
    task_status: str


LeaseList = list[Lease]
"""By a name of its own: within the class below, ``list`` is a verb."""


class Agents:
    """The verbs of ``/v1/agents``."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def register(
        self, agent_id: str, capabilities: Iterable[str], *, type: str = "custom", max_concurrent: int = 1
    ) -> AgentSummary:
        """Register an agent, or replace what is registered under its id."""
        body = {
            "id": agent_id,
            "type": type,
            # A set has no order of its own, and a request that is tried again must be the same.
            "capabilities": sorted(capabilities),
            "max_concurrent": max_concurrent,
        }
        return cast("AgentSummary", self._http.call("POST", "/v1/agents", body=body))

    def list(self, *, capability: str | None = None, limit: int | None = None) -> Iterator[AgentSummary]:
        """Agents by id; those with a capability if one is named."""
        return self._http.pages("/v1/agents", {"capability": capability}, limit)

    def get(self, agent_id: str) -> Agent:
        """One agent with its leases."""
        return cast("Agent", self._http.call("GET", f"/v1/agents/{segment(agent_id)}"))

    def delete(self, agent_id: str) -> None:
        """Forget an agent; what it holds goes to others."""
        self._http.call("DELETE", f"/v1/agents/{segment(agent_id)}")

    def heartbeat(self, agent_id: str) -> Agent:
        """Say that the agent lives; the answer tells which of its leases were cancelled."""
        return cast("Agent", self._http.call("POST", f"/v1/agents/{segment(agent_id)}/heartbeat"))

    def lease(self, agent_id: str, *, wait: float = 0, max: int = 1, lease_seconds: float | None = None) -> LeaseList:
        """Up to ``max`` tasks, waiting up to ``wait`` seconds (at most 60) for the first."""
        body: dict[str, Any] = {"wait": wait, "max": max}
        if lease_seconds is not None:
            body["lease_seconds"] = lease_seconds
        path = f"/v1/agents/{segment(agent_id)}/lease"
        return cast("LeaseList", self._http.call("POST", path, body=body, wait_seconds=wait)["leases"])


class Leases:
    """The verbs of ``/v1/leases``. Conflict (``lease_over``) once a lease has ended."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def extend(
        self,
        lease_id: str | UUID,
        *,
        lease_seconds: float | None = None,
        fraction: float | None = None,
        message: str = "",
    ) -> Extended:
        """Hold a lease longer, and say how far the work is; look at ``cancelled`` in the answer."""
        body: dict[str, Any] = {} if lease_seconds is None else {"lease_seconds": lease_seconds}
        if fraction is not None:
            body["progress"] = {"fraction": fraction, "message": message}
        return cast("Extended", self._http.call("POST", f"/v1/leases/{segment(lease_id)}/extend", body=body))

    def complete(self, lease_id: str | UUID, result: Any, *, logs: Sequence[str] = ()) -> LeaseEnd:
        """End a lease with the task's result; one that does not fit fails the attempt, which the answer tells."""
        body = {"result": result, "logs": [{"message": line} for line in logs]}
        return cast("LeaseEnd", self._http.call("POST", f"/v1/leases/{segment(lease_id)}/complete", body=body))

    def fail(
        self,
        lease_id: str | UUID,
        message: str,
        *,
        code: str = "agent_failed",
        details: dict[str, Any] | None = None,
        retry: bool = True,
        logs: Sequence[str] = (),
    ) -> LeaseEnd:
        """End a lease without a result; ``retry`` says whether another attempt may succeed."""
        body = {
            "code": code,
            "message": message,
            "details": details or {},
            "retry": retry,
            "logs": [{"message": line} for line in logs],
        }
        return cast("LeaseEnd", self._http.call("POST", f"/v1/leases/{segment(lease_id)}/fail", body=body))
