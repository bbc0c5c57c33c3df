"""What is told about one run beside itself: its progress, log, graph, timeline and results."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

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
