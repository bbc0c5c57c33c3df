"""Rows that are done again: what belongs to a retry, and what stays behind as history."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

_NODES = text(
    """
    SELECT id, key, path, kind, status, parent_id, on_failure, type, last_error ->> 'code' AS code
    FROM tasks WHERE run_id = :run_id AND key IS NOT NULL AND scope_id IS NOT NULL ORDER BY id
    """
)


def nodes(conn: Connection, run_id: UUID) -> Rows:
    """A run's rows without children of expansions: (id, key, path, kind, status, parent_id, on_failure, type, code)."""
    return list(conn.execute(_NODES, {"run_id": run_id}))


_AROUND = text(
    """
    WITH RECURSIVE around AS (
        SELECT id, kind, status, parent_id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION SELECT t.id, t.kind, t.status, t.parent_id FROM tasks t JOIN around a ON t.id = a.parent_id
    )
    SELECT * FROM around
    """
)


def around(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """Rows and the steps that they are in: (id, kind, status, parent_id)."""
    return list(conn.execute(_AROUND, {"ids": list(ids)}))


_UNBEGUN = text(
    """
    SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND completed_at IS NOT NULL
        AND (started_at IS NULL OR state IS NULL AND kind IN ('conditional', 'loop', 'expansion'))
    ORDER BY id
    """
)


def unbegun(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Those of the steps that ended before they had begun: cancelled, skipped, or at fault."""
    return [row.id for row in conn.execute(_UNBEGUN, {"ids": list(ids)})]


_CROWDED = text(
    """
    WITH RECURSIVE ranked AS (
        SELECT t.id, row_number() OVER (PARTITION BY t.parent_id ORDER BY t.sequence_num) AS place,
            CAST(p.step ->> 'max_parallel' AS int) - (SELECT count(*) FROM tasks o WHERE o.scope_id = p.id
                AND NOT o.gated AND o.completed_at IS NULL AND o.id <> ALL(CAST(:ids AS uuid[]))) AS room
        FROM tasks t JOIN tasks p ON p.id = t.parent_id
        WHERE t.id = ANY(CAST(:ids AS uuid[])) AND p.step ->> 'max_parallel' IS NOT NULL
    ), crowded AS (
        SELECT id FROM ranked WHERE place > room
        UNION SELECT t.id FROM tasks t JOIN crowded c ON t.parent_id = c.id WHERE t.id = ANY(CAST(:ids AS uuid[]))
    )
    SELECT id FROM crowded
    """
)


def crowded(conn: Connection, reopened: Sequence[UUID]) -> set[UUID]:
    """Those of the steps that are to go on for which the steps around them have no room now, with what is in them."""
    return {row.id for row in conn.execute(_CROWDED, {"ids": list(reopened)})}


_FAILED_BELOW = text(
    """
    SELECT id FROM tasks WHERE scope_id = :parent AND status IN ('failed', 'cancelled') ORDER BY sequence_num
    """
)


def failed_below(conn: Connection, parent: UUID) -> list[UUID]:
    """The rows directly in a step that failed or were cancelled. Uses tasks_bad_idx."""
    return [row.id for row in conn.execute(_FAILED_BELOW, {"parent": parent})]


# History has no key, so that no name finds it, and no scope, so that nothing waits for it.
_DROP = text("UPDATE tasks SET scope_id = NULL, key = NULL, sequence_num = NULL WHERE id = ANY(CAST(:ids AS uuid[]))")
_DROP_CHILDREN = text(
    """
    UPDATE tasks SET scope_id = NULL, key = NULL, sequence_num = NULL
    WHERE parent_id = ANY(CAST(:ids AS uuid[])) AND scope_id IS NOT NULL
    """
)


def drop(conn: Connection, ids: Sequence[UUID]) -> None:
    """Leave rows behind as history."""
    conn.execute(_DROP, {"ids": list(ids)})


def drop_children(conn: Connection, parents: Sequence[UUID]) -> None:
    """Leave the children of expansions behind as history."""
    if parents:
        conn.execute(_DROP_CHILDREN, {"ids": list(parents)})


_NAMES = text("SELECT name FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id")


def names(conn: Connection, ids: Sequence[UUID]) -> list[str]:
    """The names of rows."""
    return [row.name for row in conn.execute(_NAMES, {"ids": list(ids)})]


_OVERRIDE_CHILDREN = text(
    """
    UPDATE tasks t SET config = p.config, light = p.light, updated_at = now()
    FROM tasks p WHERE p.id = :parent AND t.parent_id = p.id AND t.scope_id = p.id AND t.status <> 'completed'
    """
)


def override_children(conn: Connection, parent: UUID) -> None:
    """Hand an expansion's changed config on to its children that have not completed."""
    conn.execute(_OVERRIDE_CHILDREN, {"parent": parent})
