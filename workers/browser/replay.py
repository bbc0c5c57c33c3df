"""Remembers what instructions in plain words were resolved to, for later runs of the same task.

A run of the same task: the same type and name of task, the same instruction for the same purpose at the same address.
What is remembered is a proposal; who replays it looks whether the page still bears it out.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from taskengine.handlers.base import Context

_SPACE = "replay"
_KEPT_SECONDS = 180 * 86400.0


def key(ctx: Context, instruction: str, url: str, purpose: str, place: str = "") -> str:
    """Names an instruction of a task on a page; ``place`` tells apart steps with the same words.

    The address counts without query and fragment, the words without secrets.
    """
    parts = urlsplit(url)
    bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    told = [ctx.task_type, ctx.task_name, place, purpose, ctx.redacted(instruction), bare]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def load(ctx: Context, key: str) -> Any:
    """What was stored under the key; None if nothing was."""
    return ctx.recall(_SPACE, key)


def store(ctx: Context, key: str, value: Any) -> None:
    """Remember it; nothing that holds a secret is stored."""
    text = json.dumps(value)
    if ctx.redacted(text) == text:
        ctx.remember(_SPACE, key, value, ttl_seconds=_KEPT_SECONDS)


def drop(ctx: Context, key: str) -> None:
    """Forget what the page no longer bears out."""
    ctx.forget(_SPACE, key)
