"""What people do to a run: pause, resume, cancel, signal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain import credentials
from taskengine.domain.errors import Conflict, FieldError, Invalid
from taskengine.domain.states import RUN_MOVES, RunStatus, refuse_run
from taskengine.domain.task import Caller
from taskengine.domain.workflow import SignalSpec
from taskengine.lifecycle import conclude, query, query_runs
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.stop import stop_run
from taskengine.lifecycle.validate import declared_secrets
from taskengine.store import outbox, runs, steps, transitions

MAX_SIGNALS = 1_000
"""Of one run: signals that no wait has taken yet."""
MAX_CONTEXT_BYTES = 2**20


def locked(conn: Connection, caller: Caller, run_id: UUID) -> Any:
    """The whole row of a run, locked; NotFound if it is not the caller's."""
    row = runs.lock(conn, caller.organization_id, run_id)
    if row is None:
        raise query.missing("run", run_id)
    return row


def _check(row: Any, name: str) -> None:
    status = RunStatus(row.status)
    if status not in RUN_MOVES[name].sources:
        raise refuse_run(RUN_MOVES[name], status)


def pause(engine: Engine, caller: Caller, run_id: UUID) -> dict[str, Any]:
    """Hold a run: running tasks end, and nothing new starts, until it is resumed."""
    with engine.db.begin() as conn:
        _check(locked(conn, caller, run_id), "paused")
        _pause(conn, caller, run_id)
    return query_runs.run(engine, caller, run_id)


def _pause(conn: Connection, caller: Caller, run_id: UUID) -> None:
    transitions.move_run(conn, "paused", run_id, data={"by": caller.name})
    queued = runs.rows_in(conn, run_id, "queued")
    outbox.hold(conn, queued)
    transitions.move(conn, "paused", queued, held=True, data={"by": caller.name})
    for inner in runs.open_below(conn, run_id):
        if inner.status == "running":
            _pause(conn, caller, inner.id)


def resume(engine: Engine, caller: Caller, run_id: UUID) -> dict[str, Any]:
    """Let a paused run go on."""
    with engine.db.begin() as conn:
        _check(locked(conn, caller, run_id), "resumed")
        _resume(engine, conn, caller, run_id)
    return query_runs.run(engine, caller, run_id)


def _resume(engine: Engine, conn: Connection, caller: Caller, run_id: UUID) -> None:
    transitions.move_run(conn, "resumed", run_id, data={"by": caller.name})
    held = runs.rows_in(conn, run_id, "paused")
    moved = transitions.move(conn, "resumed_pending", held, data={"by": caller.name})
    advance(engine, conn, [], Came(hits=transitions.standing(conn, [row.id for row in moved])), [run_id])
    for inner in runs.open_below(conn, run_id):
        if inner.status == "paused":
            _resume(engine, conn, caller, inner.id)


def cancel(engine: Engine, caller: Caller, run_id: UUID, reason: str | None) -> dict[str, Any]:
    """Cancel all of a run. What runs is stopped within seconds, and the run ends with it; its results are kept."""
    with engine.db.begin() as conn:
        row = locked(conn, caller, run_id)
        _check(row, "cancelled")
        if row.cancel_requested_at is None:
            runs.note(conn, run_id, "run.cancel_requested", {"reason": reason, "by": caller.name})
        advance(engine, conn, [], stop_run(conn, run_id, reason, caller.name))
    return query_runs.run(engine, caller, run_id)


def signal(engine: Engine, caller: Caller, run_id: UUID, sent: SignalSpec) -> dict[str, Any]:
    """Set fields of a run's context, wake the wait for a named signal, or both.

    A signal that nobody waits for yet is kept for the first wait that does.
    """
    if sent.signal is None and not sent.context:
        text = "should name a signal, set fields of the context, or both"
        raise Invalid(text, [FieldError(("signal",), text, "missing")])
    with engine.db.begin() as conn:
        row = locked(conn, caller, run_id)
        if row.completed_at is not None:
            raise Conflict(f"the run is {row.status}; it takes no signals any more")
        noted = {"signal": sent.signal, "fields": sorted(sent.context), "by": caller.name}
        runs.note(conn, run_id, "run.signalled", noted)
        if sent.context:
            _set_fields(engine, conn, row, sent.context)
        if sent.signal is not None:
            _deliver(engine, conn, caller, row, sent)
        for wait_id in steps.watching(conn, run_id, MAX_SIGNALS):
            conclude.look_at_wait(engine, wait_id)
    return query_runs.run(engine, caller, run_id)


def _set_fields(engine: Engine, conn: Connection, row: Any, fields: dict[str, Any]) -> None:
    taken = runs.keys_among(conn, row.id, sorted(fields))
    if taken:
        text = "is a step of the run: its result stands there"
        raise Invalid(f"{taken[0]} {text}", [FieldError(("context", name), text, "step_key") for name in taken])
    context = row.context | credentials.seal(fields, declared_secrets(engine), engine.cipher.encrypt)
    if runs.size_of(context) > MAX_CONTEXT_BYTES:
        text = f"the run's context would have more than {MAX_CONTEXT_BYTES} bytes"
        raise Invalid(text, [FieldError(("context",), text, "context_too_large")])
    runs.change(conn, row.id, context=context)


def _deliver(engine: Engine, conn: Connection, caller: Caller, row: Any, sent: SignalSpec) -> None:
    assert sent.signal is not None
    if runs.size_of(sent.data) > MAX_CONTEXT_BYTES:
        text = f"has more than {MAX_CONTEXT_BYTES} bytes"
        raise Invalid(f"data: {text}", [FieldError(("data",), text, "data_too_large")])
    kept = {"signal": sent.signal, "data": sent.data, "by": caller.name, "at": engine.clock()}
    if (wait_id := steps.awaiting(conn, row.id, sent.signal)) is not None:
        conclude.wake(engine, conn, wait_id, kept)
        return
    if len(row.signals) >= MAX_SIGNALS:
        raise Conflict(f"{MAX_SIGNALS} signals wait to be taken already; the run seems not to wait for them")
    signals = [*row.signals, kept]
    if runs.size_of(signals) > MAX_CONTEXT_BYTES:
        text = f"signals that wait to be taken would have more than {MAX_CONTEXT_BYTES} bytes together"
        raise Conflict(f"{text}; the run seems not to wait for them")
    runs.change(conn, row.id, signals=signals)
