"""Outgoing messages: queued in the record once, rung for, and due again when their sender is lost.

The message in Redis names none of them: it says that some are due. ``lifecycle.sending`` claims what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Connection

from taskengine.broker.publish import BrokerDown
from taskengine.delivery import messages, signing
from taskengine.domain.cleaning import clean_json, clean_line, clean_text
from taskengine.domain.errors import PermanentError
from taskengine.domain.ids import new_id
from taskengine.handlers.base import Notice, Reach
from taskengine.lifecycle.engine import Engine
from taskengine.store import deliveries

log = structlog.get_logger(__name__)

_OVERLAP = timedelta(days=1)
"""After a change of the signing secret, the one before signs as well for this time."""
_LOST = {"code": "sender_lost", "message": "the worker fell silent while it sent; it may have arrived", "details": {}}
_MOST_DATA_BYTES = 256 * 1024
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class About:
    """What a message is about, and what makes it one of its kind."""

    organization_id: UUID
    task_id: UUID | None
    run_id: UUID | None
    data: dict[str, Any]
    """Goes into webhooks beside the message."""
    key: str
    """Messages of one organization with the same key, to the same target, are one message."""


def queue(
    engine: Engine,
    about: About,
    notice: Notice,
    to: Sequence[Reach],
    redact: Callable[[Any], Any] = lambda value: value,
) -> list[UUID]:
    """Store a message for each way and ring for a worker; returns their ids, old ones where it was queued before.

    ``redact`` stars out secrets in what is shown; what is sent holds them.
    """
    with engine.db.begin() as conn:
        ids = store(engine, conn, about, notice, to, redact)
        engine.db.after_commit(lambda: ring(engine))
    return ids


def store(
    engine: Engine,
    conn: Connection,
    about: About,
    notice: Notice,
    to: Sequence[Reach],
    redact: Callable[[Any], Any] = lambda value: value,
) -> list[UUID]:
    """The same within a transaction of the caller's, who rings once for all that it stores."""
    data = clean_json(dict(notice.data))
    if len(orjson.dumps(data)) > _MOST_DATA_BYTES:
        raise PermanentError("message_too_large", f"data has more than {_MOST_DATA_BYTES} bytes as JSON")
    rows = [_row(engine, about, notice, data, way, redact) for way in to]
    ids = deliveries.add(conn, about.organization_id, rows)
    return [ids[row["dedupe_key"]] for row in rows]


def _row(
    engine: Engine, about: About, notice: Notice, data: Any, way: Reach, redact: Callable[[Any], Any]
) -> dict[str, Any]:
    payload = messages.payload(
        way.channel,
        notice.type,
        clean_text(notice.subject),
        clean_text(notice.text),
        about.data | ({"data": data} if data else {}),
        notice.severity,
        engine.clock(),
    )
    shown = redact(payload)
    mark = sha256(f"{way.channel} {way.target}".encode("utf-8", "replace")).hexdigest()[:32]
    sealed = None if shown == payload else engine.cipher.encrypt(orjson.dumps(payload).decode())
    return {
        "id": new_id(),
        "organization_id": about.organization_id,
        "task_id": about.task_id,
        "run_id": about.run_id,
        "type": notice.type,
        "channel": way.channel,
        "recipient": clean_line(redact(way.recipient))[:300],
        "address": clean_line(redact(messages.shown_target(way.channel, way.target)))[:1000],
        "target": engine.cipher.encrypt(way.target),
        "payload": shown,
        "sealed_payload": sealed,
        "dedupe_key": f"{about.key}:{mark}",
        "max_attempts": len(engine.settings.delivery_pauses()) + 1,
    }


def ring(engine: Engine) -> None:
    """Have a worker send what is due. On failure the reconciler rings."""
    try:
        engine.publisher.deliver()
    except BrokerDown as error:
        log.warning("deliveries_delayed", reason=str(error))


def look_after(engine: Engine) -> None:
    """The reconciler's part: give up attempts whose sender fell silent, and ring while anything is due."""
    with engine.db.autocommit() as conn:
        if lost := deliveries.lose(conn, _LOST, _BATCH):
            log.warning("deliveries_lost", count=lost)
        due = deliveries.any_due(conn)
    if due:
        ring(engine)


def signing_secrets(engine: Engine, organization_id: UUID) -> list[str]:
    """What an organization's webhooks are signed with: its secret, and for a day the one before."""
    fresh = engine.cipher.encrypt(signing.new_secret())
    with engine.db.autocommit() as conn:
        stored = deliveries.signing_secret(conn, organization_id, fresh)
    found = [engine.cipher.decrypt(stored.ciphertext)]
    if stored.previous is not None and engine.clock() - stored.updated_at < _OVERLAP:
        found.append(engine.cipher.decrypt(stored.previous))
    return found
