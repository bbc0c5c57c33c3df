"""Stops what is open: at once where nothing runs, through its worker where something does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.lifecycle.came import Came
from taskengine.store import outbox, runs, steps, tasks, transitions


def stop_rows(conn: Connection, rows: Sequence[Any], reason: str | None, by: str) -> Came:
    """Cancel rows (id, kind, status, scope_id), and the runs that wait below them.

    Running tasks end within seconds, by their own attempt, and the steps around them after them; the rest ends now.
    """
    came = Came()
    seen: set[UUID] = set()
    fresh = list(rows)
    while fresh:
        seen |= {row.id for row in fresh}
        came.add(_stop(conn, fresh, reason, by))
        # A step that went on meanwhile may have made rows that the look before did not see. Once it has been stopped
        # nothing else leads to them.
        made = {row.id: row for row in steps.below(conn, sorted(seen)) if row.id not in seen}
        fresh = list(made.values())
    return came


def _stop(conn: Connection, rows: Sequence[Any], reason: str | None, by: str) -> Came:
    waiting = [row.id for row in rows if row.kind == "task" and row.status != "running"]
    at_work = {row.id for row in rows if row.kind == "task" and row.status == "running"}
    controls = [row for row in rows if row.kind != "task"]
    data = {"reason": reason, "by": by}
    came = Came()
    if waiting:
        outbox.hold(conn, waiting)
        came.ended += transitions.move(conn, "cancelled", waiting, data=data, reason=reason)
        # Claimed since it was read: it runs now.
        at_work |= set(waiting) - {row.id for row in came.ended}
    if at_work:
        tasks.request_cancels(conn, sorted(at_work), reason)
    # Tasks may have runs of their own: parked ones wait for them, and so do those that are about to be tried again.
    for run in steps.sub_runs(conn, [row.id for row in came.ended]):
        came.add(stop_run(conn, run.id, reason, by))
    inner = steps.sub_runs(conn, [row.id for row in controls if row.kind == "workflow"])
    for run in inner:
        came.add(stop_run(conn, run.id, reason, by))
    around = _around(rows, at_work) | {run.parent_task_id for run in inner}
    around |= _around(rows, around)
    if kept := sorted(row.id for row in controls if row.id in around):
        tasks.request_cancels(conn, kept, reason)
        came.scopes |= set(kept)
    idle = [row for row in controls if row.id not in around]
    for move, chosen in (
        ("cancelled", [row.id for row in idle if row.status == "paused"]),
        ("stopped", [row.id for row in idle if row.status != "paused"]),
    ):
        if chosen:
            came.ended += transitions.move(conn, move, chosen, data=data, reason=reason)
    return came


def _around(rows: Sequence[Any], inner: set[UUID]) -> set[UUID]:
    """The steps, at any height, in which some of ``inner`` are."""
    scope_of = {row.id: row.scope_id for row in rows}
    found: set[UUID] = set()
    for row_id in inner:
        scope = scope_of.get(row_id)
        while scope is not None and scope not in found:
            found.add(scope)
            scope = scope_of.get(scope)
    return found


def stop_run(conn: Connection, run_id: UUID, reason: str | None, by: str, error: dict[str, Any] | None = None) -> Came:
    """Have a run stop: everything in it, and itself once that has ended.

    It ends ``cancelled``, or with an ``error`` ``failed``.
    """
    runs.request_cancel(conn, run_id, reason, error)
    came = Came(scopes={run_id})
    came.add(stop_rows(conn, steps.below(conn, [run_id]), reason, by))
    return came
