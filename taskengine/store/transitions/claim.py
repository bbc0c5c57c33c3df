"""Attempts begin: a worker takes what a message names, or what an end of its own lets go."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

_TAKEN = """
    t.id, t.organization_id, t.type, t.name, t.light, t.queue, t.config, t.attempt, t.error_count, t.max_retries,
    t.retry, t.timeout_seconds, t.input_schema, t.output_schema, t.run_id, t.path, t.parent_id, t.scope_id, t.bindings,
    t.input, t.has_dependents, t.queued_at
"""
_LEASED = """
    given AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:executions AS uuid[])) AS g(task_id, execution_id)
    ), leased AS (
        INSERT INTO executions (id, organization_id, task_id, attempt, status, type, queue, worker, queued_at,
            started_at, lease_until)
        SELECT given.execution_id, taken.organization_id, taken.id, taken.attempt, 'running', taken.type, taken.queue,
            :worker, taken.queued_at, statement_timestamp(), statement_timestamp() + make_interval(secs => :lease)
        FROM taken JOIN given ON given.task_id = taken.id
    )
"""
_CLAIM = text(
    f"""
    WITH settings AS MATERIALIZED (
        -- A claim that a crash of Postgres forgets is only made again, so it need not wait for the disk. The
        -- finish is fenced by the execution's id, which then does not exist.
        SELECT set_config('synchronous_commit', 'off', true)
    ), here AS MATERIALIZED (
        -- Each id is looked up by itself. A line that was empty when Postgres last counted it is taken for empty still:
        -- joined with it, a pack of hundreds would be compared with all of the line, again and again.
        SELECT found.task_id
        FROM settings, (
            SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS m(id, attempt) ORDER BY id
        ) AS m CROSS JOIN LATERAL (
            SELECT o.task_id FROM outbox o JOIN tasks t ON t.id = o.task_id
            WHERE o.task_id = m.id AND o.attempt = m.attempt AND (o.expires_at IS NULL OR o.expires_at > now())
                AND NOT EXISTS (SELECT FROM queues q WHERE q.name = o.queue AND q.paused)
                -- What a pause of the run could not take out of the line yet does not start either.
                AND (t.run_id IS NULL OR (SELECT r.status FROM runs r WHERE r.id = t.run_id) = 'running')
            -- A double of this message finds the rows locked and leaves them. A new dependent's lock on the task is
            -- waited for, in the order of ids.
            FOR UPDATE OF o SKIP LOCKED FOR NO KEY UPDATE OF t
        ) AS found
    ), rung AS (
        DELETE FROM outbox WHERE task_id = ANY(ARRAY(SELECT task_id FROM here)) RETURNING task_id
    ), taken AS (
        UPDATE tasks t SET status = 'running', attempt = t.attempt + 1, started_at = coalesce(t.started_at, now()),
            updated_at = now(), run_at = NULL
        FROM rung WHERE t.id = rung.task_id AND t.status = 'queued'
        RETURNING {_TAKEN}
    ), {_LEASED}, noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt)
        SELECT organization_id, id, run_id, 'task.claimed', 'queued', 'running', attempt FROM taken
    ), lines AS MATERIALIZED (
        -- Ordered, so that the planner takes the first entry of the index, and never reads a long line. What this very
        -- statement takes off the line is still seen there.
        SELECT own.queue, (SELECT o.task_id FROM outbox o WHERE o.queue = own.queue AND o.published_at IS NULL
            AND o.task_id <> ALL(CAST(:ids AS uuid[])) ORDER BY o.organization_id LIMIT 1) IS NOT NULL AS more
        FROM (SELECT DISTINCT queue FROM taken) AS own
    )
    SELECT taken.*, given.execution_id, now() AS claimed_at, lines.more
    FROM taken JOIN given ON given.task_id = taken.id JOIN lines ON lines.queue = taken.queue
    """
)


def claim(
    conn: Connection,
    ids: Sequence[UUID],
    attempts: Sequence[int],
    executions: Sequence[UUID],
    worker: str,
    lease_seconds: float,
) -> Rows:
    """Take the attempts that are still there to be taken: queued -> running, each with a leased execution.

    ``executions`` are the fresh ids to use, one for each task. ``more`` says that the queue has tasks in line.
    """
    return list(
        conn.execute(
            _CLAIM,
            {
                "ids": list(ids),
                "attempts": list(attempts),
                "executions": list(executions),
                "worker": worker,
                "lease": lease_seconds,
            },
        )
    )


_HAND_OVER = text(
    f"""
    WITH ready AS (
        SELECT t.id FROM tasks t
        WHERE t.id = ANY(CAST(:ids AS uuid[])) AND t.status = 'pending' AND t.kind = 'task' AND t.waiting_on = 0
            -- Which worker has what it needs, the dispatcher knows.
            AND t.resource_requirements IS NULL
            AND (t.expires_at IS NULL OR t.expires_at > statement_timestamp())
            AND NOT EXISTS (SELECT FROM queues q WHERE q.name = t.queue AND q.paused)
            AND (t.run_id IS NULL OR (SELECT r.status FROM runs r WHERE r.id = t.run_id) = 'running')
            -- What is in line or on the way has its turn first.
            AND (SELECT o.task_id FROM outbox o WHERE o.queue = t.queue ORDER BY o.enqueued_at LIMIT 1) IS NULL
        ORDER BY t.id FOR NO KEY UPDATE OF t
    ), taken AS (
        UPDATE tasks t SET status = 'running', attempt = t.attempt + 1, run_at = NULL,
            started_at = coalesce(t.started_at, statement_timestamp()), queued_at = statement_timestamp(),
            updated_at = statement_timestamp()
        FROM ready WHERE t.id = ready.id
        RETURNING {_TAKEN}
    ), {_LEASED}, noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt, created_at)
        SELECT taken.organization_id, taken.id, taken.run_id, move.type, move.source, move.target,
            taken.attempt - move.before, statement_timestamp()
        FROM taken CROSS JOIN (VALUES (1, 'task.queued', 'pending', 'queued', 1),
            (2, 'task.claimed', 'queued', 'running', 0)) AS move(place, type, source, target, before)
        ORDER BY move.place, taken.id
    )
    SELECT taken.*, given.execution_id, statement_timestamp() AS claimed_at
    FROM taken JOIN given ON given.task_id = taken.id
    """
)


def hand_over(
    conn: Connection, ids: Sequence[UUID], executions: Sequence[UUID], worker: str, lease_seconds: float
) -> Rows:
    """Take tasks that may begin now, without a place in line: pending -> queued -> running in one statement.

    Only where nothing else of their queue is in line. Returns rows as :func:`claim` does, but for ``more``.
    """
    params = {"ids": list(ids), "executions": list(executions), "worker": worker, "lease": lease_seconds}
    return list(conn.execute(_HAND_OVER, params))
