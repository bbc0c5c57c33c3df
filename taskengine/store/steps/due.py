"""Steps that somebody has to look after: the reconciler, or who sends a signal."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

_UNMADE = text(
    """
    SELECT id FROM tasks WHERE kind IN ('expansion', 'loop') AND status = 'running' AND (state ->> 'making')::boolean
    ORDER BY id LIMIT :limit
    """
)
_LEFT_BEHIND = text(
    """
    SELECT t.id FROM tasks t WHERE t.kind IN ('expansion', 'group', 'parallel', 'sequential', 'conditional', 'loop')
        AND t.kind <> 'task' AND t.status = 'running'
        AND t.updated_at < now() - make_interval(secs => :seconds)
        AND (NOT EXISTS (SELECT FROM tasks c WHERE c.scope_id = t.id AND NOT c.gated AND c.completed_at IS NULL))
    UNION ALL
    SELECT r.id FROM runs r WHERE r.completed_at IS NULL AND r.updated_at < now() - make_interval(secs => :seconds)
        AND NOT EXISTS (SELECT FROM tasks c WHERE c.scope_id = r.id AND c.completed_at IS NULL)
    LIMIT :limit
    """
)


def unmade(conn: Connection, limit: int) -> list[UUID]:
    """Expansions that still have children to make, and loops that have rounds to begin. Uses tasks_steps_idx."""
    return [row.id for row in conn.execute(_UNMADE, {"limit": limit})]


def left_behind(conn: Connection, seconds: float, limit: int) -> list[UUID]:
    """Steps and runs in which nothing runs any more, for some seconds. Uses tasks_steps_idx and runs_open_idx."""
    return [row.id for row in conn.execute(_LEFT_BEHIND, {"seconds": seconds, "limit": limit})]


_OVER = text(
    """
    SELECT id FROM tasks WHERE times_out_at <= now() AND completed_at IS NULL ORDER BY times_out_at LIMIT :limit
    """
)
_WATCHING = text(
    """
    SELECT id FROM tasks WHERE kind = 'wait' AND status = 'waiting_input' AND step -> 'condition' IS NOT NULL
        AND (CAST(:run_id AS uuid) IS NULL OR run_id = :run_id)
    -- Where there are more than the limit, each has its turn sooner or later.
    ORDER BY random() LIMIT :limit
    """
)
_AWAITING = text(
    """
    SELECT id FROM tasks WHERE kind = 'wait' AND status = 'waiting_input' AND run_id = :run_id
        AND step ->> 'signal' = :signal
    ORDER BY id LIMIT 1
    """
)


def over(conn: Connection, limit: int) -> list[UUID]:
    """Waits and steps whose time limit has passed. Uses tasks_limit_idx."""
    return [row.id for row in conn.execute(_OVER, {"limit": limit})]


def watching(conn: Connection, run_id: UUID | None, limit: int) -> list[UUID]:
    """Waits for a condition, of one run or of all. Uses tasks_steps_idx."""
    return [row.id for row in conn.execute(_WATCHING, {"run_id": run_id, "limit": limit})]


def awaiting(conn: Connection, run_id: UUID, signal: str) -> UUID | None:
    """The wait that has waited longest for a signal of that name."""
    row = conn.execute(_AWAITING, {"run_id": run_id, "signal": signal}).first()
    return None if row is None else row.id
