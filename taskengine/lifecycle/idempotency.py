"""Idempotency keys: a POST that is sent again gets its first answer again."""

from __future__ import annotations

from dataclasses import dataclass

from taskengine.domain.errors import IdempotencyConflict
from taskengine.domain.task import Caller
from taskengine.lifecycle.engine import Engine
from taskengine.store import idempotency as rows


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An HTTP answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


def lookup(engine: Engine, caller: Caller, key: str, route: str, body_hash: bytes) -> StoredAnswer | None:
    """The first answer to this key, or None; call it inside the transaction that will store the answer.

    A second request with the same key waits here for the first. IdempotencyConflict if the key was used otherwise.
    """
    with engine.db.begin() as conn:
        row = rows.lock_and_get(conn, caller.organization_id, key)
    if row is None:
        return None
    if row.route != route or row.body_hash != body_hash:
        raise IdempotencyConflict("this Idempotency-Key was used with another request; use a new one")
    return StoredAnswer(row.status, row.headers, row.body)


def store(engine: Engine, caller: Caller, key: str, route: str, body_hash: bytes, answer: StoredAnswer) -> None:
    """Keep an answer for a day, in the open transaction."""
    with engine.db.begin() as conn:
        rows.add(
            conn,
            {
                "organization_id": caller.organization_id,
                "key": key,
                "route": route,
                "body_hash": body_hash,
                "status": answer.status,
                "headers": answer.headers,
                "body": answer.body,
            },
        )
