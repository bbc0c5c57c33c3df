"""Reads: tasks, their attempts, logs, steps, events and files, always within the caller's organization."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import credentials
from taskengine.domain.errors import NotFound
from taskengine.domain.task import Caller, Page, PageRequest, Priority, TaskFilter
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors
from taskengine.store import events as event_rows
from taskengine.store import executions as attempts
from taskengine.store import tasks as store

_PRIORITIES = {int(priority): priority.name for priority in Priority}


def shown(row: Any) -> dict[str, Any]:
    """A stored task as the HTTP contract shows it: names for numbers, credentials masked."""
    return presented(dict(row._mapping))


def presented(task: dict[str, Any]) -> dict[str, Any]:
    """:func:`shown` for a task that is a dictionary already; it is changed in place."""
    for name in ("config", "input", "expansion_config"):
        task[name] = credentials.mask(task[name])
    told = task.pop("announce") or {}
    task["webhook_url"] = told.get("address")
    task["notify_on_complete"] = told.get("on_complete", False)
    task["notify_on_failure"] = told.get("on_failure", False)
    task["priority"] = _PRIORITIES[task["priority"]]
    task["urgency"] = "urgent" if task["urgency"] else "normal"
    task["depends_on"] = sorted(task["depends_on"] or [])
    return task


def missing(what: str, identity: UUID | str) -> NotFound:
    """The error for something that is not there, or not the caller's."""
    return NotFound(f"there is no {what} {identity}")


def task(engine: Engine, caller: Caller, task_id: UUID) -> dict[str, Any]:
    """One task."""
    with engine.db.autocommit() as conn:
        row = store.get(conn, caller.organization_id, task_id)
    if row is None:
        raise missing("task", task_id)
    return shown(row)


def tasks(engine: Engine, caller: Caller, wanted: TaskFilter, page: PageRequest) -> Page:
    """Tasks, newest first."""
    after = cursors.decode_uuid(page.cursor)
    with engine.db.autocommit() as conn:
        rows = store.listing(conn, caller.organization_id, wanted, after, page.limit + 1)
    more = len(rows) > page.limit
    return Page(
        [shown(row) for row in rows[: page.limit]], cursors.encode_uuid(rows[page.limit - 1].id) if more else None
    )


def _own(conn: Connection, caller: Caller, task_id: UUID) -> None:
    if store.internals(conn, caller.organization_id, task_id) is None:
        raise missing("task", task_id)


def executions(engine: Engine, caller: Caller, task_id: UUID, page: PageRequest) -> Page:
    """A task's attempts, newest first."""
    after = cursors.decode_int(page.cursor)
    with engine.db.autocommit() as conn:
        _own(conn, caller, task_id)
        rows = attempts.listing(conn, task_id, after, page.limit + 1)
    listed = cursors.page(rows, page.limit, lambda row: cursors.encode_int(row.attempt))
    return Page([_execution(item) for item in listed.items], listed.next_cursor)


def _execution(item: dict[str, Any]) -> dict[str, Any]:
    # The result is stored once, with the task: it belongs to the attempt that succeeded last.
    status, attempt = item.pop("task_status"), item.pop("last_attempt")
    if not (item["status"] == "succeeded" and status == "completed" and item["attempt"] == attempt):
        item["output"] = None
    ended = item["ended_at"]
    item["duration_seconds"] = None if ended is None else (ended - item["started_at"]).total_seconds()
    item["resource_usage"] = _usage(item.pop("cpu_seconds"), item.pop("peak_memory_bytes"), item["duration_seconds"])
    return item


def _usage(cpu_seconds: float | None, peak_bytes: int | None, seconds: float | None) -> dict[str, Any] | None:
    """What an attempt used; None where nobody measured it."""
    if cpu_seconds is None or peak_bytes is None:
        return None
    percent = round(100 * cpu_seconds / seconds, 1) if seconds else None
    return {"cpu_seconds": cpu_seconds, "cpu_percent": percent, "memory_mb": round(peak_bytes / 2**20, 1)}


def execution(engine: Engine, caller: Caller, execution_id: UUID) -> dict[str, Any]:
    """One attempt."""
    with engine.db.autocommit() as conn:
        row = attempts.get(conn, caller.organization_id, execution_id)
    if row is None:
        raise missing("execution", execution_id)
    return _execution(dict(row._mapping))


def logs(engine: Engine, caller: Caller, execution_id: UUID, page: PageRequest) -> Page:
    """An attempt's log lines, in order."""
    return _of_execution(engine, caller, execution_id, page, attempts.logs)


def steps(engine: Engine, caller: Caller, execution_id: UUID, page: PageRequest) -> Page:
    """An attempt's steps, in order."""
    return _of_execution(engine, caller, execution_id, page, attempts.steps_of)


def _of_execution(
    engine: Engine,
    caller: Caller,
    execution_id: UUID,
    page: PageRequest,
    read: Callable[[Connection, UUID, int | None, int], list[Any]],
) -> Page:
    after = cursors.decode_int(page.cursor)
    with engine.db.autocommit() as conn:
        if attempts.get(conn, caller.organization_id, execution_id) is None:
            raise missing("execution", execution_id)
        rows = read(conn, execution_id, after, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_int(row.sequence))


def events(engine: Engine, caller: Caller, task_id: UUID, page: PageRequest) -> Page:
    """A task's audit trail, oldest first."""
    after = cursors.decode_int(page.cursor)
    with engine.db.autocommit() as conn:
        _own(conn, caller, task_id)
        rows = event_rows.listing(conn, task_id, after, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_int(row.id))


def artifacts(engine: Engine, caller: Caller, task_id: UUID, page: PageRequest) -> Page:
    """A task's files, newest first."""
    after = cursors.decode_uuid(page.cursor)
    with engine.db.autocommit() as conn:
        _own(conn, caller, task_id)
        rows = attempts.artifacts_of(conn, task_id, after, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_uuid(row.id))


def artifact(engine: Engine, caller: Caller, artifact_id: UUID) -> tuple[dict[str, Any], Path]:
    """One file's record and where it lies."""
    with engine.db.autocommit() as conn:
        row = attempts.artifact(conn, caller.organization_id, artifact_id)
    path = engine.files.path(artifact_id)
    if row is None or not path.exists():
        raise missing("artifact", artifact_id)
    return dict(row._mapping), path
