"""The Celery tasks: thin entries to the lifecycle. A message is a hint, so none of them ever fails or retries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from celery import Task, shared_task
from celery.app.task import Context

from taskengine.broker.publish import CANARY, DELIVER, EXPAND, RUN, TICK
from taskengine.domain.errors import EngineError
from taskengine.lifecycle import recover
from taskengine.lifecycle.consume import consume
from workers import state

log = structlog.get_logger(__name__)


def _queue(request: Context) -> str:
    """The queue whose line has moved. What was sent to this worker alone is of the queue that its name begins with."""
    return str((request.delivery_info or {}).get("routing_key", "")).partition("@")[0]


@shared_task(name=RUN, bind=True, ignore_result=True)
def run(self: Task[Any, Any], attempts: list[tuple[str, int]]) -> int:
    """Run the attempts that a message names, where they are still there to be claimed."""
    process = state.get()
    try:
        parsed = [(UUID(task_id), int(attempt)) for task_id, attempt in attempts]
    except (ValueError, TypeError):
        log.warning("malformed_message")
        return 0
    try:
        return consume(process.engine, process.watch, _queue(self.request), parsed, process.worker)
    except EngineError as error:
        log.warning("message_dropped", reason=str(error))
        return 0


@shared_task(name=TICK, ignore_result=True)
def tick() -> None:
    """One round of the reconciler."""
    process = state.get()
    try:
        recover.tick(process.engine, process.worker)
    except EngineError as error:
        log.warning("tick_interrupted", reason=str(error))


@shared_task(name=EXPAND, ignore_result=True)
def expand(expansion_id: str) -> None:
    """Make the rest of an expansion's children."""
    try:
        recover.make_children(state.get().engine, UUID(expansion_id))
    except (EngineError, ValueError) as error:
        log.warning("expansion_interrupted", reason=str(error))


@shared_task(name=DELIVER, ignore_result=True)
def deliver(which: str) -> None:  # noqa: ARG001 - what is due is in the record
    """Send the outgoing messages that are due, beside the tasks to come."""
    state.get().sender.wake()


@shared_task(name=CANARY, ignore_result=True)
def canary(queue: str) -> None:
    """Prove that this queue's worker hears."""
    recover.canary_back(state.get().engine, queue)
