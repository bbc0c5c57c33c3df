"""Queues as operators see and steer them."""

from __future__ import annotations

from typing import Any

from config.settings import QUEUES
from taskengine.domain.task import Caller
from taskengine.lifecycle import dispatch, keys, query
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS
from taskengine.store import outbox
from taskengine.store import queues as store

_FIELDS = (
    "name", "depth", "in_flight", "running", "oldest_age_seconds", "workers", "slots", "paused", "draining",
    "finished_per_minute",
)  # fmt: skip


def _overview(engine: Engine) -> list[dict[str, Any]]:
    with engine.db.autocommit() as conn:
        rows = store.overview(conn, QUEUES, ALIVE_SECONDS)
    shown = [{name: row._mapping[name] for name in _FIELDS} for row in rows]
    for item in shown:
        age = item["oldest_age_seconds"]
        item["oldest_age_seconds"] = None if age is None else round(float(age), 3)
    return shown


def listing(engine: Engine, caller: Caller | None) -> list[dict[str, Any]]:  # noqa: ARG001 - the figures are the installation's
    """Every queue: depth (waiting), in_flight (of these, sent to the broker), running, oldest age, live workers."""
    return _overview(engine)


def _set(engine: Engine, caller: Caller, name: str, *, paused: bool, draining: bool) -> dict[str, Any]:
    with engine.db.begin() as conn:
        keys.require_operator(conn, caller, "the queues are shared by all organizations")
        if name not in QUEUES:
            raise query.missing("queue", name)
        store.set_mode(conn, name, paused=paused, draining=draining)
        if paused:
            outbox.unpublish_queue(conn, name)
        else:
            dispatch.after_commit(engine, [name])
    return next(item for item in _overview(engine) if item["name"] == name)


def pause(engine: Engine, caller: Caller, name: str) -> dict[str, Any]:
    """Start nothing new on a queue; what runs ends. Forbidden to all but the operator's organization."""
    return _set(engine, caller, name, paused=True, draining=False)


def resume(engine: Engine, caller: Caller, name: str) -> dict[str, Any]:
    """End a pause or a drain. Forbidden to all but the operator's organization."""
    return _set(engine, caller, name, paused=False, draining=False)


def drain(engine: Engine, caller: Caller, name: str) -> dict[str, Any]:
    """Accept nothing new on a queue, and work off what waits. Forbidden to all but the operator's organization."""
    return _set(engine, caller, name, paused=False, draining=True)
