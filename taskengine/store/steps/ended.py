"""What ended rows gave, and which of them ended badly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

_LATEST = text(
    """
    SELECT status, result, last_error, started_at, completed_at FROM tasks
    WHERE run_id = :run_id AND key = :key AND completed_at IS NOT NULL AND scope_id IS NOT NULL
        AND starts_with(path, :prefix)
    ORDER BY id DESC LIMIT 1
    """
)


def latest(conn: Connection, run_id: UUID, key: str, prefix: str) -> Any | None:
    """The newest ended row of a key whose path begins so. Uses tasks_key_idx."""
    return conn.execute(_LATEST, {"run_id": run_id, "key": key, "prefix": prefix}).first()


_RESULTS = text(
    """
    SELECT key, result, id FROM tasks
    WHERE parent_id = :scope AND scope_id = :scope AND key IS NOT NULL AND status = 'completed'
    UNION ALL SELECT key, result, id FROM tasks
    WHERE run_id = :scope AND scope_id = :scope AND key IS NOT NULL AND status = 'completed' ORDER BY id
    """
)
_RUN_RESULTS = text(
    """
    SELECT DISTINCT ON (key) key, result FROM tasks
    WHERE run_id = :run_id AND key IS NOT NULL AND status = 'completed' AND scope_id IS NOT NULL
    ORDER BY key, id DESC
    """
)


def results(conn: Connection, scope: UUID) -> dict[str, Any]:
    """What the completed rows directly in a step, or a run, gave, by key."""
    return {row.key: row.result for row in conn.execute(_RESULTS, {"scope": scope})}


def run_results(conn: Connection, run_id: UUID) -> dict[str, Any]:
    """What the completed rows anywhere in a run gave, by key; of a key that ran several times the newest."""
    return {row.key: row.result for row in conn.execute(_RUN_RESULTS, {"run_id": run_id})}


_UPSTREAM = text(
    """
    SELECT u.status, u.result, u.last_error, u.started_at, u.completed_at
    FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
    WHERE d.task_id = :task_id AND u.key = :key AND u.completed_at IS NOT NULL ORDER BY u.id DESC LIMIT 1
    """
)
_CULPRITS = text(
    """
    SELECT DISTINCT ON (d.task_id) d.task_id, u.id, u.name, u.status
    FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
    WHERE d.task_id = ANY(CAST(:ids AS uuid[])) AND u.ended_bad ORDER BY d.task_id, u.completed_at, u.id
    """
)
_BAD = text(
    """
    SELECT id, name, status, last_error FROM tasks
    WHERE scope_id = :scope AND status IN ('failed', 'cancelled') AND on_failure = 'fail' ORDER BY completed_at, id
    LIMIT :limit
    """
)


_LOST_OUTSIDE = text(
    """
    SELECT t.id, t.name, t.status, t.last_error FROM tasks t
    WHERE t.parent_id = :scope AND t.scope_id = :scope AND t.status = 'skipped' AND t.on_failure = 'fail'
        AND EXISTS (SELECT FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
            WHERE d.task_id = t.id AND u.ended_bad AND u.run_id IS DISTINCT FROM t.run_id)
    ORDER BY t.sequence_num LIMIT 5
    """
)


def lost_outside(conn: Connection, scope: UUID) -> Rows:
    """The first rows directly in a scope that were skipped since a task of no part of their run ended badly."""
    return list(conn.execute(_LOST_OUTSIDE, {"scope": scope}))


def upstream(conn: Connection, task_id: UUID, key: str) -> Any | None:
    """The ended task of that key which a task depends on: outside of runs, keys belong to a submission."""
    return conn.execute(_UPSTREAM, {"task_id": task_id, "key": key}).first()


def culprits(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """(task_id, id, name, status): for each row the first upstream that ended badly."""
    return list(conn.execute(_CULPRITS, {"ids": list(ids)}))


def bad(conn: Connection, scope: UUID, limit: int = 5) -> Rows:
    """The first rows directly in a scope that failed so that it counts."""
    return list(conn.execute(_BAD, {"scope": scope, "limit": limit}))
