"""/v1/queues, /v1/task-types and /v1/dead-letters"""

from __future__ import annotations

from api.answers import Answer, ok
from api.operations import Call, Door
from api.pagination import PageQuery, page_of
from api.schemas.operations import (
    DeadLetterList,
    DeadLetterQuery,
    Queue,
    QueueList,
    RedriveBody,
    Redriven,
    TaskTypeList,
)
from api.schemas.shared import NoBody, QueueName
from taskengine.lifecycle import dead_letters as letters
from taskengine.lifecycle import queues as managing
from taskengine.lifecycle import types

queues = Door("queues", "Worker queues.")
task_types = Door("task-types", "The task types that this installation knows.")
dead_letters = Door("dead-letters", "Tasks whose retries are used up.")


@queues.route("GET", "/v1/queues", {200: QueueList})
def listing(call: Call, query: PageQuery) -> Answer:
    """List the queues with depth, oldest age, rates and workers."""
    return ok(page_of(managing.listing(call.engine, call.caller), "name", query).as_dict())


@queues.route("POST", "/v1/queues/<name>/pause", {200: Queue}, scope="admin")
def pause(call: Call, name: QueueName, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Start nothing more from a queue; what runs goes on, new tasks are accepted. For the operator's organization."""
    return ok(managing.pause(call.engine, call.caller, name))


@queues.route("POST", "/v1/queues/<name>/resume", {200: Queue}, scope="admin")
def resume(call: Call, name: QueueName, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """End a pause or a drain. For the operator's organization."""
    return ok(managing.resume(call.engine, call.caller, name))


@queues.route("POST", "/v1/queues/<name>/drain", {200: Queue}, scope="admin")
def drain(call: Call, name: QueueName, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Accept nothing new for a queue; what waits is worked off. For the operator's organization."""
    return ok(managing.drain(call.engine, call.caller, name))


@task_types.route("GET", "/v1/task-types", {200: TaskTypeList})
def type_listing(call: Call, query: PageQuery) -> Answer:
    """List every task type with the JSON Schemas of its config and result."""
    return ok(page_of(types.listing(call.engine), "type", query).as_dict())


@dead_letters.route("GET", "/v1/dead-letters", {200: DeadLetterList})
def letter_listing(call: Call, query: DeadLetterQuery) -> Answer:
    """List open dead letters, newest first."""
    wanted = {"type": query.type, "queue": query.queue, "code": query.code}
    return ok(letters.listing(call.engine, call.caller, wanted, query.request()).as_dict())


@dead_letters.route("POST", "/v1/dead-letters/redrive", {200: Redriven})
def redrive(call: Call, body: RedriveBody) -> Answer:
    """Queue the tasks of dead letters again, in bulk."""
    return ok(
        letters.redrive(
            call.engine,
            call.caller,
            ids=body.ids,
            type=body.type,
            queue=body.queue,
            code=body.code,
            limit=body.limit,
        )
    )
