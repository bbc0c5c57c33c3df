"""One-time codes that were sent in for an identifier, as ciphertext; each is used once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_ADD = text(
    """
    INSERT INTO one_time_codes (id, organization_id, identifier, ciphertext, expires_at)
    VALUES (:id, :organization_id, :identifier, :ciphertext, now() + make_interval(secs => :ttl_seconds))
    RETURNING id, identifier, created_at, expires_at
    """
)


def add(conn: Connection, values: dict[str, Any]) -> Any:
    """Keep a code; returns what may be shown of it."""
    return conn.execute(_ADD, values).one()


_TAKE = text(
    """
    UPDATE one_time_codes SET used_at = now() WHERE id = (
        SELECT id FROM one_time_codes
        WHERE organization_id = :organization_id AND identifier = :identifier AND used_at IS NULL
            AND expires_at > now() AND created_at >= :since
        ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING ciphertext
    """
)


def take(conn: Connection, organization_id: UUID, identifier: str, since: datetime) -> bytes | None:
    """Use up the newest code since then; None if none waits. Uses one_time_codes_waiting_idx."""
    params = {"organization_id": organization_id, "identifier": identifier, "since": since}
    found: bytes | None = conn.execute(_TAKE, params).scalar()
    return found


_FORGET_OLD = text("DELETE FROM one_time_codes WHERE expires_at <= now()")


def forget_old(conn: Connection) -> None:
    """Delete codes that are over their time, used or not."""
    conn.execute(_FORGET_OLD)
