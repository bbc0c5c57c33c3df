"""The workflow type, against the real engine."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Invalid
from taskengine.domain.run import RunFilter
from taskengine.domain.task import PageRequest
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import query_runs, recover, start_run, workflows
from tests.conftest import Bench

INNER = {
    "name": "inner",
    "variables": {"word": "none"},
    "steps": [{"id": "say", "type": "task", "task": {"type": "echo", "config": {"message": "{{ variables.word }}"}}}],
}


@pytest.fixture(autouse=True)
def registered(bench: Bench) -> None:
    """The workflow ``inner``."""
    workflows.put(bench.engine, bench.caller, "inner", json.dumps(INNER))


def submit(bench: Bench, **config: Any) -> UUID:
    (task_id,) = bench.submit({"type": "workflow", "config": config})
    return task_id


def run_of(bench: Bench, task_id: UUID) -> dict[str, Any]:
    (run,) = query_runs.runs(bench.engine, bench.caller, RunFilter(parent_task_id=task_id), PageRequest()).items
    return run


def work_off(bench: Bench, run_id: UUID) -> None:
    bench.work(*[row.id for row in bench.sql("SELECT id FROM tasks WHERE run_id = :id", id=run_id)])


def test_it_ends_with_what_its_run_gave(bench: Bench) -> None:
    task_id = submit(bench, workflow="inner", variables={"word": "hi"})
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "waiting_input"
    run = run_of(bench, task_id)
    work_off(bench, run["id"])
    bench.work(task_id)
    assert bench.task(task_id)["result"] == {
        "run_id": str(run["id"]),
        "status": "completed",
        "results": {"say": {"message": "hi"}},
    }


def test_it_need_not_wait(bench: Bench) -> None:
    task_id = submit(bench, workflow="inner", wait=False)
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "completed"
    work_off(bench, run_of(bench, task_id)["id"])
    assert run_of(bench, task_id)["status"] == "completed"


def test_it_fails_with_its_run(bench: Bench) -> None:
    step = {"type": "echo", "config": {"fail_times": 9}, "max_retries": 0}
    failing = {"name": "failing", "steps": [{"id": "s", "type": "task", "task": step}]}
    workflows.put(bench.engine, bench.caller, "failing", json.dumps(failing))
    task_id = submit(bench, workflow="failing")
    bench.work(task_id)
    run = run_of(bench, task_id)
    work_off(bench, run["id"])
    bench.work(task_id)
    task = bench.task(task_id)
    assert (task["status"], task["last_error"]["code"]) == ("failed", "sub_run_failed")
    assert task["last_error"]["details"]["run_id"] == str(run["id"])


def test_a_workflow_must_be_named(bench: Bench) -> None:
    with pytest.raises(Invalid, match="workflow"):
        submit(bench)


def test_one_that_is_not_registered_fails_it(bench: Bench) -> None:
    task_id = submit(bench, workflow="nope")
    bench.work(task_id)
    assert bench.task(task_id)["last_error"]["code"] == "invalid_run"


def test_what_depends_on_it_in_a_run_goes_on_with_its_results(bench: Bench) -> None:
    steps = [
        {"id": "inner", "type": "task", "task": {"type": "workflow", "config": {"workflow": "inner"}}},
        {
            "id": "after",
            "type": "task",
            "task": {"type": "echo", "config": {"message": "{{ tasks.inner.result.results.say.message }}"}},
        },
    ]
    run = start_run.start(bench.engine, bench.caller, RunSpec(definition={"name": "outer", "steps": steps}))
    work_off(bench, run["id"])
    (parked,) = bench.sql("SELECT id FROM tasks WHERE run_id = :id AND status = 'waiting_input'", id=run["id"])
    assert query_runs.run(bench.engine, bench.caller, run["id"])["status"] == "waiting"
    work_off(bench, run_of(bench, parked.id)["id"])
    recover.tick(bench.engine, "test")
    work_off(bench, run["id"])
    work_off(bench, run["id"])
    shown = query_runs.run(bench.engine, bench.caller, run["id"])
    assert (shown["status"], shown["results"]["after"]) == ("completed", {"message": "none"})


def test_its_time_limit_is_that_of_its_run(bench: Bench) -> None:
    (task_id,) = bench.submit({"type": "workflow", "config": {"workflow": "inner"}, "timeout_seconds": 5})
    bench.work(task_id)
    run = run_of(bench, task_id)
    assert run["timeout_seconds"] == 5
    bench.sql("UPDATE runs SET times_out_at = now() - interval '1 second' WHERE id = :id", id=run["id"])
    recover.tick(bench.engine, "test")
    bench.work(task_id)
    assert bench.task(task_id)["last_error"]["code"] == "sub_run_failed"
