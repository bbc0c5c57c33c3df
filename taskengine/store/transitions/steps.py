"""Rows of a run, and of an expansion, let go of one another; steps move without a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.domain.states import MOVES
from taskengine.store.database import Rows, document

_HIT = """
    t.id, t.organization_id, t.queue, t.kind, t.status, t.run_on, t.waiting_on, t.upstream_bad, t.run_id, t.light,
    (t.execution_type = 'manual' AND NOT t.triggered) OR (t.requires_human_review AND t.review IS NULL) AS by_hand,
    t.scheduled_for IS NOT NULL AND t.scheduled_for > statement_timestamp() AND NOT t.triggered AS early,
    coalesce((SELECT r.status = 'paused' FROM runs r WHERE r.id = t.run_id), false) AS run_paused
"""
_COUNT_DOWN = text(
    f"""
    WITH hit AS (
        SELECT d.task_id, count(*) AS n, count(*) FILTER (WHERE u.ended_bad) AS bad
        FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
        WHERE d.depends_on_id = ANY(CAST(:ids AS uuid[])) GROUP BY d.task_id
    ), locked AS (
        -- What has ended already counts anew when it is done again. What has begun no longer waits: this is not the
        -- first end of what it depended on.
        SELECT t.id, hit.n, hit.bad FROM tasks t JOIN hit ON hit.task_id = t.id
        WHERE t.completed_at IS NULL AND t.waiting_on > t.gated::int ORDER BY t.id FOR UPDATE OF t
    )
    UPDATE tasks t SET waiting_on = t.waiting_on - locked.n, upstream_bad = t.upstream_bad + locked.bad,
        updated_at = statement_timestamp()
    FROM locked WHERE t.id = locked.id
    RETURNING {_HIT}
    """
)


def count_down(conn: Connection, ended: Sequence[UUID]) -> Rows:
    """Note for the dependents of ``ended`` that they wait for less; returns how those stand now.

    (id, organization_id, queue, kind, status, run_on, waiting_on, upstream_bad, run_id, light, by_hand, early,
    run_paused).
    """
    return list(conn.execute(_COUNT_DOWN, {"ids": list(ended)}))


_RELEASE = text(
    f"""
    WITH next AS (
        SELECT id FROM tasks
        WHERE scope_id = :parent AND gated AND completed_at IS NULL
        ORDER BY sequence_num LIMIT :limit FOR UPDATE
    )
    UPDATE tasks t SET gated = false, waiting_on = t.waiting_on - 1, updated_at = statement_timestamp()
    FROM next WHERE t.id = next.id
    RETURNING {_HIT}
    """
)


def release(conn: Connection, parent: UUID, limit: int) -> Rows:
    """Let the next rows of a step go, in their order; returns them as :func:`count_down` does. Uses tasks_open_idx."""
    return list(conn.execute(_RELEASE, {"parent": parent, "limit": limit}))


_STANDING = text(f"SELECT {_HIT} FROM tasks t WHERE t.id = ANY(CAST(:ids AS uuid[])) ORDER BY t.id FOR UPDATE")


def standing(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """How rows stand, as :func:`count_down` returns them; locked."""
    return list(conn.execute(_STANDING, {"ids": list(ids)}))


_STEP = text(
    """
    WITH d AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS d(
            id uuid, result json, error json, state json, run_at timestamptz, delay_seconds double precision,
            limit_seconds double precision)
    ), old AS (
        SELECT t.id, t.status FROM tasks t JOIN d ON d.id = t.id
        WHERE t.status = ANY(CAST(:sources AS text[])) AND t.kind <> 'task' ORDER BY t.id FOR UPDATE OF t
    ), moved AS (
        UPDATE tasks t SET status = :target, updated_at = statement_timestamp(),
            started_at = coalesce(t.started_at, statement_timestamp()),
            result = coalesce(d.result, t.result), last_error = coalesce(d.error, t.last_error),
            state = coalesce(d.state, t.state),
            run_at = CASE WHEN NOT :final
                THEN coalesce(d.run_at, statement_timestamp() + make_interval(secs => d.delay_seconds)) END,
            times_out_at = CASE WHEN NOT :final THEN statement_timestamp() + make_interval(secs => d.limit_seconds) END,
            completed_at = CASE WHEN :final THEN statement_timestamp() END
        FROM old JOIN d USING (id) WHERE t.id = old.id
        RETURNING t.*, old.status AS from_status
    ), noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, run_id, :event, from_status, status, attempt,
            CASE WHEN status = 'failed' THEN json_build_object('error', last_error) END FROM moved
    )
    SELECT id, organization_id, queue, status, from_status, completed_at, has_dependents, kind, run_id, scope_id,
        ended_bad, announce IS NOT NULL AS announced
    FROM moved
    """
)


def step(conn: Connection, name: str, rows: Sequence[dict[str, Any]]) -> Rows:
    """Make a named move of steps, each with its own values; returns the moved ones as ``move`` does.

    Each row: id, and where they apply result, error, state, run_at or delay_seconds (when it is due), limit_seconds
    (how long it may take).
    """
    move = MOVES[name]
    params = {
        "rows": document(rows),
        "sources": [status.value for status in move.sources],
        "target": move.target.value,
        "event": move.event,
        "final": move.target.value in {"completed", "failed"},
    }
    return list(conn.execute(_STEP, params))


_SPAWN = text(
    """
    WITH d AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS d(
            id uuid, sequence_num int, name text, path text, bindings json)
    ), new AS (
        INSERT INTO tasks (
            id, organization_id, name, type, queue, status, priority, urgency, light, config, description,
            assigned_to_bot, assigned_to, execution_type, requires_human_review, deadline, expires_at, max_retries,
            retry, timeout_seconds, tags, metadata, resource_requirements, input_schema, output_schema,
            waiting_on, gated, has_dependents, created_by, run_id, group_id, parent_id, scope_id, sequence_num, kind,
            path, bindings, triggered, held, attempt, error_count, lost_count, created_at, updated_at, queued_at)
        SELECT
            d.id, p.organization_id, d.name, p.type, p.queue,
            CASE WHEN d.sequence_num >= :free THEN 'pending' WHEN :paused THEN 'paused' ELSE 'queued' END,
            p.priority, p.urgency, p.light, p.config, p.description,
            p.assigned_to_bot, p.assigned_to, 'automatic', false, p.deadline, p.expires_at, p.max_retries,
            p.retry, p.timeout_seconds, p.tags, p.metadata, p.resource_requirements, p.input_schema, p.output_schema,
            CASE WHEN d.sequence_num >= :free THEN 1 ELSE 0 END, d.sequence_num >= :free, false, p.created_by,
            p.run_id, p.group_id, p.id, p.id, d.sequence_num, 'task', d.path, d.bindings, false,
            :paused AND d.sequence_num < :free, 0, 0, 0, statement_timestamp(), statement_timestamp(),
            CASE WHEN d.sequence_num < :free AND NOT :paused THEN statement_timestamp() END
        FROM d CROSS JOIN tasks p WHERE p.id = :parent
        RETURNING id, organization_id, run_id, status, queue, priority, urgency, light, expires_at,
            resource_requirements
    ), noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, to_status, attempt)
        SELECT organization_id, id, run_id, 'task.created', status, 0 FROM new
    ), lined_up AS (
        INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, expires_at, needs,
            enqueued_at)
        SELECT id, organization_id, queue, priority, urgency, 1, light, expires_at, resource_requirements,
            statement_timestamp()
        FROM new WHERE status = 'queued'
        RETURNING queue
    )
    SELECT DISTINCT queue FROM lined_up
    """
)


def spawn(conn: Connection, parent: UUID, rows: Sequence[dict[str, Any]], *, free: int, paused: bool) -> set[str]:
    """Make children of an expansion, which take after it; returns the queues that have new tasks in line.

    Each row: id, sequence_num, name, path, bindings. Those from ``sequence_num`` ``free`` on wait to be released;
    ``paused`` says that the run is, so that the others wait for that.
    """
    params = {"parent": parent, "rows": document(rows), "free": free, "paused": paused}
    return {row.queue for row in conn.execute(_SPAWN, params)}


_RECOUNT = text(
    """
    UPDATE tasks t SET
        waiting_on = t.gated::int + (SELECT count(*) FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
            WHERE d.task_id = t.id AND u.completed_at IS NULL),
        upstream_bad = (SELECT count(*) FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
            WHERE d.task_id = t.id AND u.ended_bad)
    WHERE t.id = ANY(CAST(:ids AS uuid[]))
    """
)


def recount(conn: Connection, ids: Sequence[UUID]) -> None:
    """Count anew what rows wait for, after others were reset. The caller holds their locks."""
    conn.execute(_RECOUNT, {"ids": list(ids)})
