"""/v1/tasks"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson

from api.answers import Answer, created, dump, no_content, ok
from api.errors import MAX_ERRORS, invalid
from api.inputs import many, validated
from api.operations import Call, Door
from api.pagination import PageQuery
from api.schemas.executions import ArtifactList, ExecutionList
from api.schemas.generate import GenerateBody, Generated
from api.schemas.shared import NoBody
from api.schemas.tasks import (
    MAX_BATCH,
    ApproveBody,
    BatchCreated,
    CancelBody,
    EventList,
    Explanation,
    RejectBody,
    Task,
    TaskBatch,
    TaskList,
    TaskQuery,
    WaitQuery,
)
from taskengine.domain.errors import FieldError, Invalid, NotFound, Unavailable
from taskengine.domain.task import TaskChanges, TaskSpec
from taskengine.lifecycle import cancel as cancelling
from taskengine.lifecycle import control, edit, review, submit
from taskengine.lifecycle import explain as explaining
from taskengine.lifecycle import generate as generating
from taskengine.lifecycle import query as reading
from taskengine.lifecycle import wait as waiting

door = Door("tasks", "Tasks: submit, look, change, control.")


def _wait(call: Call, query: WaitQuery, answer: Answer) -> Answer:
    """The new task as it stands when it is final or the time is up."""
    if not query.wait:
        return answer
    made = orjson.loads(answer.body)
    try:
        task = _when_final(call, UUID(made["id"]), query.wait, made)
    except NotFound:
        return answer
    return Answer(dump(task), answer.status, answer.headers)


def _when_final(call: Call, task_id: UUID, seconds: float, made: dict[str, Any] | None = None) -> dict[str, Any]:
    """The task once it is final, or after ``seconds``; at once when too many requests wait already."""
    seated = call.seats.acquire(blocking=False)
    try:
        return waiting.wait(call.engine, call.caller, task_id, seconds if seated else 0, made=made)
    finally:
        if seated:
            call.seats.release()


@door.route("POST", "/v1/tasks", {201: Task}, after=_wait)
def create(call: Call, body: TaskSpec, query: WaitQuery) -> Answer:  # noqa: ARG001 - read by _wait
    """Create a task.

    It is stored before the answer, and runs as soon as nothing stands in its way.
    """
    with _places(()):
        task = submit.create(call.engine, call.caller, body)
    return created(task, f"/v1/tasks/{task['id']}")


def _parse_batch(data: Any) -> TaskBatch:
    """A batch entry by entry, so that one with very many faults costs no more than one with a few."""
    if not isinstance(data, dict) or set(data) != {"tasks"} or not isinstance(data["tasks"], list):
        return validated(TaskBatch, data, "body")
    entries = data["tasks"]
    if not 1 <= len(entries) <= MAX_BATCH:
        text = f"should hold 1 to {MAX_BATCH} tasks, not {len(entries)}"
        raise invalid([FieldError(("body", "tasks"), text, "too_long" if entries else "too_short")])
    return TaskBatch.model_construct(tasks=many(TaskSpec, entries, ("body", "tasks"), MAX_ERRORS))


@door.route("POST", "/v1/tasks/batch", {201: BatchCreated}, parse=_parse_batch)
def create_batch(call: Call, body: TaskBatch) -> Answer:
    """Create up to 10,000 tasks, all or none.

    An entry may name another's `key` in `depends_on`.
    """
    with _places(("tasks",)):
        ids = submit.submit(call.engine, call.caller, body.tasks)
    return created({"ids": ids})


@door.route("POST", "/v1/tasks/generate", {200: Generated}, errors=(502,))
def generate(call: Call, body: GenerateBody) -> Answer:
    """Turn a prompt into a task, without storing or running it.

    The answer names the navigation goal, the address and the schema of the data. Where no language model is set up,
    plain rules find the address and the names of what is asked for; a prompt without an address is then refused with
    `llm_not_configured`.
    """
    # The model takes its time: such requests leave threads for the others, like those that wait for a task.
    if not call.seats.acquire(blocking=False):
        raise Unavailable("too many requests wait already")
    try:
        return ok(generating.generate(call.engine, body.prompt, body.url))
    finally:
        call.seats.release()


@contextmanager
def _places(prefix: tuple[str, ...]) -> Iterator[None]:
    """Turn the engine's paths, which begin with a task's place in the submission, into paths of the body."""
    try:
        yield
    except Invalid as error:
        error.errors = tuple(
            FieldError(("body", *prefix, *(item.loc if prefix else item.loc[1:])), item.msg, item.type)
            for item in error.errors[:MAX_ERRORS]
        )
        raise


@door.route("GET", "/v1/tasks", {200: TaskList})
def find(call: Call, query: TaskQuery) -> Answer:
    """List tasks, newest first."""
    return ok(reading.tasks(call.engine, call.caller, query.filter(), query.request()).as_dict())


@door.route("GET", "/v1/tasks/<uuid:task_id>", {200: Task})
def show(call: Call, task_id: UUID, query: WaitQuery) -> Answer:
    """Show a task; with `wait`, when it is final or the time is up.

    A server on which very many requests wait answers sooner: look at `status`, and ask again.
    """
    if query.wait:
        return ok(_when_final(call, task_id, query.wait))
    return ok(reading.task(call.engine, call.caller, task_id))


@door.route("PATCH", "/v1/tasks/<uuid:task_id>", {200: Task}, errors=(409,))
def update(call: Call, task_id: UUID, body: TaskChanges) -> Answer:
    """Change a task that has not started.

    Only the fields that are sent change; `***` keeps a credential as it is.
    """
    return ok(edit.update(call.engine, call.caller, task_id, body))


@door.route("DELETE", "/v1/tasks/<uuid:task_id>", {204: None}, errors=(409,))
def delete(call: Call, task_id: UUID) -> Answer:
    """Delete a task that is final or has not started, with its history."""
    edit.delete(call.engine, call.caller, task_id)
    return no_content()


@door.route("POST", "/v1/tasks/<uuid:task_id>/execute", {200: Task})
def execute(call: Call, task_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Trigger a task by hand, without waiting for its time."""
    return ok(control.execute(call.engine, call.caller, task_id))


