"""One-time codes that somebody sends in, and a task waits for."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from taskengine.domain.ids import new_id
from taskengine.domain.task import Caller
from taskengine.lifecycle.engine import Engine
from taskengine.store import one_time_codes


def push(engine: Engine, caller: Caller, identifier: str, code: str, ttl_seconds: float) -> dict[str, Any]:
    """Keep a code for whoever waits for one of ``identifier``; returns what may be shown of it."""
    values = {
        "id": new_id(),
        "organization_id": caller.organization_id,
        "identifier": identifier,
        "ciphertext": engine.cipher.encrypt(code).encode(),
        "ttl_seconds": ttl_seconds,
    }
    with engine.db.autocommit() as conn:
        return dict(one_time_codes.add(conn, values)._mapping)


def take(engine: Engine, organization_id: UUID, identifier: str, since: datetime) -> str | None:
    """Use up the newest code that came since then; None while there is none."""
    with engine.db.autocommit() as conn:
        found = one_time_codes.take(conn, organization_id, identifier, since)
    return None if found is None else engine.cipher.decrypt(found.decode())
