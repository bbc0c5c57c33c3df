"""Dead letters: listed, and redriven in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from taskengine.domain.errors import Conflict
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle import dispatch, redo
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors, transitions
from taskengine.store import dead_letters as store

log = structlog.get_logger(__name__)

MAX_REDRIVE = 10_000


def listing(engine: Engine, caller: Caller, wanted: dict[str, str | None], page: PageRequest) -> Page:
    """Open dead letters, newest first; ``wanted`` may narrow by ``type``, ``queue`` and ``code``."""
    after = cursors.decode_uuid(page.cursor)
    with engine.db.autocommit() as conn:
        rows = store.listing(conn, caller.organization_id, wanted, after, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_uuid(row.id))


def redrive(
    engine: Engine,
    caller: Caller,
    ids: Sequence[UUID] | None = None,
    type: str | None = None,
    queue: str | None = None,
    code: str | None = None,
    limit: int = MAX_REDRIVE,
) -> dict[str, Any]:
    """Queue the tasks of matching dead letters again, oldest first; returns how many.

    Those of a run have it go on, with what follows from them. What cannot be done again now is left.
    """
    with engine.db.begin() as conn:
        wanted = {"type": type, "queue": queue, "code": code}
        found = store.find(conn, caller.organization_id, wanted, ids, limit)
        alone = [row.task_id for row in found if row.scope_id is None and row.parent_id is None]
        moved = transitions.move(conn, "redriven", alone, data={"by": caller.name}) if alone else []
        store.close_for(conn, [row.id for row in moved])
        dispatch.after_commit(engine, {row.queue for row in moved})
        redriven = len(moved)
        for run_id, tasks in _by_run(found).items():
            redriven += _again(engine, conn, caller, run_id, tasks)
    return {"redriven": redriven}


def _by_run(found: Sequence[Any]) -> dict[tuple[UUID | None, UUID | None], list[UUID]]:
    """Failed tasks by their run, and without one by their expansion. History is left."""
    grouped: dict[tuple[UUID | None, UUID | None], list[UUID]] = {}
    for row in found:
        if row.scope_id is not None and row.status == "failed":
            grouped.setdefault((row.run_id, None if row.run_id else row.parent_id), []).append(row.task_id)
    return grouped


def _again(
    engine: Engine, conn: Connection, caller: Caller, of: tuple[UUID | None, UUID | None], tasks: list[UUID]
) -> int:
    try:
        with conn.begin_nested():
            redo.again_in(engine, conn, caller, of[0], tasks)
    except Conflict as error:
        log.info("redrive_refused", run_id=str(of[0]), reason=error.detail)
        return 0
    return len(tasks)
