"""What runs say to people: who may approve, what is not there yet, where a fault of a plan stands, why a run failed."""

from __future__ import annotations

import json

import pytest

from taskengine.domain.errors import Forbidden, Invalid
from taskengine.lifecycle import explain, review, workflows
from tests.conftest import Bench
from tests.integration.lifecycle.runs import (
    drain,
    echo,
    failing,
    go,
    member,
    register,
    rows,
    shown,
    signal,
    start,
    start_groups,
    task,
    when,
)


def test_a_wait_for_a_field_that_is_not_there_yet_waits_for_it(bench: Bench) -> None:
    run_id = start(bench, [{"id": "w", "type": "wait", "condition": when("approved", "equals", True)}])
    drain(bench)
    assert shown(bench, run_id)["status"] == "waiting"
    signal(bench, run_id, context={"approved": True})
    assert shown(bench, run_id)["status"] == "completed"


def test_a_wait_whose_field_is_of_another_type_fails(bench: Bench) -> None:
    steps = [{"id": "w", "type": "wait", "condition": when("count", "less_than", 3)}]
    run = go(bench, steps, context={"count": "many"})
    assert run["status"] == "failed"
    assert "count" in run["error"]["message"]


def test_approvers_may_come_from_variables(bench: Bench) -> None:
    approval = {"approvers": ["{{ variables.who }}"], "message": "{{ variables.what }}?"}
    steps = [{"id": "w", "type": "wait", "approval": approval}]
    run_id = start(bench, steps, variables={"who": bench.caller.name, "what": "Ship"})
    wait = rows(bench, run_id)["w"]
    [blocker] = explain.explain(bench.engine, bench.caller, wait.id)["blockers"]
    assert (blocker["approvers"], blocker["message_to_approvers"]) == ([bench.caller.name], "Ship?")
    review.approve(bench.engine, bench.caller, wait.id, None)
    assert shown(bench, run_id)["status"] == "completed"


def test_whoever_is_not_among_the_rendered_approvers_is_refused(bench: Bench) -> None:
    steps = [{"id": "w", "type": "wait", "approval": {"approvers": ["{{ variables.who }}"]}}]
    run_id = start(bench, steps, variables={"who": "ada"})
    with pytest.raises(Forbidden, match="ada"):
        review.approve(bench.engine, bench.caller, rows(bench, run_id)["w"].id, None)


def test_a_step_that_is_named_before_it_ended_is_said_to_be_undefined(bench: Bench) -> None:
    inside = [task("a"), {"id": "b", "type": "task", "task": echo("{{ tasks.c.result }}")}, task("c")]
    run_id = start(bench, [{"id": "p", "type": "parallel", "max_parallel": 1, "steps": inside}])
    drain(bench)
    error = rows(bench, run_id)["p.b"].last_error
    assert error["code"] == "template_error"
    assert error["message"].startswith("'c' is undefined: there is no such name, or it has not ended yet")


def test_a_fault_of_a_plan_says_where_it_stands(bench: Bench) -> None:
    text = "name: x\nsteps:\n  - id: a\n    type: task\n    task: {type: nope}\n"
    with pytest.raises(Invalid) as raised:
        workflows.plan(bench.engine, bench.caller, text)
    [fault] = raised.value.errors
    assert (fault.loc, fault.line) == (("steps", 0, "task", "type"), 5)


def test_a_fault_of_a_plan_of_a_run_says_where_it_stands(bench: Bench) -> None:
    steps = [{"id": "a", "type": "task", "task": {"type": "nope"}}]
    text = json.dumps({"definition": {"name": "x", "steps": steps}})
    with pytest.raises(Invalid) as raised:
        workflows.plan(bench.engine, bench.caller, text)
    [fault] = raised.value.errors
    assert (fault.loc, fault.line) == (("definition", "steps", 0, "task", "type"), 1)


def test_a_sub_run_that_fails_says_why(bench: Bench) -> None:
    register(bench, "inner", [failing("bad")])
    run = go(bench, [{"id": "w", "type": "workflow", "workflow": "inner"}])
    assert "bad failed" in run["error"]["message"]


def test_a_sub_run_that_runs_is_named(bench: Bench) -> None:
    register(bench, "inner", [{"id": "w", "type": "wait", "signal": "go"}])
    run_id = start(bench, [{"id": "w", "type": "workflow", "workflow": "inner"}])
    [inner] = bench.sql("SELECT id FROM runs WHERE parent_task_id IS NOT NULL")
    summary = explain.explain(bench.engine, bench.caller, rows(bench, run_id)["w"].id)["summary"]
    assert f"waits for run {inner.id} (w), which is waiting" in summary


def test_a_task_of_a_group_is_named_after_its_key(bench: Bench) -> None:
    run_id = start_groups(bench, {"id": "g", "tasks": [echo() | {"key": "first"}, echo()]})
    assert [row.name for row in rows(bench, run_id).values()] == ["g", "first", "task_2"]


@pytest.mark.parametrize("named", ["tasks.x.result.message", "context.x.message"])
def test_a_key_stands_for_the_task_of_the_own_group_first(bench: Bench, named: str) -> None:
    reads = member("y", "{{ " + named + " }}", depends_on=["x"])
    groups = [
        {"id": name, "name": name, "tasks": [member("x", f"from {name}"), reads]} for name in ("one", "two", "three")
    ]
    run_id = start_groups(bench, *groups)
    drain(bench)
    assert {name: rows(bench, run_id)[f"{name}.y"].result["message"] for name in ("one", "two", "three")} == {
        "one": "from one",
        "two": "from two",
        "three": "from three",
    }
