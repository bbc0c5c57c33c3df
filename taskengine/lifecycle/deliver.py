"""Outgoing messages: queued in the record, sent by workers, retried until they arrive or are given up.

The message in Redis names none of them: it says that some are due. Whoever takes it claims what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import structlog

from taskengine.broker.publish import BrokerDown
from taskengine.delivery import messages, signing
from taskengine.delivery.egress import guarded_session
from taskengine.delivery.email import mail_server, send_email
from taskengine.delivery.webhook import Receipt, send_slack, send_webhook
from taskengine.domain.cleaning import clean_json, clean_line, clean_text
from taskengine.domain.errors import EngineError, HandlerError, PermanentError, TransientError, Unavailable
from taskengine.domain.ids import new_id
from taskengine.handlers.base import Notice, Reach
from taskengine.lifecycle.engine import Engine
from taskengine.store import deliveries

log = structlog.get_logger(__name__)

_AT_ONCE = 8
_STRETCH_SECONDS = 5.0
"""So long one message keeps a worker sending; then tasks have their turn."""
_PATIENCE_SECONDS = 30.0
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
    data = clean_json(dict(notice.data))
    if len(orjson.dumps(data)) > _MOST_DATA_BYTES:
        raise PermanentError("message_too_large", f"data has more than {_MOST_DATA_BYTES} bytes as JSON")
    rows = [_row(engine, about, notice, data, way, redact) for way in to]
    with engine.db.begin() as conn:
        ids = deliveries.add(conn, about.organization_id, rows)
        engine.db.after_commit(lambda: ring(engine))
    return [ids[row["dedupe_key"]] for row in rows]


def _row(
    engine: Engine, about: About, notice: Notice, data: Any, way: Reach, redact: Callable[[Any], Any]
) -> dict[str, Any]:
    payload = messages.payload(
        way.channel,
        notice.type,
        clean_text(notice.subject),
        clean_text(notice.text),
        about.data | {"data": data},
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


def send_due(engine: Engine) -> int:
    """Send what is due, a handful at a time; returns how many attempts were recorded."""
    until = time.monotonic() + _STRETCH_SECONDS
    recorded = 0
    while True:
        with engine.db.autocommit() as conn:
            rows = deliveries.claim(conn, _AT_ONCE, engine.settings.lease_seconds)
        recorded += _send_all(engine, rows) if rows else 0
        if len(rows) < _AT_ONCE:
            return recorded
        if time.monotonic() > until:
            ring(engine)
            return recorded


def _send_all(engine: Engine, rows: Sequence[Any]) -> int:
    """Send side by side, so that a slow receiver keeps nobody waiting but itself; leases are renewed meanwhile."""
    recorded = 0
    with ThreadPoolExecutor(len(rows), "deliver") as pool:
        under_way: dict[Future[Receipt], tuple[Any, Any]] = {}
        for row in rows:
            under_way[pool.submit(_prepared(engine, row))] = (row, engine.clock())
        while under_way:
            done, _ = wait(under_way, engine.settings.lease_seconds / 3, FIRST_COMPLETED)
            for future in done:
                row, started_at = under_way.pop(future)
                recorded += _record(engine, row, started_at, future)
            _renew(engine, [row for row, _ in under_way.values()])
    return recorded


def _renew(engine: Engine, rows: Sequence[Any]) -> None:
    if not rows:
        return
    try:
        with engine.db.autocommit() as conn:
            deliveries.renew(conn, [(row.id, row.attempt) for row in rows], engine.settings.lease_seconds)
    except Unavailable as error:
        log.warning("deliveries_not_renewed", reason=error.detail)


def _prepared(engine: Engine, row: Any) -> Callable[[], Receipt]:
    """What a thread does for a message: all that needs the record is looked up here."""
    try:
        target = engine.cipher.decrypt(row.target)
        payload = row.payload if row.sealed_payload is None else orjson.loads(engine.cipher.decrypt(row.sealed_payload))
        secrets = signing_secrets(engine, row.organization_id) if row.channel == "webhook" else []
    except EngineError as error:
        fault = _fault_of(error)
        return lambda: _raise(fault)
    settings = engine.settings
    seconds = settings.delivery_timeout_seconds

    def send() -> Receipt:
        if row.channel == "email":
            url = settings.smtp_url
            server = None if url is None else mail_server(url.get_secret_value(), str(settings.smtp_from))
            return send_email(server, target, row.id, payload, row.created_at, seconds)
        with guarded_session(settings.egress_entries()) as session:
            if row.channel == "slack":
                return send_slack(session, target, payload, seconds)
            return send_webhook(session, target, row.id, payload, secrets, seconds)

    return send


def _raise(error: HandlerError) -> Receipt:
    raise error


def _fault_of(error: EngineError) -> HandlerError:
    if isinstance(error, Unavailable):
        return TransientError("unavailable", "Postgres was away when the message was to be sent")
    return PermanentError("wrong_encryption_key", error.detail)


def signing_secrets(engine: Engine, organization_id: UUID) -> list[str]:
    """What an organization's webhooks are signed with: its secret, and for a day the one before."""
    fresh = engine.cipher.encrypt(signing.new_secret())
    with engine.db.autocommit() as conn:
        stored = deliveries.signing_secret(conn, organization_id, fresh)
    found = [engine.cipher.decrypt(stored.ciphertext)]
    if stored.previous is not None and engine.clock() - stored.updated_at < _OVERLAP:
        found.append(engine.cipher.decrypt(stored.previous))
    return found


