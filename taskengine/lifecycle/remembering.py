"""What task types keep from one attempt or task to the next."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from taskengine.domain.errors import PermanentError
from taskengine.domain.wire import check_json
from taskengine.lifecycle.engine import Engine
from taskengine.store import memories

MAX_BYTES = 4 * 2**20


def remember(
    engine: Engine,
    organization_id: UUID,
    space: str,
    key: str,
    value: Any,
    *,
    secret: bool,
    ttl_seconds: float | None,
) -> None:
    """Keep JSON, encrypted when it is ``secret``; PermanentError ``cannot_remember`` where it is none, or too large."""
    try:
        check_json(value)
        encoded = orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise PermanentError("cannot_remember", f"{space} {key!r}: {error}") from None
    if len(encoded) > MAX_BYTES:
        text = f"{space} {key!r} has {len(encoded)} bytes; at most {MAX_BYTES} are remembered"
        raise PermanentError("cannot_remember", text)
    ciphertext = engine.cipher.encrypt(encoded.decode()).encode() if secret else None
    clear = None if secret else encoded.decode()
    with engine.db.autocommit() as conn:
        memories.put(conn, organization_id, space, key, value=clear, ciphertext=ciphertext, ttl_seconds=ttl_seconds)


def recall(engine: Engine, organization_id: UUID, space: str, key: str) -> Any:
    """What was kept, or None."""
    with engine.db.autocommit() as conn:
        row = memories.get(conn, organization_id, space, key)
    if row is None:
        return None
    if row.ciphertext is not None:
        return orjson.loads(engine.cipher.decrypt(row.ciphertext.decode()))
    return row.value


def forget(engine: Engine, organization_id: UUID, space: str, key: str) -> None:
    """Keep it no longer."""
    with engine.db.autocommit() as conn:
        memories.remove(conn, organization_id, space, key)
