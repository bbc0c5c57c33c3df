"""The way of a task through real processes, from POST to its result."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tests.stack import Stack, eventually


def test_a_posted_task_completes_with_its_result(stack: Stack) -> None:
    posted = stack.submit({"config": {"message": {"deep": [1, "ä", None]}, "log_lines": 2}})
    assert posted["status"] in {"queued", "running", "completed"}
    task = stack.task(posted["id"], wait=10)
    assert task["status"] == "completed"
    assert task["result"] == {"message": {"deep": [1, "ä", None]}}
    (execution,) = stack.get(f"/v1/tasks/{posted['id']}/executions")["items"]
    assert execution["status"] == "succeeded"
    assert execution["worker"].startswith("integration@")
    lines = stack.get(f"/v1/executions/{execution['id']}/logs")["items"]
    assert [line["message"] for line in lines] == ["line 1 of 2", "line 2 of 2"]
    kinds = [event["type"] for event in stack.get(f"/v1/tasks/{posted['id']}/events")["items"]]
    assert kinds == ["task.created", "task.claimed", "task.completed"]


def test_a_post_that_waits_answers_with_the_finished_task(stack: Stack) -> None:
    started = time.monotonic()
    task = stack.submit({"config": {"message": "now"}}, wait=20)
    assert task["status"] == "completed"
    assert time.monotonic() - started < 10


def test_a_wait_that_is_too_short_answers_with_the_task_as_it_stands(stack: Stack) -> None:
    task = stack.submit({"config": {"sleep_seconds": 2}}, wait=0.2)
    assert task["status"] in {"queued", "running"}
    assert stack.task(task["id"], wait=20)["status"] == "completed"


def test_a_task_that_fails_twice_is_retried_until_it_succeeds(stack: Stack) -> None:
    policy = {"strategy": "fixed", "delay_seconds": 0.1, "jitter": False}
    task = stack.submit({"config": {"message": 1, "fail_times": 2}, "retry": policy}, wait=30)
    assert (task["status"], task["attempt"], task["error_count"]) == ("completed", 3, 2)
    statuses = [item["status"] for item in stack.get(f"/v1/tasks/{task['id']}/executions")["items"]]
    assert statuses == ["succeeded", "failed", "failed"]


def test_used_up_retries_leave_a_dead_letter_that_can_be_redriven(stack: Stack) -> None:
    task = stack.submit({"config": {"fail_times": 1}, "max_retries": 0}, wait=20)
    assert task["status"] == "failed"
    assert task["last_error"]["code"] == "echo_failed"
    assert stack.post("/v1/dead-letters/redrive", {"ids": [_dead_letter(stack, task["id"])]}) == {"redriven": 1}
    assert stack.task(task["id"], wait=20)["status"] == "completed"


def _dead_letter(stack: Stack, task_id: str) -> str:
    letters = stack.get("/v1/dead-letters")["items"]
    return str(next(letter["id"] for letter in letters if letter["task_id"] == task_id))


def test_a_scheduled_task_starts_at_its_time(stack: Stack) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1.5)
    task = stack.submit({"execution_type": "scheduled", "scheduled_for": due.isoformat()})
    assert task["status"] == "deferred"
    done = stack.task(task["id"], wait=20)
    assert done["status"] == "completed"
    late = (datetime.fromisoformat(done["started_at"]) - due).total_seconds()
    print(f"a scheduled task started {late:.2f} s after its time")
    assert 0 <= late < 2


def test_dependents_run_after_what_they_depend_on(stack: Stack) -> None:
    ids = stack.submit_batch(
        [
            {"key": "last", "depends_on": ["left", "right"]},
            {"key": "left", "config": {"sleep_seconds": 0.2}},
            {"key": "right", "depends_on": ["left"]},
        ]
    )
    last, left, right = (stack.task(task_id, wait=20) for task_id in ids)
    assert {last["status"], left["status"], right["status"]} == {"completed"}
    assert left["completed_at"] <= right["started_at"] <= right["completed_at"] <= last["started_at"]


def test_the_other_organization_sees_nothing_of_it(stack: Stack) -> None:
    task = stack.submit({}, wait=20)
    assert stack.call("GET", f"/v1/tasks/{task['id']}", key=stack.other_key).status_code == 404
    assert stack.get("/v1/tasks", key=stack.other_key)["items"] == []


def test_a_task_of_a_type_that_fits_no_worker_is_refused(stack: Stack) -> None:
    answer = stack.call("POST", "/v1/tasks", {"name": "x", "type": "nonsense"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][-1] == "type"


def test_explain_says_why_a_manual_task_waits_until_it_is_executed(stack: Stack) -> None:
    task = stack.submit({"execution_type": "manual"})
    assert task["status"] == "pending"
    assert stack.get(f"/v1/tasks/{task['id']}/explain")["blockers"]
    stack.post(f"/v1/tasks/{task['id']}/execute")
    eventually(lambda: stack.task(task["id"])["status"] == "completed", 20, "the triggered task runs")
