"""Processes that run more than once: workers share the work, of two beats one acts. And Flower sees them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from tests.stack import Stack, eventually

CONNECTED_BEATS = (
    "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'beat' AND datname = current_database()"
)


@pytest.fixture
def second_worker(stack: Stack) -> Iterator[str]:
    """Another instance of the integration worker, ready for work."""
    name = "worker-integration-2"
    if name not in stack.known:
        stack.copy("worker-integration", 2)
    stack.start(name)
    eventually(lambda: _workers(stack) == 2, 30, "two workers on the queue")
    yield name
    if name in stack.names:
        stack.stop(name)


def _workers(stack: Stack) -> int:
    return int(next(queue["workers"] for queue in stack.get("/v1/queues")["items"] if queue["name"] == "integration"))


def _executions(stack: Stack, ids: list[str]) -> list[dict[str, str]]:
    return stack.sql("SELECT task_id, worker, status FROM executions WHERE task_id = ANY(%s)", ids)


def test_two_instances_of_a_worker_share_a_queue(stack: Stack, second_worker: str) -> None:
    ids = stack.submit_batch([{"config": {"sleep_seconds": 0.1}} for _ in range(60)])
    assert {stack.task(task_id, wait=30)["status"] for task_id in ids} == {"completed"}
    executions = _executions(stack, ids)
    assert len(executions) == 60
    by_node = {row["worker"].rpartition(":")[0] for row in executions}
    assert len(by_node) == 2


def test_a_worker_that_is_asked_to_stop_ends_its_tasks_first(stack: Stack, second_worker: str) -> None:
    ids = stack.submit_batch([{"config": {"sleep_seconds": 0.4}} for _ in range(30)])

    def busy() -> bool:
        return sum("@2." in row["worker"] for row in _executions(stack, ids)) >= 2

    eventually(busy, 20, "the second worker is in the middle of tasks")
    assert stack.stop(second_worker) == 0
    assert {stack.task(task_id, wait=30)["status"] for task_id in ids} == {"completed"}
    executions = _executions(stack, ids)
    assert len(executions) == 30
    assert {row["status"] for row in executions} == {"succeeded"}
    assert _workers(stack) == 1


def test_of_two_beats_one_acts_and_the_other_takes_over(stack: Stack) -> None:
    second = stack.copy("beat", 2)
    stack.start(second)
    try:
        eventually(lambda: stack.sql(CONNECTED_BEATS)[0]["n"] >= 2, 30, "both beats look for the lead")
        due = datetime.now(UTC) + timedelta(seconds=1)
        specs = [{"scheduled_for": (due + timedelta(seconds=number * 0.2)).isoformat()} for number in range(45)]
        ids = stack.submit_batch(specs)
        (leader,) = stack.sql("SELECT holder FROM leaders WHERE name = 'beat'")
        first = next(name for name in ("beat", second) if leader["holder"].endswith(f":{stack.pid(name)}"))
        eventually(lambda: stack.task(ids[3])["status"] == "completed", 20, "the tick goes")
        killed = time.monotonic()
        stack.kill(first)
        eventually(lambda: stack.sql("SELECT holder FROM leaders WHERE name = 'beat'")[0] != leader, 20, "a new leader")
        print(f"the other beat led {time.monotonic() - killed:.1f} s after the leader was killed")
        assert {stack.task(task_id, wait=30)["status"] for task_id in ids} == {"completed"}
        released = stack.sql(
            "SELECT task_id, count(*) AS n FROM events WHERE type = 'task.queued' AND task_id = ANY(%s) GROUP BY 1", ids
        )
        assert [row["n"] for row in released] == [1] * 45
        assert len(_executions(stack, ids)) == 45
    finally:
        stack.stop(next(name for name in ("beat", second) if name in stack.names))
        stack.start("beat")


def test_flower_lists_the_workers(stack: Stack) -> None:
    stack.start("flower")
    base = f"http://127.0.0.1:{stack.settings.flower_port}"

    def listed() -> set[str]:
        try:
            answer = requests.get(f"{base}/api/workers?refresh=1", auth=("admin", "flower-password"), timeout=10)
        except requests.RequestException:
            return set()
        names = {re.sub("@.*", "", name) for name in answer.json()} if answer.ok else set()
        return names if {"integration", "automation", "control"} <= names else set()

    try:
        eventually(listed, 40, "Flower lists the workers")
        assert requests.get(f"{base}/workers", timeout=10).status_code == 401
    finally:
        stack.stop("flower")
