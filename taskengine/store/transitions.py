"""The only place that writes a status column.

Every function makes a move of ``domain.states.MOVES``: one statement that changes the status only where the
move's source states hold, and writes the event row with it. It returns the rows that moved; a row that is missing
was lost to somebody else, and the caller must not act on it.

Lock order, everywhere: outbox, executions, tasks by id, dependents by id. Doubtful rows are locked in id order,
so that two statements over the same tasks wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, TextClause, text

from taskengine.domain.states import MOVES, Move, TaskStatus
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
            created_by text)
    ), closed AS MATERIALIZED (
        SELECT name FROM queues WHERE draining AND name IN (SELECT queue FROM d)
    ), new AS (
        INSERT INTO tasks (
            id, organization_id, key, name, type, queue, status, priority, urgency, light, config, description,
            assigned_to_bot, assigned_to, execution_type, requires_human_review, scheduled_for, deadline, expires_at,
            max_retries, retry, timeout_seconds, tags, metadata, resource_requirements, input_schema, output_schema,
            waiting_on, has_dependents, last_error, created_by, triggered, attempt, error_count, lost_count,
            created_at, updated_at, queued_at, completed_at, run_at)
        SELECT
            id, organization_id, key, name, type, queue, status, priority, urgency, light, config, description,
            assigned_to_bot, assigned_to, execution_type, requires_human_review, scheduled_for, deadline, expires_at,
            max_retries, retry, timeout_seconds, tags, metadata, resource_requirements, input_schema, output_schema,
            waiting_on, has_dependents, last_error, created_by, false, 0, 0, 0,
            now(), now(), CASE WHEN status = 'queued' THEN now() END,
            CASE WHEN status = 'skipped' THEN now() END, CASE WHEN status = 'deferred' THEN scheduled_for END
        FROM d WHERE NOT EXISTS (SELECT FROM closed)
        RETURNING id, organization_id, status
    ), noted AS (
        INSERT INTO events (organization_id, task_id, type, to_status, attempt)
        SELECT organization_id, id, 'task.created', status, 0 FROM new
    ), open AS MATERIALIZED (
        -- A queue may be rung at once while nothing stands in its line, nothing is on the way and it is not paused.
        SELECT w.queue, on_the_way, w.tasks <= :at_once AND NOT on_the_way
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
            enqueued_at, published_at)
        SELECT d.id, d.organization_id, d.queue, d.priority, d.urgency, 1, d.light, d.expires_at, now(),
            CASE WHEN open.free THEN now() END
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


_CLAIM = text(
    """
    WITH settings AS MATERIALIZED (
        -- A claim that a crash of Postgres forgets is only made again, so it need not wait for the disk. The
        -- finish is fenced by the execution's id, which then does not exist.
        SELECT set_config('synchronous_commit', 'off', true)
    ), rung AS (
        DELETE FROM outbox WHERE task_id IN (
            SELECT o.task_id FROM settings, outbox o
            JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS m(id, attempt)
                ON o.task_id = m.id AND o.attempt = m.attempt
            JOIN tasks t ON t.id = o.task_id
            WHERE (o.expires_at IS NULL OR o.expires_at > now())
                AND NOT EXISTS (SELECT FROM queues q WHERE q.name = o.queue AND q.paused)
            ORDER BY o.task_id
            -- A double of this message finds the rows locked and leaves them. A new dependent's lock on the task is
            -- waited for, in the order of ids.
            FOR UPDATE OF o SKIP LOCKED FOR NO KEY UPDATE OF t)
        RETURNING task_id
    ), taken AS (
        UPDATE tasks t SET status = 'running', attempt = t.attempt + 1, started_at = coalesce(t.started_at, now()),
            updated_at = now(), run_at = NULL
        FROM rung WHERE t.id = rung.task_id AND t.status = 'queued'
        RETURNING t.id, t.organization_id, t.type, t.queue, t.config, t.attempt, t.error_count, t.max_retries,
            t.retry, t.timeout_seconds, t.input_schema, t.output_schema
    ), given AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:executions AS uuid[])) AS g(task_id, execution_id)
    ), leased AS (
        INSERT INTO executions (id, organization_id, task_id, attempt, status, queue, worker, started_at, lease_until)
        SELECT given.execution_id, taken.organization_id, taken.id, taken.attempt, 'running', taken.queue, :worker,
            now(), now() + make_interval(secs => :lease)
        FROM taken JOIN given ON given.task_id = taken.id
    ), noted AS (
        INSERT INTO events (organization_id, task_id, type, from_status, to_status, attempt)
        SELECT organization_id, id, 'task.claimed', 'queued', 'running', attempt FROM taken
    )
    SELECT taken.*, given.execution_id, now() AS claimed_at,
        -- Ordered, so that the planner takes the first entry of the index, and never reads a long line.
        (SELECT o.task_id FROM outbox o WHERE o.queue = taken.queue AND o.published_at IS NULL
            ORDER BY o.organization_id LIMIT 1) IS NOT NULL AS more
    FROM taken JOIN given ON given.task_id = taken.id
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


