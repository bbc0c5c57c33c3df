"""Queues and tasks that are held back, let go, and put in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.stack import Stack, eventually

QUEUE = "automation"


@pytest.fixture
def queue(stack: Stack) -> Iterator[Stack]:
    """A queue that the test may close; open again afterwards."""
    yield stack
    stack.post(f"/v1/queues/{QUEUE}/resume")


def _submit(stack: Stack, **spec: Any) -> str:
    return str(stack.submit({"queue": QUEUE, **spec})["id"])


def _state(stack: Stack) -> dict[str, Any]:
    state: dict[str, Any] = next(item for item in stack.get("/v1/queues")["items"] if item["name"] == QUEUE)
    return state


def test_a_paused_queue_starts_nothing_until_it_is_resumed(queue: Stack) -> None:
    running = _submit(queue, config={"sleep_seconds": 1})
    eventually(lambda: queue.task(running)["status"] == "running", 20, "a task runs")
    assert queue.post(f"/v1/queues/{QUEUE}/pause")["paused"]
    ids = [_submit(queue) for _ in range(5)]
    assert queue.task(running, wait=20)["status"] == "completed"
    assert {queue.task(task_id)["status"] for task_id in ids} == {"queued"}
    assert _state(queue)["depth"] == 5
    blockers = queue.get(f"/v1/tasks/{ids[0]}/explain")["blockers"]
    assert any("pause" in blocker["kind"] for blocker in blockers)
    queue.post(f"/v1/queues/{QUEUE}/resume")
    assert {queue.task(task_id, wait=20)["status"] for task_id in ids} == {"completed"}


def test_a_draining_queue_takes_nothing_new_and_works_off_the_rest(queue: Stack) -> None:
    ids = [_submit(queue, config={"sleep_seconds": 0.3}) for _ in range(5)]
    assert queue.post(f"/v1/queues/{QUEUE}/drain")["draining"]
    refused = queue.call("POST", "/v1/tasks", {"name": "late", "type": "echo", "queue": QUEUE})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["type"] == "queue_draining"
    assert {queue.task(task_id, wait=20)["status"] for task_id in ids} == {"completed"}
    queue.post(f"/v1/queues/{QUEUE}/resume")
    assert queue.task(_submit(queue), wait=20)["status"] == "completed"


def test_a_paused_task_waits_while_others_pass(queue: Stack) -> None:
    queue.post(f"/v1/queues/{QUEUE}/pause")
    held, passing = _submit(queue), _submit(queue)
    assert queue.post(f"/v1/tasks/{held}/pause")["status"] == "paused"
    queue.post(f"/v1/queues/{QUEUE}/resume")
    assert queue.task(passing, wait=20)["status"] == "completed"
    assert queue.task(held)["status"] == "paused"
    queue.post(f"/v1/tasks/{held}/resume")
    assert queue.task(held, wait=20)["status"] == "completed"


def test_higher_priorities_start_first(queue: Stack) -> None:
    queue.post(f"/v1/queues/{QUEUE}/pause")
    names = ("normal", "critical", "low", "urgent", "high")
    specs = [
        {"queue": QUEUE, "priority": name, "config": {"sleep_seconds": 0.05, "message": name}}
        for name in names
        for _ in range(6)
    ]
    ids = queue.submit_batch(specs)
    queue.post(f"/v1/queues/{QUEUE}/resume")
    tasks = [queue.task(task_id, wait=20) for task_id in ids]
    assert {task["status"] for task in tasks} == {"completed"}
    started: dict[str, list[str]] = {}
    for task in tasks:
        started.setdefault(task["priority"], []).append(task["started_at"])
    for first, second in pairwise(("critical", "urgent", "high", "normal", "low")):
        assert sorted(started[first])[2] < sorted(started[second])[2]
    assert max(started["critical"]) < min(started["high"]) < max(started["high"]) < min(started["low"])
