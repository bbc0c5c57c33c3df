"""Running tasks are stopped: by people, and by their time limit. Nothing of them stays behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.stack import Stack, alive, eventually

LIMIT_SECONDS = 5
QUEUE = "automation"


def _start(stack: Stack, spec: dict[str, object]) -> str:
    task_id = str(stack.submit(spec)["id"])
    eventually(lambda: stack.task(task_id)["status"] == "running", 20, "the task runs")
    return task_id


def _left_behind(mark: Path) -> list[int]:
    """The ids of the two processes that a stubborn task started."""

    def found() -> list[int]:
        pids = [int(path.suffix[1:]) for path in mark.parent.glob(f"{mark.name}.*")]
        return pids if len(pids) == 2 else []

    return eventually(found, 20, "the stubborn processes run")


def _last_execution(stack: Stack, task_id: str) -> str:
    return str(stack.get(f"/v1/tasks/{task_id}/executions")["items"][0]["status"])


def test_cancelling_a_sleeping_task_ends_it_within_seconds(stack: Stack) -> None:
    task_id = _start(stack, {"config": {"sleep_seconds": 60}})
    stack.post(f"/v1/tasks/{task_id}/cancel", {"reason": "changed my mind"})
    task = stack.task(task_id, wait=LIMIT_SECONDS)
    assert task["status"] == "cancelled"
    assert _last_execution(stack, task_id) == "cancelled"
    events = stack.get(f"/v1/tasks/{task_id}/events")["items"]
    assert [event["type"] for event in events][-2:] == ["task.cancel_requested", "task.cancelled"]


def test_cancelling_kills_a_handler_that_does_not_listen_with_all_that_it_started(stack: Stack, tmp_path: Path) -> None:
    pool = set(stack.pool("worker-automation"))
    task_id = _start(stack, {"type": "stubborn", "config": {"mark": str(tmp_path / "mark")}})
    pids = _left_behind(tmp_path / "mark")
    stack.post(f"/v1/tasks/{task_id}/cancel", {"reason": "enough"})
    eventually(lambda: not any(alive(pid) for pid in pids), LIMIT_SECONDS, "the processes are gone")
    assert stack.task(task_id, wait=LIMIT_SECONDS)["status"] == "cancelled"
    assert _last_execution(stack, task_id) == "cancelled"
    # The worker itself goes on, with a new pool process in the place of the killed one.
    eventually(lambda: len(set(stack.pool("worker-automation")) - pool) == 1, 20, "a new pool process")
    again = [stack.submit({"queue": "automation", "config": {"sleep_seconds": 0.2}})["id"] for _ in range(4)]
    assert {stack.task(other, wait=20)["status"] for other in again} == {"completed"}
    ended_by = {row["worker"] for row in stack.sql("SELECT worker FROM executions WHERE task_id = ANY(%s)", again)}
    assert len(ended_by) == 2


def test_a_time_limit_ends_a_handler_that_listens(stack: Stack) -> None:
    task = stack.submit({"config": {"sleep_seconds": 60}, "timeout_seconds": 0.5, "max_retries": 0}, wait=20)
    assert task["status"] == "failed"
    assert task["last_error"]["code"] == "timeout"
    assert _last_execution(stack, task["id"]) == "timed_out"


def test_a_time_limit_kills_a_handler_that_does_not_listen(stack: Stack, tmp_path: Path) -> None:
    config = {"mark": str(tmp_path / "mark")}
    task_id = _start(stack, {"type": "stubborn", "config": config, "timeout_seconds": 1, "max_retries": 0})
    pids = _left_behind(tmp_path / "mark")
    task = stack.task(task_id, wait=20)
    assert (task["status"], task["last_error"]["code"]) == ("failed", "timeout")
    eventually(lambda: not any(alive(pid) for pid in pids), LIMIT_SECONDS, "the processes are gone")


@pytest.mark.parametrize("whole", [False, True], ids=["pool process", "whole worker"])
def test_what_a_killed_process_had_started_is_gone_too(stack: Stack, tmp_path: Path, whole: bool) -> None:
    task_id = _start(stack, {"type": "stubborn", "config": {"mark": str(tmp_path / "mark")}})
    pids = _left_behind(tmp_path / "mark")
    stack.post(f"/v1/queues/{QUEUE}/pause")
    (worker,) = {row["worker"] for row in stack.sql("SELECT worker FROM executions WHERE task_id = %s", task_id)}
    if whole:
        stack.kill(f"worker-{QUEUE}")
    else:
        os.kill(int(worker.rpartition(":")[2]), signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), LIMIT_SECONDS, "the processes are gone")
    eventually(lambda: stack.task(task_id)["status"] == "queued", 20, "the attempt is given up")
    assert _last_execution(stack, task_id) == "lost"
    assert stack.call("POST", f"/v1/tasks/{task_id}/cancel", {"reason": "enough"}).json()["status"] == "cancelled"
    if whole:
        stack.start(f"worker-{QUEUE}")
    stack.post(f"/v1/queues/{QUEUE}/resume")
    assert stack.submit({"queue": QUEUE}, wait=30)["status"] == "completed"
