"""What a review of runs, expansions and dependencies found: each was wrong once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from pydantic import ValidationError

from api.answers import dump
from taskengine.domain.errors import Conflict
from taskengine.domain.outcome import Succeeded
from taskengine.domain.workflow import RetrySpec
from taskengine.lifecycle import control, control_run, edit, recover
from taskengine.lifecycle.prune import prune
from tests.conftest import Bench
from tests.integration.lifecycle import runs
from tests.integration.lifecycle.conftest import Probe, take

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


@pytest.mark.parametrize("number", ["9999999999 * 9999999999", "'\\ud800'", "'\\x00'", "{'inner': now}"])
def test_what_a_template_makes_does_not_keep_the_step_before_from_ending(bench: Bench, number: str) -> None:
    runs.register(bench, "inner", [runs.task("within")], variables={"value": 1})
    template = f"{{{{ [{number}] }}}}"
    run_id = runs.start(
        bench,
        [
            runs.task("first"),
            {"id": "loop", "type": "loop", "for_each": template, "steps": [runs.task("each")]},
            {"id": "sub", "type": "workflow", "workflow": "inner", "variables": {"value": template}},
            {"id": "ask", "type": "wait", "approval": {"approvers": ["me"], "message": template}},
        ],
    )
    runs.drain(bench)
    assert runs.statuses(bench, run_id)["ask"] == "waiting_input"


CREDENTIAL = "open-sesame-4711"


def test_templates_of_steps_show_no_credential(bench: Bench) -> None:
    runs.register(bench, "inner", [runs.task("within")], variables={"value": 1})
    token, missing = "{{ variables.api_token }}", "{{ variables[variables.api_token] }}"
    expansion = {"type": "array", "array_mapping": {"n": [1]}, "output_format": "single"}
    custom = {"type": "custom", "field_mappings": {"n": "{{ 'Basic ' ~ variables.api_token }}"}}
    steps: list[dict[str, Any]] = [
        {"id": "sub", "type": "workflow", "workflow": "inner", "variables": {"value": token}},
        {"id": "until", "type": "wait", "until": token},
        {"id": "ask", "type": "wait", "approval": {"approvers": ["me"], "message": token}},
        {"id": "undefined", "type": "workflow", "workflow": "inner", "variables": {"value": missing}},
        {"id": "loop", "type": "loop", "for_each": missing, "steps": [runs.task("each")]},
        {
            "id": "bearers",
            "type": "loop",
            "for_each": "{{ ['Bearer ' ~ variables.api_token] }}",
            "steps": [runs.task("bearer")],
        },
        {"id": "reduced", "type": "task", "task": runs.echo(expansion_config=expansion | {"reduce": token})},
        {"id": "faulty", "type": "task", "task": runs.echo(expansion_config=expansion | {"reduce": missing})},
        {"id": "mapped", "type": "task", "task": runs.echo(expansion_config=custom, input={"data": {}})},
    ]
    runs.go(
        bench,
        [step | {"depends_on": []} for step in steps],
        variables={"api_token": ""},
        run={"variables": {"api_token": CREDENTIAL}},
    )
    for table in ("tasks", "runs", "events"):
        assert CREDENTIAL not in str(bench.sql(f"SELECT * FROM {table}"))


def test_a_round_that_begins_while_its_run_is_cancelled_is_cancelled_too(bench: Bench) -> None:
    body = [{"id": "pause", "type": "wait", "seconds": 100}, runs.task("work", depends_on=[])]
    loop = {"id": "l", "type": "loop", "condition": runs.when("loop.index", "less_than", 3), "steps": body}
    run_id = runs.start(bench, [loop])
    runs.drain(bench)
    bench.sql("UPDATE tasks SET run_at = now() WHERE run_at IS NOT NULL")
    begun, go_on = threading.Event(), threading.Event()

    def next_round() -> None:
        with bench.engine.db.begin():
            recover.release_due(bench.engine)
            begun.set()
            assert go_on.wait(10)

    other = threading.Thread(target=next_round)
    other.start()
    assert begun.wait(10)
    cancelling = threading.Thread(
        target=lambda: control_run.cancel(bench.engine, bench.caller, run_id, None), daemon=True
    )
    cancelling.start()
    until_blocked(bench)
    go_on.set()
    other.join(10)
    cancelling.join(10)
    assert runs.shown(bench, run_id)["status"] == "cancelled"
    assert {row.status for row in bench.sql("SELECT status FROM tasks")} == {"cancelled", "completed"}
    assert bench.sql("SELECT FROM outbox") == []


def until_blocked(bench: Bench) -> None:
    """Wait until somebody waits for a lock."""
    give_up = time.monotonic() + 10
    while not bench.sql("SELECT FROM pg_locks WHERE NOT granted"):
        assert time.monotonic() < give_up, "nobody waits for a lock"


def test_a_run_that_is_being_cancelled_begins_nothing_anew(bench: Bench) -> None:
    run_id = runs.start(bench, [runs.failing("a"), runs.task("b", depends_on=[])])
    failed, running = runs.task_id(bench, run_id, "a"), runs.task_id(bench, run_id, "b")
    bench.work(failed)
    take(bench, running)
    control_run.cancel(bench.engine, bench.caller, run_id, None)
    with pytest.raises(Conflict, match="is being stopped"):
        runs.retry(bench, run_id)
    with pytest.raises(Conflict, match="is being stopped"):
        control.retry(bench.engine, bench.caller, failed)
    assert runs.statuses(bench, run_id) == {"a": "failed", "b": "running"}


def test_signals_that_nobody_takes_are_bounded_in_bytes(bench: Bench) -> None:
    run_id = runs.start(bench, [{"id": "ask", "type": "wait", "signal": "go"}])
    runs.signal(bench, run_id, "other", data={"text": "x" * 600_000})
    with pytest.raises(Conflict, match="1048576 bytes"):
        runs.signal(bench, run_id, "other", data={"text": "x" * 600_000})


@pytest.mark.parametrize("result", ["\0", "\ud800", 10**30, float("nan")])
def test_a_supplied_result_is_json_that_the_record_holds(result: Any) -> None:
    with pytest.raises(ValidationError):
        RetrySpec.model_validate({"outputs": {"a": [result]}})


def test_rounds_that_take_no_time_are_begun_in_several_transactions(bench: Bench) -> None:
    instant = {"id": "pause", "type": "wait", "seconds": 0}
    run_id = runs.start(
        bench,
        [
            {
                "id": "l",
                "type": "loop",
                "condition": runs.when("loop.index", "less_than", 1_000),
                "max_iterations": 250,
                "steps": [instant],
            }
        ],
    )
    begun = sum(row.kind == "sequential" for row in runs.rows(bench, run_id).values())
    assert 0 < begun < 250
    runs.drain(bench)
    assert runs.shown(bench, run_id)["results"]["l"]["iterations"] == 250


def test_many_rounds_of_many_rounds_do_not_begin_at_once_and_can_be_cancelled(bench: Bench) -> None:
    inner = {
        "id": "inner",
        "type": "loop",
        "for_each": list(range(100)),
        "max_parallel": 100,
        "steps": [runs.task("a")],
    }
    outer = {"id": "outer", "type": "loop", "for_each": list(range(100)), "max_parallel": 100, "steps": [inner]}
    run_id = runs.start(bench, [outer])
    assert len(runs.rows(bench, run_id)) < 1_000
    control_run.cancel(bench.engine, bench.caller, run_id, None)
    runs.drain(bench)
    assert set(runs.statuses(bench, run_id).values()) == {"cancelled"}


def test_rounds_that_were_put_off_all_run_once(bench: Bench) -> None:
    inner = {
        "id": "inner",
        "type": "loop",
        "for_each": list(range(8)),
        "max_parallel": 8,
        "steps": [runs.task("a", "{{ index }}")],
    }
    outer = {"id": "outer", "type": "loop", "for_each": list(range(30)), "max_parallel": 30, "steps": [inner]}
    shown = runs.go(bench, [outer])
    assert shown["status"] == "completed"
    rounds = shown["results"]["outer"]["results"]
    made = [[item["a"]["message"] for item in one["inner"]["results"]] for one in rounds]
    assert made == [list(range(8))] * 30


@pytest.mark.parametrize(("levels", "ended"), [(150, "completed"), (190, "completed"), (250, "failed")])
def test_a_deep_result_keeps_no_step_around_it_from_ending(bench: Bench, probe: Probe, levels: int, ended: str) -> None:
    deep: Any = 1
    for _ in range(levels):
        deep = [deep]
    probe.does = lambda ctx, config: Succeeded(deep)
    step: dict[str, Any] = {"id": "work", "type": "task", "task": {"type": "probe", "config": {}}}
    for number in range(9):
        step = {"id": f"loop{number}", "type": "loop", "for_each": [1], "steps": [step]}
    steps = [step]
    shown = runs.go(bench, steps)
    assert shown["status"] == ended
    dump(shown)


def test_old_runs_are_pruned_with_all_the_runs_below_them(bench: Bench) -> None:
    runs.register(bench, "low", [runs.task("a")])
    runs.register(bench, "middle", [{"id": "b", "type": "workflow", "workflow": "low"}])
    for _ in range(3):
        runs.go(bench, [{"id": "c", "type": "workflow", "workflow": "middle"}])
    for table in ("tasks", "runs"):
        bench.sql(f"UPDATE {table} SET completed_at = now() - interval '30 days'")
    prune(bench.engine, 10, batch=2)
    for table in ("tasks", "runs", "events"):
        assert bench.sql(f"SELECT count(*) AS n FROM {table}")[0].n == 0
