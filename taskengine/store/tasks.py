"""Reads of tasks and their edges, and writes of what is not their status."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, and_, delete, func, select, text

from taskengine.domain.task import Priority, TaskFilter
from taskengine.store import outbox
from taskengine.store.database import Rows
from taskengine.store.tables import task_dependencies, tasks

# created_at is the database's clock, the id the API's: the id range only helps the index, with this much slack.
_CLOCK_SLACK = timedelta(hours=1)
_NOT_SHOWN = {
    *("organization_id", "light", "triggered", "waiting_on", "has_dependents", "lost_count", "scope_id", "gated"),
    *("upstream_bad", "ended_bad", "step", "state", "bindings", "held", "times_out_at"),
}
SHOWN = [column for column in tasks.c if column.name not in _NOT_SHOWN]

_EDGES = (
    select(func.array_agg(task_dependencies.c.depends_on_id))
    .where(task_dependencies.c.task_id == tasks.c.id)
    .scalar_subquery()
    .label("depends_on")
)


def first_id(moment: datetime) -> UUID:
    """No row that was created at this moment, or later, has an id below this."""
    return _uuid7_floor(moment - _CLOCK_SLACK)


def last_id(moment: datetime) -> UUID:
    """All rows that were created before this moment have ids below this."""
    return _uuid7_floor(moment + _CLOCK_SLACK)


def _uuid7_floor(moment: datetime) -> UUID:
    """The least UUIDv7 of a moment; times before 1970 give the least of all."""
    milliseconds = max(0, min(int(moment.timestamp() * 1000), 2**48 - 1))
    return UUID(int=milliseconds << 80)


def _filtered(organization_id: UUID, wanted: TaskFilter) -> Select[Any]:
    query = select(*SHOWN, _EDGES).where(tasks.c.organization_id == organization_id)
    if wanted.statuses is not None:
        query = query.where(
            tasks.c.status == wanted.statuses[0] if len(wanted.statuses) == 1 else tasks.c.status.in_(wanted.statuses)
        )
    for column, value in (
        (tasks.c.type, wanted.type),
        (tasks.c.queue, wanted.queue),
        (tasks.c.assigned_to, wanted.assigned_to),
        (tasks.c.run_id, wanted.run_id),
        (tasks.c.parent_id, wanted.parent_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.kinds is not None:
        query = query.where(tasks.c.kind.in_(wanted.kinds))
    if wanted.priority is not None:
        query = query.where(tasks.c.priority == int(Priority[wanted.priority]))
    if wanted.tag is not None:
        query = query.where(and_(tasks.c.tags.contains([wanted.tag]), text("tags <> '{}'")))
    if wanted.created_after is not None:
        query = query.where(
            tasks.c.created_at >= wanted.created_after,
            tasks.c.id >= first_id(wanted.created_after),
        )
    if wanted.created_before is not None:
        query = query.where(
            tasks.c.created_at < wanted.created_before,
            tasks.c.id < last_id(wanted.created_before),
        )
    if wanted.q is not None:
        query = query.where(
            text(
                "to_tsvector('simple', name || ' ' || coalesce(description, '')) @@ websearch_to_tsquery('simple', :q)"
            ).bindparams(q=wanted.q)
        )
    return query


def listing(conn: Connection, organization_id: UUID, wanted: TaskFilter, after: UUID | None, limit: int) -> Rows:
    """Tasks, newest first, from the one before ``after`` on. Each filter has an index that ends in the id."""
    query = _filtered(organization_id, wanted)
    if after is not None:
        query = query.where(tasks.c.id < after)
    return list(conn.execute(query.order_by(tasks.c.id.desc()).limit(limit)))


def get(conn: Connection, organization_id: UUID, task_id: UUID) -> Any | None:
    """One task as shown, or None."""
    return conn.execute(
        select(*SHOWN, _EDGES).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id)
    ).first()


def lock(conn: Connection, organization_id: UUID, task_id: UUID) -> Any | None:
    """Every column of one task, locked until the transaction ends, or None. A claim of that moment passes it by."""
    outbox.hold(conn, [task_id])
    return conn.execute(
        select(tasks).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id).with_for_update()
    ).first()


def internals(conn: Connection, organization_id: UUID, task_id: UUID) -> Any | None:
    """Every column of one task, or None."""
    return conn.execute(select(tasks).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id)).first()


_UPSTREAM = text(
    """
    WITH locked AS (
        SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND organization_id = :organization_id
        ORDER BY id FOR UPDATE
    )
    UPDATE tasks t SET has_dependents = true FROM locked WHERE t.id = locked.id
    RETURNING t.id, t.name, t.status, t.ended_bad
    """
)


def upstream(conn: Connection, organization_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """(id, name, status, ended_bad) of tasks that others are about to depend on; locked, so that they cannot end.

    The mark matters: an end that waits for this lock reads the row anew, but not the edges that are added here.
    """
    rows = conn.execute(_UPSTREAM, {"ids": list(ids), "organization_id": organization_id})
    return {row.id: row for row in rows}


_ADD_EDGES = text(
    """
    INSERT INTO task_dependencies (task_id, depends_on_id)
    SELECT * FROM unnest(CAST(:tasks AS uuid[]), CAST(:upstream AS uuid[]))
    """
)


def add_edges(conn: Connection, edges: Sequence[tuple[UUID, UUID]]) -> None:
    """Store (task, what it depends on) pairs."""
    if edges:
        conn.execute(_ADD_EDGES, {"tasks": [a for a, _ in edges], "upstream": [b for _, b in edges]})


_DEPENDENTS = text(
    """
    SELECT DISTINCT d.task_id FROM task_dependencies d JOIN tasks t ON t.id = d.task_id
    WHERE d.depends_on_id = ANY(CAST(:ids AS uuid[])) AND t.status IN ('pending', 'paused')
    """
)


def open_dependents(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Tasks that wait for any of ``ids``."""
    return [row.task_id for row in conn.execute(_DEPENDENTS, {"ids": list(ids)})]


