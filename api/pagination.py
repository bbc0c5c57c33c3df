"""Lists: ``limit`` and ``cursor``, and pages over short lists that the engine returns whole."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from api.errors import invalid
from api.operations import Query
from taskengine.domain.errors import FieldError
from taskengine.domain.task import Page, PageRequest

MAX_LIMIT = 500
DEFAULT_LIMIT = 50


def whole_number(text: Any) -> Any:
    """Text of a query as it should be for an integer; pydantic would also take 1_000 and 1.0."""
    if isinstance(text, str) and not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("should be a whole number")
    return text


Cursor = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class PageQuery(Query):
    """One page of a list."""

    limit: Annotated[int, BeforeValidator(whole_number)] = Field(
        DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items on the page."
    )
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before.")

    def request(self) -> PageRequest:
        """What the engine's lists take."""
        return PageRequest(self.limit, self.cursor)


def page_of(rows: Sequence[Mapping[str, Any]], key: str, query: PageQuery) -> Page:
    """A page of ``rows``, ordered by the text at ``key``, which the cursor holds."""
    after = _decode(query.cursor) if query.cursor else ""
    rest = sorted((dict(row) for row in rows if row[key] > after), key=lambda row: str(row[key]))
    items = rest[: query.limit]
    more = len(rest) > query.limit
    return Page(items, _encode(items[-1][key]) if more else None)


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid([FieldError(("query", "cursor"), "is not a cursor of this list", "invalid_cursor")]) from None
