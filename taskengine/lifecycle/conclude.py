"""Ends waits: their condition holds, their signal came, a person decided."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from taskengine.domain.conditions import Condition
from taskengine.domain.errors import Conflict, ErrorInfo, Forbidden
from taskengine.domain.states import Kind
from taskengine.domain.task import Caller
from taskengine.lifecycle.advance import advance
from taskengine.lifecycle.begin import failed, fault_of
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.names import Names
from taskengine.store import events, steps, tasks, transitions


def look_at_wait(engine: Engine, wait_id: UUID) -> bool:
    """End a wait whose condition holds now, or can no longer be decided; True if it ended."""
    with engine.db.begin() as conn:
        row = next(iter(steps.load(conn, [wait_id])), None)
        if row is None or row.status != "waiting_input":
            return False
        try:
            with conn.begin_nested():
                holds = Names(engine, row).holds_yet(Condition.model_validate(row.step["condition"]))
                came = _ended(conn, row, {"met": True}) if holds else Came()
        except Exception as fault:
            came = failed(conn, row, fault_of(fault, row))
        advance(engine, conn, [], came)
        return bool(came.ended)


def _ended(conn: Connection, row: Any, result: dict[str, Any]) -> Came:
    return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": result}]))


def wake(engine: Engine, conn: Connection, wait_id: UUID, sent: dict[str, Any]) -> None:
    """End a wait by the signal that it waits for."""
    [row] = steps.load(conn, [wait_id])
    advance(engine, conn, [], _ended(conn, row, sent))


def is_approval(row: Any) -> bool:
    """Whether a row is a wait for somebody's yes or no."""
    return row.kind == Kind.wait and "approval" in (row.step or {})


def decide(engine: Engine, conn: Connection, caller: Caller, row: Any, decision: str, said: str | None) -> None:
    """Approve or reject what a wait asks for; Forbidden for whoever is not named, Conflict where nothing is asked."""
    if row.status != "waiting_input":
        raise Conflict(f"the approval {row.name} is {row.status}; it does not wait for an answer")
    approvers = row.state["approvers"]
    if caller.name not in approvers:
        raise Forbidden(f"{caller.name} is not among those who may answer: {', '.join(approvers)}")
    review = {"decision": decision, "notes": said, "by": caller.name, "at": engine.clock()}
    tasks.change(conn, row.id, {"review": review})
    events.note(conn, row.id, f"task.{decision}", {"notes": said, "by": caller.name})
    if decision == "approved":
        advance(engine, conn, [], _ended(conn, row, review))
        return
    error = ErrorInfo("rejected", f"{caller.name} rejected it" + (f": {said}" if said else ""))
    advance(engine, conn, [], failed(conn, row, error))
