"""/v1/agents and /v1/leases"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

import structlog
from flask import Response

from api.answers import JSON, Answer, created, dump, no_content, ok
from api.operations import Call, Door, NoQuery
from api.schemas.agents import (
    Agent,
    AgentBody,
    AgentId,
    AgentList,
    AgentQuery,
    AgentSummary,
    CompleteBody,
    ExtendBody,
    Extended,
    FailBody,
    LeaseBody,
    LeaseEnd,
    Leases,
)
from api.schemas.shared import NoBody
from taskengine.domain.errors import EngineError, ErrorInfo
from taskengine.lifecycle import agents as registering
from taskengine.lifecycle import lease_ends, leases

agents = Door("agents", "External executors with capabilities: they lease tasks over HTTP.")
lease_door = Door("leases", "Attempts that agents hold.")

_AGAIN_SECONDS = 2.0
Found = Generator[list[dict[str, Any]] | None, None, None]

log = structlog.get_logger("taskengine.api")


@dataclass(frozen=True, slots=True)
class _Waiting(Answer):
    """Nothing to lease yet; ``go_on`` waits for it once the first answer is settled."""

    go_on: Callable[[], Answer | Response] | None = None


class _Awaited:
    """The body of an answer that waits for something to lease: blanks, which JSON allows in front, then the document.

    A write to an agent that is gone ends this, so nothing is leased to it. It holds a seat until it is closed.
    """

    def __init__(self, call: Call, found: Found) -> None:
        self._seat: BoundedSemaphore | None = call.seats
        self._found = found
        self._parts = self._written()

    def __iter__(self) -> _Awaited:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Wait no longer."""
        if self._seat is not None:
            self._parts.close()
            self._seat.release()
            self._seat = None

    def _written(self) -> Generator[bytes, None, None]:
        with closing(self._found):
            try:
                for found in self._found:
                    yield b"\n" if found is None else dump(_leases(found))
            except EngineError as error:
                # The status is out already: the agent asks again, and is told then.
                log.info("lease_wait_ended", reason=error.detail)
                yield dump(_leases([], _AGAIN_SECONDS))


@agents.route("POST", "/v1/agents", {200: AgentSummary, 201: AgentSummary})
def register(call: Call, body: AgentBody) -> Answer:
    """Register an agent, or replace what is registered under its id.

    201 says that it is new. An agent registers whenever it starts; it keeps the leases that it holds.
    """
    agent, made = registering.register(
        call.engine, call.caller, body.id, body.type, body.capabilities, body.max_concurrent
    )
    return created(agent, f"/v1/agents/{body.id}") if made else ok(agent)


@agents.route("GET", "/v1/agents", {200: AgentList})
def listing(call: Call, query: AgentQuery) -> Answer:
    """List agents by id."""
    return ok(registering.listing(call.engine, call.caller, query.capability, query.request()).as_dict())


@agents.route("GET", "/v1/agents/<agent_id>", {200: Agent})
def show(call: Call, agent_id: AgentId) -> Answer:
    """Show an agent and the leases that it holds."""
    return ok(registering.get(call.engine, call.caller, agent_id))


@agents.route("DELETE", "/v1/agents/<agent_id>", {204: None})
def remove(call: Call, agent_id: AgentId) -> Answer:
    """Delete an agent; what it holds goes back into the line."""
    registering.remove(call.engine, call.caller, agent_id)
    return no_content()


@agents.route("POST", "/v1/agents/<agent_id>/heartbeat", {200: Agent})
def heartbeat(call: Call, agent_id: AgentId, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Say that an agent lives; the answer tells which of its leases were cancelled.

    Leases are not extended by this.
    """
    return ok(registering.heartbeat(call.engine, call.caller, agent_id))


def _wait(call: Call, query: NoQuery, answer: Answer) -> Answer | Response:  # noqa: ARG001 - what all such hooks get
    return answer.go_on() if isinstance(answer, _Waiting) and answer.go_on is not None else answer


@agents.route("POST", "/v1/agents/<agent_id>/lease", {200: Leases}, after=_wait, secret_answer=True)
def lease(call: Call, agent_id: AgentId, body: LeaseBody) -> Answer:
    """Lease tasks to an agent: those of its capabilities, by priority and age, at most `max_concurrent` in all.

    With `wait`, the answer comes as soon as there is something to lease; until then the server sends blanks, which JSON
    allows in front, so that nothing is leased to an agent that is gone. A server on which very many requests wait
    answers sooner, and says in `retry_after_seconds` when to ask again. An `Idempotency-Key` keeps what could be leased
    without waiting.
    """
    found = leases.lease(call.engine, call.caller, agent_id, body.max, body.lease_seconds)
    if found or not body.wait:
        return ok(_leases(found))
    return _Waiting(dump(_leases([])), go_on=lambda: _when_there(call, agent_id, body))


def _when_there(call: Call, agent_id: str, body: LeaseBody) -> Answer | Response:
    if not call.seats.acquire(blocking=False):
        return ok(_leases([], _AGAIN_SECONDS))
    found = leases.waiting(call.engine, call.caller, agent_id, body.max, body.lease_seconds, body.wait)
    return Response(_Awaited(call, found), content_type=JSON)


def _leases(found: list[dict[str, Any]], retry_after_seconds: float = 0) -> dict[str, Any]:
    return {"leases": found, "retry_after_seconds": retry_after_seconds}


@lease_door.route("POST", "/v1/leases/<uuid:lease_id>/extend", {200: Extended})
def extend(call: Call, lease_id: UUID, body: ExtendBody) -> Answer:
    """Hold a lease longer, at most until the attempt's deadline; the answer tells whether the task was cancelled."""
    progress = None if body.progress is None else body.progress.model_dump()
    return ok(lease_ends.extend(call.engine, call.caller, lease_id, body.lease_seconds, progress))


@lease_door.route("POST", "/v1/leases/<uuid:lease_id>/complete", {200: LeaseEnd})
def complete(call: Call, lease_id: UUID, body: CompleteBody) -> Answer:
    """End a lease with the task's result.

    It is held to the task's type and `output_schema`; one that does not fit fails the attempt. Once the lease is over,
    409 `lease_over`.
    """
    logs = [item.model_dump() for item in body.logs]
    return ok(lease_ends.complete(call.engine, call.caller, lease_id, body.result, logs))


@lease_door.route("POST", "/v1/leases/<uuid:lease_id>/fail", {200: LeaseEnd})
def fail(call: Call, lease_id: UUID, body: FailBody) -> Answer:
    """End a lease without a result; of a cancelled task it says that work has stopped.

    Once the lease is over, 409 `lease_over`.
    """
    error = ErrorInfo(body.code, body.message, body.details)
    ended = lease_ends.fail(
        call.engine,
        call.caller,
        lease_id,
        error,
        retry=body.retry,
        retry_after_seconds=body.retry_after_seconds,
        logs=[item.model_dump() for item in body.logs],
    )
    return ok(ended)
