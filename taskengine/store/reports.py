"""What reports read: counts and percentiles, aggregated in Postgres; no row of the period leaves it.

Attempts come from ``executions_ended_idx`` and tasks from ``tasks_organization_id_id_idx``, which hold every column
that is counted, so that (vacuumed) tables are not read at all. Only errors are: of the newest failures, by
``executions_failed_idx``. A report reads in one snapshot, and no statement of it runs for long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.domain.errors import Unavailable
from taskengine.domain.reporting import Dimension, Period, ReportQuery, ReportType
from taskengine.store.database import Rows
from taskengine.store.tasks import first_id, last_id

MOST_FAILURES = 50_000
"""Errors that are read of one period: the newest."""
_TIMED_OUT = "57014"

_SETTINGS = text(
    """
    SELECT set_config('statement_timeout', :milliseconds, true),
        -- Sorts of a million durations stay in memory.
        set_config('work_mem', '96MB', true),
        -- Workers keep one plan for all values, and what is right for a day is not for a year.
        set_config('plan_cache_mode', 'force_custom_plan', true)
    """
)


def begin(conn: Connection, seconds: float) -> None:
    """Read in one snapshot from here on, no statement longer than ``seconds``. The transaction's first statement."""
    conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    conn.execute(_SETTINGS, {"milliseconds": str(int(seconds * 1000))})


