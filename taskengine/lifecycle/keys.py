"""API keys: made, shown once, kept as a hash, recognised."""

from __future__ import annotations

import hashlib
import re
import secrets as chance
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain.errors import FieldError, Forbidden, Invalid, NotFound
from taskengine.domain.ids import new_id
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors, organizations

SCOPES = ("read", "write", "admin")
"""Each scope includes those before it."""
DEFAULT_ORGANIZATION = "default"
"""The operator's: made at the first start, and the only one that steers what all organizations share."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PREFIX = "te_"
# How long a revoked key may still be accepted by another process.
_CACHE_SECONDS = 5.0
_CACHE_SIZE = 10_000

_cache: dict[bytes, tuple[float, Caller | None]] = {}
_cache_lock = threading.Lock()


def hash_key(token: str) -> bytes:
    """What is stored of a key. Keys are random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def scopes_of(scopes: Sequence[str]) -> frozenset[str]:
    """The scopes with all that they include."""
    widest = max((SCOPES.index(scope) for scope in scopes), default=-1)
    return frozenset(SCOPES[: widest + 1])


def require(caller: Caller, scope: str) -> None:
    """Forbidden unless the caller's key has the scope."""
    if scope not in caller.scopes:
        raise Forbidden(f"this needs an API key with scope {scope}")


def require_operator(conn: Connection, caller: Caller, why: str) -> None:
    """Forbidden unless the caller belongs to the operator's organization; ``why`` begins the sentence."""
    if caller.organization_id != organizations.by_name(conn, DEFAULT_ORGANIZATION):
        raise Forbidden(f"{why}, so only the operator's organization ({DEFAULT_ORGANIZATION!r}) may change them")


def create(
    engine: Engine, caller: Caller, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> dict[str, Any]:
    """Make a key for the caller's organization; ``key`` in the answer is never shown again."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise Invalid(
            f"scopes are some of {', '.join(SCOPES)}",
            [FieldError(("scopes",), f"holds unknown scopes: {', '.join(unknown) or 'none given'}", "unknown_scope")],
        )
    if expires_at is not None and expires_at <= engine.clock():
        fault = FieldError(("expires_at",), "lies in the past", "in_the_past")
        raise Invalid("expires_at lies in the past", [fault])
    return _store(engine, caller.organization_id, name, scopes, _PREFIX + chance.token_urlsafe(32), expires_at)


def _store(
    engine: Engine,
    organization_id: UUID,
    name: str,
    scopes: Sequence[str],
    token: str,
    expires_at: datetime | None = None,
) -> dict[str, Any]:
    with engine.db.begin() as conn:
        row = organizations.add_key(
            conn,
            {
                "id": new_id(),
                "organization_id": organization_id,
                "name": name,
                "prefix": token[:7],
                "key_hash": hash_key(token),
                "scopes": sorted(set(scopes), key=SCOPES.index),
                "expires_at": expires_at,
            },
        )
    return {**row._mapping, "key": token}


def listing(engine: Engine, caller: Caller, page: PageRequest) -> Page:
    """The organization's keys, newest first, without the keys themselves."""
    with engine.db.autocommit() as conn:
        rows = organizations.keys(conn, caller.organization_id, cursors.decode_uuid(page.cursor), page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_uuid(row.id))


def revoke(engine: Engine, caller: Caller, key_id: UUID) -> None:
    """End a key: at once in this process, within seconds in others. NotFound if it is gone already."""
    with engine.db.begin() as conn:
        if not organizations.revoke_key(conn, caller.organization_id, key_id):
            raise NotFound(f"there is no API key {key_id}")
    with _cache_lock:
        _cache.clear()


def authenticate(engine: Engine, token: str) -> Caller | None:
    """The caller that a key belongs to, or None. Looked up at most every few seconds for each key."""
    digest = hash_key(token)
    now = time.monotonic()
    known = _cache.get(digest)
    if known is not None and now < known[0]:
        return known[1]
    with engine.db.autocommit() as conn:
        found = organizations.by_hash(conn, digest)
    caller = None
    if found is not None:
        key_id, organization_id, name, scopes, _ = found
        caller = Caller(organization_id, key_id, name, scopes_of(scopes))
        lifetime = _CACHE_SECONDS
        if found[4] is not None:
            lifetime = min(lifetime, (found[4] - datetime.now(UTC)).total_seconds())
        with _cache_lock:
            if len(_cache) >= _CACHE_SIZE:
                _cache.clear()
            _cache[digest] = (now + lifetime, caller)
    return caller


def bootstrap(engine: Engine) -> str | None:
    """At first start, make the default organization and its admin key; returns the key if it was made now."""
    given = engine.settings.bootstrap_api_key
    with engine.db.begin() as conn:
        organization_id = new_id()
        if not organizations.create(conn, organization_id, DEFAULT_ORGANIZATION):
            return None
        token = given.get_secret_value() if given is not None else _PREFIX + chance.token_urlsafe(32)
        _store(engine, organization_id, "bootstrap", ["admin"], token)
    return token


def add_organization(engine: Engine, name: str) -> dict[str, Any]:
    """Make another organization with an admin key of its own; Invalid if the name is taken or no name."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            "an organization's name is 1 to 100 letters, digits, '.', '_' or '-' and begins with a letter or digit",
            [FieldError(("name",), "is no name of an organization", "value_error")],
        )
    with engine.db.begin() as conn:
        organization_id = new_id()
        if not organizations.create(conn, organization_id, name):
            raise Invalid(
                f"there is an organization {name!r} already", [FieldError(("name",), "is taken", "duplicate_name")]
            )
        return _store(engine, organization_id, "bootstrap", ["admin"], _PREFIX + chance.token_urlsafe(32))


def local_caller(engine: Engine, organization: str = DEFAULT_ORGANIZATION) -> Caller:
    """A caller with all scopes, for code that runs beside the engine and needs no key. NotFound without bootstrap."""
    with engine.db.autocommit() as conn:
        organization_id = organizations.by_name(conn, organization)
    if organization_id is None:
        raise NotFound(f"there is no organization {organization!r}; run `taskengine keys bootstrap`")
    return Caller(organization_id, None, "local", frozenset(SCOPES))
