"""Secrets of an organization: written, never read back; only its tasks see them."""

from __future__ import annotations

import re
from typing import Any

from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors
from taskengine.store import secrets as store

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_LONGEST = 65_536


def put(engine: Engine, caller: Caller, name: str, value: str) -> dict[str, Any]:
    """Store or replace a secret; templates name it ``{{ secrets.NAME }}``."""
    if not _NAME.fullmatch(name):
        fault = "is no name: letters, digits and underscores, not starting with a digit, at most 100"
        raise Invalid(f"name {fault}", [FieldError(("name",), fault, "invalid_name")])
    if not value or len(value) > _LONGEST:
        fault = f"must have 1 to {_LONGEST} characters"
        raise Invalid(f"value {fault}", [FieldError(("value",), fault, "invalid_length")])
    with engine.db.begin() as conn:
        row = store.put(conn, caller.organization_id, name, engine.cipher.encrypt(value).encode())
    return dict(row._mapping)


def listing(engine: Engine, caller: Caller, page: PageRequest) -> Page:
    """Names and times, by name."""
    with engine.db.autocommit() as conn:
        rows = store.listing(conn, caller.organization_id, cursors.decode_text(page.cursor), page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_text(row.name))


def delete(engine: Engine, caller: Caller, name: str) -> None:
    """Remove a secret; NotFound if there is none."""
    with engine.db.begin() as conn:
        if not store.remove(conn, caller.organization_id, name):
            raise query.missing("secret", name)