_FINISH = text(
    """
    WITH d AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS d(
            execution_id uuid, task_id uuid, execution_status text, status text, event text, result json, error json,
            delay_seconds double precision, failed int, dead boolean)
    ), locked AS (
        SELECT e.id FROM executions e JOIN d ON d.execution_id = e.id JOIN tasks t ON t.id = e.task_id
        WHERE e.status = 'running' AND NOT (:alone AND t.has_dependents)
        ORDER BY t.id FOR NO KEY UPDATE OF e, t
    ), ended AS (
        UPDATE executions e SET status = d.execution_status, ended_at = now(), lease_until = NULL, error = d.error
        FROM d JOIN locked ON locked.id = d.execution_id WHERE e.id = d.execution_id
        RETURNING e.id, e.task_id
    ), moved AS (
        -- Whoever asked for a cancel that came too late for this attempt gets no other attempt.
        UPDATE tasks t SET result = d.result,
            status = CASE WHEN d.status = 'retrying' AND t.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE d.status END,
            last_error = coalesce(d.error, t.last_error), error_count = t.error_count + d.failed, updated_at = now(),
            run_at = CASE WHEN t.cancel_requested_at IS NULL THEN now() + make_interval(secs => d.delay_seconds) END,
            completed_at = CASE WHEN d.status <> 'retrying' OR t.cancel_requested_at IS NOT NULL THEN now() END
        FROM ended JOIN d ON d.execution_id = ended.id
        WHERE t.id = ended.task_id AND t.status = 'running'
        RETURNING t.id, t.organization_id, t.type, t.queue, t.attempt, t.status, t.started_at, t.updated_at,
            t.completed_at, t.error_count, t.last_error, t.cancel_requested_at, t.cancel_reason, t.has_dependents,
            CASE t.status WHEN 'cancelled' THEN 'task.cancelled' ELSE d.event END AS event, d.dead,
            d.error, d.execution_id
    ), noted AS (
        INSERT INTO events (organization_id, task_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, event, 'running', status, attempt,
            CASE WHEN error IS NOT NULL THEN json_build_object('error', error) END FROM moved
    ), buried AS (
        INSERT INTO dead_letters (id, organization_id, task_id, type, queue, code, error, attempts)
        SELECT execution_id, organization_id, id, type, queue, error ->> 'code', error, attempt
        FROM moved WHERE dead
    )
    SELECT id, organization_id, queue, status, attempt, error_count, last_error, started_at, updated_at, completed_at,
        cancel_requested_at, cancel_reason, has_dependents,
        (SELECT o.task_id FROM outbox o WHERE o.queue = moved.queue AND o.published_at IS NULL
            ORDER BY o.organization_id LIMIT 1) IS NOT NULL AS more
    FROM moved
    """
)


