"""What a worker does with a message, step by step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from taskengine.domain.errors import EngineError
from taskengine.lifecycle import dispatch, scratch, tell
from taskengine.lifecycle.advance import Carry, Untold
from taskengine.lifecycle.claim import Claimed, claim, hold_back
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended, run, stopped
from taskengine.lifecycle.watch import Attempt, Watch
from taskengine.store import executions

log = structlog.get_logger(__name__)

_TELLING_SECONDS = 0.02


def consume(engine: Engine, watch: Watch, queue: str, attempts: Sequence[tuple[UUID, int]], worker: str) -> int:
    """Claim, run and finish what a message names; returns how many attempts were recorded.

    A message with nothing left to claim still makes room for others, so the queue's line moves on either way. Where a
    task's end lets the next link of a stretch go, and nothing else waits, that is taken along without a message.
    """
    claimed, more = claim(engine, attempts, worker)
    if len(claimed) < len(attempts):
        hold_back(engine, {task_id for task_id, _ in attempts} - {item.task_id for item in claimed})
    if not claimed:
        dispatch.dispatch(engine, queue)
        return 0
    recorded = 0
    stretch = Stretch(engine, queue, worker)
    try:
        while claimed:
            watch.hold(claimed)
            if more:
                _make_room(engine, queue)
            ended = [run(engine, watch, item) for item in claimed]
            carry = stretch.carry()
            recorded += finish(engine, ended, carry)
            stretch.keep(carry)
            claimed, more = stretch.next(carry)
        return recorded
    finally:
        watch.hold(())
        stretch.tell()


class Stretch:
    """Links of a chain that one worker works off one after the other."""

    def __init__(self, engine: Engine, queue: str, worker: str) -> None:
        self._engine = engine
        self._queue = queue
        self._worker = worker
        self._until = time.monotonic() + engine.settings.stretch_seconds
        self._told_at = time.monotonic()
        self._untold = Untold()

    def carry(self) -> Carry | None:
        """What may take along the next link; None once the stretch has been long enough."""
        return Carry(self._queue, self._worker) if time.monotonic() < self._until else None

    def next(self, carry: Carry | None) -> tuple[list[Claimed], bool]:
        """What the worker goes on with, and whether the queue has more in line."""
        if carry is None or not carry.taken:
            return [], False
        return (carry.claimed, False) if carry.claimed else claim(self._engine, carry.attempts, self._worker)

    def keep(self, carry: Carry | None) -> None:
        """Take over ends that whoever waits for them is yet to be told, every few milliseconds."""
        if carry is not None:
            self._untold.add(carry.untold)
        if time.monotonic() - self._told_at > _TELLING_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Tell of the ends that were kept back."""
        rows, results = self._untold.rows, self._untold.results
        self._untold, self._told_at = Untold(), time.monotonic()
        tell.ended(self._engine, rows, results)


def _make_room(engine: Engine, queue: str) -> None:
    """Let the line move on. An outage at this moment must not cost the attempts that are held already."""
    try:
        dispatch.dispatch(engine, queue)
    except EngineError as error:
        log.warning("dispatch_delayed", queue=queue, reason=str(error))


def give_up(engine: Engine, attempt: Attempt, held: Sequence[Claimed]) -> None:
    """Record an attempt that would not stop, and free the others of its pack; the process is killed after this."""
    timeout = attempt.claimed.timeout_seconds or 0
    handler = engine.registry.get(attempt.claimed.type)
    if not timeout and handler is not None:
        timeout = handler.timeout_seconds
    scratch.discard(engine.settings.home, attempt.claimed.execution_id)
    log.warning("attempt_killed", task_id=str(attempt.claimed.task_id), cause=attempt.cause)
    if attempt.cause != "lost":
        finish(engine, [Ended(attempt.claimed, stopped(attempt, None, timeout))])
    rest = [item.execution_id for item in held if item is not attempt.claimed]
    if rest:
        with engine.db.autocommit() as conn:
            executions.expire(conn, rest)
