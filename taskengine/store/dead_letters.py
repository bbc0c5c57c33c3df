"""Tasks whose retries are used up, kept until somebody redrives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, select, update

from taskengine.store.database import Rows
from taskengine.store.tables import dead_letters, tasks

_SHOWN = [column for column in dead_letters.c if column.name not in {"organization_id", "redriven_at"}]


def _open(query: Select[Any], organization_id: UUID, wanted: dict[str, str | None]) -> Select[Any]:
    query = query.where(dead_letters.c.organization_id == organization_id, dead_letters.c.redriven_at.is_(None))
    for name, value in wanted.items():
        if value is not None:
            query = query.where(dead_letters.c[name] == value)
    return query


def listing(
    conn: Connection, organization_id: UUID, wanted: dict[str, str | None], after: UUID | None, limit: int
) -> Rows:
    """Open dead letters, newest first; ``wanted`` may narrow by type, queue and code."""
    query = _open(
        select(*_SHOWN, tasks.c.name).join(tasks, tasks.c.id == dead_letters.c.task_id), organization_id, wanted
    )
    if after is not None:
        query = query.where(dead_letters.c.id < after)
    return list(conn.execute(query.order_by(dead_letters.c.id.desc()).limit(limit)))


def find(
    conn: Connection, organization_id: UUID, wanted: dict[str, str | None], ids: Sequence[UUID] | None, limit: int
) -> Rows:
    """The tasks of open dead letters, oldest first: (task_id, run_id, scope_id, parent_id, status).

    Nothing is locked: tasks are locked before their letters.
    """
    of_task = (tasks.c.run_id, tasks.c.scope_id, tasks.c.parent_id, tasks.c.status)
    query = _open(
        select(dead_letters.c.task_id, *of_task).join(tasks, tasks.c.id == dead_letters.c.task_id),
        organization_id,
        wanted,
    )
    if ids is not None:
        query = query.where(dead_letters.c.id.in_(ids))
    return list(conn.execute(query.order_by(dead_letters.c.id).limit(limit)))


def close_for(conn: Connection, task_ids: Sequence[UUID]) -> None:
    """Close the open dead letters of tasks that run again; the tasks are locked by the caller."""
    conn.execute(
        update(dead_letters)
        .where(dead_letters.c.task_id.in_(task_ids), dead_letters.c.redriven_at.is_(None))
        .values(redriven_at=func.now())
    )
