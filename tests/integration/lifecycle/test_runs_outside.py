"""Task groups that depend on tasks which were stored before."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from taskengine.domain import nodes
from taskengine.domain.errors import CircularDependency, InvalidDefinition, UnknownDependency
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import cancel, control, control_run, keys, outset, start_run, workflows
from taskengine.store import tasks
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import in_state
from tests.integration.lifecycle.runs import (
    FAILING,
    code,
    drain,
    member,
    retry,
    rows,
    shown,
    start,
    start_groups,
    statuses,
    task,
    task_id,
    work_once,
)

NOBODY = "00000000-0000-7000-8000-000000000000"


def group(name: str, *members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "tasks": list(members)} | more


def waiting_on(bench: Bench, run_id: UUID, path: str) -> int:
    return int(rows(bench, run_id)[path].waiting_on)


def nothing_started(bench: Bench) -> bool:
    return bench.sql("SELECT FROM runs") == [] and bench.sql("SELECT FROM tasks WHERE run_id IS NOT NULL") == []


def test_a_task_of_a_group_waits_for_a_stored_task(bench: Bench) -> None:
    (before,) = bench.submit({"execution_type": "manual"})
    run_id = start_groups(bench, group("g", member("a", depends_on=[str(before)]), member("b", depends_on=["a"])))
    assert drain(bench) == []
    assert statuses(bench, run_id) == {"g": "running", "g.a": "pending", "g.b": "pending"}
    assert bench.task(task_id(bench, run_id, "g.a"))["depends_on"] == [before]
    control.execute(bench.engine, bench.caller, before)
    assert [taken[0] for taken in drain(bench)] == ["test", "g.a", "g.b"]
    assert shown(bench, run_id)["status"] == "completed"


def test_a_stored_task_that_has_completed_is_not_waited_for(bench: Bench) -> None:
    done = in_state(bench, "completed")
    run_id = start_groups(bench, group("g", member("a", depends_on=[str(done)])))
    assert work_once(bench) == ["g.a"]
    assert shown(bench, run_id)["status"] == "completed"


@pytest.mark.parametrize("ended", ["failed", "cancelled", "skipped"])
def test_what_depends_on_a_stored_task_that_ended_badly_is_skipped_at_once(bench: Bench, ended: str) -> None:
    bad = in_state(bench, ended)
    run_id = start_groups(
        bench,
        group("first", member("a", execution_type="manual")),
        group("g", member("b", depends_on=[str(bad)]), member("c", depends_on=["b"]), depends_on=["first"]),
        group("h", member("d", depends_on=[str(bad)], run_on="always"), member("e")),
    )
    assert {path: status for path, status in statuses(bench, run_id).items() if "." in path} == {
        "first.a": "pending", "g.b": "skipped", "g.c": "skipped", "h.d": "queued", "h.e": "queued",
    }  # fmt: skip
    assert code(bench, run_id, "g.b") == "upstream_failed"


def test_a_stored_task_that_fails_later_skips_what_waits_and_calls_for_clean_up(bench: Bench) -> None:
    (before,) = bench.submit({"name": "before"} | FAILING)
    run_id = start_groups(
        bench,
        group("g", member("a", depends_on=[str(before)]), member("b", depends_on=[str(before)], run_on="failure")),
    )
    drain(bench)
    assert (code(bench, run_id, "g.a"), statuses(bench, run_id)["g.b"]) == ("upstream_failed", "completed")
    assert rows(bench, run_id)["g.a"].last_error["details"]["task_id"] == str(before)


def test_a_cancelled_task_lets_a_whole_run_end(bench: Bench) -> None:
    (before,) = bench.submit({"execution_type": "manual"})
    run_id = start_groups(bench, group("g", member("a", depends_on=[str(before)])))
    cancel.cancel(bench.engine, bench.caller, before, None)
    assert statuses(bench, run_id)["g.a"] == "skipped"
    assert shown(bench, run_id)["completed_at"] is not None


def test_a_run_that_lost_a_task_to_a_failure_outside_of_it_has_failed(bench: Bench) -> None:
    (before,) = bench.submit({"name": "before"} | FAILING)
    lost = group("g", member("a", depends_on=[str(before)]), member("b"))
    run_id = start_groups(bench, lost, group("h", member("c"), depends_on=["g"]))
    drain(bench)
    run = shown(bench, run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "step_failed")
    assert "before, which this depends on, failed" in run["error"]["message"]
    assert statuses(bench, run_id) == {
        "g": "failed", "g.a": "skipped", "g.b": "completed", "h": "skipped", "h.c": "skipped",
    }  # fmt: skip
    bench.sql("UPDATE tasks SET config = '{\"message\": 1}' WHERE id = :id", id=before)
    control.retry(bench.engine, bench.caller, before)
    retry(bench, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_task_whose_loss_does_not_matter_fails_nothing(bench: Bench) -> None:
    bad = in_state(bench, "failed")
    run_id = start_groups(bench, group("g", member("a", depends_on=[str(bad)], on_failure="continue"), member("b")))
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_expansions_and_paused_runs_wait_for_stored_tasks_too(bench: Bench) -> None:
    (before,) = bench.submit({"execution_type": "manual"})
    over = {"expansion_config": {"type": "array", "array_mapping": {"item": [1, 2]}}, "depends_on": [str(before)]}
    run_id = start_groups(bench, group("g", member("a", "{{ item }}") | over))
    control_run.pause(bench.engine, bench.caller, run_id)
    control.execute(bench.engine, bench.caller, before)
    drain(bench)
    assert statuses(bench, run_id)["g.a"] == "paused"
    control_run.resume(bench.engine, bench.caller, run_id)
    drain(bench)
    assert shown(bench, run_id)["status"] == "completed"


def test_a_step_of_another_run_may_be_waited_for_and_done_again(bench: Bench) -> None:
    other = start(bench, [task("fails", task=FAILING), task("after")])
    after = task_id(bench, other, "after")
    run_id = start_groups(bench, group("g", member("a", depends_on=[str(after)]), member("b", execution_type="manual")))
    drain(bench)
    assert statuses(bench, run_id)["g.a"] == "skipped"
    retry(bench, other, outputs={"fails": 1})
    drain(bench)
    retry(bench, run_id, **{"from": "a"})
    drain(bench)
    assert (bench.task(after)["status"], statuses(bench, run_id)["g.a"]) == ("completed", "completed")


def test_a_key_goes_before_an_id(bench: Bench) -> None:
    run_id = start_groups(bench, group("g", member(NOBODY), member("a", depends_on=[NOBODY])))
    assert drain(bench) == [[f"g.{NOBODY}"], ["g.a"]]
    assert shown(bench, run_id)["status"] == "completed"


def test_a_task_that_is_not_there_is_refused_with_its_place(bench: Bench) -> None:
    with pytest.raises(UnknownDependency, match=f"there is no task {NOBODY}") as caught:
        start_groups(bench, group("g", member("a"), member("b", depends_on=["a", NOBODY])))
    [fault] = caught.value.errors
    assert (fault.loc, fault.type) == (("task_groups", 0, "tasks", 1, "depends_on", 1), "unknown_dependency")
    assert nothing_started(bench)


def test_a_task_of_another_organization_is_not_there(bench: Bench) -> None:
    (before,) = bench.submit({})
    keys.add_organization(bench.engine, "other")
    other = keys.local_caller(bench.engine, "other")
    spec = RunSpec.model_validate({"task_groups": [group("g", member("a", depends_on=[str(before)]))]})
    with pytest.raises(UnknownDependency):
        start_run.start(bench.engine, other, spec)
    assert nothing_started(bench)


def test_a_task_that_was_removed_since_it_was_looked_up_is_refused_too(bench: Bench) -> None:
    (before,) = bench.submit({})
    spec = RunSpec.model_validate({"task_groups": [group("g", member("a", depends_on=[str(before)]))]})
    with pytest.raises(UnknownDependency, match=str(before)), bench.engine.db.begin() as conn:
        plan = start_run.prepare(bench.engine, conn, bench.caller, spec)
        tasks.remove(conn, [before])
        outset.open_run(bench.engine, conn, plan.row, plan.nodes)
    assert nothing_started(bench)


def test_one_task_named_twice_in_two_spellings_is_told(bench: Bench) -> None:
    (before,) = bench.submit({})
    with pytest.raises(InvalidDefinition) as caught:
        start_groups(bench, group("g", member("a", depends_on=[str(before), before.hex])))
    assert [(fault.loc[-1], fault.type) for fault in caught.value.errors] == [(1, "duplicate_dependency")]


def test_a_cycle_is_found_beside_stored_tasks(bench: Bench) -> None:
    (before,) = bench.submit({})
    named = [str(before), "g.b"]
    with pytest.raises(CircularDependency, match=r"g\.a -> g\.b -> g\.a"):
        start_groups(bench, group("g", member("a", depends_on=named), member("b", depends_on=["a"])))


def test_a_plan_leaves_stored_tasks_out_and_as_they_are(bench: Bench) -> None:
    (before,) = bench.submit({})
    named = '{"task_groups": [{"id": "g", "tasks": [{"key": "a", "type": "echo", "depends_on": ["%s"]}]}]}'
    assert workflows.plan(bench.engine, bench.caller, named % before)["order"] == ["g.a"]
    assert bench.sql("SELECT FROM tasks WHERE has_dependents") == []


def test_a_node_knows_what_it_comes_after_outside_of_its_run() -> None:
    spec = RunSpec.model_validate({"task_groups": [group("g", member("a"), member("b", depends_on=["a", NOBODY]))]})
    assert spec.task_groups is not None
    made = {
        node.path: (len(node.upstream), [str(item) for item in node.outside])
        for node in nodes.of_groups(spec.task_groups)
    }
    assert made == {"g": (0, []), "g.a": (0, []), "g.b": (1, [NOBODY])}
