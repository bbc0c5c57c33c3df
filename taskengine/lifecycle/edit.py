"""Changes and deletes tasks that have not started."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func

from taskengine.domain import credentials, lines
from taskengine.domain.errors import Conflict, FieldError, Invalid, WrongKey
from taskengine.domain.states import FINAL, WAITING, Kind, TaskStatus
from taskengine.domain.task import Caller, Priority, TaskChanges
from taskengine.lifecycle import dispatch, query
from taskengine.lifecycle.control import locked
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.validate import check_config, secret_fields
from taskengine.store import events, steps, tasks

_PLAIN = (
    "name",
    "description",
    "assigned_to",
    "deadline",
    "expires_at",
    "max_retries",
    "timeout_seconds",
    "tags",
    "metadata",
)
_TIMED = frozenset({"pending", "deferred", "paused"})
"""Where a task may still wait for a time."""
_NOT_NULL = ("name", "config", "priority", "urgency", "max_retries", "retry", "tags", "metadata")


def update(engine: Engine, caller: Caller, task_id: UUID, changes: TaskChanges) -> dict[str, Any]:
    """Change the fields that were sent; Conflict once the task has started, Invalid for values that do not fit."""
    sent = changes.model_fields_set
    empty = [name for name in _NOT_NULL if name in sent and getattr(changes, name) is None]
    if empty:
        raise Invalid("some fields cannot be null", [FieldError((name,), "cannot be null", "null") for name in empty])
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if TaskStatus(row.status) not in WAITING:
            raise Conflict(f"a task that is {row.status} cannot be changed")
        if row.kind not in {Kind.task, Kind.expansion}:
            raise Conflict(f"a {row.kind} step is as its run's definition says; it cannot be changed")
        values = {name: getattr(changes, name) for name in _PLAIN if name in sent}
        if changes.priority is not None:
            values["priority"] = int(Priority[changes.priority])
        if changes.urgency is not None:
            values["urgency"] = 1 if changes.urgency == "urgent" else 0
        if changes.retry is not None:
            values["retry"] = changes.retry.model_dump()
        if changes.config is not None:
            values |= checked_config(engine, row, changes.config) | _review_again(row)
        if changes.expires_at is not None and changes.expires_at <= engine.clock():
            raise Invalid(
                "expires_at lies in the past", [FieldError(("expires_at",), "lies in the past", "in_the_past")]
            )
        if "scheduled_for" in sent:
            values |= _schedule(row, changes)
        if values:
            tasks.change(conn, task_id, values)
            dispatch.after_commit(engine, tasks.sync_outbox(conn, task_id))
            events.note(conn, task_id, "task.changed", {"fields": sorted(sent), "by": caller.name})
    return query.task(engine, caller, task_id)


def _review_again(row: Any) -> dict[str, Any]:
    """What a review said holds for the config that was reviewed."""
    if row.review is None or not row.requires_human_review:
        return {}
    if row.status not in {"pending", "paused"}:
        raise Conflict("the task was approved with the config it has, and is about to run; cancel it to change that")
    return {"review": None}


def checked_config(engine: Engine, row: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The columns of a task that another config changes; ``***`` keeps a secret.

    Invalid if it does not fit the type.
    """
    handler = engine.registry.get(row.type)
    if handler is None:
        raise Conflict(f"the task type {row.type!r} is not installed here, so the config cannot be checked")
    if credentials.holds_reserved_name(config):
        raise Invalid(
            "config holds a reserved name",
            [FieldError(("config",), "the name $encrypted is reserved", "reserved_name")],
        )
    kept = credentials.keep_masked(config, row.config)
    if credentials.holds_mask(kept):
        fault = "*** keeps a credential where it was; there is none here, send the credential itself"
        raise Invalid(f"config: {fault}", [FieldError(("config",), fault, "mask")])
    try:
        clear = credentials.unseal(kept, engine.cipher.decrypt, lambda _: None)
    except WrongKey as error:
        raise Conflict(str(error)) from error
    faults, shape = check_config(handler, clear, row.input_schema, engine.clock())
    if faults:
        errors = [FieldError(("config", *fault.loc), fault.msg, fault.type) for fault in faults]
        raise Invalid(f"config does not fit: {errors[0].msg}", errors)
    values: dict[str, Any] = {"config": credentials.seal(clear, secret_fields(handler.Config), engine.cipher.encrypt)}
    return values | {"light": shape.light} | _due(row, shape.due) | _line(row, shape.line)


def _line(row: Any, line: str) -> dict[str, Any]:
    """The line of a task that is for an agent, or no longer is, or for one with another capability."""
    return {"queue": line} if lines.is_agents(line) or lines.is_agents(row.queue) else {}


def _due(row: Any, due: datetime | None) -> dict[str, Any]:
    """The columns of a task whose config says when it starts, and says another time now."""
    if due is None or row.status not in _TIMED:
        return {}
    return {"scheduled_for": due} | ({"run_at": due} if row.status == "deferred" else {})


def _schedule(row: Any, changes: TaskChanges) -> dict[str, Any]:
    if row.status not in _TIMED:
        fault = f"a task that is {row.status} waits for no time; only pending, deferred and paused ones do"
        raise Conflict(fault)
    if changes.scheduled_for is None and row.execution_type == "scheduled":
        raise Invalid("a scheduled task needs scheduled_for", [FieldError(("scheduled_for",), "is needed", "missing")])
    values: dict[str, Any] = {"scheduled_for": changes.scheduled_for}
    if row.status == "deferred":
        # The tick releases it when run_at has come; without a time that is now.
        values["run_at"] = changes.scheduled_for or func.now()
    return values


def delete(engine: Engine, caller: Caller, task_id: UUID) -> None:
    """Remove a task that is final or has not started, with its history. Conflict if others wait for it."""
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if TaskStatus(row.status) not in FINAL | WAITING:
            raise Conflict(f"a task that is {row.status} cannot be deleted; cancel it first")
        if row.run_id is not None and row.scope_id is not None:
            raise Conflict(f"the task is a part of run {row.run_id}, and goes with it")
        if row.scope_id is not None and not steps.has_ended(conn, row.parent_id):
            raise Conflict(f"the task is a part of {row.parent_id}, which has not ended")
        if tasks.open_dependents(conn, [task_id]):
            raise Conflict("other tasks wait for this one; cancel or delete those first")
        inside = steps.inside(conn, task_id) if row.kind != Kind.task else []
        files = tasks.remove(conn, [task_id, *inside])
        engine.db.after_commit(lambda: engine.files.remove(files))
