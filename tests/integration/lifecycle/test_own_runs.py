"""Attempts that begin a run of their own and wait for it without a worker; and those that are for somebody else."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from taskengine.domain.errors import Conflict, PermanentError, TransientError
from taskengine.domain.outcome import HandedOver, Outcome, Parked, Succeeded
from taskengine.domain.run import RunFilter
from taskengine.domain.workflow import RetrySpec
from taskengine.handlers.base import Context
from taskengine.lifecycle import cancel, control, control_run, explain, query, query_runs, recover
from taskengine.lifecycle.retry_run import retry as retry_run
from taskengine.store import transitions
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import PAGE, Probe, ProbeConfig, events, last_error
from tests.integration.lifecycle.runs import start

ONE_STEP = {"definition": {"name": "inner", "steps": [{"id": "say", "type": "task", "task": {"type": "echo"}}]}}
FAILING = {
    "definition": {
        "name": "inner",
        "steps": [
            {"id": "say", "type": "task", "task": {"type": "echo", "config": {"fail_times": 9}, "max_retries": 0}}
        ],
    }
}


@pytest.fixture
def calling(probe: Probe) -> None:
    """The task type ``probe`` begins a run, whose spec its config holds, and gives what that gave."""

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        assert isinstance(config.value, dict)
        run = ctx.begin_run(config.value)
        if not run.final:
            return Parked(f"waits for run {run.id}")
        if run.status != "completed":
            raise PermanentError("sub_run_failed", f"run {run.id} ended {run.status}")
        return Succeeded({"run": str(run.id), "results": run.results})

    probe.does = does


@pytest.fixture
def parent(bench: Bench, calling: None) -> UUID:
    """A task that begins a run, and gives what that gave."""
    (task_id,) = bench.submit({"type": "probe", "config": {"value": ONE_STEP}})
    return task_id


def own_runs(bench: Bench, task_id: UUID) -> list[dict[str, Any]]:
    return query_runs.runs(bench.engine, bench.caller, RunFilter(parent_task_id=task_id), PAGE).items


def parts(bench: Bench, run_id: UUID) -> list[UUID]:
    return [row.id for row in bench.sql("SELECT id FROM tasks WHERE run_id = :id ORDER BY id", id=run_id)]


def test_a_task_waits_for_its_run_without_a_worker_and_takes_its_results(bench: Bench, parent: UUID) -> None:
    bench.work(parent)
    assert bench.task(parent)["status"] == "waiting_input"
    (run,) = own_runs(bench, parent)
    assert str(run["id"]) in explain.explain(bench.engine, bench.caller, parent)["summary"]
    bench.work(*parts(bench, run["id"]))
    assert bench.task(parent)["status"] == "queued"
    bench.work(parent)
    task = bench.task(parent)
    assert task["status"] == "completed"
    assert task["result"] == {"run": str(run["id"]), "results": {"say": {"message": None}}}
    assert task["error_count"] == 0
    assert events(bench, parent) == ["created", "claimed", "parked", "woken", "claimed", "completed"]


def test_an_attempt_that_was_lost_after_it_began_its_run_finds_it_again(
    bench: Bench, probe: Probe, parent: UUID
) -> None:
    does = probe.does
    probe.does = lambda ctx, config: does(ctx, config) and Parked("for a moment", 0)
    bench.work(parent)
    recover.release_due(bench.engine)
    probe.does = does
    bench.work(parent)
    assert bench.task(parent)["status"] == "waiting_input"
    assert len(own_runs(bench, parent)) == 1


def test_a_cancelled_task_stops_its_run(bench: Bench, parent: UUID) -> None:
    bench.work(parent)
    cancel.cancel(bench.engine, bench.caller, parent, "no more")
    assert bench.task(parent)["status"] == "cancelled"
    (run,) = own_runs(bench, parent)
    assert run["status"] == "cancelled"


def test_a_task_that_fails_by_itself_stops_its_run(bench: Bench, probe: Probe, parent: UUID) -> None:
    does = probe.does

    def breaks(ctx: Context, config: ProbeConfig) -> Outcome:
        does(ctx, config)
        raise PermanentError("broken", "after it began")

    probe.does = breaks
    bench.work(parent)
    assert bench.task(parent)["status"] == "failed"
    (run,) = own_runs(bench, parent)
    assert run["status"] == "cancelled"


def test_a_retry_by_hand_begins_a_new_run(bench: Bench, parent: UUID) -> None:
    bench.sql("UPDATE tasks SET config = :config WHERE id = :id", id=parent, config=json.dumps({"value": FAILING}))
    bench.work(parent)
    (first,) = own_runs(bench, parent)
    bench.work(*parts(bench, first["id"]))
    bench.work(parent)
    assert last_error(bench, parent)["code"] == "sub_run_failed"
    with pytest.raises(Conflict, match=f"{parent}/retry"):
        retry_run(bench.engine, bench.caller, first["id"], RetrySpec())
    control.retry(bench.engine, bench.caller, parent)
    bench.work(parent)
    assert bench.task(parent)["status"] == "waiting_input"
    assert len(own_runs(bench, parent)) == 2


def test_a_spec_that_is_none_fails_the_task_with_its_fault(bench: Bench, probe: Probe, parent: UUID) -> None:
    bench.sql("UPDATE tasks SET config = :config WHERE id = :id", id=parent, config='{"value": {"workflow": "nope"}}')
    bench.work(parent)
    error = last_error(bench, parent)
    assert error["code"] == "invalid_run"
    assert "nope" in error["message"]
    assert own_runs(bench, parent) == []


def test_a_parked_task_goes_on_when_its_time_is_up(bench: Bench, probe: Probe) -> None:
    probe.does = lambda ctx, config: Parked("a moment", 0) if ctx.attempt == 1 else Succeeded(ctx.attempt)
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "waiting_input"
    recover.release_due(bench.engine)
    bench.work(task_id)
    assert bench.task(task_id)["result"] == 2


def test_explain_says_why_an_attempt_parked_its_task(bench: Bench, probe: Probe) -> None:
    probe.does = lambda ctx, config: Parked("the limit of 100 calls in 10 s is used up", 60)
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.work(task_id)
    summary = explain.explain(bench.engine, bench.caller, task_id)["summary"]
    assert summary.startswith("the limit of 100 calls in 10 s is used up; goes on at ")
    parked = query.events(bench.engine, bench.caller, task_id, PAGE).items[-1]
    assert parked["data"] == {"reason": "the limit of 100 calls in 10 s is used up"}


def test_what_is_handed_over_waits_in_the_other_line(bench: Bench, probe: Probe) -> None:
    probe.does = lambda ctx, config: HandedOver("agent:counting", "an agent counts")
    (task_id,) = bench.submit({"type": "probe", "config": {}})
    bench.work(task_id)
    recover.release_due(bench.engine)
    task = bench.task(task_id)
    assert (task["status"], task["queue"], task["error_count"]) == ("queued", "agent:counting", 0)
    (place,) = bench.sql("SELECT queue FROM outbox WHERE task_id = :id", id=task_id)
    assert place.queue == "agent:counting"
    assert events(bench, task_id)[-2:] == ["handed_over", "queued"]


def test_a_run_that_ends_before_its_task_is_parked_wakes_it_nevertheless(
    bench: Bench, probe: Probe, parent: UUID
) -> None:
    does = probe.does

    def slow_to_park(ctx: Context, config: ProbeConfig) -> Outcome:
        outcome = does(ctx, config)
        if isinstance(outcome, Parked):
            (run,) = own_runs(bench, parent)
            bench.work(*parts(bench, run["id"]))
        return outcome

    probe.does = slow_to_park
    bench.work(parent)
    assert bench.task(parent)["status"] == "queued"
    bench.work(parent)
    assert bench.task(parent)["status"] == "completed"


def test_a_run_that_is_cancelled_stops_runs_of_tasks_that_were_to_be_tried_again(bench: Bench, probe: Probe) -> None:
    def begins(ctx: Context, config: ProbeConfig) -> Outcome:
        ctx.begin_run(ONE_STEP)
        raise TransientError("broken", "after it began")

    probe.does = begins
    outer = start(bench, [{"id": "calls", "type": "task", "task": {"type": "probe"}}])
    (task_id,) = parts(bench, outer)
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "retrying"
    control_run.cancel(bench.engine, bench.caller, outer, None)
    assert bench.task(task_id)["status"] == "cancelled"
    assert [run["status"] for run in own_runs(bench, task_id)] == ["cancelled"]


def test_the_reconciler_stops_runs_whose_task_ended_without_them(bench: Bench, parent: UUID) -> None:
    bench.work(parent)
    # As if its worker had died between the end of the task and that of its run.
    with bench.engine.db.begin() as conn:
        transitions.move(conn, "cancelled", [parent], reason="interrupted")
    (run,) = own_runs(bench, parent)
    assert run["completed_at"] is None
    recover.clean(bench.engine, "tester")
    (run,) = own_runs(bench, parent)
    assert run["status"] == "cancelled"


@pytest.mark.parametrize("expansion", [None, {"type": "array", "array_mapping": {"item": "variables.items"}}])
@pytest.mark.usefixtures("calling")
def test_a_pause_holds_the_runs_of_tasks_too(bench: Bench, expansion: dict[str, Any] | None) -> None:
    task = {"type": "probe", "config": {"value": ONE_STEP}, "expansion_config": expansion}
    outer = start(bench, [{"id": "calls", "type": "task", "task": task}], variables={"items": [1]})
    (caller,) = [row.id for row in bench.sql("SELECT id FROM tasks WHERE run_id = :id AND kind = 'task'", id=outer)]
    bench.work(caller)
    (run,) = own_runs(bench, caller)
    control_run.pause(bench.engine, bench.caller, outer)
    assert [run["status"] for run in own_runs(bench, caller)] == ["paused"]
    control_run.resume(bench.engine, bench.caller, outer)
    bench.work(*parts(bench, run["id"]))
    bench.work(caller)
    assert bench.task(caller)["status"] == "completed"


@pytest.mark.usefixtures("calling")
def test_a_run_that_is_begun_in_a_paused_run_waits_for_that(bench: Bench, probe: Probe) -> None:
    outer = start(bench, [{"id": "calls", "type": "task", "task": {"type": "probe", "config": {"value": ONE_STEP}}}])
    (caller,) = parts(bench, outer)
    does = probe.does

    def meanwhile(ctx: Context, config: ProbeConfig) -> Outcome:
        if ctx.attempt == 1:
            control_run.pause(bench.engine, bench.caller, outer)
        return does(ctx, config)

    probe.does = meanwhile
    bench.work(caller)
    (run,) = own_runs(bench, caller)
    assert run["status"] == "paused"
    assert [bench.task(part)["status"] for part in parts(bench, run["id"])] == ["paused"]
    control_run.resume(bench.engine, bench.caller, outer)
    bench.work(*parts(bench, run["id"]))
    bench.work(caller)
    assert bench.task(caller)["status"] == "completed"
