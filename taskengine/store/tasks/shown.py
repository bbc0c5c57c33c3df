"""Tasks as clients see them: one, or a page of many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, and_, func, select, text

from taskengine.domain.task import Priority, TaskFilter
from taskengine.store.database import Rows
from taskengine.store.tables import task_dependencies, tasks

# created_at is the database's clock, the id the API's: the id range only helps the index, with this much slack.
_CLOCK_SLACK = timedelta(hours=1)
_NOT_SHOWN = {
    *("organization_id", "light", "triggered", "waiting_on", "has_dependents", "lost_count", "scope_id", "gated"),
    *("upstream_bad", "ended_bad", "step", "state", "bindings", "held", "times_out_at"),
}
SHOWN = [column for column in tasks.c if column.name not in _NOT_SHOWN]
_EDGES = (
    select(func.array_agg(task_dependencies.c.depends_on_id))
    .where(task_dependencies.c.task_id == tasks.c.id)
    .scalar_subquery()
    .label("depends_on")
)


def first_id(moment: datetime) -> UUID:
    """No row that was created at this moment, or later, has an id below this."""
    return _uuid7_floor(moment - _CLOCK_SLACK)


def last_id(moment: datetime) -> UUID:
    """All rows that were created before this moment have ids below this."""
    return _uuid7_floor(moment + _CLOCK_SLACK)


def _uuid7_floor(moment: datetime) -> UUID:
    """The least UUIDv7 of a moment; times before 1970 give the least of all."""
    milliseconds = max(0, min(int(moment.timestamp() * 1000), 2**48 - 1))
    return UUID(int=milliseconds << 80)


def _filtered(organization_id: UUID, wanted: TaskFilter) -> Select[Any]:
    query = select(*SHOWN, _EDGES).where(tasks.c.organization_id == organization_id)
    if wanted.statuses is not None:
        query = query.where(
            tasks.c.status == wanted.statuses[0] if len(wanted.statuses) == 1 else tasks.c.status.in_(wanted.statuses)
        )
    for column, value in (
        (tasks.c.type, wanted.type),
        (tasks.c.queue, wanted.queue),
        (tasks.c.assigned_to, wanted.assigned_to),
        (tasks.c.run_id, wanted.run_id),
        (tasks.c.parent_id, wanted.parent_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.kinds is not None:
        query = query.where(tasks.c.kind.in_(wanted.kinds))
    if wanted.priority is not None:
        query = query.where(tasks.c.priority == int(Priority[wanted.priority]))
    if wanted.tag is not None:
        query = query.where(and_(tasks.c.tags.contains([wanted.tag]), text("tags <> '{}'")))
    if wanted.created_after is not None:
        query = query.where(
            tasks.c.created_at >= wanted.created_after,
            tasks.c.id >= first_id(wanted.created_after),
        )
    if wanted.created_before is not None:
        query = query.where(
            tasks.c.created_at < wanted.created_before,
            tasks.c.id < last_id(wanted.created_before),
        )
    if wanted.q is not None:
        query = query.where(
            text(
                "to_tsvector('simple', name || ' ' || coalesce(description, '')) @@ websearch_to_tsquery('simple', :q)"
            ).bindparams(q=wanted.q)
        )
    return query


def listing(conn: Connection, organization_id: UUID, wanted: TaskFilter, after: UUID | None, limit: int) -> Rows:
    """Tasks, newest first, from the one before ``after`` on. Each filter has an index that ends in the id."""
    query = _filtered(organization_id, wanted)
    if after is not None:
        query = query.where(tasks.c.id < after)
    return list(conn.execute(query.order_by(tasks.c.id.desc()).limit(limit)))


def to_announce(conn: Connection, ids: Sequence[UUID]) -> Rows:
    """Those of some tasks whose end somebody is to be told, as shown, each with its organization's id."""
    query = select(*SHOWN, tasks.c.organization_id, _EDGES).where(tasks.c.id.in_(ids), tasks.c.announce.is_not(None))
    return list(conn.execute(query.order_by(tasks.c.id)))


def get(conn: Connection, organization_id: UUID, task_id: UUID) -> Any | None:
    """One task as shown, or None."""
    return conn.execute(
        select(*SHOWN, _EDGES).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id)
    ).first()
