"""Says why a task is where it is: the exact blockers, its place in line, and when it should start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from sqlalchemy import Connection

from taskengine.domain import conditions, lines
from taskengine.domain.conditions import Condition
from taskengine.domain.states import FINAL, Kind
from taskengine.domain.task import Caller
from taskengine.lifecycle import query
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.presence import ALIVE_SECONDS
from taskengine.store import agents, events, executions, outbox, queues, runs, steps, tasks

_GUESS_SECONDS = 1.0
_WORKED = frozenset({Kind.task, Kind.expansion})


@dataclass(frozen=True, slots=True)
class _Situation:
    engine: Engine
    conn: Connection
    row: Any
    queue: Any
    broker_up: bool
    run: Any


def explain(engine: Engine, caller: Caller, task_id: UUID) -> dict[str, Any]:
    """``blockers`` are all that stand in the way, each with a kind and a sentence; empty when it can run now.

    ``position`` counts the tasks that stand before it in its queue (0: it is next). ``expected_start`` is the
    time it waits for, or an estimate from its place, the workers on its queue and how long its type usually runs.
    """
    with engine.db.autocommit() as conn:
        row = tasks.internals(conn, caller.organization_id, task_id)
        if row is None:
            raise query.missing("task", task_id)
        queue = queues.overview(conn, [row.queue], ALIVE_SECONDS)[0] if row.kind in _WORKED else None
        run = None if row.run_id is None else runs.get(conn, caller.organization_id, row.run_id)
        situation = _Situation(engine, conn, row, queue, _broker_up(engine), run)
        waiting = row.status not in FINAL and row.status != "running"
        blockers = list(_blockers(situation)) if waiting else []
        position = outbox.position(conn, task_id) if row.status == "queued" else None
        start = _expected_start(situation, caller, position, blockers)
        parts = _parts(situation)
    return {
        "task_id": row.id,
        "status": row.status,
        "blockers": blockers,
        "position": position,
        "expected_start": start,
        "summary": _summary(row, blockers, position, parts),
    }


def _parts(now: _Situation) -> str:
    """How what is in a step stands: its rows by status, or the run that it waits for."""
    if now.row.status != "running" or now.row.kind == Kind.task:
        return ""
    if now.row.kind == Kind.workflow:
        inner = [runs.get(now.conn, now.row.organization_id, run.id) for run in steps.sub_runs(now.conn, [now.row.id])]
        return "; ".join(f"waits for run {run.id} ({run.name}), which is {run.status}" for run in inner if run)
    counts = steps.counts(now.conn, now.row.id)
    return "its parts: " + (", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none yet")


def _broker_up(engine: Engine) -> bool:
    try:
        return bool(engine.redis.ping())
    except redis.RedisError:
        return False


def _blocker(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "message": message, **more}


def _blockers(now: _Situation) -> Iterator[dict[str, Any]]:
    row = now.row
    if now.run is not None and now.run.status == "paused":
        yield _blocker("run_paused", f"its run is paused; resume it with POST /v1/runs/{row.run_id}/resume")
    elif row.status == "paused":
        yield _blocker("paused", "the task is paused; resume it with POST /v1/tasks/{id}/resume")
    if row.gated:
        yield from _gate(now)
    if row.waiting_on - row.gated:
        names = [{"id": item.id, "name": item.name, "status": item.status} for item in tasks.blocking(now.conn, row.id)]
        listed = ", ".join(f"{item['name']} ({item['status']})" for item in names[:5])
        yield _blocker("dependency", f"waits for {row.waiting_on - row.gated} task(s): {listed}", tasks=names)
    if row.requires_human_review and row.review is None:
        yield _blocker("review", "waits for a person: POST /v1/tasks/{id}/approve or reject")
    if row.execution_type == "manual" and not row.triggered:
        yield _blocker("manual_trigger", "waits to be triggered with POST /v1/tasks/{id}/execute")
    if row.status == "retrying":
        yield _blocker(
            "retry", f"the last attempt failed; the next one is due at {_stamp(row.run_at)}", until=row.run_at
        )
    elif row.scheduled_for is not None and row.scheduled_for > now.engine.clock() and not row.triggered:
        yield _blocker("schedule", f"is scheduled for {_stamp(row.scheduled_for)}", until=row.scheduled_for)
    if row.kind == Kind.wait and row.status != "pending":
        yield from _wait(now)
    if row.kind == Kind.task and row.status == "waiting_input":
        yield from _parked(now)
        return
    if row.kind in _WORKED:
        yield from _queue_blockers(now)


def _gate(now: _Situation) -> Iterator[dict[str, Any]]:
    """Why the step around a row has not let it go."""
    parent = tasks.internals(now.conn, now.row.organization_id, now.row.parent_id)
    if parent is None:
        return
    around = {"id": parent.id, "name": parent.name, "status": parent.status}
    if parent.status == "running":
        most = (parent.step or parent.expansion_config or {}).get("max_parallel")
        yield _blocker("max_parallel", f"{parent.name} runs at most {most} at once; waits for its turn", step=around)
    else:
        yield _blocker("step", f"is a part of {parent.name}, which is {parent.status}", step=around)


def _parked(now: _Situation) -> Iterator[dict[str, Any]]:
    """What an attempt waits for that holds no worker."""
    row = now.row
    begun = (row.state or {}).get("run_id")
    run = None if begun is None else runs.get(now.conn, row.organization_id, UUID(begun))
    if run is not None:
        message = f"waits for the run that it began, {run.id} ({run.name}), which is {run.status}"
        if run.status == "paused":
            message += f"; resume it with POST /v1/runs/{run.id}/resume"
        yield _blocker("run", message, run={"id": run.id, "name": run.name, "status": run.status})
    if row.run_at is not None:
        why = None if run is not None else events.why_parked(now.conn, row.id)
        until = f"goes on at {_stamp(row.run_at)} at the latest"
        yield _blocker("timer", f"{why}; {until}" if why else until, until=row.run_at)


def _wait(now: _Situation) -> Iterator[dict[str, Any]]:
    """What a wait that has begun waits for."""
    row, step = now.row, now.row.step
    until = "" if row.times_out_at is None else f", until {_stamp(row.times_out_at)}"
    if row.status == "deferred":
        yield _blocker("timer", f"waits until {_stamp(row.run_at)}", until=row.run_at)
    elif "approval" in step:
        who = row.state["approvers"]
        message = f"waits for {' or '.join(who)}: POST /v1/tasks/{row.id}/approve or reject{until}"
        yield _blocker("approval", message, approvers=who, message_to_approvers=row.state["message"])
    elif "signal" in step:
        ring = f"POST /v1/runs/{row.run_id}/signal"
        yield _blocker("signal", f"waits for the signal {step['signal']}: {ring}{until}", signal=step["signal"])
    else:
        fields = sorted(conditions.fields(Condition.model_validate(step["condition"])))
        yield _blocker("condition", f"waits until its condition on {', '.join(fields)} holds{until}", fields=fields)


def _queue_blockers(now: _Situation) -> Iterator[dict[str, Any]]:
    name = now.row.queue
    if (capability := lines.capability_of(name)) is not None:
        yield _agent(now, capability)
        return
    if now.queue.paused:
        yield _blocker("queue_paused", f"queue {name} is paused; resume it with POST /v1/queues/{name}/resume")
    if not now.queue.workers:
        yield _blocker("no_worker", f"no live worker serves queue {name}; start one, or see `taskengine doctor`")
    if (fault := _unmet(now)) is not None:
        yield fault
    if not now.broker_up:
        yield _blocker("broker_down", "Redis does not answer; the task is stored and is rung for once it does")


def _unmet(now: _Situation) -> dict[str, Any] | None:
    """That no live worker of the queue has what the task needs, and what they have."""
    needs = now.row.resource_requirements
    if not needs or not now.queue.workers:
        return None
    have = queues.live_workers(now.conn, [now.row.queue], ALIVE_SECONDS).get(now.row.queue, {})
    if any(all(has.get(name, 0) >= amount for name, amount in needs.items()) for has in have.values()):
        return None
    wanted = ", ".join(f"{name} {amount:g}" for name, amount in sorted(needs.items()))
    most = ", ".join(f"{name} {max(has.get(name, 0) for has in have.values()):g}" for name in sorted(needs))
    message = f"no live worker of queue {now.row.queue} has what it needs ({wanted}); the most that any has: {most}"
    return _blocker("resources", message, needs=needs, workers=have)


def _agent(now: _Situation, capability: str) -> dict[str, Any]:
    """That a task is for an agent, which agents there are, and what to do."""
    there = agents.standing(now.conn, now.row.organization_id, capability, ALIVE_SECONDS)
    if not there.registered:
        advice = "register one with POST /v1/agents, and have it ask for leases"
    elif not there.alive:
        advice = "start one of them, or see GET /v1/agents for when each was heard of last"
    elif not there.free:
        advice = "one of them must end what it is at, or register another"
    else:
        advice = "the next of them that asks for a lease may get it"
    counts = f"{there.registered} registered, {there.alive} alive, {there.free} free"
    message = f"waits for an agent with the capability {capability}: {counts}; {advice}"
    figures = {"registered": there.registered, "alive": there.alive, "free": there.free}
    return _blocker("agent", message, capability=capability, agents=figures)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _expected_start(
    now: _Situation, caller: Caller, position: int | None, blockers: list[dict[str, Any]]
) -> datetime | None:
    timed = [item["until"] for item in blockers if "until" in item]
    if len(timed) == len(blockers) and timed:
        latest: datetime = max(timed)
        return latest
    if blockers or position is None:
        return None
    seconds = executions.typical_seconds(now.conn, caller.organization_id, now.row.type) or _GUESS_SECONDS
    slots = max(1, int(now.queue.slots))
    rounds = (position + int(now.queue.running)) // slots
    return now.engine.clock() + timedelta(seconds=rounds * seconds)


def _summary(row: Any, blockers: list[dict[str, Any]], position: int | None, parts: str) -> str:
    if row.status in FINAL:
        return f"the task is {row.status}; it does not wait for anything"
    if row.status == "running" and row.kind != Kind.task:
        return f"the {row.kind} step is at work; {parts}"
    if row.status == "running":
        return f"attempt {row.attempt} runs" + (", and was asked to stop" if row.cancel_requested_at else "")
    if blockers:
        return "; ".join(item["message"] for item in blockers)
    if position:
        return f"is queued; {position} task(s) stand before it"
    return "is queued and next in line"
