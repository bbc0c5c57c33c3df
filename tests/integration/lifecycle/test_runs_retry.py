"""Runs that go on from what failed, or from a chosen step: what succeeded is kept."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Conflict, Invalid
from taskengine.domain.outcome import Cancelled
from taskengine.domain.task import TaskChanges
from taskengine.domain.workflow import SignalSpec
from taskengine.lifecycle import cancel, control, control_run, edit, expand, review
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import take
from tests.integration.lifecycle.runs import (
    FAILING,
    children,
    code,
    drain,
    echo,
    failing,
    flaky,
    go,
    log,
    member,
    pass_time,
    register,
    retry,
    rows,
    shown,
    start,
    start_groups,
    statuses,
    sub_run,
    task,
    task_id,
    when,
    work_once,
)

FROM = "from"


def attempts(bench: Bench, run_id: UUID) -> dict[str, int]:
    """How many attempts each task of a run has had."""
    return {path: row.attempt for path, row in rows(bench, run_id).items() if row.kind == "task"}


def again(bench: Bench, run_id: UUID, **spec: Any) -> dict[str, Any]:
    """Retry, work off, and show."""
    retry(bench, run_id, **spec)
    drain(bench)
    return shown(bench, run_id)


def test_a_retry_goes_on_from_what_failed_and_keeps_what_succeeded(bench: Bench) -> None:
    run = go(bench, [task("a"), flaky("b"), task("c", "{{ tasks.b.result.message }}"), task("d", depends_on=["a"])])
    assert run["status"] == "failed"
    after = retry(bench, run["id"])
    assert (after["status"], after["error"], after["completed_at"]) == ("running", None, None)
    assert drain(bench) == [["b"], ["c"]]
    run = shown(bench, run["id"])
    assert run["status"] == "completed"
    assert attempts(bench, run["id"]) == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert run["results"]["c"] == {"message": "b at last"}
    assert run["partial_results"] is None
    told = [item["type"] for item in log(bench, run["id"]) if item["type"].startswith("run.")]
    assert told == ["run.started", "run.failed", "run.retried", "run.completed"]


def test_a_clean_up_that_ran_is_done_again_with_what_it_cleans_up_after(bench: Bench) -> None:
    run = go(bench, [flaky("a"), task("on_failure", run_on="failure"), task("always", run_on="always")])
    assert statuses(bench, run["id"]) == {"a": "failed", "on_failure": "completed", "always": "completed"}
    run = again(bench, run["id"])
    assert statuses(bench, run["id"]) == {"a": "completed", "on_failure": "skipped", "always": "completed"}
    assert (run["status"], attempts(bench, run["id"])["always"]) == ("completed", 2)


def test_a_retry_may_fail_again_and_be_tried_again(bench: Bench) -> None:
    run = go(bench, [flaky("a", 2), task("b")])
    assert again(bench, run["id"])["status"] == "failed"
    assert again(bench, run["id"])["status"] == "completed"
    assert attempts(bench, run["id"]) == {"a": 3, "b": 1}


def test_a_retry_from_a_step_does_it_and_what_follows_again(bench: Bench) -> None:
    run = go(bench, [task("a"), task("b"), task("c"), task("side", depends_on=["a"])])
    retry(bench, run["id"], **{FROM: "b"})
    assert statuses(bench, run["id"]) == {"a": "completed", "b": "queued", "c": "pending", "side": "completed"}
    drain(bench)
    assert shown(bench, run["id"])["status"] == "completed"
    assert attempts(bench, run["id"]) == {"a": 1, "b": 2, "c": 2, "side": 1}


def test_a_retry_inside_a_container_reopens_it(bench: Bench) -> None:
    line = {"id": "s", "type": "sequential", "steps": [task("x"), flaky("y"), task("z")]}
    run = go(bench, [{"id": "p", "type": "parallel", "steps": [line, task("other")]}, task("after")])
    assert run["status"] == "failed"
    retry(bench, run["id"])
    assert statuses(bench, run["id"]) == {
        "p": "running", "p.s": "running", "p.s.x": "completed", "p.s.y": "queued", "p.s.z": "pending",
        "p.other": "completed", "after": "pending",
    }  # fmt: skip
    drain(bench)
    assert shown(bench, run["id"])["status"] == "completed"
    assert attempts(bench, run["id"]) == {"p.s.x": 1, "p.s.y": 2, "p.s.z": 1, "p.other": 1, "after": 1}
    assert shown(bench, run["id"])["results"]["p"]["s"]["y"] == {"message": "y at last"}


def test_a_retry_in_a_container_that_runs_few_at_once(bench: Bench) -> None:
    steps = [flaky("x"), flaky("y"), task("z")]
    run = go(bench, [{"id": "p", "type": "parallel", "max_parallel": 1, "steps": steps}])
    retry(bench, run["id"])
    assert drain(bench) == [["p.x"], ["p.y"]]
    assert shown(bench, run["id"])["status"] == "completed"


def test_a_retry_of_a_container_does_all_in_it_again(bench: Bench) -> None:
    run = go(bench, [{"id": "p", "type": "parallel", "steps": [task("x"), task("y")]}, task("after")])
    run = again(bench, run["id"], **{FROM: "p"})
    assert run["status"] == "completed"
    assert attempts(bench, run["id"]) == {"p.x": 2, "p.y": 2, "after": 2}


def test_a_retry_decides_a_branch_anew(bench: Bench) -> None:
    choice = {
        "id": "c",
        "type": "conditional",
        "condition": when("tasks.a.result.message", "equals", "then"),
        "then": [task("yes")],
        "else": [task("no")],
    }
    run = go(bench, [task("a", "then"), choice])
    assert statuses(bench, run["id"])["c.yes"] == "completed"
    run = again(bench, run["id"], **{FROM: "a", "overrides": {"a": {"message": "else"}}})
    assert statuses(bench, run["id"]) == {
        "a": "completed", "c": "completed", "c.yes": "skipped", "c.no": "completed",
    }  # fmt: skip
    assert run["results"]["c"] == {"branch": "else", "results": {"no": {"message": "hello"}}}


# Overrides and outputs


def test_a_retry_may_bring_another_config(bench: Bench) -> None:
    run = go(bench, [task("a"), failing("b"), task("c", "{{ tasks.b.result.message }}")])
    run = again(bench, run["id"], overrides={"b": {"message": "{{ tasks.a.result.message }} repaired"}})
    assert run["status"] == "completed"
    assert run["results"]["c"] == {"message": "hello repaired"}
    told = [item["data"] for item in log(bench, run["id"]) if item["type"] == "run.overridden"]
    assert told == [{"key": "b", "by": bench.caller.name}]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"b": {"fail_times": "many"}}, "valid integer"),
        ({"b": {"nope": 1}}, "not permitted"),
        ({"a": {"message": 1}}, "not done again"),
        ({"zzz": {"message": 1}}, "no step 'zzz'"),
        ({"p": {"message": 1}}, "only tasks have a config"),
    ],
)
def test_an_override_that_does_not_fit_changes_nothing(bench: Bench, overrides: dict[str, Any], words: str) -> None:
    run = go(bench, [task("a"), {"id": "p", "type": "parallel", "steps": [failing("b")]}, task("c")])
    before = statuses(bench, run["id"])
    with pytest.raises(Invalid, match=words) as caught:
        retry(bench, run["id"], **({FROM: "p"} if "p" in overrides else {}), overrides=overrides)
    if "b" in overrides:
        assert caught.value.errors[0].loc == ("overrides", "b", next(iter(overrides["b"])))
    assert statuses(bench, run["id"]) == before
    assert shown(bench, run["id"])["status"] == "failed"


def test_a_supplied_result_stands_in_for_running(bench: Bench) -> None:
    run = go(bench, [task("a"), failing("b"), task("c", "{{ tasks.b.result.rows | sum }}")])
    retry(bench, run["id"], outputs={"b": {"rows": [1, 2]}})
    assert drain(bench) == [["c"]]
    run = shown(bench, run["id"])
    assert run["status"] == "completed"
    assert run["results"] == {"a": {"message": "hello"}, "b": {"rows": [1, 2]}, "c": {"message": 3}}
    assert run["context"]["b"] == {"rows": [1, 2]}


def test_a_result_may_be_supplied_in_place_of_one_that_stands(bench: Bench) -> None:
    run = go(bench, [task("a", 1), task("b", "{{ tasks.a.result.message }}")])
    run = again(bench, run["id"], outputs={"a": {"message": 2}})
    assert run["results"] == {"a": {"message": 2}, "b": {"message": 2}}


@pytest.mark.parametrize("kind", ["parallel", "wait", "expansion", "workflow", "loop"])
def test_a_result_may_be_supplied_for_a_step_of_any_kind(bench: Bench, kind: str) -> None:
    register(bench, "inner", [failing("inside")])
    config = {"type": "array", "array_mapping": {"n": [1, 2]}}
    steps: dict[str, dict[str, Any]] = {
        "parallel": {"type": "parallel", "steps": [failing("x"), task("y")]},
        "loop": {"type": "loop", "for_each": [1, 2], "steps": [failing("x")]},
        "wait": {"type": "wait", "signal": "go", "timeout_seconds": 60},
        "expansion": {"type": "task", "task": FAILING | {"expansion_config": config}},
        "workflow": {"type": "workflow", "workflow": "inner"},
    }
    run_id = start(bench, [{"id": "s"} | steps[kind], task("after", "{{ tasks.s.result.given }}")])
    drain(bench)
    pass_time(bench)
    assert shown(bench, run_id)["status"] == "failed"
    run = again(bench, run_id, outputs={"s": {"given": 7}})
    assert run["status"] == "completed"
    assert (run["results"]["s"], run["results"]["after"]) == ({"given": 7}, {"message": 7})
    assert bench.sql("SELECT FROM tasks WHERE completed_at IS NULL") == []


# Conflicts


def test_where_nothing_failed_there_is_nothing_to_retry(bench: Bench) -> None:
    run = go(bench, [task("a")])
    with pytest.raises(Conflict, match="from"):
        retry(bench, run["id"])
    with pytest.raises(Invalid, match="no step 'zzz'"):
        retry(bench, run["id"], **{FROM: "zzz"})
    assert shown(bench, run["id"])["status"] == "completed"


def test_what_is_still_at_work_is_not_done_again(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b")])
    drain_first = take(bench, task_id(bench, run_id, "a"))
    assert len(drain_first) == 1
    with pytest.raises(Conflict, match="not finished"):
        retry(bench, run_id, **{FROM: "a"})
    assert statuses(bench, run_id) == {"a": "running", "b": "pending"}


def test_a_run_that_still_runs_may_retry_what_failed(bench: Bench) -> None:
    run_id = start(bench, [flaky("a"), task("after"), {"id": "w", "type": "wait", "signal": "go", "depends_on": []}])
    drain(bench)
    assert statuses(bench, run_id) == {"a": "failed", "after": "skipped", "w": "waiting_input"}
    retry(bench, run_id)
    drain(bench)
    assert statuses(bench, run_id) == {"a": "completed", "after": "completed", "w": "waiting_input"}


# Expansions


def broken_expansion(fail: str = "{{ 1 if n == 2 else 0 }}", **more: Any) -> dict[str, Any]:
    config = {"type": "array", "array_mapping": {"n": [1, 2, 3]}} | more
    made = {"type": "echo", "config": {"message": "{{ n }}", "fail_times": fail}, "max_retries": 0}
    return {"id": "x", "type": "task", "task": made | {"expansion_config": config}}


def test_only_the_failed_children_of_an_expansion_are_done_again(bench: Bench) -> None:
    run = go(bench, [broken_expansion(), task("after", "{{ tasks.x.result | length }}")])
    assert run["status"] == "failed"
    retry(bench, run["id"])
    assert drain(bench) == [["2"], ["after"]]
    run = shown(bench, run["id"])
    assert run["status"] == "completed"
    parent = task_id(bench, run["id"], "x")
    assert [row.attempt for row in children(bench, parent)] == [1, 2, 1]
    assert [entry["result"]["message"] for entry in run["results"]["x"]] == [1, 2, 3]
    assert run["results"]["after"] == {"message": 3}


def test_children_that_fail_fast_cancelled_are_done_again_as_well(bench: Bench) -> None:
    run = go(bench, [broken_expansion("{{ 1 if n == 1 else 0 }}", fail_fast=True, max_parallel=1)])
    retry(bench, run["id"])
    assert drain(bench) == [["1"], ["2"], ["3"]]
    assert shown(bench, run["id"])["status"] == "completed"


def test_another_config_of_an_expansion_is_its_failed_childrens(bench: Bench) -> None:
    run = go(bench, [broken_expansion("{{ 5 if n == 2 else 0 }}")])
    run = again(bench, run["id"], overrides={"x": {"message": "{{ n }} repaired"}})
    assert run["status"] == "completed"
    assert [entry["result"]["message"] for entry in run["results"]["x"]] == [1, "2 repaired", 3]


def test_a_retry_from_an_expansion_makes_its_children_anew(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": "tasks.a.result.message"}}
    steps = [task("a", [1, 2]), {"id": "x", "type": "task", "task": echo("{{ n }}") | {"expansion_config": config}}]
    run = go(bench, steps)
    run = again(bench, run["id"], **{FROM: "a", "overrides": {"a": {"message": [7]}}})
    assert run["status"] == "completed"
    assert [entry["result"]["message"] for entry in run["results"]["x"]] == [7]
    assert len(children(bench, task_id(bench, run["id"], "x"))) == 1
    assert run["progress"]["total"] == 3


# Loops


def test_a_retry_of_a_failed_round_goes_on_with_the_rounds_after_it(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": [1, 2, 3], "steps": [flaky("x"), task("y", "{{ item }}")]}
    run = go(bench, [loop, task("after")])
    assert statuses(bench, run["id"])["l[0].x"] == "failed"
    run = again(bench, run["id"])
    assert statuses(bench, run["id"])["l[0].y"] == "completed"
    assert statuses(bench, run["id"])["l[1].x"] == "failed"
    run = again(bench, run["id"])
    run = again(bench, run["id"])
    assert run["status"] == "completed"
    assert [round_["y"]["message"] for round_ in run["results"]["l"]["results"]] == [1, 2, 3]
    assert run["results"]["l"]["iterations"] == 3


def test_a_retry_from_a_loop_begins_it_anew(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": "tasks.a.result.message", "steps": [task("x", "{{ item }}")]}
    run = go(bench, [task("a", [1, 2]), loop, task("after")])
    run = again(bench, run["id"], **{FROM: "l"})
    assert run["status"] == "completed"
    run = again(bench, run["id"], outputs={"a": {"message": [9]}})
    assert [round_["x"]["message"] for round_ in run["results"]["l"]["results"]] == [9]
    assert [path for path in statuses(bench, run["id"]) if path.startswith("l[")] == ["l[0]", "l[0].x"]
    assert attempts(bench, run["id"]) == {"a": 1, "l[0].x": 1, "after": 3}


def test_a_retry_may_name_a_step_of_one_round_by_its_path(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": [1, 2], "max_parallel": 2, "steps": [task("x"), task("y")]}
    run = go(bench, [loop])
    run = again(bench, run["id"], **{FROM: "l[0].x"})
    assert run["status"] == "completed"
    assert attempts(bench, run["id"]) == {"l[0].x": 2, "l[0].y": 2, "l[1].x": 1, "l[1].y": 1}


# Waits and sub-runs


def test_a_rejected_approval_is_asked_again(bench: Bench) -> None:
    ok = {"id": "ok", "type": "wait", "approval": {"approvers": [bench.caller.name]}}
    run_id = start(bench, [task("a"), ok, task("b")])
    drain(bench)
    review.reject(bench.engine, bench.caller, task_id(bench, run_id, "ok"), "no")
    assert shown(bench, run_id)["status"] == "failed"
    retry(bench, run_id)
    assert statuses(bench, run_id)["ok"] == "waiting_input"
    review.approve(bench.engine, bench.caller, task_id(bench, run_id, "ok"), None)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_retry_goes_on_in_the_sub_run_that_failed(bench: Bench) -> None:
    register(bench, "inner", [task("x"), flaky("y")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("after")])
    inner = sub_run(bench, run["id"], "s")
    assert (run["status"], shown(bench, inner)["status"]) == ("failed", "failed")
    retry(bench, run["id"])
    assert drain(bench) == [["y"], ["after"]]
    assert [shown(bench, one)["status"] for one in (run["id"], inner)] == ["completed", "completed"]
    assert sub_run(bench, run["id"], "s") == inner


def test_a_retry_of_a_sub_run_takes_the_run_above_along(bench: Bench) -> None:
    register(bench, "inner", [task("x"), flaky("y")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("after")])
    inner = sub_run(bench, run["id"], "s")
    retry(bench, inner)
    assert statuses(bench, run["id"]) == {"s": "running", "after": "pending"}
    drain(bench)
    assert [shown(bench, one)["status"] for one in (run["id"], inner)] == ["completed", "completed"]
    assert statuses(bench, run["id"]) == {"s": "completed", "after": "completed"}


def test_a_retry_from_a_workflow_step_starts_a_run_anew(bench: Bench) -> None:
    register(bench, "inner", [task("x")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}])
    first = sub_run(bench, run["id"], "s")
    run = again(bench, run["id"], **{FROM: "s"})
    assert run["status"] == "completed"
    assert sub_run(bench, run["id"], "s") != first


def test_a_failed_sub_run_and_a_failed_step_are_retried_together(bench: Bench) -> None:
    register(bench, "inner", [flaky("x")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, flaky("b", depends_on=[])])
    run = again(bench, run["id"])
    assert run["status"] == "completed"


def test_a_sub_run_that_is_retried_with_others_is_not_if_its_result_is_supplied(bench: Bench) -> None:
    register(bench, "inner", [flaky("x")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, flaky("b", depends_on=[])])
    inner = sub_run(bench, run["id"], "s")
    run = again(bench, run["id"], outputs={"s": {"given": 7}})
    assert (run["status"], run["results"]["s"]) == ("completed", {"given": 7})
    assert shown(bench, inner)["status"] == "failed"


def test_an_override_beside_nothing_but_a_failed_sub_run_is_refused(bench: Bench) -> None:
    register(bench, "inner", [flaky("x")])
    run = go(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}])
    with pytest.raises(Invalid, match="no step 'x'"):
        retry(bench, run["id"], overrides={"x": {"message": 1}})


# What else ended a run


def test_a_cancelled_run_goes_on(bench: Bench) -> None:
    parallel = {"id": "p", "type": "parallel", "steps": [task("x"), task("y")]}
    run_id = start(bench, [task("a"), parallel, {"id": "w", "type": "wait", "seconds": 60}])
    bench.work(task_id(bench, run_id, "a"))
    control_run.cancel(bench.engine, bench.caller, run_id, "enough")
    assert shown(bench, run_id)["status"] == "cancelled"
    run = again(bench, run_id)
    assert statuses(bench, run_id) == {
        "a": "completed", "p": "completed", "p.x": "completed", "p.y": "completed", "w": "deferred",
    }  # fmt: skip
    assert (run["status"], run["cancel_reason"]) == ("waiting", None)
    pass_time(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_run_whose_time_was_up_gets_its_time_again(bench: Bench) -> None:
    run_id = start(bench, [task("a"), {"id": "w", "type": "wait", "signal": "go"}], timeout_seconds=60)
    drain(bench)
    pass_time(bench)
    assert shown(bench, run_id)["error"]["code"] == "timeout"
    run = retry(bench, run_id)
    assert (run["status"], run["error"]) == ("waiting", None)
    [row] = bench.sql("SELECT times_out_at > now() AS later FROM runs")
    assert row.later


def test_a_step_whose_time_was_up_gets_its_time_again(bench: Bench) -> None:
    step = {"id": "p", "type": "parallel", "timeout_seconds": 60, "steps": [task("x"), task("y")]}
    run_id = start(bench, [step])
    bench.work(task_id(bench, run_id, "p.x"))
    pass_time(bench)
    assert shown(bench, run_id)["status"] == "failed"
    run = again(bench, run_id)
    assert run["status"] == "completed"
    assert attempts(bench, run_id) == {"p.x": 1, "p.y": 1}


def test_groups_go_on_from_what_failed(bench: Bench) -> None:
    bad = member("b") | {"config": {"fail_times": 1}, "max_retries": 0}
    run_id = start_groups(
        bench,
        {"id": "g1", "tasks": [member("a"), bad]},
        {"id": "g2", "depends_on": ["g1"], "tasks": [member("c"), member("d", depends_on=["g1.a"])]},
    )
    drain(bench)
    assert shown(bench, run_id)["status"] == "failed"
    run = again(bench, run_id)
    assert run["status"] == "completed"
    assert attempts(bench, run_id) == {"g1.a": 1, "g1.b": 2, "g2.c": 1, "g2.d": 1}


def test_a_task_of_a_run_is_retried_by_itself_with_what_follows(bench: Bench) -> None:
    run = go(bench, [flaky("a"), task("b"), failing("c", depends_on=[])])
    control.retry(bench.engine, bench.caller, task_id(bench, run["id"], "a"))
    drain(bench)
    assert statuses(bench, run["id"]) == {"a": "completed", "b": "completed", "c": "failed"}
    assert shown(bench, run["id"])["status"] == "failed"


def test_a_cancelled_task_of_a_run_is_retried_with_the_run(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b")])
    cancel.cancel(bench.engine, bench.caller, task_id(bench, run_id, "a"), None)
    assert shown(bench, run_id)["status"] == "failed"
    assert again(bench, run_id)["status"] == "completed"


# What a retry must not do


REVIEWED = {"id": "a", "type": "task", "task": echo() | {"requires_human_review": True}}


@pytest.mark.parametrize("by", ["run", "task"])
def test_what_a_reviewer_rejected_waits_for_another_review(bench: Bench, by: str) -> None:
    run_id = start(bench, [REVIEWED, task("b")])
    a = task_id(bench, run_id, "a")
    review.reject(bench.engine, bench.caller, a, "no")
    drain(bench)
    retry(bench, run_id) if by == "run" else control.retry(bench.engine, bench.caller, a)
    assert drain(bench) == []
    assert (bench.task(a)["status"], bench.task(a)["review"]) == ("pending", None)
    review.approve(bench.engine, bench.caller, a, None)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_what_was_approved_is_not_asked_for_again(bench: Bench) -> None:
    reviewed = flaky("a")
    reviewed["task"] |= {"requires_human_review": True}
    run_id = start(bench, [reviewed])
    review.approve(bench.engine, bench.caller, task_id(bench, run_id, "a"), None)
    drain(bench)
    assert shown(bench, run_id)["status"] == "failed"
    assert again(bench, run_id)["status"] == "completed"


def test_an_approval_ends_with_the_config_that_was_approved(bench: Bench) -> None:
    reviewed = flaky("a")
    reviewed["task"] |= {"requires_human_review": True}
    run_id = start(bench, [reviewed])
    a = task_id(bench, run_id, "a")
    review.approve(bench.engine, bench.caller, a, None)
    drain(bench)
    retry(bench, run_id, overrides={"a": {"message": "another"}})
    assert drain(bench) == []
    assert (bench.task(a)["status"], bench.task(a)["review"]) == ("pending", None)
    review.approve(bench.engine, bench.caller, a, None)
    drain(bench)
    assert bench.task(a)["result"] == {"message": "another"}


@pytest.mark.parametrize("how", ["changed", "overridden"])
def test_an_approval_of_an_expansion_ends_with_its_config(bench: Bench, how: str) -> None:
    over = {"expansion_config": {"type": "array", "array_mapping": {"n": [1]}}, "requires_human_review": True}
    run_id = start(bench, [task("a"), {"id": "x", "type": "task", "task": echo("{{ n }}") | over}])
    x = task_id(bench, run_id, "x")
    review.approve(bench.engine, bench.caller, x, None)
    if how == "changed":
        edit.update(bench.engine, bench.caller, x, TaskChanges(config={"message": "another"}))
        drain(bench)
    else:
        drain(bench)
        again(bench, run_id, **{FROM: "a"}, overrides={"x": {"message": "another"}})
    assert (bench.task(x)["status"], bench.task(x)["review"]) == ("pending", None)
    review.approve(bench.engine, bench.caller, x, None)
    drain(bench)
    assert [row.result for row in children(bench, x)] == [{"message": "another"}]


@pytest.mark.parametrize("kind", ["expansion", "workflow"])
def test_what_a_dropped_round_made_stays_history(bench: Bench, kind: str) -> None:
    register(bench, "inner", [failing("in")])
    over = {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2]}}}
    steps = {
        "expansion": {"id": "x", "type": "task", "task": FAILING | over},
        "workflow": {"id": "x", "type": "workflow", "workflow": "inner"},
    }
    run_id = start(bench, [{"id": "l", "type": "loop", "for_each": [1], "steps": [steps[kind]]}])
    drain(bench)
    x = task_id(bench, run_id, "l[0].x")
    old_run = sub_run(bench, run_id, "l[0].x") if kind == "workflow" else None
    old = children(bench, x)[0].id if old_run is None else x
    retry(bench, run_id, **{FROM: "l"})
    drain(bench)
    assert shown(bench, run_id)["status"] == "failed"
    with pytest.raises(Conflict, match="done again since"):
        retry(bench, old_run) if old_run is not None else control.retry(bench.engine, bench.caller, old)
    assert shown(bench, run_id)["status"] == "failed"
    assert bench.sql("SELECT FROM outbox") == []


def test_a_dependent_that_was_let_go_gives_its_place_back(bench: Bench) -> None:
    then = {"id": "y", "type": "task", "task": echo() | {"requires_human_review": True}}
    inside = [flaky("x"), then | {"run_on": "always", "depends_on": ["x"]}]
    run_id = start(bench, [{"id": "p", "type": "parallel", "max_parallel": 1, "steps": inside}])
    drain(bench)
    control.retry(bench.engine, bench.caller, task_id(bench, run_id, "p.x"))
    drain(bench)
    assert statuses(bench, run_id) == {"p": "running", "p.x": "completed", "p.y": "pending"}
    review.approve(bench.engine, bench.caller, task_id(bench, run_id, "p.y"), None)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_an_older_run_of_a_step_cannot_go_on_in_the_place_of_the_newer_one(bench: Bench) -> None:
    register(bench, "inner", [{"id": "w", "type": "wait", "signal": "go"}, task("st")])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}, task("z")])
    older = sub_run(bench, run_id, "s")
    control_run.signal(bench.engine, bench.caller, older, SignalSpec(signal="go"))
    drain(bench)
    retry(bench, run_id, **{FROM: "s"})
    drain(bench)
    newer = sub_run(bench, run_id, "s")
    with pytest.raises(Conflict, match=str(newer)):
        retry(bench, older, **{FROM: "st"})
    assert shown(bench, older)["status"] == "completed"
    control_run.signal(bench.engine, bench.caller, newer, SignalSpec(signal="go"))
    drain(bench)
    run = shown(bench, run_id)
    assert (run["status"], run["results"]["s"]["run_id"]) == ("completed", str(newer))


@pytest.mark.parametrize("by", ["run", "task", "outputs"])
def test_a_branch_that_was_not_taken_is_not_gone_on_from(bench: Bench, by: str) -> None:
    branches = {"then": [task("yes")], "else": [task("no")]}
    step = {"id": "c", "type": "conditional", "condition": when("variables.x", "equals", 1)} | branches
    run_id = start(bench, [step], variables={"x": 1})
    drain(bench)
    with pytest.raises(Conflict, match="did not choose"):
        match by:
            case "run":
                retry(bench, run_id, **{FROM: "no"})
            case "task":
                control.retry(bench.engine, bench.caller, task_id(bench, run_id, "c.no"))
            case _:
                retry(bench, run_id, outputs={"no": 1})
    assert shown(bench, run_id)["results"]["c"] == {"branch": "then", "results": {"yes": {"message": "hello"}}}


# Expansions that stopped while their children were being made


def many(config: dict[str, Any], message: Any = "{{ n }}", **more: Any) -> dict[str, Any]:
    """A step with more children than are made at once."""
    spec = {"type": "echo", "config": {"message": message, **more}, "max_retries": 0, "expansion_config": config}
    return {"id": "x", "type": "task", "task": spec}


def test_an_expansion_that_gave_up_while_it_made_children_makes_the_rest(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": list(range(2_500))}, "fail_fast": True, "output_format": "single"}
    run_id = start(bench, [many(config, fail_times="{{ 1 if n == 0 else 0 }}")])
    work_once(bench)
    drain(bench)
    assert shown(bench, run_id)["status"] == "failed"
    assert len(children(bench, task_id(bench, run_id, "x"))) == 1_000
    run = again(bench, run_id)
    assert run["status"] == "completed"
    assert run["results"]["x"]["summary"]["completed"] == 2_500


def test_a_child_that_cannot_be_made_is_met_again(bench: Bench) -> None:
    config = {
        "type": "custom",
        "transform_rules": {"combine": ["v"]},
        "validation": {"properties": {"v": {"maximum": 2_400}}},
    }
    step = many(config, "{{ v }}", fail_times="{{ 1 if v == 7 else 0 }}")
    step["task"]["input"] = {"data": {"v": list(range(1, 2_501))}}
    run_id = start(bench, [step])
    drain(bench)
    assert shown(bench, run_id)["status"] == "failed"
    run = again(bench, run_id)
    assert run["status"] == "failed"
    assert rows(bench, run_id)["x"].last_error["code"] == "invalid_child"
    assert {row.status for row in children(bench, task_id(bench, run_id, "x"))} == {"completed"}


def test_a_step_whose_time_is_up_makes_no_further_children(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": list(range(2_500))}}
    run_id = start(bench, [{"id": "p", "type": "parallel", "timeout_seconds": 50, "steps": [many(config)]}])
    x = task_id(bench, run_id, "p.x")
    claimed = take(bench, *[row.id for row in children(bench, x)[:1]])
    pass_time(bench)
    expand.go_on(bench.engine, x)
    assert len(children(bench, x)) == 1_000
    finish(bench.engine, [Ended(item, Cancelled("told to stop")) for item in claimed])
    drain(bench)
    assert code(bench, run_id, "p") == "timeout"
    assert again(bench, run_id)["status"] == "completed"
    assert len(children(bench, task_id(bench, run_id, "p.x"))) == 2_500