def _record(engine: Engine, row: Any, started_at: Any, future: Future[Receipt]) -> bool:
    """Note how an attempt went; False if it had been given up meanwhile."""
    entry: dict[str, Any] = {"number": row.attempt, "started_at": started_at, "ended_at": engine.clock()}
    values: dict[str, Any] = {}
    fault = future.exception()
    if fault is None:
        receipt = future.result()
        status = "delivered"
        entry |= {"outcome": "delivered", "status": receipt.status, "answer": receipt.answer, "error": None}
    else:
        error = _as_error(fault)
        info = {"code": error.info.code, "message": clean_line(error.info.message), "details": {}}
        details = error.info.details
        entry |= {"outcome": "failed", "status": details.get("status"), "answer": details.get("answer"), "error": info}
        left = row.max_attempts - row.attempt
        again = isinstance(error, TransientError) and left > 0
        status = "pending" if again else "failed"
        values = {"error": info, "delay_seconds": _pause(engine, left, error) if again else 0}
        log.info("delivery_failed", delivery=str(row.id), attempt=row.attempt, code=error.info.code, again=again)
    return _stored(engine, row, status, clean_json(entry), values)


def _as_error(fault: BaseException) -> HandlerError:
    if isinstance(fault, HandlerError):
        return fault
    log.error("delivery_fault", exc_info=fault)
    return TransientError("exception", f"the engine met a fault of its own: {type(fault).__name__}")


def _pause(engine: Engine, left: int, error: HandlerError) -> float:
    """Seconds until the next attempt; ``left`` attempts are left. They spread, so that many do not come at once."""
    pauses = engine.settings.delivery_pauses()
    planned = pauses[max(0, len(pauses) - left)] * (0.9 + engine.chance() / 5)
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    return max(planned, min(asked, 86_400.0))


def _stored(engine: Engine, row: Any, status: str, entry: dict[str, Any], values: dict[str, Any]) -> bool:
    """Record it, waiting out a database that is away for as long as the lease could last."""
    give_up = time.monotonic() + max(engine.settings.lease_seconds, _PATIENCE_SECONDS)
    while True:
        try:
            with engine.db.autocommit() as conn:
                return deliveries.record(conn, row.id, row.attempt, status, entry, **values)
        except Unavailable as error:
            if time.monotonic() > give_up:
                raise
            log.warning("delivery_not_recorded", reason=error.detail)
            time.sleep(0.2)
