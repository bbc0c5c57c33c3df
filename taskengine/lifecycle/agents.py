"""Agents: external executors that register, say that they live, and lease tasks (see ``leases``) over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from taskengine.domain import lines
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS, EVERY_SECONDS
from taskengine.store import agents as store
from taskengine.store import cursors, executions


def register(
    engine: Engine, caller: Caller, agent_id: str, type: str, capabilities: Sequence[str], max_concurrent: int
) -> tuple[dict[str, Any], bool]:
    """Register an agent, or replace what is registered under its id; returns it, and whether it is new.

    An agent that starts again keeps the leases that it held.
    """
    values = {"id": agent_id, "type": type, "capabilities": sorted(set(capabilities)), "max_concurrent": max_concurrent}
    with engine.db.begin() as conn:
        made = store.put(conn, caller.organization_id, values)
        row = store.get(conn, caller.organization_id, agent_id, ALIVE_SECONDS)
    return shown(row), made


def listing(engine: Engine, caller: Caller, capability: str | None, page: PageRequest) -> Page:
    """Agents by id; those with a capability if one is named."""
    after = cursors.decode_text(page.cursor)
    with engine.db.autocommit() as conn:
        rows = store.listing(
            conn, caller.organization_id, ALIVE_SECONDS, capability=capability, after=after, limit=page.limit + 1
        )
    found = cursors.page(rows, page.limit, lambda row: cursors.encode_text(row.id))
    return Page([item | {"heartbeat_seconds": EVERY_SECONDS} for item in found.items], found.next_cursor)


def get(engine: Engine, caller: Caller, agent_id: str) -> dict[str, Any]:
    """One agent, with the leases that it holds."""
    with engine.db.autocommit() as conn:
        return _with_leases(conn, caller, agent_id)


def heartbeat(engine: Engine, caller: Caller, agent_id: str) -> dict[str, Any]:
    """Note that an agent lives; returns it with its leases, of which those ``cancelled`` are to be stopped.

    The leases themselves are extended one by one.
    """
    with engine.db.autocommit() as conn:
        store.seen(conn, caller.organization_id, agent_id)
        return _with_leases(conn, caller, agent_id)


def remove(engine: Engine, caller: Caller, agent_id: str) -> None:
    """Delete an agent. What it holds is given up with the next round of the reconciler, and leased to others."""
    with engine.db.begin() as conn:
        executions.expire(conn, [row.execution_id for row in store.held(conn, caller.organization_id, agent_id)])
        if not store.remove(conn, caller.organization_id, agent_id):
            raise query.missing("agent", agent_id)


def _with_leases(conn: Connection, caller: Caller, agent_id: str) -> dict[str, Any]:
    row = store.get(conn, caller.organization_id, agent_id, ALIVE_SECONDS)
    if row is None:
        raise query.missing("agent", agent_id)
    return shown(row) | {"leases": [held(item) for item in store.held(conn, caller.organization_id, agent_id)]}


def shown(row: Any) -> dict[str, Any]:
    """An agent as the HTTP contract shows it."""
    return dict(row._mapping) | {"heartbeat_seconds": EVERY_SECONDS}


def held(row: Any) -> dict[str, Any]:
    """A lease as it is told to the agent that holds it."""
    return {
        "id": row.execution_id,
        "task_id": row.id,
        "capability": lines.capability_of(row.line),
        "lease_until": row.lease_until,
        "cancelled": row.cancel_requested_at is not None,
        "cancel_reason": row.cancel_reason,
    }
