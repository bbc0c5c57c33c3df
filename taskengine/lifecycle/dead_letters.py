"""Dead letters: listed, and redriven in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle import dispatch
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors, transitions
from taskengine.store import dead_letters as store

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
    """Queue the tasks of matching dead letters again, oldest first; returns how many."""
    with engine.db.begin() as conn:
        wanted = {"type": type, "queue": queue, "code": code}
        found = store.find(conn, caller.organization_id, wanted, ids, limit)
        moved = transitions.move(conn, "redriven", found, data={"by": caller.name}) if found else []
        store.close_for(conn, [row.id for row in moved])
        dispatch.after_commit(engine, {row.queue for row in moved})
    return {"redriven": len(moved)}
