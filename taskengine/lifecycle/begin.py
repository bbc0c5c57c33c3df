"""Begins a control step whose turn has come: the planner's own work, inside the transaction that let it go."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError

from taskengine.domain import comparisons, credentials
from taskengine.domain.conditions import MISSING, Condition
from taskengine.domain.errors import EngineError, ErrorInfo, HandlerError, PermanentError, info_of
from taskengine.domain.states import Kind
from taskengine.domain.wire import read_timestamp
from taskengine.lifecycle import expand, outset
from taskengine.lifecycle.came import Came
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.names import Names
from taskengine.lifecycle.validate import declared_secrets
from taskengine.store import runs, steps, transitions

log = structlog.get_logger(__name__)

MAX_DEPTH = 10
"""How deep runs may start runs."""
_ALL = 2**31 - 1


def begin(engine: Engine, conn: Connection, row: Any, *, paused: bool) -> Came:
    """Begin a step; one that cannot begin fails with the reason. ``row`` has all columns, and is locked."""
    try:
        with conn.begin_nested():
            return _begin(engine, conn, row, paused) if row.state is None else _go_on(conn, row)
    except Exception as fault:
        return failed(conn, row, fault_of(fault, row))


def fault_of(fault: Exception, row: Any) -> ErrorInfo:
    """What ends a step whose work raised this. Raises it again where the record itself is in trouble.

    A fault that nobody thought of ends its step too: met again with every tick, it would keep others from their turn.
    """
    match fault:
        case EngineError() | HandlerError():
            return info_of(fault)
        case DBAPIError() if not isinstance(fault, DataError):
            raise fault
    log.error("step_fault", task_id=str(row.id), exc_info=fault)
    return ErrorInfo("engine_fault", f"the engine could not go on here ({type(fault).__name__}); its log says why")


def failed(conn: Connection, row: Any, error: ErrorInfo) -> Came:
    """End a step that cannot do what it is there for, and with it what has not begun in it."""
    ended = transitions.step(conn, "ended_failed", [{"id": row.id, "error": error.as_dict()}])
    inside = [item.id for item in steps.below(conn, [row.id])]
    if inside:
        text = f"{row.name}, which this is a part of, failed"
        why = ErrorInfo("upstream_failed", text, {"task_id": str(row.id), "status": "failed"}).as_dict()
        ended = [*ended, *transitions.move(conn, "skipped", inside, data=why)]
    return Came(ended=ended)


def _begin(engine: Engine, conn: Connection, row: Any, paused: bool) -> Came:
    step = credentials.unseal(row.step or {}, engine.cipher.decrypt, lambda _: None)
    names = Names(engine, row)
    match Kind(row.kind):
        case Kind.expansion:
            return _expansion(engine, conn, row, names, paused)
        case Kind.conditional:
            return _conditional(conn, row, step, names)
        case Kind.loop:
            return _loop(engine, conn, row, step, names)
        case Kind.wait:
            return _wait(conn, row, step, names)
        case Kind.workflow:
            return _workflow(engine, conn, row, step, names)
        case _:
            _start(conn, row)
            return Came(hits=transitions.release(conn, row.id, step.get("max_parallel") or _ALL))


def _go_on(conn: Connection, row: Any) -> Came:
    """Let a step go on where it stood that has begun before; how, is seen when it is looked at."""
    _start(conn, row)
    return Came()


def _start(conn: Connection, row: Any, state: dict[str, Any] | None = None) -> None:
    limit = (row.step or {}).get("timeout_seconds")
    transitions.step(conn, "started", [{"id": row.id, "state": state, "limit_seconds": limit}])


def _expansion(engine: Engine, conn: Connection, row: Any, names: Names, paused: bool) -> Came:
    _start(conn, row)
    state, queues = expand.begin(engine, conn, row, names, paused)
    steps.set_state(conn, row.id, state)
    return Came(queues=queues)


def _conditional(conn: Connection, row: Any, step: dict[str, Any], names: Names) -> Came:
    branch = "then" if names.holds(Condition.model_validate(step["condition"])) else "else"
    _start(conn, row, {"branch": branch})
    came = Came()
    if untaken := steps.other_branch(conn, row.id, branch):
        came.ended += skip(conn, untaken, not_taken(branch))
    came.hits += transitions.release(conn, row.id, _ALL)
    return came


def not_taken(branch: str) -> dict[str, Any]:
    """Why the steps of the other branch are skipped."""
    return ErrorInfo("branch_not_taken", f"the condition chose the branch {branch}").as_dict()


def skip(conn: Connection, ids: list[Any], error: dict[str, Any]) -> list[Any]:
    """Skip rows, and with steps all that is in them; returns all that were skipped."""
    skipped = transitions.move(conn, "skipped", ids, data=error)
    controls = [row.id for row in skipped if row.kind != "task"]
    inside = [row.id for row in steps.below(conn, controls)] if controls else []
    return skipped + (transitions.move(conn, "skipped", inside, data=error) if inside else [])


def _loop(engine: Engine, conn: Connection, row: Any, step: dict[str, Any], names: Names) -> Came:
    state: dict[str, Any] = {"begun": 0}
    if "for_each" in step:
        items = _items(step["for_each"], names)
        if len(items) > step["max_iterations"]:
            message = f"for_each has {len(items)} items, and max_iterations allows {step['max_iterations']}"
            raise PermanentError("max_iterations", message, {"items": len(items)})
        state["items"] = credentials.seal(
            items, declared_secrets(engine), engine.cipher.encrypt, known=names.credentials
        )
    _start(conn, row, state)
    return Came()


def _items(source: Any, names: Names) -> list[Any]:
    found = names.source(source) if isinstance(source, str) else names.render(source)
    if not isinstance(found, list):
        raise PermanentError("not_a_list", f"for_each: {source} should be a list; it is {_kind(found)}")
    return found


def _kind(value: Any) -> str:
    return "not there" if value is MISSING else comparisons.kind(value)


def _wait(conn: Connection, row: Any, step: dict[str, Any], names: Names) -> Came:
    limit = step.get("timeout_seconds")
    if "seconds" in step:
        transitions.step(conn, "timer_set", [{"id": row.id, "delay_seconds": step["seconds"]}])
        return Came() if step["seconds"] else over(conn, row)
    if "until" in step:
        transitions.step(conn, "timer_set", [{"id": row.id, "run_at": _moment(step["until"], names)}])
        return Came()
    if "condition" in step and names.holds_yet(Condition.model_validate(step["condition"])):
        return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": {"met": True}}]))
    if "signal" in step and (taken := _early_signal(conn, row, step["signal"])) is not None:
        return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": taken}]))
    state = None
    if "approval" in step:
        asked = names.hide(names.render(step["approval"]))
        state = {"message": asked.get("message"), "approvers": [str(name) for name in asked["approvers"]]}
    transitions.step(conn, "waiting", [{"id": row.id, "limit_seconds": limit, "state": state}])
    return Came()


def over(conn: Connection, row: Any) -> Came:
    """End a wait for a time that has come."""
    return Came(ended=transitions.step(conn, "ended", [{"id": row.id, "result": {"waited": True}}]))


def _moment(text: str, names: Names) -> datetime:
    value = names.render(text)
    try:
        return read_timestamp(value)
    except ValueError as error:
        raise PermanentError("not_a_time", names.hide(f"until: {value!r} {error}")) from None


def _early_signal(conn: Connection, row: Any, signal: str) -> dict[str, Any] | None:
    """The oldest signal of that name that came before anybody waited for it; it is taken."""
    run = runs.lock(conn, None, row.run_id)
    assert run is not None
    for place, sent in enumerate(run.signals):
        if sent["signal"] == signal:
            runs.change(conn, row.run_id, signals=[*run.signals[:place], *run.signals[place + 1 :]])
            return {name: sent[name] for name in ("signal", "data", "by", "at")}
    return None


def _workflow(engine: Engine, conn: Connection, row: Any, step: dict[str, Any], names: Names) -> Came:
    parent = runs.lock(conn, None, row.run_id)
    assert parent is not None
    if parent.depth + 1 > MAX_DEPTH:
        raise PermanentError("runs_too_deep", f"runs start runs more than {MAX_DEPTH} levels deep")
    if parent.status == "paused":
        # Since it was decided that this may begin.
        transitions.move(conn, "paused", [row.id], held=True)
        return Came()
    _start(conn, row)
    variables = names.render(step.get("variables") or {})
    return outset.sub_run(engine, conn, row, step, variables, parent.depth + 1, names.credentials)
