"""Waits for time, conditions, signals and people, and for the runs of other workflows."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.domain.errors import Conflict, Forbidden, Invalid, InvalidDefinition
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import cancel, control_run, recover, review, start_run
from tests.conftest import Bench
from tests.integration.lifecycle.runs import (
    code,
    drain,
    failing,
    go,
    pass_time,
    register,
    retry,
    rows,
    shown,
    signal,
    start,
    statuses,
    sub_run,
    task,
    task_id,
    when,
)

LATER = "2999-01-01T00:00:00Z"


# Waits


def test_a_wait_for_seconds_ends_when_they_have_passed(bench: Bench) -> None:
    run_id = start(bench, [{"id": "w", "type": "wait", "seconds": 3600}, task("after")])
    drain(bench)
    assert statuses(bench, run_id) == {"w": "deferred", "after": "pending"}
    assert shown(bench, run_id)["status"] == "waiting"
    pass_time(bench)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"
    assert shown(bench, run_id)["results"]["w"] == {"waited": True}


def test_no_seconds_are_no_wait(bench: Bench) -> None:
    run = go(bench, [{"id": "w", "type": "wait", "seconds": 0}, task("after")])
    assert run["status"] == "completed"


def test_a_wait_until_a_time_that_a_template_gives(bench: Bench) -> None:
    run_id = start(bench, [{"id": "w", "type": "wait", "until": "{{ variables.at }}"}], variables={"at": LATER})
    drain(bench)
    assert rows(bench, run_id)["w"].run_at.isoformat() == "2999-01-01T00:00:00+00:00"
    pass_time(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_wait_until_a_time_that_has_passed_ends_with_the_next_tick(bench: Bench) -> None:
    run = go(bench, [{"id": "w", "type": "wait", "until": "2001-01-01T00:00:00Z"}])
    assert run["status"] == "completed"


def test_a_wait_until_something_that_is_no_time_fails(bench: Bench) -> None:
    run = go(bench, [task("a", "soon"), {"id": "w", "type": "wait", "until": "{{ tasks.a.result.message }}"}])
    assert (run["status"], code(bench, run["id"], "w")) == ("failed", "not_a_time")


def test_a_wait_for_a_condition_ends_when_a_signal_sets_the_field(bench: Bench) -> None:
    wait = {"id": "w", "type": "wait", "condition": when("context.approved", "equals", True)}
    run_id = start(bench, [wait, task("after", "{{ context.approved }}")], context={"approved": False})
    drain(bench)
    assert statuses(bench, run_id)["w"] == "waiting_input"
    assert shown(bench, run_id)["status"] == "waiting"
    signal(bench, run_id, context={"other": 1})
    assert statuses(bench, run_id)["w"] == "waiting_input"
    run = signal(bench, run_id, context={"approved": True})
    assert run["context"]["approved"] is True
    drain(bench)
    run = shown(bench, run_id)
    assert (run["status"], run["results"]) == ("completed", {"w": {"met": True}, "after": {"message": True}})


def test_a_wait_for_a_condition_ends_when_a_result_meets_it(bench: Bench) -> None:
    met = {"all": [when("tasks.other", "exists"), when("tasks.other.result.message", "equals", "done")]}
    run_id = start(bench, [{"id": "w", "type": "wait", "condition": met}, task("other", "done", depends_on=[])])
    assert statuses(bench, run_id)["w"] == "waiting_input"
    drain(bench)
    recover.watch_conditions(bench.engine)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_condition_that_holds_already_is_not_waited_for(bench: Bench) -> None:
    run = go(bench, [{"id": "w", "type": "wait", "condition": when("n", "equals", 1)}], context={"n": 1})
    assert run["status"] == "completed"


def test_a_wait_whose_condition_makes_no_sense_fails(bench: Bench) -> None:
    wait = {"id": "w", "type": "wait", "condition": when("context.n", "less_than", 3)}
    run_id = start(bench, [wait], context={"n": 5})
    assert statuses(bench, run_id)["w"] == "waiting_input"
    signal(bench, run_id, context={"n": "many"})
    assert code(bench, run_id, "w") == "condition_error"
    assert shown(bench, run_id)["status"] == "failed"


def test_a_signal_wakes_the_wait_for_it_and_leaves_its_data(bench: Bench) -> None:
    run_id = start(bench, [{"id": "w", "type": "wait", "signal": "go"}, task("after", "{{ tasks.w.result.data.x }}")])
    signal(bench, run_id, "other")
    assert statuses(bench, run_id)["w"] == "waiting_input"
    signal(bench, run_id, "go", data={"x": 7})
    drain(bench)
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert run["results"]["after"] == {"message": 7}
    given = run["results"]["w"]
    assert (given["signal"], given["data"], given["by"]) == ("go", {"x": 7}, bench.caller.name)
    assert given["at"] is not None


def test_signals_that_come_early_are_kept_for_the_waits_to_come_in_order(bench: Bench) -> None:
    waits: list[dict[str, Any]] = [{"id": name, "type": "wait", "signal": "go"} for name in ("w1", "w2")]
    run_id = start(bench, [task("first"), *waits])
    signal(bench, run_id, "go", data={"n": 1})
    signal(bench, run_id, "go", data={"n": 2})
    drain(bench)
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert [run["results"][name]["data"]["n"] for name in ("w1", "w2")] == [1, 2]


def test_one_signal_wakes_one_wait(bench: Bench) -> None:
    waits: list[dict[str, Any]] = [
        {"id": name, "type": "wait", "signal": "go", "depends_on": []} for name in ("w1", "w2")
    ]
    run_id = start(bench, waits)
    signal(bench, run_id, "go")
    assert statuses(bench, run_id) == {"w1": "completed", "w2": "waiting_input"}
    signal(bench, run_id, "go")
    assert shown(bench, run_id)["status"] == "completed"


def test_a_run_that_has_ended_takes_no_signals(bench: Bench) -> None:
    run = go(bench, [task("a")])
    with pytest.raises(Conflict, match="completed"):
        signal(bench, run["id"], "go")


def test_a_signal_that_says_nothing_is_refused(bench: Bench) -> None:
    run_id = start(bench, [task("a")])
    with pytest.raises(Invalid):
        signal(bench, run_id)


def test_a_signal_cannot_overwrite_a_result(bench: Bench) -> None:
    run_id = start(bench, [task("a"), {"id": "w", "type": "wait", "signal": "go"}])
    with pytest.raises(Invalid, match="a is a step"):
        signal(bench, run_id, context={"a": 1})


def approval(bench: Bench, *approvers: str, **more: Any) -> dict[str, Any]:
    named = list(approvers) or [bench.caller.name]
    return {
        "id": "ok",
        "type": "wait",
        "approval": {"approvers": named, "message": "{{ tasks.a.result.message }}?"},
    } | (more)


def test_an_approval_lets_the_run_go_on(bench: Bench) -> None:
    run_id = start(bench, [task("a", "ship it"), approval(bench), task("b", "{{ tasks.ok.result.notes }}")])
    drain(bench)
    assert statuses(bench, run_id)["ok"] == "waiting_input"
    review.approve(bench.engine, bench.caller, task_id(bench, run_id, "ok"), "looks fine")
    drain(bench)
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert run["results"]["b"] == {"message": "looks fine"}
    assert (run["results"]["ok"]["decision"], run["results"]["ok"]["by"]) == ("approved", bench.caller.name)


def test_a_rejection_fails_the_step_and_the_run(bench: Bench) -> None:
    run_id = start(bench, [task("a"), approval(bench), task("b")])
    drain(bench)
    review.reject(bench.engine, bench.caller, task_id(bench, run_id, "ok"), "too risky")
    assert statuses(bench, run_id) == {"a": "completed", "ok": "failed", "b": "skipped"}
    assert "too risky" in rows(bench, run_id)["ok"].last_error["message"]
    assert code(bench, run_id, "ok") == "rejected"
    assert shown(bench, run_id)["status"] == "failed"


def test_who_is_not_named_may_not_answer(bench: Bench) -> None:
    run_id = start(bench, [task("a"), approval(bench, "somebody else")])
    drain(bench)
    for answer in (review.approve, review.reject):
        with pytest.raises(Forbidden, match="somebody else"):
            answer(bench.engine, bench.caller, task_id(bench, run_id, "ok"), None)
    assert statuses(bench, run_id)["ok"] == "waiting_input"


def test_an_approval_is_answered_once_and_only_when_it_is_asked(bench: Bench) -> None:
    run_id = start(bench, [task("a"), approval(bench)])
    wait_id = task_id(bench, run_id, "ok")
    with pytest.raises(Conflict, match="pending"):
        review.approve(bench.engine, bench.caller, wait_id, None)
    drain(bench)
    review.approve(bench.engine, bench.caller, wait_id, None)
    with pytest.raises(Conflict, match="completed"):
        review.reject(bench.engine, bench.caller, wait_id, None)


@pytest.mark.parametrize("on_timeout", ["fail", "continue"])
def test_waits_that_take_too_long_fail_or_let_go(bench: Bench, on_timeout: str) -> None:
    forms = {
        "signal": "go",
        "condition": when("context.n", "equals", 2),
        "approval": {"approvers": ["somebody"]},
    }
    limit = {"type": "wait", "timeout_seconds": 60, "on_timeout": on_timeout, "depends_on": []}
    waits: list[dict[str, Any]] = [{"id": f"w_{form}", form: value} | limit for form, value in forms.items()]
    run_id = start(bench, [*waits, task("after", depends_on=[wait["id"] for wait in waits])], context={"n": 1})
    assert set(statuses(bench, run_id).values()) == {"waiting_input", "pending"}
    assert recover.end_overdue(bench.engine) == 0
    pass_time(bench)
    drain(bench)
    run = shown(bench, run_id)
    if on_timeout == "continue":
        assert run["status"] == "completed"
        assert all(run["results"][wait["id"]] == {"timed_out": True} for wait in waits)
    else:
        assert run["status"] == "failed"
        assert {code(bench, run_id, wait["id"]) for wait in waits} == {"timeout"}
        assert statuses(bench, run_id)["after"] == "skipped"


# Sub-runs


def test_a_workflow_step_runs_another_workflow_and_waits_for_it(bench: Bench) -> None:
    register(bench, "inner", [task("x", "{{ variables.n + 1 }} {{ variables.kept }}")], variables={"n": 0, "kept": "k"})
    step = {"id": "s", "type": "workflow", "workflow": "inner", "variables": {"n": "{{ tasks.a.result.message }}"}}
    run_id = start(bench, [task("a", 41), step, task("b", "{{ tasks.s.result.results.x.message }}")])
    drain(bench)
    inner = sub_run(bench, run_id, "s")
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert run["results"]["b"] == {"message": "42 k"}
    assert run["results"]["s"] == {
        "run_id": str(inner), "status": "completed", "results": {"x": {"message": "42 k"}},
    }  # fmt: skip
    found = shown(bench, inner)
    assert (found["workflow"], found["version"], found["variables"]) == ("inner", 1, {"n": 41, "kept": "k"})
    assert found["parent_task_id"] == task_id(bench, run_id, "s")


def test_a_sub_run_of_a_chosen_version(bench: Bench) -> None:
    register(bench, "inner", [task("x", "old")])
    register(bench, "inner", [task("x", "new")])
    steps = [{"id": f"s{v}", "type": "workflow", "workflow": "inner"} | v_ for v, v_ in ((1, {"version": 1}), (2, {}))]
    run = go(bench, steps)
    assert [run["results"][name]["results"]["x"]["message"] for name in ("s1", "s2")] == ["old", "new"]


def test_a_sub_run_that_fails_fails_its_step(bench: Bench) -> None:
    register(bench, "inner", [task("x"), failing("y")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("after")])
    assert run["status"] == "failed"
    assert code(bench, run["id"], "s") == "sub_run_failed"
    assert rows(bench, run["id"])["s"].result["results"] == {"x": {"message": "hello"}}
    assert statuses(bench, run["id"])["after"] == "skipped"


def test_a_workflow_that_is_gone_when_its_turn_comes_fails_the_step(bench: Bench) -> None:
    register(bench, "inner", [task("x")])
    run_id = start(bench, [task("a"), {"id": "s", "type": "workflow", "workflow": "inner"}])
    bench.sql("DELETE FROM workflows")
    drain(bench)
    assert (shown(bench, run_id)["status"], code(bench, run_id, "s")) == ("failed", "unknown_workflow")


def test_a_workflow_that_is_not_there_is_refused_at_the_start(bench: Bench) -> None:
    with pytest.raises(Invalid, match="nope"):
        start(bench, [{"id": "s", "type": "workflow", "workflow": "nope"}])
    assert bench.sql("SELECT FROM runs") == []


@pytest.mark.parametrize("version", [None, 2])
def test_a_variable_that_a_sub_run_does_not_declare_is_refused_at_the_start(bench: Bench, version: int | None) -> None:
    register(bench, "inner", [task("x")], variables={"dropped": 1})
    register(bench, "inner", [task("x")], variables={"kept": 1})
    step = {"id": "s", "type": "workflow", "workflow": "inner"}
    with pytest.raises(InvalidDefinition) as caught:
        start(bench, [step | {"version": version, "variables": {"kept": 2, "dropped": 2}}])
    [fault] = caught.value.errors
    assert (fault.loc, fault.type) == (("definition", "steps", 0, "variables", "dropped"), "undeclared_variable")
    assert bench.sql("SELECT FROM runs") == []
    assert go(bench, [step | {"version": 1, "variables": {"dropped": 2}}])["status"] == "completed"


def test_a_variable_that_is_no_longer_declared_when_its_step_begins_fails_the_step(bench: Bench) -> None:
    register(bench, "inner", [task("x")], variables={"dropped": 1})
    inner = {"id": "s", "type": "workflow", "workflow": "inner", "variables": {"dropped": 2}}
    run_id = start(bench, [task("a"), inner])
    register(bench, "inner", [task("x")])
    drain(bench)
    assert shown(bench, run_id)["status"] == "failed"
    assert "dropped" in rows(bench, run_id)["s"].last_error["message"]


def test_runs_that_start_themselves_end_at_a_depth(bench: Bench) -> None:
    register(bench, "other", [task("x")])
    register(bench, "again", [{"id": "s", "type": "workflow", "workflow": "other"}])
    register(bench, "other", [{"id": "s", "type": "workflow", "workflow": "again"}])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "again"}])
    assert run["status"] == "failed"
    found = bench.sql("SELECT status, depth FROM runs ORDER BY depth")
    assert [row.depth for row in found] == list(range(11))
    assert {row.status for row in found} == {"failed"}
    [deepest] = bench.sql("SELECT last_error FROM tasks WHERE last_error ->> 'code' = 'runs_too_deep'")
    assert "10" in deepest.last_error["message"]


def test_cancelling_a_run_cancels_the_runs_below_it(bench: Bench) -> None:
    register(bench, "lowest", [task("x"), {"id": "w", "type": "wait", "signal": "go"}])
    register(bench, "inner", [{"id": "s", "type": "workflow", "workflow": "lowest"}, task("after")])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("after")])
    drain(bench)
    inner = sub_run(bench, run_id, "s")
    lowest = sub_run(bench, inner, "s")
    assert [shown(bench, one)["status"] for one in (run_id, inner, lowest)] == ["waiting"] * 3
    control_run.cancel(bench.engine, bench.caller, run_id, "enough")
    found = [shown(bench, one) for one in (run_id, inner, lowest)]
    assert [one["status"] for one in found] == ["cancelled"] * 3
    assert shown(bench, lowest)["partial_results"] == {"x": {"message": "hello"}}
    assert bench.sql("SELECT FROM tasks WHERE completed_at IS NULL") == []


def test_cancelling_a_sub_run_fails_the_step_that_waits_for_it(bench: Bench) -> None:
    register(bench, "inner", [{"id": "w", "type": "wait", "signal": "go"}])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("after")])
    control_run.cancel(bench.engine, bench.caller, sub_run(bench, run_id, "s"), None)
    assert statuses(bench, run_id) == {"s": "failed", "after": "skipped"}
    assert shown(bench, run_id)["status"] == "failed"


def test_a_sub_run_whose_time_is_up_fails_its_step(bench: Bench) -> None:
    register(bench, "inner", [{"id": "w", "type": "wait", "signal": "go"}])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner", "timeout_seconds": 60}])
    inner = sub_run(bench, run_id, "s")
    pass_time(bench)
    assert shown(bench, inner)["status"] == "cancelled"
    assert shown(bench, run_id)["status"] == "failed"
    assert code(bench, run_id, "s") == "timeout"


def test_a_run_keeps_the_version_that_it_started_with(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": [1, 2], "steps": [task("x", "old {{ item }}")]}
    register(bench, "nightly", [loop])
    run = start_run.start(bench.engine, bench.caller, RunSpec(workflow="nightly"))
    register(bench, "nightly", [task("x", "new")])
    drain(bench)
    found = shown(bench, run["id"])
    assert found["version"] == 1
    assert [round_["x"]["message"] for round_ in found["results"]["l"]["results"]] == ["old 1", "old 2"]
    again = start_run.start(bench.engine, bench.caller, RunSpec(workflow="nightly"))
    assert again["version"] == 2
    retry(bench, run["id"], **{"from": "l"})
    drain(bench)
    assert shown(bench, run["id"])["results"]["l"]["results"][0]["x"]["message"] == "old 1"


def test_cancelling_a_workflow_step_cancels_its_run(bench: Bench) -> None:
    register(bench, "inner", [task("x"), {"id": "w", "type": "wait", "signal": "go"}])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("after")])
    drain(bench)
    cancel.cancel(bench.engine, bench.caller, task_id(bench, run_id, "s"), "not this one")
    assert shown(bench, sub_run(bench, run_id, "s"))["status"] == "cancelled"
    assert statuses(bench, run_id) == {"s": "cancelled", "after": "skipped"}
    assert shown(bench, run_id)["status"] == "failed"
