"""Reads of runs, and writes of what is not their status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.domain.run import RunFilter
from taskengine.store import tasks
from taskengine.store.database import Rows, document, in_json

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


_LOCK = text(
    "SELECT * FROM runs WHERE id = :id"
    " AND (CAST(:organization AS uuid) IS NULL OR organization_id = :organization) FOR UPDATE"
)


def lock(conn: Connection, organization_id: UUID | None, run_id: UUID) -> Any | None:
    """Every column of a run, locked, or None. Without an organization: the engine's own look."""
    return conn.execute(_LOCK, {"id": run_id, "organization": organization_id}).first()


_NAMES = text("SELECT id, name, context, variables FROM runs WHERE id = :id")


def names(conn: Connection, run_id: UUID) -> Any:
    """What templates may name of a run: (id, name, context, variables)."""
    return conn.execute(_NAMES, {"id": run_id}).one()


_STATE = text("SELECT id, status, cancel_requested_at FROM runs WHERE id = :id")


def state(conn: Connection, run_id: UUID) -> Any:
    """(id, status, cancel_requested_at) of a run, as it stands."""
    return conn.execute(_STATE, {"id": run_id}).one()


_PROGRESS = text(
    """
    SELECT r.id, t.status, t.n FROM unnest(CAST(:ids AS uuid[])) AS r(id) CROSS JOIN LATERAL (
        SELECT status, count(*) AS n FROM tasks WHERE run_id = r.id AND scope_id IS NOT NULL GROUP BY status) t
    """
)
_GROUPS = text(
    "SELECT id, key, name, status FROM tasks"
    " WHERE run_id = :id AND key IS NOT NULL AND kind = 'group' AND scope_id IS NOT NULL ORDER BY id"
)


