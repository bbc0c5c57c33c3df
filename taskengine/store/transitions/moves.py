"""Moves of tasks that no attempt holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from taskengine.domain.states import FINAL, MOVES, TaskStatus
from taskengine.store.database import Rows, in_json
from taskengine.store.transitions.steps import recount

_MOVE = """
    WITH old AS (
        SELECT id, status FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = ANY(CAST(:sources AS text[])) {condition}
        ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE tasks t SET status = :target, updated_at = statement_timestamp() {sets}
        FROM old WHERE t.id = old.id
        RETURNING t.*, old.status AS from_status
    ), ring AS (
        {outbox}
    ), noted AS (
        INSERT INTO events (organization_id, task_id, run_id, type, from_status, to_status, attempt, data)
        SELECT organization_id, id, run_id, :event, from_status, status, attempt, CAST(:data AS json) FROM moved
    )
    SELECT id, organization_id, queue, status, from_status, completed_at, has_dependents, kind, run_id, scope_id,
        ended_bad, announce IS NOT NULL AS announced
    FROM moved
"""
_UNRING = "DELETE FROM outbox WHERE task_id IN (SELECT id FROM old)"
RING = """
    INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, expires_at,
        needs, enqueued_at)
    SELECT id, organization_id, queue, priority, urgency, attempt + 1, light AND lost_count = 0,
        CASE WHEN started_at IS NULL THEN expires_at END, resource_requirements, statement_timestamp()
    FROM {source} ON CONFLICT (task_id) DO UPDATE SET queue = excluded.queue, attempt = excluded.attempt,
        light = excluded.light, expires_at = excluded.expires_at, enqueued_at = statement_timestamp(),
        published_at = NULL
