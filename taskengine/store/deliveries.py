"""Outgoing messages: queued once for each dedupe key, claimed with a lease, recorded where the attempt still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from taskengine.store.database import Rows, document, in_json
from taskengine.store.tables import deliveries, tasks


@dataclass(frozen=True, slots=True)
class Wanted:
    """Narrows a list of deliveries; None means any."""

    status: str | None = None
    channel: str | None = None
    type: str | None = None
    task_id: UUID | None = None
    run_id: UUID | None = None


_ADD = text(
    """
    INSERT INTO deliveries (id, organization_id, task_id, run_id, type, channel, recipient, address, target, payload,
        sealed_payload, dedupe_key, status, attempt, max_attempts, attempts, next_attempt_at, updated_at)
    SELECT id, organization_id, task_id, run_id, type, channel, recipient, address, target, payload,
        sealed_payload, dedupe_key, 'pending', 0, max_attempts, '[]', now(), now()
    FROM json_to_recordset(CAST(:rows AS json)) AS d(id uuid, organization_id uuid, task_id uuid, run_id uuid,
        type text, channel text, recipient text, address text, target text, payload json, sealed_payload text,
        dedupe_key text, max_attempts int)
    ON CONFLICT (organization_id, dedupe_key) DO NOTHING
    """
)
# A statement of its own: what another transaction has stored meanwhile, the one above waits for but does not see.
_BY_KEY = text(
    """
    SELECT id, dedupe_key FROM deliveries
    WHERE organization_id = :organization_id AND dedupe_key = ANY(CAST(:keys AS text[]))
    """
)


def add(conn: Connection, organization_id: UUID, rows: Sequence[dict[str, Any]]) -> dict[str, UUID]:
    """Queue messages, each once for its dedupe key; returns the ids by key, old ones where there were some."""
    if not rows:
        return {}
    conn.execute(_ADD, {"rows": document(rows)})
    keys = [row["dedupe_key"] for row in rows]
    found = conn.execute(_BY_KEY, {"organization_id": organization_id, "keys": keys})
    return {row.dedupe_key: row.id for row in found}


_CLAIM = text(
    """
    WITH RECURSIVE organizations_in_line AS (
        -- A loose index scan over deliveries_due_idx: one probe for each organization, however long its line.
        (SELECT organization_id FROM deliveries WHERE status = 'pending' ORDER BY organization_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.organization_id FROM deliveries d WHERE d.status = 'pending'
            AND d.organization_id > last.organization_id ORDER BY d.organization_id LIMIT 1)
        FROM organizations_in_line last WHERE last.organization_id IS NOT NULL
    ), reminders AS (
        -- By deliveries_reminder_idx. They have promised a time, so a flood of other messages does not delay them.
        SELECT head.* FROM organizations_in_line line CROSS JOIN LATERAL (
            SELECT id, organization_id, next_attempt_at FROM deliveries
            WHERE status = 'pending' AND type = 'reminder' AND organization_id = line.organization_id
                AND next_attempt_at <= now()
            ORDER BY next_attempt_at, id LIMIT :limit FOR UPDATE SKIP LOCKED) head
    ), others AS (
        SELECT head.* FROM organizations_in_line line CROSS JOIN LATERAL (
            SELECT id, organization_id, next_attempt_at FROM deliveries
            WHERE status = 'pending' AND type <> 'reminder' AND organization_id = line.organization_id
                AND next_attempt_at <= now()
            ORDER BY next_attempt_at, id LIMIT :limit FOR UPDATE SKIP LOCKED) head
    ), heads AS (
        SELECT id, next_attempt_at, row_number() OVER (
            PARTITION BY organization_id ORDER BY late, next_attempt_at, id) AS turn
        FROM (SELECT *, 0 AS late FROM reminders UNION ALL SELECT *, 1 FROM others) due
    )
    -- By an array, not by a join: nobody can tell the planner how short the list is.
    UPDATE deliveries SET status = 'sending', attempt = attempt + 1, next_attempt_at = NULL, started_at = now(),
        lease_until = now() + make_interval(secs => :lease), updated_at = now()
    WHERE id = ANY(ARRAY(SELECT id FROM heads ORDER BY turn, next_attempt_at, id LIMIT :limit))
    RETURNING id, organization_id, type, channel, target, payload, sealed_payload, attempt, max_attempts, created_at
    """
)


def claim(conn: Connection, limit: int, lease_seconds: float) -> Rows:
    """Take messages that are due: pending -> sending, attempt n, a lease.

    Organizations take turns, and in each of them reminders go first.
    """
    return list(conn.execute(_CLAIM, {"limit": limit, "lease": lease_seconds}))


_RENEW = text(
    """
    UPDATE deliveries SET lease_until = now() + make_interval(secs => :lease)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS held(held_id, held_attempt)
    WHERE id = held_id AND attempt = held_attempt AND status = 'sending'
    """
)


def renew(conn: Connection, held: Sequence[tuple[UUID, int]], lease_seconds: float) -> None:
    """Extend the leases of attempts that still hold."""
    params = {"ids": [item[0] for item in held], "attempts": [item[1] for item in held], "lease": lease_seconds}
    conn.execute(_RENEW, params)


_RECORD = text(
    """
    UPDATE deliveries SET status = :status, attempts = (attempts::jsonb || CAST(:entry AS jsonb))::json,
        last_error = CAST(:error AS json), lease_until = NULL, updated_at = now(),
        next_attempt_at = CASE WHEN :status = 'pending' THEN now() + make_interval(secs => :delay) END,
        completed_at = CASE WHEN :status <> 'pending' THEN now() END
    WHERE id = :id AND attempt = :attempt AND status = 'sending' RETURNING id
    """
)


def record(
    conn: Connection,
    delivery_id: UUID,
    attempt: int,
    status: str,
    entry: dict[str, Any],
    *,
    error: dict[str, Any] | None = None,
    delay_seconds: float = 0,
) -> bool:
    """Note how an attempt went, where it still holds the message (fencing by attempt); False where it does not.

    ``status`` is delivered, failed, or pending to try again after ``delay_seconds``.
    """
    params = {
        "id": delivery_id,
        "attempt": attempt,
        "status": status,
        "entry": in_json(entry),
        "error": None if error is None else in_json(error),
        "delay": delay_seconds,
    }
    return conn.execute(_RECORD, params).first() is not None


_LOSE = text(
    """
    WITH gone AS (
        SELECT id FROM deliveries WHERE status = 'sending' AND lease_until < now()
        ORDER BY lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries SET lease_until = NULL, updated_at = now(), last_error = CAST(:error AS json),
        attempts = (attempts::jsonb || jsonb_build_object('number', attempt, 'started_at', started_at,
            'ended_at', now(), 'outcome', 'lost', 'status', NULL, 'answer', NULL,
            'error', CAST(:error AS jsonb)))::json,
        status = CASE WHEN attempt < max_attempts THEN 'pending' ELSE 'failed' END,
        next_attempt_at = CASE WHEN attempt < max_attempts THEN now() END,
        completed_at = CASE WHEN attempt >= max_attempts THEN now() END
    WHERE id = ANY(ARRAY(SELECT id FROM gone)) RETURNING id
    """
)


def lose(conn: Connection, error: dict[str, Any], limit: int) -> int:
    """Give up attempts whose sender fell silent; the messages are due again at once. Uses deliveries_lease_idx."""
    return len(list(conn.execute(_LOSE, {"error": in_json(error), "limit": limit})))


_ANY_DUE = text(
    "SELECT EXISTS (SELECT FROM deliveries WHERE status = 'pending' AND next_attempt_at <= now()"
    " ORDER BY next_attempt_at LIMIT 1)"
)


def any_due(conn: Connection) -> bool:
    """Whether a message waits to be sent now; one probe of deliveries_next_idx."""
    return bool(conn.execute(_ANY_DUE).scalar_one())


_REDRIVE = text(
    """
    UPDATE deliveries SET status = 'pending', next_attempt_at = now(), completed_at = NULL, updated_at = now(),
        max_attempts = attempt + :attempts
    WHERE id = :id AND organization_id = :organization_id AND status = 'failed' RETURNING id
    """
)


def redrive(conn: Connection, organization_id: UUID, delivery_id: UUID, attempts: int) -> bool:
    """Let a failed message be tried again, ``attempts`` times; False if it has not failed."""
    params = {"id": delivery_id, "organization_id": organization_id, "attempts": attempts}
    return conn.execute(_REDRIVE, params).first() is not None


_HIDDEN = {"organization_id", "target", "sealed_payload", "dedupe_key", "lease_until"}
_SHOWN = [column for column in deliveries.c if column.name not in _HIDDEN]
_LISTED = [column for column in _SHOWN if column.name not in {"payload", "attempts"}]


def listing(conn: Connection, organization_id: UUID, wanted: Wanted, after: UUID | None, limit: int) -> Rows:
    """Messages, newest first, without payloads and attempts."""
    query = select(*_LISTED).where(deliveries.c.organization_id == organization_id)
    for name in ("status", "channel", "type", "task_id", "run_id"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(deliveries.c[name] == value)
    if after is not None:
        query = query.where(deliveries.c.id < after)
    return list(conn.execute(query.order_by(deliveries.c.id.desc()).limit(limit)))


def get(conn: Connection, organization_id: UUID, delivery_id: UUID) -> Any | None:
    """One message in full, or None."""
    return conn.execute(
        select(*_SHOWN).where(deliveries.c.id == delivery_id, deliveries.c.organization_id == organization_id)
    ).first()


_FORGET = text(
    """
    DELETE FROM deliveries WHERE id = ANY(ARRAY(SELECT id FROM deliveries
        WHERE completed_at < now() - make_interval(days => :days) ORDER BY completed_at LIMIT :limit))
    """
)


def forget_before(conn: Connection, days: int, limit: int) -> int:
    """Delete messages that ended so long ago; returns how many went. Uses deliveries_ended_idx."""
    return conn.execute(_FORGET, {"days": days, "limit": limit}).rowcount


def reply_to(conn: Connection, organization_id: UUID, task_id: UUID) -> Any:
    """What a task's metadata says about where its answers go; None if it says nothing."""
    metadata = conn.execute(
        select(tasks.c.metadata).where(tasks.c.id == task_id, tasks.c.organization_id == organization_id)
    ).scalar()
    return metadata.get("reply_to") if isinstance(metadata, dict) else None


_SECRET = text("SELECT ciphertext, previous, updated_at FROM webhook_secrets WHERE organization_id = :organization_id")
_MAKE_SECRET = text(
    """
    INSERT INTO webhook_secrets (organization_id, ciphertext, updated_at)
    VALUES (:organization_id, :ciphertext, now()) ON CONFLICT (organization_id) DO NOTHING
    """
)
_SET_SECRET = text(
    """
    INSERT INTO webhook_secrets (organization_id, ciphertext, updated_at)
    VALUES (:organization_id, :ciphertext, now())
    ON CONFLICT (organization_id) DO UPDATE SET previous = webhook_secrets.ciphertext,
        ciphertext = excluded.ciphertext, updated_at = now()
    """
)


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """What an organization's webhooks are signed with, as ciphertexts."""

    ciphertext: str
    previous: str | None
    updated_at: datetime


def signing_secret(conn: Connection, organization_id: UUID, fresh: str) -> SigningSecret:
    """The organization's secret; ``fresh`` becomes it if there is none. Whoever comes first decides."""
    params = {"organization_id": organization_id}
    row = conn.execute(_SECRET, params).first()
    if row is None:
        conn.execute(_MAKE_SECRET, params | {"ciphertext": fresh})
        row = conn.execute(_SECRET, params).one()
    return SigningSecret(row.ciphertext, row.previous, row.updated_at)


def set_signing_secret(conn: Connection, organization_id: UUID, ciphertext: str) -> None:
    """Replace the organization's secret; the one before is kept beside it."""
    conn.execute(_SET_SECRET, {"organization_id": organization_id, "ciphertext": ciphertext})
