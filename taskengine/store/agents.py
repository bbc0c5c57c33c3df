"""Agents: who they are, whether they live, and the attempts that they hold. A lease is an execution of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, text

from taskengine.store.database import Rows
from taskengine.store.tables import agents, function_grants

_WORKER = "agent:"


def worker_name(agent_id: str) -> str:
    """How an agent is named as the holder of executions. It tells agents apart within an organization."""
    return _WORKER + agent_id


_PUT = text(
    """
    INSERT INTO agents (organization_id, id, type, capabilities, max_concurrent, updated_at, seen_at)
    VALUES (:organization_id, :id, :type, :capabilities, :max_concurrent, now(), now())
    ON CONFLICT (organization_id, id) DO UPDATE SET type = excluded.type, capabilities = excluded.capabilities,
        max_concurrent = excluded.max_concurrent, updated_at = now(), seen_at = now()
    RETURNING xmax = 0 AS made
    """
)


def put(conn: Connection, organization_id: UUID, values: dict[str, Any]) -> bool:
    """Register an agent, or replace what is registered under its id; True if it is new."""
    return bool(conn.execute(_PUT, values | {"organization_id": organization_id}).scalar_one())


_OPEN = """
    (SELECT count(*) FROM executions e WHERE e.status = 'running' AND e.organization_id = a.organization_id
        AND e.worker = 'agent:' || a.id)
"""
_SHOWN = f"""
    SELECT a.id, a.type, a.capabilities, a.max_concurrent, a.created_at, a.updated_at, a.seen_at,
        a.seen_at > now() - make_interval(secs => :alive) AS alive, {_OPEN} AS open_leases
    FROM agents a WHERE a.organization_id = :organization_id
"""
_GET = text(_SHOWN + " AND a.id = :id")
_LIST = text(
    _SHOWN
    + """
    AND (CAST(:after AS text) IS NULL OR a.id > :after)
    AND (CAST(:capability AS text) IS NULL OR :capability = ANY(a.capabilities))
    ORDER BY a.id LIMIT :limit
    """
)


def get(conn: Connection, organization_id: UUID, agent_id: str, alive_seconds: float) -> Any | None:
    """One agent with ``alive`` and ``open_leases``, or None. Open leases come from executions_lease_idx."""
    params = {"organization_id": organization_id, "id": agent_id, "alive": alive_seconds}
    return conn.execute(_GET, params).first()


def listing(
    conn: Connection,
    organization_id: UUID,
    alive_seconds: float,
    *,
    capability: str | None,
    after: str | None,
    limit: int,
) -> Rows:
    """Agents by id, as :func:`get` returns them; those with ``capability`` if one is named."""
    params = {"organization_id": organization_id, "alive": alive_seconds}
    return list(conn.execute(_LIST, params | {"capability": capability, "after": after, "limit": limit}))


def remove(conn: Connection, organization_id: UUID, agent_id: str) -> bool:
    """Delete; False if there is none. Its leases are the caller's to end."""
    statement = delete(agents).where(agents.c.organization_id == organization_id, agents.c.id == agent_id)
    return conn.execute(statement).rowcount == 1


_SEEN = text(
    """
    UPDATE agents SET seen_at = now() WHERE organization_id = :organization_id AND id = :id
    RETURNING capabilities, max_concurrent
    """
)


def seen(conn: Connection, organization_id: UUID, agent_id: str) -> Any | None:
    """Note that an agent lives; returns its capabilities and max_concurrent, None if there is no such agent.

    It stays locked until the transaction ends, so that calls at the same time do not lease too many together.
    """
    return conn.execute(_SEEN, {"organization_id": organization_id, "id": agent_id}).first()


def seen_holding(conn: Connection, organization_id: UUID, worker: str) -> None:
    """Note that the agent which holds an execution lives."""
    conn.execute(_SEEN, {"organization_id": organization_id, "id": worker.removeprefix(_WORKER)})


_OPEN_LEASES = text(f"SELECT {_OPEN} FROM agents a WHERE a.organization_id = :organization_id AND a.id = :id")


def open_leases(conn: Connection, organization_id: UUID, agent_id: str) -> int:
    """How many leases an agent holds."""
    return int(conn.execute(_OPEN_LEASES, {"organization_id": organization_id, "id": agent_id}).scalar_one())


_LOOK = text(
    """
    SELECT a.capabilities, EXISTS (
        SELECT FROM unnest(a.capabilities) AS c(name) CROSS JOIN LATERAL (
            SELECT FROM outbox o WHERE o.queue = 'agent:' || c.name AND o.organization_id = a.organization_id
                AND o.published_at IS NULL LIMIT 1) waiting) AS in_line
    FROM agents a WHERE a.organization_id = :organization_id AND a.id = :id
    """
)


