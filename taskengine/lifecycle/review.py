"""Human review: a task that asks for it waits until somebody approves or rejects it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskengine.domain.errors import Conflict
from taskengine.domain.states import MOVES, TaskStatus, refuse
from taskengine.domain.task import Caller
from taskengine.lifecycle import query, tell
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.conclude import decide, is_approval
from taskengine.lifecycle.control import locked
from taskengine.lifecycle.engine import Engine
from taskengine.store import events, tasks, transitions


def _check(row: Any) -> None:
    if not row.requires_human_review:
        raise Conflict("the task does not ask for a review")
    if row.review is not None:
        raise Conflict("the task has been reviewed already")
    if TaskStatus(row.status) not in MOVES["rejected"].sources:
        raise refuse(MOVES["rejected"], TaskStatus(row.status))


def approve(engine: Engine, caller: Caller, task_id: UUID, notes: str | None) -> dict[str, Any]:
    """Let a task run, once nothing else stands in its way."""
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if is_approval(row):
            decide(engine, conn, caller, row, "approved", notes)
            return query.task(engine, caller, task_id)
        _check(row)
        review = {"decision": "approved", "notes": notes, "by": caller.name, "at": engine.clock()}
        tasks.change(conn, task_id, {"review": review})
        events.note(conn, task_id, "task.approved", {"notes": notes, "by": caller.name})
        ready = not row.waiting_on and (row.execution_type != "manual" or row.triggered)
        if ready and TaskStatus(row.status) is TaskStatus.pending:
            advance(engine, conn, [], Came(hits=transitions.standing(conn, [task_id])))
    return query.task(engine, caller, task_id)


def reject(engine: Engine, caller: Caller, task_id: UUID, reason: str | None) -> dict[str, Any]:
    """Cancel a task that a reviewer does not want."""
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if is_approval(row):
            decide(engine, conn, caller, row, "rejected", reason)
            return query.task(engine, caller, task_id)
        _check(row)
        data = {"decision": "rejected", "reason": reason, "by": caller.name, "at": engine.clock()}
        ended = transitions.move(conn, "rejected", [task_id], data=data, reason=reason)
        advance(engine, conn, ended)
        engine.db.after_commit(lambda: tell.ended(engine, ended))
    return query.task(engine, caller, task_id)
