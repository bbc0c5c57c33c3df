"""Stops what is open: at once where nothing runs, through its worker where something does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.store import outbox, runs, steps, tasks, transitions


def stop_rows(conn: Connection, rows: Sequence[Any], reason: str, by: str) -> list[Any]:
    """Cancel rows (id, kind, status), and the runs that wait below them; returns those that ended at once.

    Running tasks end within seconds, by their own attempt. The caller sees to what the ends lead to.
    """
    waiting = [row.id for row in rows if row.kind == "task" and row.status != "running"]
    at_work = [row.id for row in rows if row.kind == "task" and row.status == "running"]
    controls = [row.id for row in rows if row.kind != "task"]
    data = {"reason": reason, "by": by}
    ended: list[Any] = []
    if waiting:
        outbox.hold(conn, waiting)
        ended += transitions.move(conn, "cancelled", waiting, data=data, reason=reason)
        # Claimed since it was read: it runs now.
        at_work += sorted(set(waiting) - {row.id for row in ended})
    if at_work:
        tasks.request_cancels(conn, at_work, reason)
    if controls:
        paused = [row.id for row in rows if row.kind != "task" and row.status == "paused"]
        ended += transitions.move(conn, "cancelled", paused, data=data, reason=reason) if paused else []
        ended += transitions.move(conn, "stopped", controls, data=data, reason=reason)
        for run_id in steps.sub_runs(conn, controls):
            ended += stop_run(conn, run_id, reason, by)
    return ended


def stop_run(conn: Connection, run_id: UUID, reason: str, by: str, error: dict[str, Any] | None = None) -> list[Any]:
    """Have a run stop: everything in it, and itself once that has ended; returns the rows that ended at once.

    It ends ``cancelled``, or with an ``error`` ``failed``.
    """
    runs.request_cancel(conn, run_id, reason, error)
    ended: list[Any] = []
    # A step that began meanwhile may have made rows that the look before did not see.
    while rows := [row for row in steps.below(conn, [run_id]) if row.status != "running" or row.kind != "task"]:
        stopped = stop_rows(conn, rows, reason, by)
        ended += stopped
        if not stopped:
            break
    running = [row for row in steps.below(conn, [run_id]) if row.kind == "task" and row.status == "running"]
    if running:
        stop_rows(conn, running, reason, by)
    return ended
