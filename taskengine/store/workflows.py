"""Registered workflows, by name and version."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows, in_json

_GET = text(
    """
    SELECT * FROM workflows WHERE organization_id = :organization AND name = :name
        AND (CAST(:version AS int) IS NULL OR version = :version)
    ORDER BY version DESC LIMIT 1
    """
)


def get(conn: Connection, organization_id: UUID, name: str, version: int | None) -> Any | None:
    """A workflow's version, or its newest, with all columns; None if there is none."""
    return conn.execute(_GET, {"organization": organization_id, "name": name, "version": version}).first()


_PUT = text(
    """
    INSERT INTO workflows (organization_id, name, version, definition, source, digest, created_by)
    SELECT :organization, :name, coalesce(max(version), 0) + 1, CAST(:definition AS json), :source, :digest, :by
    FROM workflows WHERE organization_id = :organization AND name = :name
    RETURNING *
    """
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def put(
    conn: Connection, organization_id: UUID, name: str, definition: Any, source: str, digest: bytes, by: str
) -> tuple[Any, bool]:
    """Add a version where the newest has another digest; returns the newest, and whether it is new."""
    conn.execute(_LOCK, {"name": f"{organization_id}/{name}"})
    newest = get(conn, organization_id, name, None)
    if newest is not None and newest.digest == digest:
        return newest, False
    params = {
        "organization": organization_id,
        "name": name,
        "definition": in_json(definition),
        "source": source,
        "digest": digest,
        "by": by,
    }
    return conn.execute(_PUT, params).one(), True


_NEWEST = text(
    """
    SELECT DISTINCT ON (name) name, version, definition ->> 'description' AS description, created_by, created_at
    FROM workflows WHERE organization_id = :organization AND name > :after ORDER BY name, version DESC LIMIT :limit
    """
)
_VERSIONS = text(
    """
    SELECT name, version, definition ->> 'description' AS description, created_by, created_at FROM workflows
    WHERE organization_id = :organization AND name = :name AND version < :before ORDER BY version DESC LIMIT :limit
    """
)


def listing(conn: Connection, organization_id: UUID, after: str, limit: int) -> Rows:
    """The newest version of each workflow, by name."""
    return list(conn.execute(_NEWEST, {"organization": organization_id, "after": after, "limit": limit}))


def versions(conn: Connection, organization_id: UUID, name: str, before: int | None, limit: int) -> Rows:
    """A workflow's versions, newest first."""
    params = {"organization": organization_id, "name": name, "before": before or 2**31 - 1, "limit": limit}
    return list(conn.execute(_VERSIONS, params))
