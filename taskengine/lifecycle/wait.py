"""Waits for a task to end."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from taskengine.domain.states import FINAL
from taskengine.domain.task import Caller
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine

# A wake-up can be lost with Redis; then the record is looked at this often.
_LOOK_SECONDS = 2.0


# A task that was submitted a moment ago is not done yet: the first look may wait for the wake-up this long.
_FRESH_SECONDS = 0.02


def wait(engine: Engine, caller: Caller, task_id: UUID, seconds: float, *, fresh: bool = False) -> dict[str, Any]:
    """The task, as soon as it is final, or as it stands after ``seconds``. NotFound at once if there is none.

    ``fresh`` says that the caller has just submitted it, which saves a look.
    """
    until = time.monotonic() + seconds
    event = engine.finishes.register(task_id)
    try:
        if fresh and event.wait(min(_FRESH_SECONDS, seconds)):
            event.clear()
        while True:
            task = query.task(engine, caller, task_id)
            left = until - time.monotonic()
            if task["status"] in FINAL or left <= 0:
                return task
            event.wait(min(left, _LOOK_SECONDS))
            event.clear()
    finally:
        engine.finishes.forget(task_id, event)
