"""Which organizations may call which of the installed functions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain.errors import NotFound
from taskengine.handlers import functions as installed
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine
from taskengine.store import agents as store
from taskengine.store import organizations


def listing(engine: Engine) -> list[dict[str, Any]]:
    """Every function that is installed here, or granted, with the names of those who may call it."""
    with engine.db.autocommit() as conn:
        grants = store.grants(conn)
    granted: dict[str, list[str]] = {}
    for row in grants:
        granted.setdefault(row.function, []).append(row.organization)
    known = installed.functions()
    return [
        {
            "name": name,
            "description": known[name].description if name in known else "not installed here",
            "open": name in known and known[name].open,
            "granted_to": ["everybody"] if name in known and known[name].open else granted.get(name, []),
        }
        for name in sorted({*known, *granted})
    ]


def grant(engine: Engine, function: str, organization: str) -> None:
    """Let an organization call a function; NotFound if there is no such one here, or no such organization."""
    if function not in installed.functions():
        raise NotFound(installed.unknown(function))
    with engine.db.begin() as conn:
        store.grant(conn, _organization(conn, organization), function)


def revoke(engine: Engine, function: str, organization: str) -> bool:
    """Take a grant back; False if there is none. It counts from the next call on."""
    with engine.db.begin() as conn:
        return store.revoke(conn, _organization(conn, organization), function)


def _organization(conn: Connection, name: str) -> UUID:
    found = organizations.by_name(conn, name)
    if found is None:
        raise query.missing("organization", name)
    return found
