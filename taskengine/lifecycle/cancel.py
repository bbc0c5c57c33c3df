"""Cancels a task: at once while it waits, through its worker while it runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskengine.domain.states import MOVES, Kind, TaskStatus, refuse
from taskengine.domain.task import Caller
from taskengine.lifecycle import own_runs, query, tell
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.stop import stop_rows
from taskengine.store import events, steps, tasks, transitions


def cancel(engine: Engine, caller: Caller, task_id: UUID, reason: str | None) -> dict[str, Any]:
    """Cancel; returns the task. A running one is stopped within seconds, and ends ``cancelled`` then.

    InvalidTransition if it is final already.
    """
    ended: list[Any] = []
    with engine.db.begin() as conn:
        row = tasks.lock(conn, caller.organization_id, task_id)
        if row is None:
            raise query.missing("task", task_id)
        status = TaskStatus(row.status)
        if status not in MOVES["cancelled"].sources:
            raise refuse(MOVES["cancelled"], status)
        data = {"reason": reason, "by": caller.name}
        if row.kind != Kind.task:
            inside = steps.below(conn, [task_id])
            advance(engine, conn, [], stop_rows(conn, [row, *inside], reason, caller.name))
        elif status is TaskStatus.running:
            if row.cancel_requested_at is None:
                tasks.request_cancel(conn, task_id, reason)
                events.note(conn, task_id, "task.cancel_requested", data)
        else:
            ended = transitions.move(conn, "cancelled", [task_id], data=data, reason=reason)
            advance(engine, conn, ended, own_runs.stop(conn, [task_id], reason, caller.name))
            engine.db.after_commit(lambda: tell.ended(engine, ended))
    return query.task(engine, caller, task_id)
