"""What random runs have found: the smallest example of each."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Conflict
from taskengine.domain.outcome import Succeeded
from taskengine.domain.workflow import RetrySpec, RunSpec
from taskengine.lifecycle import cancel, control, control_run, dead_letters, query_runs, retry_run, start_run, workflows
from taskengine.lifecycle.claim import claim
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from tests.conftest import Bench

GOOD: dict[str, Any] = {"name": "t", "type": "echo", "config": {"message": "hello"}}
BAD: dict[str, Any] = {"name": "t", "type": "echo", "max_retries": 0, "config": {"fail_times": 1}}


def start(bench: Bench, **spec: Any) -> UUID:
    run_id: UUID = start_run.start(bench.engine, bench.caller, RunSpec.model_validate(spec))["id"]
    return run_id


def of_key(bench: Bench, key: str) -> UUID:
    [row] = bench.sql("SELECT id FROM tasks WHERE key = :key", key=key)
    found: UUID = row.id
    return found


def statuses(bench: Bench) -> dict[str, str]:
    return {row.path: row.status for row in bench.sql("SELECT path, status FROM tasks")}


def step(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "task", "task": GOOD, **more}


def test_a_clean_up_waits_for_its_group_when_what_it_cleans_up_after_was_skipped_before(bench: Bench) -> None:
    after = [
        GOOD | {"key": "a", "depends_on": ["bad.b"]},
        GOOD | {"key": "c", "depends_on": ["a"], "run_on": "failure"},
    ]
    groups = [
        {"id": "slow", "tasks": [GOOD | {"key": "s"}]},
        {"id": "bad", "tasks": [BAD | {"key": "b"}]},
        {"id": "late", "depends_on": ["slow"], "tasks": after},
    ]
    start(bench, task_groups=groups)
    bench.work(of_key(bench, "b"))
    assert statuses(bench)["late.a"] == "skipped"
    assert statuses(bench)["late.c"] == "pending"
    bench.work(of_key(bench, "s"))
    assert statuses(bench)["late.c"] == "queued"


def test_an_expansion_that_is_skipped_with_its_group_makes_no_children(bench: Bench) -> None:
    expansion = {"expansion_config": {"type": "array", "array_mapping": {"x": [1, 2]}}}
    after = [GOOD | {"key": "a", "depends_on": ["bad.b"]}, GOOD | expansion | {"key": "c", "depends_on": ["a"]}]
    after[1]["run_on"] = "failure"
    groups = [{"id": "bad", "tasks": [BAD | {"key": "b"}]}, {"id": "late", "depends_on": ["bad"], "tasks": after}]
    start(bench, task_groups=groups)
    bench.work(of_key(bench, "b"))
    assert statuses(bench) == {
        "bad": "failed", "bad.b": "failed", "late": "skipped", "late.a": "skipped", "late.c": "skipped",
    }  # fmt: skip


def test_a_step_waits_for_the_step_around_it_when_the_one_before_is_cancelled_by_hand(bench: Bench) -> None:
    inside = [step("b"), step("c", run_on="always")]
    start(bench, definition={"name": "x", "steps": [step("a"), {"id": "s", "type": "sequential", "steps": inside}]})
    cancel.cancel(bench.engine, bench.caller, of_key(bench, "b"), None)
    assert statuses(bench) == {"a": "queued", "s": "pending", "s.b": "cancelled", "s.c": "pending"}


def test_a_branch_is_chosen_when_a_conditional_is_retried_that_was_cancelled_before_it_began(bench: Bench) -> None:
    condition = {"field": "variables.yes", "operator": "equals", "value": True}
    branches = {"then": [step("t")], "else": [step("e")]}
    steps = [step("a"), {"id": "c", "type": "conditional", "condition": condition, **branches}]
    run_id = start(bench, definition={"name": "x", "variables": {"yes": True}, "steps": steps})
    [held] = claim(bench.engine, [(of_key(bench, "a"), 1)], "tester")[0]
    control_run.pause(bench.engine, bench.caller, run_id)
    finish(bench.engine, [Ended(held, Succeeded(None), result_json=b"null")])
    control_run.cancel(bench.engine, bench.caller, run_id, None)
    retry_run.retry(bench.engine, bench.caller, run_id, RetrySpec())
    assert statuses(bench) == {"a": "completed", "c": "running", "c.t": "queued", "c.e": "skipped"}
    bench.work(of_key(bench, "t"))
    assert query_runs.run(bench.engine, bench.caller, run_id)["status"] == "completed"


def test_what_a_loop_made_before_it_was_done_again_cannot_be_retried(bench: Bench) -> None:
    body = {"id": "a", "type": "task", "task": BAD}
    run_id = start(
        bench, definition={"name": "x", "steps": [{"id": "l", "type": "loop", "for_each": [1], "steps": [body]}]}
    )
    before = of_key(bench, "a")
    bench.work(before)
    retry_run.retry(bench.engine, bench.caller, run_id, RetrySpec.model_validate({"from": "l"}))
    with pytest.raises(Conflict, match="done again since"):
        control.retry(bench.engine, bench.caller, before)


def work_off(bench: Bench) -> None:
    """Let a worker take what is in line, until nothing is."""
    while rows := bench.sql("SELECT task_id FROM outbox"):
        bench.work(*(row.task_id for row in rows))


def test_a_retry_keeps_to_max_parallel(bench: Bench) -> None:
    inside = [
        {"id": name, "type": "sequential", "steps": [{"id": f"{name}_task", "type": "task", "task": BAD}]}
        for name in ("one", "two")
    ]
    limited = {"id": "p", "type": "parallel", "max_parallel": 1, "steps": inside}
    run_id = start(bench, definition={"name": "x", "steps": [limited]})
    work_off(bench)
    retry_run.retry(bench.engine, bench.caller, run_id, RetrySpec())
    assert statuses(bench) == {
        "p": "running",
        "p.one": "running",
        "p.one.one_task": "queued",
        "p.two": "pending",
        "p.two.two_task": "pending",
    }
    work_off(bench)
    assert set(statuses(bench).values()) == {"completed"}


def test_a_retry_of_a_cancelled_run_takes_up_all_that_was_cancelled(bench: Bench) -> None:
    steps = [step("a", on_failure="continue"), step("b")]
    run_id = start(bench, definition={"name": "x", "steps": steps})
    control_run.cancel(bench.engine, bench.caller, run_id, None)
    retry_run.retry(bench.engine, bench.caller, run_id, RetrySpec())
    assert statuses(bench) == {"a": "queued", "b": "pending"}


def test_a_dead_letter_of_a_run_has_the_run_go_on(bench: Bench) -> None:
    run_id = start(bench, definition={"name": "x", "steps": [step("a", task=BAD), step("b")]})
    work_off(bench)
    assert dead_letters.redrive(bench.engine, bench.caller) == {"redriven": 1}
    assert query_runs.run(bench.engine, bench.caller, run_id)["status"] == "running"
    work_off(bench)
    assert query_runs.run(bench.engine, bench.caller, run_id)["status"] == "completed"


def test_a_dead_letter_of_an_expansion_has_its_child_done_again(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": "numbers"}}
    task = BAD | {"config": {"fail_times": 1, "message": "{{ n }}"}, "numbers": [1, 2], "expansion_config": config}
    [task_id] = bench.submit(task)
    work_off(bench)
    assert bench.task(task_id)["status"] == "failed"
    assert dead_letters.redrive(bench.engine, bench.caller) == {"redriven": 2}
    work_off(bench)
    assert bench.task(task_id)["status"] == "completed"


def test_a_sub_run_is_not_retried_under_a_clean_up_that_is_at_work(bench: Bench) -> None:
    workflows.put(bench.engine, bench.caller, "inner", json.dumps({"name": "inner", "steps": [step("a", task=BAD)]}))
    around = {"id": "s", "type": "sequential", "steps": [{"id": "w", "type": "workflow", "workflow": "inner"}]}
    start(bench, definition={"name": "x", "steps": [around, step("tidy", run_on="always")]})
    bench.work(of_key(bench, "a"))
    assert statuses(bench)["tidy"] == "queued"
    [inner] = bench.sql("SELECT id FROM runs WHERE parent_task_id IS NOT NULL")
    with pytest.raises(Conflict, match="would be done again"):
        retry_run.retry(bench.engine, bench.caller, inner.id, RetrySpec())
    assert bench.sql("SELECT waiting_on FROM tasks WHERE key = 'tidy'")[0].waiting_on == 0
