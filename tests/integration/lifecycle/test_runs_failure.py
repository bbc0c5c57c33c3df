"""What follows when something in a run fails, is cancelled, or takes too long."""

from __future__ import annotations

import threading
from typing import Any, NoReturn
from uuid import UUID

import pytest

from taskengine.domain.outcome import Cancelled, Outcome
from taskengine.handlers.base import Context
from taskengine.lifecycle import cancel, recover
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended
from taskengine.store.cipher import Cipher, new_key
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import Probe, ProbeConfig, take
from tests.integration.lifecycle.runs import (
    FAILING,
    code,
    drain,
    failing,
    go,
    member,
    pass_time,
    rows,
    shown,
    start,
    start_groups,
    statuses,
    task,
    task_id,
    when,
    work_once,
)
from tests.integration.lifecycle.test_outages import failing as cut


def cancelled(bench: Bench, *claimed: Any) -> None:
    """Let attempts end as their worker ends them after a cancel."""
    finish(bench.engine, [Ended(item, Cancelled("stopped")) for item in claimed])


# Skips, and the steps that clean up


def test_what_comes_after_a_failure_is_skipped_with_the_reason(bench: Bench) -> None:
    run = go(bench, [task("a"), failing("b"), task("c"), task("d"), task("free", depends_on=["a"])])
    assert run["status"] == "failed"
    assert statuses(bench, run["id"]) == {
        "a": "completed", "b": "failed", "c": "skipped", "d": "skipped", "free": "completed",
    }  # fmt: skip
    found = rows(bench, run["id"])
    assert found["c"].last_error["code"] == "upstream_failed"
    assert found["c"].last_error["details"] == {"task_id": str(found["b"].id), "status": "failed"}
    assert found["d"].last_error["details"] == {"task_id": str(found["c"].id), "status": "skipped"}
    assert run["error"]["code"] == "step_failed"
    assert "b failed" in run["error"]["message"]
    assert [item["name"] for item in run["error"]["details"]["failed"]] == ["b"]
    assert run["partial_results"] == {"a": {"message": "hello"}, "free": {"message": "hello"}}
    assert run["results"] == run["partial_results"]


def test_a_skipped_container_skips_all_that_is_in_it(bench: Bench) -> None:
    deep = {"id": "p", "type": "parallel", "steps": [{"id": "s", "type": "sequential", "steps": [task("x")]}]}
    run = go(bench, [failing("a"), deep, {"id": "l", "type": "loop", "for_each": [1], "steps": [task("y")]}])
    assert statuses(bench, run["id"]) == {
        "a": "failed", "p": "skipped", "p.s": "skipped", "p.s.x": "skipped", "l": "skipped",
    }  # fmt: skip


def test_clean_up_steps_run_after_a_failure(bench: Bench) -> None:
    run_id = start(
        bench,
        [
            failing("a"),
            task("b"),
            task("on_failure", "{{ tasks.a.status }}: {{ tasks.a.error.code }}", run_on="failure", depends_on=["b"]),
            task("always", run_on="always", depends_on=["b"]),
            task("after", depends_on=["always"]),
        ],
    )
    drain(bench)
    assert statuses(bench, run_id) == {
        "a": "failed", "b": "skipped", "on_failure": "completed", "always": "completed", "after": "skipped",
    }  # fmt: skip
    run = shown(bench, run_id)
    assert run["status"] == "failed"
    assert run["results"]["on_failure"] == {"message": "failed: echo_failed"}


def test_clean_up_steps_are_not_needed_when_nothing_fails(bench: Bench) -> None:
    run = go(
        bench,
        [task("a"), task("on_failure", run_on="failure"), task("after"), task("always", run_on="always"), task("end")],
    )
    assert statuses(bench, run["id"]) == {
        "a": "completed", "on_failure": "skipped", "after": "completed", "always": "completed", "end": "completed",
    }  # fmt: skip
    assert code(bench, run["id"], "on_failure") == "not_needed"
    assert run["status"] == "completed"


def test_a_clean_up_step_waits_for_all_that_it_depends_on(bench: Bench) -> None:
    steps = [failing("a"), task("slow1", depends_on=[]), task("slow2"), task("clean", run_on="failure")]
    steps[-1]["depends_on"] = ["a", "slow2"]
    run_id = start(bench, steps)
    assert drain(bench) == [["a", "slow1"], ["slow2"], ["clean"]]
    assert shown(bench, run_id)["status"] == "failed"


