"""Has a run go on from what failed, or from a chosen step: what succeeded before is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import redo
from taskengine.domain.errors import Conflict, ErrorInfo
from taskengine.domain.redo import Again, Row
from taskengine.domain.states import Kind
from taskengine.domain.task import Caller
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.store import dead_letters, redoing, runs, steps, transitions

_AT_WORK = frozenset({"queued", "running", "retrying", "deferred", "waiting_input"})

_SUPPLIED = ErrorInfo("not_needed", "the result of the step that this is a part of was supplied").as_dict()


def again(engine: Engine, conn: Connection, caller: Caller, row: Any) -> None:
    """Do one failed row again: a task or step of a run with what follows, of an expansion its failed children."""
    check_taken(row.path, (row.last_error or {}).get("code"))
    roots = [row.id]
    if row.kind == Kind.expansion:
        roots = redoing.failed_below(conn, row.id) or roots
    again_in(engine, conn, caller, row.run_id, roots)


def check_taken(path: str | None, code: str | None) -> None:
    """Conflict for what stands in the branch that a condition did not choose: its condition has to be asked again."""
    if code == "branch_not_taken":
        raise Conflict(f"{path} is in a branch that its condition did not choose; go on from the conditional step")


def again_in(engine: Engine, conn: Connection, caller: Caller, run_id: UUID | None, roots: Sequence[UUID]) -> None:
    """Do failed rows of one run again with what follows; without a run, children of one expansion."""
    if run_id is None:
        rows = {item.id: Row(item.id, item.kind, item.status, item.parent_id) for item in redoing.around(conn, roots)}
        apply(engine, conn, caller, plan(conn, rows, [], roots), rows, {}, None)
        return
    run = runs.lock(conn, caller.organization_id, run_id)
    rows, edges = load(conn, run_id, roots)
    apply(engine, conn, caller, plan(conn, rows, edges, roots), rows, {}, run)


def plan(
    conn: Connection, rows: Mapping[UUID, Row], edges: Sequence[tuple[UUID, UUID]], roots: Sequence[UUID]
) -> Again:
    """What doing ``roots`` again means. A step around them that never began cannot go on: it is done again too."""
    what = redo.again(rows, edges, roots)
    while unbegun := redoing.unbegun(conn, sorted(what.reopened)):
        roots = [*roots, *unbegun]
        what = redo.again(rows, edges, roots)
    return what


def load(conn: Connection, run_id: UUID, roots: Iterable[UUID]) -> tuple[dict[UUID, Row], list[tuple[UUID, UUID]]]:
    """A run's steps with its dependencies, and those children of expansions that are to be done again."""
    found = {item.id: Row(item.id, item.kind, item.status, item.parent_id) for item in redoing.nodes(conn, run_id)}
    missing = [root for root in roots if root not in found]
    for item in redoing.around(conn, missing):
        found.setdefault(item.id, Row(item.id, item.kind, item.status, item.parent_id))
    return found, [(item.upstream, item.task_id) for item in runs.edges(conn, run_id)]


def apply(
    engine: Engine,
    conn: Connection,
    caller: Caller,
    what: Again,
    rows: Mapping[UUID, Row],
    outputs: Mapping[UUID, Any],
    run: Any | None,
) -> None:
    """Write what is to be done again, and let it go. Conflict while some of it is still at work."""
    if run is not None and run.completed_at is None and run.cancel_requested_at is not None:
        raise Conflict("the run is being stopped; wait until it has ended, and retry it then")
    data = {"by": caller.name}
    reset = sorted(what.reset)
    _reset(conn, what.reset, what.dropped, rows, data)
    for row_id, result in outputs.items():
        transitions.move(conn, "supplied", [row_id], data=data, result=result)
        inside = [item.id for item in steps.below(conn, [row_id])]
        transitions.move(conn, "skipped", inside, data=_SUPPLIED)
    dead_letters.close_for(conn, reset)
    # Where only so many may go on at once, the others wait for their turn.
    later = redoing.crowded(conn, sorted(what.reopened))
    scopes = set(what.reopened) - later
    transitions.move(conn, "reopened", sorted(scopes), data=data)
    transitions.move(conn, "rejoined", sorted(later), data=data)
    transitions.recount(conn, sorted(what.reset | later))
    if run is not None:
        scopes |= reopen_run(conn, caller, run)
    hits = transitions.standing(conn, reset)
    advance(engine, conn, [], Came(hits=hits), scopes)


def _reset(
    conn: Connection, reset: Set[UUID], dropped: Set[UUID], rows: Mapping[UUID, Row], data: dict[str, Any]
) -> None:
    """Have rows begin anew, and leave behind what they made; Conflict while some of it is still at work."""
    busy = [row_id for row_id in reset | dropped if row_id in rows and rows[row_id].status in _AT_WORK]
    if busy:
        names = ", ".join(redoing.names(conn, busy[:5]))
        raise Conflict(f"{names} would be done again, but is not finished; cancel it or wait")
    if dropped:
        redoing.drop(conn, sorted(dropped))
    expansions = [row_id for row_id in reset | dropped if row_id in rows and rows[row_id].kind == Kind.expansion]
    redoing.drop_children(conn, expansions)
    transitions.move(conn, "reset", sorted(reset), data=data)


def reopen_run(conn: Connection, caller: Caller, run: Any) -> set[UUID]:
    """Let an ended run go on, and with a sub-run the step and the run that it is a part of; returns what to look at."""
    if run.completed_at is None:
        return {run.id}
    transitions.move_run(conn, "retried", run.id, data={"by": caller.name})
    scopes = {run.id}
    if run.parent_task_id is not None:
        newest = runs.newest_below(conn, run.parent_task_id)
        if newest is not None and newest.id != run.id:
            raise Conflict(f"the step that started this run was done again since; go on with run {newest.id}")
        [step] = steps.load(conn, [run.parent_task_id])
        if step.kind == Kind.task:
            raise Conflict(f"task {step.id} began this run; have it tried again: POST /v1/tasks/{step.id}/retry")
        if step.scope_id is None:
            raise Conflict(
                "the step that started this run was done again since; go on with the run that it started then"
            )
        if step.completed_at is not None:
            parent = runs.lock(conn, None, step.run_id)
            rows, edges = load(conn, step.run_id, [step.id])
            what = redo.again(rows, edges, [step.id])
            # The step itself goes on: its run does.
            rest = what.reset - {step.id}
            _reset(conn, rest, what.dropped, rows, {"by": caller.name})
            transitions.move(conn, "reopened", sorted({*what.reopened, step.id}), data={"by": caller.name})
            transitions.recount(conn, sorted(rest))
            scopes |= what.reopened | reopen_run(conn, caller, parent)
    return scopes
