"""Attempts end: by their worker, or because it fell silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from taskengine.domain.states import Move, TaskStatus
from taskengine.store.database import Rows, document, in_json
from taskengine.store.transitions.moves import RING

_FINISH = text(
    """
    WITH d AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS d(
            execution_id uuid, task_id uuid, execution_status text, status text, event text, result json, error json,
            delay_seconds double precision, failed int, dead boolean, queue text, reason text,
            cpu_seconds double precision, peak_memory_bytes bigint)
    ), locked AS (
        SELECT e.id FROM executions e JOIN d ON d.execution_id = e.id JOIN tasks t ON t.id = e.task_id
        WHERE e.status = 'running' AND NOT (:alone AND t.has_dependents)
        ORDER BY t.id FOR NO KEY UPDATE OF e, t
    ), ended AS (
        UPDATE executions e SET status = d.execution_status, ended_at = now(), lease_until = NULL, error = d.error,
            cpu_seconds = d.cpu_seconds, peak_memory_bytes = d.peak_memory_bytes
        FROM d JOIN locked ON locked.id = d.execution_id WHERE e.id = d.execution_id
        RETURNING e.id, e.task_id
    ), moved AS (
        -- Whoever asked for a cancel that came too late for this attempt gets no other attempt.
        UPDATE tasks t SET result = d.result,
            status = CASE WHEN d.status IN ('retrying', 'waiting_input') AND t.cancel_requested_at IS NOT NULL
                THEN 'cancelled' ELSE d.status END,
            queue = coalesce(d.queue, t.queue),
            last_error = coalesce(d.error, t.last_error), error_count = t.error_count + d.failed, updated_at = now(),
            run_at = CASE WHEN t.cancel_requested_at IS NULL THEN now() + make_interval(secs => d.delay_seconds) END,
            completed_at = CASE WHEN d.status NOT IN ('retrying', 'waiting_input') OR t.cancel_requested_at IS NOT NULL
                THEN now() END
        FROM ended JOIN d ON d.execution_id = ended.id
        WHERE t.id = ended.task_id AND t.status = 'running'
        RETURNING t.id, t.organization_id, t.type, t.queue, t.attempt, t.status, t.started_at, t.updated_at,
            t.completed_at, t.error_count, t.last_error, t.cancel_requested_at, t.cancel_reason, t.has_dependents,
            t.kind, t.run_id, t.scope_id, t.ended_bad, t.state IS NOT NULL AS has_run,
            t.announce IS NOT NULL AS announced,
            CASE t.status WHEN 'cancelled' THEN 'task.cancelled' ELSE d.event END AS event, d.dead,
            d.error, d.reason, d.execution_id
    ), noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, run_id, event, 'running', status, attempt,
            CASE WHEN error IS NOT NULL THEN json_build_object('error', error)
                WHEN status <> 'cancelled' AND reason IS NOT NULL THEN json_build_object('reason', reason) END
        FROM moved
    ), buried AS (
        INSERT INTO dead_letters (id, organization_id, task_id, type, queue, code, error, attempts)
        SELECT execution_id, organization_id, id, type, queue, error ->> 'code', error, attempt
        FROM moved WHERE dead
    ), lines AS MATERIALIZED (
        SELECT own.queue, (SELECT o.task_id FROM outbox o WHERE o.queue = own.queue AND o.published_at IS NULL
            ORDER BY o.organization_id LIMIT 1) IS NOT NULL AS more
        FROM (SELECT DISTINCT queue FROM moved) AS own
    )
    SELECT id, organization_id, queue, status, attempt, error_count, last_error, started_at, updated_at, completed_at,
        cancel_requested_at, cancel_reason, has_dependents, kind, run_id, scope_id, ended_bad, has_run,
        announced, lines.more
    FROM moved JOIN lines USING (queue)
    """
)


def finish(conn: Connection, rows: Sequence[dict[str, Any]], *, alone: bool) -> Rows:
    """End attempts, and move their tasks, where the attempt still holds its task (fencing by execution id).

    Each row: execution_id, task_id, execution_status, status, event, result, error, delay_seconds, failed (1 when
    it counts against the retries), dead (leaves a dead letter), queue (another line to wait in, or None), reason
    (why it waits, for the event), cpu_seconds and peak_memory_bytes (what the attempt used, where that is known). Rows
    that come back were recorded; ``has_run`` says that the task began a run of its own. ``more`` says that the queue
    has tasks in line. ``alone`` says that no other statement will follow in this transaction: tasks that others depend
    on are left.
    """
    return list(conn.execute(_FINISH, {"rows": document(rows), "alone": alone}))


def finish_row(move: Move[TaskStatus], **values: Any) -> dict[str, Any]:
    """A row for :func:`finish`; the move must be one that leaves ``running``."""
    return {
        "status": move.target.value,
        "event": move.event,
        "delay_seconds": None,
        "failed": 0,
        "dead": False,
        "queue": None,
    } | values


_LOSE = text(
    """
    WITH gone AS (
        SELECT e.id, e.task_id FROM executions e
        WHERE e.status = 'running' AND e.lease_until < now()
        ORDER BY e.lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE executions e SET status = 'lost', ended_at = now(), lease_until = NULL, error = CAST(:error AS json)
        FROM gone WHERE e.id = gone.id RETURNING e.id, e.task_id
    ), moved AS (
        UPDATE tasks t SET lost_count = t.lost_count + 1, updated_at = now(), last_error = CAST(:error AS json),
            status = CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN t.lost_count + 1 >= :lost_limit THEN 'failed' ELSE 'queued' END,
            completed_at = CASE WHEN t.cancel_requested_at IS NOT NULL
                OR t.lost_count + 1 >= :lost_limit THEN now() END,
            queued_at = CASE WHEN t.cancel_requested_at IS NULL AND t.lost_count + 1 < :lost_limit THEN now()
                ELSE t.queued_at END
        FROM ended WHERE t.id = ended.task_id AND t.status = 'running'
        RETURNING t.*, ended.id AS execution_id
    ), noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, run_id, CASE status WHEN 'queued' THEN 'task.lost' ELSE 'task.' || status END,
            'running', status, attempt, json_build_object('error', CAST(:error AS json)) FROM moved
    ), buried AS (
        INSERT INTO dead_letters (id, organization_id, task_id, type, queue, code, error, attempts)
        SELECT execution_id, organization_id, id, type, queue, 'worker_lost', CAST(:error AS json), attempt
        FROM moved WHERE status = 'failed'
    ), enqueued AS ("""
    + RING.format(source="moved WHERE status = 'queued'")
    + """)
    SELECT id, organization_id, queue, status, completed_at, has_dependents, kind, run_id, scope_id, ended_bad,
        state IS NOT NULL AS has_run, announce IS NOT NULL AS announced, execution_id
    FROM moved
    """
)


def lose(conn: Connection, *, lost_limit: int, error: dict[str, Any], limit: int = 1000) -> Rows:
    """End attempts whose lease ran out; their tasks queue again, or end if cancelled or lost too often.

    Uses executions_lease_idx. The attempt that wakes up later finds its execution ended and cannot write.
    """
    params = {"lost_limit": lost_limit, "error": in_json(error), "limit": limit}
    return list(conn.execute(_LOSE, params))
