"""The states of tasks, executions and runs, and the tables of named moves.

A run's steps are tasks too: control steps (parallel, loop, wait …) move through the same states, by the planner's
decision instead of a worker's.

pending        submitted; leaves when dependencies have ended, a person approved, or somebody triggered it
deferred       waits for ``scheduled_for``; beat's tick releases it
queued         ready, rung or about to be; a worker's claim takes it
running        one attempt holds it; only that attempt, its loss or a cancel ends it
waiting_input  waits for a person, an agent or a callback; in a run also for a signal or a condition
retrying       an attempt failed; beat's tick queues it again at ``run_at``
paused         a person holds it back; resume puts it where it belongs
completed, failed, cancelled, skipped    final
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from taskengine.domain.errors import InvalidTransition


class TaskStatus(StrEnum):
    """Where a task stands."""

    pending = "pending"
    deferred = "deferred"
    queued = "queued"
    running = "running"
    waiting_input = "waiting_input"
    retrying = "retrying"
    paused = "paused"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"
    skipped = "skipped"


class ExecutionStatus(StrEnum):
    """Where an attempt stands; all but running are final."""

    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    timed_out = "timed_out"
    cancelled = "cancelled"
    lost = "lost"


class Kind(StrEnum):
    """What a row of tasks stands for. All but task are moved by the planner, and never go to a worker."""

    task = "task"
    expansion = "expansion"
    group = "group"
    parallel = "parallel"
    sequential = "sequential"
    conditional = "conditional"
    loop = "loop"
    wait = "wait"
    workflow = "workflow"


class RunStatus(StrEnum):
    """Where a run stands. ``waiting`` is not stored: it is a running run with nothing to do but wait."""

    pending = "pending"
    running = "running"
    waiting = "waiting"
    paused = "paused"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


RUN_FINAL = frozenset({RunStatus.completed, RunStatus.failed, RunStatus.cancelled})

FINAL = frozenset({TaskStatus.completed, TaskStatus.failed, TaskStatus.cancelled, TaskStatus.skipped})
WAITING = frozenset(
    {TaskStatus.pending, TaskStatus.deferred, TaskStatus.queued, TaskStatus.retrying, TaskStatus.paused}
)
"""Not started, or not started again: may be changed, paused, expired, cancelled at once."""

ALIASES: dict[str, tuple[TaskStatus, ...]] = {
    "created": (TaskStatus.pending, TaskStatus.queued),
    "ready": (TaskStatus.pending, TaskStatus.queued),
    "in_progress": (TaskStatus.running,),
    "assigned": (TaskStatus.waiting_input,),
}
"""Other systems' names, accepted as filters."""


S = TypeVar("S", TaskStatus, RunStatus)


@dataclass(frozen=True, slots=True)
class Move(Generic[S]):
    """A legal change of a status. ``event`` is the type of the event row it writes."""

    name: str
    sources: frozenset[S]
    target: S
    event: str
    why: str
    of_steps: bool = False
    """Made in a run only: of control steps by the planner, of anything by a retry of the run."""


def _move(name: str, sources: str, target: str, why: str, *, of_steps: bool = False) -> Move[TaskStatus]:
    from_states = frozenset(TaskStatus(source) for source in sources.split())
    return Move(name, from_states, TaskStatus(target), f"task.{name}", why, of_steps)


def _step_move(name: str, sources: str, target: str, why: str) -> Move[TaskStatus]:
    return _move(name, sources, target, why, of_steps=True)


_NOT_STARTED = "pending deferred queued retrying paused"
_ENDED_BADLY = "failed cancelled skipped"
_AT_WORK = "pending deferred running waiting_input"

