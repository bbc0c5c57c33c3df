"""What a view returns, and how it becomes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import Response

JSON = "application/json"
# The keys of rows are SQLAlchemy's own subclass of str, which orjson takes for keys of another type.
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer: plain values, so that an idempotent one can be stored and given again."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON

    def response(self) -> Response:
        """The Flask response."""
        made = Response(self.body, self.status, content_type=self.content_type)
        for name, value in self.headers.items():
            made.headers[name] = value
        if self.status == 204:
            del made.headers["Content-Type"]
        return made


def dump(value: Any) -> bytes:
    """JSON with RFC 3339 times in UTC (``Z``) and ids as text."""
    return orjson.dumps(value, option=_OPTIONS)


def ok(value: Any) -> Answer:
    """200 with ``value`` as JSON."""
    return Answer(dump(value))


def created(value: Any, location: str | None = None) -> Answer:
    """201 with ``value`` as JSON; ``location`` is the path of what was made."""
    return Answer(dump(value), 201, {"Location": location} if location else {})


def no_content() -> Answer:
    """204."""
    return Answer(b"", 204)
