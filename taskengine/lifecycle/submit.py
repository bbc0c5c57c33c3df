"""Stores new tasks: all of a submission in one transaction, or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain.errors import FieldError, Invalid, UnknownDependency
from taskengine.domain.planner import Turn, Waiting, turn
from taskengine.domain.states import Kind, TaskStatus
from taskengine.domain.task import Caller, TaskSpec
from taskengine.lifecycle import announce, dispatch, query
from taskengine.lifecycle.advance import NOT_NEEDED, advance, upstream_error
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.validate import Prepared, prepare
from taskengine.store import tasks, transitions

MAX_BATCH = 10_000
# A task goes out with its submission while nothing else of its queue is on the way. More would only wait in the
# broker, one by one, instead of in the line, where they can be ordered and packed.
_AT_ONCE = 1


def submit(engine: Engine, caller: Caller, specs: Sequence[TaskSpec]) -> list[UUID]:
    """Accept tasks; returns their ids in order, once they are committed.

    What can run is rung for right after the commit. Raises Invalid, UnknownDependency, CircularDependency; then
    nothing is stored.
    """
    return [item.row["id"] for item in _submit(engine, caller, specs)[0]]


def create(engine: Engine, caller: Caller, spec: TaskSpec) -> dict[str, Any]:
    """Accept one task; returns it as it was stored, without reading it again."""
    [item], stored_at = _submit(engine, caller, [spec])
    row = item.row
    absent = dict.fromkeys(column.name for column in tasks.SHOWN)
    made = absent | {name: value for name, value in row.items() if name in absent}
    made |= {"created_at": stored_at, "updated_at": stored_at, "attempt": 0, "error_count": 0}
    made["retry"] = spec.retry.model_dump()
    made["depends_on"] = item.upstream_ids
    moment = {"queued": "queued_at", "skipped": "completed_at"}.get(row["status"])
    if moment is not None:
        made[moment] = stored_at
    if row["status"] == "deferred":
        made["run_at"] = row["scheduled_for"]
    return query.presented(made)


def _submit(engine: Engine, caller: Caller, specs: Sequence[TaskSpec]) -> tuple[list[Prepared], Any]:
    if len(specs) > MAX_BATCH:
        raise Invalid(
            f"at most {MAX_BATCH} tasks fit one request",
            [FieldError(("tasks",), f"holds {len(specs)} tasks; at most {MAX_BATCH} are allowed", "too_long")],
        )
    prepared, order = prepare(engine, caller, specs)
    if not prepared:
        return [], None
    with _transaction(engine, prepared) as conn:
        known = _stored_upstream(conn, caller, prepared)
        for place in order:
            _settle(engine, prepared[place], prepared, known)
        rung = transitions.insert(conn, [item.row for item in prepared], _AT_ONCE)
        _refuse_draining(rung, prepared)
        tasks.add_edges(conn, _edges(prepared))
        _begin(engine, conn, prepared)
        told = [item.row for item in prepared if item.row["announce"] is not None]
        announce.ended(engine, conn, [row["id"] for row in told if row["status"] == "skipped"])
    _ring(engine, [row for row in rung if row.task_id is not None])
    return prepared, rung[0].stored_at


def _transaction(engine: Engine, prepared: Sequence[Prepared]) -> AbstractContextManager[Connection]:
    # Without edges and expansions the one INSERT is all there is: two round trips less.
    alone = not any(item.upstream_ids or item.upstream_new or item.row["kind"] == Kind.expansion for item in prepared)
    return engine.db.autocommit() if alone else engine.db.begin()


def _refuse_draining(rung: Sequence[Any], prepared: Sequence[Prepared]) -> None:
    closed = {row.queue for row in rung if row.closed}
    if closed:
        raise Invalid(
            f"queue {', '.join(sorted(closed))} is draining and takes no new tasks; resume it or wait",
            [
                FieldError((place, "queue"), "is draining and takes no new tasks", "queue_draining")
                for place, item in enumerate(prepared)
                if item.row["queue"] in closed
            ][:100],
        )


def _stored_upstream(conn: Connection, caller: Caller, prepared: Sequence[Prepared]) -> dict[UUID, _End]:
    wanted = {task_id for item in prepared for task_id in item.upstream_ids}
    if not wanted:
        return {}
    known = {
        task_id: _end(row) for task_id, row in tasks.upstream(conn, caller.organization_id, sorted(wanted)).items()
    }
    for place, item in enumerate(prepared):
        for task_id in item.upstream_ids:
            if task_id not in known:
                raise UnknownDependency(
                    f"there is no task {task_id} to depend on",
                    [FieldError((place, "depends_on"), f"there is no task {task_id}", "unknown_dependency")],
                )
    return known


@dataclass(frozen=True, slots=True)
class _End:
    """How something that is depended on has ended: ``bad`` is None while it has not."""

    name: str
    status: str
    task_id: UUID
    bad: bool | None


def _end(row: Any) -> _End:
    return _End(row.name, row.status, row.id, row.ended_bad)


def _settle(engine: Engine, item: Prepared, prepared: Sequence[Prepared], known: dict[UUID, _End]) -> None:
    """Decide the status that a task starts in; what it depends on is settled already."""
    row = item.row
    upstream = [known[task_id] for task_id in item.upstream_ids]
    for place in item.upstream_new:
        other = prepared[place].row
        other["has_dependents"] = True
        upstream.append(_End(other["name"], other["status"], other["id"], other.get("ended_bad")))
    bad = [end for end in upstream if end.bad]
    row["waiting_on"] = sum(end.bad is None for end in upstream)
    row["upstream_bad"] = len(bad)
    match turn(_waiting(engine, row)):
        case Turn.skip_failed:
            row |= {"status": "skipped", "ended_bad": True}
            row["last_error"] = upstream_error(bad[0].name, bad[0].status, bad[0].task_id)
        case Turn.skip_not_needed:
            row |= {"status": "skipped", "ended_bad": False, "last_error": NOT_NEEDED}
        case Turn.queue:
            row["status"] = "queued"
        case Turn.defer:
            row["status"] = "deferred"
        case _:
            row["status"] = "pending"


def _waiting(engine: Engine, row: dict[str, Any]) -> Waiting:
    scheduled = row["scheduled_for"]
    return Waiting(
        kind=Kind(row["kind"]),
        status=TaskStatus.pending,
        run_on=row["run_on"],
        waiting_on=row["waiting_on"],
        upstream_bad=row["upstream_bad"],
        by_hand=row["requires_human_review"] or row["execution_type"] == "manual",
        early=scheduled is not None and scheduled > engine.clock(),
    )


def _begin(engine: Engine, conn: Connection, prepared: Sequence[Prepared]) -> None:
    """Begin the expansions that wait for nothing."""
    ready = [
        item.row["id"]
        for item in prepared
        if item.row["kind"] == Kind.expansion and item.row["status"] == "pending" and not item.row["waiting_on"]
    ]
    if ready:
        advance(engine, conn, [], Came(hits=transitions.standing(conn, ready)))


def _edges(prepared: Sequence[Prepared]) -> list[tuple[UUID, UUID]]:
    return [
        (item.row["id"], upstream)
        for item in prepared
        for upstream in [*item.upstream_ids, *(prepared[place].row["id"] for place in item.upstream_new)]
    ]


def _ring(engine: Engine, rung: Sequence[Any]) -> None:
    now = [row for row in rung if row.published]
    if now:
        engine.db.after_commit(lambda: dispatch.send_now(engine, now))
    # Where a message is on the way, the worker that takes it looks at the line, twice (consume), and so does the tick.
    dispatch.after_commit(engine, {row.queue for row in rung if not row.published and not row.on_the_way})
