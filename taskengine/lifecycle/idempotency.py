"""Idempotency keys: a POST that is sent again gets its first answer again."""

from __future__ import annotations

from dataclasses import dataclass

from taskengine.domain.errors import IdempotencyConflict, WrongKey
from taskengine.domain.task import Caller
from taskengine.lifecycle.engine import Engine
from taskengine.store import idempotency as rows


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An HTTP answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


def lookup(
    engine: Engine, caller: Caller, key: str, route: str, body_hash: bytes, *, encrypted: bool = False
) -> StoredAnswer | None:
    """The first answer to this key, or None; call it inside the transaction that will store the answer.

    A second request with the same key waits here for the first. IdempotencyConflict if the key was used otherwise, or
    if the answer was stored ``encrypted`` and the installation's encryption key has changed since.
    """
    with engine.db.begin() as conn:
        row = rows.lock_and_get(conn, caller.organization_id, key)
    if row is None:
        return None
    if row.route != route or row.body_hash != body_hash:
        raise IdempotencyConflict("this Idempotency-Key was used with another request; use a new one")
    return StoredAnswer(row.status, row.headers, _decrypted(engine, row.body) if encrypted else row.body)


def _decrypted(engine: Engine, body: bytes) -> bytes:
    try:
        return engine.cipher.decrypt(body.decode()).encode()
    except WrongKey:
        raise IdempotencyConflict(
            "the first request with this Idempotency-Key was done, but its answer was stored under another encryption "
            "key and cannot be given again; look for what it made, or use a new Idempotency-Key"
        ) from None


def store(
    engine: Engine,
    caller: Caller,
    key: str,
    route: str,
    body_hash: bytes,
    answer: StoredAnswer,
    *,
    encrypted: bool = False,
) -> None:
    """Keep an answer for a day, in the open transaction; ``encrypted``: unreadable at rest."""
    body = engine.cipher.encrypt(answer.body.decode()).encode() if encrypted else answer.body
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
                "body": body,
            },
        )
