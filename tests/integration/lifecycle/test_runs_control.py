"""What people do to runs and see of them: pause, resume, cancel, and the views of a run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from taskengine.domain.errors import Conflict, InvalidTransition, NotFound
from taskengine.domain.outcome import Cancelled
from taskengine.domain.task import PageRequest
from taskengine.lifecycle import control, control_run, expand, keys, query_runs, recover, review
from taskengine.lifecycle.claim import claim
from taskengine.lifecycle.consume import consume
from taskengine.lifecycle.explain import explain
from taskengine.lifecycle.finish import finish
from taskengine.lifecycle.run import Ended, run
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import LATER, take
from tests.integration.lifecycle.runs import (
    children,
    drain,
    echo,
    failing,
    go,
    log,
    member,
    pass_time,
    register,
    rows,
    shown,
    signal,
    start,
    start_groups,
    statuses,
    sub_run,
    task,
    task_id,
    work_once,
)


def pause(bench: Bench, run_id: UUID) -> dict[str, Any]:
    return control_run.pause(bench.engine, bench.caller, run_id)


def resume(bench: Bench, run_id: UUID) -> dict[str, Any]:
    return control_run.resume(bench.engine, bench.caller, run_id)


def cancel_run(bench: Bench, run_id: UUID, reason: str | None = None) -> dict[str, Any]:
    return control_run.cancel(bench.engine, bench.caller, run_id, reason)


def let_end(bench: Bench, *claimed: Any) -> None:
    """Let attempts that were taken run to their end."""
    finish(bench.engine, [run(bench.engine, bench.watch, item) for item in claimed])


# Pause and resume


def test_a_paused_run_lets_running_tasks_end_and_starts_nothing_new(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b"), task("free", depends_on=[]), task("held", depends_on=[])])
    claimed = take(bench, task_id(bench, run_id, "a"))
    assert pause(bench, run_id)["status"] == "paused"
    assert statuses(bench, run_id) == {"a": "running", "b": "pending", "free": "paused", "held": "paused"}
    let_end(bench, *claimed)
    assert drain(bench) == []
    assert statuses(bench, run_id) == {"a": "completed", "b": "paused", "free": "paused", "held": "paused"}
    assert shown(bench, run_id)["status"] == "paused"
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_claim_that_comes_with_the_pause_finds_nothing(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b", depends_on=[])])
    a = task_id(bench, run_id, "a")
    pause(bench, run_id)
    assert claim(bench.engine, [(a, 1)], "late")[0] == []
    # One that was queued after the pause had looked: its place in line stands, and still nobody may take it.
    lined_up_in_a_pause(bench, run_id, "a")
    assert claim(bench.engine, [(a, 1)], "late")[0] == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def pause_if_it_goes_on(bench: Bench, run_id: UUID) -> None:
    with contextlib.suppress(Conflict):
        pause(bench, run_id)


def lined_up_in_a_pause(bench: Bench, run_id: UUID, path: str) -> UUID:
    """Have a task of a paused run in line, as if it had been on its way there when the run was paused."""
    row_id = task_id(bench, run_id, path)
    bench.sql("UPDATE tasks SET status = 'queued', held = false, queued_at = now() WHERE id = :id", id=row_id)
    bench.sql(
        "INSERT INTO outbox (task_id, organization_id, queue, priority, urgency, attempt, light, enqueued_at)"
        " SELECT id, organization_id, queue, priority, urgency, 1, light, now() FROM tasks WHERE id = :id",
        id=row_id,
    )
    return row_id


def test_what_a_paused_run_has_in_line_leaves_it_when_its_message_comes(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b", depends_on=[])])
    pause(bench, run_id)
    a = lined_up_in_a_pause(bench, run_id, "a")
    assert bench.work(a) == 0
    assert statuses(bench, run_id) == {"a": "paused", "b": "paused"}
    assert bench.sql("SELECT FROM outbox") == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_message_holds_nothing_back_of_a_run_that_goes_on(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b", depends_on=[])])
    a, b = (task_id(bench, run_id, path) for path in "ab")
    bench.work(a)
    assert bench.work(a) == 0
    assert consume(bench.engine, bench.watch, "integration", [(a, 1), (b, 7)], "tester") == 0
    assert statuses(bench, run_id) == {"a": "completed", "b": "queued"}


def test_an_expansion_that_makes_children_in_a_paused_run_lines_none_up(bench: Bench) -> None:
    many = echo("{{ n }}") | {"expansion_config": {"type": "array", "array_mapping": {"n": list(range(2_500))}}}
    run_id = start(bench, [{"id": "x", "type": "task", "task": many}])
    pause(bench, run_id)
    expand.go_on(bench.engine, task_id(bench, run_id, "x"))
    assert bench.sql("SELECT status, count(*) AS n FROM tasks WHERE kind = 'task' GROUP BY status") == [
        ("paused", 2500)
    ]
    assert bench.sql("SELECT FROM outbox") == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


@contextlib.contextmanager
def just_before(bench: Bench, part: str, verb: Callable[[Bench, UUID], Any], run_id: UUID) -> Iterator[None]:
    """Have another thread do something to a run before the next statement that holds this text; only once."""
    done: list[str] = []

    def first(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if part in statement and not done:
            done.append(statement)
            other = threading.Thread(target=verb, args=[bench, run_id])
            other.start()
            other.join()

    event.listen(bench.engine.db.sqlalchemy, "before_cursor_execute", first)
    try:
        yield
    finally:
        event.remove(bench.engine.db.sqlalchemy, "before_cursor_execute", first)
    assert done


EXPANDED = echo("{{ n }}") | {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2, 3]}}}


def test_a_row_that_would_be_held_by_a_pause_that_ends_meanwhile_goes_on(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b"), {"id": "x", "type": "task", "task": EXPANDED, "depends_on": ["a"]}])
    claimed = take(bench, task_id(bench, run_id, "a"))
    pause(bench, run_id)
    with just_before(bench, "FOR SHARE OF r", resume, run_id):
        let_end(bench, *claimed)
    assert statuses(bench, run_id) == {"a": "completed", "b": "queued", "x": "running"}
    assert {row.status for row in children(bench, task_id(bench, run_id, "x"))} == {"queued"}
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_sub_run_does_not_begin_in_a_run_that_is_paused_meanwhile(bench: Bench) -> None:
    register(bench, "inner", [task("in")])
    run_id = start(bench, [task("a"), {"id": "w", "type": "workflow", "workflow": "inner"}])
    claimed = take(bench, task_id(bench, run_id, "a"))
    with just_before(bench, "SELECT * FROM runs WHERE id = ", pause, run_id):
        let_end(bench, *claimed)
    assert statuses(bench, run_id) == {"a": "completed", "w": "paused"}
    assert drain(bench) == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


@pytest.mark.parametrize("meanwhile", [[pause], [pause, resume]])
def test_a_pause_does_not_change_that_a_run_is_being_cancelled(bench: Bench, meanwhile: list[Any]) -> None:
    run_id = start(bench, [task("a"), task("b")])
    [claimed] = take(bench, task_id(bench, run_id, "a"))
    cancel_run(bench, run_id, "enough")
    for verb in meanwhile:
        verb(bench, run_id)
    finish(bench.engine, [Ended(claimed, Cancelled("told to stop"))])
    run = shown(bench, run_id)
    assert (run["status"], run["error"]) == ("cancelled", None)


def test_a_pause_does_not_change_that_the_time_of_a_run_is_up(bench: Bench) -> None:
    steps = [task("a", on_failure="continue"), task("b", on_failure="continue")]
    run_id = start(bench, steps, timeout_seconds=50)
    [claimed] = take(bench, task_id(bench, run_id, "a"))
    pass_time(bench)
    pause(bench, run_id)
    resume(bench, run_id)
    finish(bench.engine, [Ended(claimed, Cancelled("told to stop"))])
    run = shown(bench, run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "timeout")


def test_pauses_and_claims_at_the_same_time_lose_nothing(bench: Bench) -> None:
    run_id = start(bench, [task(f"s{number}", depends_on=[]) for number in range(12)])
    ids = [task_id(bench, run_id, f"s{number}") for number in range(12)]
    threads = [threading.Thread(target=bench.work, args=ids[n : n + 3]) for n in range(0, 12, 3)]
    threads.append(threading.Thread(target=pause_if_it_goes_on, args=[bench, run_id]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if shown(bench, run_id)["status"] == "paused":
        assert set(statuses(bench, run_id).values()) <= {"paused", "completed"}
        resume(bench, run_id)
        drain(bench)
    assert set(statuses(bench, run_id).values()) == {"completed"}
    assert shown(bench, run_id)["status"] == "completed"
    assert bench.sql("SELECT count(*) AS n FROM executions")[0].n == 12


def test_a_pause_holds_control_steps_as_well(bench: Bench) -> None:
    loop = {"id": "l", "type": "loop", "for_each": [1, 2], "steps": [task("x")]}
    parallel = {"id": "p", "type": "parallel", "steps": [task("y"), task("z")]}
    run_id = start(bench, [loop, parallel, {"id": "w", "type": "wait", "seconds": 0}])
    claimed = take(bench, task_id(bench, run_id, "l[0].x"))
    pause(bench, run_id)
    let_end(bench, *claimed)
    assert drain(bench) == []
    assert statuses(bench, run_id)["l[0].x"] == "completed"
    assert shown(bench, run_id)["status"] == "paused"
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"
    assert statuses(bench, run_id)["p.z"] == "completed"


def test_a_retry_that_comes_due_during_a_pause_waits_for_the_resume(bench: Bench) -> None:
    again = {"type": "echo", "config": {"fail_times": 1}, "retry": {"delay_seconds": 100}}
    run_id = start(bench, [{"id": "a", "type": "task", "task": again}])
    work_once(bench)
    pause(bench, run_id)
    pass_time(bench)
    assert drain(bench) == []
    assert statuses(bench, run_id) == {"a": "paused"}
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_what_wakes_a_wait_during_a_pause_goes_on_with_the_resume(bench: Bench) -> None:
    waits: list[dict[str, Any]] = [
        {"id": "sig", "type": "wait", "signal": "go", "depends_on": []},
        {"id": "ok", "type": "wait", "approval": {"approvers": [bench.caller.name]}, "depends_on": []},
        {"id": "time", "type": "wait", "seconds": 60, "depends_on": []},
    ]
    run_id = start(bench, [*waits, task("after", depends_on=["sig", "ok", "time"])])
    pause(bench, run_id)
    signal(bench, run_id, "go")
    review.approve(bench.engine, bench.caller, task_id(bench, run_id, "ok"), None)
    pass_time(bench)
    assert statuses(bench, run_id)["after"] == "paused"
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_run_whose_last_task_ends_during_a_pause_ends(bench: Bench) -> None:
    run_id = start(bench, [task("a")])
    claimed = take(bench, task_id(bench, run_id, "a"))
    pause(bench, run_id)
    let_end(bench, *claimed)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_pause_holds_an_expansion_and_its_children(bench: Bench) -> None:
    expansion = {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2, 3]}, "max_parallel": 2}}
    run_id = start(bench, [{"id": "x", "type": "task", "task": echo("{{ n }}") | expansion}, task("after")])
    parent = task_id(bench, run_id, "x")
    claimed = take(bench, children(bench, parent)[0].id)
    pause(bench, run_id)
    assert [row.status for row in children(bench, parent)] == ["running", "paused", "pending"]
    let_end(bench, *claimed)
    assert drain(bench) == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_an_expansion_that_begins_during_a_pause_starts_no_child(bench: Bench) -> None:
    expansion = {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2, 3]}}}
    run_id = start(bench, [task("a"), {"id": "x", "type": "task", "task": echo("{{ n }}") | expansion}])
    claimed = take(bench, task_id(bench, run_id, "a"))
    pause(bench, run_id)
    let_end(bench, *claimed)
    assert drain(bench) == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_an_expansion_whose_time_comes_during_a_pause_waits_for_the_resume(bench: Bench) -> None:
    expansion = {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2]}}, "scheduled_for": LATER}
    run_id = start(bench, [{"id": "x", "type": "task", "task": echo("{{ n }}") | expansion}])
    assert statuses(bench, run_id) == {"x": "deferred"}
    pause(bench, run_id)
    pass_time(bench)
    assert drain(bench) == []
    resume(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_pausing_a_run_pauses_the_runs_below_it(bench: Bench) -> None:
    register(bench, "inner", [task("x"), task("y")])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}])
    inner = sub_run(bench, run_id, "s")
    pause(bench, run_id)
    assert shown(bench, inner)["status"] == "paused"
    assert drain(bench) == []
    resume(bench, run_id)
    drain(bench)
    assert [shown(bench, one)["status"] for one in (run_id, inner)] == ["completed"] * 2


def test_a_task_that_a_person_paused_is_not_resumed_with_its_run(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b", depends_on=[])])
    control.pause(bench.engine, bench.caller, task_id(bench, run_id, "a"))
    pause(bench, run_id)
    with pytest.raises(Conflict, match="resume"):
        control.resume(bench.engine, bench.caller, task_id(bench, run_id, "b"))
    resume(bench, run_id)
    drain(bench)
    assert statuses(bench, run_id) == {"a": "paused", "b": "completed"}
    control.resume(bench.engine, bench.caller, task_id(bench, run_id, "a"))
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_only_a_running_run_is_paused_and_only_a_paused_one_resumed(bench: Bench) -> None:
    run_id = start(bench, [task("a")])
    with pytest.raises(InvalidTransition, match="running"):
        resume(bench, run_id)
    pause(bench, run_id)
    with pytest.raises(InvalidTransition, match="paused"):
        pause(bench, run_id)
    resume(bench, run_id)
    drain(bench)
    for verb in (pause, resume, cancel_run):
        with pytest.raises(InvalidTransition, match="completed"):
            verb(bench, run_id)


# Cancel


def test_cancelling_ends_all_that_waits_at_once(bench: Bench) -> None:
    steps: list[dict[str, Any]] = [
        task("done"),
        task("queued"),
        {"id": "w", "type": "wait", "signal": "go", "depends_on": ["done"]},
        {"id": "t", "type": "wait", "seconds": 60, "depends_on": ["done"]},
        {"id": "p", "type": "parallel", "steps": [task("x")], "depends_on": ["done"]},
        task("pending"),
    ]
    run_id = start(bench, steps)
    work_once(bench)
    found = cancel_run(bench, run_id, "enough")
    assert (found["status"], found["cancel_reason"]) == ("cancelled", "enough")
    assert statuses(bench, run_id) == {"done": "completed"} | dict.fromkeys(
        ("queued", "w", "t", "p", "p.x", "pending"), "cancelled"
    )
    assert found["partial_results"] == {"done": {"message": "hello"}}
    assert bench.sql("SELECT FROM outbox") == []


def test_cancelling_stops_running_tasks_and_ends_with_them(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b")])
    [claimed] = take(bench, task_id(bench, run_id, "a"))
    cancel_run(bench, run_id, "enough")
    assert statuses(bench, run_id) == {"a": "running", "b": "cancelled"}
    assert shown(bench, run_id)["completed_at"] is None
    assert rows(bench, run_id)["a"].cancel_requested_at is not None
    cancel_run(bench, run_id, "once more")
    finish(bench.engine, [Ended(claimed, Cancelled("enough"))])
    assert shown(bench, run_id)["status"] == "cancelled"
    assert shown(bench, run_id)["cancel_reason"] == "enough"


def test_a_task_that_completes_in_spite_of_the_cancel_keeps_its_result(bench: Bench) -> None:
    run_id = start(bench, [task("a"), task("b")])
    claimed = take(bench, task_id(bench, run_id, "a"))
    cancel_run(bench, run_id)
    let_end(bench, *claimed)
    found = shown(bench, run_id)
    assert (found["status"], found["results"]) == ("cancelled", {"a": {"message": "hello"}})


def test_a_paused_run_can_be_cancelled(bench: Bench) -> None:
    run_id = start(bench, [task("a"), {"id": "p", "type": "parallel", "steps": [task("x")]}])
    pause(bench, run_id)
    assert cancel_run(bench, run_id)["status"] == "cancelled"
    assert set(statuses(bench, run_id).values()) == {"cancelled"}


def test_a_paused_run_is_cancelled_with_the_paused_runs_below_it(bench: Bench) -> None:
    register(bench, "inner", [task("x"), task("y")])
    run_id = start(bench, [{"id": "s", "type": "workflow", "workflow": "inner"}])
    pause(bench, run_id)
    cancel_run(bench, run_id)
    assert [shown(bench, one)["status"] for one in (run_id, sub_run(bench, run_id, "s"))] == ["cancelled"] * 2
    assert bench.sql("SELECT FROM tasks WHERE completed_at IS NULL") == []


def test_cancelling_stops_an_expansion_that_is_still_being_made(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"n": list(range(1500))}}
    run_id = start(bench, [{"id": "x", "type": "task", "task": echo("{{ n }}") | {"expansion_config": config}}])
    assert cancel_run(bench, run_id)["status"] == "cancelled"
    assert recover.make_expansions(bench.engine) == 0
    assert bench.sql("SELECT DISTINCT status FROM tasks") == [("cancelled",)]


def test_another_organization_sees_nothing_of_a_run(bench: Bench) -> None:
    run_id = start(bench, [task("a")])
    keys.add_organization(bench.engine, "other")
    other = keys.local_caller(bench.engine, "other")
    for look in (query_runs.run, query_runs.graph, query_runs.mermaid, control_run.pause):
        with pytest.raises(NotFound):
            look(bench.engine, other, run_id)


# What is shown


def test_a_run_shows_where_it_stands(bench: Bench) -> None:
    run_id = start(bench, [task("a"), {"id": "w", "type": "wait", "signal": "go"}, task("b")])
    assert shown(bench, run_id)["status"] == "running"
    assert shown(bench, run_id)["progress"]["queued"] == 1
    drain(bench)
    found = shown(bench, run_id)
    assert found["status"] == "waiting"
    counted = {name: number for name, number in found["progress"].items() if number}
    assert counted == {"total": 3, "completed": 1, "waiting_input": 1, "pending": 1}
    assert found["partial_results"] == {"a": {"message": "hello"}}


def test_the_graph_has_a_node_for_each_step_and_an_edge_for_each_dependency(bench: Bench) -> None:
    expansion = {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2, 3]}}}
    found = go(
        bench,
        [
            task("a"),
            {"id": "x", "type": "task", "task": echo("{{ n }}") | expansion},
            {"id": "p", "type": "parallel", "steps": [task("y"), failing("z")]},
            task("clean", run_on="always", name='say "done" [now]'),
        ],
    )
    graph = query_runs.graph(bench.engine, bench.caller, found["id"])
    assert (graph["run_id"], graph["status"]) == (found["id"], "failed")
    nodes = {node["path"]: node for node in graph["nodes"]}
    assert list(nodes) == ["a", "x", "p", "p.y", "p.z", "clean"]
    assert (nodes["x"]["kind"], nodes["x"]["type"]) == ("expansion", "echo")
    assert nodes["x"]["children"] == {"total": 3, "completed": 3}
    assert nodes["a"]["children"] is None
    assert (nodes["p.y"]["parent"], nodes["a"]["parent"]) == (nodes["p"]["id"], None)
    named = {node["id"]: path for path, node in nodes.items()}
    assert [(named[edge["from"]], named[edge["to"]], edge["run_on"]) for edge in graph["edges"]] == [
        ("a", "x", "success"), ("x", "p", "success"), ("p", "clean", "always"),
    ]  # fmt: skip
    drawn = query_runs.mermaid(bench.engine, bench.caller, found["id"])
    assert drawn.startswith("flowchart TD\n")
    assert 'n1["x (expansion)<br/>completed 3/3"]' in drawn
    assert 'subgraph n2["p (parallel)<br/>failed"]' in drawn
    assert "n2 -->|always| n5" in drawn
    assert '"done"' not in drawn
    assert "class n2,n4 failed" in drawn


def test_the_log_tells_the_run_and_its_tasks_in_order(bench: Bench) -> None:
    run_id = start(bench, [task("a"), {"id": "w", "type": "wait", "signal": "go"}])
    pause(bench, run_id)
    resume(bench, run_id)
    drain(bench)
    signal(bench, run_id, "go")
    told = [item["type"] for item in log(bench, run_id)]
    assert [name for name in told if name.startswith("run.")] == [
        "run.started", "run.paused", "run.resumed", "run.signalled", "run.completed",
    ]  # fmt: skip
    assert told.count("task.claimed") == 1
    assert told[-1] == "run.completed"
    first = log(bench, run_id)[0]
    assert (first["task_id"], first["from_status"], first["to_status"]) == (None, "pending", "running")
    page = query_runs.events(bench.engine, bench.caller, run_id, PageRequest(limit=3))
    rest = query_runs.events(bench.engine, bench.caller, run_id, PageRequest(limit=500, cursor=page.next_cursor))
    assert [item["type"] for item in [*page.items, *rest.items]] == told


def test_the_timeline_has_a_span_for_each_row_with_its_attempts(bench: Bench) -> None:
    again = {"type": "echo", "config": {"fail_times": 1}, "retry": {"delay_seconds": 0}}
    expansion = {"expansion_config": {"type": "array", "array_mapping": {"n": [1, 2]}}}
    run_id = start(
        bench,
        [{"id": "a", "type": "task", "task": again}, {"id": "x", "type": "task", "task": echo("{{ n }}") | expansion}],
    )
    drain(bench)
    pass_time(bench)
    drain(bench)
    items = query_runs.timeline(bench.engine, bench.caller, run_id, PageRequest(limit=500)).items
    assert [(item["path"], item["kind"]) for item in items] == [
        ("a", "task"), ("x", "expansion"), ("1", "task"), ("2", "task"),
    ]  # fmt: skip
    first, parent, child, _ = items
    assert [(made["attempt"], made["status"]) for made in first["attempts"]] == [(1, "failed"), (2, "succeeded")]
    assert first["attempts"][0]["worker"] == "tester"
    assert parent["attempts"] == []
    assert child["parent"] == parent["task_id"]
    assert all(item["started_at"] <= item["ended_at"] for item in items)
    page = query_runs.timeline(bench.engine, bench.caller, run_id, PageRequest(limit=3))
    rest = query_runs.timeline(bench.engine, bench.caller, run_id, PageRequest(limit=3, cursor=page.next_cursor))
    assert [item["path"] for item in rest.items] == ["2"]


def test_results_that_are_too_large_to_show_say_where_they_are(bench: Bench) -> None:
    bench.engine.settings = bench.engine.settings.model_copy(update={"max_collection_bytes": 200})
    found = go(bench, [task("a", "x" * 150), task("b", "y" * 150)])
    assert found["status"] == "completed"
    assert found["results"] == {"too_large": True, "tasks": f"/v1/runs/{found['id']}/tasks"}


# Why something waits


def blockers(bench: Bench, run_id: UUID, path: str) -> list[str]:
    told = explain(bench.engine, bench.caller, task_id(bench, run_id, path))
    return [item["kind"] for item in told["blockers"]]


def test_explain_names_what_a_step_waits_for(bench: Bench) -> None:
    steps: list[dict[str, Any]] = [
        {"id": "w", "type": "wait", "signal": "go"},
        {"id": "p", "type": "parallel", "steps": [task("x")]},
        task("after"),
    ]
    run_id = start(bench, steps)
    told = explain(bench.engine, bench.caller, task_id(bench, run_id, "p"))
    assert [item["kind"] for item in told["blockers"]] == ["dependency"]
    assert "w (waiting_input)" in told["summary"]
    assert "go" in explain(bench.engine, bench.caller, task_id(bench, run_id, "w"))["summary"]
    assert blockers(bench, run_id, "p.x") != []
    signal(bench, run_id, "go")
    drain(bench)
    assert blockers(bench, run_id, "after") == []


def test_explain_says_that_the_run_is_paused(bench: Bench) -> None:
    run_id = start_groups(bench, {"id": "g", "tasks": [member("a")]})
    pause(bench, run_id)
    told = explain(bench.engine, bench.caller, task_id(bench, run_id, "g.a"))
    assert "run" in told["blockers"][0]["message"]
    assert f"/v1/runs/{run_id}/resume" in told["summary"]
