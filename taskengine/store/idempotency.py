"""Answers to POSTs that carried an Idempotency-Key, kept for a day."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from taskengine.store.tables import idempotency_keys

_LOCK = text("SELECT pg_advisory_xact_lock(:key)")


def lock_and_get(conn: Connection, organization_id: UUID, key: str) -> Any | None:
    """The stored answer, or None. A second request with the key waits here until the first has committed."""
    digest = hashlib.blake2b(organization_id.bytes + key.encode(), digest_size=8).digest()
    conn.execute(_LOCK, {"key": int.from_bytes(digest, signed=True)})
    return conn.execute(
        select(idempotency_keys).where(
            idempotency_keys.c.organization_id == organization_id, idempotency_keys.c.key == key
        )
    ).first()


def add(conn: Connection, values: dict[str, Any]) -> None:
    """Keep an answer."""
    conn.execute(insert(idempotency_keys).values(**values))


_OLD = text("DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'")


def forget_old(conn: Connection) -> int:
    """Drop answers older than a day."""
    return conn.execute(_OLD).rowcount
