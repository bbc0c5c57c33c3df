"""What the engine looks up about tasks, and what it notes on them; ``transitions`` moves their status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, text

from taskengine.store import outbox
from taskengine.store.database import Rows
from taskengine.store.tables import tasks


def lock(conn: Connection, organization_id: UUID, task_id: UUID) -> Any | None:
    """Every column of one task, locked until the transaction ends, or None. A claim of that moment passes it by."""
    outbox.hold(conn, [task_id])
    return conn.execute(
        select(tasks).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id).with_for_update()
    ).first()


def internals(conn: Connection, organization_id: UUID, task_id: UUID) -> Any | None:
    """Every column of one task, or None."""
    return conn.execute(select(tasks).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id)).first()


_REQUEST_CANCEL = text(
    """
    UPDATE tasks SET cancel_requested_at = coalesce(cancel_requested_at, now()),
        cancel_reason = coalesce(cancel_reason, :reason), updated_at = now()
    WHERE id = :task_id AND status = 'running' RETURNING id
    """
)


def request_cancel(conn: Connection, task_id: UUID, reason: str | None) -> bool:
    """Ask a running task to stop; False if it does not run."""
    return conn.execute(_REQUEST_CANCEL, {"task_id": task_id, "reason": reason}).first() is not None


def change(conn: Connection, task_id: UUID, values: dict[str, Any]) -> None:
    """Write columns other than the status."""
    if "status" in values:
        raise ValueError("a status is written by store.transitions only")
    conn.execute(tasks.update().where(tasks.c.id == task_id).values(**values, updated_at=func.now()))


_SYNC_OUTBOX = text(
    """
    UPDATE outbox o SET queue = t.queue, priority = t.priority, urgency = t.urgency,
        light = t.light AND t.lost_count = 0, published_at = NULL,
        expires_at = CASE WHEN t.started_at IS NULL THEN t.expires_at END
    FROM tasks t WHERE t.id = :task_id AND o.task_id = t.id RETURNING o.queue
    """
)


def sync_outbox(conn: Connection, task_id: UUID) -> list[str]:
    """Carry a changed task's place in line over to its outbox row; returns the queue to ring, if it is in line.

    Its message may be on the way, or was just passed by because the task was locked: it is sent anew.
    """
    return [row.queue for row in conn.execute(_SYNC_OUTBOX, {"task_id": task_id})]


_REQUEST_CANCELS = text(
    """
    WITH asked AS (
        UPDATE tasks SET cancel_requested_at = now(), cancel_reason = :reason, updated_at = now()
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'running' AND cancel_requested_at IS NULL
        RETURNING organization_id, id, run_id, status, attempt
    )
    INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt)
    SELECT organization_id, id, run_id, 'task.cancel_requested', status, status, attempt FROM asked
    """
)


def request_cancels(conn: Connection, ids: Sequence[UUID], reason: str | None) -> None:
    """Ask several running tasks to stop."""
    conn.execute(_REQUEST_CANCELS, {"ids": list(ids), "reason": reason})


_DUE = text(
    """
    SELECT id, kind, queue, status FROM tasks
    WHERE status IN ('deferred', 'retrying', 'waiting_input') AND run_at <= now()
        AND (kind = 'task' OR status <> 'waiting_input')
    ORDER BY run_at LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)


def due(conn: Connection, limit: int) -> Rows:
    """Deferred, retrying and parked tasks whose time has come, locked. Uses tasks_due_idx."""
    return list(conn.execute(_DUE, {"limit": limit}))


_HELD = text(
    """
    SELECT t.* FROM tasks t JOIN executions e ON e.id = :execution_id AND e.task_id = t.id
    WHERE t.id = :task_id AND t.status = 'running' AND e.status = 'running' FOR NO KEY UPDATE OF t
    """
)


