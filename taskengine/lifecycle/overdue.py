"""Ends what takes longer than it may: waits, steps, runs. What has been done in them is kept."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain.errors import ErrorInfo
from taskengine.domain.states import Kind
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.begin import failed
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.stop import stop_rows, stop_run
from taskengine.store import runs, steps, transitions


def _timeout(what: str, seconds: float) -> ErrorInfo:
    return ErrorInfo("timeout", f"{what}: the time limit of {seconds:g} s passed", {"timeout_seconds": seconds})


def end_step(engine: Engine, step_id: UUID) -> bool:
    """End a wait by its ``on_timeout``; have a step with rows of its own stop, and fail once those have ended.

    False if it was ended, or given more time, meanwhile.
    """
    with engine.db.begin() as conn:
        row = steps.late(conn, step_id)
        if row is None:
            return False
        advance(engine, conn, [], _end_wait(conn, row) if row.kind == Kind.wait else _stop(conn, row))
    return True


def _over(row: Any) -> ErrorInfo:
    return _timeout(f"step {row.path or row.name}", (row.step or {}).get("timeout_seconds", 0))


def _end_wait(conn: Connection, row: Any) -> Came:
    if row.step["on_timeout"] == "continue":
        return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": {"timed_out": True}}]))
    return failed(conn, row, _over(row))


def _stop(conn: Connection, row: Any) -> Came:
    steps.will_fail(conn, row.id, _over(row).as_dict())
    reason = "the step's time is up"
    came = stop_rows(conn, steps.below(conn, [row.id]), reason, "engine")
    for run in steps.sub_runs(conn, [row.id]):
        came.add(stop_run(conn, run.id, reason, "engine"))
    came.scopes.add(row.id)
    return came


def end_run(engine: Engine, run_id: UUID) -> bool:
    """Have a run stop whose time is up; it fails once everything in it has ended. False if it is ending already."""
    with engine.db.begin() as conn:
        run = runs.lock(conn, None, run_id)
        if run is None or run.completed_at is not None or run.cancel_requested_at is not None:
            return False
        error = _timeout("the run", run.timeout_seconds).as_dict()
        advance(engine, conn, [], stop_run(conn, run_id, "the run's time is up", "engine", error))
    return True
