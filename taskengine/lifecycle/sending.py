"""Sends what is due, beside the tasks of a worker process: a receiver that hangs keeps no task waiting.

One thread claims, records and renews leases; each message is sent by a thread of its own, at most eight at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

import orjson
import structlog

from taskengine.delivery.egress import guarded_session
from taskengine.delivery.email import mail_server, send_email
from taskengine.delivery.webhook import Receipt, send_slack, send_webhook
from taskengine.domain.cleaning import clean_json, clean_line
from taskengine.domain.errors import EngineError, HandlerError, PermanentError, TransientError, Unavailable
from taskengine.lifecycle.deliver import signing_secrets
from taskengine.lifecycle.engine import Engine
from taskengine.store import deliveries

log = structlog.get_logger(__name__)

AT_ONCE = 8
_PATIENCE_SECONDS = 30.0
_CLOSING_SECONDS = 5.0
_LONGEST_PAUSE = 86_400.0


@dataclass(frozen=True, slots=True)
class _Sent:
    """What came of one attempt."""

    row: Any
    started_at: datetime
    result: Receipt | BaseException


class Sender:
    """The sending side of one process. Its thread starts with the first :meth:`wake`, so make it after a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox: SimpleQueue[_Sent | None] = SimpleQueue()
        self._held: dict[UUID, Any] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._renewed_at = 0.0

    def wake(self) -> None:
        """Something may be due: look soon. Returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._forever, name="sender", daemon=True)
            self._thread.start()
        self._inbox.put(None)

    def close(self) -> None:
        """Claim nothing more, and give what is under way a moment; what takes longer is sent again by another."""
        self._closing = True
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(_CLOSING_SECONDS)

    def _forever(self) -> None:
        while not self._closing:
            try:
                if self._inbox.get() is None:
                    self.until_idle()
            except Exception:
                # The messages that were held are due again when their leases are over.
                log.exception("sending_interrupted")
                self._held.clear()

    def until_idle(self) -> int:
        """Send until nothing is due and nothing under way; returns how many attempts were recorded."""
        recorded = 0
        more = self._claim()
        while self._held:
            sent = self._next()
            if sent is not None and self._held.pop(sent.row.id, None) is not None:
                recorded += self._record(sent)
            more = more or sent is None
            if more and len(self._held) < AT_ONCE:
                more = self._claim()
            self._renew()
        return recorded

    def _next(self) -> _Sent | None:
        """What ended, or None after a wake or when leases are to be renewed."""
        left = self._renewed_at + self._engine.settings.lease_seconds / 3 - time.monotonic()
        try:
            return self._inbox.get(timeout=max(left, 0.01))
        except Empty:
            return None

    def _claim(self) -> bool:
        """Fill the free places with what is due; True if there may be more than that."""
        if self._closing:
            return False
        room = AT_ONCE - len(self._held)
        try:
            with self._engine.db.autocommit() as conn:
                rows = deliveries.claim(conn, room, self._engine.settings.lease_seconds)
        except Unavailable as error:
            log.warning("deliveries_delayed", reason=error.detail)
            return False
        if not self._held:
            self._renewed_at = time.monotonic()
        for row in rows:
            self._held[row.id] = row
            send, started_at = prepared(self._engine, row), self._engine.clock()
            threading.Thread(target=self._send, args=(row, started_at, send), name="send", daemon=True).start()
        return len(rows) == room

    def _send(self, row: Any, started_at: datetime, send: Callable[[], Receipt]) -> None:
        result: Receipt | BaseException
        try:
            result = send()
        except BaseException as fault:
            result = fault
        self._inbox.put(_Sent(row, started_at, result))

    def _renew(self) -> None:
        lease = self._engine.settings.lease_seconds
        if not self._held or time.monotonic() < self._renewed_at + lease / 3:
            return
        self._renewed_at = time.monotonic()
        try:
            with self._engine.db.autocommit() as conn:
                deliveries.renew(conn, [(row.id, row.attempt) for row in self._held.values()], lease)
        except Unavailable as error:
            log.warning("deliveries_not_renewed", reason=error.detail)

    def _record(self, sent: _Sent) -> bool:
        """Note how an attempt went; False if it had been given up meanwhile."""
        row = sent.row
        entry: dict[str, Any] = {
            "number": row.attempt,
            "started_at": sent.started_at,
            "ended_at": self._engine.clock(),
        }
        if isinstance(sent.result, Receipt):
            entry |= {"outcome": "delivered", "status": sent.result.status, "answer": sent.result.answer, "error": None}
            return self._stored(row, "delivered", clean_json(entry), {})
        error = _as_error(sent.result)
        info = {"code": error.info.code, "message": clean_line(error.info.message), "details": {}}
        details = error.info.details
        entry |= {"outcome": "failed", "status": details.get("status"), "answer": details.get("answer"), "error": info}
        left = row.max_attempts - row.attempt
        again = isinstance(error, TransientError) and left > 0
        values = {"error": info, "delay_seconds": _pause(self._engine, left, error) if again else 0}
        log.info("delivery_failed", delivery=str(row.id), attempt=row.attempt, code=error.info.code, again=again)
        return self._stored(row, "pending" if again else "failed", clean_json(entry), values)

    def _stored(self, row: Any, status: str, entry: dict[str, Any], values: dict[str, Any]) -> bool:
        """Record it, waiting out a database that is away for as long as the lease could last."""
        give_up = time.monotonic() + max(self._engine.settings.lease_seconds, _PATIENCE_SECONDS)
        while True:
            try:
                with self._engine.db.autocommit() as conn:
                    return deliveries.record(conn, row.id, row.attempt, status, entry, **values)
            except Unavailable as error:
                if time.monotonic() > give_up:
                    raise
                log.warning("delivery_not_recorded", reason=error.detail)
                time.sleep(0.2)


def send_due(engine: Engine) -> int:
    """Send what is due in this thread's time; returns how many attempts were recorded."""
    return Sender(engine).until_idle()


def prepared(engine: Engine, row: Any) -> Callable[[], Receipt]:
    """What a thread does for a claimed message: all that needs the record is looked up here."""
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
    return float(max(planned, min(asked, _LONGEST_PAUSE)))
