"""Moves of runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.domain.states import RUN_MOVES
from taskengine.store.database import Rows, in_json

_INSERT_RUN = text(
    """
    WITH d AS (
        SELECT * FROM json_to_record(CAST(:row AS json)) AS d(
            id uuid, organization_id uuid, name text, workflow text, version int, definition json, variables json,
            context json, timeout_seconds double precision, parent_task_id uuid, depth int, created_by text)
    ), new AS (
        INSERT INTO runs (id, organization_id, name, workflow, version, definition, status, variables, context, signals,
            timeout_seconds, times_out_at, parent_task_id, depth, created_by, created_at, updated_at, started_at)
        SELECT id, organization_id, name, workflow, version, definition, 'running', variables, context, '[]',
            timeout_seconds, now() + make_interval(secs => timeout_seconds), parent_task_id, depth, created_by,
            now(), now(), now()
        FROM d RETURNING id, organization_id
    )
    INSERT INTO events (organization_id, run_id, type, from_status, to_status, attempt)
    SELECT organization_id, id, 'run.started', 'pending', 'running', 0 FROM new
    """
)


def insert_run(conn: Connection, row: dict[str, Any]) -> None:
    """Store a new run; its first steps are let go in the same transaction, so that it begins ``running``."""
    conn.execute(_INSERT_RUN, {"row": in_json(row)})


_MOVE_RUN = text(
    """
    WITH old AS (
        SELECT id, status FROM runs WHERE id = :id AND status = ANY(CAST(:sources AS text[])) FOR UPDATE
    ), moved AS (
        UPDATE runs r SET status = :target, updated_at = statement_timestamp(),
            completed_at = CASE WHEN :final THEN statement_timestamp() END,
            -- Why it is being stopped stays until it has, whatever else is done to it meanwhile.
            error = CASE WHEN NOT :anew THEN coalesce(CAST(:error AS json), r.error) END,
            cancel_requested_at = CASE WHEN NOT :anew THEN r.cancel_requested_at END,
            cancel_reason = CASE WHEN NOT :anew THEN r.cancel_reason END,
            times_out_at = CASE WHEN :target = 'running' AND old.status <> 'paused'
                THEN statement_timestamp() + make_interval(secs => r.timeout_seconds) ELSE r.times_out_at END
        FROM old WHERE r.id = old.id
        RETURNING r.*, old.status AS from_status
    ), noted AS (
        INSERT INTO events (organization_id, run_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, :event, from_status, status, 0, CAST(:data AS json) FROM moved
    )
    SELECT id, organization_id, status, from_status, parent_task_id, completed_at, error FROM moved
    """
)


def move_run(
    conn: Connection,
    name: str,
    run_id: UUID,
    *,
    data: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> Rows:
    """Make a named move of a run, if it stands in one of the move's source states; returns it if it moved.

    (id, organization_id, status, from_status, parent_task_id, completed_at, error). ``data`` goes into the event.
    """
    move = RUN_MOVES[name]
    params = {
        "id": run_id,
        "sources": [status.value for status in move.sources],
        "target": move.target.value,
        "event": move.event,
        "final": move.target.value in {"completed", "failed", "cancelled"},
        "anew": name == "retried",
        "data": None if data is None else in_json(data),
        "error": None if error is None else in_json(error),
    }
    return list(conn.execute(_MOVE_RUN, params))
