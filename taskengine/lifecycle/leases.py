"""Leases: agents take tasks off the lines of their capabilities. A lease is a claim, and its id is the execution's.

So everything that is true of an execution is true of a lease: one holder, a time after which it is given up, fencing,
retries, dead letters, history.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any
from uuid import UUID

from taskengine.domain import lines
from taskengine.domain.errors import EngineError, HandlerError, TransientError
from taskengine.domain.outcome import Failed
from taskengine.domain.task import Caller
from taskengine.lifecycle import query, run
from taskengine.lifecycle.claim import claim, hold_back
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.held import Held
from taskengine.lifecycle.run import Ended
from taskengine.store import agents as store
from taskengine.store import outbox

_LOOK_SECONDS = 1.0
"""A wake-up can be lost with Redis, and an agent can be gone; both are looked at this often."""
_SEEN_SECONDS = 10.0
"""How often an agent that waits is noted as alive."""


def lease(
    engine: Engine, caller: Caller, agent_id: str, most: int, lease_seconds: float | None = None
) -> list[dict[str, Any]]:
    """Lease up to ``most`` tasks to an agent, by priority and age over all its capabilities; none if none waits.

    An agent never holds more than its ``max_concurrent``. Tasks whose config cannot be rendered end here. NotFound if
    there is no such agent.
    """
    seconds = lease_seconds or engine.settings.lease_seconds
    ids = _take(engine, caller, agent_id, most, seconds)
    if not ids:
        return []
    with engine.db.autocommit() as conn:
        rows = {row.execution_id: row for row in store.leases(conn, caller.organization_id, ids)}
    offered = (_offer(Held(engine, rows[item]), seconds) for item in ids if item in rows)
    return [item for item in offered if item is not None]


def _take(engine: Engine, caller: Caller, agent_id: str, most: int, seconds: float) -> list[UUID]:
    with engine.db.begin() as conn:
        agent = store.seen(conn, caller.organization_id, agent_id)
        if agent is None:
            raise query.missing("agent", agent_id)
        room = min(most, agent.max_concurrent - store.open_leases(conn, caller.organization_id, agent_id))
        if room <= 0:
            return []
        wanted = [lines.of_capability(name) for name in agent.capabilities]
        first = outbox.first(conn, caller.organization_id, wanted, room)
        if not first:
            return []
        attempts = [(row.task_id, row.attempt) for row in first]
        claimed, _ = claim(engine, attempts, store.worker_name(agent_id), seconds)
    if len(claimed) < len(attempts):
        hold_back(engine, {task_id for task_id, _ in attempts} - {item.task_id for item in claimed})
    return [item.execution_id for item in claimed]


def _offer(held: Held, seconds: float) -> dict[str, Any] | None:
    """What the agent gets; None where the attempt had to end at once."""
    try:
        offered = held.offered()
        if seconds > held.time_limit:
            with held.engine.db.autocommit() as conn:
                offered["lease_until"] = store.extend(conn, held.claimed.execution_id, seconds, held.time_limit)
        return offered
    except TransientError as error:
        after = error.retry_after_seconds
        outcome = Failed(run.redacted(held.redactor, error.info), transient=True, retry_after_seconds=after)
    except HandlerError as error:
        outcome = Failed(run.redacted(held.redactor, error.info), transient=False)
    except EngineError as error:
        outcome = run.engine_fault(held.redactor, error)
    finally:
        held.context.close()
    finish(held.engine, [Ended(held.claimed, outcome)], patience_seconds=0)
    return None


def waiting(
    engine: Engine, caller: Caller, agent_id: str, most: int, lease_seconds: float | None, seconds: float
) -> Generator[list[dict[str, Any]] | None, None, None]:
    """:func:`lease`, as soon as there is something to lease; an empty list after ``seconds``, or with the agent.

    None comes about every second, and before each lease: the caller goes on only if there is still somebody to lease
    to. In between this sleeps until it is woken for a line of the agent's, and looks in case a wake-up was lost.
    """
    until = time.monotonic() + seconds
    seen_at = time.monotonic()
    watched = [lines.of_capability(name) for name in _look(engine, caller, agent_id).capabilities]
    waiter = engine.finishes.register(*watched)
    try:
        while True:
            waiter.clear()
            yield None
            if _look(engine, caller, agent_id).in_line:
                if found := lease(engine, caller, agent_id, most, lease_seconds):
                    yield found
                    return
            elif time.monotonic() - seen_at > _SEEN_SECONDS:
                _note(engine, caller, agent_id)
                seen_at = time.monotonic()
            left = until - time.monotonic()
            if left <= 0:
                yield []
                return
            waiter.wait(min(left, _LOOK_SECONDS))
    finally:
        engine.finishes.forget(waiter, *watched)


def _look(engine: Engine, caller: Caller, agent_id: str) -> Any:
    with engine.db.autocommit() as conn:
        agent = store.look(conn, caller.organization_id, agent_id)
    if agent is None:
        raise query.missing("agent", agent_id)
    return agent


def _note(engine: Engine, caller: Caller, agent_id: str) -> None:
    with engine.db.autocommit() as conn:
        store.seen(conn, caller.organization_id, agent_id)
