"""What a review of runs, expansions and dependencies found: each was wrong once."""

from __future__ import annotations

import pytest

from taskengine.domain.errors import Conflict
from taskengine.lifecycle import control, edit
from tests.conftest import Bench
from tests.integration.lifecycle import runs
from tests.integration.lifecycle.conftest import take

FAILS_ONCE = {"config": {"fail_times": 1}, "max_retries": 0}


def test_what_waits_for_a_task_that_is_retried_waits_for_it_once_more(bench: Bench) -> None:
    flaky, other, last = bench.submit(
        {"key": "flaky"} | FAILS_ONCE,
        {"key": "other", "execution_type": "manual"},
        {"depends_on": ["flaky", "other"], "run_on": "always"},
    )
    bench.work(flaky)
    control.retry(bench.engine, bench.caller, flaky)
    bench.work(flaky)
    assert bench.statuses([flaky, other, last]) == ["completed", "pending", "pending"]
    control.execute(bench.engine, bench.caller, other)
    bench.work(other)
    assert bench.task(last)["status"] == "queued"


def test_a_task_ends_again_though_what_waited_for_its_first_end_is_under_way(bench: Bench) -> None:
    flaky, cleanup = bench.submit({"key": "flaky"} | FAILS_ONCE, {"depends_on": ["flaky"], "run_on": "always"})
    bench.work(flaky)
    take(bench, cleanup)
    control.retry(bench.engine, bench.caller, flaky)
    assert bench.work(flaky) == 1
    assert bench.statuses([flaky, cleanup]) == ["completed", "running"]


def test_a_task_outside_of_a_run_waits_for_steps_that_are_done_again(bench: Bench) -> None:
    run_id = runs.start(bench, [runs.task("first")])
    first = runs.task_id(bench, run_id, "first")
    other, last = bench.submit({"key": "other", "execution_type": "manual"}, {"depends_on": [str(first), "other"]})
    runs.drain(bench)
    runs.retry(bench, run_id, **{"from": "first"})
    runs.drain(bench)
    assert bench.statuses([first, other, last]) == ["completed", "pending", "pending"]


def test_children_of_an_expansion_in_a_loop_see_the_results_of_their_own_round(bench: Bench) -> None:
    child = runs.echo("{{ tasks.fetch.result.message }}") | {
        "expansion_config": {"type": "array", "array_mapping": {"number": [1, 2]}}
    }
    body = [runs.task("fetch", "{{ item }}"), {"id": "each", "type": "task", "task": child}]
    run_id = runs.start(
        bench, [{"id": "l", "type": "loop", "for_each": ["A", "B", "C"], "max_parallel": 3, "steps": body}]
    )
    runs.drain(bench)
    for number, item in enumerate("ABC"):
        made = runs.children(bench, runs.task_id(bench, run_id, f"l[{number}].each"))
        assert [row.result for row in made] == [{"message": item}] * 2


def test_children_of_an_expansion_outside_of_runs_see_what_it_depends_on(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"number": [1, 2]}}
    first, expansion = bench.submit(
        {"key": "first"},
        {"depends_on": ["first"], "config": {"message": "{{ tasks.first.status }}"}, "expansion_config": config},
    )
    bench.work(first)
    runs.drain(bench)
    assert [row.result for row in runs.children(bench, expansion)] == [{"message": "completed"}] * 2


def test_a_child_is_not_deleted_while_its_expansion_goes_on(bench: Bench) -> None:
    config = {"type": "array", "array_mapping": {"number": [1, 2]}}
    (expansion,) = bench.submit({"expansion_config": config} | FAILS_ONCE)
    first = runs.children(bench, expansion)[0].id
    bench.work(first)
    with pytest.raises(Conflict, match="has not ended"):
        edit.delete(bench.engine, bench.caller, first)
    runs.drain(bench)
    assert bench.task(expansion)["status"] == "failed"
    edit.delete(bench.engine, bench.caller, first)
