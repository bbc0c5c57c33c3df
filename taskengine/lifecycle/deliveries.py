"""Reads of outgoing messages, what may be done about them, and the secret that signs webhooks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskengine.delivery import signing
from taskengine.domain.errors import Conflict, FieldError, Invalid
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle import deliver, query
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors
from taskengine.store import deliveries as store
from taskengine.store.deliveries import Wanted

__all__ = ["Wanted", "get", "listing", "redrive", "secret", "set_secret"]


def listing(engine: Engine, caller: Caller, wanted: Wanted, page: PageRequest) -> Page:
    """Messages, newest first, without payloads and attempts."""
    after = cursors.decode_uuid(page.cursor)
    with engine.db.autocommit() as conn:
        rows = store.listing(conn, caller.organization_id, wanted, after, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_uuid(row.id))


def get(engine: Engine, caller: Caller, delivery_id: UUID) -> dict[str, Any]:
    """One message with its payload and every attempt; secrets in the payload show as stars."""
    with engine.db.autocommit() as conn:
        row = store.get(conn, caller.organization_id, delivery_id)
    if row is None:
        raise query.missing("delivery", delivery_id)
    return dict(row._mapping)


def redrive(engine: Engine, caller: Caller, delivery_id: UUID) -> dict[str, Any]:
    """Send a failed message again, with all its attempts; Conflict if it has not failed."""
    with engine.db.begin() as conn:
        attempts = len(engine.settings.delivery_pauses()) + 1
        if not store.redrive(conn, caller.organization_id, delivery_id, attempts):
            found = get(engine, caller, delivery_id)
            raise Conflict(f"the delivery is {found['status']}; only a failed one can be sent again")
        engine.db.after_commit(lambda: deliver.ring(engine))
        return get(engine, caller, delivery_id)


def secret(engine: Engine, caller: Caller) -> dict[str, Any]:
    """What this organization's webhooks are signed with; made when it is first needed."""
    return {"secret": deliver.signing_secrets(engine, caller.organization_id)[0]}


def set_secret(engine: Engine, caller: Caller, given: str | None) -> dict[str, Any]:
    """Replace the signing secret by another, a fresh one unless it is given. For a day both sign."""
    try:
        value = signing.new_secret() if given is None else signing.check_secret(given)
    except ValueError as error:
        raise Invalid(f"secret {error}", [FieldError(("secret",), str(error), "invalid_secret")]) from None
    with engine.db.begin() as conn:
        store.set_signing_secret(conn, caller.organization_id, engine.cipher.encrypt(value))
    return {"secret": value}
