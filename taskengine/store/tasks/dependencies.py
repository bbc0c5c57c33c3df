"""Edges between tasks: what a task depends on, and what depends on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

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


_KNOWN = text("SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND organization_id = :organization_id")


def known(conn: Connection, organization_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that are tasks of the organization."""
    if not ids:
        return set()
    return {row.id for row in conn.execute(_KNOWN, {"ids": list(ids), "organization_id": organization_id})}


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
