"""From the line in Postgres to the broker: few messages at a time, by priority, in turns between organizations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection

from taskengine.broker.publish import BrokerDown, Message, direct
from taskengine.domain import lines
from taskengine.lifecycle import tell
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS
from taskengine.store import outbox

log = structlog.get_logger(__name__)


_LEAST_PACK = 16
"""Fewer small tasks than this share one message: splitting them would cost more than it gains."""


def dispatch(engine: Engine, queue: str, *, if_empty: bool = False) -> int:
    """Fill a queue's window in the broker from its line; returns how many tasks went out.

    ``if_empty``: only when no message waits in the broker. Otherwise all workers are busy, and the one that takes
    that message looks at the line anyway; what joins the line until then can share a pack.

    Never raises for a broker that is down: the tasks stay in line and the relay sends them later. A line of agents is
    none of the broker's: agents that wait are woken, and lease from it.
    """
    if lines.is_agents(queue):
        tell.waiting_for_agents(engine, queue)
        return 0
    settings = engine.settings
    try:
        waiting = engine.publisher.waiting(queue)
        room = settings.inflight_messages - waiting
        if room <= 0 or (if_empty and waiting):
            return 0
        with engine.db.autocommit() as conn:
            rows = _pick(engine, conn, queue, room)
        if rows:
            _publish(engine, rows, form(queue, rows, room, settings.pack_size))
        return len(rows)
    except BrokerDown as error:
        log.warning("dispatch_delayed", queue=queue, reason=str(error))
        return 0


def _pick(engine: Engine, conn: Connection, queue: str, room: int) -> list[Any]:
    """What goes out now. A worker gets one at a time of those that need what it has: another may be idle sooner.

    For each of them a worker is chosen by itself, so several may have chosen the same; all but the first choose anew.
    """
    kept: list[Any] = []
    while room:
        rows = outbox.pick(conn, queue, room=room, pack=engine.settings.pack_size, alive=ALIVE_SECONDS)
        given: set[str] = set()
        spare: list[UUID] = []
        for row in sorted(rows, key=_rank):
            if row.sent_to in given:
                spare.append(row.task_id)
                continue
            kept.append(row)
            if row.sent_to is not None:
                given.add(row.sent_to)
        if spare:
            outbox.unpublish(conn, spare)
        room = len(spare)
    return kept


def _rank(row: Any) -> tuple[int, int, int, UUID]:
    return (-row.priority, row.turn, -row.urgency, row.task_id)


def _publish(engine: Engine, rows: Sequence[Any], messages: Sequence[Message]) -> None:
    try:
        engine.publisher.publish(messages)
    except BrokerDown:
        with engine.db.autocommit() as conn:
            outbox.unpublish(conn, [row.task_id for row in rows])
        raise


def form(queue: str, rows: Sequence[Any], room: int, pack_size: int) -> list[Message]:
    """Messages for picked rows, in the order they should run.

    Small tasks share messages: as many packs as there is room for, so that all workers get their part, but none
    that is not worth its message and none over ``pack_size``. Others travel alone, and those that were picked for one
    worker go to that one.
    """
    ordered = sorted(rows, key=_rank)
    small = [row for row in ordered if row.light]
    size = min(pack_size, max(_LEAST_PACK, -(-len(small) // room)))
    packs = [small[start : start + size] for start in range(0, len(small), size)]
    messages = [(row.priority, [row]) for row in ordered if not row.light]
    messages += [(pack[0].priority, pack) for pack in packs]
    messages.sort(key=lambda item: (-item[0], item[1][0].turn))
    return [
        Message(
            direct(members[0].sent_to) if members[0].sent_to else queue,
            priority,
            [(row.task_id, row.attempt) for row in members],
        )
        for priority, members in messages
    ]


def send_now(engine: Engine, rows: Iterable[Any]) -> None:
    """Publish tasks that were marked as published when they were stored (the fast path), after their commit.

    On failure the rows stay marked; the relay finds that nobody claimed them and rings again.
    """
    try:
        engine.publisher.publish([Message(row.queue, row.priority, [(row.task_id, 1)]) for row in rows])
    except BrokerDown as error:
        log.warning("dispatch_delayed", reason=str(error))


def ring_expansion(engine: Engine, expansion_id: UUID) -> None:
    """Have the rest of an expansion's children made. On failure the reconciler makes them."""
    try:
        engine.publisher.expand(expansion_id)
    except BrokerDown as error:
        log.warning("expansion_delayed", reason=str(error))


def after_commit(engine: Engine, queues: Iterable[str]) -> None:
    """Dispatch these queues once the open transaction has committed."""
    for queue in sorted(set(queues)):
        engine.db.after_commit(partial(_quietly, engine, queue))


def _quietly(engine: Engine, queue: str) -> None:
    try:
        dispatch(engine, queue, if_empty=True)
    except Exception:
        # What was committed stands; the relay rings for it within a tick.
        log.exception("dispatch_failed", queue=queue)
