"""What the engine looks up about runs, and what it notes on them; ``transitions`` moves their status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows, document, in_json

_LOCK = text(
    "SELECT * FROM runs WHERE id = :id"
    " AND (CAST(:organization AS uuid) IS NULL OR organization_id = :organization) FOR UPDATE"
)


def lock(conn: Connection, organization_id: UUID | None, run_id: UUID) -> Any | None:
    """Every column of a run, locked, or None. Without an organization: the engine's own look."""
    return conn.execute(_LOCK, {"id": run_id, "organization": organization_id}).first()


_NAMES = text("SELECT id, name, context, variables FROM runs WHERE id = :id")


def names(conn: Connection, run_id: UUID) -> Any:
    """What templates may name of a run: (id, name, context, variables)."""
    return conn.execute(_NAMES, {"id": run_id}).one()


_STATE = text("SELECT id, status, depth, cancel_requested_at FROM runs WHERE id = :id")


def state(conn: Connection, run_id: UUID) -> Any:
    """(id, status, depth, cancel_requested_at) of a run, as it stands."""
    return conn.execute(_STATE, {"id": run_id}).one()


_CHANGE = text(
    """
    UPDATE runs SET context = coalesce(CAST(:context AS json), context), updated_at = now(),
        signals = coalesce(CAST(:signals AS json), signals) WHERE id = :id
    """
)


