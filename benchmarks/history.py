"""A history of any size, made in the database itself: tasks over a period, each with its attempts and a message.

For trying out what reads much of it. The same seed gives the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class History:
    """How much, of whom, and when: tasks are created evenly from ``start`` on, over ``days``."""

    organization_id: UUID
    tasks: int
    start: datetime
    days: float
    seed: float = 0.5


_SEED = text("SELECT setseed(:seed)")
_DRAWN = text(
    """
    CREATE TEMP TABLE drawn ON COMMIT DROP AS
    SELECT n, chance, kinds.*, created, created + make_interval(secs => -ln(1 - wait) * 2) AS queued_to_start,
        -ln(1 - luck) AS spread, luck,
        CASE WHEN tries < 0.88 THEN 1 WHEN tries < 0.96 THEN 2 ELSE 3 END AS attempts,
        CASE WHEN chance < 0.935 THEN 'completed' WHEN chance < 0.98 THEN 'failed' ELSE 'cancelled' END AS status,
        json_build_object('code', (ARRAY['http_status', 'http_timeout', 'http_connection', 'not_found'])[1 + n % 4],
            'message', (ARRAY[
                'https://api.example.com/v1/orders/' || n || ' answered 503',
                'no complete answer from 10.0.' || n % 8 || '.' || n % 200 || ' within 30.0 s',
                'connection to "shop-' || n % 900 || '.example.com" was reset',
                'there is no record 018f' || lpad(to_hex(n), 4, '0') || '-7b3e-7c4d-8e5f-a1b2c3d4e5f6'
            ])[1 + n % 4], 'details', json_build_object('number', n)) AS error
    FROM (
        SELECT n, random() AS chance, random() AS kind, random() AS wait, random() AS luck, random() AS tries,
            CAST(:start AS timestamptz) + make_interval(secs => (n - 1 + random()) * :days * 86400 / :tasks) AS created
        FROM generate_series(1, CAST(:tasks AS int)) AS n
    ) AS draw
    JOIN (VALUES
        (0.00, 0.40, 'api_call', 'integration', 0.4), (0.40, 0.60, 'data_extraction', 'browser', 9),
        (0.60, 0.72, 'browser_automation', 'browser', 25), (0.72, 0.84, 'notification', 'integration', 0.2),
        (0.84, 0.92, 'script', 'automation', 3), (0.92, 0.97, 'ghl_action', 'integration', 0.8),
        (0.97, 1.00, 'report_generation', 'reporting', 5)
    ) AS kinds (low, high, type, queue, seconds) ON kind >= low AND kind < high
    """
)
_TASKS = text(
    """
    INSERT INTO tasks (id, organization_id, name, type, queue, status, priority, urgency, light, config,
        assigned_to_bot, execution_type, requires_human_review, max_retries, retry, tags, metadata, triggered,
        waiting_on, has_dependents, attempt, error_count, lost_count, created_by, created_at, updated_at, queued_at,
        started_at, completed_at, last_error, result)
    SELECT
        -- UUIDv7: 48 bits of milliseconds, then the number.
        (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || '7000' || '8000'
            || lpad(to_hex(n), 12, '0'))::uuid,
        :organization_id, type || ' ' || n, type, queue, status, 2, 0, true, '{"apiEndpoint": "https://example.com"}',
        true, 'automatic', false, 3, '{}', CASE WHEN n % 50 = 0 THEN ARRAY['nightly'] ELSE ARRAY[]::text[] END, '{}',
        false, 0, false, attempts, CASE status WHEN 'failed' THEN attempts ELSE attempts - 1 END, 0, 'history',
        created, created, created, queued_to_start,
        queued_to_start + make_interval(secs => (attempts - 1) * 40 + seconds * (0.2 + spread)),
        CASE status WHEN 'failed' THEN error END, '{}'
    FROM drawn
    """
)
_EXECUTIONS = text(
    """
    INSERT INTO executions (id, organization_id, task_id, attempt, status, type, queue, worker, queued_at, started_at,
        ended_at, error)
    SELECT (lpad(to_hex((extract(epoch FROM started_at) * 1000)::bigint), 12, '0') || '7'
            || lpad(to_hex(attempt), 3, '0') || '9000' || lpad(to_hex(n), 12, '0'))::uuid,
        :organization_id,
        (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || '7000' || '8000'
            || lpad(to_hex(n), 12, '0'))::uuid,
        attempt, ended, type, queue, queue || '@host-' || n % 4, queued_at, started_at, ended_at,
        CASE ended
            WHEN 'succeeded' THEN NULL
            WHEN 'failed' THEN error
            WHEN 'timed_out' THEN json_build_object('code', 'timeout', 'message', 'the time limit of 300 s passed')
            WHEN 'lost' THEN json_build_object('code', 'worker_lost', 'message', 'the worker fell silent')
            ELSE json_build_object('code', 'cancelled', 'message', 'no longer needed')
        END
    FROM (
        SELECT drawn.*, attempt, created + make_interval(secs => (attempt - 1) * 40) AS queued_at,
            queued_to_start + make_interval(secs => (attempt - 1) * 40) AS started_at,
            queued_to_start + make_interval(secs => (attempt - 1) * 40 + seconds * (0.2 + spread)) AS ended_at,
            CASE WHEN attempt = attempts THEN CASE status WHEN 'completed' THEN 'succeeded' ELSE status END
                WHEN luck < 0.1 THEN 'timed_out' WHEN luck < 0.15 THEN 'lost' ELSE 'failed' END AS ended
        FROM drawn CROSS JOIN LATERAL generate_series(1, attempts) AS attempt
    ) AS tried
    """
)
_DELIVERIES = text(
    """
    INSERT INTO deliveries (id, organization_id, task_id, type, channel, recipient, address, target, payload,
        dedupe_key, status, attempt, max_attempts, attempts, last_error, created_at, updated_at, completed_at)
    SELECT (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || '7000' || 'a000'
            || lpad(to_hex(n), 12, '0'))::uuid,
        :organization_id,
        (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || '7000' || '8000'
            || lpad(to_hex(n), 12, '0'))::uuid,
        'task.completed', (ARRAY['webhook', 'webhook', 'email', 'slack'])[1 + n % 4], 'owner', 'https://example.com/***',
        '', '{}', :organization_id || ':' || created || ':' || n,
        CASE WHEN luck < 0.03 THEN 'failed' ELSE 'delivered' END, attempts, 8, '[]',
        CASE WHEN luck < 0.03 THEN json_build_object('code', 'http_status', 'message', 'answered ' || 500 + n % 4) END,
        created, created, created + make_interval(secs => attempts * spread)
    FROM drawn
    """
)


def make(conn: Connection, history: History) -> int:
    """Write it, in one transaction; returns the number of executions."""
    values = {"tasks": history.tasks, "start": history.start, "days": history.days}
    conn.execute(_SEED, {"seed": history.seed})
    conn.execute(_DRAWN, values)
    conn.execute(_TASKS, {"organization_id": history.organization_id})
    conn.execute(_DELIVERIES, {"organization_id": history.organization_id})
    made = conn.execute(_EXECUTIONS, {"organization_id": history.organization_id}).rowcount
    conn.execute(text("DROP TABLE drawn"))
    return made