def finish(conn: Connection, rows: Sequence[dict[str, Any]], *, alone: bool) -> Rows:
    """End attempts, and move their tasks, where the attempt still holds its task (fencing by execution id).

    Each row: execution_id, task_id, execution_status, status, event, result, error, delay_seconds, failed (1 when
    it counts against the retries), dead (leaves a dead letter). Rows that come back were recorded.
    ``more`` says that the queue has tasks in line. ``alone`` says that no other statement will follow in this
    transaction: tasks that others depend on are left.
    """
    return list(conn.execute(_FINISH, {"rows": document(rows), "alone": alone}))


def finish_row(move: Move, **values: Any) -> dict[str, Any]:
    """A row for :func:`finish`; the move must be one that leaves ``running``."""
    return {
        "status": move.target.value,
        "event": move.event,
        "delay_seconds": None,
        "failed": 0,
        "dead": False,
    } | values


_MOVE = """
    WITH old AS (
        SELECT id, status FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = ANY(CAST(:sources AS text[])) {condition}
        ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE tasks t SET status = :target, updated_at = now() {sets}
        FROM old WHERE t.id = old.id
        RETURNING t.*, old.status AS from_status
    ), ring AS (
        {outbox}
    ), noted AS (
        INSERT INTO events (organization_id, task_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, :event, from_status, status, attempt, CAST(:data AS json) FROM moved
    )
    SELECT id, organization_id, queue, status, from_status, completed_at, has_dependents FROM moved
"""
_UNRING = "DELETE FROM outbox WHERE task_id IN (SELECT id FROM old)"
_RING = """
    INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, expires_at,
        enqueued_at)
    SELECT id, organization_id, queue, priority, urgency, attempt + 1, light AND lost_count = 0,
        CASE WHEN started_at IS NULL THEN expires_at END, now()
    FROM {source} ON CONFLICT (task_id) DO UPDATE SET queue = excluded.queue, attempt = excluded.attempt,
        light = excluded.light, expires_at = excluded.expires_at, enqueued_at = now(), published_at = NULL
"""


def _statement(sets: str, *, rings: bool, condition: str = "") -> TextClause:
    outbox = _RING.format(source="moved") if rings else _UNRING
    return text(_MOVE.format(sets=sets, condition=condition, outbox=outbox))


_ENDED = ", completed_at = now(), run_at = NULL"
_QUEUED = ", queued_at = now(), run_at = NULL"
_AFRESH = (
    ", completed_at = NULL, result = NULL, error_count = 0, lost_count = 0, cancel_requested_at = NULL,"
    " cancel_reason = NULL, expires_at = CASE WHEN expires_at > now() THEN expires_at END"
)
_STATEMENTS: dict[str, TextClause] = {
    "queued": _statement(_QUEUED, rings=True, condition="AND waiting_on = 0"),
    "deferred": _statement(", run_at = scheduled_for", rings=False, condition="AND waiting_on = 0"),
    "triggered": _statement(_QUEUED + ", triggered = true", rings=True),
    "retried": _statement(_QUEUED + _AFRESH, rings=True),
    "retried_pending": _statement(_AFRESH + ", review = NULL", rings=False),
    "retried_deferred": _statement(_AFRESH + ", run_at = scheduled_for", rings=False),
    "redriven": _statement(_QUEUED + _AFRESH, rings=True),
    "cancelled": _statement(
        _ENDED + ", cancel_requested_at = coalesce(cancel_requested_at, now()), cancel_reason = :reason", rings=False
    ),
    "rejected": _statement(_ENDED + ", cancel_reason = :reason, review = CAST(:data AS json)", rings=False),
    "expired": _statement(
        _ENDED + ", last_error = CAST(:data AS json)",
        rings=False,
        condition="AND started_at IS NULL AND expires_at <= now()",
    ),
    "skipped": _statement(_ENDED + ", last_error = CAST(:data AS json)", rings=False),
    "paused": _statement("", rings=False),
    "resumed": _statement(_QUEUED, rings=True),
    "resumed_pending": _statement("", rings=False),
    "resumed_deferred": _statement(", run_at = scheduled_for", rings=False),
    "resumed_retrying": _statement("", rings=False),
}
# Another transaction may have queued such a task after the statement above took its snapshot, which then does not
# show the new place in line. A place that a claim holds is about to go anyway.
_SWEEP = text(
    """
    DELETE FROM outbox WHERE task_id IN (
        SELECT task_id FROM outbox WHERE task_id = ANY(CAST(:ids AS uuid[])) ORDER BY task_id FOR UPDATE SKIP LOCKED)
    """
)
# A running task that is cancelled ends through its attempt, never here.
_EXCLUDED = frozenset({"running"})


