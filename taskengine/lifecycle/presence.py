"""Workers say that they live."""

from __future__ import annotations

from collections.abc import Mapping

from taskengine.lifecycle.engine import Engine
from taskengine.store import queues

EVERY_SECONDS = 10
ALIVE_SECONDS = 30
"""A worker that was silent this long counts as gone."""


def seen(engine: Engine, node: str, queue: str, pool_size: int, resources: Mapping[str, float]) -> None:
    """Note that a worker lives, and what its machine has, in the words of ``resource_requirements``."""
    with engine.db.autocommit() as conn:
        queues.worker_seen(conn, node, queue, pool_size, resources)


def gone(engine: Engine, node: str) -> None:
    """Note that a worker has stopped."""
    with engine.db.autocommit() as conn:
        queues.worker_gone(conn, node)


def lead(engine: Engine, name: str, holder: str, seconds: float) -> bool:
    """Take or keep the lead of a duty that one process at a time does."""
    with engine.db.autocommit() as conn:
        return queues.lead(conn, name, holder, seconds)


def resign(engine: Engine, name: str, holder: str) -> None:
    """Hand the lead over."""
    with engine.db.autocommit() as conn:
        queues.resign(conn, name, holder)
