"""Makes what handlers write storable: they may log anything, and the record must never refuse a finished attempt."""

from __future__ import annotations

import math
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel

_LONGEST_LINE = 20_000
_DEEPEST = 60
ROOM = 30
"""So many levels may be put around what ``fits``: the serializer stops at 254."""


def fits(value: Any, most_bytes: int, room: int = ROOM) -> bool:
    """Whether a JSON value has at most so many bytes, and few enough levels to become a part of other JSON."""
    around = value
    for _ in range(room):
        around = [around]
    try:
        return len(orjson.dumps(around)) - 2 * room <= most_bytes
    except TypeError:
        return False


def clean_text(text: str) -> str:
    """Text as Postgres takes it: no NUL, no lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def clean_line(text: str) -> str:
    """The same, cut to 20,000 characters."""
    return clean_text(text[:_LONGEST_LINE])


def clean_json(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - a line for each kind of value
    """A copy that JSON in Postgres can hold; what JSON has no word for becomes its ``repr``."""
    match value:
        case None | bool():
            return value
        case Enum():
            return clean_json(value.value, depth)
        case str():
            return clean_text(value)
        case float():
            return value if math.isfinite(value) else repr(value)
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case datetime() | date():
            return value.isoformat()
        case UUID():
            return str(value)
    if depth >= _DEEPEST:
        return "…"
    match value:
        case BaseModel():
            return clean_json(value.model_dump(mode="json"), depth)
        case dict():
            return {clean_text(str(name)): clean_json(item, depth + 1) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [clean_json(item, depth + 1) for item in value]
    return clean_text(repr(value))
