"""A flood of one organization does not hold another up."""

from __future__ import annotations

from datetime import datetime

from tests.stack import Stack

FLOOD = 20_000


def test_a_task_starts_at_once_beside_another_organizations_flood(stack: Stack) -> None:
    light = [{"config": {"message": number}} for number in range(FLOOD // 2)]
    slow = [{"config": {"sleep_seconds": 0.02}} for _ in range(FLOOD // 2)]
    mixed = [spec for pair in zip(slow, light, strict=True) for spec in pair]
    try:
        for start in range(0, FLOOD, 10_000):
            stack.submit_batch(mixed[start : start + 10_000])
        waits = []
        for config in ({"message": "mine"}, {"sleep_seconds": 0.01}, {"message": "again"}):
            task = stack.submit({"config": config}, key=stack.other_key, wait=30)
            assert task["status"] == "completed"
            created, started = (datetime.fromisoformat(task[name]) for name in ("created_at", "started_at"))
            waits.append((started - created).total_seconds())
        (left,) = stack.sql("SELECT count(*) AS tasks FROM outbox")
        shown = ", ".join(f"{wait:.2f} s" for wait in waits)
        print(f"beside {left['tasks']} tasks of another organization tasks started after {shown}")
        assert left["tasks"] > FLOOD // 4
        assert max(waits) < 5
    finally:
        _drop_the_flood(stack)


def _drop_the_flood(stack: Stack) -> None:
    stack.post("/v1/queues/integration/pause")
    stack.sql("DELETE FROM outbox")
    stack.sql("DELETE FROM tasks WHERE status = 'queued'")
    stack.post("/v1/queues/integration/resume")
