"""What task types remember, by organization, space and key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_PUT = text(
    """
    INSERT INTO memories (organization_id, space, key, value, ciphertext, updated_at, expires_at)
    VALUES (:organization_id, :space, :key, CAST(:value AS json), :ciphertext, now(),
        now() + make_interval(secs => :ttl_seconds))
    ON CONFLICT (organization_id, space, key) DO UPDATE SET value = excluded.value, ciphertext = excluded.ciphertext,
        updated_at = now(), expires_at = excluded.expires_at
    """
)


def put(
    conn: Connection,
    organization_id: UUID,
    space: str,
    key: str,
    *,
    value: str | None,
    ciphertext: bytes | None,
    ttl_seconds: float | None,
) -> None:
    """Store or replace: ``value`` is JSON, or ``ciphertext`` of it."""
    params = {"organization_id": organization_id, "space": space, "key": key}
    conn.execute(_PUT, params | {"value": value, "ciphertext": ciphertext, "ttl_seconds": ttl_seconds})


_GET = text(
    """
    SELECT value, ciphertext FROM memories WHERE organization_id = :organization_id AND space = :space AND key = :key
        AND (expires_at IS NULL OR expires_at > now())
    """
)


def get(conn: Connection, organization_id: UUID, space: str, key: str) -> Any | None:
    """The row (value, ciphertext), or None."""
    return conn.execute(_GET, {"organization_id": organization_id, "space": space, "key": key}).first()


_REMOVE = text("DELETE FROM memories WHERE organization_id = :organization_id AND space = :space AND key = :key")


def remove(conn: Connection, organization_id: UUID, space: str, key: str) -> None:
    """Delete what is there."""
    conn.execute(_REMOVE, {"organization_id": organization_id, "space": space, "key": key})


_FORGET_OLD = text("DELETE FROM memories WHERE expires_at <= now()")


def forget_old(conn: Connection) -> None:
    """Delete what is over its time. Uses memories_expiry_idx."""
    conn.execute(_FORGET_OLD)
