"""Organizations and their API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, text, update

from taskengine.store.database import Rows
from taskengine.store.tables import api_keys, organizations

_ENSURE = text(
    """
    INSERT INTO organizations (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING RETURNING id
    """
)


def create(conn: Connection, organization_id: UUID, name: str) -> bool:
    """Make an organization; False if the name is taken."""
    return conn.execute(_ENSURE, {"id": organization_id, "name": name}).first() is not None


def by_name(conn: Connection, name: str) -> UUID | None:
    """The id of an organization."""
    return conn.execute(select(organizations.c.id).where(organizations.c.name == name)).scalar()


def name_of(conn: Connection, organization_id: UUID) -> str | None:
    """The name of an organization."""
    return conn.execute(select(organizations.c.name).where(organizations.c.id == organization_id)).scalar()


def add_key(conn: Connection, values: dict[str, Any]) -> Any:
    """Store a key's hash; returns the row without it."""
    return conn.execute(insert(api_keys).values(**values).returning(*_SHOWN)).one()


_SHOWN = [column for column in api_keys.c if column.name not in {"organization_id", "key_hash"}]


def keys(conn: Connection, organization_id: UUID, after: UUID | None, limit: int) -> Rows:
    """An organization's keys, newest first; never their hashes."""
    query = select(*_SHOWN).where(api_keys.c.organization_id == organization_id)
    if after is not None:
        query = query.where(api_keys.c.id < after)
    return list(conn.execute(query.order_by(api_keys.c.id.desc()).limit(limit)))


def revoke_key(conn: Connection, organization_id: UUID, key_id: UUID) -> bool:
    """End a key; False if there is none or it ended before."""
    statement = (
        update(api_keys)
        .where(
            api_keys.c.id == key_id,
            api_keys.c.organization_id == organization_id,
            api_keys.c.revoked_at.is_(None),
        )
        .values(revoked_at=func.now())
    )
    return conn.execute(statement).rowcount == 1


def by_hash(conn: Connection, key_hash: bytes) -> tuple[UUID, UUID, str, list[str], datetime | None] | None:
    """The valid key with this hash: (key id, organization id, name, scopes, expires at)."""
    row = conn.execute(
        select(api_keys.c.id, api_keys.c.organization_id, api_keys.c.name, api_keys.c.scopes, api_keys.c.expires_at)
        .where(api_keys.c.key_hash == key_hash, api_keys.c.revoked_at.is_(None))
        .where((api_keys.c.expires_at.is_(None)) | (api_keys.c.expires_at > func.now()))
    ).first()
    return None if row is None else (row.id, row.organization_id, row.name, row.scopes, row.expires_at)
