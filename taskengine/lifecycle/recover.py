"""The reconciler: finds what should have moved and did not. Every step may run anywhere, any number of times.

1. release what is due (scheduled tasks, retries)
2. cancel what expired before it started
3. give up attempts whose lease ran out
4. ring again for published tasks that nobody claimed
5. dispatch the lines that have room in the broker
6. send canaries, so that a deaf worker is found
7. forget what nobody needs any more
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection

from config.settings import QUEUES
from taskengine.broker.publish import BrokerDown
from taskengine.domain.errors import ErrorInfo
from taskengine.lifecycle import dispatch
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import tell
from taskengine.lifecycle.prune import prune
from taskengine.store import idempotency, outbox, queues, tasks, transitions

log = structlog.get_logger(__name__)

_BATCH = 1000
_ROUNDS = 20
CANARY_SECONDS = 15
_CLEANING_SECONDS = 60
_PRUNED_BATCHES = 5


def tick(engine: Engine, holder: str) -> bool:
    """One round of the reconciler; False if another just did one. Beat rings for it every ``tick_seconds``."""
    with engine.db.autocommit() as conn:
        if not queues.take_turn(conn, "tick", holder, engine.settings.tick_seconds / 2):
            return False
    release_due(engine)
    cancel_expired(engine)
    give_up_lost(engine)
    ring_again(engine)
    dispatch_lines(engine)
    send_canaries(engine, holder)
    clean(engine, holder)
    return True


def release_due(engine: Engine) -> int:
    """1. Queue deferred and retrying tasks whose time has come."""
    released = 0
    for _ in range(_ROUNDS):
        with engine.db.begin() as conn:
            due = tasks.due(conn, _BATCH)
            if due:
                moved = transitions.move(conn, "queued", [row.id for row in due])
                dispatch.after_commit(engine, {row.queue for row in moved})
        released += len(due)
        if len(due) < _BATCH:
            break
    return released


def cancel_expired(engine: Engine) -> int:
    """2. End tasks that were not started by their ``expires_at``."""
    error = ErrorInfo("expired", "expires_at passed before the task started").as_dict()
    ended: list[Any] = []
    with engine.db.begin() as conn:
        expired = tasks.expired(conn, _BATCH)
        if expired:
            ended = transitions.move(conn, "expired", expired, data=error)
            _advance(engine, conn, ended)
    tell(engine, ended)
    return len(ended)


def give_up_lost(engine: Engine) -> int:
    """3. End attempts whose worker fell silent; their tasks queue again."""
    error = ErrorInfo("worker_lost", "the worker fell silent and the attempt was given up").as_dict()
    with engine.db.begin() as conn:
        lost = transitions.lose(conn, lost_limit=engine.settings.lost_limit, error=error, limit=_BATCH)
        if lost:
            log.warning("attempts_lost", count=len(lost))
            _advance(engine, conn, [row for row in lost if row.completed_at is not None])
            dispatch.after_commit(engine, {row.queue for row in lost if row.status == "queued"})
    tell(engine, lost)
    return len(lost)


def _advance(engine: Engine, conn: Connection, ended: Sequence[Any]) -> None:
    dispatch.after_commit(engine, advance(conn, ended))


def ring_again(engine: Engine) -> int:
    """4. Put published tasks back in line that nobody claimed and that no message in the broker names."""
    rung = 0
    with engine.db.autocommit() as conn:
        overdue = outbox.overdue(conn, engine.settings.relay_seconds)
    for queue, late in overdue.items():
        try:
            held = engine.publisher.held(queue)
        except BrokerDown:
            continue
        lost = [task_id for task_id in late if task_id not in held]
        if lost:
            # One that was claimed meanwhile is gone from the outbox; one too many messages would find nothing.
            with engine.db.autocommit() as conn:
                outbox.unpublish(conn, lost)
            rung += len(lost)
    if rung:
        log.warning("rung_again", tasks=rung)
    return rung


def dispatch_lines(engine: Engine) -> int:
    """5. Fill the windows of queues that have tasks in line."""
    with engine.db.autocommit() as conn:
        lines = outbox.queues_in_line(conn, QUEUES)
    return sum(dispatch.dispatch(engine, queue) for queue in lines)


def send_canaries(engine: Engine, holder: str) -> None:
    """6. Let every queue's worker prove that it hears."""
    with engine.db.autocommit() as conn:
        if not queues.take_turn(conn, "canary", holder, CANARY_SECONDS):
            return
        unanswered = queues.canaries_out(conn)
    try:
        # One canary a queue is enough: behind long tasks, or without a worker, they would pile up.
        due = [name for name in QUEUES if name not in unanswered or not engine.publisher.waiting(name)]
        with engine.db.autocommit() as conn:
            queues.canaries_sent(conn, due)
        engine.publisher.canaries(due)
    except BrokerDown as error:
        log.warning("canaries_not_sent", reason=str(error))


def clean(engine: Engine, holder: str) -> None:
    """7. Forget old idempotency keys, and finished tasks where the operator wants that."""
    with engine.db.autocommit() as conn:
        if not queues.take_turn(conn, "clean", holder, _CLEANING_SECONDS):
            return
        idempotency.forget_old(conn)
    if engine.settings.retention_days:
        # The tick has other duties: what is left waits for the next minute, or for `taskengine prune`.
        prune(engine, engine.settings.retention_days, most_batches=_PRUNED_BATCHES)


def canary_back(engine: Engine, queue: str) -> None:
    """A worker took its queue's canary. While it waited, others left the line alone: look at it now."""
    with engine.db.autocommit() as conn:
        queues.canary_back(conn, queue)
    dispatch.dispatch(engine, queue)
