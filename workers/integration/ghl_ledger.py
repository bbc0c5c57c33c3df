"""The ledger of what was asked of GoHighLevel: the intent is written before a call, its answer after it.

The API takes no idempotency key, so an attempt that follows one whose answer was lost has only this to know it by. Kept
in the space ``ghl`` of what the organization's task types remember, one entry a task:

| state | what it says | what the next attempt does |
| --- | --- | --- |
| (no entry) | nothing was sent, or it was refused | sends |
| sending | sent, answer unknown | looks whether it was done |
| unsure | a person was told that nobody can tell | sends: by retrying, the person decided |
| done | the answer | returns it |

An entry counts only for the same request: a task whose config was changed is a new one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from taskengine.handlers.base import Context

_SPACE = "ghl"
_KEPT_SECONDS = 30 * 86400.0

State = Literal["sending", "unsure", "done"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger says of an earlier attempt."""

    state: State
    at: datetime
    """When that attempt wrote its intent."""
    output: dict[str, Any] | None
    """What it returned, when done."""


class Ledger:
    """The ledger of one task and one request."""

    def __init__(self, ctx: Context, *request: Any) -> None:
        self._ctx = ctx
        self._key = str(ctx.task_id)
        self._request = hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def read(self) -> Entry | None:
        """What an earlier attempt left, if it was about the same request."""
        found = self._ctx.recall(_SPACE, self._key)
        if not isinstance(found, dict) or found["request"] != self._request:
            return None
        return Entry(found["state"], datetime.fromisoformat(found["at"]), found["output"])

    def sending(self) -> None:
        """From here on nobody knows, until an answer is written."""
        self._write("sending", datetime.now(UTC), None)

    def unsure(self, at: datetime) -> None:
        """A person is told; if they have the task retried, it is sent again."""
        self._write("unsure", at, None)

    def done(self, output: dict[str, Any]) -> None:
        """It is done, and this came of it."""
        self._write("done", datetime.now(UTC), output)

    def clear(self) -> None:
        """It was refused, or never left: nothing was done."""
        self._ctx.forget(_SPACE, self._key)

    def _write(self, state: State, at: datetime, output: dict[str, Any] | None) -> None:
        entry = {"request": self._request, "state": state, "at": at.isoformat(), "output": output}
        self._ctx.remember(_SPACE, self._key, entry, ttl_seconds=_KEPT_SECONDS)
