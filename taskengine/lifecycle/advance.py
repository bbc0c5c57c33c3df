"""What a task's end means for those that depend on it. Runs inside the ending transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from taskengine.lifecycle.submit import upstream_error
from taskengine.store import tasks, transitions


def advance(conn: Connection, ended: Sequence[Any]) -> set[str]:
    """Release or skip the dependents of tasks that just became final; returns queues with new tasks in line.

    ``ended`` are rows as ``transitions`` returns them.
    """
    relevant = [row for row in ended if row.has_dependents]
    queues = _release(conn, [row for row in relevant if row.status == "completed"])
    dead = [row for row in relevant if row.status in {"failed", "cancelled", "skipped"}]
    while dead:
        by_status: dict[str, list[Any]] = {}
        for row in dead:
            by_status.setdefault(row.status, []).append(row.id)
        dead = []
        for status, ids in by_status.items():
            waiting = tasks.open_dependents(conn, ids)
            if waiting:
                skipped = transitions.move(conn, "skipped", waiting, data=upstream_error(status))
                dead += [row for row in skipped if row.has_dependents]
    return queues


def _release(conn: Connection, completed: Sequence[Any]) -> set[str]:
    if not completed:
        return set()
    hit = transitions.count_down(conn, [row.id for row in completed])
    ready = [row for row in hit if row.ready]
    early = [row.id for row in ready if row.early]
    due = [row.id for row in ready if not row.early]
    if early:
        transitions.move(conn, "deferred", early)
    return {row.queue for row in transitions.move(conn, "queued", due)} if due else set()