MOVES: dict[str, Move[TaskStatus]] = {
    move.name: move
    for move in (
        _move("queued", "pending deferred retrying", "queued", "nothing stands in its way any more"),
        _move("deferred", "pending", "deferred", "it only waits for its time now"),
        _move("claimed", "queued", "running", "a worker took it: a new attempt with a lease"),
        _move("completed", "running", "completed", "the attempt succeeded"),
        _move("failed", "running", "failed", "the attempt failed and no retry is left"),
        _move("retry_scheduled", "running", "retrying", "the attempt failed and will be tried again"),
        _move("parked", "running", "waiting_input", "the attempt began something, and waits for it without a worker"),
        _move("woken", "waiting_input", "queued", "what a parked task waited for has come, or its time is up"),
        _move("handed_over", "running", "retrying", "the attempt was for somebody else, in whose line it waits next"),
        _move("lost", "running", "queued", "the worker fell silent; the next attempt may begin"),
        _move("cancelled", f"{_NOT_STARTED} running waiting_input", "cancelled", "somebody cancelled it"),
        _move("expired", "pending deferred queued paused", "cancelled", "expires_at passed before it started"),
        _move("rejected", "pending paused", "cancelled", "a reviewer rejected it"),
        _move("skipped", "pending paused", "skipped", "an upstream failure, or the way a run took, made it pointless"),
        _move("paused", "pending deferred queued retrying", "paused", "somebody paused it"),
        _move("resumed_pending", "paused", "pending", "resumed; it still waits for something"),
        _move("resumed_deferred", "paused", "deferred", "resumed; its time has not come"),
        _move("resumed_retrying", "paused", "retrying", "resumed; its retry is not due"),
        _move("resumed", "paused", "queued", "resumed; nothing stands in its way"),
        _move("triggered", "pending deferred retrying", "queued", "somebody triggered it by hand"),
        _move("retried", _ENDED_BADLY, "queued", "somebody asked for another try"),
        _move("retried_pending", _ENDED_BADLY, "pending", "somebody asked for another try; it needs its review"),
        _move("retried_deferred", _ENDED_BADLY, "deferred", "somebody asked for another try, at its time"),
        _move("redriven", "failed", "queued", "its dead letter was redriven"),
        _step_move("started", "pending deferred", "running", "a step's turn has come: the planner is at it"),
        _step_move("timer_set", "pending", "deferred", "a wait for a time began"),
        _step_move("waiting", "pending", "waiting_input", "a wait for a signal, a condition or an approval began"),
        _step_move("ended", _AT_WORK, "completed", "a step has done what it is there for"),
        _step_move(
            "ended_failed", _AT_WORK, "failed", "a step cannot do what it is there for, or what is in it failed"
        ),
        _step_move("stopped", _AT_WORK, "cancelled", "a step was cancelled with its run"),
        _step_move("reset", f"completed {_ENDED_BADLY}", "pending", "somebody had its run go on from here, or before"),
        _step_move("reopened", f"completed {_ENDED_BADLY}", "running", "something in it is to be done again"),
        _step_move("rejoined", f"completed {_ENDED_BADLY}", "pending", "it goes on where it stood, at its turn"),
        _step_move("supplied", f"pending paused {_ENDED_BADLY}", "completed", "somebody supplied its result"),
    )
}
"""Every legal move by name. Out of a final state lead only the moves that people ask for: retries, redriving."""


def _run_move(name: str, sources: str, target: str, why: str) -> Move[RunStatus]:
    return Move(name, frozenset(RunStatus(s) for s in sources.split()), RunStatus(target), f"run.{name}", why)


RUN_MOVES: dict[str, Move[RunStatus]] = {
    move.name: move
    for move in (
        _run_move("started", "pending", "running", "its first steps are let go"),
        _run_move("completed", "running paused", "completed", "all its steps have ended, and none that counts failed"),
        _run_move("failed", "running paused", "failed", "all its steps have ended, and one failed; or its time is up"),
        _run_move("cancelled", "pending running paused", "cancelled", "somebody cancelled it"),
        _run_move("paused", "running", "paused", "somebody paused it: running tasks end, nothing new starts"),
        _run_move("resumed", "paused", "running", "somebody let it go on"),
        _run_move("retried", "running completed failed cancelled", "running", "somebody had it go on from a step"),
    )
}
"""Every legal move of a run by name. ``waiting`` is how a running run is shown while it only waits."""


def allowed_from(status: TaskStatus) -> list[str]:
    """The states that a task by itself may move to from ``status``, sorted."""
    return sorted({move.target.value for move in MOVES.values() if status in move.sources and not move.of_steps})


def refuse(move: Move[TaskStatus], status: TaskStatus) -> InvalidTransition:
    """The error for a move that the present status does not allow."""
    allowed = allowed_from(status)
    return InvalidTransition(
        f"a task that is {status.value} cannot become {move.target.value} ({move.name}); "
        f"from {status.value} it may become: {', '.join(allowed) or 'nothing, it is final'}",
        **{"from": status.value, "to": move.target.value, "allowed": allowed},
    )


def refuse_run(move: Move[RunStatus], status: RunStatus) -> InvalidTransition:
    """The error for a move that the run's present status does not allow."""
    legal = {name: other.target.value for name, other in RUN_MOVES.items() if status in other.sources}
    allowed = sorted(set(legal.values()))
    # Two moves may lead to one state, so each is told by its own name: a cancelled run is retried, never resumed.
    return InvalidTransition(
        f"a run that is {status.value} cannot become {move.target.value} ({move.name}); "
        f"it may be: {', '.join(sorted(legal))}",
        **{"from": status.value, "to": move.target.value, "allowed": allowed},
    )


def expand_status(text: str) -> tuple[TaskStatus, ...] | None:
    """A status or an alias of one as statuses; None when it is neither."""
    if text in TaskStatus.__members__:
        return (TaskStatus(text),)
    return ALIASES.get(text)
