"""Members and groups: whom notifications may name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from taskengine.delivery.email import check_address
from taskengine.domain.credentials import MASK
from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.ids import new_id
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine
from taskengine.store import cursors
from taskengine.store import members as store

RESERVED = ("owner", "originating")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class MemberFields:
    """A member but for the name. A URL of ``***`` keeps the one that is stored."""

    role: str = "member"
    email: str | None = None
    slack_url: str | None = None
    webhook_url: str | None = None
    channels: Sequence[str] = ()


def put(engine: Engine, caller: Caller, name: str, fields: MemberFields) -> dict[str, Any]:
    """Make a member, or replace the one of that name. Invalid names every fault."""
    _check_name(name)
    try:
        email = None if fields.email is None else check_address(fields.email)
    except ValueError as error:
        raise Invalid(f"email {error}", [FieldError(("email",), str(error), "invalid_email")]) from None
    _check_channels(fields)
    with engine.db.begin() as conn:
        old = store.lock(conn, caller.organization_id, name)
        values = {
            "id": new_id(),
            "organization_id": caller.organization_id,
            "name": name,
            "role": fields.role,
            "email": email,
            "slack_url": _sealed(engine, "slack_url", fields.slack_url, old),
            "webhook_url": _sealed(engine, "webhook_url", fields.webhook_url, old),
            "channels": list(dict.fromkeys(fields.channels)),
        }
        store.put(conn, values)
        return _shown(store.get(conn, caller.organization_id, name))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in RESERVED:
        fault = f"is 1 to 100 letters, digits, '.', '_' or '-', and not {' or '.join(RESERVED)}"
        raise Invalid(f"a name {fault}", [FieldError(("path", "name"), fault, "invalid_name")])


def _check_channels(fields: MemberFields) -> None:
    """A channel that has no address would never be used, and nobody told."""
    addresses = {"email": fields.email, "slack": fields.slack_url, "webhook": fields.webhook_url}
    for number, channel in enumerate(fields.channels):
        if addresses[channel] is None:
            field = "email" if channel == "email" else f"{channel}_url"
            fault = f"needs {field}: the member has no such address"
            raise Invalid(f"channels: {channel} {fault}", [FieldError(("channels", number), fault, "no_address")])


def _sealed(engine: Engine, field: str, url: str | None, old: Any) -> str | None:
    if url is None:
        return None
    if url != MASK:
        return engine.cipher.encrypt(url)
    kept: str | None = None if old is None else getattr(old, field)
    if kept is None:
        fault = "*** keeps a URL where it was; there is none here, send the URL itself"
        raise Invalid(f"{field}: {fault}", [FieldError((field,), fault, "mask")])
    return kept


def _shown(row: Any) -> dict[str, Any]:
    member = dict(row._mapping)
    for field in ("slack_url", "webhook_url"):
        member[field] = None if member[field] is None else MASK
    return member


def get(engine: Engine, caller: Caller, name: str) -> dict[str, Any]:
    """One member; NotFound if there is none."""
    with engine.db.autocommit() as conn:
        row = store.get(conn, caller.organization_id, name)
    if row is None:
        raise query.missing("member", name)
    return _shown(row)


def listing(engine: Engine, caller: Caller, page: PageRequest) -> Page:
    """Members by name."""
    with engine.db.autocommit() as conn:
        rows = store.listing(conn, caller.organization_id, cursors.decode_text(page.cursor), page.limit + 1)
    more = len(rows) > page.limit
    cursor = cursors.encode_text(rows[page.limit - 1].name) if more else None
    return Page([_shown(row) for row in rows[: page.limit]], cursor)


def delete(engine: Engine, caller: Caller, name: str) -> None:
    """Remove a member, from groups too; NotFound if there is none."""
    with engine.db.begin() as conn:
        if not store.remove(conn, caller.organization_id, name):
            raise query.missing("member", name)


def put_group(engine: Engine, caller: Caller, name: str, names: Sequence[str]) -> dict[str, Any]:
    """Make a group of members, or replace the one of that name; Invalid if one of the members does not exist."""
    _check_name(name)
    wanted = sorted(set(names))
    with engine.db.begin() as conn:
        if store.put_group(conn, new_id(), caller.organization_id, name, wanted) != len(wanted):
            known = set(store.get_group(conn, caller.organization_id, name).members)  # type: ignore[union-attr]
            unknown = ", ".join(name for name in wanted if name not in known)
            fault = f"there is no member {unknown}"
            raise Invalid(f"members: {fault}", [FieldError(("members",), fault, "unknown_member")])
        return dict(store.get_group(conn, caller.organization_id, name)._mapping)  # type: ignore[union-attr]


def get_group(engine: Engine, caller: Caller, name: str) -> dict[str, Any]:
    """One group with its members' names; NotFound if there is none."""
    with engine.db.autocommit() as conn:
        row = store.get_group(conn, caller.organization_id, name)
    if row is None:
        raise query.missing("group", name)
    return dict(row._mapping)


def groups(engine: Engine, caller: Caller, page: PageRequest) -> Page:
    """Groups by name."""
    with engine.db.autocommit() as conn:
        rows = store.groups_listing(conn, caller.organization_id, cursors.decode_text(page.cursor), page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_text(row.name))


def delete_group(engine: Engine, caller: Caller, name: str) -> None:
    """Remove a group, not its members; NotFound if there is none."""
    with engine.db.begin() as conn:
        if not store.remove_group(conn, caller.organization_id, name):
            raise query.missing("group", name)