"""


def _statement(sets: str, *, rings: bool, condition: str = "") -> TextClause:
    outbox = RING.format(source="moved") if rings else _UNRING
    return text(_MOVE.format(sets=sets, condition=condition, outbox=outbox))


_ENDED = ", completed_at = statement_timestamp(), run_at = NULL"
_QUEUED = ", queued_at = statement_timestamp(), run_at = NULL"
_AFRESH = (
    ", completed_at = NULL, result = NULL, error_count = 0, lost_count = 0, cancel_requested_at = NULL,"
    " cancel_reason = NULL, expires_at = CASE WHEN expires_at > statement_timestamp() THEN expires_at END"
)
_LET_GO = ", held = false"
# A task that is tried again by hand begins a new run of its own; what a step has done so far stays noted.
_NO_RUN = ", state = CASE WHEN kind <> 'task' THEN state END"
_RESET = _AFRESH + (
    ", started_at = NULL, queued_at = NULL, run_at = NULL, times_out_at = NULL, last_error = NULL, state = NULL,"
    " held = false, gated = parent_id IS NOT NULL,"
    # What was approved stays so; what was rejected, and a wait's answer, is asked for again.
    " review = CASE WHEN kind <> 'wait' AND review ->> 'decision' = 'approved' THEN review END"
)
# An expansion that was stopped while its children were being made still holds their values, and goes on making them.
_GOES_ON = (
    " state = CAST(CAST(state AS jsonb) - 'error'"
    " || CASE WHEN state -> 'values' IS NOT NULL THEN jsonb_build_object('making', true) ELSE '{}' END AS json)"
)
_STATEMENTS: dict[str, TextClause] = {
    "queued": _statement(_QUEUED, rings=True, condition="AND waiting_on = 0"),
    "deferred": _statement(", run_at = scheduled_for", rings=False, condition="AND waiting_on = 0"),
    "woken": _statement(_QUEUED, rings=True, condition="AND kind = 'task'"),
    "triggered": _statement(_QUEUED + ", triggered = true", rings=True),
    "retried": _statement(_QUEUED + _AFRESH + _NO_RUN, rings=True),
    "retried_pending": _statement(_AFRESH + _NO_RUN + ", review = NULL", rings=False),
    "retried_deferred": _statement(_AFRESH + _NO_RUN + ", run_at = scheduled_for", rings=False),
    "redriven": _statement(_QUEUED + _AFRESH + _NO_RUN, rings=True),
    "cancelled": _statement(
        _ENDED
        + ", cancel_requested_at = coalesce(cancel_requested_at, statement_timestamp()), cancel_reason = :reason",
        rings=False,
    ),
    "rejected": _statement(_ENDED + ", cancel_reason = :reason, review = CAST(:data AS json)", rings=False),
    "expired": _statement(
        _ENDED + ", last_error = CAST(:data AS json)",
        rings=False,
        condition="AND started_at IS NULL AND expires_at <= statement_timestamp()",
    ),
    "skipped": _statement(_ENDED + ", last_error = CAST(:data AS json)", rings=False),
    "paused": _statement(", held = :held", rings=False),
    "resumed": _statement(_QUEUED + _LET_GO, rings=True),
    "resumed_pending": _statement(_LET_GO, rings=False),
    "resumed_deferred": _statement(", run_at = scheduled_for" + _LET_GO, rings=False),
    "resumed_retrying": _statement(_LET_GO, rings=False),
    # A step runs without an attempt: it ends here.
    "stopped": _statement(
        _ENDED + ", times_out_at = NULL, cancel_requested_at = coalesce(cancel_requested_at, statement_timestamp()),"
        " cancel_reason = :reason",
        rings=False,
        condition="AND kind <> 'task'",
    ),
    "reset": _statement(_RESET, rings=False),
    "reopened": _statement(
        ", completed_at = NULL, result = NULL, last_error = NULL, cancel_requested_at = NULL, cancel_reason = NULL,"
        + _GOES_ON
        + ", times_out_at = statement_timestamp()"
        " + make_interval(secs => CAST(step ->> 'timeout_seconds' AS double precision))",
        rings=False,
        condition="AND kind <> 'task'",
    ),
    "rejoined": _statement(
        ", completed_at = NULL, result = NULL, last_error = NULL, cancel_requested_at = NULL, cancel_reason = NULL,"
        " times_out_at = NULL, gated = true," + _GOES_ON,
        rings=False,
        condition="AND kind <> 'task'",
    ),
    "supplied": _statement(
        _ENDED + ", result = CAST(:result AS json), last_error = NULL, held = false, gated = false",
        rings=False,
    ),
}
# Another transaction may have queued such a task after the statement above took its snapshot, which then does not
# show the new place in line. A place that a claim holds is about to go anyway.
_SWEEP = text(
    """
    DELETE FROM outbox WHERE task_id IN (
        SELECT task_id FROM outbox WHERE task_id = ANY(CAST(:ids AS uuid[])) ORDER BY task_id FOR UPDATE SKIP LOCKED)
    """
)
# Dependents that have not begun wait once more for what is done again, also those outside of its run.
_WAITING = text(
    """
    SELECT id FROM tasks WHERE status IN ('pending', 'paused') AND id IN (
        SELECT task_id FROM task_dependencies WHERE depends_on_id = ANY(CAST(:ids AS uuid[])))
    ORDER BY id FOR UPDATE
    """
)
# Where only so many may go on at once, what waits for something that is to be done again gives its place back.
_REGATE = text(
    """
    UPDATE tasks t SET gated = true, waiting_on = waiting_on + 1
    FROM (SELECT DISTINCT scope_id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))) AS s
    WHERE t.id = ANY(CAST(:waiting AS uuid[])) AND t.scope_id = s.scope_id AND t.parent_id IS NOT NULL
        AND NOT t.gated AND t.waiting_on > 0
    """
)
# A running task that is cancelled ends through its attempt, never here; a running step has none.
_EXCLUDED = frozenset({"running"})


def move(
    conn: Connection,
    name: str,
    ids: Sequence[UUID],
    *,
    data: dict[str, Any] | None = None,
    reason: str | None = None,
    held: bool = False,
    result: Any = None,
) -> Rows:
    """Make a named move for those of ``ids`` that stand in one of its source states.

    Returns (id, organization_id, queue, status, from_status, completed_at, has_dependents, kind, run_id, scope_id,
    ended_bad) of the moved ones. ``data`` goes into the event. Moves into ``queued`` write the outbox row, moves out of
    it take it away. ``held`` says that a pause is the run's, and goes with it; ``result`` is that of a task whose
    result is supplied.
    """
    step = MOVES[name]
    params: dict[str, Any] = {
        "ids": list(ids),
        "sources": [status.value for status in step.sources if name == "stopped" or status.value not in _EXCLUDED],
        "target": step.target.value,
        "event": step.event,
        "data": in_json(data) if data is not None else None,
    }
    statement = _STATEMENTS[name]
    if ":reason" in statement.text:
        params["reason"] = reason
    if ":result" in statement.text:
        params["result"] = in_json(result)
    if ":held" in statement.text:
        params["held"] = held
    moved = list(conn.execute(statement, params))
    if moved and step.target is not TaskStatus.queued:
        conn.execute(_SWEEP, {"ids": [row.id for row in moved]})
    if step.sources & FINAL and step.target not in FINAL and (again := [row.id for row in moved if row.has_dependents]):
        waiting = [row.id for row in conn.execute(_WAITING, {"ids": again})]
        recount(conn, waiting)
        conn.execute(_REGATE, {"ids": again, "waiting": waiting})
    return moved
