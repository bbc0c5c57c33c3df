"""Waits for a task, or a run, to end."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from uuid import UUID

from taskengine.domain.states import FINAL, RUN_FINAL
from taskengine.domain.task import Caller
from taskengine.lifecycle import query, query_runs
from taskengine.lifecycle.engine import Engine

# A wake-up can be lost with Redis; then the record is looked at this often.
_LOOK_SECONDS = 2.0
# A task that was submitted a moment ago is looked at soon: it may have ended before anybody listened.
_FIRST_LOOK_SECONDS = 0.02
_TIMES = ("started_at", "updated_at", "completed_at")


def wait(
    engine: Engine, caller: Caller, task_id: UUID, seconds: float, *, made: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The task, as soon as it is final, or as it stands after ``seconds``. NotFound at once if there is none.

    ``made`` is the task as its submission, a moment ago, returned it: that saves the first look.
    """
    until = time.monotonic() + seconds
    waiter = engine.finishes.register(task_id)
    try:
        task = made or query.task(engine, caller, task_id)
        pause = _LOOK_SECONDS if made is None else _FIRST_LOOK_SECONDS
        while task["status"] not in FINAL and (left := until - time.monotonic()) > 0:
            waiter.wait(min(left, pause))
            waiter.clear()
            task = _ended(task, waiter.end) or query.task(engine, caller, task_id)
            pause = _LOOK_SECONDS
        return task
    finally:
        engine.finishes.forget(waiter, task_id)


def wait_run(engine: Engine, caller: Caller, run_id: UUID, seconds: float) -> dict[str, Any]:
    """The run, as soon as it is final, or as it stands after ``seconds``. NotFound at once if there is none."""
    until = time.monotonic() + seconds
    waiter = engine.finishes.register(run_id)
    try:
        run = query_runs.run(engine, caller, run_id)
        while run["status"] not in RUN_FINAL and (left := until - time.monotonic()) > 0:
            waiter.wait(min(left, _LOOK_SECONDS))
            waiter.clear()
            run = query_runs.run(engine, caller, run_id)
        return run
    finally:
        engine.finishes.forget(waiter, run_id)


def _ended(task: dict[str, Any], end: dict[str, Any] | None) -> dict[str, Any] | None:
    if end is None:
        return None
    times = {name: datetime.fromisoformat(end[name]) for name in _TIMES}
    return task | end | times | {"id": task["id"], "run_at": None}
