"""The audit trail of tasks. Rows of moves are written by ``transitions``; these are the others."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from taskengine.store.database import Rows, in_json
from taskengine.store.tables import events

_NOTE = text(
    """
    INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt, data)
    SELECT organization_id, id, run_id, :type, status, status, attempt, CAST(:data AS json)
    FROM tasks WHERE id = :task_id
    """
)


def note(conn: Connection, task_id: UUID, type_name: str, data: dict[str, Any] | None = None) -> None:
    """Write an event that moves nothing: a change, a review, a request."""
    encoded = None if data is None else in_json(data)
    conn.execute(_NOTE, {"task_id": task_id, "type": type_name, "data": encoded})


_WHY_PARKED = text(
    """
    SELECT data ->> 'reason' FROM events WHERE task_id = :task_id AND type = 'task.parked' ORDER BY id DESC LIMIT 1
    """
)


def why_parked(conn: Connection, task_id: UUID) -> str | None:
    """What the attempt that parked a task last gave as its reason."""
    found: str | None = conn.execute(_WHY_PARKED, {"task_id": task_id}).scalar()
    return found


_SHOWN = [column for column in events.c if column.name != "organization_id"]


def listing(conn: Connection, task_id: UUID, after: int | None, limit: int) -> Rows:
    """A task's events, oldest first."""
    query = select(*_SHOWN).where(events.c.task_id == task_id)
    if after is not None:
        query = query.where(events.c.id > after)
    return list(conn.execute(query.order_by(events.c.id).limit(limit)))