@door.route("POST", "/v1/tasks/<uuid:task_id>/cancel", {200: Task})
def cancel(call: Call, task_id: UUID, body: CancelBody) -> Answer:
    """Cancel a task: at once if it has not started, within seconds if it runs."""
    return ok(cancelling.cancel(call.engine, call.caller, task_id, body.reason))


@door.route("POST", "/v1/tasks/<uuid:task_id>/retry", {200: Task})
def retry(call: Call, task_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Give a failed or cancelled task another try."""
    return ok(control.retry(call.engine, call.caller, task_id))


@door.route("POST", "/v1/tasks/<uuid:task_id>/pause", {200: Task})
def pause(call: Call, task_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Hold a task back that has not started."""
    return ok(control.pause(call.engine, call.caller, task_id))


@door.route("POST", "/v1/tasks/<uuid:task_id>/resume", {200: Task})
def resume(call: Call, task_id: UUID, body: NoBody) -> Answer:  # noqa: ARG001 - says that no body is taken
    """Let a paused task go on."""
    return ok(control.resume(call.engine, call.caller, task_id))


@door.route("POST", "/v1/tasks/<uuid:task_id>/approve", {200: Task})
def approve(call: Call, task_id: UUID, body: ApproveBody) -> Answer:
    """Release a task that waits for human review, or approve what a run's approval step asks."""
    return ok(review.approve(call.engine, call.caller, task_id, body.notes))


@door.route("POST", "/v1/tasks/<uuid:task_id>/reject", {200: Task})
def reject(call: Call, task_id: UUID, body: RejectBody) -> Answer:
    """Refuse a task that waits for human review, which is cancelled, or an approval step, which fails."""
    return ok(review.reject(call.engine, call.caller, task_id, body.reason))


@door.route("GET", "/v1/tasks/<uuid:task_id>/executions", {200: ExecutionList})
def executions(call: Call, task_id: UUID, query: PageQuery) -> Answer:
    """List a task's attempts, newest first."""
    return ok(reading.executions(call.engine, call.caller, task_id, query.request()).as_dict())


@door.route("GET", "/v1/tasks/<uuid:task_id>/events", {200: EventList})
def events(call: Call, task_id: UUID, query: PageQuery) -> Answer:
    """List a task's audit trail, oldest first."""
    return ok(reading.events(call.engine, call.caller, task_id, query.request()).as_dict())


@door.route("GET", "/v1/tasks/<uuid:task_id>/artifacts", {200: ArtifactList})
def artifacts(call: Call, task_id: UUID, query: PageQuery) -> Answer:
    """List the files that a task's attempts stored, newest first."""
    return ok(reading.artifacts(call.engine, call.caller, task_id, query.request()).as_dict())


@door.route("GET", "/v1/tasks/<uuid:task_id>/explain", {200: Explanation})
def explain(call: Call, task_id: UUID) -> Answer:
    """Say why a task is not running, its place in the queue, and when it should start."""
    return ok(explaining.explain(call.engine, call.caller, task_id))