def look(conn: Connection, organization_id: UUID, agent_id: str) -> Any | None:
    """An agent's capabilities, and whether tasks wait for one of them: a probe of outbox_ready_idx each.

    None if there is no such agent.
    """
    return conn.execute(_LOOK, {"organization_id": organization_id, "id": agent_id}).first()


_STANDING = text(
    f"""
    WITH able AS (
        SELECT a.seen_at > now() - make_interval(secs => :alive) AS alive, a.max_concurrent > {_OPEN} AS free
        FROM agents a WHERE a.organization_id = :organization_id AND :capability = ANY(a.capabilities)
    )
    SELECT count(*) AS registered, count(*) FILTER (WHERE alive) AS alive,
        count(*) FILTER (WHERE alive AND free) AS free
    FROM able
    """
)


def standing(conn: Connection, organization_id: UUID, capability: str, alive_seconds: float) -> Any:
    """How many agents with a capability are registered, alive, and have room for another lease."""
    params = {"organization_id": organization_id, "capability": capability, "alive": alive_seconds}
    return conn.execute(_STANDING, params).one()


_LEASES = """
    SELECT t.*, e.id AS execution_id, e.status AS execution_status, e.attempt AS number, e.started_at AS claimed_at,
        e.lease_until, e.worker, e.queue AS line
    FROM executions e JOIN tasks t ON t.id = e.task_id
    WHERE e.worker LIKE 'agent:%'
"""
_OWN = _LEASES + " AND e.organization_id = :organization_id"
_LEASES_BY_ID = text(_OWN + " AND e.id = ANY(CAST(:ids AS uuid[]))")
_HELD = text(_OWN + " AND e.status = 'running' AND e.worker = :worker ORDER BY e.started_at, e.id")
_OVERDUE = text(_LEASES + " AND e.status = 'running' AND e.lease_until < now() ORDER BY e.lease_until LIMIT :limit")


def leases(conn: Connection, organization_id: UUID, ids: Sequence[UUID]) -> Rows:
    """Leases by id, whether they are held still or have ended.

    All columns of the task, and execution_id, execution_status, number (of the attempt), claimed_at, lease_until,
    worker, line.
    """
    return list(conn.execute(_LEASES_BY_ID, {"organization_id": organization_id, "ids": list(ids)}))


def held(conn: Connection, organization_id: UUID, agent_id: str) -> Rows:
    """The leases that an agent holds, oldest first, as :func:`leases` returns them."""
    return list(conn.execute(_HELD, {"organization_id": organization_id, "worker": worker_name(agent_id)}))


def overdue(conn: Connection, limit: int) -> Rows:
    """Leases of all organizations that ran out, as :func:`leases` returns them. Uses executions_lease_idx."""
    return list(conn.execute(_OVERDUE, {"limit": limit}))


_EXTEND = text(
    """
    UPDATE executions SET lease_until = least(now() + make_interval(secs => :seconds),
        started_at + make_interval(secs => :time_limit))
    WHERE id = :id AND status = 'running' RETURNING lease_until
    """
)


def extend(conn: Connection, execution_id: UUID, seconds: float, time_limit: float) -> Any | None:
    """Hold an attempt for ``seconds`` from now, at most until its time limit; the new end, None if it has ended."""
    params = {"id": execution_id, "seconds": seconds, "time_limit": time_limit}
    return conn.execute(_EXTEND, params).scalar()


_GRANT = text(
    "INSERT INTO function_grants (organization_id, function) VALUES (:organization_id, :function)"
    " ON CONFLICT DO NOTHING"
)


def grant(conn: Connection, organization_id: UUID, function: str) -> bool:
    """Let an organization call a function; False if it may already."""
    return conn.execute(_GRANT, {"organization_id": organization_id, "function": function}).rowcount == 1


def revoke(conn: Connection, organization_id: UUID, function: str) -> bool:
    """Take a grant back; False if there is none."""
    statement = delete(function_grants).where(
        function_grants.c.organization_id == organization_id, function_grants.c.function == function
    )
    return conn.execute(statement).rowcount == 1


def granted(conn: Connection, organization_id: UUID, function: str) -> bool:
    """Whether an organization may call a function."""
    query = select(function_grants.c.function).where(
        function_grants.c.organization_id == organization_id, function_grants.c.function == function
    )
    return conn.execute(query).first() is not None


_GRANTS = text(
    """
    SELECT g.function, o.name AS organization FROM function_grants g JOIN organizations o ON o.id = g.organization_id
    ORDER BY g.function, o.name
    """
)


def grants(conn: Connection) -> Rows:
    """(function, organization) of all grants, for the operator."""
    return list(conn.execute(_GRANTS))
