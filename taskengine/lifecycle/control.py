"""What people do to a task by hand: trigger, retry, pause, resume."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain.errors import Conflict
from taskengine.domain.states import MOVES, Kind, TaskStatus, refuse
from taskengine.domain.task import Caller
from taskengine.lifecycle import dispatch, query, redo
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.begin import begin
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.store import dead_letters, events, runs, tasks, transitions


def locked(conn: Connection, caller: Caller, task_id: UUID) -> Any:
    """The whole row of a task, locked; NotFound if it is not the caller's."""
    row = tasks.lock(conn, caller.organization_id, task_id)
    if row is None:
        raise query.missing("task", task_id)
    return row


def _move(engine: Engine, conn: Connection, caller: Caller, row: Any, name: str) -> None:
    if TaskStatus(row.status) not in MOVES[name].sources:
        raise refuse(MOVES[name], TaskStatus(row.status))
    moved = transitions.move(conn, name, [row.id], data={"by": caller.name})
    dispatch.after_commit(engine, {item.queue for item in moved if item.status == "queued"})


def execute(engine: Engine, caller: Caller, task_id: UUID) -> dict[str, Any]:
    """Run a task now: one that waits for a manual trigger, for its time or for its retry.

    With open dependencies or without its review it is only marked as triggered, and runs when they are met.
    """
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if TaskStatus(row.status) not in MOVES["triggered"].sources:
            raise refuse(MOVES["triggered"], TaskStatus(row.status))
        if row.waiting_on or (row.requires_human_review and row.review is None):
            tasks.change(conn, task_id, {"triggered": True})
            events.note(conn, task_id, "task.trigger_noted", {"by": caller.name})
        elif row.kind != Kind.task:
            _trigger_step(engine, conn, caller, row)
        else:
            _move(engine, conn, caller, row, "triggered")
    return query.task(engine, caller, task_id)


def _trigger_step(engine: Engine, conn: Connection, caller: Caller, row: Any) -> None:
    """Begin an expansion by hand; other steps begin when the run lets them."""
    if row.kind != Kind.expansion:
        raise Conflict(f"a {row.kind} step begins with its run; it cannot be triggered by hand")
    tasks.change(conn, row.id, {"triggered": True})
    events.note(conn, row.id, "task.triggered", {"by": caller.name})
    paused = row.id in runs.paused_among(conn, [row.id])
    came = begin(engine, conn, row, paused=paused) if row.status == "deferred" else Came()
    if row.status == "pending":
        came.hits = transitions.standing(conn, [row.id])
    advance(engine, conn, [], came)


def retry(engine: Engine, caller: Caller, task_id: UUID) -> dict[str, Any]:
    """Run a failed, cancelled or skipped task again, with its retries counted from the start.

    One that was never reviewed, or was rejected, waits for its review; one whose time has not come, for its time.
    Conflict while something that it depends on has not completed.
    """
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if row.parent_id is not None and row.scope_id is None:
            raise Conflict("the step that made this task was done again since; retry the task that it made then")
        if row.run_id is not None or row.scope_id is not None or row.kind != Kind.task:
            if TaskStatus(row.status) not in MOVES["retried"].sources:
                raise refuse(MOVES["retried"], TaskStatus(row.status))
            redo.again(engine, conn, caller, row)
            return query.task(engine, caller, task_id)
        waiting_on = 0
        if TaskStatus(row.status) in MOVES["retried"].sources:
            waiting_on = _upstream_left(conn, row)
        _move(engine, conn, caller, row, _retried(engine, row, waiting_on))
        dead_letters.close_for(conn, [task_id])
    return query.task(engine, caller, task_id)


def _upstream_left(conn: Connection, row: Any) -> int:
    """How many tasks the retried one still has to wait for; counted anew, since some may be deleted by now."""
    left = tasks.unfinished_upstream(conn, row.id)
    dead = [name for name, ended in left if ended]
    if dead:
        raise Conflict(f"the task depends on others that did not complete ({', '.join(dead[:5])}); retry those first")
    if len(left) != row.waiting_on:
        tasks.change(conn, row.id, {"waiting_on": len(left), "upstream_bad": 0})
    return len(left)


def _retried(engine: Engine, row: Any, waiting_on: int) -> str:
    if waiting_on:
        return "retried_pending"
    if row.requires_human_review and (row.review is None or row.review["decision"] != "approved"):
        return "retried_pending"
    return "retried_deferred" if is_early(engine, row) else "retried"


def is_early(engine: Engine, row: Any) -> bool:
    """Whether a task waits for its time: nobody triggered it by hand."""
    return row.scheduled_for is not None and row.scheduled_for > engine.clock() and not row.triggered


def pause(engine: Engine, caller: Caller, task_id: UUID) -> dict[str, Any]:
    """Hold a task back that has not started."""
    with engine.db.begin() as conn:
        _move(engine, conn, caller, locked(conn, caller, task_id), "paused")
    return query.task(engine, caller, task_id)


def resume(engine: Engine, caller: Caller, task_id: UUID) -> dict[str, Any]:
    """Put a paused task where it belongs now."""
    with engine.db.begin() as conn:
        row = locked(conn, caller, task_id)
        if row.held:
            raise Conflict("the task is paused with its run; resume that with POST /v1/runs/{id}/resume")
        _move(engine, conn, caller, row, place(engine, row))
        if row.kind != Kind.task:
            advance(engine, conn, [], Came(hits=transitions.standing(conn, [task_id])))
    return query.task(engine, caller, task_id)


def place(engine: Engine, row: Any) -> str:
    """The move that takes a paused task to where it belongs. What becomes of a step is then the planner's."""
    if row.kind != Kind.task:
        return "resumed_pending"
    unreviewed = row.requires_human_review and row.review is None
    untriggered = row.execution_type == "manual" and not row.triggered
    if row.waiting_on or unreviewed or untriggered:
        return "resumed_pending"
    if is_early(engine, row):
        return "resumed_deferred"
    if row.run_at is not None and row.attempt and row.run_at > engine.clock():
        return "resumed_retrying"
    return "resumed"