def change(
    conn: Connection,
    run_id: UUID,
    *,
    context: dict[str, Any] | None = None,
    signals: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Write a run's context, or the signals that no wait has taken; the caller holds its lock."""
    params = {
        "id": run_id,
        "context": None if context is None else in_json(context),
        "signals": None if signals is None else document(signals),
    }
    conn.execute(_CHANGE, params)


_CANCEL = text(
    """
    UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now()),
        cancel_reason = coalesce(cancel_reason, :reason), error = coalesce(CAST(:error AS json), error),
        updated_at = now()
    WHERE id = :id
    """
)


def request_cancel(conn: Connection, run_id: UUID, reason: str | None, error: dict[str, Any] | None) -> None:
    """Note that a run is to stop: cancelled, or with an ``error`` failed; the caller holds its lock."""
    params = {"id": run_id, "reason": reason, "error": None if error is None else in_json(error)}
    conn.execute(_CANCEL, params)


_OVER = text(
    "SELECT id FROM runs WHERE times_out_at <= now() AND completed_at IS NULL AND cancel_requested_at IS NULL"
    " ORDER BY times_out_at LIMIT :limit"
)


def over(conn: Connection, limit: int) -> list[UUID]:
    """Runs whose time limit has passed. Uses runs_limit_idx."""
    return [row.id for row in conn.execute(_OVER, {"limit": limit})]


_PARENTS_GONE = text(
    """
    SELECT DISTINCT t.id FROM runs r JOIN tasks t ON t.id = r.parent_task_id
    WHERE r.completed_at IS NULL AND r.cancel_requested_at IS NULL
        AND t.kind = 'task' AND t.completed_at IS NOT NULL AND t.status <> 'completed'
    LIMIT :limit
    """
)


def parents_gone(conn: Connection, limit: int) -> list[UUID]:
    """Tasks that ended other than well, and whose own runs go on. Reads the open runs, by runs_open_idx."""
    return [row.id for row in conn.execute(_PARENTS_GONE, {"limit": limit})]


_NOTE = text(
    """
    INSERT INTO events (organization_id, run_id, type, from_status, to_status, attempt, data)
    SELECT organization_id, id, :type, status, status, 0, CAST(:data AS json) FROM runs WHERE id = :id
    """
)


def note(conn: Connection, run_id: UUID, type_name: str, data: dict[str, Any]) -> None:
    """Write an event of the run that moves nothing."""
    conn.execute(_NOTE, {"id": run_id, "type": type_name, "data": in_json(data)})


_PAUSED = text(
    """
    SELECT t.id FROM tasks t JOIN runs r ON r.id = t.run_id
    WHERE t.id = ANY(CAST(:ids AS uuid[])) AND r.status = 'paused'
    ORDER BY r.id FOR SHARE OF r
    """
)


def paused_among(conn: Connection, task_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the tasks whose run is paused, and stays so until this transaction ends."""
    return {row.id for row in conn.execute(_PAUSED, {"ids": list(task_ids)})}


_PAUSED_AROUND = text(
    "SELECT status = 'paused' FROM runs WHERE id = (SELECT run_id FROM tasks WHERE id = :step_id) FOR SHARE"
)


def is_paused_around(conn: Connection, step_id: UUID) -> bool:
    """Whether the run of a step is paused; nobody pauses or resumes it before this transaction ends."""
    return bool(conn.execute(_PAUSED_AROUND, {"step_id": step_id}).scalar())


_ROWS_IN = text(
    """
    SELECT id FROM tasks WHERE run_id = :run_id AND status = :status AND scope_id IS NOT NULL
        AND (:status <> 'paused' OR held) ORDER BY id
    """
)
_OPEN_BELOW = text(
    """
    -- By an array, not by a join, for which the planner might read the runs below all others as well.
    SELECT id, status FROM runs WHERE completed_at IS NULL AND parent_task_id = ANY(ARRAY(
        SELECT id FROM tasks WHERE run_id = :run_id AND key IS NOT NULL
            AND (kind = 'workflow' OR kind = 'task' AND state IS NOT NULL)
        UNION ALL
        -- Children of expansions have no key; those that have not ended are found by tasks_progress_idx.
        SELECT id FROM tasks WHERE run_id = :run_id AND key IS NULL AND scope_id IS NOT NULL AND kind = 'task'
            AND status IN ('running', 'waiting_input', 'queued', 'retrying', 'paused') AND state IS NOT NULL
    )) ORDER BY id
    """
)
_NEWEST_BELOW = text(
    """
    SELECT id, status FROM runs WHERE parent_task_id = :step_id ORDER BY id DESC LIMIT 1
    """
)
_KEYS_AMONG = text(
    "SELECT DISTINCT key FROM tasks WHERE run_id = :run_id AND key = ANY(CAST(:names AS text[])) ORDER BY key"
)


def rows_in(conn: Connection, run_id: UUID, status: str) -> list[UUID]:
    """A run's rows of one status; of the paused ones those that are paused with the run."""
    return [row.id for row in conn.execute(_ROWS_IN, {"run_id": run_id, "status": status})]


def open_below(conn: Connection, run_id: UUID) -> Rows:
    """(id, status) of the open runs that a run's steps wait for."""
    return list(conn.execute(_OPEN_BELOW, {"run_id": run_id}))


def newest_below(conn: Connection, step_id: UUID) -> Any | None:
    """(id, status) of the newest run of a step: older ones were superseded when the step was done again."""
    return conn.execute(_NEWEST_BELOW, {"step_id": step_id}).first()


def keys_among(conn: Connection, run_id: UUID, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are keys of the run's steps."""
    return [row.key for row in conn.execute(_KEYS_AMONG, {"run_id": run_id, "names": list(names)})]


def size_of(value: Any) -> int:
    """Bytes of a value as it is stored."""
    return len(in_json(value).encode())


_REMOVE = text(
    """
    WITH old AS (
        SELECT id FROM runs WHERE completed_at < now() - make_interval(days => :days)
            AND (parent_task_id IS NULL OR NOT EXISTS (SELECT FROM tasks t JOIN runs p ON p.id = t.run_id
                WHERE t.id = runs.parent_task_id))
        ORDER BY completed_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM runs WHERE id IN (SELECT id FROM old) RETURNING id
    ), forgotten AS (
        DELETE FROM events WHERE run_id IN (SELECT id FROM gone) AND task_id IS NULL
    )
    SELECT count(*) FROM gone
    """
)


def remove_before(conn: Connection, days: int, limit: int) -> int:
    """Delete the records of runs that ended over ``days`` ago, with their own events; returns how many.

    A run that a step started goes after the run of that step. Uses runs_prune_idx.
    """
    return int(conn.execute(_REMOVE, {"days": days, "limit": limit}).scalar_one())