def test_a_control_step_may_clean_up_as_well(bench: Bench) -> None:
    group = {"id": "clean", "type": "parallel", "run_on": "failure", "steps": [task("x"), task("y")]}
    run = go(bench, [failing("a"), group])
    assert statuses(bench, run["id"])["clean.x"] == "completed"
    assert (run["status"], run["results"]["clean"]["y"]) == ("failed", {"message": "hello"})


def test_a_failure_that_does_not_matter_lets_everything_go_on(bench: Bench) -> None:
    run = go(
        bench,
        [
            task("a"),
            failing("b", on_failure="continue"),
            task("c", "{{ tasks.b.status }}"),
            task("clean", run_on="failure", depends_on=["b"]),
        ],
    )
    assert statuses(bench, run["id"]) == {"a": "completed", "b": "failed", "c": "completed", "clean": "skipped"}
    assert run["status"] == "completed"
    assert run["error"] is None
    assert run["results"]["c"] == {"message": "failed"}
    assert "b" not in run["results"]


def test_a_workflow_may_say_it_for_all_its_steps(bench: Bench) -> None:
    strict = failing("strict", on_failure="fail")
    loop = {"id": "l", "type": "loop", "for_each": [1, 2], "steps": [failing("x"), task("y")]}
    run = go(bench, [failing("a"), loop, task("b"), strict, task("c")], on_failure="continue")
    found = statuses(bench, run["id"])
    assert (found["a"], found["l[0].x"], found["l[0].y"], found["l[1].y"]) == (
        "failed", "failed", "completed", "completed",
    )  # fmt: skip
    assert (found["l"], found["b"], found["strict"], found["c"]) == ("completed", "completed", "failed", "skipped")
    assert run["status"] == "failed"


def test_a_container_fails_with_what_is_in_it_and_keeps_what_succeeded(bench: Bench) -> None:
    run = go(bench, [{"id": "p", "type": "parallel", "steps": [task("x"), failing("y"), task("z")]}, task("after")])
    assert statuses(bench, run["id"]) == {
        "p": "failed", "p.x": "completed", "p.y": "failed", "p.z": "completed", "after": "skipped",
    }  # fmt: skip
    row = rows(bench, run["id"])["p"]
    assert row.last_error["code"] == "step_failed"
    assert "y failed" in row.last_error["message"]
    assert row.result == {"x": {"message": "hello"}, "z": {"message": "hello"}}
    assert run["partial_results"] == {
        "p": row.result, "p.x": {"message": "hello"}, "p.z": {"message": "hello"},
    }  # fmt: skip


def test_a_container_may_fail_without_consequences(bench: Bench) -> None:
    steps = [failing("x"), task("y")]
    run = go(bench, [{"id": "s", "type": "sequential", "on_failure": "continue", "steps": steps}, task("after")])
    assert statuses(bench, run["id"]) == {
        "s": "failed", "s.x": "failed", "s.y": "skipped", "after": "completed",
    }  # fmt: skip
    assert run["status"] == "completed"


def test_a_cleaned_up_failure_inside_a_container_still_fails_it(bench: Bench) -> None:
    steps = [failing("x"), task("clean", run_on="always")]
    run = go(bench, [{"id": "s", "type": "sequential", "steps": steps}])
    assert (run["status"], statuses(bench, run["id"])["s.clean"]) == ("failed", "completed")


def test_a_branch_that_is_not_taken_does_not_skip_what_follows(bench: Bench) -> None:
    inner = {"id": "in", "type": "sequential", "steps": [task("x")]}
    choice = {"id": "c", "type": "conditional", "condition": when("n", "equals", 2), "then": [inner, task("y")]}
    run = go(bench, [choice, task("clean", run_on="failure"), task("after")], context={"n": 1})
    assert {path: code(bench, run["id"], path) for path in ("c.in", "c.in.x", "c.y", "clean")} == {
        "c.in": "branch_not_taken", "c.in.x": "branch_not_taken", "c.y": "branch_not_taken", "clean": "not_needed",
    }  # fmt: skip
    assert run["status"] == "completed"


# Task groups


