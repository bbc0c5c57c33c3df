"""Runs as clients see them: one, or a page of many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.domain.run import RunFilter
from taskengine.store import tasks
from taskengine.store.database import Rows

# A run that is running while nothing in it is under way only waits. Each is a probe of tasks_progress_idx; EXISTS would
# let the planner read the open tasks of all runs into a hash table instead.
_ANY = (
    "(SELECT t.status FROM tasks t WHERE t.run_id = r.id AND t.scope_id IS NOT NULL AND {} ORDER BY t.status LIMIT 1)"
)
# The runs that a run's steps wait for, at any depth: while one of those is at work, so is the run.
_INNER = """
    WITH RECURSIVE inner_runs AS (
        SELECT c.id FROM tasks t CROSS JOIN LATERAL ({below}) c
        WHERE t.run_id = r.id AND t.status = 'running' AND t.kind = 'workflow'
        UNION ALL
        SELECT c.id FROM inner_runs i CROSS JOIN LATERAL (
            SELECT t.id FROM tasks t WHERE t.run_id = i.id AND t.status = 'running' AND t.kind = 'workflow' OFFSET 0
        ) t CROSS JOIN LATERAL ({below}) c
    )
    SELECT r.id FROM inner_runs r WHERE {active} LIMIT 1
"""
# OFFSET keeps the planner from reading all runs for the few that are wanted.
_BELOW = "SELECT c.id FROM runs c WHERE c.parent_task_id = t.id AND c.completed_at IS NULL OFFSET 0"
_QUEUED = _ANY.format("t.status IN ('queued', 'retrying')") + " IS NULL"
_RUNNING = _ANY.format("t.status = 'running' AND t.kind IN ('task', 'expansion')") + " IS NULL"
_AT_WORK = _INNER.format(below=_BELOW, active=f"NOT ({_QUEUED} AND {_RUNNING})")
_SHOWN = f"""
    r.id, r.name, r.workflow, r.version,
    CASE WHEN r.status = 'running'
        AND {_QUEUED} AND {_RUNNING} AND ({_AT_WORK}) IS NULL
        AND {_ANY.format("t.status IN ('deferred', 'waiting_input', 'pending', 'paused')")} IS NOT NULL
        THEN 'waiting' ELSE r.status END AS status,
    r.error, r.timeout_seconds, r.parent_task_id, r.cancel_reason, r.created_by, r.created_at, r.started_at,
    r.updated_at, r.completed_at
"""
_GET = text(
    f"SELECT {_SHOWN}, r.variables, r.context FROM runs r WHERE r.id = :id AND r.organization_id = :organization"
)


def get(conn: Connection, organization_id: UUID, run_id: UUID) -> Any | None:
    """One run as shown, or None."""
    return conn.execute(_GET, {"id": run_id, "organization": organization_id}).first()


_LISTING = """
    SELECT * FROM (SELECT {shown} FROM runs r WHERE r.organization_id = :organization {conditions}
        ORDER BY r.id DESC {inner}) r {outer}
"""


def listing(conn: Connection, organization_id: UUID, wanted: RunFilter, after: UUID | None, limit: int) -> Rows:
    """Runs, newest first, from the one before ``after`` on."""
    conditions, params = [], {"organization": organization_id, "limit": limit}
    for name, column, value in (
        ("workflow", "r.workflow =", wanted.workflow),
        ("parent", "r.parent_task_id =", wanted.parent_task_id),
        ("since", "r.created_at >=", wanted.created_after),
        ("first", "r.id >=", None if wanted.created_after is None else tasks.first_id(wanted.created_after)),
        ("until", "r.created_at <", wanted.created_before),
        ("last", "r.id <", None if wanted.created_before is None else tasks.last_id(wanted.created_before)),
        ("after", "r.id <", after),
    ):
        if value is not None:
            conditions.append(f"AND {column} :{name}")
            params[name] = value
    inner, outer = "LIMIT :limit", ""
    if wanted.statuses is not None:
        # Whether a running run only waits is told by its rows, not by its own.
        stored = {"running" if status == "waiting" else status for status in wanted.statuses}
        conditions.append("AND r.status = ANY(CAST(:stored AS text[]))")
        params["stored"] = sorted(stored)
        if "running" in stored:
            inner, outer = "", "WHERE r.status = ANY(CAST(:statuses AS text[])) LIMIT :limit"
            params["statuses"] = list(wanted.statuses)
    statement = _LISTING.format(shown=_SHOWN, conditions=" ".join(conditions), inner=inner, outer=outer)
    return list(conn.execute(text(statement), params))
