"""Attempts: leases, and what they leave behind (logs, steps, artifacts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from taskengine.store.database import Rows, document, in_json
from taskengine.store.tables import artifacts, execution_logs, executions, steps, tasks

_RENEW = text(
    """
    WITH held AS (
        -- In the order in which a finish of the same pack locks them.
        SELECT id FROM executions WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'running'
        ORDER BY task_id FOR UPDATE
    )
    UPDATE executions e SET lease_until = now() + make_interval(secs => :lease)
    FROM held WHERE e.id = held.id AND e.status = 'running' RETURNING e.id
    """
)


def renew(conn: Connection, ids: Sequence[UUID], lease_seconds: float) -> set[UUID]:
    """Extend leases; an id that does not come back was lost to the reconciler."""
    return {row.id for row in conn.execute(_RENEW, {"ids": list(ids), "lease": lease_seconds})}


_PROGRESS = text("UPDATE executions SET progress = CAST(:progress AS json) WHERE id = :id AND status = 'running'")


def set_progress(conn: Connection, execution_id: UUID, progress: dict[str, Any]) -> None:
    """Store how far a running attempt is."""
    conn.execute(_PROGRESS, {"id": execution_id, "progress": in_json(progress)})


_LOGS = text(
    """
    INSERT INTO execution_logs (execution_id, sequence, at, level, message, fields)
    SELECT d.execution_id, d.sequence, d.at, d.level, d.message, d.fields FROM json_to_recordset(CAST(:rows AS json))
        AS d(execution_id uuid, sequence int, at timestamptz, level text, message text, fields json)
        -- A claim that a crash of Postgres forgot left no execution to hang lines on.
        JOIN executions e ON e.id = d.execution_id
    -- The commit before may have landed although its answer was lost.
    ON CONFLICT DO NOTHING
    """
)
_STEPS = text(
    """
    INSERT INTO steps (execution_id, sequence, name, type, status, started_at, ended_at, result, error, files)
    SELECT d.execution_id, d.sequence, d.name, d.type, d.status, d.started_at, d.ended_at, d.result, d.error, d.files
    FROM json_to_recordset(CAST(:rows AS json)) AS d(execution_id uuid, sequence int, name text, type text,
        status text, started_at timestamptz, ended_at timestamptz, result json, error json,
        files json)
        JOIN executions e ON e.id = d.execution_id
    ON CONFLICT DO NOTHING
    """
)


def add_logs(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Append log lines: execution_id, sequence, at, level, message, fields."""
    if rows:
        conn.execute(_LOGS, {"rows": document(rows)})


def add_steps(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Append steps: execution_id, sequence, name, type, status, started_at, ended_at, result, error, files."""
    if rows:
        conn.execute(_STEPS, {"rows": document(rows)})


def add_artifact(conn: Connection, values: dict[str, Any]) -> None:
    """Record a file that lies in the artifact folder already."""
    conn.execute(insert(artifacts).values(**values))


_SHOWN = (
    *(column for column in executions.c if column.name not in {"organization_id", "lease_until"}),
    (tasks.c.result.label("output")),
    tasks.c.status.label("task_status"),
    tasks.c.attempt.label("last_attempt"),
)
_BASE = select(*_SHOWN).join(tasks, tasks.c.id == executions.c.task_id)


def listing(conn: Connection, task_id: UUID, after: int | None, limit: int) -> Rows:
    """A task's attempts, newest first, below attempt number ``after``."""
    query = _BASE.where(executions.c.task_id == task_id)
    if after is not None:
        query = query.where(executions.c.attempt < after)
    return list(conn.execute(query.order_by(executions.c.attempt.desc()).limit(limit)))


def get(conn: Connection, organization_id: UUID, execution_id: UUID) -> Any | None:
    """One attempt, or None."""
    return conn.execute(
        _BASE.where(executions.c.id == execution_id, executions.c.organization_id == organization_id)
    ).first()


def logs(conn: Connection, execution_id: UUID, after: int | None, limit: int) -> Rows:
    """Log lines in order, beyond sequence number ``after``."""
    query = select(execution_logs).where(execution_logs.c.execution_id == execution_id)
    if after is not None:
        query = query.where(execution_logs.c.sequence > after)
    return list(conn.execute(query.order_by(execution_logs.c.sequence).limit(limit)))


def steps_of(conn: Connection, execution_id: UUID, after: int | None, limit: int) -> Rows:
    """Steps in order, beyond sequence number ``after``."""
    query = select(steps).where(steps.c.execution_id == execution_id)
    if after is not None:
        query = query.where(steps.c.sequence > after)
    return list(conn.execute(query.order_by(steps.c.sequence).limit(limit)))


_ARTIFACT = [column for column in artifacts.c if column.name != "organization_id"]


def artifacts_of(conn: Connection, task_id: UUID, after: UUID | None, limit: int) -> Rows:
    """A task's files, newest first."""
    query = select(*_ARTIFACT).where(artifacts.c.task_id == task_id)
    if after is not None:
        query = query.where(artifacts.c.id < after)
    return list(conn.execute(query.order_by(artifacts.c.id.desc()).limit(limit)))


def artifact(conn: Connection, organization_id: UUID, artifact_id: UUID) -> Any | None:
    """One file's record, or None."""
    return conn.execute(
        select(*_ARTIFACT).where(artifacts.c.id == artifact_id, artifacts.c.organization_id == organization_id)
    ).first()


_LAST_DURATIONS = text(
    """
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FROM (
        SELECT extract(epoch FROM completed_at - started_at) AS seconds FROM tasks
        WHERE organization_id = :organization_id AND type = :type AND status = 'completed' AND started_at IS NOT NULL
        ORDER BY id DESC LIMIT 100) recent
    """
)


def typical_seconds(conn: Connection, organization_id: UUID, type_name: str) -> float | None:
    """The median run time of a type's latest completed tasks; None when there are none."""
    value = conn.execute(_LAST_DURATIONS, {"organization_id": organization_id, "type": type_name}).scalar()
    return None if value is None else float(value)


_EXPIRE = text("UPDATE executions SET lease_until = now() WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'running'")


def expire(conn: Connection, ids: Sequence[UUID]) -> None:
    """Let leases run out now; the reconciler queues the tasks again."""
    conn.execute(_EXPIRE, {"ids": list(ids)})
