"""Looks at a step, or a run, in which something has ended: lets more go, begins the next round, or ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import credentials, nodes, planner
from taskengine.domain.cleaning import fits
from taskengine.domain.conditions import Condition
from taskengine.domain.errors import ErrorInfo
from taskengine.domain.nodes import Node
from taskengine.domain.planner import Order
from taskengine.domain.states import Kind
from taskengine.lifecycle import expand
from taskengine.lifecycle.begin import failed, fault_of
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.names import Names
from taskengine.lifecycle.plant import Ground, plant
from taskengine.lifecycle.stop import stop_rows
from taskengine.store import runs, steps, transitions

_AT_ONCE = 10_000
"""So many gated rows are let go at once where nothing bounds them."""
MOST_PLANTED = 400
"""So many rows of new rounds fit one transaction; more are made in further ones, between which others have a turn."""


def look(engine: Engine, conn: Connection, row: Any) -> Came:
    """Do what is next for a step that runs. ``row`` has all columns, and is locked."""
    try:
        with conn.begin_nested():
            return _look(engine, conn, row) if row.cancel_requested_at is None else _stopped(conn, row)
    except Exception as fault:
        return _broken(conn, row, fault_of(fault, row))


def _broken(conn: Connection, row: Any, error: ErrorInfo) -> Came:
    """End a step that cannot go on; where something in it is open, once that has been stopped."""
    inside = steps.below(conn, [row.id])
    if not inside:
        return failed(conn, row, error)
    steps.will_fail(conn, row.id, error.as_dict())
    came = stop_rows(conn, inside, "the step cannot go on", "engine")
    came.scopes.add(row.id)
    return came


def _look(engine: Engine, conn: Connection, row: Any) -> Came:
    step, state = row.step or {}, dict(row.state or {})
    order, count = planner.look(_container(conn, row, step, state), lambda: _holds(step, state, row, engine))
    if order is Order.stay and row.kind == Kind.loop and state.get("making"):
        steps.set_state(conn, row.id, state | {"making": False})
    match order:
        case Order.release:
            return Came(hits=transitions.release(conn, row.id, count))
        case Order.stop:
            steps.set_state(conn, row.id, expand.cut(state))
            return stop_rows(conn, steps.below(conn, [row.id]), "too many others failed", "engine")
        case Order.iterate:
            return _iterate(engine, conn, row, step, state, count)
        case Order.end | Order.fail:
            return _end(engine, conn, row, step, state, well=order is Order.end)
    return Came()


def _end(
    engine: Engine, conn: Connection, row: Any, step: dict[str, Any], state: dict[str, Any], *, well: bool
) -> Came:
    result = _result(engine, conn, row, step, state)
    # Tasks of groups may depend on tasks outside of the run, whose failure fails nothing else here.
    bad = steps.lost_outside(conn, row.id) if well and row.kind == Kind.group else []
    if well and not bad:
        return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": result}]))
    error = state.get("error") or _why(f"step {row.path or row.name}", bad or steps.bad(conn, row.id))
    values = {"id": row.id, "error": error, "result": result}
    return Came(ended=transitions.step(conn, "ended_failed", [values]))


def _stopped(conn: Connection, row: Any) -> Came:
    """End a cancelled step once what ran in it has ended."""
    if steps.is_open(conn, row.id):
        return Came()
    return Came(ended=transitions.move(conn, "stopped", [row.id], reason=row.cancel_reason))


def _container(conn: Connection, row: Any, step: dict[str, Any], state: dict[str, Any]) -> planner.Container:
    config = row.expansion_config or {}
    max_parallel = config.get("max_parallel") or step.get("max_parallel")
    tolerated = planner.tolerated(config.get("tolerated_failure_percentage", 0), state.get("total", 0))
    # Without a bound it does not matter how many are open, only whether any is.
    tally = steps.tally(conn, row.id, max_parallel or 1, max_parallel or _AT_ONCE, tolerated)
    return planner.Container(
        kind=Kind(row.kind),
        open=tally.open,
        gated=tally.gated,
        failed=tally.failed,
        max_parallel=max_parallel,
        tolerated=tolerated,
        # What share has failed cannot be told while it is not known of how many.
        fail_fast=config.get("fail_fast", False)
        and (state.get("total") is not None or not config.get("tolerated_failure_percentage")),
        broken="error" in state,
        making=row.kind == Kind.expansion and state.get("making", False),
        begun=state.get("begun", 0),
        length=len(state["items"]) if "items" in state else None,
        most_begun=step.get("max_iterations", 0),
    )


def _holds(step: dict[str, Any], state: dict[str, Any], row: Any, engine: Engine) -> bool:
    """Whether a loop's condition holds; it may look at what its newest round gave, and at ``loop.index``."""
    names = Names(engine, row)
    names.all["loop"] = {"index": state["begun"]}
    return names.holds(Condition.model_validate(step["condition"]))


