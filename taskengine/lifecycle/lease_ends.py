"""Ends leases, or holds them longer, as their agents say; and gives up those whose agent says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from taskengine.domain.errors import ErrorInfo
from taskengine.domain.outcome import Cancelled, Failed, Outcome, Succeeded
from taskengine.domain.task import Caller
from taskengine.lifecycle import query, run
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.held import Held, open_held, over, timed_out
from taskengine.lifecycle.run import Ended
from taskengine.store import agents as store

_BATCH = 1000


def extend(
    engine: Engine,
    caller: Caller,
    lease_id: UUID,
    lease_seconds: float | None = None,
    progress: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Hold a lease longer, at most until the attempt's deadline; LeaseOver if it has ended.

    A cancelled one is held no longer, which the answer tells. Whose time limit has passed is ended here.
    """
    held = open_held(engine, caller, lease_id)
    until = held.row.lease_until
    if progress is not None:
        held.see_secrets()
        held.context.progress(progress["fraction"], progress["message"])
    if not held.cancelled:
        if held.over_time:
            held.end(timed_out(held))
            raise over(held.row, "timed_out")
        seconds = lease_seconds or engine.settings.lease_seconds
        with engine.db.autocommit() as conn:
            until = store.extend(conn, lease_id, seconds, held.time_limit)
        if until is None:
            raise over(held.row, None)
    return {
        "id": lease_id,
        "task_id": held.row.id,
        "lease_until": until,
        "deadline": held.deadline,
        "cancelled": held.cancelled,
        "cancel_reason": held.row.cancel_reason,
    }


def complete(
    engine: Engine, caller: Caller, lease_id: UUID, result: Any, logs: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """End a lease with the task's result; LeaseOver if it has ended.

    A result that does not fit the type or ``output_schema`` fails the attempt, as a worker's would.
    """
    held = open_held(engine, caller, lease_id)
    config = held.see_secrets()
    _write(held, logs)
    outcome: Outcome = Succeeded(result)
    if held.handler is not None and config is not None:
        try:
            outcome = Succeeded(held.handler.given(config, result))
        except ValidationError as error:
            outcome = Failed(_misfit(held, error), transient=False)
    return _ended(engine, caller, held, outcome)


def fail(
    engine: Engine,
    caller: Caller,
    lease_id: UUID,
    error: ErrorInfo,
    *,
    retry: bool,
    retry_after_seconds: float | None = None,
    logs: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """End a lease without a result; LeaseOver if it has ended. Of a cancelled one it says that it has stopped."""
    held = open_held(engine, caller, lease_id)
    held.see_secrets()
    _write(held, logs)
    outcome: Outcome = Failed(run.redacted(held.redactor, error), retry, retry_after_seconds)
    if held.cancelled:
        outcome = Cancelled(held.row.cancel_reason or "cancelled")
    return _ended(engine, caller, held, outcome)


def give_up(engine: Engine) -> int:
    """End leases that ran out and whose attempt was cancelled, or is over its time; the others are lost."""
    with engine.db.autocommit() as conn:
        rows = store.overdue(conn, _BATCH)
    ended = 0
    for row in rows:
        held = Held(engine, row)
        outcome = Cancelled(row.cancel_reason or "cancelled") if held.cancelled else timed_out(held)
        if held.cancelled or held.over_time:
            ended += finish(engine, [Ended(held.claimed, outcome)], patience_seconds=0)
    return ended


def _misfit(held: Held, error: ValidationError) -> ErrorInfo:
    faults = [
        {"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    where = ".".join(str(part) for part in faults[0]["loc"]) or "result"
    text = f"the agent's result does not fit the type {held.row.type}: {where}: {faults[0]['msg']}"
    return run.redacted(held.redactor, ErrorInfo("invalid_output", text, {"errors": faults}))


def _write(held: Held, logs: Sequence[dict[str, Any]]) -> None:
    for line in logs:
        held.context.log(line["message"], level=line["level"])


def _ended(engine: Engine, caller: Caller, held: Held, outcome: Outcome) -> dict[str, Any]:
    """End the lease; how it ended, for the agent."""
    held.end(outcome)
    execution = query.execution(engine, caller, held.claimed.execution_id)
    task = query.task(engine, caller, held.claimed.task_id)
    return {
        "id": held.claimed.execution_id,
        "task_id": held.claimed.task_id,
        "status": execution["status"],
        "error": execution["error"],
        "task_status": task["status"],
    }