def test_groups_run_side_by_side_and_wait_for_each_other(bench: Bench) -> None:
    run_id = start_groups(
        bench,
        {"id": "g1", "tasks": [member("a", 1), member("b", "{{ tasks.a.result.message }}", depends_on=["a"])]},
        {"id": "g2", "depends_on": ["g1"], "tasks": [member("c", "{{ context.b.message }}")]},
        {"id": "g3", "tasks": [member("d"), {"name": "no key", "type": "echo", "depends_on": ["g1.a", "d"]}]},
        context={"x": 1},
    )
    assert drain(bench) == [["g1.a", "g3.d"], ["g1.b", "g3.task_2"], ["g2.c"]]
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert run["results"]["g2"] == {"c": {"message": 1}}
    assert {group["id"]: group["status"] for group in run["groups"]} == dict.fromkeys(("g1", "g2", "g3"), "completed")
    assert run["context"]["x"] == 1


def test_a_group_that_fails_takes_along_those_behind_it_and_leaves_the_others(bench: Bench) -> None:
    run_id = start_groups(
        bench,
        {"id": "g1", "tasks": [member("a"), member("b") | FAILING, member("c", depends_on=["b"])]},
        {"id": "g2", "depends_on": ["g1"], "tasks": [member("d")]},
        {"id": "g3", "tasks": [member("e")]},
    )
    drain(bench)
    assert statuses(bench, run_id) == {
        "g1": "failed", "g1.a": "completed", "g1.b": "failed", "g1.c": "skipped", "g2": "skipped", "g2.d": "skipped",
        "g3": "completed", "g3.e": "completed",
    }  # fmt: skip
    run = shown(bench, run_id)
    assert run["status"] == "failed"
    assert run["partial_results"]["g1.a"] == {"message": "hello"}
    assert {group["id"]: group["status"] for group in run["groups"]} == {
        "g1": "failed", "g2": "skipped", "g3": "completed",
    }  # fmt: skip


def test_a_group_may_fail_without_consequences(bench: Bench) -> None:
    run_id = start_groups(
        bench,
        {"id": "g1", "on_failure": "continue", "tasks": [member("a") | FAILING]},
        {"id": "g2", "depends_on": ["g1"], "tasks": [member("b")]},
    )
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"
    assert statuses(bench, run_id)["g2.b"] == "completed"


def test_a_failure_across_groups_skips_only_what_depends_on_it(bench: Bench) -> None:
    run_id = start_groups(
        bench,
        {"id": "g1", "tasks": [member("a") | FAILING]},
        {"id": "g2", "tasks": [member("b", depends_on=["g1.a"]), member("c")]},
    )
    drain(bench)
    assert statuses(bench, run_id)["g2.b"] == "skipped"
    assert statuses(bench, run_id)["g2.c"] == "completed"
    assert shown(bench, run_id)["status"] == "failed"


# Time limits