def took_too_long(error: Unavailable) -> bool:
    """Whether a statement was ended because of the time given to :func:`begin`."""
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) == _TIMED_OUT


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a report's rows come from: columns ``at``, ``status``, ``type``, ``queue``, ``seconds`` and its own, in a
    query that ends in its WHERE; and what is counted of them.
    """

    rows: str
    task: str
    figures: str


_TASKS = _Source(
    """
    SELECT t.id, t.created_at AS at, t.status, t.type, t.queue, t.error_count,
        CASE WHEN t.status = 'completed' THEN date_part('epoch', t.completed_at - t.created_at) END AS seconds
    FROM tasks t
    WHERE t.organization_id = :organization_id AND t.id >= :first AND t.id < :last
        AND t.created_at >= :start AND t.created_at < :end AND t.kind = 'task'
    """,
    "t.id",
    """
    count(*) AS total,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE status = 'skipped') AS skipped,
    count(*) FILTER (WHERE status NOT IN ('completed', 'failed', 'cancelled', 'skipped')) AS open,
    -- The last attempt of one that failed was followed by none.
    coalesce(sum(greatest(error_count - CASE status WHEN 'failed' THEN 1 ELSE 0 END, 0)), 0) AS retries,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS percentiles
    """,
)
_ATTEMPTS = """
    SELECT e.task_id AS id, e.ended_at AS at, e.status, e.type, e.queue, e.attempt,
        date_part('epoch', e.ended_at - e.started_at) AS seconds, {wait} AS wait
    FROM executions e
    WHERE e.organization_id = :organization_id AND e.ended_at >= :start AND e.ended_at < :end
    """
_EXECUTIONS = _Source(
    _ATTEMPTS.format(wait="NULL"),
    "e.task_id",
    """
    count(*) AS total,
    count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'timed_out') AS timed_out,
    count(*) FILTER (WHERE status = 'lost') AS lost,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE attempt > 1) AS retries,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS percentiles
    """,
)
_PERFORMANCE = _Source(
    # What was handed over began before anybody could count its wait: it has none.
    _ATTEMPTS.format(wait="date_part('epoch', greatest(e.started_at - e.queued_at, interval '0'))"),
    "e.task_id",
    """
    count(*) AS total,
    count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE status IN ('failed', 'timed_out', 'lost')) AS failed,
    coalesce(sum(seconds), 0) AS busy_seconds, avg(seconds) AS mean_seconds, max(seconds) AS max_seconds,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS percentiles,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY wait) AS waits
    """,
)
_DELIVERIES = _Source(
    """
    SELECT d.id, d.created_at AS at, d.status, d.channel AS type, NULL AS queue, d.attempt,
        CASE WHEN d.status = 'delivered' THEN date_part('epoch', d.completed_at - d.created_at) END AS seconds
    FROM deliveries d
    WHERE d.organization_id = :organization_id AND d.id >= :first AND d.id < :last
        AND d.created_at >= :start AND d.created_at < :end
    """,
    "d.task_id",
    """
    count(*) AS total,
    count(*) FILTER (WHERE status = 'delivered') AS delivered,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status IN ('pending', 'sending')) AS open,
    coalesce(sum(attempt), 0) AS attempts,
    coalesce(sum(greatest(attempt - 1, 0)), 0) AS retries,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS percentiles
    """,
)
_SOURCES: Mapping[ReportType, _Source] = {
    "task_summary": _TASKS,
    "execution_stats": _EXECUTIONS,
    "performance": _PERFORMANCE,
    "webhook_activity": _DELIVERIES,
}
_KEYS: Mapping[Dimension, str] = {
    "day": "(at AT TIME ZONE :zone)::date",
    "type": "type",
    "status": "status",
    "queue": "queue",
}


def _filters(query: ReportQuery, source: _Source) -> str:
    """Narrower than the period. A tag is looked up in its own index; tasks that carry it are few."""
    alias = source.task[0]
    column = "channel" if source is _DELIVERIES else "type"
    found = f" AND {alias}.{column} = :task_type" if query.task_type is not None else ""
    if query.queue is not None:
        found += f" AND {alias}.queue = :queue"
    if query.tag is not None:
        found += (
            f" AND {source.task} IN (SELECT tagged.id FROM tasks tagged WHERE tagged.organization_id ="
            " :organization_id AND tagged.tags @> ARRAY[:tag] AND tagged.tags <> '{}')"
        )
    return found


def _values(query: ReportQuery, organization_id: UUID, period: Period) -> dict[str, Any]:
    values: dict[str, Any] = {"organization_id": organization_id, "start": period.start, "end": period.end}
    given = {"task_type": query.task_type, "queue": query.queue, "tag": query.tag}
    values |= {name: value for name, value in given.items() if value is not None}
    if _SOURCES[query.type] in (_TASKS, _DELIVERIES):
        values |= {"first": first_id(period.start), "last": last_id(period.end)}
    return values


def totals(conn: Connection, query: ReportQuery, organization_id: UUID, period: Period) -> Any:
    """One row: the figures of a period."""
    source = _SOURCES[query.type]
    statement = f"SELECT {source.figures} FROM ({source.rows} {_filters(query, source)}) AS found"
    return conn.execute(text(statement), _values(query, organization_id, period)).one()


def groups(conn: Connection, query: ReportQuery, organization_id: UUID, by: Dimension) -> Rows:
    """The figures of each ``name``, the largest first; days are all there, the latest first. ``names`` is how many
    there are, listed or not.
    """
    statement, values = _grouped(query, organization_id, by)
    return list(conn.execute(text(statement), values))


def plan(conn: Connection, query: ReportQuery, organization_id: UUID, by: Dimension) -> list[str]:
    """How Postgres would find what :func:`groups` asks for."""
    statement, values = _grouped(query, organization_id, by)
    return [str(row[0]) for row in conn.execute(text(f"EXPLAIN {statement}"), values)]


def _grouped(query: ReportQuery, organization_id: UUID, by: Dimension) -> tuple[str, dict[str, Any]]:
    source = _SOURCES[query.type]
    statement = f"""
        SELECT {_KEYS[by]} AS name, {source.figures}, count(*) OVER () AS names
        FROM ({source.rows} {_filters(query, source)}) AS found
        GROUP BY 1 ORDER BY {"1 DESC" if by == "day" else "total DESC, 1"} LIMIT :top
        """
    values = _values(query, organization_id, query.period) | {"top": None if by == "day" else query.top}
    return statement, values | ({"zone": query.period.zone} if by == "day" else {})


_FAILED: Mapping[ReportType, str] = {
    "task_summary": """
        SELECT t.id, t.completed_at AS at, t.last_error AS error FROM tasks t
        WHERE t.organization_id = :organization_id AND t.status = 'failed' AND t.id >= :first AND t.id < :last
            AND t.created_at >= :start AND t.created_at < :end AND t.kind = 'task' {filters}
        ORDER BY t.id DESC LIMIT :most
        """,
    "webhook_activity": """
        SELECT d.id, d.completed_at AS at, d.last_error AS error FROM deliveries d
        WHERE d.organization_id = :organization_id AND d.status = 'failed' AND d.id >= :first AND d.id < :last
            AND d.created_at >= :start AND d.created_at < :end {filters}
        ORDER BY d.id DESC LIMIT :most
        """,
}
_FAILED_ATTEMPTS = """
    SELECT e.task_id AS id, e.ended_at AS at, e.error FROM executions e
    WHERE e.organization_id = :organization_id AND e.ended_at >= :start AND e.ended_at < :end
        AND e.status IN ('failed', 'timed_out', 'lost') {filters}
    ORDER BY e.ended_at DESC LIMIT :most
    """
_FINGERPRINTS = """
    WITH newest AS MATERIALIZED ({failed}), told AS (
        SELECT id, at, left(coalesce(error ->> 'code', 'unknown'), 100) AS code,
            left(coalesce(error ->> 'message', ''), 300) AS message
        FROM newest
    ), alike AS (
        SELECT id, at, code,
            regexp_replace(regexp_replace(regexp_replace(regexp_replace(message,
                '\\m[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}\\M', '<id>', 'g'),
                '"[^"]*"|''[^'']*''', '<text>', 'g'),
                '\\m(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{{8,}}\\M', '<id>', 'g'),
                '[0-9]+([.,:][0-9]+)*', '<n>', 'g') AS message
        FROM told
    )
    SELECT code, message, count(*) AS times, max(at) AS last_at, (array_agg(id ORDER BY at DESC, id))[1] AS sample_id,
        sum(count(*)) OVER () AS read
    FROM alike GROUP BY code, message ORDER BY times DESC, code, message LIMIT :top
    """


def failures(conn: Connection, query: ReportQuery, organization_id: UUID) -> Rows:
    """The most frequent kinds of failure among the newest ``MOST_FAILURES``; ``read`` is how many were looked at.

    Two failures are of one kind when code and message agree but for ids, numbers and what stands in quotes.
    """
    failed = _FAILED.get(query.type, _FAILED_ATTEMPTS).format(filters=_filters(query, _SOURCES[query.type]))
    values = _values(query, organization_id, query.period) | {"most": MOST_FAILURES, "top": query.top}
    return list(conn.execute(text(_FINGERPRINTS.format(failed=failed)), values))


def slowest(conn: Connection, query: ReportQuery, organization_id: UUID) -> Rows:
    """The rows that took longest, with the names of their tasks."""
    source = _SOURCES[query.type]
    statement = f"""
        SELECT found.*, t.name FROM (
            SELECT id, type, queue, status, seconds, at FROM ({source.rows} {_filters(query, source)}) AS rows
            WHERE seconds IS NOT NULL ORDER BY seconds DESC, id LIMIT :top
        ) AS found JOIN tasks t ON t.id = found.id ORDER BY seconds DESC, id
        """
    values = _values(query, organization_id, query.period) | {"top": query.top}
    return list(conn.execute(text(statement), values))


_OPEN = text(
    """
    SELECT wanted.status, (
        -- Counted up to a bound: a line of millions is as good as one of a hundred thousand here.
        SELECT count(*) FROM (
            SELECT FROM tasks t WHERE t.organization_id = :organization_id AND t.status = wanted.status LIMIT :most
        ) AS counted) AS found
    FROM unnest(CAST(:statuses AS text[])) AS wanted(status)
    """
)


def open_tasks(conn: Connection, organization_id: UUID, statuses: list[str], most: int) -> dict[str, int]:
    """How many tasks and steps stand in each status, counted up to ``most``. Uses the index by status."""
    rows = conn.execute(_OPEN, {"organization_id": organization_id, "statuses": statuses, "most": most})
    return {row.status: row.found for row in rows}
