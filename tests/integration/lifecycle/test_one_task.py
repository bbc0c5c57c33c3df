"""The way of one task, in this process, on real Postgres and Redis."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from taskengine.domain.errors import Invalid, NotFound
from taskengine.domain.task import PageRequest, TaskSpec
from taskengine.lifecycle import query, submit
from tests.conftest import Bench

PAGE = PageRequest()


def test_a_task_is_queued_run_and_completed_with_its_result(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"message": {"a": [1, 2.5, None]}}})
    assert bench.task(task_id)["status"] == "queued"
    assert bench.work(task_id) == 1
    task = bench.task(task_id)
    assert task["status"] == "completed"
    assert task["result"] == {"message": {"a": [1, 2.5, None]}}
    assert task["attempt"] == 1
    assert task["started_at"] <= task["completed_at"]


def test_its_history_is_kept(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"message": 1, "log_lines": 3}})
    bench.work(task_id)
    (execution,) = query.executions(bench.engine, bench.caller, task_id, PAGE).items
    assert execution["status"] == "succeeded"
    assert execution["output"] == {"message": 1}
    assert execution["duration_seconds"] >= 0
    assert query.execution(bench.engine, bench.caller, execution["id"]) == execution
    lines = query.logs(bench.engine, bench.caller, execution["id"], PAGE).items
    assert [line["message"] for line in lines] == ["line 1 of 3", "line 2 of 3", "line 3 of 3"]
    events = query.events(bench.engine, bench.caller, task_id, PAGE).items
    assert [event["type"] for event in events] == ["task.created", "task.claimed", "task.completed"]


def test_a_failing_task_is_tried_again_until_it_succeeds(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 1, "message": "x"}, "retry": {"strategy": "fixed"}})
    bench.work(task_id)
    task = bench.task(task_id)
    assert task["status"] == "retrying"
    assert task["error_count"] == 1
    assert task["last_error"]["code"] == "echo_failed"
    assert task["run_at"] is not None


def test_used_up_retries_leave_a_failed_task_and_a_dead_letter(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"fail_times": 5}, "max_retries": 0})
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "failed"
    (letter,) = bench.sql("SELECT task_id, code, attempts FROM dead_letters")
    assert (letter.task_id, letter.code, letter.attempts) == (task_id, "echo_failed", 1)


def test_a_message_that_comes_twice_runs_the_task_once(bench: Bench) -> None:
    (task_id,) = bench.submit({})
    assert bench.work(task_id) == 1
    assert bench.work(task_id) == 0
    assert len(query.executions(bench.engine, bench.caller, task_id, PAGE).items) == 1


def test_a_pack_is_claimed_and_finished_together(bench: Bench) -> None:
    ids = bench.submit(*({"config": {"message": number}} for number in range(50)))
    assert bench.work(*ids) == 50
    assert set(bench.statuses(ids)) == {"completed"}
    assert [bench.task(task_id)["result"]["message"] for task_id in ids] == list(range(50))


def test_another_organization_does_not_see_it(bench: Bench) -> None:
    from taskengine.lifecycle import keys

    (task_id,) = bench.submit({})
    keys.add_organization(bench.engine, "other")
    stranger = keys.local_caller(bench.engine, "other")
    with pytest.raises(NotFound):
        query.task(bench.engine, stranger, task_id)


def test_unknown_things_are_not_found(bench: Bench) -> None:
    for read in (query.task, query.execution, query.artifact):
        with pytest.raises(NotFound):
            read(bench.engine, bench.caller, uuid4())


def test_nothing_is_stored_when_one_of_a_batch_is_wrong(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({}, {"config": {"sleep_seconds": "long"}}, {"type": "ecko"}, {"config": {"nonsense": 1}})
    assert [error.loc for error in caught.value.errors] == [
        (1, "config", "sleep_seconds"),
        (2, "type"),
        (3, "config", "nonsense"),
    ]
    assert "did you mean 'echo'?" in caught.value.errors[1].msg
    assert bench.sql("SELECT count(*) AS n FROM tasks")[0].n == 0


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"priority": "urgent", "urgency": "urgent", "tags": ["a", "b"], "metadata": {"x": 1}},
        {"scheduled_for": "2100-01-01T00:00:00Z", "resource_requirements": {"cpu_cores": 2}},
        {"execution_type": "manual", "config": {"message": {"password": "hunter22"}}},
    ],
)
def test_a_created_task_reads_the_same_as_the_stored_one(bench: Bench, spec: dict[str, Any]) -> None:
    base = {"name": "test", "type": "echo"}
    created = submit.create(bench.engine, bench.caller, TaskSpec.model_validate(base | spec))
    assert created == bench.task(created["id"])
