"""Whether the installation can do its work."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import redis
import structlog

from config.settings import QUEUES
from taskengine.domain.errors import Unavailable
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS
from taskengine.lifecycle.recover import CANARY_SECONDS
from taskengine.store import queues

log = structlog.get_logger(__name__)

_SILENT_SECONDS = 10.0


def _check(ok: bool, detail: str) -> dict[str, Any]:
    return {"ok": ok, "detail": detail}


def ready(engine: Engine) -> dict[str, Any]:
    """``status`` and one check for each dependency.

    ``unavailable``: tasks cannot be accepted (no Postgres), or nothing would run them yet (no worker, no beat).
    ``degraded``: tasks are accepted, but dispatch is delayed (no Redis) or a queue's worker does not hear.
    """
    checks: dict[str, dict[str, Any]] = {}
    try:
        with engine.db.autocommit() as conn:
            queues.ping(conn)
            rows = queues.overview(conn, QUEUES, ALIVE_SECONDS)
            leaders = queues.leaders(conn)
    except Unavailable as error:
        # The probe is open to everybody, so what exactly went wrong (hosts, names) goes to the log.
        log.warning("postgres_unavailable", reason=error.detail)
        checks["postgres"] = _check(False, "does not answer; see the log of the API")
        return {"status": "unavailable", "checks": checks}
    checks["postgres"] = _check(True, "answers")
    checks["redis"] = _redis(engine)
    silent = leaders["tick"][1] if "tick" in leaders else None
    checks["beat"] = _check(
        silent is not None and silent < _SILENT_SECONDS + engine.settings.tick_seconds,
        "has not ticked yet" if silent is None else f"last tick {silent:.1f} s ago",
    )
    wanted = engine.settings.worker_sizes()
    for row in rows:
        if wanted[row.name]:
            checks[f"worker-{row.name}"] = _worker(row, engine.clock())
    return {"status": _status(checks), "checks": checks}


def _redis(engine: Engine) -> dict[str, Any]:
    try:
        engine.redis.ping()
    except redis.RedisError as error:
        log.warning("redis_unavailable", reason=str(error))
        return _check(False, "does not answer, so dispatch is delayed; see the log of the API")
    return _check(True, "answers")


def _worker(row: Any, now: datetime) -> dict[str, Any]:
    if not row.workers:
        return _check(False, "no live worker on this queue")
    if row.canary_at is None:
        return _check(False, "the worker has not taken a message yet")
    unanswered = row.canary_sent_at > row.canary_at and row.running < row.slots
    if unanswered and (now - row.canary_sent_at).total_seconds() > 2 * CANARY_SECONDS:
        return _check(False, f"the worker lives but takes no messages since {row.canary_at:%H:%M:%S} UTC")
    return _check(True, f"{row.workers} live")


def _status(checks: dict[str, dict[str, Any]]) -> str:
    if all(check["ok"] for check in checks.values()):
        return "ready"
    if not checks["redis"]["ok"]:
        return "degraded"
    workers = [check["ok"] for name, check in checks.items() if name.startswith("worker-")]
    return "degraded" if any(workers) and checks["beat"]["ok"] else "unavailable"
