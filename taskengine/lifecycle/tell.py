"""Wakes clients that wait for a task or a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import redis
import structlog

from taskengine.lifecycle.engine import Engine
from taskengine.live import finished

log = structlog.get_logger(__name__)

# Nobody waits for one of a large pack as a rule, and large results are better read once than sent to all.
_MOST_TOLD = 8
_LONGEST_TOLD = 16_384


def ended(engine: Engine, rows: Sequence[Any], results: Mapping[UUID, bytes | None] | None = None) -> None:
    """Wake clients that wait for tasks that became final. A Redis that is down only makes them look later.

    ``results`` are those of tasks whose attempt just ended; then the clients hear all of the end.
    """
    final = [row for row in rows if row.completed_at is not None]
    if not final or not engine.publisher.available():
        return
    try:
        if results is None or len(final) > _MOST_TOLD:
            finished.announce(engine.redis, [{"id": row.id} for row in final])
        else:
            finished.announce(engine.redis, [_shown(row, results.get(row.id)) for row in final])
    except redis.RedisError as error:
        log.warning("announce_failed", reason=str(error))


def _shown(row: Any, result: bytes | None) -> dict[str, Any]:
    if result is not None and len(result) > _LONGEST_TOLD:
        return {"id": row.id}
    return {
        "id": row.id,
        "status": row.status,
        "attempt": row.attempt,
        "error_count": row.error_count,
        "last_error": row.last_error,
        "result": None if result is None else orjson.Fragment(result),
        "started_at": row.started_at,
        "updated_at": row.updated_at,
        "completed_at": row.completed_at,
        "cancel_requested_at": row.cancel_requested_at,
        "cancel_reason": row.cancel_reason,
    }


def after_commit(engine: Engine, rows: Sequence[Any]) -> None:
    """Tell of ended rows once the open transaction has committed."""
    if rows:
        engine.db.after_commit(partial(ended, engine, list(rows)))


def run_ended(engine: Engine, run_id: UUID) -> None:
    """Tell of a run's end once the open transaction has committed."""
    engine.db.after_commit(partial(_announce, engine, [{"id": run_id}]))


def waiting_for_agents(engine: Engine, line: str) -> None:
    """Wake agents that wait for a task of this line. A Redis that is down only makes them look later."""
    _announce(engine, [{"id": line}])


def _announce(engine: Engine, ends: list[dict[str, Any]]) -> None:
    if not engine.publisher.available():
        return
    try:
        finished.announce(engine.redis, ends)
    except redis.RedisError as error:
        log.warning("announce_failed", reason=str(error))