_BLOCKING = text(
    """
    SELECT t.id, t.name, t.key, t.status FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on_id
    WHERE d.task_id = :task_id AND t.completed_at IS NULL ORDER BY t.id LIMIT :limit
    """
)


def blocking(conn: Connection, task_id: UUID, limit: int = 20) -> Rows:
    """The unfinished tasks that this one depends on."""
    return list(conn.execute(_BLOCKING, {"task_id": task_id, "limit": limit}))


_UNFINISHED = text(
    """
    SELECT t.name, t.ended_bad FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on_id
    WHERE d.task_id = :task_id AND (t.completed_at IS NULL OR t.ended_bad) ORDER BY t.id
    """
)


def unfinished_upstream(conn: Connection, task_id: UUID) -> list[tuple[str, bool]]:
    """The tasks that this one, locked by the caller, depends on and that have not ended well: name, and whether ended.

    One that ends meanwhile waits for that lock before it counts down.
    """
    return [(row.name, row.ended_bad is not None) for row in conn.execute(_UNFINISHED, {"task_id": task_id})]


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
    UPDATE outbox o SET priority = t.priority, urgency = t.urgency, light = t.light AND t.lost_count = 0,
        expires_at = CASE WHEN t.started_at IS NULL THEN t.expires_at END, published_at = NULL
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


def request_cancels(conn: Connection, ids: Sequence[UUID], reason: str) -> None:
    """Ask several running tasks to stop."""
    conn.execute(_REQUEST_CANCELS, {"ids": list(ids), "reason": reason})


_DUE = text(
    """
    SELECT id, kind, queue FROM tasks WHERE status IN ('deferred', 'retrying') AND run_at <= now()
    ORDER BY run_at LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)


def due(conn: Connection, limit: int) -> Rows:
    """Deferred and retrying tasks whose time has come, locked. Uses tasks_due_idx."""
    return list(conn.execute(_DUE, {"limit": limit}))


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
