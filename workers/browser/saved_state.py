"""Cookies and storage of a browser session, kept under a name, encrypted, for a later task of the organization."""

from __future__ import annotations

from typing import Any, cast

import orjson
from playwright.sync_api import BrowserContext, StorageState

from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import Context

_SPACE = "browser_session"
_MOST_BYTES = 4 * 2**20


def load(ctx: Context, name: str) -> StorageState:
    """The state that was saved under ``name``; PermanentError ``unknown_session`` if none was."""
    state = ctx.recall(_SPACE, name)
    if state is None:
        raise PermanentError(
            "unknown_session",
            f"no browser session was saved as {name!r}; save one first with a task that has session.save",
            {"session": name},
        )
    ctx.log("session loaded", session=name, holds=_counts(state))
    return cast("StorageState", state)


def save(ctx: Context, context: BrowserContext, name: str) -> None:
    """Keep the context's cookies and storage; the newest of a name counts."""
    state = cast("dict[str, Any]", context.storage_state(indexed_db=True))
    size = len(orjson.dumps(state))
    if size > _MOST_BYTES:
        raise PermanentError("session_too_large", f"cookies and storage have {size} bytes, at most {_MOST_BYTES} fit")
    ctx.remember(_SPACE, name, state, secret=True)
    ctx.log("session saved", session=name, holds=_counts(state))


def _counts(state: dict[str, Any]) -> dict[str, int]:
    return {"cookies": len(state.get("cookies", ())), "origins": len(state.get("origins", ()))}
