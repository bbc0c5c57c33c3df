"""What is in a step or a run: what of it is open, and where its rows stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

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
            ORDER BY sequence_num DESC LIMIT :most_open) AS counted) AS open,
        (SELECT count(*) FROM (SELECT FROM tasks WHERE scope_id = :id AND gated AND completed_at IS NULL
            ORDER BY sequence_num DESC LIMIT :most_gated) AS counted) AS gated,
        (SELECT count(*) FROM (SELECT FROM tasks WHERE scope_id = :id AND status IN ('failed', 'cancelled')
            AND on_failure = 'fail' LIMIT :tolerated + 1) AS counted) AS failed
    """
)


def tally(conn: Connection, scope: UUID, most_open: int = 1, most_gated: int = 1, tolerated: int = 0) -> Any:
    """How many rows of a scope are open (let go), gated, and failed so that it counts.

    No more are counted than matter, of a scope of any size: one failed more than ``tolerated``.
    """
    params = {"id": scope, "most_open": most_open, "most_gated": most_gated, "tolerated": tolerated}
    return conn.execute(_TALLY, params).one()


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