def _iterate(
    engine: Engine, conn: Connection, row: Any, step: dict[str, Any], state: dict[str, Any], count: int
) -> Came:
    came = Came()
    run = runs.state(conn, row.run_id)
    body = nodes.STEPS.validate_python(
        credentials.unseal(step["steps"], engine.cipher.decrypt, lambda _: None), by_name=True
    )
    number, last = state["begun"], state["begun"] + count
    while number < last and came.planted < MOST_PLANTED:
        here: dict[str, Any] = {"loop": {"index": number}}
        if "items" in state:
            item = state["items"][number]
            here = {"loop": {"index": number, "item": item}, "item": item, "index": number}
        path = f"{row.path}[{number}]"
        root = Node(path, f"{row.key}[{number}]", Kind.sequential, f"{row.name} [{number}]")
        ground = Ground(
            row.run_id,
            row.organization_id,
            row.created_by,
            row.id,
            (row.bindings or {}) | here,
            run.status == "paused",
            number,
        )
        made = nodes.of_steps(body, step["on_failure"], f"{path}.", root)
        planted = plant(engine, conn, ground, made)
        came.add(Came(hits=planted.hits, rung=planted.rung, planted=len(made)))
        number += 1
    if number < last:
        came.scopes.add(row.id)
    steps.set_state(conn, row.id, state | {"begun": number, "making": number < last})
    return came


def postpone(conn: Connection, row: Any) -> None:
    """Note that a loop has yet to be looked at, in another transaction: the reconciler finds it."""
    if not (row.state or {}).get("making"):
        steps.set_state(conn, row.id, (row.state or {}) | {"making": True})


def _result(engine: Engine, conn: Connection, row: Any, step: dict[str, Any], state: dict[str, Any]) -> Any:
    """What a step gives once all in it has ended."""
    match Kind(row.kind):
        case Kind.expansion:
            return expand.collected(engine, conn, row)
        case Kind.loop:
            return _bounded(engine, row, _rounds(conn, row, step, state))
        case Kind.conditional:
            return _bounded(engine, row, {"branch": state["branch"], "results": steps.results(conn, row.id)})
    return _bounded(engine, row, steps.results(conn, row.id))


def _rounds(conn: Connection, row: Any, step: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """A loop's result: the results of each round of a ``for_each``, of the newest round otherwise."""
    begun = state["begun"]
    if "items" in state:
        rounds = [child.result for child in steps.children(conn, row.id, -1, begun)]
        return {"iterations": begun, "stopped_by": "items", "results": rounds}
    last = steps.children(conn, row.id, begun - 2, 1)
    stopped_by = "max_iterations" if begun >= step["max_iterations"] else "condition"
    return {"iterations": begun, "stopped_by": stopped_by, "last": last[0].result if last else None}


def _bounded(engine: Engine, row: Any, result: Any) -> Any:
    if fits(result, engine.settings.max_collection_bytes):
        return result
    return {"too_large": True, "children": f"/v1/tasks?parent_id={row.id}"}


def _why(what: str, bad: Sequence[Any]) -> dict[str, Any]:
    """The error of a step or run in which something failed: what, and why."""
    listed = "; ".join(f"{row.name} {row.status}{_reason(row)}" for row in bad[:3])
    details = [{"id": str(row.id), "name": row.name, "status": row.status, "error": row.last_error} for row in bad]
    return ErrorInfo("step_failed", f"{what} failed: {listed}", {"failed": details}).as_dict()


def _reason(row: Any) -> str:
    return f" ({row.last_error['message']})" if row.last_error else ""


def close_run(engine: Engine, conn: Connection, run_id: UUID) -> tuple[Any | None, Came]:
    """End a run in which nothing is open; returns it if it ended now, and the step of another run that it ends."""
    run = runs.lock(conn, None, run_id)
    if run is None or run.completed_at is not None or steps.is_open(conn, run_id):
        return None, Came()
    if run.cancel_requested_at is not None and run.error is None:
        moved = transitions.move_run(conn, "cancelled", run_id, data={"reason": run.cancel_reason})
    elif run.error is not None:
        moved = transitions.move_run(conn, "failed", run_id, error=run.error)
    elif steps.tally(conn, run_id).failed:
        moved = transitions.move_run(conn, "failed", run_id, error=_why("the run", steps.bad(conn, run_id)))
    else:
        moved = transitions.move_run(conn, "completed", run_id)
    [ended] = moved
    return ended, _tell_parent(engine, conn, ended) if ended.parent_task_id is not None else Came()


def _tell_parent(engine: Engine, conn: Connection, run: Any) -> Came:
    row = next(iter(steps.load(conn, [run.parent_task_id])), None)
    if row is not None and row.kind == Kind.task:
        # It began the run as its own, and is parked: its next attempt takes the results.
        return Came(queues={woken.queue for woken in transitions.move(conn, "woken", [row.id])})
    newest = runs.newest_below(conn, run.parent_task_id)
    if row is None or row.status != "running" or newest is None or newest.id != run.id:
        return Came()
    if row.cancel_requested_at is not None:
        return Came(ended=transitions.move(conn, "stopped", [row.id], reason=row.cancel_reason))
    gave = _bounded(engine, row, steps.results(conn, run.id))
    results = {"run_id": str(run.id), "status": run.status, "results": gave}
    if run.status == "completed":
        return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": results}]))
    error = (row.state or {}).get("error") or _of_sub_run(run)
    values = {"id": row.id, "error": error, "result": results}
    return Came(ended=transitions.step(conn, "ended_failed", [values]))


def _of_sub_run(run: Any) -> dict[str, Any]:
    why = f": {run.error['message']}" if run.error else ""
    details = {"run_id": str(run.id), "error": run.error}
    return ErrorInfo("sub_run_failed", f"run {run.id} ended {run.status}{why}", details).as_dict()