def held(conn: Connection, task_id: UUID, execution_id: UUID) -> Any | None:
    """Every column of a task, locked, if that attempt still holds it; else None."""
    return conn.execute(_HELD, {"task_id": task_id, "execution_id": execution_id}).first()


_STATES = text(
    "SELECT id, organization_id, state FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND state IS NOT NULL"
)


def states(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """(id, organization_id, state) of those that have a state: of a task the run that it began."""
    return list(conn.execute(_STATES, {"ids": list(ids)}))


_PARKED_IN_VAIN = text(
    """
    SELECT t.id FROM tasks t LEFT JOIN runs r ON r.id = CAST(t.state ->> 'run_id' AS uuid)
    WHERE t.id = ANY(CAST(:ids AS uuid[])) AND t.kind = 'task' AND t.status = 'waiting_input'
        AND t.state IS NOT NULL AND (r.id IS NULL OR r.completed_at IS NOT NULL)
    """
)


def parked_in_vain(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Those of ``ids`` that wait for a run which has ended already. The caller holds their locks."""
    return [row.id for row in conn.execute(_PARKED_IN_VAIN, {"ids": list(ids)})]


_EXPIRED = text(
    """
    SELECT id FROM tasks
    WHERE expires_at IS NOT NULL AND expires_at <= now() AND started_at IS NULL
        AND status IN ('pending', 'deferred', 'queued', 'paused')
    ORDER BY expires_at LIMIT :limit
    """
)


def expired(conn: Connection, limit: int) -> list[UUID]:
    """Tasks whose expires_at passed before they started, with their places in line locked. Uses tasks_expiry_idx."""
    ids = [row.id for row in conn.execute(_EXPIRED, {"limit": limit})]
    if ids:
        outbox.hold(conn, ids)
    return ids


_CANCELLING = text(
    "SELECT id, cancel_reason FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))"
    " AND cancel_requested_at IS NOT NULL AND status = 'running'"
)


def cancelling(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Those of the running ``ids`` that somebody wants stopped, with the reason."""
    return {row.id: row.cancel_reason or "cancelled" for row in conn.execute(_CANCELLING, {"ids": list(ids)})}


_OLD = text(
    """
    SELECT id FROM tasks WHERE completed_at < now() - make_interval(days => :days)
        -- A run goes as a whole, and an expansion with its children.
        AND (run_id IS NULL OR NOT EXISTS (SELECT FROM runs r WHERE r.id = tasks.run_id))
        AND (parent_id IS NULL OR NOT EXISTS (
            SELECT FROM tasks p WHERE p.id = tasks.parent_id AND p.completed_at IS NULL))
        AND NOT EXISTS (SELECT FROM task_dependencies d JOIN tasks t ON t.id = d.task_id
            WHERE d.depends_on_id = tasks.id AND t.completed_at IS NULL)
    ORDER BY completed_at LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)


def finished_before(conn: Connection, days: int, limit: int) -> list[UUID]:
    """Finished tasks older than ``days`` that no unfinished one depends on. Uses tasks_prune_idx."""
    return [row.id for row in conn.execute(_OLD, {"days": days, "limit": limit})]


_ARTIFACTS = text("SELECT id FROM artifacts WHERE task_id = ANY(CAST(:ids AS uuid[]))")
_PURGE = tuple(
    text(f"DELETE FROM {table} WHERE {column} = ANY(CAST(:ids AS uuid[]))")
    for table, column in (("outbox", "task_id"), ("events", "task_id"))
)


def remove(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Delete tasks with all that hangs on them; returns the ids of artifacts whose files may go."""
    params = {"ids": list(ids)}
    files = [row.id for row in conn.execute(_ARTIFACTS, params)]
    for statement in _PURGE:
        conn.execute(statement, params)
    conn.execute(delete(tasks).where(tasks.c.id.in_(ids)))
    conn.execute(text("DELETE FROM executions WHERE task_id = ANY(CAST(:ids AS uuid[]))"), params)
    return files
