"""Records how attempts ended: final state or retry, only where the attempt still holds its task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, assert_never
from uuid import UUID

import orjson
import structlog

from taskengine.domain.errors import ErrorInfo, Unavailable
from taskengine.domain.outcome import Cancelled, Failed, HandedOver, Parked, Succeeded, TimedOut
from taskengine.domain.retry import delay_seconds
from taskengine.domain.states import MOVES
from taskengine.domain.task import RetryPolicy
from taskengine.lifecycle import dispatch, own_runs, tell
from taskengine.lifecycle.advance import Carry, Untold, advance, look_after_commit
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.run import Ended
from taskengine.store import executions, transitions

log = structlog.get_logger(__name__)


def finish(
    engine: Engine, ended: Sequence[Ended], carry: Carry | None = None, patience_seconds: float | None = None
) -> int:
    """Record attempts, release what waited for them, tell whoever waits; returns how many were recorded.

    ``carry`` takes what the caller may go on with at once, if there is such a thing.
    Waits out a database that is away for as long as the lease could last, or for ``patience_seconds``; after that
    another attempt will run.
    """
    if not ended:
        return 0
    rows = [_row(engine, item) for item in ended]
    patience = max(engine.settings.lease_seconds, 30) if patience_seconds is None else patience_seconds
    give_up = time.monotonic() + patience
    pause = 0.1
    while True:
        try:
            return _record(engine, ended, rows, carry)
        except Unavailable as error:
            if time.monotonic() > give_up:
                raise
            log.warning("finish_delayed", reason=str(error), attempts=len(rows))
            time.sleep(pause)
            pause = min(pause * 2, 2)


def _record(engine: Engine, ended: Sequence[Ended], rows: Sequence[dict[str, Any]], carry: Carry | None) -> int:
    recorded: list[Any] = []
    if not any(item.logs or item.steps or item.claimed.has_dependents or _parks(item) for item in ended):
        # Most attempts leave nothing but their end, and nobody depends on them: one statement, one round trip.
        with engine.db.autocommit() as conn:
            recorded = transitions.finish(conn, rows, alone=True)
        look_after_commit(engine, {row.scope_id for row in recorded if row.scope_id and row.completed_at})
    if len(recorded) < len(rows):
        recorded += _record_fully(engine, ended, rows, {row.id for row in recorded}, carry)
    results = {item.claimed.task_id: item.result_json for item in ended}
    if carry is not None and carry.taken:
        # The next link follows at once; what these ends are to whoever waits is told with a later one's.
        carry.untold.add(Untold(recorded, results))
    else:
        engine.db.after_commit(lambda: tell.ended(engine, recorded, results))
    own_runs.stop_later(engine, recorded)
    dispatch.after_commit(engine, {row.queue for row in recorded if row.more})
    return len(recorded)


def _record_fully(
    engine: Engine, ended: Sequence[Ended], rows: Sequence[dict[str, Any]], done: set[UUID], carry: Carry | None
) -> list[Any]:
    left = [row for row in rows if row["task_id"] not in done]
    if carry is not None:
        carry.drop()
    with engine.db.begin() as conn:
        executions.add_logs(conn, [line for item in ended for line in item.logs])
        executions.add_steps(conn, [step for item in ended for step in item.steps])
        recorded = transitions.finish(conn, left, alone=False)
        came = own_runs.wake_early(conn, recorded)
        advance(engine, conn, [row for row in recorded if row.completed_at is not None], came, carry=carry)
    if len(recorded) < len(left):
        log.info("late_results_refused", attempts=len(left) - len(recorded))
    return recorded


def _parks(item: Ended) -> bool:
    return isinstance(item.outcome, Parked)


def _row(engine: Engine, ended: Ended) -> dict[str, Any]:
    claimed, outcome = ended.claimed, ended.outcome
    row: dict[str, Any] = {"execution_id": claimed.execution_id, "task_id": claimed.task_id}
    if ended.usage is not None:
        row |= {"cpu_seconds": ended.usage.cpu_seconds, "peak_memory_bytes": ended.usage.peak_memory_bytes}
    match outcome:
        case Succeeded():
            assert ended.result_json is not None
            row |= {"execution_status": "succeeded", "result": orjson.Fragment(ended.result_json)}
            return transitions.finish_row(MOVES["completed"], **row)
        case Cancelled(reason=reason):
            error = ErrorInfo("cancelled", reason).as_dict()
            return transitions.finish_row(MOVES["cancelled"], **row, execution_status="cancelled", error=error)
        case Parked(reason=reason, seconds=seconds):
            row |= {"execution_status": "succeeded", "delay_seconds": seconds, "reason": reason}
            return transitions.finish_row(MOVES["parked"], **row)
        case HandedOver(line=line, reason=reason):
            row |= {"execution_status": "succeeded", "delay_seconds": 0, "queue": line, "reason": reason}
            return transitions.finish_row(MOVES["handed_over"], **row)
        case TimedOut(error=info):
            return _failure(engine, ended, row | {"execution_status": "timed_out"}, info, True, None)
        case Failed(error=info, transient=transient, retry_after_seconds=after, counts=counts):
            return _failure(engine, ended, row | {"execution_status": "failed"}, info, transient, after, counts)
        case _:
            assert_never(outcome)


def _failure(
    engine: Engine,
    ended: Ended,
    row: dict[str, Any],
    info: ErrorInfo,
    transient: bool,
    after: float | None,
    counts: bool = True,
) -> dict[str, Any]:
    claimed = ended.claimed
    failures = claimed.error_count + counts
    row |= {"error": info.as_dict(), "failed": int(counts)}
    if not transient or failures > claimed.max_retries:
        return transitions.finish_row(MOVES["failed"], **row, dead=True)
    delay = delay_seconds(RetryPolicy.model_validate(claimed.retry), max(failures, 1), engine.chance(), after)
    return transitions.finish_row(MOVES["retry_scheduled"], **row, delay_seconds=delay)
