"""Starts runs and works them off in the test's own process, round by round."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from taskengine.domain.task import PageRequest
from taskengine.domain.workflow import RetrySpec, RunSpec, SignalSpec
from taskengine.lifecycle import control_run, query_runs, recover, retry_run, start_run, workflows
from taskengine.lifecycle.consume import consume
from tests.conftest import Bench

_MOST_ROUNDS = 1_000
_PACK = 250

FAILING = {"type": "echo", "config": {"fail_times": 1000}, "max_retries": 0}
"""A task that always fails."""


def echo(message: Any = "hello", **more: Any) -> dict[str, Any]:
    """A task that returns a message."""
    return {"type": "echo", "config": {"message": message}} | more


def task(key: str, message: Any = "hello", **more: Any) -> dict[str, Any]:
    """A step that returns a message."""
    return {"id": key, "type": "task", "task": echo(message)} | more


def failing(key: str, **more: Any) -> dict[str, Any]:
    """A step that fails."""
    return {"id": key, "type": "task", "task": FAILING} | more


def flaky(key: str, attempts: int = 1, **more: Any) -> dict[str, Any]:
    """A step that fails so many attempts, without retries of its own."""
    config = {"message": f"{key} at last", "fail_times": attempts}
    return {"id": key, "type": "task", "task": {"type": "echo", "config": config, "max_retries": 0}} | more


def when(field: str, operator: str, value: Any = None) -> dict[str, Any]:
    """A condition."""
    condition = {"field": field, "operator": operator}
    return condition if value is None else condition | {"value": value}


def member(key: str, message: Any = "hello", **more: Any) -> dict[str, Any]:
    """A task of a task group."""
    return {"key": key, "name": key} | echo(message) | more


def start(bench: Bench, steps: Sequence[dict[str, Any]], *, run: dict[str, Any] | None = None, **more: Any) -> UUID:
    """Start a run of steps; ``more`` goes into the definition, ``run`` beside it."""
    definition = {"name": "test", "steps": list(steps)} | more
    spec = RunSpec.model_validate({"definition": definition} | (run or {}))
    return UUID(str(start_run.start(bench.engine, bench.caller, spec)["id"]))


def start_groups(bench: Bench, *groups: dict[str, Any], **more: Any) -> UUID:
    """Start a run of task groups."""
    spec = RunSpec.model_validate({"task_groups": list(groups)} | more)
    return UUID(str(start_run.start(bench.engine, bench.caller, spec)["id"]))


def register(bench: Bench, name: str, steps: Sequence[dict[str, Any]], **more: Any) -> None:
    """Register a workflow."""
    text = json.dumps({"name": name, "steps": list(steps)} | more)
    workflows.put(bench.engine, bench.caller, name, text)


def work_once(bench: Bench) -> list[str]:
    """Let workers take all that is queued now, at once; returns the paths, or names, of what they took."""
    lined_up = bench.sql(
        "SELECT o.task_id, o.queue, o.attempt, coalesce(t.path, t.name) AS path FROM outbox o"
        " JOIN tasks t ON t.id = o.task_id ORDER BY t.sequence_num, o.task_id"
    )
    for queue in sorted({row.queue for row in lined_up}):
        named = [(row.task_id, row.attempt) for row in lined_up if row.queue == queue]
        for first in range(0, len(named), _PACK):
            consume(bench.engine, bench.watch, queue, named[first : first + _PACK], "tester")
    return [row.path for row in lined_up]


def drain(bench: Bench) -> list[list[str]]:
    """Work until nothing is queued, due or left to be made; returns what was taken in each round."""
    rounds: list[list[str]] = []
    for _ in range(_MOST_ROUNDS):
        if taken := work_once(bench):
            rounds.append(taken)
        elif not (recover.release_due(bench.engine) or recover.make_expansions(bench.engine)):
            return rounds
    raise AssertionError("there was always something to do")


def pass_time(bench: Bench) -> None:
    """Have every time come that something waits for, and every time limit pass; what is due begins, or ends."""
    bench.sql("UPDATE tasks SET run_at = now() - interval '1 second' WHERE run_at IS NOT NULL")
    bench.sql("UPDATE tasks SET times_out_at = now() - interval '1 second' WHERE times_out_at IS NOT NULL")
    bench.sql("UPDATE runs SET times_out_at = now() - interval '1 second' WHERE times_out_at IS NOT NULL")
    recover.release_due(bench.engine)
    recover.end_overdue(bench.engine)


def shown(bench: Bench, run_id: UUID) -> dict[str, Any]:
    """The run as clients see it."""
    return query_runs.run(bench.engine, bench.caller, run_id)


def go(bench: Bench, steps: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Start a run of steps, work it off, and show it."""
    run_id = start(bench, steps, **more)
    drain(bench)
    return shown(bench, run_id)


def rows(bench: Bench, run_id: UUID) -> dict[str, Any]:
    """A run's steps by path; not the children of expansions, nor what a retry left behind."""
    found = bench.sql(
        "SELECT * FROM tasks WHERE run_id = :id AND key IS NOT NULL AND scope_id IS NOT NULL ORDER BY id", id=run_id
    )
    return {row.path: row for row in found}


def statuses(bench: Bench, run_id: UUID) -> dict[str, str]:
    """The status of each step, by path."""
    return {path: row.status for path, row in rows(bench, run_id).items()}


def code(bench: Bench, run_id: UUID, path: str) -> str | None:
    """The code of a step's last error."""
    error = rows(bench, run_id)[path].last_error
    return None if error is None else str(error["code"])


def task_id(bench: Bench, run_id: UUID, path: str) -> UUID:
    """The id of a step."""
    return UUID(str(rows(bench, run_id)[path].id))


def children(bench: Bench, parent: UUID) -> list[Any]:
    """The rows of an expansion, or of a step, in their order."""
    return bench.sql("SELECT * FROM tasks WHERE parent_id = :id AND scope_id = :id ORDER BY sequence_num", id=parent)


def sub_run(bench: Bench, run_id: UUID, path: str) -> UUID:
    """The newest run that a step started."""
    found = bench.sql(
        "SELECT id FROM runs WHERE parent_task_id = :id ORDER BY id DESC LIMIT 1", id=task_id(bench, run_id, path)
    )
    return UUID(str(found[0].id))


def log(bench: Bench, run_id: UUID) -> list[dict[str, Any]]:
    """The run's events."""
    return query_runs.events(bench.engine, bench.caller, run_id, PageRequest(limit=500)).items


def signal(bench: Bench, run_id: UUID, name: str | None = None, **more: Any) -> dict[str, Any]:
    """Send a signal."""
    spec = SignalSpec.model_validate({"signal": name} | more)
    return control_run.signal(bench.engine, bench.caller, run_id, spec)


def retry(bench: Bench, run_id: UUID, **spec: Any) -> dict[str, Any]:
    """Have a run go on."""
    return retry_run.retry(bench.engine, bench.caller, run_id, RetrySpec.model_validate(spec))
