"""Opaque cursors of lists: the last row's sort key, base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.task import Page


def _refuse() -> Invalid:
    return Invalid(
        "the cursor is not one that this list gave out; start again without it",
        [FieldError(("query", "cursor"), "is not a cursor of this list", "invalid_cursor")],
    )


def encode_uuid(value: UUID) -> str:
    """The cursor after the row with this id."""
    return base64.urlsafe_b64encode(value.bytes).rstrip(b"=").decode()


def decode_uuid(cursor: str | None) -> UUID | None:
    """The id in a cursor; Invalid if it holds none."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, UnicodeEncodeError):
        raise _refuse() from None


def encode_int(value: int) -> str:
    """The cursor after the row with this number."""
    return base64.urlsafe_b64encode(str(value).encode()).rstrip(b"=").decode()


def decode_int(cursor: str | None) -> int | None:
    """The number in a cursor; Invalid if it holds none."""
    if cursor is None:
        return None
    try:
        number = int(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, UnicodeEncodeError):
        raise _refuse() from None
    if not 0 <= number < 2**63:
        raise _refuse()
    return number


def encode_text(value: str) -> str:
    """The cursor after the row with this name."""
    return base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode()


def decode_text(cursor: str | None) -> str | None:
    """The name in a cursor; Invalid if it holds none."""
    if cursor is None:
        return None
    try:
        value = base64.urlsafe_b64decode(cursor.encode("ascii") + b"==").decode()
    except (ValueError, binascii.Error, UnicodeError):
        raise _refuse() from None
    if "\0" in value:
        raise _refuse()
    return value


def page(rows: Sequence[Any], limit: int, cursor: Callable[[Any], str]) -> Page:
    """A page of at most ``limit`` of rows that were read with ``limit + 1``."""
    items = [dict(row._mapping) for row in rows[:limit]]
    return Page(items, cursor(rows[limit - 1]) if len(rows) > limit else None)
