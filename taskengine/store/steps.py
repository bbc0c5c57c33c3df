"""Reads of a run's rows: what is open in a scope, what has ended under a key, what an expansion's children gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows, in_json

_LOAD = text("SELECT * FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")


def load(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """Rows with all their columns, locked, in the order of ids."""
    return list(conn.execute(_LOAD, {"ids": list(ids)}))


_SCOPES = text(
    """
    SELECT s.id, t.kind, t.status, coalesce((t.expansion_config ->> 'fail_fast')::boolean, false) AS fail_fast,
        -- From the end: rows end in their order, and the index keeps the places of ended ones until a vacuum.
        (SELECT c.id FROM tasks c WHERE c.scope_id = s.id AND c.completed_at IS NULL
            ORDER BY c.gated DESC, c.sequence_num DESC LIMIT 1) IS NOT NULL AS open,
        (SELECT c.id FROM tasks c WHERE c.scope_id = s.id AND c.gated AND c.completed_at IS NULL
            ORDER BY c.sequence_num DESC LIMIT 1) IS NOT NULL AS gated
    FROM unnest(CAST(:ids AS uuid[])) AS s(id) LEFT JOIN tasks t ON t.id = s.id
    """
)


def scopes(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """Of steps and runs: (id, kind, status, fail_fast, open, gated); of a run kind and status are empty.

    ``open``: some row in it has not ended; ``gated``: some row waits to be let go. A few index probes each.
    """
    return list(conn.execute(_SCOPES, {"ids": list(ids)}))


_IS_OPEN = text(
    "SELECT FROM tasks WHERE scope_id = :id AND completed_at IS NULL ORDER BY gated DESC, sequence_num DESC LIMIT 1"
)


def is_open(conn: Connection, scope: UUID) -> bool:
    """Whether some row of a scope has not ended."""
    return conn.execute(_IS_OPEN, {"id": scope}).first() is not None


_TALLY = text(
    """
    SELECT
        (SELECT count(*) FROM (SELECT FROM tasks WHERE scope_id = :id AND NOT gated AND completed_at IS NULL
            ORDER BY sequence_num DESC LIMIT :most) AS counted) AS open,
        (SELECT count(*) FROM (SELECT FROM tasks WHERE scope_id = :id AND gated AND completed_at IS NULL
            ORDER BY sequence_num DESC LIMIT :most) AS counted) AS gated,
        (SELECT count(*) FROM (SELECT FROM tasks WHERE scope_id = :id AND status IN ('failed', 'cancelled')
            AND on_failure = 'fail' LIMIT :tolerated + 1) AS counted) AS failed
    """
)


def tally(conn: Connection, scope: UUID, most: int = 1, tolerated: int = 0) -> Any:
    """How many rows of a scope are open (let go), gated, and failed so that it counts.

    No more are counted than matter, of a scope of any size: ``most`` open and gated ones, and one failed more than
    ``tolerated``.
    """
    return conn.execute(_TALLY, {"id": scope, "most": most, "tolerated": tolerated}).one()


_CHILDREN = text(
    """
    SELECT id, key, sequence_num, path, bindings, status, result, last_error, started_at, completed_at
    FROM tasks WHERE parent_id = :parent AND scope_id = :parent AND sequence_num > :after
    ORDER BY sequence_num LIMIT :limit
    """
)


def children(conn: Connection, parent: UUID, after: int, limit: int) -> Rows:
    """Rows of a step in their order, from the one after ``after`` on. Uses tasks_children_idx."""
    return list(conn.execute(_CHILDREN, {"parent": parent, "after": after, "limit": limit}))


_COUNTS = text(
    "SELECT status, count(*) AS n FROM tasks WHERE parent_id = :parent AND scope_id = :parent GROUP BY status"
)


def counts(conn: Connection, parent: UUID) -> dict[str, int]:
    """How many rows of a step stand in which status."""
    return {row.status: row.n for row in conn.execute(_COUNTS, {"parent": parent})}


_UNTAKEN = text(
    """
    SELECT id FROM tasks WHERE parent_id = :parent AND scope_id = :parent AND step ->> 'branch' <> :branch
        AND completed_at IS NULL
    """
)


def other_branch(conn: Connection, parent: UUID, branch: str) -> list[UUID]:
    """The open rows of a conditional that are not in ``branch``."""
    return [row.id for row in conn.execute(_UNTAKEN, {"parent": parent, "branch": branch})]


_BELOW = text(
    """
    WITH RECURSIVE below AS (
        SELECT id, kind, status, scope_id FROM tasks
        WHERE scope_id = ANY(CAST(:ids AS uuid[])) AND completed_at IS NULL
        UNION ALL SELECT t.id, t.kind, t.status, t.scope_id FROM below b
            JOIN tasks t ON t.scope_id = b.id AND t.completed_at IS NULL WHERE b.kind <> 'task'
    )
    SELECT * FROM below ORDER BY id
    """
)
_INSIDE = text(
    """
    WITH RECURSIVE inside AS (
        SELECT id, kind FROM tasks WHERE parent_id = :id AND scope_id = :id
        UNION ALL SELECT t.id, t.kind FROM inside i
            JOIN tasks t ON t.parent_id = i.id AND t.scope_id = i.id WHERE i.kind <> 'task'
    )
    SELECT id FROM inside ORDER BY id
    """
)


def below(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """(id, kind, status, scope_id) of all open rows inside steps, or inside a run, at any depth.

    What is open is in something open, or directly in ``ids``. Uses tasks_open_idx.
    """
    return list(conn.execute(_BELOW, {"ids": list(ids)}))


def inside(conn: Connection, step_id: UUID) -> list[UUID]:
    """All rows inside a step at any depth, ended ones too. Uses tasks_children_idx."""
    return [row.id for row in conn.execute(_INSIDE, {"id": step_id})]


_SUB_RUNS = text(
    "SELECT id, parent_task_id FROM runs"
    " WHERE parent_task_id = ANY(CAST(:ids AS uuid[])) AND completed_at IS NULL ORDER BY id"
)


def sub_runs(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """(id, parent_task_id) of the open runs that steps wait for."""
    return list(conn.execute(_SUB_RUNS, {"ids": list(ids)})) if ids else []


_LATEST = text(
    """
    SELECT status, result, last_error, started_at, completed_at FROM tasks
    WHERE run_id = :run_id AND key = :key AND completed_at IS NOT NULL AND scope_id IS NOT NULL
        AND starts_with(path, :prefix)
    ORDER BY id DESC LIMIT 1
    """
)


def latest(conn: Connection, run_id: UUID, key: str, prefix: str) -> Any | None:
    """The newest ended row of a key whose path begins so. Uses tasks_key_idx."""
    return conn.execute(_LATEST, {"run_id": run_id, "key": key, "prefix": prefix}).first()


_RESULTS = text(
    """
    SELECT key, result, id FROM tasks
    WHERE parent_id = :scope AND scope_id = :scope AND key IS NOT NULL AND status = 'completed'
    UNION ALL SELECT key, result, id FROM tasks
    WHERE run_id = :scope AND scope_id = :scope AND key IS NOT NULL AND status = 'completed' ORDER BY id
    """
)
_RUN_RESULTS = text(
    """
    SELECT DISTINCT ON (key) key, result FROM tasks
    WHERE run_id = :run_id AND key IS NOT NULL AND status = 'completed' AND scope_id IS NOT NULL
    ORDER BY key, id DESC
    """
)


def results(conn: Connection, scope: UUID) -> dict[str, Any]:
    """What the completed rows directly in a step, or a run, gave, by key."""
    return {row.key: row.result for row in conn.execute(_RESULTS, {"scope": scope})}


def run_results(conn: Connection, run_id: UUID) -> dict[str, Any]:
    """What the completed rows anywhere in a run gave, by key; of a key that ran several times the newest."""
    return {row.key: row.result for row in conn.execute(_RUN_RESULTS, {"run_id": run_id})}


_SET_STATE = text("UPDATE tasks SET state = CAST(:state AS json), updated_at = now() WHERE id = :id")


def set_state(conn: Connection, step_id: UUID, state: dict[str, Any]) -> None:
    """Note how far a step is."""
    conn.execute(_SET_STATE, {"id": step_id, "state": in_json(state)})


_UNMADE = text(
    """
    SELECT id FROM tasks WHERE kind IN ('expansion', 'loop') AND status = 'running' AND (state ->> 'making')::boolean
    ORDER BY id LIMIT :limit
    """
)
_LEFT_BEHIND = text(
    """
    SELECT t.id FROM tasks t WHERE t.kind IN ('expansion', 'group', 'parallel', 'sequential', 'conditional', 'loop')
        AND t.kind <> 'task' AND t.status = 'running'
        AND t.updated_at < now() - make_interval(secs => :seconds)
        AND (NOT EXISTS (SELECT FROM tasks c WHERE c.scope_id = t.id AND NOT c.gated AND c.completed_at IS NULL))
    UNION ALL
    SELECT r.id FROM runs r WHERE r.completed_at IS NULL AND r.updated_at < now() - make_interval(secs => :seconds)
        AND NOT EXISTS (SELECT FROM tasks c WHERE c.scope_id = r.id AND c.completed_at IS NULL)
    LIMIT :limit
    """
)


def unmade(conn: Connection, limit: int) -> list[UUID]:
    """Expansions that still have children to make, and loops that have rounds to begin. Uses tasks_steps_idx."""
    return [row.id for row in conn.execute(_UNMADE, {"limit": limit})]


def left_behind(conn: Connection, seconds: float, limit: int) -> list[UUID]:
    """Steps and runs in which nothing runs any more, for some seconds. Uses tasks_steps_idx and runs_open_idx."""
    return [row.id for row in conn.execute(_LEFT_BEHIND, {"seconds": seconds, "limit": limit})]


_OVER = text(
    """
    SELECT id FROM tasks WHERE times_out_at <= now() AND completed_at IS NULL ORDER BY times_out_at LIMIT :limit
    """
)
_WATCHING = text(
    """
    SELECT id FROM tasks WHERE kind = 'wait' AND status = 'waiting_input' AND step -> 'condition' IS NOT NULL
        AND (CAST(:run_id AS uuid) IS NULL OR run_id = :run_id)
    -- Where there are more than the limit, each has its turn sooner or later.
    ORDER BY random() LIMIT :limit
    """
)
_AWAITING = text(
    """
    SELECT id FROM tasks WHERE kind = 'wait' AND status = 'waiting_input' AND run_id = :run_id
        AND step ->> 'signal' = :signal
    ORDER BY id LIMIT 1
    """
)


def over(conn: Connection, limit: int) -> list[UUID]:
    """Waits and steps whose time limit has passed. Uses tasks_limit_idx."""
    return [row.id for row in conn.execute(_OVER, {"limit": limit})]


_LATE = text(
    """
    SELECT * FROM tasks WHERE id = :id AND times_out_at <= now() AND status IN ('running', 'waiting_input')
    FOR NO KEY UPDATE
    """
)


def late(conn: Connection, step_id: UUID) -> Any | None:
    """A wait or step at work whose time limit has passed, with all columns, locked; None if it is not so any more."""
    return conn.execute(_LATE, {"id": step_id}).first()


def watching(conn: Connection, run_id: UUID | None, limit: int) -> list[UUID]:
    """Waits for a condition, of one run or of all. Uses tasks_steps_idx."""
    return [row.id for row in conn.execute(_WATCHING, {"run_id": run_id, "limit": limit})]


def awaiting(conn: Connection, run_id: UUID, signal: str) -> UUID | None:
    """The wait that has waited longest for a signal of that name."""
    row = conn.execute(_AWAITING, {"run_id": run_id, "signal": signal}).first()
    return None if row is None else row.id


_UPSTREAM = text(
    """
    SELECT u.status, u.result, u.last_error, u.started_at, u.completed_at
    FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
    WHERE d.task_id = :task_id AND u.key = :key AND u.completed_at IS NOT NULL ORDER BY u.id DESC LIMIT 1
    """
)
_CULPRITS = text(
    """
    SELECT DISTINCT ON (d.task_id) d.task_id, u.id, u.name, u.status
    FROM task_dependencies d JOIN tasks u ON u.id = d.depends_on_id
    WHERE d.task_id = ANY(CAST(:ids AS uuid[])) AND u.ended_bad ORDER BY d.task_id, u.completed_at, u.id
    """
)
_BAD = text(
    """
    SELECT id, name, status, last_error FROM tasks
    WHERE scope_id = :scope AND status IN ('failed', 'cancelled') AND on_failure = 'fail' ORDER BY completed_at, id
    LIMIT :limit
    """
)


def upstream(conn: Connection, task_id: UUID, key: str) -> Any | None:
    """The ended task of that key which a task depends on: outside of runs, keys belong to a submission."""
    return conn.execute(_UPSTREAM, {"task_id": task_id, "key": key}).first()


def culprits(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """(task_id, id, name, status): for each row the first upstream that ended badly."""
    return list(conn.execute(_CULPRITS, {"ids": list(ids)}))


def bad(conn: Connection, scope: UUID, limit: int = 5) -> Rows:
    """The first rows directly in a scope that failed so that it counts."""
    return list(conn.execute(_BAD, {"scope": scope, "limit": limit}))


_TAKE = text(
    """
    SELECT t.*, coalesce((SELECT r.status = 'paused' FROM runs r WHERE r.id = t.run_id), false) AS run_paused
    FROM tasks t WHERE t.id = :id AND t.kind = 'expansion' AND t.status = 'running' FOR NO KEY UPDATE SKIP LOCKED
    """
)


def take_expansion(conn: Connection, expansion_id: UUID) -> Any | None:
    """An expansion that runs, locked, with ``run_paused``; None if there is none or another holds it."""
    return conn.execute(_TAKE, {"id": expansion_id}).first()


_WILL_FAIL = text(
    """
    UPDATE tasks SET times_out_at = NULL, updated_at = now(),
        state = CAST(jsonb_set(coalesce(CAST(state AS jsonb), '{}'), '{error}', CAST(:error AS jsonb)) AS json)
    WHERE id = :id
    """
)


def will_fail(conn: Connection, step_id: UUID, error: dict[str, Any]) -> None:
    """Note that a step will fail with this error once all in it has ended."""
    conn.execute(_WILL_FAIL, {"id": step_id, "error": in_json(error)})


_HAS_ENDED = text("SELECT completed_at IS NOT NULL FROM tasks WHERE id = :id FOR NO KEY UPDATE")


def has_ended(conn: Connection, step_id: UUID) -> bool:
    """Whether a step has ended; it is locked."""
    return bool(conn.execute(_HAS_ENDED, {"id": step_id}).scalar())


_EXPANSION = text("SELECT path, input FROM tasks WHERE id = :id AND kind = 'expansion'")


def expansion(conn: Connection, step_id: UUID) -> tuple[str | None, dict[str, Any]]:
    """Where an expansion stands in its run, and its input; of other steps nothing."""
    row = conn.execute(_EXPANSION, {"id": step_id}).first()
    return (None, {}) if row is None else (row.path, row.input or {})
