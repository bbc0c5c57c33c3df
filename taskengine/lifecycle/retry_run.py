"""Has a run go on: from what failed, or from a chosen step, with other inputs or with results supplied."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import redo as redoing
from taskengine.domain.errors import Conflict, FieldError, Invalid
from taskengine.domain.states import Kind
from taskengine.domain.task import Caller
from taskengine.domain.workflow import RetrySpec
from taskengine.lifecycle import edit, query_runs, redo
from taskengine.lifecycle.control_run import locked
from taskengine.lifecycle.engine import Engine
from taskengine.store import redoing as store
from taskengine.store import runs, steps, tasks

_TO_RETRY = frozenset({"failed", "cancelled"})
_HOLDING = frozenset({"group", "parallel", "sequential", "conditional", "loop", "expansion"})


def retry(engine: Engine, caller: Caller, run_id: UUID, spec: RetrySpec) -> dict[str, Any]:
    """Go on from what failed or was cancelled, or from the step ``from``; what succeeded before is kept.

    ``overrides`` are other configs, and ``outputs`` results that stand in for running, of steps that are done again.
    Conflict where nothing is to be done again, or what is has not ended.
    """
    with engine.db.begin() as conn:
        row = locked(conn, caller, run_id)
        nodes = store.nodes(conn, run_id)
        roots = (
            [_named(nodes, spec.from_, "from").id]
            if spec.from_ is not None
            else failed_leaves(conn, nodes, stopped=row.status == "cancelled")
        )
        outputs = {_named(nodes, key, "outputs", key).id: result for key, result in spec.outputs.items()}
        roots = roots if spec.from_ is not None else [*roots, *outputs]
        for node in nodes:
            if node.id in roots:
                redo.check_taken(node.path, node.code)
        rows, edges = redo.load(conn, run_id, roots)
        what = redo.plan(conn, rows, edges, roots)
        kept = [node for node in nodes if node.id not in what.reset]
        inner = _failed_runs(conn, kept) if spec.from_ is None else []
        if not roots and not inner:
            raise Conflict("nothing failed or was cancelled in this run; name a step with `from` to go on from it")
        _override(engine, conn, caller, nodes, what, spec)
        _check_supplied(nodes, what, outputs)
        if roots:
            redo.apply(engine, conn, caller, what, rows, outputs, row)
        for sub_run in inner:
            retry(engine, caller, sub_run, RetrySpec())
    return query_runs.run(engine, caller, run_id)


def _named(nodes: list[Any], key: str, *loc: str) -> Any:
    """The row of a key, or of a path where a key stands for several; the newest of a loop's rounds."""
    found = [row for row in nodes if row.path == key] or [row for row in nodes if row.key == key]
    if not found:
        text = f"there is no step {key!r} in this run"
        raise Invalid(text, [FieldError(loc, text, "unknown_step")])
    return found[-1]


def failed_leaves(conn: Connection, nodes: list[Any], *, stopped: bool) -> list[UUID]:
    """What failed by itself: tasks, waits, children of expansions, and steps in which nothing else failed.

    ``stopped``: the run was cancelled, and with it what would not have mattered had it failed.
    """
    bad = [
        row
        for row in nodes
        if row.status in _TO_RETRY and (row.on_failure == "fail" or (stopped and row.status == "cancelled"))
    ]
    parents = {row.parent_id for row in bad}
    leaves: list[UUID] = []
    for row in bad:
        if row.kind == Kind.expansion and (children := store.failed_below(conn, row.id)):
            leaves += children
        elif row.kind == Kind.workflow and _retriable(conn, row.id):
            continue
        elif row.kind not in _HOLDING or row.id not in parents:
            leaves.append(row.id)
    return leaves


def _retriable(conn: Connection, step_id: UUID) -> UUID | None:
    newest = runs.newest_below(conn, step_id)
    return newest.id if newest is not None and newest.status in _TO_RETRY else None


def _failed_runs(conn: Connection, nodes: list[Any]) -> list[UUID]:
    """Runs that steps started and that did not complete: they go on by themselves."""
    steps_of = [row.id for row in nodes if row.kind == Kind.workflow and row.status in _TO_RETRY]
    return [run_id for step_id in steps_of if (run_id := _retriable(conn, step_id)) is not None]


def _override(
    engine: Engine, conn: Connection, caller: Caller, nodes: list[Any], what: redoing.Again, spec: RetrySpec
) -> None:
    for key, config in spec.overrides.items():
        node = _named(nodes, key, "overrides", key)
        if node.id not in what.reset and not (node.kind == Kind.expansion and node.id in what.reopened):
            text = f"{key} is not done again, so its config cannot change; it is {node.status}"
            raise Invalid(text, [FieldError(("overrides", key), text, "not_retried")])
        if node.kind not in {Kind.task, Kind.expansion}:
            text = f"{key} is a {node.kind} step; only tasks have a config"
            raise Invalid(text, [FieldError(("overrides", key), text, "no_config")])
        [row] = steps.load(conn, [node.id])
        try:
            values = edit.checked_config(engine, row, config)
        except Invalid as fault:
            fault.errors = tuple(
                FieldError(("overrides", key, *item.loc[1:]), item.msg, item.type) for item in fault.errors
            )
            raise
        # What was approved was the config of then.
        tasks.change(conn, node.id, values | {"review": None})
        store.override_children(conn, node.id)
        runs.note(conn, row.run_id, "run.overridden", {"key": key, "by": caller.name})


def _check_supplied(nodes: list[Any], what: redoing.Again, outputs: dict[UUID, Any]) -> None:
    by_id = {row.id: row for row in nodes}
    for row_id in outputs:
        row = by_id[row_id]
        if row_id not in what.reset:
            text = f"{row.key} is not done again, so it keeps its result; it is {row.status}"
            raise Invalid(text, [FieldError(("outputs", row.key), text, "not_retried")])
