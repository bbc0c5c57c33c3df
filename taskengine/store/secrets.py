"""Secrets of organizations, as ciphertext."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, text

from taskengine.store.database import Rows
from taskengine.store.tables import secrets

_PUT = text(
    """
    INSERT INTO secrets (organization_id, name, ciphertext, updated_at)
    VALUES (:organization_id, :name, :ciphertext, now())
    ON CONFLICT (organization_id, name) DO UPDATE SET ciphertext = excluded.ciphertext, updated_at = now()
    RETURNING name, created_at, updated_at
    """
)


def put(conn: Connection, organization_id: UUID, name: str, ciphertext: bytes) -> Any:
    """Store or replace; returns name and times."""
    params = {"organization_id": organization_id, "name": name, "ciphertext": ciphertext}
    return conn.execute(_PUT, params).one()


def listing(conn: Connection, organization_id: UUID, after: str | None, limit: int) -> Rows:
    """Names and times, by name."""
    query = select(secrets.c.name, secrets.c.created_at, secrets.c.updated_at).where(
        secrets.c.organization_id == organization_id
    )
    if after is not None:
        query = query.where(secrets.c.name > after)
    return list(conn.execute(query.order_by(secrets.c.name).limit(limit)))


def get(conn: Connection, organization_id: UUID, name: str) -> bytes | None:
    """The ciphertext, or None."""
    return conn.execute(
        select(secrets.c.ciphertext).where(secrets.c.organization_id == organization_id, secrets.c.name == name)
    ).scalar()


def remove(conn: Connection, organization_id: UUID, name: str) -> bool:
    """Delete; False if there is none."""
    statement = delete(secrets).where(secrets.c.organization_id == organization_id, secrets.c.name == name)
    return conn.execute(statement).rowcount == 1
