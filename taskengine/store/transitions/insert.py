"""New rows: tasks and steps, in the status that each begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from taskengine.store.database import Rows, document

_INSERT = text(
    """
    WITH d AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS d(
            id uuid, organization_id uuid, key text, name text, type text, queue text, status text,
            priority smallint, urgency smallint, light boolean, config json, description text,
            assigned_to_bot boolean, assigned_to text, execution_type text, requires_human_review boolean,
            scheduled_for timestamptz, deadline timestamptz, expires_at timestamptz, max_retries int, retry json,
            timeout_seconds double precision, tags text[], metadata json, resource_requirements json,
            input_schema json, output_schema json, waiting_on int, has_dependents boolean, last_error json,
            created_by text, run_id uuid, group_id uuid, parent_id uuid, sequence_num int, kind text, path text,
            scope_id uuid, gated boolean, run_on text, on_failure text, upstream_bad int, input json,
            expansion_config json, step json, bindings json, announce json)
    ), closed AS MATERIALIZED (
        SELECT name FROM queues WHERE draining AND name IN (SELECT queue FROM d)
    ), new AS (
        INSERT INTO tasks (
            id, organization_id, key, name, type, queue, status, priority, urgency, light, config, description,
            assigned_to_bot, assigned_to, execution_type, requires_human_review, scheduled_for, deadline, expires_at,
            max_retries, retry, timeout_seconds, tags, metadata, resource_requirements, input_schema, output_schema,
            waiting_on, has_dependents, last_error, created_by, run_id, group_id, parent_id, sequence_num, kind, path,
            scope_id, gated, run_on, on_failure, upstream_bad, input, expansion_config, step, bindings, announce,
            triggered, attempt, error_count, lost_count, created_at, updated_at, queued_at, completed_at, run_at)
        SELECT
            id, organization_id, key, name, type, queue, status, priority, urgency, light, config, description,
            assigned_to_bot, assigned_to, execution_type, requires_human_review, scheduled_for, deadline, expires_at,
            max_retries, retry, timeout_seconds, tags, metadata, resource_requirements, input_schema, output_schema,
            waiting_on, has_dependents, last_error, created_by, run_id, group_id, parent_id, sequence_num,
            coalesce(kind, 'task'), path, scope_id, coalesce(gated, false), run_on, on_failure,
            coalesce(upstream_bad, 0), input, expansion_config, step, bindings, announce,
            false, 0, 0, 0, now(), now(), CASE WHEN status = 'queued' THEN now() END,
            CASE WHEN status = 'skipped' THEN now() END, CASE WHEN status = 'deferred' THEN scheduled_for END
        FROM d WHERE NOT EXISTS (SELECT FROM closed)
        RETURNING id, organization_id, run_id, status
    ), noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, to_status, attempt)
        SELECT organization_id, id, run_id, 'task.created', status, 0 FROM new
    ), open AS MATERIALIZED (
        -- A queue may be rung at once while nothing stands in its line, nothing is on the way and it is not paused.
        -- Agents' lines are never rung for: agents lease from the line itself.
        SELECT w.queue, on_the_way, w.tasks <= :at_once AND NOT on_the_way AND w.queue NOT LIKE 'agent:%'
            AND (SELECT o.task_id FROM outbox o WHERE o.queue = w.queue AND o.published_at IS NULL
                ORDER BY o.organization_id LIMIT 1) IS NULL
            AND NOT EXISTS (SELECT FROM queues q WHERE q.name = w.queue AND q.paused) AS free
        FROM (SELECT queue, count(*) AS tasks,
                (SELECT o.task_id FROM outbox o WHERE o.queue = d.queue AND o.published_at IS NOT NULL
                    ORDER BY o.published_at LIMIT 1) IS NOT NULL AS on_the_way
            FROM d WHERE status = 'queued' GROUP BY queue) w
        WHERE NOT EXISTS (SELECT FROM closed)
    ), lined_up AS (
        INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, expires_at,
            needs, enqueued_at, published_at)
        SELECT d.id, d.organization_id, d.queue, d.priority, d.urgency, 1, d.light, d.expires_at,
            d.resource_requirements, now(), CASE WHEN open.free AND d.resource_requirements IS NULL THEN now() END
        FROM d JOIN open USING (queue) WHERE d.status = 'queued'
        RETURNING task_id, queue, priority, published_at IS NOT NULL AS published
    )
    SELECT task_id, queue, priority, published, on_the_way, false AS closed, now() AS stored_at
    FROM lined_up JOIN open USING (queue)
    UNION ALL SELECT NULL, name, NULL, NULL, NULL, true, now() FROM closed
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, false, now()
    """
)


def insert(conn: Connection, rows: Sequence[dict[str, Any]], at_once: int) -> Rows:
    """Store new tasks in the status each row names, with their event and, where queued, their outbox row.

    Returns (task_id, queue, priority, published, on_the_way, closed, stored_at) of the queued ones. ``published``
    ones are the caller's to publish after its commit: at most ``at_once`` of a queue, and only where nothing else is
    under way. The rest stand in line; ``on_the_way`` says that a message is out whose worker will look at the line.
    Where a queue is draining, nothing is stored, and a row with ``closed`` names that queue. One more row, without
    a task, only tells ``stored_at``, which all of them share.
    """
    return list(conn.execute(_INSERT, {"rows": document(rows), "at_once": at_once}))