def test_a_run_whose_time_is_up_fails_and_keeps_what_is_done(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b", task=FAILING | {"max_retries": 3})], timeout_seconds=60)
    work_once(bench)
    work_once(bench)
    assert statuses(bench, run_id) == {"a": "completed", "b": "retrying"}
    bench.sql("UPDATE runs SET times_out_at = now()")
    assert recover.end_overdue(bench.engine) == 1
    run = shown(bench, run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "timeout")
    assert statuses(bench, run_id) == {"a": "completed", "b": "cancelled"}
    assert run["partial_results"] == {"a": {"message": "hello"}}
    assert recover.end_overdue(bench.engine) == 0


def test_a_run_whose_time_is_up_ends_once_its_running_tasks_have_stopped(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b")], run={"timeout_seconds": 60})
    [claimed] = take(bench, task_id(bench, run_id, "a"))
    pass_time(bench)
    assert statuses(bench, run_id) == {"a": "running", "b": "cancelled"}
    assert shown(bench, run_id)["completed_at"] is None
    cancelled(bench, claimed)
    run = shown(bench, run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "timeout")
    assert statuses(bench, run_id)["a"] == "cancelled"


@pytest.mark.parametrize("kind", ["parallel", "sequential", "loop", "group"])
def test_a_step_whose_time_is_up_fails_once_what_is_in_it_has_stopped(bench: Bench, kind: str) -> None:
    if kind == "group":
        run_id = start_groups(
            bench,
            {"id": "s", "timeout_seconds": 60, "tasks": [member("x"), member("y", depends_on=["x"])]},
            {"id": "free", "tasks": [member("z")]},
        )
        inner, others = "s.x", {"s.y": "cancelled", "free": "completed", "free.z": "completed"}
    else:
        items = {"for_each": [1, 2]} if kind == "loop" else {}
        step = {"id": "s", "type": kind, "timeout_seconds": 60, "steps": [task("x"), task("y")]} | items
        run_id = start(bench, [step, task("after"), task("free", depends_on=[])])
        inner = "s[0].x" if kind == "loop" else "s.x"
        others = {"after": "skipped", "free": "completed"}
    [claimed] = take(bench, task_id(bench, run_id, inner))
    pass_time(bench)
    assert statuses(bench, run_id)["s"] == "running"
    cancelled(bench, claimed)
    drain(bench)
    assert code(bench, run_id, "s") == "timeout"
    found = statuses(bench, run_id)
    assert (found["s"], found[inner]) == ("failed", "cancelled")
    assert others.items() <= found.items()
    assert shown(bench, run_id)["status"] == "failed"
    assert bench.sql("SELECT FROM tasks WHERE completed_at IS NULL") == []


def test_a_step_in_time_is_left_alone_when_its_limit_passes_later(bench: Bench) -> None:
    step = {"id": "s", "type": "parallel", "timeout_seconds": 60, "steps": [task("x")]}
    run_id = start(bench, [step, {"id": "w", "type": "wait", "signal": "go"}])
    drain(bench)
    pass_time(bench)
    assert statuses(bench, run_id) == {"s": "completed", "s.x": "completed", "w": "waiting_input"}


def test_a_task_whose_time_is_up_fails_its_run(bench: Bench, probe: Probe) -> None:
    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        ctx.wait(20)
        raise AssertionError("was not stopped")

    probe.does = does
    slow = {"type": "probe", "timeout_seconds": 0.2, "max_retries": 0}
    run = go(bench, [{"id": "a", "type": "task", "task": slow}, task("b")])
    assert run["status"] == "failed"
    assert code(bench, run["id"], "a") == "timeout"
    assert statuses(bench, run["id"])["b"] == "skipped"


# Cancelled, retried and lost tasks


def test_a_cancelled_task_fails_the_run_that_it_is_a_part_of(bench: Bench) -> None:
    run_id = start(bench, [{"id": "p", "type": "parallel", "steps": [task("x"), task("y")]}, task("after")])
    cancel.cancel(bench.engine, bench.caller, task_id(bench, run_id, "p.x"), "not this one")
    drain(bench)
    assert statuses(bench, run_id) == {
        "p": "failed", "p.x": "cancelled", "p.y": "completed", "after": "skipped",
    }  # fmt: skip
    assert shown(bench, run_id)["status"] == "failed"


def test_a_cancelled_step_takes_along_all_that_is_in_it(bench: Bench) -> None:
    inner = {"id": "s", "type": "sequential", "steps": [task("x"), task("y")]}
    run_id = start(bench, [{"id": "p", "type": "parallel", "steps": [inner, task("z")]}, task("after")])
    [claimed] = take(bench, task_id(bench, run_id, "p.s.x"))
    cancel.cancel(bench.engine, bench.caller, task_id(bench, run_id, "p.s"), "not this one")
    assert statuses(bench, run_id)["p.s.x"] == "running"
    cancelled(bench, claimed)
    drain(bench)
    assert statuses(bench, run_id) == {
        "p": "failed", "p.s": "cancelled", "p.s.x": "cancelled", "p.s.y": "cancelled", "p.z": "completed",
        "after": "skipped",
    }  # fmt: skip
    assert shown(bench, run_id)["status"] == "failed"


def test_a_step_that_is_cancelled_without_a_reason_has_none(bench: Bench) -> None:
    run_id = start(bench, [{"id": "s", "type": "sequential", "steps": [task("x"), task("y")]}])
    [claimed] = take(bench, task_id(bench, run_id, "s.x"))
    cancel.cancel(bench.engine, bench.caller, task_id(bench, run_id, "s"), None)
    cancelled(bench, claimed)
    drain(bench)
    found = {path: (row.status, row.cancel_reason) for path, row in rows(bench, run_id).items()}
    assert found == dict.fromkeys(("s", "s.x", "s.y"), ("cancelled", None))


def test_a_task_in_a_run_is_retried_before_it_counts_as_failed(bench: Bench) -> None:
    again = {"type": "echo", "config": {"message": 1, "fail_times": 1}, "retry": {"delay_seconds": 100}}
    run_id = start(bench, [{"id": "a", "type": "task", "task": again}, task("b")])
    drain(bench)
    assert statuses(bench, run_id) == {"a": "retrying", "b": "pending"}
    assert shown(bench, run_id)["status"] == "running"
    pass_time(bench)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_lost_attempt_in_a_run_is_made_again(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b")])
    take(bench, task_id(bench, run_id, "a"))
    bench.sql("UPDATE executions SET lease_until = now() - interval '1 second'")
    assert recover.give_up_lost(bench.engine) == 1
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


# At the same time


def test_steps_that_end_at_the_same_time_end_their_container_once(bench: Bench) -> None:
    steps = [task(f"s{number}") for number in range(12)]
    run_id = start(bench, [{"id": "p", "type": "parallel", "steps": steps}, task("after")])
    ids = [task_id(bench, run_id, f"p.s{number}") for number in range(12)]
    at_once(bench, ids)
    assert statuses(bench, run_id)["after"] == "queued"
    assert len(bench.sql("SELECT FROM events WHERE type = 'task.ended'")) == 1
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_rounds_of_a_loop_that_end_at_the_same_time_begin_each_next_one_once(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": list(range(12)), "max_parallel": 4, "steps": [task("x")]}
    run_id = start(bench, [loop])
    for _ in range(12):
        queued = [row.task_id for row in bench.sql("SELECT task_id FROM outbox ORDER BY task_id")]
        if not queued:
            break
        assert len(queued) <= 4
        at_once(bench, queued)
    run = shown(bench, run_id)
    assert run["status"] == "completed"
    assert len(run["results"]["l"]["results"]) == 12


def at_once(bench: Bench, ids: list[UUID]) -> None:
    """Have a worker each run these tasks, at the same time."""
    threads = [threading.Thread(target=bench.work, args=[one]) for one in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_another_encryption_key_fails_the_step_that_needs_the_old_one_and_nothing_else(bench: Bench) -> None:
    sealed = {"id": "never", "type": "task", "task": {"type": "echo", "config": {"message": {"password": "s3cret"}}}}
    branch = {"id": "c", "type": "conditional", "condition": when("nowhere", "exists"), "then": [sealed]}
    loop = {"id": "l", "type": "loop", "condition": when("loop.index", "less_than", 3), "steps": [task("a"), branch]}
    run_id = start(bench, [loop])
    bench.engine.cipher = Cipher(new_key())
    drain(bench)
    assert code(bench, run_id, "l") == "wrong_encryption_key"
    assert statuses(bench, run_id)["l[0].a"] == "completed"
    assert shown(bench, run_id)["status"] == "failed"


@pytest.mark.parametrize(
    ("module", "work", "path"),
    [("begin", "_loop", "l"), ("settle", "_iterate", "l"), ("begin", "_wait", "w")],
)
def test_a_fault_of_the_engine_ends_the_step_that_it_met_and_keeps_no_other_from_its_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, module: str, work: str, path: str
) -> None:
    def gives_up(*_: Any) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(f"taskengine.lifecycle.{module}.{work}", gives_up)
    loop = {"id": "l", "type": "loop", "for_each": [1], "max_iterations": 1, "steps": [task("a")]}
    run_id = start(bench, [task("b"), loop | {"depends_on": []}, {"id": "w", "type": "wait", "seconds": 1}, task("c")])
    other = start(bench, [task("z")])
    drain(bench)
    assert code(bench, run_id, path) == "engine_fault"
    assert "ZeroDivisionError" in rows(bench, run_id)[path].last_error["message"]
    assert statuses(bench, run_id)["b"] == "completed"
    assert shown(bench, other)["status"] == "completed"


def test_a_record_in_trouble_is_no_fault_of_the_step(bench: Bench) -> None:
    run_id = start(bench, [task("b"), {"id": "w", "type": "wait", "seconds": 1}])
    with cut(bench, "t.kind <> 'task' ORDER BY") as failed:
        work_once(bench)
    assert len(failed) == 1
    assert statuses(bench, run_id) == {"b": "completed", "w": "deferred"}
