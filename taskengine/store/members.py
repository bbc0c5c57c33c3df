"""Members and groups of an organization: who can be told something, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, text

from taskengine.store.database import Rows
from taskengine.store.tables import group_members, groups, members

_MEMBER = [column for column in members.c if column.name != "organization_id"]
_PUT = text(
    """
    INSERT INTO members (id, organization_id, name, role, email, slack_url, webhook_url, channels, updated_at)
    VALUES (:id, :organization_id, :name, :role, :email, :slack_url, :webhook_url, CAST(:channels AS text[]), now())
    ON CONFLICT (organization_id, name) DO UPDATE SET role = excluded.role, email = excluded.email,
        slack_url = excluded.slack_url, webhook_url = excluded.webhook_url, channels = excluded.channels,
        updated_at = now()
    """
)


def put(conn: Connection, values: dict[str, Any]) -> None:
    """Make a member, or replace the one of that name."""
    conn.execute(_PUT, values)


def get(conn: Connection, organization_id: UUID, name: str) -> Any | None:
    """A member by name, or None."""
    return conn.execute(
        select(*_MEMBER).where(members.c.organization_id == organization_id, members.c.name == name)
    ).first()


def lock(conn: Connection, organization_id: UUID, name: str) -> Any | None:
    """The same, locked until the transaction ends."""
    query = select(*_MEMBER).where(members.c.organization_id == organization_id, members.c.name == name)
    return conn.execute(query.with_for_update()).first()


def listing(conn: Connection, organization_id: UUID, after: str | None, limit: int) -> Rows:
    """Members by name."""
    query = select(*_MEMBER).where(members.c.organization_id == organization_id)
    if after is not None:
        query = query.where(members.c.name > after)
    return list(conn.execute(query.order_by(members.c.name).limit(limit)))


def of_role(conn: Connection, organization_id: UUID, role: str) -> Rows:
    """All members of a role, by name."""
    query = select(*_MEMBER).where(members.c.organization_id == organization_id, members.c.role == role)
    return list(conn.execute(query.order_by(members.c.name)))


def of_group(conn: Connection, organization_id: UUID, name: str) -> Rows | None:
    """All members of a group, by name; None if there is no such group."""
    wanted = (groups.c.organization_id == organization_id, groups.c.name == name)
    group_id = conn.execute(select(groups.c.id).where(*wanted)).scalar()
    if group_id is None:
        return None
    query = select(*_MEMBER).join(group_members, group_members.c.member_id == members.c.id)
    return list(conn.execute(query.where(group_members.c.group_id == group_id).order_by(members.c.name)))


def remove(conn: Connection, organization_id: UUID, name: str) -> bool:
    """Delete a member, from groups too; False if there is none."""
    statement = delete(members).where(members.c.organization_id == organization_id, members.c.name == name)
    return conn.execute(statement).rowcount == 1


_PUT_GROUP = text(
    """
    INSERT INTO groups (id, organization_id, name, updated_at) VALUES (:id, :organization_id, :name, now())
    ON CONFLICT (organization_id, name) DO UPDATE SET updated_at = now() RETURNING id
    """
)
_JOIN = text(
    """
    INSERT INTO group_members (group_id, member_id)
    SELECT :group_id, id FROM members WHERE organization_id = :organization_id AND name = ANY(CAST(:names AS text[]))
    """
)


def put_group(conn: Connection, group_id: UUID, organization_id: UUID, name: str, names: Sequence[str]) -> int:
    """Make a group of these members, or replace the one of that name; returns how many of the names there are."""
    values = {"id": group_id, "organization_id": organization_id, "name": name}
    kept = conn.execute(_PUT_GROUP, values).scalar_one()
    conn.execute(delete(group_members).where(group_members.c.group_id == kept))
    params = {"group_id": kept, "organization_id": organization_id, "names": list(names)}
    return conn.execute(_JOIN, params).rowcount


_GROUPS = """
    SELECT g.name, g.created_at, g.updated_at, ARRAY(
        SELECT m.name FROM group_members gm JOIN members m ON m.id = gm.member_id
        WHERE gm.group_id = g.id ORDER BY m.name) AS members
    FROM groups g WHERE g.organization_id = :organization_id
"""
_GROUP = text(_GROUPS + " AND g.name = :name")
_ALL_GROUPS = text(_GROUPS + " AND g.name > :after ORDER BY g.name LIMIT :limit")


def get_group(conn: Connection, organization_id: UUID, name: str) -> Any | None:
    """A group with its members' names, or None."""
    return conn.execute(_GROUP, {"organization_id": organization_id, "name": name}).first()


def groups_listing(conn: Connection, organization_id: UUID, after: str | None, limit: int) -> Rows:
    """Groups by name, with their members' names."""
    params = {"organization_id": organization_id, "after": after or "", "limit": limit}
    return list(conn.execute(_ALL_GROUPS, params))


def remove_group(conn: Connection, organization_id: UUID, name: str) -> bool:
    """Delete a group, not its members; False if there is none."""
    statement = delete(groups).where(groups.c.organization_id == organization_id, groups.c.name == name)
    return conn.execute(statement).rowcount == 1
