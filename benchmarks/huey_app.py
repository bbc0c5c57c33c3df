"""The Huey contender's task."""

from __future__ import annotations

from typing import Any

from huey import RedisHuey


def echo(message: object) -> object:
    """Return the input."""
    return message


def build(redis_url: str, *, notify: bool) -> tuple[RedisHuey, Any]:
    """A Huey and its one task. ``notify`` rings waiting clients, at two more commands for each task."""
    huey = RedisHuey("bench", url=redis_url, notify_result=notify)
    return huey, huey.task(name="echo")(echo)
