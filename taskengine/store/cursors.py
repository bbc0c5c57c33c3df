"""Opaque cursors of lists: the last row's sort key, base64."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.task import Page

T = TypeVar("T")


def _refuse() -> Invalid:
    return Invalid(
        "the cursor is not one that this list gave out; start again without it",
        [FieldError(("query", "cursor"), "is not a cursor of this list", "invalid_cursor")],
    )


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(cursor: str, read: Callable[[bytes], T]) -> T:
    try:
        return read(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except ValueError:
        raise _refuse() from None


def encode_uuid(value: UUID) -> str:
    """The cursor after the row with this id."""
    return _encode(value.bytes)


def decode_uuid(cursor: str | None) -> UUID | None:
    """The id in a cursor; Invalid if it holds none."""
    return None if cursor is None else _decode(cursor, lambda value: UUID(bytes=value))


def encode_int(value: int) -> str:
    """The cursor after the row with this number."""
    return _encode(str(value).encode())


def decode_int(cursor: str | None) -> int | None:
    """The number in a cursor; Invalid if it holds none."""
    if cursor is None:
        return None
    number = _decode(cursor, int)
    if not 0 <= number < 2**63:
        raise _refuse()
    return number


def encode_text(value: str) -> str:
    """The cursor after the row with this name."""
    return _encode(value.encode())


def decode_text(cursor: str | None) -> str | None:
    """The name in a cursor; Invalid if it holds none."""
    if cursor is None:
        return None
    value = _decode(cursor, bytes.decode)
    if "\0" in value:
        raise _refuse()
    return value


def page(rows: Sequence[Any], limit: int, cursor: Callable[[Any], str]) -> Page:
    """A page of at most ``limit`` of rows that were read with ``limit + 1``."""
    items = [dict(row._mapping) for row in rows[:limit]]
    return Page(items, cursor(rows[limit - 1]) if len(rows) > limit else None)
