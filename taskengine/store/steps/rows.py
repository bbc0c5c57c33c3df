"""Single rows: taken with their lock, and notes on them."""

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


_SET_STATE = text("UPDATE tasks SET state = CAST(:state AS json), updated_at = now() WHERE id = :id")


def set_state(conn: Connection, step_id: UUID, state: dict[str, Any]) -> None:
    """Note how far a step is."""
    conn.execute(_SET_STATE, {"id": step_id, "state": in_json(state)})


_LATE = text(
    """
    SELECT * FROM tasks WHERE id = :id AND times_out_at <= now() AND status IN ('running', 'waiting_input')
    FOR NO KEY UPDATE
    """
)


def late(conn: Connection, step_id: UUID) -> Any | None:
    """A wait or step at work whose time limit has passed, with all columns, locked; None if it is not so any more."""
    return conn.execute(_LATE, {"id": step_id}).first()


_TAKE = text(
    """
    SELECT * FROM tasks WHERE id = :id AND kind = 'expansion' AND status = 'running' FOR NO KEY UPDATE SKIP LOCKED
    """
)


def take_expansion(conn: Connection, expansion_id: UUID) -> Any | None:
    """An expansion that runs, locked; None if there is none or another holds it."""
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