def move(
    conn: Connection,
    name: str,
    ids: Sequence[UUID],
    *,
    data: dict[str, Any] | None = None,
    reason: str | None = None,
) -> Rows:
    """Make a named move for those of ``ids`` that stand in one of its source states.

    Returns (id, organization_id, queue, status, from_status, completed_at, has_dependents) of the moved ones.
    ``data`` goes into the event. Moves into ``queued`` write the outbox row, moves out of it take it away.
    """
    step = MOVES[name]
    params: dict[str, Any] = {
        "ids": list(ids),
        "sources": [status.value for status in step.sources if status.value not in _EXCLUDED],
        "target": step.target.value,
        "event": step.event,
        "data": orjson.dumps(data).decode() if data is not None else None,
    }
    statement = _STATEMENTS[name]
    if ":reason" in statement.text:
        params["reason"] = reason
    moved = list(conn.execute(statement, params))
    if moved and step.target is not TaskStatus.queued:
        conn.execute(_SWEEP, {"ids": [row.id for row in moved]})
    return moved


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
        INSERT INTO events (organization_id, task_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, CASE status WHEN 'queued' THEN 'task.lost' ELSE 'task.' || status END, 'running',
            status, attempt, json_build_object('error', CAST(:error AS json)) FROM moved
    ), buried AS (
        INSERT INTO dead_letters (id, organization_id, task_id, type, queue, code, error, attempts)
        SELECT execution_id, organization_id, id, type, queue, 'worker_lost', CAST(:error AS json), attempt
        FROM moved WHERE status = 'failed'
    ), enqueued AS ("""
    + _RING.format(source="moved WHERE status = 'queued'")
    + """)
    SELECT id, organization_id, queue, status, completed_at, has_dependents FROM moved
    """
)


def lose(conn: Connection, *, lost_limit: int, error: dict[str, Any], limit: int = 1000) -> Rows:
    """End attempts whose lease ran out; their tasks queue again, or end if cancelled or lost too often.

    Uses executions_lease_idx. The attempt that wakes up later finds its execution ended and cannot write.
    """
    params = {"lost_limit": lost_limit, "error": orjson.dumps(error).decode(), "limit": limit}
    return list(conn.execute(_LOSE, params))


_COUNT_DOWN = text(
    """
    WITH hit AS (
        SELECT task_id, count(*) AS n FROM task_dependencies WHERE depends_on_id = ANY(CAST(:ids AS uuid[]))
        GROUP BY task_id
    ), locked AS (
        SELECT t.id, hit.n FROM tasks t JOIN hit ON hit.task_id = t.id ORDER BY t.id FOR UPDATE OF t
    )
    UPDATE tasks t SET waiting_on = t.waiting_on - locked.n, updated_at = now()
    FROM locked WHERE t.id = locked.id
    RETURNING t.id, t.queue, t.status, t.waiting_on,
        t.status = 'pending' AND t.waiting_on = 0 AND (t.execution_type <> 'manual' OR t.triggered)
            AND (NOT t.requires_human_review OR t.review IS NOT NULL) AS ready,
        t.scheduled_for IS NOT NULL AND t.scheduled_for > now() AND NOT t.triggered AS early
    """
)


def count_down(conn: Connection, completed: Sequence[UUID]) -> Rows:
    """Note for the dependents of ``completed`` that they wait for one less; tells which became ``ready``."""
    return list(conn.execute(_COUNT_DOWN, {"ids": list(completed)}))
