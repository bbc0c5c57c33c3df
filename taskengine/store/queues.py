"""Queues as operators see them, the workers on them, and who leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from taskengine.store.database import Rows, in_json

_OVERVIEW = text(
    """
    SELECT wanted.name,
        coalesce(q.paused, false) AS paused, coalesce(q.draining, false) AS draining, q.canary_sent_at, q.canary_at,
        (SELECT count(*) FROM outbox o WHERE o.queue = wanted.name) AS depth,
        (SELECT count(*) FROM outbox o WHERE o.queue = wanted.name AND o.published_at IS NOT NULL) AS in_flight,
        (SELECT extract(epoch FROM now() - o.enqueued_at) FROM outbox o WHERE o.queue = wanted.name
            ORDER BY o.enqueued_at LIMIT 1) AS oldest_age_seconds,
        (SELECT count(*) FROM executions e WHERE e.status = 'running' AND e.queue = wanted.name) AS running,
        (SELECT count(*) FROM workers w WHERE w.queue = wanted.name
            AND w.seen_at > now() - make_interval(secs => :alive)) AS workers,
        (SELECT coalesce(sum(w.pool_size), 0) FROM workers w WHERE w.queue = wanted.name
            AND w.seen_at > now() - make_interval(secs => :alive)) AS slots,
        (SELECT count(*) FROM tasks t WHERE t.completed_at > now() - interval '1 minute'
            AND t.queue = wanted.name) AS finished_per_minute
    FROM unnest(CAST(:names AS text[])) AS wanted(name)
    LEFT JOIN queues q ON q.name = wanted.name
    """
)


def overview(conn: Connection, names: Sequence[str], alive_seconds: float) -> Rows:
    """One row a queue. Depth and age come from the outbox's indexes, running from executions_lease_idx."""
    return list(conn.execute(_OVERVIEW, {"names": list(names), "alive": alive_seconds}))


_SET = text(
    """
    INSERT INTO queues (name, paused, draining) VALUES (:name, :paused, :draining)
    ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, draining = excluded.draining
    """
)


def set_mode(conn: Connection, name: str, *, paused: bool, draining: bool) -> None:
    """Pause: nothing new starts. Drain: nothing new is accepted, what waits is worked off."""
    conn.execute(_SET, {"name": name, "paused": paused, "draining": draining})


_SEEN = text(
    """
    INSERT INTO workers (name, queue, pool_size, resources, started_at, seen_at)
    VALUES (:name, :queue, :pool_size, CAST(:resources AS json), now(), now())
    ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, pool_size = excluded.pool_size,
        resources = excluded.resources, seen_at = now()
    """
)
_GONE = text("DELETE FROM workers WHERE name = :name OR seen_at < now() - interval '1 day'")


def worker_seen(conn: Connection, name: str, queue: str, pool_size: int, resources: Mapping[str, float]) -> None:
    """A worker says that it is alive, and what its machine has."""
    params = {"name": name, "queue": queue, "pool_size": pool_size, "resources": in_json(dict(resources))}
    conn.execute(_SEEN, params)


_LIVE = text(
    """
    SELECT queue, name, resources FROM workers
    WHERE queue = ANY(CAST(:queues AS text[])) AND seen_at > now() - make_interval(secs => :alive) ORDER BY name
    """
)


def live_workers(
    conn: Connection, queues: Sequence[str], alive_seconds: float
) -> dict[str, dict[str, dict[str, float]]]:
    """By queue and name, what each live worker's machine has."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in conn.execute(_LIVE, {"queues": list(queues), "alive": alive_seconds}):
        found.setdefault(row.queue, {})[row.name] = row.resources or {}
    return found


def worker_gone(conn: Connection, name: str) -> None:
    """A worker says goodbye."""
    conn.execute(_GONE, {"name": name})


_CANARY_SENT = text(
    """
    INSERT INTO queues (name, paused, draining, canary_sent_at)
    SELECT name, false, false, now() FROM unnest(CAST(:names AS text[])) AS name
    ON CONFLICT (name) DO UPDATE SET canary_sent_at = now()
    """
)
_CANARIES_OUT = text("SELECT name FROM queues WHERE canary_sent_at > coalesce(canary_at, '-infinity')")
_CANARY_BACK = text("UPDATE queues SET canary_at = now() WHERE name = :name")


def canaries_out(conn: Connection) -> set[str]:
    """Queues whose last canary nobody took yet."""
    return {row.name for row in conn.execute(_CANARIES_OUT)}


def canaries_sent(conn: Connection, names: Sequence[str]) -> None:
    """Note that a canary message went out to each queue."""
    conn.execute(_CANARY_SENT, {"names": list(names)})


def canary_back(conn: Connection, name: str) -> None:
    """A worker of the queue took its canary: it is not only alive, it hears."""
    conn.execute(_CANARY_BACK, {"name": name})


_LEAD = text(
    """
    INSERT INTO leaders (name, holder, held_until, acted_at)
    VALUES (:name, :holder, now() + make_interval(secs => :seconds), now())
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until, acted_at = now()
    WHERE leaders.holder = excluded.holder OR leaders.held_until < now()
    RETURNING name
    """
)


def lead(conn: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take or keep the lead for ``seconds``; False while somebody else holds it. The database clock decides."""
    return conn.execute(_LEAD, {"name": name, "holder": holder, "seconds": seconds}).first() is not None


_RESIGN = text("DELETE FROM leaders WHERE name = :name AND holder = :holder")


def resign(conn: Connection, name: str, holder: str) -> None:
    """Give the lead up, so that another takes over at once."""
    conn.execute(_RESIGN, {"name": name, "holder": holder})


_ACTED = text("SELECT name, holder, extract(epoch FROM now() - acted_at) AS age FROM leaders")


def leaders(conn: Connection) -> dict[str, tuple[str, float]]:
    """Who leads what, and seconds since they last acted."""
    return {row.name: (row.holder, float(row.age)) for row in conn.execute(_ACTED)}


def ping(conn: Connection) -> Any:
    """The server's version number, as proof that it answers."""
    return conn.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()


_TURN = text(
    """
    WITH settings AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    INSERT INTO leaders (name, holder, held_until, acted_at) SELECT :name, :holder, now(), now() FROM settings
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, acted_at = now()
    WHERE leaders.acted_at <= now() - make_interval(secs => :seconds)
    RETURNING name
    """
)


def take_turn(conn: Connection, name: str, holder: str, every_seconds: float) -> bool:
    """Whether a periodic duty is due; at most one caller in ``every_seconds`` is told so."""
    return conn.execute(_TURN, {"name": name, "holder": holder, "seconds": every_seconds}).first() is not None
