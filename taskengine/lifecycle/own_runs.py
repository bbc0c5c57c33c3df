"""Runs that a task begins as its own, and waits for: begun once, stopped with the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from taskengine.domain.errors import EngineError, Invalid, PermanentError, TransientError
from taskengine.domain.states import RUN_FINAL, RunStatus
from taskengine.domain.task import Caller
from taskengine.domain.workflow import RunSpec
from taskengine.handlers.base import RunState
from taskengine.lifecycle import outset, start_run
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.begin import MAX_DEPTH
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.stop import stop_run
from taskengine.store import runs, steps, tasks, transitions

log = structlog.get_logger(__name__)


def begin(engine: Engine, task_id: UUID, execution_id: UUID, spec: Mapping[str, Any]) -> RunState:
    """Start the run of a task whose attempt this is, or find the one that it has.

    PermanentError ``invalid_run`` naming the fault where the spec is none; TransientError ``attempt_lost`` when the
    attempt holds its task no longer.
    """
    with engine.db.begin() as conn:
        # The run around it is locked first, as by whoever pauses or stops that.
        paused = runs.is_paused_around(conn, task_id)
        row = tasks.held(conn, task_id, execution_id)
        if row is None:
            raise TransientError("attempt_lost", "the attempt was given up meanwhile; nothing was started")
        if row.state is None:
            _begin(engine, conn, row, spec, paused=paused)
    found = find(engine, task_id)
    assert found is not None
    return found


def _begin(engine: Engine, conn: Connection, row: Any, spec: Mapping[str, Any], *, paused: bool) -> None:
    around = runs.state(conn, row.run_id) if row.run_id is not None else None
    depth = 1 if around is None else around.depth + 1
    if depth > MAX_DEPTH:
        raise PermanentError("runs_too_deep", f"runs start runs more than {MAX_DEPTH} levels deep")
    caller = Caller(row.organization_id, None, row.created_by, frozenset())
    try:
        plan = start_run.prepare(engine, conn, caller, RunSpec.model_validate(spec))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PermanentError("invalid_run", f"{where}: {first['msg']}") from None
    except Invalid as error:
        raise PermanentError("invalid_run", error.detail, {"code": error.code}) from None
    # The task's own time limit is that of its run: an attempt that only waits for it ends within it in any case.
    limits = [limit for limit in (plan.row["timeout_seconds"], row.timeout_seconds) if limit is not None]
    own = {"parent_task_id": row.id, "depth": depth, "timeout_seconds": min(limits, default=None)}
    run_id, came = outset.open_run(engine, conn, plan.row | own, plan.nodes, paused=paused)
    steps.set_state(conn, row.id, {"run_id": str(run_id)})
    advance(engine, conn, [], came, [run_id])


def find(engine: Engine, task_id: UUID) -> RunState | None:
    """The run that a task began since it was last retried by hand, as it stands."""
    with engine.db.autocommit() as conn:
        row = next(iter(tasks.states(conn, [task_id])), None)
        if row is None:
            return None
        run_id = UUID(row.state["run_id"])
        run = runs.get(conn, row.organization_id, run_id)
        if run is None:
            raise PermanentError("run_gone", f"run {run_id}, which this task waited for, was deleted")
        final = RunStatus(run.status) in RUN_FINAL
        return RunState(run_id, run.status, final, steps.results(conn, run_id), run.error)


def stop(conn: Connection, task_ids: Sequence[UUID], reason: str | None, by: str) -> Came:
    """Have the runs stop that tasks began, since these ended without them."""
    came = Came()
    for run in steps.sub_runs(conn, task_ids):
        came.add(stop_run(conn, run.id, reason, by))
    return came


def wake_early(conn: Connection, recorded: Sequence[Any]) -> Came:
    """Have those of rows (as ``transitions`` returns them) go on that were parked just now for a run which had ended by
    then: that end found nobody to wake.

    Whoever ends such a run locks the task before it looks whether to wake it, so that one of the two sees the other.
    """
    parked = [row.id for row in recorded if row.has_run and row.status == "waiting_input"]
    ended = tasks.parked_in_vain(conn, parked) if parked else []
    return Came(queues={row.queue for row in transitions.move(conn, "woken", ended)}) if ended else Came()


def stop_later(engine: Engine, ended: Sequence[Any]) -> None:
    """Stop the runs of rows (as ``transitions`` returns them) that ended other than well, once that is committed."""
    ids = [row.id for row in ended if row.has_run and row.completed_at is not None and row.status != "completed"]
    if not ids:
        return

    engine.db.after_commit(lambda: _stop_of(engine, ids))


def _stop_of(engine: Engine, task_ids: Sequence[UUID]) -> None:
    def work() -> None:
        with engine.db.begin() as conn:
            advance(engine, conn, [], stop(conn, task_ids, "the task that started it has ended", "engine"))

    try:
        engine.db.again(work)
    except EngineError as error:
        # The reconciler does it then.
        log.warning("own_run_not_stopped", reason=str(error))


def stop_orphans(engine: Engine, limit: int) -> int:
    """Stop the runs of tasks that ended other than well, where whoever ended those was interrupted; returns of how
    many tasks.
    """
    with engine.db.autocommit() as conn:
        ids = runs.parents_gone(conn, limit)
    if ids:
        _stop_of(engine, ids)
    return len(ids)
