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


def end_step(conn: Connection, row: Any) -> Came:
    """End a wait by its ``on_timeout``; have a step with rows of its own stop, and fail once those have ended."""
    step = row.step or {}
    error = _timeout(f"step {row.path or row.name}", step.get("timeout_seconds", 0))
    if row.kind == Kind.wait:
        if step["on_timeout"] == "continue":
            result = {"timed_out": True}
            return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": result}]))
        return failed(conn, row, error)
    if row.status != "running":
        return Came()
    steps.will_fail(conn, row.id, error.as_dict())
    reason = "the step's time is up"
    came = stop_rows(conn, steps.below(conn, [row.id]), reason, "engine")
    for run in steps.sub_runs(conn, [row.id]):
        came.add(stop_run(conn, run.id, reason, "engine"))
    came.scopes.add(row.id)
    return came


def end_run(engine: Engine, conn: Connection, run_id: UUID) -> None:
    """Have a run stop whose time is up; it fails once everything in it has ended."""
    run = runs.lock(conn, None, run_id)
    if run is None or run.completed_at is not None or run.cancel_requested_at is not None:
        return
    error = _timeout("the run", run.timeout_seconds).as_dict()
    advance(engine, conn, [], stop_run(conn, run_id, "the run's time is up", "engine", error))