def progress(conn: Connection, run_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """For each run: how many of its rows stand in which status. Uses tasks_progress_idx."""
    found: dict[UUID, dict[str, int]] = {run_id: {} for run_id in run_ids}
    for row in conn.execute(_PROGRESS, {"ids": list(run_ids)}):
        found[row.id][row.status] = row.n
    return found


def groups(conn: Connection, run_id: UUID) -> Rows:
    """The task groups of a run."""
    return list(conn.execute(_GROUPS, {"id": run_id}))


_CHANGE = text(
    """
    UPDATE runs SET context = coalesce(CAST(:context AS json), context), updated_at = now(),
        signals = coalesce(CAST(:signals AS json), signals) WHERE id = :id
    """
)


def change(
    conn: Connection,
    run_id: UUID,
    *,
    context: dict[str, Any] | None = None,
    signals: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Write a run's context, or the signals that no wait has taken; the caller holds its lock."""
    params = {
        "id": run_id,
        "context": None if context is None else in_json(context),
        "signals": None if signals is None else document(signals),
    }
    conn.execute(_CHANGE, params)


_CANCEL = text(
    """
    UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now()),
        cancel_reason = coalesce(cancel_reason, :reason), error = coalesce(CAST(:error AS json), error),
        updated_at = now()
    WHERE id = :id
    """
)


def request_cancel(conn: Connection, run_id: UUID, reason: str | None, error: dict[str, Any] | None) -> None:
    """Note that a run is to stop: cancelled, or with an ``error`` failed; the caller holds its lock."""
    params = {"id": run_id, "reason": reason, "error": None if error is None else in_json(error)}
    conn.execute(_CANCEL, params)


_OVER = text(
    "SELECT id FROM runs WHERE times_out_at <= now() AND completed_at IS NULL AND cancel_requested_at IS NULL"
    " ORDER BY times_out_at LIMIT :limit"
)


def over(conn: Connection, limit: int) -> list[UUID]:
    """Runs whose time limit has passed. Uses runs_limit_idx."""
    return [row.id for row in conn.execute(_OVER, {"limit": limit})]


_NOTE = text(
    """
    INSERT INTO events (organization_id, run_id, type, from_status, to_status, attempt, data)
    SELECT organization_id, id, :type, status, status, 0, CAST(:data AS json) FROM runs WHERE id = :id
    """
)


def note(conn: Connection, run_id: UUID, type_name: str, data: dict[str, Any]) -> None:
    """Write an event of the run that moves nothing."""
    conn.execute(_NOTE, {"id": run_id, "type": type_name, "data": in_json(data)})


_EVENTS = text(
    """
    SELECT id, task_id, run_id, type, from_status, to_status, attempt, data, created_at FROM events
    WHERE run_id = :run_id AND id > :after ORDER BY id LIMIT :limit
    """
)


def events(conn: Connection, run_id: UUID, after: int, limit: int) -> Rows:
    """A run's log, oldest first: its own events and those of its tasks. Uses events_run_idx."""
    return list(conn.execute(_EVENTS, {"run_id": run_id, "after": after, "limit": limit}))


_NODES = text(
    """
    SELECT t.id, t.key, t.path, t.name, t.kind, t.type, t.status, t.parent_id, t.state, t.step, t.started_at,
        t.completed_at, t.attempt, t.run_on, t.on_failure, t.last_error
    FROM tasks t WHERE t.run_id = :run_id AND t.key IS NOT NULL AND t.scope_id IS NOT NULL AND t.id > :after
    ORDER BY t.id LIMIT :limit
    """
)
_NOWHERE = UUID(int=0)


def nodes(conn: Connection, run_id: UUID, after: UUID | None, limit: int) -> Rows:
    """A run's steps and tasks, without children of expansions, in the order in which they were made."""
    return list(conn.execute(_NODES, {"run_id": run_id, "after": after or _NOWHERE, "limit": limit}))


_EDGES = text(
    """
    SELECT d.depends_on_id AS upstream, d.task_id, t.run_on
    FROM tasks t JOIN task_dependencies d ON d.task_id = t.id
    WHERE t.run_id = :run_id AND t.key IS NOT NULL AND t.scope_id IS NOT NULL
    ORDER BY d.task_id, d.depends_on_id
    """
)


def edges(conn: Connection, run_id: UUID) -> Rows:
    """(upstream, task_id, run_on) of a run's dependencies."""
    return list(conn.execute(_EDGES, {"run_id": run_id}))


_CHILD_COUNTS = text(
    """
    SELECT parent_id, status, count(*) AS n FROM tasks
    WHERE parent_id = ANY(CAST(:parents AS uuid[])) AND scope_id = parent_id GROUP BY parent_id, status
    """
)


def child_counts(conn: Connection, parents: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """For expansions: how many children stand in which status."""
    found: dict[UUID, dict[str, int]] = {parent: {} for parent in parents}
    for row in conn.execute(_CHILD_COUNTS, {"parents": list(parents)}):
        found[row.parent_id][row.status] = row.n
    return found


# As answers write times.
_STAMP = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24\\:MI\\:SS.US\"Z\"')"
_SPANS = text(
    f"""
    SELECT t.id AS task_id, t.key, t.path, t.name, t.kind, t.status, t.parent_id AS parent, t.started_at,
        t.completed_at AS ended_at,
        (SELECT json_agg(json_build_object('attempt', e.attempt, 'status', e.status,
            'started_at', {_STAMP.format("e.started_at")}, 'ended_at', {_STAMP.format("e.ended_at")},
            'worker', e.worker) ORDER BY e.attempt)
            FROM executions e WHERE e.task_id = t.id) AS attempts
    FROM tasks t WHERE t.run_id = :run_id AND t.id > :after ORDER BY t.id LIMIT :limit
    """
)


def spans(conn: Connection, run_id: UUID, after: UUID | None, limit: int) -> Rows:
    """When each of a run's rows began and ended, with its attempts; children of expansions too. Uses tasks_run_idx."""
    return list(conn.execute(_SPANS, {"run_id": run_id, "after": after or _NOWHERE, "limit": limit}))


_PAUSED = text(
    """
    SELECT t.id FROM tasks t JOIN runs r ON r.id = t.run_id
    WHERE t.id = ANY(CAST(:ids AS uuid[])) AND r.status = 'paused'
    """
)


def paused_among(conn: Connection, task_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the tasks whose run is paused."""
    return {row.id for row in conn.execute(_PAUSED, {"ids": list(task_ids)})}


_ROWS_IN = text(
    """
    SELECT id FROM tasks WHERE run_id = :run_id AND status = :status AND scope_id IS NOT NULL
        AND (:status <> 'paused' OR held) ORDER BY id
    """
)
_OPEN_BELOW = text(
    """
    -- By an array, not by a join, for which the planner might read the runs below all others as well.
    SELECT id, status FROM runs WHERE completed_at IS NULL AND parent_task_id = ANY(ARRAY(
        SELECT id FROM tasks WHERE run_id = :run_id AND key IS NOT NULL AND kind = 'workflow')) ORDER BY id
    """
)
_NEWEST_BELOW = text(
    """
    SELECT id FROM runs WHERE parent_task_id = :step_id AND status = ANY(CAST(:statuses AS text[]))
    ORDER BY id DESC LIMIT 1
    """
)
_KEYS_AMONG = text(
    "SELECT DISTINCT key FROM tasks WHERE run_id = :run_id AND key = ANY(CAST(:names AS text[])) ORDER BY key"
)


def rows_in(conn: Connection, run_id: UUID, status: str) -> list[UUID]:
    """A run's rows of one status; of the paused ones those that are paused with the run."""
    return [row.id for row in conn.execute(_ROWS_IN, {"run_id": run_id, "status": status})]


def open_below(conn: Connection, run_id: UUID) -> Rows:
    """(id, status) of the open runs that a run's steps wait for."""
    return list(conn.execute(_OPEN_BELOW, {"run_id": run_id}))


def newest_below(conn: Connection, step_id: UUID, statuses: Sequence[str]) -> UUID | None:
    """The newest run of a step that ended so."""
    row = conn.execute(_NEWEST_BELOW, {"step_id": step_id, "statuses": list(statuses)}).first()
    return None if row is None else row.id


def keys_among(conn: Connection, run_id: UUID, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are keys of the run's steps."""
    return [row.key for row in conn.execute(_KEYS_AMONG, {"run_id": run_id, "names": list(names)})]


def size_of(value: Any) -> int:
    """Bytes of a value as it is stored."""
    return len(in_json(value).encode())


_GAVE = text(
    """
    SELECT DISTINCT ON (path) key, path, result, status, scope_id = run_id AS top FROM tasks
    WHERE run_id = :run_id AND key IS NOT NULL AND scope_id IS NOT NULL AND result IS NOT NULL
    ORDER BY path, id DESC
    """
)
_RESULTS_SIZE = text(
    "SELECT coalesce(sum(octet_length(CAST(result AS text))), 0) AS bytes FROM tasks"
    " WHERE run_id = :run_id AND key IS NOT NULL AND scope_id IS NOT NULL AND result IS NOT NULL"
)


def gave(conn: Connection, run_id: UUID) -> Rows:
    """What a run's rows gave so far: (key, path, result, status, top); ``top`` ones are no part of another step."""
    return list(conn.execute(_GAVE, {"run_id": run_id}))


def results_size(conn: Connection, run_id: UUID) -> int:
    """How many bytes of results a run's rows hold."""
    return int(conn.execute(_RESULTS_SIZE, {"run_id": run_id}).scalar_one())


_REMOVE = text(
    """
    WITH old AS (
        SELECT id FROM runs WHERE completed_at < now() - make_interval(days => :days)
            AND (parent_task_id IS NULL OR NOT EXISTS (SELECT FROM tasks t JOIN runs p ON p.id = t.run_id
                WHERE t.id = runs.parent_task_id))
        ORDER BY completed_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM runs WHERE id IN (SELECT id FROM old) RETURNING id
    ), forgotten AS (
        DELETE FROM events WHERE run_id IN (SELECT id FROM gone) AND task_id IS NULL
    )
    SELECT count(*) FROM gone
    """
)


def remove_before(conn: Connection, days: int, limit: int) -> int:
    """Delete the records of runs that ended over ``days`` ago, with their own events; returns how many.

    A run that a step started goes after the run of that step. Uses runs_prune_idx.
    """
    return int(conn.execute(_REMOVE, {"days": days, "limit": limit}).scalar_one())
